import copy
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluate.tiny_cacl import NUM_FRAMES, build_cacl
from tests.methods.batches import make_batch
from unreel.data.batch import VideoBatch
from unreel.data.catalog import Catalog
from unreel.data.loader import DataConfig
from unreel.data.sweep import sweep_batches
from unreel.errors import FeaturesError, TrainingError
from unreel.evaluate.pair_similarity import PAIRS, evaluate_similarity, mean_of_others


def make_batches(count: int = 2) -> list[VideoBatch]:
    return [make_batch(3, frames=NUM_FRAMES, first_video=3 * number, seed=number) for number in range(count)]


def cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def test_the_means_are_those_of_a_plain_loop_over_clips() -> None:
    method, batches = build_cacl(), make_batches()
    result = evaluate_similarity(method, batches)
    embeddings: dict[str, list[list[float]]] = {}
    for batch in batches:
        for name, rows in method.embed(method.make_views(batch)).items():
            embeddings.setdefault(name, []).extend(rows.tolist())
    assert list(result.pairs) == ["gq_gk", "gq_tq", "gq_tk", "tq_tk"]
    for pair, measured in result.pairs.items():
        left, right = embeddings[pair[:2]], embeddings[pair[3:]]
        own = [cosine(a, b) for a, b in zip(left, right, strict=True)]
        mean = sum(own) / 6
        others = [cosine(left[i], right[j]) for i in range(6) for j in range(6) if i != j]
        assert measured.mean == pytest.approx(mean, abs=1e-6)
        assert measured.deviation == pytest.approx(math.sqrt(sum((x - mean) ** 2 for x in own) / 6), abs=1e-6)
        assert measured.others == pytest.approx(sum(others) / 30, abs=1e-6)
    assert (result.videos, result.clips, result.rejected) == (6, 6, [])


@given(st.integers(0, 100_000), st.integers(1, 8), st.integers(1, 4))
def test_the_mean_over_other_videos_is_that_of_a_plain_loop(
    seed: int, num_clips: int, num_videos: int
) -> None:
    rng = np.random.default_rng(seed)
    left, right = rng.normal(size=(2, num_clips, 3))
    owners = rng.integers(0, num_videos, size=num_clips) * 7
    dots = [
        sum(x * y for x, y in zip(left[i], right[j], strict=True))
        for i in range(num_clips)
        for j in range(num_clips)
        if owners[i] != owners[j]
    ]
    expected = pytest.approx(sum(dots) / len(dots)) if dots else None
    assert mean_of_others(left, right, owners) == expected


@pytest.mark.parametrize(
    ("pairs", "measured"),
    [
        (("gq_gk",), ["gq_gk"]),
        (("gq_gk", "gq_tq"), ["gq_gk", "gq_tq", "gq_tk", "tq_tk"]),
        (("gq_gk", "gq_tk"), ["gq_gk", "gq_tk"]),  # without Tq in a pair there is none
    ],
)
def test_pairs_that_the_networks_can_form_are_measured_and_the_trained_ones_marked(
    pairs: tuple[str, ...], measured: list[str]
) -> None:
    result = evaluate_similarity(build_cacl(pairs=pairs), make_batches(1))
    assert list(result.pairs) == measured
    assert [pair for pair, value in result.pairs.items() if value.is_trained] == list(pairs)


def test_equal_networks_and_equal_views_have_cosine_one() -> None:
    """Without chance in the views, an untrained momentum encoder sees and says what the online one does."""
    from unreel.augment.compose import ClipAugmentation

    still = ClipAugmentation(
        crop="center", size_px=16, flip_prob=0, jitter_prob=0, grayscale_prob=0, blur_prob=0
    )
    result = evaluate_similarity(build_cacl(augmentation=still), make_batches())
    for pair in ("gq_gk", "tq_tk"):
        assert result.pairs[pair].mean == pytest.approx(1, abs=1e-6)
        assert result.pairs[pair].deviation == pytest.approx(0, abs=1e-6)
    assert abs(result.pairs["gq_tq"].mean) < 0.999
    assert result.pairs["gq_tq"].mean == pytest.approx(result.pairs["gq_tk"].mean, abs=1e-6)


def test_nothing_in_the_method_changes_to_the_bit_and_no_chance_is_used_up() -> None:
    method = build_cacl()
    before = copy.deepcopy(method.state_dict())
    generator_before = torch.random.get_rng_state()
    first = evaluate_similarity(method, make_batches())
    after = method.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(torch.random.get_rng_state(), generator_before)
    # The next step of a training stores no key of what was measured.
    method.after_step(0.5)
    assert torch.equal(method.queue.keys_KD, before["queue.keys_KD"])
    assert evaluate_similarity(method, make_batches()).pairs == first.pairs


def test_the_size_of_a_batch_does_not_matter_and_the_draw_of_a_video_is_fixed(corpus: Path) -> None:
    catalog, method = Catalog.load(corpus), build_cacl()
    config = DataConfig(height=18, width=24)
    results = [
        evaluate_similarity(
            method,
            sweep_batches(catalog, method.config.clips, config, seed=0, batch_size=size, num_workers=0),
        )
        for size in (5, 12)
    ]
    assert (results[0].videos, results[0].clips) == (12, 12)
    for pair in PAIRS:
        assert results[0].pairs[pair].mean == pytest.approx(results[1].pairs[pair].mean, abs=1e-5)


def test_rounds_are_clips_of_the_same_videos_not_other_videos() -> None:
    once = [make_batch(1, frames=NUM_FRAMES, seed=number) for number in range(3)]
    result = evaluate_similarity(build_cacl(), once)
    assert (result.videos, result.clips) == (1, 3)
    assert result.pairs["gq_gk"].others is None


def test_the_result_is_json_with_settings_and_counts() -> None:
    method = build_cacl()
    result = evaluate_similarity(method, make_batches(), settings={"seed": 5, "split": "test"})
    values = json.loads(json.dumps(result.to_json()))
    assert values["protocol"] == "similarity"
    assert (values["settings"]["seed"], values["settings"]["split"]) == (5, "test")
    assert values["settings"]["method"]["pairs"] == list(method.config.pairs)
    assert values["settings"]["method"]["augmentation"]["size_px"] == 16
    assert (values["videos"], values["clips"], values["rejected"]) == (6, 6, [])
    assert set(values["pairs"]["gq_gk"]) == {"mean", "deviation", "others", "is_trained"}


def test_a_run_without_pairs_is_refused_with_the_remedy() -> None:
    for changes in ({"pairs": ()}, {"contrast_weight": 0.0}):
        with pytest.raises(ValueError, match=r"contrasts nothing .*; give a run with pairs"):
            evaluate_similarity(build_cacl(**changes), make_batches())


def test_a_diverged_run_and_an_empty_one_are_refused() -> None:
    method = build_cacl()
    with pytest.raises(FeaturesError, match="no clip to measure"):
        evaluate_similarity(method, [])
    with torch.no_grad():
        method.cnn.head.get_parameter(next(iter(dict(method.cnn.head.named_parameters())))).fill_(math.nan)
    with pytest.raises(TrainingError, match="NaN"):
        evaluate_similarity(method, make_batches())


@pytest.mark.parametrize("fraction", [-1.0, 2.0])
def test_a_limit_that_is_no_share_is_refused_before_anything_is_read(fraction: float) -> None:
    def read() -> Iterator[VideoBatch]:
        raise AssertionError("a batch was read")
        yield

    with pytest.raises(ValueError, match="max_rejected_fraction must be between 0 and 1"):
        evaluate_similarity(build_cacl(), read(), max_rejected_fraction=fraction)
