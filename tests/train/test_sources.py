from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.train.runs import build_recipe
from unreel.data.catalog import Catalog
from unreel.data.loader import TrainingBatches
from unreel.distributed import Rank
from unreel.progress import ignore_progress
from unreel.train.recipe import Recipe
from unreel.train.sources import Source, hash_settings, open_videos, processes_here

CPU = torch.device("cpu")


def open_corpus(corpus: Path, **data: object) -> Source:
    recipe = build_recipe(corpus)
    return open_videos(replace(recipe, data=replace(recipe.data, **data)), Rank())


def test_a_recipe_opens_its_split_and_says_what_it_leaves_out(corpus: Path) -> None:
    source = open_corpus(corpus)
    assert source.catalog.hash == Catalog.load(corpus).select("train").hash
    assert source.left_out == []
    assert len(open_corpus(corpus, split="test").catalog) == 3


def test_nothing_is_decoded_before_the_batches_are_opened(corpus: Path) -> None:
    told: list[tuple[int, int]] = []
    source = open_corpus(corpus, cache="ram")
    batches = source.open(lambda done, total, note: told.append((done, total)), CPU)
    assert isinstance(batches, TrainingBatches)
    assert told[-1] == (9, 9)
    assert batches.batches_per_epoch == 2


def test_frames_live_on_the_device_that_trains(corpus: Path) -> None:
    batches = open_corpus(corpus, cache="device").open(ignore_progress, torch.device("meta"))
    assert batches[0].frames_BNTHWC.device.type == "meta"


def test_the_identity_follows_the_videos_and_what_is_done_with_them(corpus: Path) -> None:
    plain = open_corpus(corpus).identity
    assert open_corpus(corpus, num_workers=1, cache="ram", max_rejected_fraction=0.5).identity == plain
    assert open_corpus(corpus, cache="device", cache_limit_mb=7).identity == plain
    assert open_corpus(corpus, split="").identity != plain
    assert open_corpus(corpus, height=20).identity != plain


def test_processes_read_their_own_share(corpus: Path) -> None:
    recipe = build_recipe(corpus)
    shares = [open_videos(recipe, Rank(rank, 2, rank)).open(ignore_progress, CPU)[0] for rank in (0, 1)]
    whole = open_videos(recipe, Rank()).open(ignore_progress, CPU)[0]
    joined = [row for share in shares for row in share.video_index_B.tolist()]
    assert joined == whole.video_index_B.tolist()


def test_settings_hash_without_where_and_how_often(corpus: Path, tmp_path: Path) -> None:
    recipe: Recipe = build_recipe(corpus)
    moved = replace(recipe, data=replace(recipe.data, catalog=tmp_path / "elsewhere.parquet"))
    assert hash_settings(moved) == hash_settings(recipe)
    for name, value in (("device", "cuda"), ("log_every_steps", 7), ("keep_checkpoints", 9)):
        assert hash_settings(build_recipe(corpus, **{name: value})) == hash_settings(recipe)
    assert hash_settings(build_recipe(corpus, seed=1)) != hash_settings(recipe)


def test_the_launcher_says_how_many_processes_share_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOCAL_WORLD_SIZE", "SLURM_NTASKS_PER_NODE"):
        monkeypatch.delenv(name, raising=False)
    assert processes_here(Rank(0, 6)) == 6
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "4")
    assert processes_here(Rank(0, 6)) == 4
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert processes_here(Rank(0, 6)) == 2
