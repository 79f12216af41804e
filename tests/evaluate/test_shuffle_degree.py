import copy
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.evaluate.tiny_cacl import NUM_FRAMES, build_cacl
from tests.methods.batches import make_batch
from unreel.augment.shuffle import ShuffleConfig
from unreel.augment.shuffle_degree import possible_degrees, shuffle_degree
from unreel.data.batch import VideoBatch
from unreel.evaluate.shuffle_degree import DegreeResult, evaluate_degree
from unreel.methods.cacl import CACL, CACLViews


def make_batches(count: int = 4, size: int = 3) -> list[VideoBatch]:
    return [
        make_batch(size, frames=NUM_FRAMES, first_video=size * number, seed=number) for number in range(count)
    ]


def make_result(confusion: list[list[int]] | np.ndarray, degrees: tuple[int, ...]) -> DegreeResult:
    counts = np.array(confusion, dtype=np.int64)
    return DegreeResult(degrees, counts, videos=1, rejected=[], settings={}, seconds=0.0)


def test_scores_of_a_small_matrix_are_worked_by_hand() -> None:
    """Degrees 0, 2, 3, 4; ten clips, five on the diagonal.

    One true 0 was taken for 2 and one true 2 for 0 (both 2 off), two true 3 for 4 (1 off), one true 4 for 0
    (4 off): error (2 + 2 + 1 + 1 + 4) / 10 = 1; within one 5 + 2 of 10.
    A guess errs from 0 by (0 + 2 + 3 + 4) / 4 = 2.25, from 2 by 5 / 4, from 3 by 5 / 4, from 4 by 7 / 4, for
    2, 3, 3 and 2 clips: (4.5 + 3.75 + 3.75 + 3.5) / 10 = 1.55. It is within one of 0 in 1 of 4 cases, of 2
    in 2, of 3 in 3, of 4 in 2: (2 * 1 + 3 * 2 + 3 * 3 + 2 * 2) / 40 = 0.525.
    Always 3 is right for 3 clips, within one for 3 + 3 + 2, and errs by (2 * 3 + 3 * 1 + 2 * 1) / 10 = 1.1;
    always 2 errs by (2 * 2 + 3 * 1 + 2 * 2) / 10 as well, the others by more.
    """
    result = make_result([[1, 1, 0, 0], [1, 2, 0, 0], [0, 0, 1, 2], [1, 0, 0, 1]], (0, 2, 3, 4))
    assert result.clips == 10
    assert result.accuracy == pytest.approx(0.5)
    assert result.chance == 0.25
    assert result.constant_accuracy == pytest.approx(0.3)
    assert result.constant_within_one == pytest.approx(0.8)
    assert result.constant_error == pytest.approx(1.1)
    assert result.mean_absolute_error == pytest.approx(1.0)
    assert result.within_one == pytest.approx(0.7)
    assert result.chance_error == pytest.approx(1.55)
    assert result.chance_within_one == pytest.approx(0.525)


@given(st.integers(0, 100_000), st.integers(4, 9))
def test_scores_are_those_of_a_plain_loop_over_clips(seed: int, num_frames: int) -> None:
    rng = np.random.default_rng(seed)
    degrees = possible_degrees(num_frames)
    pairs = rng.integers(0, len(degrees), size=(20, 2)).tolist()
    counts = np.zeros((len(degrees), len(degrees)), dtype=np.int64)
    for true, told in pairs:
        counts[true, told] += 1
    result = make_result(counts, degrees)
    errors = [abs(degrees[true] - degrees[told]) for true, told in pairs]
    assert result.accuracy == pytest.approx(sum(true == told for true, told in pairs) / 20)
    assert result.mean_absolute_error == pytest.approx(sum(errors) / 20)
    assert result.within_one == pytest.approx(sum(error <= 1 for error in errors) / 20)
    guesses = [abs(degrees[true] - degree) for true, _ in pairs for degree in degrees]
    assert result.chance_error == pytest.approx(sum(guesses) / len(guesses))
    assert result.chance_within_one == pytest.approx(sum(guess <= 1 for guess in guesses) / len(guesses))
    answers = [[abs(degrees[true] - degree) for true, _ in pairs] for degree in degrees]
    assert result.constant_error == pytest.approx(min(sum(answer) / 20 for answer in answers))
    assert result.constant_accuracy == pytest.approx(max(answer.count(0) / 20 for answer in answers))
    assert result.constant_within_one == pytest.approx(
        max(sum(error <= 1 for error in answer) / 20 for answer in answers)
    )


