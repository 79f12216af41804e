import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.features.test_export_source import build_classifier, write_run
from tests.features.tiny import SPEC, build_vectors
from unreel.cli.main import run
from unreel.features.encoder import Encoder
from unreel.features.encoder_files import EncoderConfig
from unreel.features.export_onnx import OnnxExport
from unreel.models.resnet2d import ResNetConfig

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "first"
    write_run(folder)
    return folder


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("features") / "features.parquet"
    build_vectors(np.eye(4, dtype=np.float32), ["a/x", "b", "a/x", "A/X"]).save(path)
    return path


def list_tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_becomes_a_folder_for_the_hub(model: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "my ccl"
    assert run(["export", "--model", str(model), "--to", str(out), "--license", "mit"]) == 0
    captured = capsys.readouterr()
    assert f"Hugging Face folder {out}" in captured.out
    assert f"unreel extract --encoder {shlex.quote(str(out))} --catalog CATALOG" in captured.out
    assert f"hf upload YOUR_NAME/'my ccl' {shlex.quote(str(out))}" in captured.out
    assert captured.err == ""
    assert Encoder.load(out).hash == Encoder.load(model / "encoder").hash


def test_results_go_on_the_card(model: Path, tmp_path: Path, capsys: Capture) -> None:
    hash_ = Encoder.load(model / "encoder").hash
    values = {"protocol": "knn", "levels": {"clip": {"top1": 0.4321}}, "features": {"encoder_hash": hash_}}
    (tmp_path / "1.json").write_text(json.dumps(values))
    (tmp_path / "2.json").write_text(json.dumps({**values, "protocol": "svm"}))
    words = ["--results", str(tmp_path / "1.json"), str(tmp_path / "2.json")]
    assert run(["export", "--model", str(model), "--to", str(tmp_path / "out"), *words]) == 0
    assert "results   2" in capsys.readouterr().out
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| knn | clip | top1 | 0.4321 |" in card
    assert "| svm | clip | top1 | 0.4321 |" in card


def test_a_result_of_another_encoder_stops_the_export(model: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "r.json").write_text(json.dumps({"protocol": "knn", "features": {"encoder_hash": "0" * 16}}))
    words = ["--results", str(tmp_path / "r.json"), "--to", str(tmp_path / "out")]
    assert run(["export", "--model", str(model), *words]) == 1
    assert "r.json is a result of another model" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_missing_licence_is_pointed_out(model: Path, tmp_path: Path, capsys: Capture) -> None:
    assert run(["export", "--model", str(model), "--to", str(tmp_path / "out")]) == 0
    assert "warning: no licence is stated" in capsys.readouterr().err


def test_a_classifier_is_told_from_an_encoder(tmp_path: Path, capsys: Capture) -> None:
    build_classifier().save(tmp_path / "run" / "classifier")
    words = ["--model", str(tmp_path / "run"), "--to", str(tmp_path / "out"), "--license", "mit"]
    assert run(["export", *words]) == 0
    out = capsys.readouterr().out
    assert f"unreel evaluate recognition --model {tmp_path / 'out'} --catalog CATALOG" in out
    assert "2 classes" in out


def test_torchvisions_names_are_written_or_refused(model: Path, tmp_path: Path, capsys: Capture) -> None:
    Encoder.untrained(EncoderConfig(ResNetConfig(depth=18), SPEC)).save(tmp_path / "encoder")
    words = ["--to", str(tmp_path / "out"), "--format", "torchvision"]
    assert run(["export", "--model", str(tmp_path / "encoder"), *words]) == 0
    out = capsys.readouterr().out
    assert "torchvision.models.resnet18" in out
    assert str(tmp_path / "out" / "info.json") in out
    assert (
        run(["export", "--model", str(model), "--to", str(tmp_path / "no"), "--format", "torchvision"]) == 1
    )
    assert "r3d_18 has depth 18, not 10, width 1.0, not 0.0625" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_an_onnx_file_is_described(
    model: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fake(source: Any, folder: Path) -> OnnxExport:
        folder.mkdir()
        (folder / "model.onnx").write_bytes(bytes(3 * 2**20))
        return OnnxExport(folder / "model.onnx", (4, 16, 16, 3), "features", 32, 3.2e-7)

    monkeypatch.setattr("unreel.cli.export.export_onnx", fake)
    assert run(["export", "--model", str(model), "--to", str(tmp_path / "out"), "--format", "onnx"]) == 0
    captured = capsys.readouterr()
    assert f"ONNX file {tmp_path / 'out' / 'model.onnx'}" in captured.out
    assert "frames, uint8 RGB, shape (clips, 4, 16, 16, 3)" in captured.out
    assert "features, float32, shape (clips, 32)" in captured.out
    assert "differs from torch by 3e-07 of the largest number" in captured.out
    assert "3.0 MiB" in captured.out


@pytest.mark.slow
def test_the_exporters_words_reach_nobody(model: Path, tmp_path: Path) -> None:
    words = ["export", "--model", str(model), "--to", str(tmp_path / "out"), "--format", "onnx"]
    done = subprocess.run(
        [sys.executable, "-W", "default", "-m", "unreel", *words], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert "checked" in done.stdout
    assert sorted(os.listdir(tmp_path / "out")) == ["model.json", "model.onnx"]


def test_a_table_becomes_a_file_per_video(features: Path, tmp_path: Path, capsys: Capture) -> None:
    words = ["--features", str(features), "--to", str(tmp_path / "out"), "--format", "npy"]
    assert run(["export", *words]) == 0
    captured = capsys.readouterr()
    assert "3, a file each" in captured.out
    assert "4 of 4 numbers" in captured.out
    assert "2 videos, which would share a name" in captured.out
    assert "3/3 videos" in captured.err
    assert len(list((tmp_path / "out").glob("*.npy"))) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--format huggingface needs --model"),
        (["--format", "npy"], "--format npy needs --features"),
        (
            ["--format", "npy", "--features", "F", "--model", "M"],
            "--format npy takes --features, not --model",
        ),
        (["--model", "M", "--features", "F"], "--format huggingface takes --model, not --features"),
        (["--model", "M", "--format", "onnx", "--license", "mit"], "--license goes on the model card"),
        (["--format", "npy", "--features", "F", "--results", "R"], "--results goes on the model card"),
    ],
)
def test_flags_that_do_not_go_together_are_wrong_usage(
    words: list[str], message: str, tmp_path: Path, capsys: Capture
) -> None:
    assert run(["export", "--to", str(tmp_path / "out"), *words]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_with_something_in_it_is_wrong_usage(model: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert run(["export", "--model", str(model), "--to", str(tmp_path)]) == 2
    assert "is not empty; name a new one" in capsys.readouterr().err
    assert list_tree(tmp_path) == {"mine.txt": b"mine"}


@pytest.mark.parametrize("place", ["", "encoder", "encoder/out", "checkpoints/out"])
def test_the_run_itself_is_never_written_into(model: Path, place: str, capsys: Capture) -> None:
    before = list_tree(model)
    assert run(["export", "--model", str(model), "--to", str(model / place)]) == 2
    assert "error: " in capsys.readouterr().err
    assert list_tree(model) == before


def test_the_table_itself_is_never_replaced(features: Path, capsys: Capture) -> None:
    before = features.read_bytes()
    assert run(["export", "--features", str(features), "--to", str(features), "--format", "npy"]) == 2
    assert "is a file; name a new folder" in capsys.readouterr().err
    assert features.read_bytes() == before


def test_a_place_where_nothing_can_be_written_is_found_before_the_work(
    model: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "file").touch()
    assert run(["export", "--model", str(model), "--to", str(tmp_path / "file" / "out")]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert run(["export", "--model", str(tmp_path / "nothing"), "--to", str(tmp_path / "out")]) == 1
    assert "holds no encoder and no classifier" in capsys.readouterr().err
