import dataclasses
import json
from pathlib import Path

import pytest

from tests.cli.feature_files import FeatureFiles, write_feature_files
from tests.features.tiny import build_frame_encoder
from unreel.cli.main import run
from unreel.features.table import FeatureTable

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def files(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> FeatureFiles:
    return write_feature_files(corpus, tmp_path_factory.mktemp("files"))


def search(files: FeatureFiles, query: Path, *words: str) -> int:
    needed = ["--encoder", str(files.encoder), "--features", str(files.features), "--device", "cpu"]
    return run(["search", str(query), *needed, *words])


def test_the_nearest_videos_are_shown_best_first(files: FeatureFiles, capsys: Capture) -> None:
    assert search(files, files.video, "--top-k", "3") == 0
    out = capsys.readouterr().out
    assert "12 videos, 24 vectors" in out
    lines = [line for line in out.splitlines() if ".mp4" in line and "│" in line]
    assert len(lines) == 3
    assert "00.mp4" in lines[0]
    assert "1.0000" in lines[0]


def test_json_has_ids_paths_scores_and_times(files: FeatureFiles, capsys: Capture) -> None:
    assert search(files, files.video, "--top-k", "2", "--json") == 0
    values = json.loads(capsys.readouterr().out)
    assert values["query"] == str(files.video)
    assert (Path(values["root"]) / values["hits"][0]["path"]).samefile(files.video)
    assert values["hits"][0].keys() == {field.name for field in dataclasses.fields(Hit)}
    assert values["hits"][0]["score"] == pytest.approx(1, abs=1e-5)
    assert len(values["hits"]) == 2


def test_another_encoder_is_refused(files: FeatureFiles, tmp_path: Path, capsys: Capture) -> None:
    build_frame_encoder(seed=9).save(tmp_path / "encoder")
    assert search(files, files.video, "--encoder", str(tmp_path / "encoder")) == 1
    assert "give the encoder that made the table" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--features", "absent.parquet"], 1, "absent.parquet"),
        (["--encoder", "absent"], 1, "absent holds no encoder"),
        (["--top-k", "0"], 2, "top_k must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_right_code(
    files: FeatureFiles, capsys: Capture, words: list[str], code: int, message: str
) -> None:
    assert search(files, files.video, *words) == code
    assert message in capsys.readouterr().err


def test_a_query_that_is_no_video_is_refused_by_name(
    files: FeatureFiles, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "query.mp4").write_text("text")
    assert search(files, tmp_path / "query.mp4") == 1
    assert "query.mp4" in capsys.readouterr().err


def test_a_missing_query_is_wrong_usage(capsys: Capture) -> None:
    assert run(["search"]) == 2
    capsys.readouterr()


def test_help_has_an_example(capsys: Capture) -> None:
    assert run(["search", "--help"]) == 0
    assert "unreel search query.mp4 --encoder" in capsys.readouterr().out


def test_how_far_to_trust_it_is_asked_where_there_are_labels(
    files: FeatureFiles, tmp_path: Path, capsys: Capture
) -> None:
    assert search(files, files.video) == 0
    assert f"unreel evaluate retrieval --features {files.features}" in capsys.readouterr().out
    table = FeatureTable.load(files.features)
    columns = {name: table.column(name) for name in table.column_names()}
    columns["label"] = [""] * len(table)
    FeatureTable.from_columns(table.info, table.vectors, **columns).save(tmp_path / "f.parquet")
    assert search(files, files.video, "--features", str(tmp_path / "f.parquet")) == 0
    assert "Next:" not in capsys.readouterr().out
