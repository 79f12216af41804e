import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.evaluate.test_whole_clips import shorten
from tests.evaluate.tiny_cacl import build_config, tiny, write_run
from unreel.cli.evaluate_run import RunArguments, close_run, next_command, open_run, warn_of_short
from unreel.data.batch import Rejection
from unreel.data.catalog import Catalog
from unreel.data.sweep import sweep_batches
from unreel.errors import CatalogError, TrainingError
from unreel.progress import ignore_progress
from unreel.recipes.find import load_run_method
from unreel.train.recipe import Recipe

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "cacl", tiny())


@pytest.fixture
def arguments(run_folder: Path, corpus: Path) -> RunArguments:
    return RunArguments(run=run_folder, catalog=corpus, device="cpu", batch_size=5, num_workers=0)


@pytest.mark.parametrize(("split", "videos"), [("auto", 3), ("test", 3), ("train", 9), ("", 12)])
def test_the_split_is_test_where_there_is_one_unless_another_is_named(
    arguments: RunArguments, split: str, videos: int
) -> None:
    opened = open_run(dataclasses.replace(arguments, split=split), ignore_progress)
    assert sum(len(batch) for batch in opened.batches) == videos
    assert opened.settings["split"] == ("test" if split == "auto" else split)


def test_without_a_test_split_all_videos_are_taken(
    arguments: RunArguments, corpus: Path, tmp_path: Path
) -> None:
    from unreel.data.scan import scan_videos

    scan_videos([corpus.parent], tmp_path / "c.parquet", num_workers=1)
    opened = open_run(dataclasses.replace(arguments, catalog=tmp_path / "c.parquet"), ignore_progress)
    assert sum(len(batch) for batch in opened.batches) == 12
    assert opened.settings["split"] == ""


def test_videos_are_cut_by_the_recipe_and_drawn_by_the_seed(arguments: RunArguments, corpus: Path) -> None:
    recipe = tiny()
    opened = open_run(dataclasses.replace(arguments, seed=3, num_rounds=2), ignore_progress)
    expected = sweep_batches(
        Catalog.load(corpus).select("test"),
        recipe.method.clips,
        recipe.data,
        seed=3,
        batch_size=5,
        num_rounds=2,
        num_workers=0,
    )
    for batch, other in zip(opened.batches, expected, strict=True):
        assert torch.equal(batch.frames_BNTHWC, other.frames_BNTHWC)
        assert torch.equal(batch.keys_B, other.keys_B)


def test_the_settings_say_what_the_result_depends_on(arguments: RunArguments, corpus: Path) -> None:
    opened = open_run(dataclasses.replace(arguments, seed=3), ignore_progress)
    assert not opened.method.training
    weights_hash = opened.settings.pop("weights_hash")
    assert weights_hash == load_run_method(arguments.run).weights.hash
    assert opened.settings == {
        "run": str(arguments.run),
        "recipe": "tests.evaluate.tiny_cacl:tiny",
        "method_name": "CACL",
        "train_seed": 0,
        "step": 7,
        "catalog_hash": Catalog.load(corpus).hash,
        "split": "test",
        "min_frames": 11,
        "too_short": 0,
        "num_rounds": 1,
        "seed": 3,
    }


def test_progress_counts_clips_and_failures(arguments: RunArguments, corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus.parent, tmp_path / "copy")
    (tmp_path / "copy" / "03.mp4").unlink()
    told: list[tuple[int, int, str]] = []
    moved = dataclasses.replace(arguments, root=tmp_path / "copy", num_rounds=2, batch_size=2)
    list(open_run(moved, lambda *state: told.append(state)).batches)
    # Test videos 03, 07 and 11 in batches of two, twice.
    assert told == [(2, 6, "1 rejected"), (3, 6, "1 rejected"), (5, 6, "2 rejected"), (6, 6, "2 rejected")]


