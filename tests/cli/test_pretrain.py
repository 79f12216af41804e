import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

from unreel.cli.main import run
from unreel.data.catalog import Catalog

SMALL = [
    *("--method.augmentation.size-px", "16", "--method.backbone.width", "0.125", "--data.height", "18"),
    *("--data.width", "24", "--train.batch-size", "4", "--train.device", "cpu"),
]


def command(corpus: Path, folder: Path, *settings: str) -> list[str]:
    return ["pretrain", "moco.small", "--run", str(folder), "--data.catalog", str(corpus), *SMALL, *settings]


def test_a_run_says_what_it_did_and_what_comes_next(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert run(command(corpus, folder, "--train.steps", "2", "--method.temperature", "0.5")) == 0
    printed = capsys.readouterr()
    assert "2 of 2" in printed.out
    assert f"unreel extract --encoder {folder}/encoder --catalog {corpus}" in printed.out
    assert "Training: 2/2 steps" in printed.err
    settings = json.loads((folder / "recipe.json").read_text())["settings"]
    assert settings["method"]["temperature"] == 0.5
    assert settings["train"]["steps"] == 2


def test_frames_are_offered_to_networks_of_frames_and_a_search_where_there_are_no_labels(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data.catalog", str(corpus), *SMALL, "--train.steps", "1"]
    assert run(["pretrain", "frame_moco.small", "--run", str(tmp_path / "labels"), *words]) == 0
    out = capsys.readouterr().out
    assert f"--catalog {corpus} --out features.parquet --clips-per-video 30\n" in out
    assert "unreel evaluate retrieval" in out
    assert "unreel search" not in out
    catalog = Catalog.load(corpus)
    place = catalog.table.schema.get_field_index("label")
    field = catalog.table.schema.field("label")
    blank = pa.array([""] * len(catalog), type=field.type)
    # Beside the videos, from where their paths start.
    bare = corpus.parent / "bare.parquet"
    Catalog(catalog.table.set_column(place, field, blank), catalog.root).save(bare)
    assert run(command(bare, tmp_path / "none", "--train.steps", "1")) == 0
    bare.unlink()
    out = capsys.readouterr().out
    assert f"unreel search VIDEO --encoder {tmp_path}/none/encoder --features features.parquet" in out
    assert "unreel evaluate retrieval" not in out
    assert "--clips-per-video" not in out


def test_a_run_is_resumed_by_its_folder_alone(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert run(command(corpus, folder, "--train.steps", "4", "--train.checkpoint-every-steps", "2")) == 0
    (folder / "checkpoints" / "step-00000004.pt").unlink()
    capsys.readouterr()
    assert run(["pretrain", "--resume", str(folder)]) == 0
    assert "4 of 4 (resumed at 2)" in capsys.readouterr().out


def test_another_backbone_is_one_flag(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = command(corpus, folder, "--train.steps", "1")
    assert run([*words[:2], "--backbone=r2plus1d_10", *words[2:]]) == 0
    encoder = json.loads((folder / "encoder" / "encoder.json").read_text())
    assert encoder["backbone"]["architecture"] == "r2plus1d"


def test_a_signal_leaves_a_run_that_can_be_resumed(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "unreel", *command(corpus, folder, "--train.steps", "5000")],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 90
    while not (folder / "metrics.jsonl").exists() or not (folder / "metrics.jsonl").stat().st_size:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "Stopped by SIGTERM; everything is saved" in out
    assert f"unreel pretrain --resume {folder}" in out

    recipe = json.loads((folder / "recipe.json").read_text())
    (checkpoint,) = (folder / "checkpoints").iterdir()
    done = int(checkpoint.stem.removeprefix("step-"))
    assert done < 5000
    assert recipe["settings"]["train"]["steps"] == 5000


def test_what_a_person_should_know_is_said_before_the_first_step(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--method.hidden-dim", "8", "--method.queue-length", "16", "--train.steps", "1"]
    words = ["pretrain", "seco.kinetics400", "--data.catalog", str(corpus), "--run"]
    assert run([*words, str(tmp_path / "one"), *SMALL, *sizes, "--backbone", "resnet_18"]) == 0
    printed = capsys.readouterr().err
    assert printed.index("warning: training starts from random weights") < printed.index("Training: 1/1")
    assert run(["pretrain", "--resume", str(tmp_path / "one")]) == 0
    assert "warning" not in capsys.readouterr().err  # it is too late to give other weights
    meant = ["--backbone", "resnet_18", "--method.initial-weights", "random"]
    assert run([*words, str(tmp_path / "two"), *SMALL, *sizes, *meant]) == 0
    assert "warning" not in capsys.readouterr().err


def test_videos_whose_motion_is_not_known_are_announced(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unreel.train.sources.describe_unmeasured", lambda catalog: "2 videos do not move")
    assert run(command(corpus, tmp_path / "run", "--train.steps", "1")) == 0
    assert capsys.readouterr().err.count("warning: 2 videos do not move") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["moco.small"], "--run is missing"),
        (["moco.smal", "--run", "x"], "did you mean moco.small"),
        (["--run", "x"], "the recipe comes first, got '--run'"),
        (["moco.small", "--run"], "--run needs a value"),
        (["moco.small", "--run", "x", "--backbone", "r3d_17"], "no backbone is called 'r3d_17'"),
        (["--resume"], "takes the run folder alone"),
        (["--resume", "x", "--train.steps", "3"], "takes the run folder alone"),
    ],
)
def test_wrong_usage_is_told_with_the_remedy(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert run(["pretrain", *words]) == 2
    assert message in capsys.readouterr().err


def test_an_unknown_setting_is_refused_with_what_is_close(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pretrain", "moco.small", "--run", "x", "--method.temprature", "1"]) == 2
    assert "--method.temperature" in capsys.readouterr().err


def test_a_missing_catalog_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command(tmp_path / "none.parquet", tmp_path / "run")) == 1
    assert "none.parquet" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_help_lists_every_number_of_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pretrain", "ccl.ucf101", "--help"]) == 0
    out = capsys.readouterr().out
    for flag in (
        "--method.penalty-weight",
        "--train.optimizer.lr",
        "--data.catalog",
        "--method.backbone.width",
    ):
        assert flag in out
    assert run(["pretrain", "--help"]) == 0
    assert "unreel pretrain --resume runs/first" in capsys.readouterr().out
    assert run(["pretrain"]) == 2
    assert run(["pretrain", "--resume", "--help"]) == 0


def test_the_equals_sign_is_understood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pretrain", f"--resume={tmp_path}"]) == 1
    assert "holds no run" in capsys.readouterr().err
