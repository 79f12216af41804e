from dataclasses import replace

import numpy as np
import pytest

from tests.evaluate.test_probe_training import draw
from unreel.errors import TrainingError
from unreel.evaluate.folds import split_folds
from unreel.evaluate.probe_lr import fit_best_lr
from unreel.evaluate.probe_training import LinearProbeConfig, fit_probe

CONFIG = LinearProbeConfig(epochs=5, lrs=(1.0, 0.001, 0.1), num_folds=3)


def test_a_single_rate_is_taken_as_it_is() -> None:
    features, classes = draw()
    config = replace(CONFIG, lrs=(0.3,))
    best = fit_best_lr(features, classes, np.zeros(30, dtype=np.int64), config)
    assert (best.lr, best.trials) == (0.3, [])
    expected = fit_probe(features, classes, 0.3, config)
    assert best.fitted.weights_CD.tobytes() == expected.weights_CD.tobytes()


def test_the_accuracies_are_those_of_vectors_that_were_left_out() -> None:
    features, classes = draw(2)
    groups = np.arange(30) // 2
    best = fit_best_lr(features, classes, groups, CONFIG)
    assert [trial.lr for trial in best.trials] == [1.0, 0.001, 0.1]
    for trial in best.trials:
        right = 0
        for learn, left_out in split_folds(classes, groups, 3, choice="learning rate"):
            fitted = fit_probe(features[learn], classes[learn], trial.lr, CONFIG)
            right += int((fitted.predict(features[left_out]) == classes[left_out]).sum())
        assert (trial.accuracy, trial.diverged) == (right / 30, 0)
    highest = max(trial.accuracy for trial in best.trials)
    assert best.lr == min(trial.lr for trial in best.trials if trial.accuracy == highest)
    expected = fit_probe(features, classes, best.lr, CONFIG)
    assert best.fitted.weights_CD.tobytes() == expected.weights_CD.tobytes()


def test_copies_of_a_vector_in_its_group_do_not_help() -> None:
    # Noise without any class, each vector five times. Torn apart, copies would be known by heart.
    rng = np.random.default_rng(0)
    features = np.repeat(rng.normal(size=(40, 60)), 5, axis=0).astype(np.float32)
    classes = np.repeat(np.arange(40) % 2, 5)
    config = LinearProbeConfig(epochs=20, lrs=(0.5, 1.0))
    together = fit_best_lr(features, classes, np.repeat(np.arange(40), 5), config).trials
    apart = fit_best_lr(features, classes, np.arange(200), config).trials
    assert apart[1].accuracy == 1
    assert together[1].accuracy < 0.8


def test_a_rate_at_which_the_loss_runs_over_is_counted_and_not_chosen() -> None:
    features, classes = draw()
    config = replace(CONFIG, lrs=(1e6, 0.1))
    best = fit_best_lr(features * np.float32(1e18), classes, np.arange(30), replace(config, lrs=(1e6, 1e-38)))
    assert best.lr == 1e-38
    assert (best.trials[0].accuracy, best.trials[0].diverged) == (0, 3)
    with pytest.raises(TrainingError, match=r"at learning rate 100000; give a lower one"):
        fit_best_lr(features * np.float32(1e18), classes, np.arange(30), replace(config, lrs=(1e6, 1e5)))


def test_a_class_in_a_single_group_is_missed_where_it_is_left_out() -> None:
    features, classes = draw(4, noise=0.01)
    groups = np.where(classes == 2, 1000, np.arange(30))
    config = LinearProbeConfig(epochs=60, lrs=(1.0, 2.0))
    assert [trial.accuracy for trial in fit_best_lr(features, classes, groups, config).trials] == [2 / 3] * 2


def test_progress_counts_all_rates_and_folds_as_one_job() -> None:
    told: list[tuple[int, int]] = []
    notes: list[str] = []

    def note_down(done: int, total: int, note: str) -> None:
        told.append((done, total))
        notes.append(note)

    features, classes = draw()
    fit_best_lr(features, classes, np.arange(30), replace(CONFIG, lrs=(0.1, 1.0)), progress=note_down)
    assert told == [(done, 35) for done in range(1, 36)]
    assert (notes[0], notes[29]) == ("learning rate 0.1, fold 1 of 3", "learning rate 1, fold 3 of 3")
    assert notes[-1].startswith("learning rate ")
    assert "fold" not in notes[-1]
