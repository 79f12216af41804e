import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from unreel.losses.dense_nce import dense_nce

sizes = st.integers(1, 3)


def draw(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.normal(size=shape)).float()


def dot(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


@given(sizes, sizes, sizes, sizes, st.integers(1, 4), st.integers(0, 2), st.integers(0, 2**32 - 1))
def test_every_prediction_is_told_from_all_targets_word_by_word(
    videos: int, steps: int, places: int, more: int, dim: int, first_row: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    predicted = draw(rng, videos, steps, places, dim)
    targets = draw(rng, videos + first_row + more, steps, places, dim)
    terms = dense_nce(predicted, targets, first_row=first_row)
    losses, hits = [], []
    for video, step, place in itertools.product(range(videos), range(steps), range(places)):
        scores = {
            (other, *where): dot(predicted[video, step, place].tolist(), targets[other][where].tolist())
            for other in range(len(targets))
            for where in itertools.product(range(steps), range(places))
        }
        own = (first_row + video, step, place)
        losses.append(math.log(sum(math.exp(score) for score in scores.values())) - scores[own])
        best = max(scores, key=lambda where: scores[where])
        hits.append([best == own, *(a == b for a, b in zip(best, own, strict=True))])
    assert terms.loss.item() == pytest.approx(sum(losses) / len(losses), rel=1e-4, abs=1e-5)
    found = [terms.accuracy, terms.right_video, terms.right_step, terms.right_place]
    assert [share.item() for share in found] == pytest.approx(np.mean(hits, axis=0).tolist())


def test_equal_similarities_give_the_chance_value() -> None:
    # 4 videos, 3 steps, 16 places: log 192 = 5.2575. With UCF101's 128 videos: log 6144 = 8.7232.
    predicted = torch.randn(4, 3, 16, 8)
    assert dense_nce(predicted, torch.ones(4, 3, 16, 8)).loss.item() == pytest.approx(5.2575, abs=5e-5)
    loss = dense_nce(torch.randn(128, 3, 16, 2), torch.zeros(128, 3, 16, 2)).loss
    assert loss.item() == pytest.approx(8.7232, abs=5e-5)


def test_a_worked_value() -> None:
    """One video, one step, two places. Dots: first 2 and 0, second 0 and 6; own ones are 2 and 6."""
    predicted = torch.tensor([[[[2.0, 0.0], [0.0, 2.0]]]])
    targets = torch.tensor([[[[1.0, 0.0], [0.0, 3.0]]]])
    terms = dense_nce(predicted, targets)
    expected = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-6))) / 2
    assert terms.loss.item() == pytest.approx(expected, rel=1e-6)
    assert terms.accuracy.item() == 1.0


def test_each_kind_of_mistake_is_counted_by_itself() -> None:
    """2 videos, 3 steps, 4 places with orthogonal targets; every prediction points at a neighbour."""
    targets = torch.eye(24).view(2, 3, 4, 24)
    for axis, name in enumerate(("right_video", "right_step", "right_place")):
        terms = dense_nce(targets.roll(1, dims=axis), targets)
        assert terms.accuracy.item() == 0.0
        for other in ("right_video", "right_step", "right_place"):
            assert getattr(terms, other).item() == float(other != name)
    right = dense_nce(targets, targets)
    assert (right.accuracy, right.right_video, right.right_step, right.right_place) == (1, 1, 1, 1)


def test_length_counts_as_vectors_are_not_normalised() -> None:
    rng = np.random.default_rng(0)
    predicted, targets = draw(rng, 2, 2, 3, 4), draw(rng, 2, 2, 3, 4)
    assert dense_nce(10 * predicted, targets).loss > dense_nce(predicted, targets).loss
    perfect = torch.eye(12).view(2, 2, 3, 12)
    assert dense_nce(10 * perfect, perfect).loss < dense_nce(perfect, perfect).loss


def test_predictions_and_targets_receive_gradient_and_the_shares_none() -> None:
    rng = np.random.default_rng(0)
    predicted, targets = draw(rng, 2, 2, 3, 4).requires_grad_(), draw(rng, 3, 2, 3, 4).requires_grad_()
    terms = dense_nce(predicted, targets)
    terms.loss.backward()
    for rows in (predicted, targets):
        assert rows.grad is not None
        assert (rows.grad.abs().sum(dim=3) > 0).all()  # the third video's too: it is a negative
    shares = (terms.accuracy, terms.right_video, terms.right_step, terms.right_place)
    assert not any(share.requires_grad for share in shares)


def test_parts_of_a_batch_average_to_the_whole() -> None:
    """Two processes, each with the targets of both, have the loss of one that has all videos."""
    rng = np.random.default_rng(0)
    predicted, targets = draw(rng, 4, 2, 3, 4), draw(rng, 4, 2, 3, 4)
    parts = [dense_nce(predicted[first : first + 2], targets, first_row=first) for first in (0, 2)]
    whole = dense_nce(predicted, targets)
    assert sum(part.loss.item() for part in parts) / 2 == pytest.approx(whole.loss.item(), rel=1e-6)
    assert sum(part.accuracy.item() for part in parts) / 2 == pytest.approx(whole.accuracy.item())


def test_the_loss_is_float32_even_under_autocast() -> None:
    predicted, targets = torch.randn(2, 2, 3, 4), torch.randn(2, 2, 3, 4)
    plain = dense_nce(predicted, targets).loss
    with torch.autocast("cpu", torch.bfloat16):
        half = dense_nce(predicted, targets).loss
    assert half.dtype == torch.float32
    assert torch.equal(plain, half)
    assert dense_nce(predicted.bfloat16(), targets.bfloat16()).loss.dtype == torch.float32
