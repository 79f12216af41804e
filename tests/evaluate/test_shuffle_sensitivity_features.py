import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.features.tiny import SPEC, build_encoder
from unreel.data.catalog import Catalog
from unreel.data.decode import ClipDecoder
from unreel.errors import FeaturesError
from unreel.evaluate.shuffle_sensitivity_features import (
    ClipShuffleConfig,
    ShuffledFeatures,
    embed_shuffled,
)
from unreel.features.encoder import Encoder
from unreel.features.encoder_files import EncoderConfig
from unreel.features.extract import extract_features
from unreel.features.reading import ReadConfig
from unreel.features.table import FeatureTable

READ = ReadConfig(clips_per_video=2, batch_size=8, num_workers=0)


@pytest.fixture(scope="module")
def catalog(corpus: Path) -> Catalog:
    return Catalog.load(corpus)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return build_encoder()


def embed(encoder: Encoder, catalog: Catalog, **changes: object) -> ShuffledFeatures:
    settings = {"shuffle": ClipShuffleConfig(), "read": READ, "max_rejected_fraction": 0.05} | changes
    is_query = [split == "test" for split in catalog.splits]
    return embed_shuffled(encoder, catalog, is_query, **settings)  # type: ignore[arg-type]


@given(
    st.sampled_from([(4, 1), (4, 2), (16, 1), (16, 2), (6, 3)]),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(0, 99),
)
def test_orders_are_permutations_of_whole_groups_and_never_that_of_time(
    sizes: tuple[int, int], num_clips: int, num_shuffles: int, seed: int
) -> None:
    num_frames, size = sizes
    config = ClipShuffleConfig("groups", size, num_shuffles, seed)
    orders = config.draw_orders("a", num_clips, num_frames)
    assert orders.shape == (num_shuffles, num_clips, num_frames)
    for order in orders.reshape(-1, num_frames).tolist():
        assert sorted(order) == list(range(num_frames))
        assert order != list(range(num_frames))
        for place in range(0, num_frames, size):
            assert order[place] % size == 0
            assert order[place : place + size] == list(range(order[place], order[place] + size))


def test_every_order_but_that_of_time_is_as_likely() -> None:
    """Three groups have five other orders; 5000 draws give each 1000, with a deviation of 28."""
    drawn = ClipShuffleConfig("groups", 2, 5).draw_orders("a", 1000, 6).reshape(-1, 6)
    counts = Counter(map(tuple, drawn.tolist()))
    assert len(counts) == 5
    assert all(abs(count - 1000) < 5 * 28.3 for count in counts.values())


def test_orders_depend_on_seed_video_and_shuffle_and_on_nothing_else() -> None:
    three = ClipShuffleConfig(num_shuffles=3).draw_orders("a", 2, 16)
    np.testing.assert_array_equal(three[:1], ClipShuffleConfig(num_shuffles=1).draw_orders("a", 2, 16))
    assert (three[0] != three[1]).any()
    assert (three[:, 0] != three[:, 1]).any()
    assert (three != ClipShuffleConfig(num_shuffles=3).draw_orders("b", 2, 16)).any()
    assert (three != ClipShuffleConfig(num_shuffles=3, seed=1).draw_orders("a", 2, 16)).any()


def test_frames_are_permuted_whatever_the_size_of_groups() -> None:
    """Of 64 random orders of eight frames, some separate the first two."""
    orders = ClipShuffleConfig("frames", group_size=2).draw_orders("a", 64, 8).reshape(-1, 8)
    places = np.argsort(orders, axis=1)
    assert (places[:, 1] - places[:, 0] != 1).any()


def test_shuffled_vectors_are_those_of_the_permuted_clips(encoder: Encoder, catalog: Catalog) -> None:
    features = embed(encoder, catalog, shuffle=ClipShuffleConfig("groups", 2, 2, seed=3))
    decoder = ClipDecoder(SPEC.frame_size)
    for number, video in enumerate(catalog.select("test")):
        plan = SPEC.build_sampling(2).sample(video.frames, np.random.default_rng()).frames_NT
        clips = decoder.decode(video.path, video.index, plan)
        orders = ClipShuffleConfig("groups", 2, 2, seed=3).draw_orders(video.id, 2, 4)
        for shuffle in range(2):
            moved = np.stack([clip[order] for clip, order in zip(clips, orders[shuffle], strict=True)])
            expected = encoder.embed_clips(torch.from_numpy(moved))["average"][:, 0]
            found = features.shuffled[shuffle].vectors[2 * number : 2 * number + 2]
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_clips_as_they_are_have_the_vectors_of_an_extraction(
    encoder: Encoder, catalog: Catalog, tmp_path: Path
) -> None:
    extract_features(encoder, catalog, tmp_path / "f.parquet", read=READ)
    table = FeatureTable.load(tmp_path / "f.parquet")
    features = embed(encoder, catalog)
    np.testing.assert_array_equal(features.normal.vectors, table.vectors)
    np.testing.assert_array_equal(features.queries.vectors, table.select("test").vectors)
    for shuffled in features.shuffled:
        assert shuffled.to_arrow().drop_columns("vector") == features.queries.to_arrow().drop_columns(
            "vector"
        )
    assert features.normal.info == replace(table.info, split="")


def test_clips_that_show_a_frame_twice_are_counted(encoder: Encoder, catalog: Catalog) -> None:
    assert embed(encoder, catalog).repeating_clips == 0
    spec = replace(SPEC, num_frames=24)
    longer = Encoder(encoder.backbone, EncoderConfig(encoder.config.backbone, spec))
    # A video has 20 frames: no clip of 24 shows each of its frames once.
    assert embed(longer, catalog).repeating_clips == 6


def test_videos_that_fail_are_named_or_stop_it(
    encoder: Encoder, catalog: Catalog, corpus: Path, tmp_path: Path
) -> None:
    shutil.copytree(corpus.parent, tmp_path / "copy")
    (tmp_path / "copy" / "03.mp4").unlink()
    moved = Catalog.load(corpus, root=tmp_path / "copy")
    with pytest.raises(FeaturesError, match="1 of 12 videos cannot be used"):
        embed(encoder, moved)
    features = embed(encoder, moved, max_rejected_fraction=0.1)
    assert [Path(item.path).name for item in features.rejected] == ["03.mp4"]
    assert len(features.queries) == len(features.shuffled[0]) == 4
    sound = embed(encoder, catalog)
    np.testing.assert_array_equal(features.shuffled[1].vectors, sound.shuffled[1].vectors[2:])
    for name in ("07.mp4", "11.mp4"):
        (tmp_path / "copy" / name).unlink()
    with pytest.raises(FeaturesError, match="not one of the videos that are to be tested"):
        embed(encoder, moved, max_rejected_fraction=0.5)


@pytest.mark.parametrize(
    ("config", "num_frames", "message"),
    [
        ({}, 1, "looks at single frames, which have no order"),
        ({"level": "groups"}, 1, "looks at single frames"),
        ({"level": "groups", "group_size": 3}, 16, "must cut the 16 frames of a clip"),
        ({"level": "groups", "group_size": 16}, 16, "two or more groups, not 16"),
    ],
)
def test_clips_that_have_nothing_to_shuffle_are_refused(
    config: dict[str, object], num_frames: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ClipShuffleConfig(**config).draw_orders("a", 1, num_frames)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["group_size", "num_shuffles"])
def test_numbers_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        ClipShuffleConfig(**{name: 0})
