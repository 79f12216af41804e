"""Batches whose clips go through the backbone a few at a time: every method steps so, and learns the same."""

import json
import math
import multiprocessing
import os
import shutil
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.corpus import shrink_recipe
from tests.train.runs import build_recipe, is_same, load_weights
from unreel.methods.cvrl import CVRL
from unreel.methods.moco import MoCo
from unreel.methods.supervised import Supervised
from unreel.models import backbone
from unreel.recipes import cvrl, moco
from unreel.recipes.find import find_recipe, list_recipes
from unreel.train.finetune import finetune
from unreel.train.pretrain import pretrain
from unreel.train.recipe import Recipe

FAMILIES = {name.split(".")[0]: name for name in sorted(list_recipes(), reverse=True)}
"""The first recipe of every family."""


def with_training(recipe: Recipe, **train: object) -> Recipe:
    return replace(recipe, train=replace(recipe.train, **train))


def train(recipe: Recipe, run: Path, *, is_resumed: bool = False) -> list[float]:
    """Train a recipe; return the loss of every step."""
    go = finetune if isinstance(recipe.method, Supervised.Config) else pretrain
    go(recipe, run, recipe_name="x", is_resumed=is_resumed)
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def chunk_sizes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """How many clips came to be divided, and whether gradients were recorded."""
    seen: list[tuple[int, bool]] = []
    forward = backbone.forward_in_chunks

    def remember(run: Callable[..., object], clips: torch.Tensor, **options: object) -> object:
        seen.append((len(clips), torch.is_grad_enabled()))
        return forward(run, clips, **options)  # type: ignore[arg-type, type-var]

    monkeypatch.setattr(backbone, "forward_in_chunks", remember)
    return seen


@pytest.mark.parametrize("family", FAMILIES)
def test_every_method_steps_in_chunks(
    family: str, corpus: Path, tmp_path: Path, chunk_sizes: list[tuple[int, bool]]
) -> None:
    recipe = shrink_recipe(find_recipe(FAMILIES[family])(), corpus, steps=1)
    recipe = with_training(recipe, chunk_clips=3, accumulate=1)
    (loss,) = train(recipe, tmp_path / "run")
    assert math.isfinite(loss)
    is_learning = not (isinstance(recipe.method, Supervised.Config) and recipe.method.is_frozen)
    assert any(num_clips > 3 and has_grad == is_learning for num_clips, has_grad in chunk_sizes)


def cvrl_of(corpus: Path, **train: object) -> Recipe:
    """CVRL on MViT, which has no batch statistics, with the negatives inside the batch, in three steps."""
    recipe = shrink_recipe(cvrl.kinetics400(), corpus, steps=3)
    assert isinstance(recipe.method, CVRL.Config)
    optimizer = replace(recipe.train.optimizer, lr=1e-3, lr_per_videos=0, name="sgd")
    recipe = replace(recipe, method=replace(recipe.method, queue_length=0))
    return with_training(recipe, optimizer=optimizer, **train)


def train_as(rank: int, port: int, corpus: Path, run: Path) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    train(cvrl_of(corpus, chunk_clips=1), run)


@pytest.mark.slow
def test_chunks_in_one_process_or_two_learn_what_the_whole_batch_does(corpus: Path, tmp_path: Path) -> None:
    """Parts of a batch, in contrast, have other negatives, and so another loss."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    arguments = (port, corpus, tmp_path / "two")
    processes = [context.Process(target=train_as, args=(rank, *arguments)) for rank in (0, 1)]
    for process in processes:
        process.start()
    whole = train(cvrl_of(corpus), tmp_path / "whole")
    assert train(cvrl_of(corpus, chunk_clips=1), tmp_path / "chunks") == pytest.approx(whole, rel=1e-5)
    parts = train(cvrl_of(corpus, accumulate=2), tmp_path / "parts")
    assert abs(parts[0] - whole[0]) > 0.1
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    lines = (tmp_path / "two" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["loss"] for line in lines] == pytest.approx(whole, rel=1e-5)
    expected = load_weights(tmp_path / "whole")
    for other in ("chunks", "two"):
        for name, value in load_weights(tmp_path / other).items():
            torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5, msg=f"{other}: {name}")


def test_a_run_in_chunks_is_resumed_to_the_bit(corpus: Path, tmp_path: Path) -> None:
    """Batch normalisation, and clips that are dealt to chunks at random."""
    recipe = shrink_recipe(moco.small(), corpus, steps=4)
    assert isinstance(recipe.method, MoCo.Config)
    recipe = with_training(recipe, chunk_clips=3)
    whole, part = tmp_path / "whole", tmp_path / "part"
    train(recipe, whole)
    shutil.copytree(whole, part)
    (part / "checkpoints" / "step-00000004.pt").unlink()
    train(recipe, part, is_resumed=True)
    assert is_same(load_weights(part), load_weights(whole))
    # Both views of four videos: eight clips in three chunks, a step.
    counts = [value for name, value in load_weights(whole).items() if name.endswith("num_batches_tracked")]
    assert {int(count) for count in counts} == {4 * 3}


def test_keys_are_normalised_in_the_groups_of_shuffle_bn_whatever_the_chunks(
    corpus: Path, tmp_path: Path
) -> None:
    recipe = build_recipe(corpus, steps=2, chunk_clips=3)
    train(replace(recipe, method=replace(recipe.method, shuffle_bn_group=4)), tmp_path / "run")
    state = load_weights(tmp_path / "run")
    counts = {
        part: {int(value) for name, value in state.items() if name.startswith(part) and "tracked" in name}
        for part in ("online", "key_encoder")
    }
    assert counts == {
        "online": {2 * 2},
        "key_encoder": {2 * 1},
    }  # four queries in two chunks, a group of four keys


def test_what_cannot_go_in_chunks_is_refused_before_a_folder_is_written(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"train.chunk_clips = 2 can leave batch normalisation one clip"):
        train(build_recipe(corpus, chunk_clips=2), tmp_path / "run")
    assert not (tmp_path / "run").exists()
