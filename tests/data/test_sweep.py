import dataclasses
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from unreel.data.batch import VideoBatch
from unreel.data.catalog import Catalog
from unreel.data.clips import RandomClips
from unreel.data.loader import DataConfig, TrainingBatches
from unreel.data.sweep import sweep_batches
from unreel.data.targeted_clips import TargetedClips
from unreel.errors import CatalogError

CLIPS = RandomClips(count=1, num_frames=4, frame_stride=2)
CONFIG = DataConfig(height=12, width=16)


def sweep(catalog: Catalog, **changes: int) -> list[VideoBatch]:
    settings = {"seed": 0, "batch_size": 5, "num_workers": 0, **changes}
    return list(sweep_batches(catalog, CLIPS, CONFIG, **settings))


def rows_of(batches: list[VideoBatch]) -> list[int]:
    return [row for batch in batches for row in batch.video_index_B.tolist()]


def joined(batches: list[VideoBatch], name: str) -> torch.Tensor:
    return torch.cat([getattr(batch, name) for batch in batches])


@pytest.fixture
def catalog(corpus: Path) -> Catalog:
    return Catalog.load(corpus)


def damage(corpus: Path, folder: Path, *numbers: int) -> Catalog:
    """Copy the corpus and overwrite some of its videos with noise, after the scan."""
    shutil.copytree(corpus.parent, folder)
    for number in numbers:
        (folder / f"{number:02d}.mp4").write_bytes(np.random.default_rng(0).bytes(2000))
    return Catalog.load(folder / "catalog.parquet", root=folder)


def failures_of(batches: list[VideoBatch]) -> list[list[str]]:
    return [[Path(item.path).stem for item in batch.rejections] for batch in batches]


def test_every_video_comes_once_and_in_order_and_the_last_batch_is_smaller(catalog: Catalog) -> None:
    batches = sweep(catalog)
    assert [len(batch) for batch in batches] == [5, 5, 2]
    assert rows_of(batches) == list(range(12))
    assert batches[0].frames_BNTHWC.shape == (5, 1, 4, 12, 16, 3)


def test_every_round_sees_all_videos_with_draws_of_its_own(catalog: Catalog) -> None:
    once, twice = sweep(catalog), sweep(catalog, num_rounds=2)
    assert rows_of(twice) == 2 * list(range(12))
    first, second = twice[:3], twice[3:]
    for name in ("frames_BNTHWC", "keys_B", "frame_index_BNT"):
        assert torch.equal(joined(first, name), joined(once, name))
    assert set(joined(first, "keys_B").tolist()).isdisjoint(joined(second, "keys_B").tolist())
    assert joined(first, "frame_index_BNT").tolist() != joined(second, "frame_index_BNT").tolist()


@pytest.mark.parametrize("changes", [{"num_workers": 2}, {"batch_size": 1}, {"batch_size": 100}])
def test_neither_workers_nor_the_size_of_a_batch_change_what_is_seen(
    catalog: Catalog, changes: dict[str, int]
) -> None:
    batches, others = sweep(catalog, num_rounds=2, batch_size=3), sweep(catalog, num_rounds=2, **changes)
    for name in ("frames_BNTHWC", "video_index_B", "keys_B", "frame_index_BNT"):
        assert torch.equal(joined(batches, name), joined(others, name))


def test_the_draws_are_those_of_training_with_the_round_as_epoch(catalog: Catalog) -> None:
    seen = sweep(catalog, num_rounds=2, batch_size=12, seed=3)
    training = TrainingBatches(catalog, CLIPS, CONFIG, seed=3, batch_size=12)
    for round_ in (0, 1):
        batch = training[round_]
        assert isinstance(batch, VideoBatch)
        order = torch.argsort(batch.video_index_B)
        assert torch.equal(batch.keys_B[order], seen[round_].keys_B)
        assert torch.equal(batch.frames_BNTHWC[order], seen[round_].frames_BNTHWC)


