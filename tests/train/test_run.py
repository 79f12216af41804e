from pathlib import Path

import pytest
import torch

from tests.train.runs import build_recipe
from unreel.errors import TrainingError
from unreel.train import loop
from unreel.train.run import read_run_recipe, run_training
from unreel.train.setup import Job, RunKind
from unreel.train.sources import open_videos


def build_kind(seen: list[tuple[str, int]]) -> RunKind:
    def export(job: Job, step: int) -> None:
        seen.append((job.run.name, step))

    return RunKind("localize train", open_videos, export, exported="localizer")


def test_a_kind_of_run_says_what_is_exported_and_when(corpus: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []
    summary = run_training(
        build_recipe(corpus, steps=4), tmp_path / "run", build_kind(seen), recipe_name="mine"
    )
    assert seen == [("run", 2), ("run", 4)]
    assert summary.exported == tmp_path / "run" / "localizer"
    assert not (tmp_path / "run" / "encoder").exists()


def test_messages_name_the_command_of_the_kind(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(TrainingError, match=r"`unreel localize train --resume .*`"):
        run_training(build_recipe(corpus), tmp_path, build_kind([]), recipe_name="mine")

    def die(*_: object, **__: object) -> object:
        raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed.")

    monkeypatch.setattr(loop, "build_loader", die)
    with pytest.raises(TrainingError, match=r"out of memory: .*`unreel localize train --resume .*/run`"):
        run_training(build_recipe(corpus), tmp_path / "run", build_kind([]), recipe_name="mine")


def test_an_error_that_is_no_worker_of_the_loader_passes(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> object:
        raise RuntimeError("shapes do not agree")

    monkeypatch.setattr(loop, "build_loader", die)
    with pytest.raises(RuntimeError, match="shapes do not agree"):
        run_training(build_recipe(corpus), tmp_path / "run", build_kind([]), recipe_name="mine")
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize("content", [None, "{", '{"recipe": "x"}', "[]"])
def test_a_folder_without_a_run_cannot_be_resumed(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "recipe.json").write_text(content)
    with pytest.raises(TrainingError, match=r"holds no run|cannot be read"):
        read_run_recipe(tmp_path)