class Oracle:
    """Replaces a CACL's answer by the truth, or by another class."""

    def __init__(self, method: CACL, patch: pytest.MonkeyPatch, *, shift: int = 0) -> None:
        self.orders: list[list[int]] = []

        def predict(views: CACLViews) -> Tensor:
            self.orders += views.order_BT.tolist()
            told_B = (views.degree_class_B + shift) % NUM_FRAMES
            return torch.nn.functional.one_hot(told_B, NUM_FRAMES).float()

        patch.setattr(method, "predict_degree", predict)


def test_who_knows_the_truth_is_always_right(monkeypatch: pytest.MonkeyPatch) -> None:
    method = build_cacl()
    oracle = Oracle(method, monkeypatch)
    result = evaluate_degree(method, make_batches())
    assert (result.accuracy, result.within_one, result.mean_absolute_error) == (1.0, 1.0, 0.0)
    assert (result.videos, result.clips) == (12, 12)
    # Rows count the true degrees of the shuffles that were shown.
    degrees = shuffle_degree(np.array(oracle.orders)).tolist()
    assert result.confusion_CC.sum(axis=1).tolist() == [degrees.count(degree) for degree in result.degrees]


def test_rows_are_true_and_columns_are_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    method = build_cacl()
    Oracle(method, monkeypatch, shift=1)
    counts = evaluate_degree(method, make_batches()).confusion_CC
    assert np.trace(np.roll(counts, -1, axis=1)) == counts.sum() == 12


def test_the_counts_are_those_of_the_methods_own_head() -> None:
    method, batches = build_cacl(), make_batches()
    expected = np.zeros((NUM_FRAMES, NUM_FRAMES), dtype=np.int64)
    for batch in batches:
        views = method.make_views(batch)
        told = method.predict_degree(views).argmax(dim=1).tolist()
        for true, answer in zip(views.degree_class_B.tolist(), told, strict=True):
            expected[true, answer] += 1
    result = evaluate_degree(method, batches)
    assert result.confusion_CC.tolist() == expected.tolist()
    assert result.degrees == (0, 2, 3, 4, 5, 6)


def test_degrees_are_uniform_with_the_default_preset_and_not_with_a_plain_shuffle() -> None:
    """240 clips, 40 per degree expected, standard deviation sqrt(240 * 5 / 36) = 5.8."""
    batches = make_batches(8, 30)
    even = evaluate_degree(build_cacl(), batches).confusion_CC.sum(axis=1)
    assert even.sum() == 240
    assert (abs(even - 40) < 25).all()
    plain = evaluate_degree(build_cacl(shuffle=ShuffleConfig(preset="plain")), batches)
    assert plain.confusion_CC.sum(axis=1)[0] < 5  # the true order is one of 720
    assert plain.constant_accuracy > 0.25


def test_nothing_in_the_method_changes_to_the_bit() -> None:
    method = build_cacl()
    before = copy.deepcopy(method.state_dict())
    generator_before = torch.random.get_rng_state()
    evaluate_degree(method, make_batches())
    assert all(torch.equal(before[name], value) for name, value in method.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), generator_before)


def test_a_run_that_contrasts_nothing_is_measured_too() -> None:
    assert evaluate_degree(build_cacl(pairs=()), make_batches()).clips == 12


def test_the_result_is_json_with_settings_and_counts() -> None:
    method = build_cacl()
    values: dict[str, Any] = evaluate_degree(method, make_batches(), settings={"num_rounds": 1}).to_json()
    values = json.loads(json.dumps(values))
    assert values["protocol"] == "degree"
    assert values["settings"]["num_rounds"] == 1
    assert values["settings"]["method"]["shuffle"]["preset"] == "uniform_exact"
    assert values["degrees"] == [0, 2, 3, 4, 5, 6]
    assert np.array(values["confusion"]).sum() == values["clips"] == 12
    assert values["chance"] == pytest.approx(1 / 6)
    assert values["accuracy"] == pytest.approx(np.trace(np.array(values["confusion"])) / 12)


def test_a_run_without_the_degree_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"predicts no shuffle degree \(method.degree_weight is 0\); give"):
        evaluate_degree(build_cacl(degree_weight=0.0), make_batches())


@pytest.mark.parametrize("fraction", [-1.0, 2.0])
def test_a_limit_that_is_no_share_is_refused_before_anything_is_read(fraction: float) -> None:
    def read() -> Iterator[VideoBatch]:
        raise AssertionError("a batch was read")
        yield

    with pytest.raises(ValueError, match="max_rejected_fraction must be between 0 and 1"):
        evaluate_degree(build_cacl(), read(), max_rejected_fraction=fraction)
