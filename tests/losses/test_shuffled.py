import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.losses.test_contrastive import scalar_info_nce
from unreel.losses.shuffled import order_accuracy, shuffled_info_nce, shuffled_logits


def draw(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.normal(size=shape)).float()


@given(
    st.integers(1, 4), st.integers(1, 12), st.integers(2, 6), st.floats(0.1, 2.0), st.integers(0, 2**32 - 1)
)
def test_every_clip_is_contrasted_with_its_own_shuffles(
    batch: int, num_negatives: int, dim: int, tau: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    anchor, positive = draw(rng, batch, dim), draw(rng, batch, dim)
    negatives = draw(rng, batch, num_negatives, dim)
    rows = zip(anchor.tolist(), positive.tolist(), negatives.tolist(), strict=True)
    expected = sum(scalar_info_nce(a, p, n, tau) for a, p, n in rows) / batch
    loss = shuffled_info_nce(shuffled_logits(anchor, positive, negatives, temperature=tau))
    assert loss.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_chance_is_log_13_with_twelve_shuffles() -> None:
    same = torch.ones(3, 4)
    logits = shuffled_logits(same, same, same[:, None].expand(3, 12, 4), temperature=0.1)
    assert shuffled_info_nce(logits).item() == pytest.approx(2.5649, abs=1e-4)  # log 13
    assert order_accuracy(logits).item() == 0.0


def test_a_worked_value() -> None:
    # Cosines 1 with the positive and 0 with both negatives: log(e + 2) - 1 at temperature 1.
    one, two, three = torch.eye(3)
    logits = shuffled_logits(
        2 * one[None], 5 * one[None], torch.stack([two, 7 * three])[None], temperature=1.0
    )
    assert logits.tolist() == [[1.0, 0.0, 0.0]]
    assert shuffled_info_nce(logits).item() == pytest.approx(math.log(math.e + 2) - 1, rel=1e-6)
    assert order_accuracy(logits).item() == 1.0


def test_the_order_of_the_shuffles_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    anchor, positive, negatives = draw(rng, 2, 5), draw(rng, 2, 5), draw(rng, 2, 6, 5)
    losses = [
        shuffled_info_nce(shuffled_logits(anchor, positive, negatives[:, order], temperature=0.1))
        for order in ([0, 1, 2, 3, 4, 5], [5, 2, 0, 1, 4, 3])
    ]
    torch.testing.assert_close(losses[0], losses[1])


def test_clips_count_as_right_where_no_shuffle_is_nearer() -> None:
    logits = torch.tensor([[2.0, 1.0, 1.9], [2.0, 1.0, 2.1], [2.0, 2.0, 1.0], [0.1, 0.0, -1.0]])
    assert order_accuracy(logits).item() == 0.5


def test_similarities_are_computed_in_float32_under_autocast() -> None:
    rng = np.random.default_rng(1)
    rows = [draw(rng, 2, 5), draw(rng, 2, 5), draw(rng, 2, 3, 5)]
    expected = shuffled_logits(*rows, temperature=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        logits = shuffled_logits(*rows, temperature=0.1)
        loss = shuffled_info_nce(logits)
    assert loss.dtype == torch.float32
    assert torch.equal(logits, expected)


def test_a_temperature_that_is_not_positive_is_refused() -> None:
    rows = torch.ones(1, 2)
    with pytest.raises(ValueError, match=r"temperature must be positive, got 0\.0"):
        shuffled_logits(rows, rows, rows[:, None], temperature=0.0)