def test_the_summary_names_run_videos_and_failures(
    arguments: RunArguments, tmp_path: Path, capsys: Capture
) -> None:
    values = {
        "settings": {
            "recipe": "cacl.small",
            "step": 7,
            "weights_hash": "0123",
            "split": "",
            "too_short": 4,
        },
        "videos": 3,
        "clips": 6,
        "seconds": 2.0,
    }
    close_run(values, arguments, [Rejection("a.mp4", "noise")], {"more": "words"}, ["unreel next"])
    captured = capsys.readouterr()
    for words in (
        "Result (not kept; --out FILE.json keeps it)",
        "cacl.small, step 7 (0123)",
        "all videos",
        "3 used, 1 rejected, 4 too short",
        "6, augmented and shuffled as in training, seed 0",
        "words",
        "unreel next",
    ):
        assert words in captured.out
    close_run(values, dataclasses.replace(arguments, out=tmp_path / "r.json"), [], {}, [])
    assert json.loads((tmp_path / "r.json").read_text()) == values


def write_short_run(folder: Path, *, num_frames: int = 6, min_frames: int = 1) -> Path:
    """Write a run whose clips span two frames for each of theirs, less one."""
    recipe = tiny()
    clips = dataclasses.replace(recipe.method.clips, num_frames=num_frames)
    data = dataclasses.replace(recipe.data, min_frames=min_frames)
    return write_run(folder, Recipe(method=build_config(clips=clips), data=data))


def test_videos_that_are_shorter_than_a_clip_are_left_out_and_counted(
    arguments: RunArguments, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    """Test videos 03, 07 and 11 have 20 frames; here 03 is read as one of 10, and a clip spans 11."""
    shorten(Catalog.load(corpus), [20, 20, 20, 10, *[20] * 8]).save(tmp_path / "c.parquet")
    opened = open_run(dataclasses.replace(arguments, catalog=tmp_path / "c.parquet"), ignore_progress)
    assert (opened.settings["min_frames"], opened.settings["too_short"]) == (11, 1)
    assert sum(len(batch) for batch in opened.batches) == 2
    warn_of_short(opened.settings)
    words = "too short, with fewer than 11 frames, and left out: 1 of the videos"
    assert capsys.readouterr().err == f"warning: {words}\n"
    warn_of_short({"too_short": 0, "min_frames": 11})
    assert capsys.readouterr().err == ""


def test_what_was_too_short_to_train_on_is_too_short_to_measure_on(
    arguments: RunArguments, tmp_path: Path
) -> None:
    run = write_short_run(tmp_path / "run", min_frames=21)
    with pytest.raises(CatalogError, match="none of the 3 videos has the 21 frames"):
        open_run(dataclasses.replace(arguments, run=run), ignore_progress)
    run = write_short_run(tmp_path / "longer", num_frames=11)
    with pytest.raises(CatalogError, match="none of the 3 videos has the 21 frames"):
        open_run(dataclasses.replace(arguments, run=run), ignore_progress)


def test_the_next_command_is_about_the_same_videos(arguments: RunArguments) -> None:
    plain = f"unreel evaluate degree --run {arguments.run} --catalog {arguments.catalog}"
    assert next_command("evaluate degree", arguments) == plain
    moved = dataclasses.replace(arguments, root=Path("new place"), split="")
    assert next_command("evaluate degree", moved) == f"{plain} --root 'new place' --split ''"


def test_a_result_file_that_cannot_be_written_is_refused_before_the_run_is_opened(
    arguments: RunArguments, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"--out .* is a folder"):
        open_run(dataclasses.replace(arguments, run=Path("absent"), out=tmp_path), ignore_progress)


def test_what_is_missing_is_refused(arguments: RunArguments, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no run"):
        open_run(dataclasses.replace(arguments, run=tmp_path), ignore_progress)
    with pytest.raises(CatalogError, match="no split 'val'"):
        open_run(dataclasses.replace(arguments, split="val"), ignore_progress)
    with pytest.raises(ValueError, match="device 'gpu' cannot be used"):
        open_run(dataclasses.replace(arguments, device="gpu"), ignore_progress)
    with pytest.raises(ValueError, match="num_rounds must be at least 1"):
        open_run(dataclasses.replace(arguments, num_rounds=0), ignore_progress)
