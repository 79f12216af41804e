import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.losses.test_contrastive import cosine, draw_rows, scalar_info_nce
from unreel.losses.contrastive import info_nce
from unreel.losses.frames import concat_for_order, inter_frame_loss, intra_frame_loss

sizes = st.integers(1, 4)
seeds = st.integers(0, 2**32 - 1)


@given(sizes, sizes, st.integers(1, 6), st.integers(2, 5), st.floats(0.1, 2.0), seeds)
def test_the_inter_frame_loss_is_equation_2_word_by_word(
    batch: int, num_keys: int, num_negatives: int, dim: int, tau: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    query, negatives = draw_rows(rng, batch, dim), draw_rows(rng, num_negatives, dim)
    keys = draw_rows(rng, batch * num_keys, dim).view(batch, num_keys, dim)
    expected = 0.0
    for row in range(batch):
        for key in keys[row].tolist():
            expected += scalar_info_nce(query[row].tolist(), key, negatives.tolist(), tau) / num_keys / batch
    loss = inter_frame_loss(query, keys, negatives, temperature=tau)
    assert loss.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


@given(sizes, sizes, st.integers(2, 5), st.floats(0.1, 2.0), seeds)
def test_the_intra_frame_loss_is_equation_3_word_by_word(
    batch: int, num_others: int, dim: int, tau: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    query, key = draw_rows(rng, batch, dim), draw_rows(rng, batch, dim)
    others = draw_rows(rng, batch * num_others, dim).view(batch, num_others, dim)
    joint = official = 0.0
    for row in range(batch):
        pull = math.exp(cosine(query[row].tolist(), key[row].tolist()) / tau)
        pushes = [math.exp(cosine(query[row].tolist(), other) / tau) for other in others[row].tolist()]
        joint -= math.log(pull / (pull + sum(pushes))) / batch
        official -= sum(math.log(pull / (pull + push)) for push in pushes) / num_others / batch
    loss = intra_frame_loss(query, key, others, temperature=tau, form="joint")
    assert loss.item() == pytest.approx(joint, rel=1e-4, abs=1e-5)
    loss = intra_frame_loss(query, key, others, temperature=tau, form="official")
    assert loss.item() == pytest.approx(official, rel=1e-4, abs=1e-5)


def test_with_one_other_frame_both_forms_of_the_intra_frame_loss_are_the_same() -> None:
    rng = np.random.default_rng(0)
    query, key, other = (draw_rows(rng, 5, 4) for _ in range(3))
    forms: tuple[Any, ...] = ("joint", "official")
    one, two = (
        intra_frame_loss(query, key, other[:, None], temperature=0.1, form=form).item() for form in forms
    )
    assert one == pytest.approx(two, rel=1e-6)


@given(sizes, st.integers(1, 4), st.integers(2, 5), seeds)
def test_the_order_is_judged_from_embeddings_of_length_one(
    batch: int, frames: int, dim: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    query, key = (draw_rows(rng, batch * frames, dim).view(batch, frames, dim) for _ in range(2))
    joined = concat_for_order(query, key)
    over_frames = concat_for_order(query, key, norm="frames")
    assert joined.shape == over_frames.shape == (batch, 2 * frames * dim)
    for row in range(batch):
        expected, official = [], []
        for part in (query[row].tolist(), key[row].tolist()):
            for frame in part:
                length = math.sqrt(sum(value * value for value in frame))
                expected += [value / length for value in frame]
            lengths = [math.sqrt(sum(frame[channel] ** 2 for frame in part)) for channel in range(dim)]
            official += [frame[channel] / lengths[channel] for frame in part for channel in range(dim)]
        assert joined[row].tolist() == pytest.approx(expected, rel=1e-4, abs=1e-6)
        assert over_frames[row].tolist() == pytest.approx(official, rel=1e-4, abs=1e-6)


def test_one_query_frame_may_meet_two_key_frames() -> None:
    """SeCo's order: [3, 4] / 5, then [1, 0] and [0, -1]."""
    joined = concat_for_order(torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[2.0, 0.0], [0.0, -7.0]]]))
    assert joined.tolist() == [pytest.approx([0.6, 0.8, 1, 0, 0, -1])]


def test_equal_similarities_give_the_chance_values() -> None:
    same, keys = torch.ones(2, 4), torch.ones(2, 3, 4)
    # K = 131,072: log 131073 = 11.7835; two other frames: log 2 = 0.6931 and log 3 = 1.0986.
    inter = inter_frame_loss(same, keys, torch.ones(131_072, 4), temperature=0.1)
    assert inter.item() == pytest.approx(11.7835, abs=5e-5)
    assert intra_frame_loss(same, same, keys[:, :2], temperature=0.1).item() == pytest.approx(
        0.6931, abs=5e-5
    )
    joint = intra_frame_loss(same, same, keys[:, :2], temperature=0.1, form="joint")
    assert joint.item() == pytest.approx(1.0986, abs=5e-5)


def test_with_one_key_the_inter_frame_loss_is_info_nce_and_leaves_out_what_is_excluded() -> None:
    rng = np.random.default_rng(1)
    query, key, negatives = draw_rows(rng, 3, 5), draw_rows(rng, 3, 5), draw_rows(rng, 4, 5)
    excluded = torch.tensor([[True, False, False, True]] * 3)
    loss = inter_frame_loss(query, key[:, None], negatives, temperature=0.1, excluded_BK=excluded)
    expected = info_nce(query, key, negatives[1:3], temperature=0.1)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_order_gives_gradient_to_the_query_alone() -> None:
    query, key = torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 3, 4, requires_grad=True)
    (concat_for_order(query, key) * torch.randn(2, 24)).sum().backward()
    assert query.grad is not None
    assert query.grad.abs().sum() > 0
    assert key.grad is None


def test_the_losses_are_float32_even_under_autocast() -> None:
    rows, keys = torch.randn(4, 8), torch.randn(4, 2, 8)
    plain = (
        inter_frame_loss(rows, keys, rows, temperature=0.1),
        intra_frame_loss(rows, rows, keys, temperature=0.1),
        concat_for_order(keys, keys),
    )
    with torch.autocast("cpu", torch.bfloat16):
        half = (
            inter_frame_loss(rows, keys, rows, temperature=0.1),
            intra_frame_loss(rows, rows, keys, temperature=0.1),
            concat_for_order(keys, keys),
        )
    for left, right in zip(plain, half, strict=True):
        assert right.dtype == torch.float32
        assert torch.equal(left, right)


def test_a_temperature_of_zero_is_refused() -> None:
    rows, keys = torch.ones(2, 3), torch.ones(2, 1, 3)
    with pytest.raises(ValueError, match="temperature must be positive"):
        inter_frame_loss(rows, keys, rows, temperature=0.0)
    with pytest.raises(ValueError, match="temperature must be positive"):
        intra_frame_loss(rows, rows, keys, temperature=0.0)
