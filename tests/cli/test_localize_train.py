from dataclasses import replace
from pathlib import Path

import pytest

from tests.features.localization_files import write_catalog, write_vectors
from unreel.cli.main import run
from unreel.features.localizer import Localizer
from unreel.train.localization import train_localizer

TINY = [
    "--method.network.hidden-1d=8",
    "--method.network.hidden-2d=4",
    "--method.network.hidden-3d=8",
    "--method.network.num-positions=8",
    "--train.batch-size=4",
    "--train.device=cpu",
]


@pytest.fixture(scope="module")
def files(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("files")
    catalog = write_catalog(corpus, folder)
    features = write_vectors(catalog, folder / "grid.parquet")
    return ["--data.features", str(features), "--data.catalog", str(catalog)]


def test_a_recipe_is_trained_and_gone_on_with(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "bmn"
    words = ["localize", "train", "bmn.small", "--run", str(folder), *files, *TINY, "--train.steps=2"]
    assert run(words) == 0
    text = capsys.readouterr().out
    assert "2 of 2" in text
    assert f"unreel localize propose --run {folder} --features {files[1]} --out proposals.json" in text
    assert Localizer.load(folder).config.network.num_positions == 8
    assert run(words) == 1
    assert f"is not empty; give a new folder with --run, or `unreel localize train --resume {folder}`" in (
        capsys.readouterr().err
    )
    assert run(["localize", "train", "--resume", str(folder)]) == 0
    assert "(resumed at 2)" in capsys.readouterr().out


def test_recipes_of_other_commands_are_refused_both_ways(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["localize", "train", "moco.small", "--run", str(tmp_path / "a")]) == 2
    assert (
        "recipe 'moco.small' is for another command; `unreel recipes moco.small`" in capsys.readouterr().err
    )
    assert run(["pretrain", "bmn.small", "--run", str(tmp_path / "a")]) == 2
    assert "recipe 'bmn.small' is for another command" in capsys.readouterr().err
    assert run(["recipes", "bmn.small"]) == 0
    assert "unreel localize train bmn.small --data.features grid.parquet" in capsys.readouterr().out


def test_help_lists_the_settings_of_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["localize", "train", "bmn.activitynet", "--help"]) == 0
    text = capsys.readouterr().out
    assert "--method.network.num-positions" in text
    assert "--data.features" in text
    assert run(["localize", "train"]) == 2
    assert "usage: unreel localize train RECIPE --run RUN" in capsys.readouterr().out


def test_a_run_needs_a_folder(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["localize", "train", "bmn.small", *files]) == 2
    assert "--run is missing" in capsys.readouterr().err


@pytest.mark.parametrize(("signal_name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_run_that_was_stopped_says_how_to_go_on_and_leaves_with_the_signal(
    files: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    signal_name: str,
    code: int,
) -> None:
    def train_and_stop(*arguments: object, **options: object) -> object:
        summary = train_localizer(*arguments, **options)  # type: ignore[arg-type]
        return replace(summary, stopped_by=signal_name)

    monkeypatch.setattr("unreel.cli.localize_train.train_localizer", train_and_stop)
    folder = tmp_path / "bmn"
    words = ["localize", "train", "bmn.small", "--run", str(folder), *files, *TINY, "--train.steps=1"]
    assert run(words) == code
    text = capsys.readouterr().out
    assert f"Stopped by {signal_name}; everything is saved" in text
    assert f"unreel localize train --resume {folder}" in text
