import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from unreel.losses.contrastive import in_batch_info_nce, info_nce, info_nce_logits, normalize


def cosine(left: list[float], right: list[float]) -> float:
    dot = sum(a * b for a, b in zip(left, right, strict=True))
    return dot / (math.sqrt(sum(a * a for a in left)) * math.sqrt(sum(b * b for b in right)))


def scalar_info_nce(
    query: list[float], positive: list[float], negatives: list[list[float]], tau: float
) -> float:
    numerator = math.exp(cosine(query, positive) / tau)
    return -math.log(numerator / (numerator + sum(math.exp(cosine(query, n) / tau) for n in negatives)))


def draw_rows(rng: np.random.Generator, num_rows: int, dim: int) -> Tensor:
    return torch.from_numpy(rng.normal(size=(num_rows, dim))).float()


@given(
    st.integers(1, 5), st.integers(1, 7), st.integers(2, 6), st.floats(0.1, 2.0), st.integers(0, 2**32 - 1)
)
def test_info_nce_is_the_mean_of_the_scalar_formula(
    num_queries: int, num_negatives: int, dim: int, tau: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    query, positive = draw_rows(rng, num_queries, dim), draw_rows(rng, num_queries, dim)
    negatives = draw_rows(rng, num_negatives, dim)
    expected = sum(
        scalar_info_nce(q, p, negatives.tolist(), tau)
        for q, p in zip(query.tolist(), positive.tolist(), strict=True)
    )
    loss = info_nce(query, positive, negatives, temperature=tau)
    assert loss.item() == pytest.approx(expected / num_queries, rel=1e-4, abs=1e-5)


@given(st.integers(2, 5), st.integers(2, 6), st.floats(0.1, 2.0), st.integers(0, 2**32 - 1))
def test_in_batch_info_nce_takes_the_other_rows_as_negatives(
    batch: int, dim: int, tau: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    query, key = draw_rows(rng, batch, dim), draw_rows(rng, batch, dim)
    expected = 0.0
    for row in range(batch):
        others = [key[other].tolist() for other in range(batch) if other != row]
        expected += scalar_info_nce(query[row].tolist(), key[row].tolist(), others, tau) / batch
    loss = in_batch_info_nce(query, key, first_row=0, temperature=tau)
    assert loss.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_in_batch_info_nce_of_a_slice_contrasts_against_all_rows() -> None:
    rng = np.random.default_rng(0)
    query, key = draw_rows(rng, 6, 4), draw_rows(rng, 6, 4)
    whole = in_batch_info_nce(query, key, first_row=0, temperature=0.2)
    halves = [
        in_batch_info_nce(query[start : start + 3], key, first_row=start, temperature=0.2) for start in (0, 3)
    ]
    assert torch.stack(halves).mean().item() == pytest.approx(whole.item(), rel=1e-6)


def test_equal_similarities_give_the_chance_value() -> None:
    same = torch.ones(3, 8)
    # log(1 + K) with K = 6400: log 6401 = 8.764210
    assert info_nce(same, same, torch.ones(6400, 8), temperature=0.07).item() == pytest.approx(
        8.764210, abs=1e-5
    )
    # log(G) with G = 3: 1.098612
    assert in_batch_info_nce(same, same, first_row=0, temperature=0.07).item() == pytest.approx(1.098612)


def test_the_length_of_embeddings_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    query, positive, negatives = draw_rows(rng, 3, 5), draw_rows(rng, 3, 5), draw_rows(rng, 4, 5)
    plain = info_nce(query, positive, negatives, temperature=0.1)
    scaled = info_nce(query * 7, positive * 0.01, negatives * 300, temperature=0.1)
    assert scaled.item() == pytest.approx(plain.item(), rel=1e-5)


def test_excluded_negatives_count_for_nothing() -> None:
    rng = np.random.default_rng(2)
    query, positive, negatives = draw_rows(rng, 2, 5), draw_rows(rng, 2, 5), draw_rows(rng, 4, 5)
    excluded = torch.tensor([[True, False, False, True]] * 2)
    with_mask = info_nce(query, positive, negatives, temperature=0.1, excluded_BK=excluded)
    without = info_nce(query, positive, negatives[1:3], temperature=0.1)
    assert with_mask.item() == pytest.approx(without.item(), rel=1e-6)


def test_excluding_every_negative_leaves_no_loss_and_no_gradient() -> None:
    query = torch.randn(2, 5, requires_grad=True)
    loss = info_nce(
        query, torch.randn(2, 5), torch.randn(3, 5), temperature=0.1, excluded_BK=torch.ones(2, 3, dtype=bool)
    )
    loss.backward()
    assert loss.item() == 0.0
    assert query.grad is not None
    assert torch.equal(query.grad, torch.zeros(2, 5))


def test_a_closer_positive_lowers_the_loss() -> None:
    rng = np.random.default_rng(3)
    query, negatives = draw_rows(rng, 1, 5), draw_rows(rng, 4, 5)
    far = draw_rows(rng, 1, 5)
    near = query + 0.1 * far
    assert info_nce(query, near, negatives, temperature=0.1) < info_nce(
        query, far, negatives, temperature=0.1
    )


def test_logits_are_float32_even_under_autocast() -> None:
    query = torch.randn(2, 5)
    with torch.autocast("cpu", torch.bfloat16):
        logits = info_nce_logits(query, query, query, temperature=0.1)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, info_nce_logits(query, query, query, temperature=0.1))


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_not_positive_is_refused(temperature: float) -> None:
    rows = torch.ones(2, 3)
    with pytest.raises(ValueError, match="temperature must be positive"):
        info_nce(rows, rows, rows, temperature=temperature)
    with pytest.raises(ValueError, match="temperature must be positive"):
        in_batch_info_nce(rows, rows, first_row=0, temperature=temperature)


def test_a_zero_vector_stays_zero() -> None:
    assert torch.equal(normalize(torch.zeros(1, 4)), torch.zeros(1, 4))
