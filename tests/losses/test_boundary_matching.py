import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unreel.losses.boundary_matching import balanced_logistic_loss, boundary_matching_loss, regression_loss

seeds = st.integers(0, 2**32 - 1)


def logistic_slowly(prob: list[float], positive: list[bool]) -> float:
    """Follow the published formula entry by entry."""
    ratio = len(prob) / max(sum(positive), 1)
    ratio = min(max(ratio, 1.05), 21.0)
    total = 0.0
    for value, is_positive in zip(prob, positive, strict=True):
        if is_positive:
            total -= 0.5 * ratio * math.log(value + 1e-5)
        else:
            total -= 0.5 * ratio / (ratio - 1) * math.log(1 - value + 1e-5)
    return total / len(prob)


def regression_slowly(predicted: np.ndarray, iou: np.ndarray, draws: np.ndarray) -> float:
    kinds = {"high": [], "middle": [], "low": []}
    for place, value in enumerate(iou.tolist()):
        if value > 0.7:
            kinds["high"].append(place)
        elif value > 0.3:
            kinds["middle"].append(place)
        elif value > 0:
            kinds["low"].append(place)
    chosen = list(kinds["high"])
    for kind in ("middle", "low"):
        share = len(kinds["high"]) / max(len(kinds[kind]), 1)
        chosen += [place for place in kinds[kind] if draws[place] < share]
    return 0.5 * sum((predicted[place] - iou[place]) ** 2 for place in chosen) / max(len(chosen), 1)


