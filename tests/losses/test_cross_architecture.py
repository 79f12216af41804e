import math
from itertools import combinations
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unreel.losses.contrastive import PositiveForm
from unreel.losses.cross_architecture import Pair, cross_architecture_loss, pair_similarities

PAIRS: tuple[Pair, ...] = get_args(Pair)
NAMES = ("gq", "gk", "tq", "tk")
SUBSETS = [subset for size in range(1, 5) for subset in combinations(PAIRS, size)]


def draw(batch: int, keys: int, dim: int, seed: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    embeddings = {name: torch.randn(batch, dim, generator=generator) for name in NAMES}
    return embeddings, torch.randn(keys, dim, generator=generator)


def cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def derive(
    embeddings: dict[str, torch.Tensor],
    negatives: torch.Tensor,
    pairs: tuple[Pair, ...],
    temperature: float,
    form: PositiveForm,
) -> float:
    """Work out equations 2 to 4 video by video, in plain Python."""
    rows = {name: values.double().tolist() for name, values in embeddings.items()}
    keys = negatives.double().tolist()
    total = 0.0
    for i in range(len(rows["gq"])):
        positives = [math.exp(cosine(rows[pair[:2]][i], rows[pair[3:]][i]) / temperature) for pair in pairs]
        others = sum(math.exp(cosine(rows["gq"][i], key) / temperature) for key in keys)
        if form == "joint":
            total -= math.log(sum(positives) / (sum(positives) + others))
        else:
            total -= sum(math.log(p / (p + others)) for p in positives) / len(positives)
    return total / len(rows["gq"])


@settings(deadline=None, max_examples=60)
@given(
    batch=st.integers(1, 4),
    keys=st.integers(1, 7),
    dim=st.integers(1, 6),
    seed=st.integers(0, 10**6),
    pairs=st.sampled_from(SUBSETS),
    form=st.sampled_from(get_args(PositiveForm)),
    temperature=st.floats(0.05, 2.0),
)
def test_the_loss_is_equations_2_to_4(
    batch: int,
    keys: int,
    dim: int,
    seed: int,
    pairs: tuple[Pair, ...],
    form: PositiveForm,
    temperature: float,
) -> None:
    embeddings, negatives = draw(batch, keys, dim, seed)
    loss = cross_architecture_loss(embeddings, negatives, pairs, temperature=temperature, form=form)
    expected = derive(embeddings, negatives, pairs, temperature, form)
    assert loss.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(("form", "expected"), [("joint", 7.378384), ("per_pair", 8.764210)])
def test_the_loss_without_any_similarity_is_that_of_chance(form: PositiveForm, expected: float) -> None:
    """log(6404 / 4) and log(6401): four pairs of orthogonal embeddings and 6400 orthogonal negatives."""
    embeddings = {name: torch.eye(6)[[place]] for place, name in enumerate(NAMES)}
    negatives = torch.eye(6)[[4]].expand(6400, -1)
    loss = cross_architecture_loss(embeddings, negatives, PAIRS, temperature=0.07, form=form)
    assert loss.item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("form", get_args(PositiveForm))
def test_fewer_pairs_have_their_own_chance(count: int, form: PositiveForm) -> None:
    embeddings = {name: torch.eye(6)[[place]] for place, name in enumerate(NAMES)}
    negatives = torch.eye(6)[[4]].expand(50, -1)
    loss = cross_architecture_loss(embeddings, negatives, PAIRS[:count], temperature=0.07, form=form)
    expected = math.log((count + 50) / count) if form == "joint" else math.log(51)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_similarities_are_cosines_and_lengths_do_not_matter() -> None:
    embeddings, _ = draw(5, 1, 4, seed=0)
    stretched = {name: values * (place + 2) for place, (name, values) in enumerate(embeddings.items())}
    similarities = pair_similarities(stretched, PAIRS)
    assert list(similarities) == list(PAIRS)
    for pair, values in similarities.items():
        rows = zip(embeddings[pair[:2]].tolist(), embeddings[pair[3:]].tolist(), strict=True)
        assert values.tolist() == pytest.approx([cosine(a, b) for a, b in rows], abs=1e-5)


def test_negatives_give_the_transformer_no_gradient() -> None:
    """Negatives are compared with ``gq`` alone; they only scale a transformer's pull."""
    embeddings, negatives = draw(3, 5, 4, seed=1)
    for values in embeddings.values():
        values.requires_grad_(True)
    cross_architecture_loss(embeddings, negatives, ("gq_gk",), temperature=0.1).backward()
    assert embeddings["tq"].grad is None
    assert embeddings["gq"].grad is not None

    def gradient_of_tq(negatives: torch.Tensor) -> torch.Tensor:
        tq = embeddings["tq"].detach().requires_grad_(True)
        others = {name: values.detach() for name, values in embeddings.items()}
        loss = cross_architecture_loss(
            {**others, "tq": tq}, negatives, ("tq_tk",), temperature=0.1, form="per_pair"
        )
        loss.backward()
        assert tq.grad is not None
        return tq.grad

    # The direction in which tq moves is that of its positive: negatives only say how far.
    first, second = gradient_of_tq(negatives), gradient_of_tq(-negatives)
    torch.testing.assert_close(
        first / first.norm(dim=1, keepdim=True), second / second.norm(dim=1, keepdim=True)
    )


def test_an_excluded_key_counts_for_nothing() -> None:
    embeddings, negatives = draw(2, 6, 4, seed=2)
    excluded = torch.zeros(2, 6, dtype=torch.bool)
    excluded[:, 2:] = True
    loss = cross_architecture_loss(embeddings, negatives, PAIRS, temperature=0.1, excluded_BK=excluded)
    expected = cross_architecture_loss(embeddings, negatives[:2], PAIRS, temperature=0.1)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_loss_is_computed_in_float32_under_autocast() -> None:
    embeddings, negatives = draw(4, 6, 8, seed=3)
    expected = cross_architecture_loss(embeddings, negatives, PAIRS, temperature=0.07)
    with torch.autocast("cpu", torch.bfloat16):
        loss = cross_architecture_loss(embeddings, negatives, PAIRS, temperature=0.07)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, expected)


def test_a_temperature_of_zero_is_refused() -> None:
    embeddings, negatives = draw(2, 3, 4, seed=4)
    with pytest.raises(ValueError, match="temperature must be positive, got 0"):
        cross_architecture_loss(embeddings, negatives, PAIRS, temperature=0.0)
