import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from unreel.errors import TrainingError
from unreel.evaluate.probe_training import FittedProbe, LinearProbeConfig, fit_probe
from unreel.seeding import build_generator

Matrix = NDArray[np.float32]
SHORT = LinearProbeConfig(epochs=3, batch_size=5)


def draw(seed: int = 0, *, num: int = 30, noise: float = 1.0) -> tuple[Matrix, NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    classes = np.arange(num) % 3
    centres = rng.normal(size=(3, 4))
    return (centres[classes] + noise * rng.normal(size=(num, 4))).astype(np.float32), classes


def train_plainly(features: Matrix, classes: NDArray[np.int64], lr: float, config: LinearProbeConfig) -> Any:
    """SGD with momentum on one layer, written out in float64."""
    weights = 0.01 * build_generator(config.seed, "probe weights").normal(size=(3, features.shape[1]))
    bias = np.zeros(3)
    speed_w, speed_b, step = np.zeros_like(weights), np.zeros(3), 0
    num_batches = math.ceil(len(features) / config.batch_size)
    for epoch in range(config.epochs):
        order = build_generator(config.seed, "probe order", epoch).permutation(len(features))
        for rows in np.array_split(order, num_batches):
            error = np.exp(features[rows] @ weights.T + bias)
            error /= error.sum(axis=1, keepdims=True)
            error[np.arange(len(rows)), classes[rows]] -= 1
            grad_w = error.T @ features[rows] / len(rows) + config.weight_decay * weights
            grad_b = error.mean(axis=0) + config.weight_decay * bias
            if config.schedule == "cosine":
                factor = 0.5 * (1 + math.cos(math.pi * step / (config.epochs * num_batches)))
            else:
                factor = 0.1 ** sum(epoch >= own for own in config.milestones)
            speed_w = config.momentum * speed_w + grad_w
            speed_b = config.momentum * speed_b + grad_b
            rate = lr * config.batch_size / 256 * factor
            weights, bias, step = weights - rate * speed_w, bias - rate * speed_b, step + 1
    return weights, bias


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"weight_decay": 0.1, "momentum": 0.5, "seed": 3},
        {"schedule": "milestones", "milestones": (1, 2)},
        {"batch_size": 4},  # 30 vectors in 8 batches of 4 or 3
        {"batch_size": 1000},
    ],
)
def test_the_layer_is_trained_as_written_out(changes: dict[str, Any]) -> None:
    features, classes = draw()
    config = replace(SHORT, **changes)
    fitted = fit_probe(features, classes, 2.0, config)
    weights, bias = train_plainly(features, classes, 2.0, config)
    np.testing.assert_allclose(fitted.weights_CD, weights, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(fitted.bias_C, bias, rtol=1e-4, atol=1e-5)
    assert fitted.weights_CD.dtype == fitted.bias_C.dtype == np.float32


def test_with_weight_decay_it_ends_at_the_one_best_layer() -> None:
    features, classes = draw(1, num=90)
    config = LinearProbeConfig(epochs=300, weight_decay=0.05)
    fitted = fit_probe(features, classes, 0.5, config)
    # Scikit-learn's objective is C times the sum of the losses, and |w|^2 / 2. Its bias is free, so a number
    # that is always 1 takes its place.
    with_one = np.concatenate([features, np.ones((90, 1), dtype=np.float32)], axis=1)
    best = LogisticRegression(C=1 / (0.05 * 90), tol=1e-8, max_iter=1000, fit_intercept=False)
    best.fit(with_one, classes)
    np.testing.assert_allclose(fitted.weights_CD, best.coef_[:, :4], atol=1e-3)
    np.testing.assert_allclose(fitted.bias_C, best.coef_[:, 4], atol=1e-3)
    assert fitted.relative_gradient < 1e-3
    probabilities = best.predict_proba(with_one)[np.arange(90), classes]
    assert fitted.final_loss == pytest.approx(-np.log(probabilities).mean(), abs=1e-3)
    assert fit_probe(features, classes, 1e-4, SHORT).relative_gradient > 0.9


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_the_gradient_that_is_left_is_measured_on_all_vectors(weight_decay: float) -> None:
    features, classes = draw()
    fitted = fit_probe(features, classes, 3.0, replace(SHORT, weight_decay=weight_decay))

    def measure(weights: Any, bias: Any) -> float:
        error = np.exp(features @ weights.T + bias)
        error /= error.sum(axis=1, keepdims=True)
        error[np.arange(30), classes] -= 1
        by_weights = error.T @ features / 30 + weight_decay * weights
        return math.hypot(np.linalg.norm(by_weights), np.linalg.norm(error.mean(0) + weight_decay * bias))

    start = measure(np.zeros((3, 4)), np.zeros(3))
    found = measure(fitted.weights_CD, fitted.bias_C) / start
    assert fitted.relative_gradient == pytest.approx(found, rel=1e-3)


def test_losses_are_those_that_were_met_and_fall() -> None:
    features, classes = draw(noise=0.3)
    fitted = fit_probe(features, classes, 5.0, replace(SHORT, epochs=20))
    assert len(fitted.loss_by_epoch) == 20
    assert fitted.loss_by_epoch[-1] < 0.5 * fitted.loss_by_epoch[0]
    # One step, with weights of hardly more than zero: log 3.
    one = fit_probe(features, classes, 1.0, LinearProbeConfig(epochs=1))
    assert one.loss_by_epoch == [pytest.approx(math.log(3), abs=0.05)]
    scores = features @ one.weights_CD.T + one.bias_C
    own = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    assert one.final_loss == pytest.approx(-own[np.arange(30), classes].mean(), rel=1e-4)


def test_batch_normalisation_becomes_part_of_the_weights() -> None:
    features, classes = draw()
    features = features * np.array([1, 10, 0.5, 1], dtype=np.float32) + 5
    config = LinearProbeConfig(epochs=40, batch_size=10, has_batch_norm=True)
    fitted = fit_probe(features, classes, 0.5, config)
    # Then neither the scale of the numbers matters nor where they lie.
    moved = fit_probe(features * np.float32(8) - 3, classes, 0.5, config)
    np.testing.assert_allclose(
        features @ fitted.weights_CD.T + fitted.bias_C,
        (features * np.float32(8) - 3) @ moved.weights_CD.T + moved.bias_C,
        atol=0.02,
    )
    assert (fitted.predict(features) == classes).mean() > 0.6
    scores = features @ fitted.weights_CD.T + fitted.bias_C
    own = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    assert fitted.final_loss == pytest.approx(-own[np.arange(30), classes].mean(), abs=1e-3)


def test_the_seed_decides_and_the_number_of_threads_hardly_matters() -> None:
    features, classes = draw()
    first, again = (fit_probe(features, classes, 1.0, SHORT) for _ in range(2))
    assert first.weights_CD.tobytes() == again.weights_CD.tobytes()
    other = fit_probe(features, classes, 1.0, replace(SHORT, seed=1))
    assert not np.allclose(first.weights_CD, other.weights_CD, atol=1e-4)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        two = fit_probe(features, classes, 1.0, SHORT)
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_allclose(two.weights_CD, first.weights_CD, atol=1e-5)


def test_the_answer_is_the_class_with_the_highest_score() -> None:
    probe = FittedProbe(np.eye(2, dtype=np.float32), np.array([0, 1], dtype=np.float32), [], 0, 0)
    assert probe.predict(np.array([[3, 0], [0.5, 0]], dtype=np.float32)).tolist() == [0, 1]


def test_epochs_are_told() -> None:
    told: list[tuple[int, int, str]] = []
    fit_probe(*draw(), 1.0, SHORT, progress=lambda *now: told.append(now), note="here")
    assert told == [(1, 3, "here"), (2, 3, "here"), (3, 3, "here")]


@pytest.mark.parametrize(("is_normalized", "hint"), [(False, r"length 1 \(is_l2_norm"), (True, "in lrs$")])
def test_a_loss_that_runs_over_is_refused_with_the_remedy(is_normalized: bool, hint: str) -> None:
    features, classes = draw()
    config = replace(SHORT, is_l2_normalized=is_normalized)
    with pytest.raises(TrainingError, match=rf"the loss of epoch \d is .* at learning rate 1e\+06;.*{hint}"):
        fit_probe(features * np.float32(1e18), classes, 1e6, config)
    with pytest.raises(TrainingError, match="the loss of epoch 1 is"):
        fit_probe(features * np.float32(1e18), classes, 1e6, replace(config, epochs=1, batch_size=99))


def test_the_rate_falls_as_asked() -> None:
    cosine = LinearProbeConfig(epochs=4)
    # Half-way, behind 20 of 40 steps: cos(pi / 2) = 0.
    assert [cosine.find_lr_factor(step, 10) for step in (0, 20, 40)] == pytest.approx([1, 0.5, 0])
    steps = LinearProbeConfig(schedule="milestones", milestones=(60, 80))
    found = [steps.find_lr_factor(step, 10) for step in (0, 599, 600, 799, 800)]
    assert found == pytest.approx([1, 1, 0.1, 0.1, 0.01])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"num_folds": 1}, "num_folds must be at least 2"),
        ({"lrs": ()}, "lrs must be one or more positive numbers"),
        ({"lrs": (0.1, math.nan)}, "lrs must be one or more positive numbers"),
        ({"lrs": (1e7,)}, r"lrs must be .* up to 1e\+06, got \[10000000"),
        ({"lrs": (0.1, 0.1)}, "lrs must differ"),
        ({"momentum": 1.0}, "momentum must be at least 0 and below 1"),
        ({"weight_decay": -1.0}, "weight_decay must be between 0 and"),
        ({"milestones": (0,)}, r"milestones must be epochs from 1 on, got \[0\]"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LinearProbeConfig(**change)