@given(st.integers(1, 40), st.floats(0, 1), seeds)
def test_the_logistic_loss_is_balanced_entry_by_entry(count: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    prob, positive = rng.uniform(0.01, 0.99, count), rng.random(count) < share
    found = balanced_logistic_loss(torch.from_numpy(prob), torch.from_numpy(positive))
    assert found.item() == pytest.approx(logistic_slowly(prob.tolist(), positive.tolist()), rel=1e-6)


def test_entries_that_do_not_count_are_as_if_they_were_not_there() -> None:
    rng = np.random.default_rng(0)
    prob, positive = torch.from_numpy(rng.random(30)), torch.from_numpy(rng.random(30) < 0.4)
    counted = torch.from_numpy(rng.random(30) < 0.6)
    found = balanced_logistic_loss(prob, positive, counted)
    assert found.item() == pytest.approx(balanced_logistic_loss(prob[counted], positive[counted]).item())


def test_positives_and_negatives_weigh_the_same() -> None:
    """8 entries, 2 positive, all at 1/2: r = 4, so 2 * 2 + 6 * 2 / 3 = 8 weights of log 2 over 8."""
    positive = torch.tensor([True, True] + [False] * 6)
    loss = balanced_logistic_loss(torch.full((8,), 0.5), positive)
    assert loss.item() == pytest.approx(math.log(2), rel=1e-4)
    # One positive of 100: r is cut to 21, so 10.5 + 99 * 21 / 40 = 62.475 of 100.
    rare = balanced_logistic_loss(torch.full((100,), 0.5), torch.arange(100) == 3)
    assert rare.item() == pytest.approx(0.62475 * math.log(2), rel=1e-4)
    # All positive: r is cut to 1.05, so half of it is left.
    all_positive = balanced_logistic_loss(torch.full((9,), 0.5), torch.ones(9, dtype=torch.bool))
    assert all_positive.item() == pytest.approx(0.525 * math.log(2), rel=1e-4)


@given(st.integers(1, 60), seeds)
def test_the_regression_counts_the_stretches_that_are_drawn(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    predicted, draws = rng.random(count), rng.random(count)
    iou = np.where(rng.random(count) < 0.3, 0.0, rng.random(count))
    found = regression_loss(*(torch.from_numpy(x).view(1, 1, -1) for x in (predicted, iou, draws)))
    assert found.item() == pytest.approx(regression_slowly(predicted, iou, draws), rel=1e-6, abs=1e-12)


def test_a_worked_regression() -> None:
    """One high (0.8), two middle, four low ones: shares 1/2 and 1/4; draws choose second and fourth."""
    iou = torch.tensor([[[0.8, 0.5, 0.6, 0.1, 0.2, 0.2, 0.1, 0.0]]])
    draws = torch.tensor([[[0.9, 0.4, 0.6, 0.2, 0.3, 0.9, 0.5, 0.0]]])
    predicted = iou + torch.tensor([0.3, 0.2, 5.0, 0.1, 5.0, 5.0, 5.0, 5.0])
    expected = 0.5 * (0.09 + 0.04 + 0.01) / 3
    assert regression_loss(predicted, iou, draws).item() == pytest.approx(expected, rel=1e-5)


def test_more_high_stretches_than_others_choose_no_stretch_twice_and_none_of_the_rest() -> None:
    """Three high and one middle: the share is 3, and stretches of tIoU 0 must stay out."""
    iou = torch.tensor([[[0.9, 0.9, 0.9, 0.5, 0.0, 0.0]]])
    predicted = iou + torch.tensor([0.0, 0.0, 0.0, 0.2, 9.0, 9.0])
    assert regression_loss(predicted, iou, torch.full_like(iou, 0.99)).item() == pytest.approx(0.5 * 0.04 / 4)
    nothing = torch.zeros(1, 2, 2)
    assert regression_loss(nothing + 0.5, nothing, nothing).item() == 0.0


def build(seed: int, size: int = 4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"start_BT": 2, "end_BT": 2, "true_start_BT": 2, "true_end_BT": 2, "regression_BLT": 3}
    shapes |= {"classification_BLT": 3, "iou_BLT": 3, "draws_BLT": 3}
    values = {
        name: 0.05 + 0.9 * torch.rand((2, *[size] * (axes - 1)), generator=generator)
        for name, axes in shapes.items()
    }
    is_inside = torch.arange(size)[:, None] + torch.arange(size) < size
    values["iou_BLT"] = values["iou_BLT"] * is_inside
    values["iou_BLT"][0, 1, 1] = 0.95
    return values


def test_the_loss_is_the_weighted_sum_of_its_parts() -> None:
    values = build(0)
    terms = boundary_matching_loss(**values, regression_weight=7.0, classification_weight=3.0)
    boundary = sum(
        logistic_slowly(
            values[f"{name}_BT"].flatten().tolist(), (values[f"true_{name}_BT"] > 0.5).flatten().tolist()
        )
        for name in ("start", "end")
    )
    regression = regression_slowly(
        *(values[f"{name}_BLT"].flatten().double().numpy() for name in ("regression", "iou", "draws"))
    )
    inside = [
        (video, length, start)
        for video in range(2)
        for length in range(4)
        for start in range(4)
        if length + start < 4
    ]
    classification = logistic_slowly(
        [values["classification_BLT"][place].item() for place in inside],
        [values["iou_BLT"][place].item() > 0.9 for place in inside],
    )
    assert terms.boundary.item() == pytest.approx(boundary, rel=1e-4)
    assert terms.regression.item() == pytest.approx(regression, rel=1e-4)
    assert terms.classification.item() == pytest.approx(classification, rel=1e-4)
    assert terms.loss.item() == pytest.approx(boundary + 7 * regression + 3 * classification, rel=1e-4)
    assert terms.positives.item() * 2 == sum(values["iou_BLT"][place].item() > 0.9 for place in inside)


def test_stretches_that_leave_the_video_have_no_gradient() -> None:
    values = build(1)
    for name in ("regression_BLT", "classification_BLT"):
        values[name].requires_grad_()
    boundary_matching_loss(**values).loss.backward()
    outside = torch.arange(4)[:, None] + torch.arange(4) >= 4
    assert not values["regression_BLT"].grad[:, outside].any()
    assert not values["classification_BLT"].grad[:, outside].any()
    assert values["classification_BLT"].grad[:, ~outside].all()


def test_the_default_weights_are_those_of_the_paper() -> None:
    values = build(2)
    terms = boundary_matching_loss(**values)
    expected = terms.boundary + 10 * terms.regression + terms.classification
    assert terms.loss.item() == pytest.approx(expected.item())


def test_the_truth_is_the_best_answer() -> None:
    values = build(3)
    truth = {
        "start_BT": (values["true_start_BT"] > 0.5).float(),
        "end_BT": (values["true_end_BT"] > 0.5).float(),
        "regression_BLT": values["iou_BLT"],
        "classification_BLT": (values["iou_BLT"] > 0.9).float(),
    }
    assert abs(boundary_matching_loss(**(values | truth)).loss.item()) < 1e-3
    assert boundary_matching_loss(**values).loss.item() > 0.5