def test_another_seed_gives_other_draws(catalog: Catalog) -> None:
    keys = [set(joined(sweep(catalog, seed=seed), "keys_B").tolist()) for seed in (0, 1)]
    assert keys[0].isdisjoint(keys[1])


def test_a_video_that_fails_is_named_once_a_round_and_never_replaced(corpus: Path, tmp_path: Path) -> None:
    batches = sweep(damage(corpus, tmp_path / "a", 1, 5), num_rounds=2)
    kept = [row for row in range(12) if row not in (1, 5)]
    assert rows_of(batches) == 2 * kept
    assert failures_of(batches) == 2 * [["01"], ["05"], []]


# Batches of two: 0 1 | 2 3 | 4 5 | 6 7 | 8 9 | 10 11.
@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        ((0, 1), [["00", "01"], [], [], [], []]),  # at the start: told with the batch behind
        ((4, 5), [[], ["04", "05"], [], [], []]),
        ((8, 9, 10, 11), [[], [], [], ["08", "09", "10", "11"]]),
        ((0, 1, 2, 3, 5), [["00", "01", "02", "03", "05"], [], [], []]),
    ],
)
def test_the_videos_of_a_batch_without_a_readable_one_are_still_named(
    corpus: Path, tmp_path: Path, broken: tuple[int, ...], expected: list[list[str]]
) -> None:
    batches = sweep(damage(corpus, tmp_path / "a", *broken), batch_size=2)
    assert rows_of(batches) == [row for row in range(12) if row not in broken]
    assert [sorted(names) for names in failures_of(batches)] == expected


def test_failures_are_counted_alike_with_workers(corpus: Path, tmp_path: Path) -> None:
    catalog = damage(corpus, tmp_path / "a", 0, 1, 7)
    alone, helped = (sweep(catalog, batch_size=2, num_rounds=2, num_workers=workers) for workers in (0, 2))
    assert failures_of(alone) == failures_of(helped)
    assert Counter(name for names in failures_of(alone) for name in names) == {"00": 2, "01": 2, "07": 2}


def test_a_catalog_without_a_readable_video_is_refused_with_the_first(corpus: Path, tmp_path: Path) -> None:
    catalog = damage(corpus, tmp_path / "a", 2, 6).take(np.array([2, 6]))
    with pytest.raises(CatalogError, match=r"none of the 2 videos can be read; the first: .*02.mp4: .*Scan"):
        sweep(catalog, num_rounds=3)


def test_an_empty_catalog_is_refused(catalog: Catalog) -> None:
    with pytest.raises(CatalogError, match="holds no video"):
        sweep(catalog.take(np.array([], dtype=np.int64)))


@pytest.mark.parametrize(("name", "value"), [("batch_size", 0), ("num_rounds", 0), ("num_workers", -2)])
def test_a_number_out_of_range_is_refused_at_once(catalog: Catalog, name: str, value: int) -> None:
    settings = {"seed": 0, "batch_size": 2, name: value}
    with pytest.raises(ValueError, match=rf"{name} must be at least -?\d, got {value}"):
        sweep_batches(catalog, CLIPS, CONFIG, **settings)


def test_clips_by_motion_find_it_beside_the_catalog_in_any_number_of_workers(catalog: Catalog) -> None:
    clips = TargetedClips(num_frames=2, frame_stride=3, jitter=False)
    here, apart = (
        list(sweep_batches(catalog, clips, CONFIG, seed=0, batch_size=5, num_workers=workers))
        for workers in (0, 2)
    )
    assert torch.equal(joined(here, "frame_index_BNT"), joined(apart, "frame_index_BNT"))
    # The corpus has 0.8 s, one window, so clip A lies in the middle of 20 frames.
    assert joined(here, "frame_index_BNT")[:, 0].tolist() == [[8, 11]] * len(catalog)
    config = dataclasses.replace(CONFIG, motion=Path("nowhere.parquet"))
    with pytest.raises(CatalogError, match=r"nowhere.parquet: there is no table of motion"):
        sweep_batches(catalog, clips, config, seed=0, batch_size=5)
