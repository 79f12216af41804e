import json
from pathlib import Path

import pytest

from tests.cli.feature_files import FeatureFiles, write_feature_files
from unreel.cli.main import run
from unreel.evaluate.knn import evaluate_knn
from unreel.features.table import FeatureTable

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def files(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> FeatureFiles:
    return write_feature_files(corpus, tmp_path_factory.mktemp("files"))


def evaluate(files: FeatureFiles, *words: str) -> int:
    return run(["evaluate", "knn", "--features", str(files.features), *words])


def test_the_result_is_shown_and_kept(files: FeatureFiles, tmp_path: Path, capsys: Capture) -> None:
    words = ["--out", str(tmp_path / "k.json"), "--ks", "1", "5", "--temperature", "0.1"]
    assert evaluate(files, *words) == 0
    captured = capsys.readouterr()
    for text in ("k-NN, video level", "k-NN, clip level", "one vote each %", "weighted %", "k.json"):
        assert text in captured.out
    assert "6 queries, 18 in the gallery" in captured.out
    kept = json.loads((tmp_path / "k.json").read_text())
    result = evaluate_knn(FeatureTable.load(files.features), ks=(1, 5), temperature=0.1).to_json()
    for values in (kept, result):
        values.pop("seconds")
    assert kept == json.loads(json.dumps(result))


def test_json_stands_alone_on_the_standard_output(files: FeatureFiles, capsys: Capture) -> None:
    assert evaluate(files, "--json", "--center") == 0
    values = json.loads(capsys.readouterr().out)
    assert values["protocol"] == "knn"
    assert values["settings"]["is_centered"] is True


def test_ks_beyond_the_gallery_are_announced(files: FeatureFiles, capsys: Capture) -> None:
    assert evaluate(files) == 0
    error = capsys.readouterr().err
    assert "no value for k = 20, 200: a gallery of 9" in error
    assert "no value for k = 20, 200: a gallery of 18" in error


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--temperature", "0"], 2, "temperature must be positive"),
        (["--ks", "-1"], 2, "ks must be one or more positive numbers"),
        (["--gallery-split", "val"], 1, "no split 'val'"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_right_code(
    files: FeatureFiles, capsys: Capture, words: list[str], code: int, message: str
) -> None:
    assert evaluate(files, *words) == code
    assert message in capsys.readouterr().err


def test_the_pooling_of_the_features_is_named(files: FeatureFiles, capsys: Capture) -> None:
    assert evaluate(files) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("  pooling"))
    assert row.split() == ["pooling", FeatureTable.load(files.features).info.pooling]


def test_a_result_file_that_cannot_be_written_is_refused_before_the_features_are_read(
    files: FeatureFiles, tmp_path: Path, capsys: Capture
) -> None:
    assert evaluate(files, "--out", str(tmp_path), "--features", "absent.parquet") == 2
    assert f"--out {tmp_path} is a folder" in capsys.readouterr().err


def test_an_encoder_that_has_collapsed_is_announced(
    files: FeatureFiles, tmp_path: Path, capsys: Capture
) -> None:
    assert evaluate(files) == 0
    assert "collapsed" not in capsys.readouterr().err
    table = FeatureTable.load(files.features)
    table.vectors[:] = table.vectors[0]
    table.save(tmp_path / "f.parquet")
    assert evaluate(files, "--features", str(tmp_path / "f.parquet")) == 0
    assert "warning: all 24 vectors are the same: the encoder has collapsed" in capsys.readouterr().err
