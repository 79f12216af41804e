import multiprocessing
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from tests.data.test_loader import build_batches, is_same, read, train
from unreel.data.catalog import Catalog
from unreel.data.clips import RandomClips
from unreel.data.loader import DataConfig, TrainingBatches, build_cache, select_videos
from unreel.data.prefetch import build_loader

__all__ = ["train"]  # the fixture


def test_workers_do_not_change_what_is_seen(train: Catalog) -> None:
    batches = build_batches(train)
    alone = [batches[number] for number in range(6)]
    workers = build_loader(batches, first=0, last=6, num_workers=2, is_pinned=False)
    assert all(is_same(a, b) for a, b in zip(alone, workers, strict=True))


def test_workers_may_start_in_any_way_the_system_has(train: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux forks them up to Python 3.13; macOS, Windows and later Pythons hand everything over by value."""
    batches = build_batches(train)
    monkeypatch.setattr(multiprocessing.context._default_context, "_actual_context", get_context("spawn"))
    (batch,) = build_loader(batches, first=1, last=2, num_workers=1, is_pinned=False)
    assert is_same(batch, read(batches, 1))


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_read_the_frames_in_memory_without_a_file(
    train: Catalog, start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DataConfig(height=12, width=16, cache="ram")
    expected = read(build_batches(train), 1)
    cache = build_cache(train, config)
    elsewhere = Catalog(train.table, tmp_path)  # where no file is
    assert cache is not None
    cache._places = {tmp_path / path.name: place for path, place in cache._places.items()}
    monkeypatch.setattr(multiprocessing.context._default_context, "_actual_context", get_context(start))
    batches = build_batches(elsewhere, cache=cache)
    (batch,) = build_loader(batches, first=1, last=2, num_workers=1, is_pinned=False)
    assert is_same(batch, expected)


def test_a_loader_that_starts_later_goes_on_with_the_same_batches(train: Catalog) -> None:
    batches = build_batches(train)
    late = list(build_loader(batches, first=3, last=5, num_workers=0, is_pinned=False))
    assert len(late) == 2
    assert is_same(late[0], batches[3])


def test_reading_draws_nothing_from_the_global_generator(corpus: Path) -> None:
    """A method's dropout would otherwise differ between a resumed run and the uninterrupted one."""
    catalog, _ = select_videos(DataConfig(catalog=corpus))
    batches = TrainingBatches(catalog, RandomClips(), DataConfig(height=8, width=8), seed=0, batch_size=4)
    before = torch.get_rng_state()
    next(iter(build_loader(batches, first=0, last=1, num_workers=0, is_pinned=False)))
    assert torch.equal(torch.get_rng_state(), before)
