import json
from pathlib import Path

import pytest

from tests.cli.localization_files import LocalizationFiles, write_localization_files
from unreel.cli.main import run
from unreel.data.catalog import Catalog


@pytest.fixture(scope="module")
def files(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> LocalizationFiles:
    return write_localization_files(corpus, tmp_path_factory.mktemp("files"))


def evaluate(files: LocalizationFiles, *words: str) -> int:
    inputs = ["--proposals", str(files.proposals), "--catalog", str(files.catalog)]
    return run(["localize", "evaluate", *inputs, *words])


def test_recall_stands_beside_that_of_random_stretches(
    files: LocalizationFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ar.json"
    assert evaluate(files, "--out", str(out)) == 0
    text = capsys.readouterr().out
    values = json.loads(out.read_text())
    for word in ("AR@1 ", "AR@100", "AUC", "0.95", "random %", "3 with segments; 0 without are left out"):
        assert word in text
    assert f"{100 * values['proposals']['average_recall']['100']:.1f}" in text
    assert values["settings"]["split"] == "test"
    assert "unreel report timeline" in text
    assert evaluate(files, "--json", "--split", "") == 0
    assert json.loads(capsys.readouterr().out)["proposals"]["videos"] == 12


def test_perfect_proposals_find_everything(
    files: LocalizationFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = {
        video.path.name: [{"score": 1, "segment": [s.start_sec, s.end_sec]} for s in video.segments]
        for video in Catalog.load(files.catalog)
        if video.path.name != "11.mp4"
    }
    (tmp_path / "p.json").write_text(json.dumps({"results": {**results, "gone": []}}))
    words = ["--proposals", str(tmp_path / "p.json"), "--catalog", str(files.catalog), "--json"]
    assert run(["localize", "evaluate", *words]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["proposals"]["average_recall"]["100"] == pytest.approx(4 / 6)
    assert "1 videos have no proposal, so all their segments are missed: 11.mp4" in captured.err
    assert "1 videos of the proposals are not in the catalog: gone" in captured.err


def test_what_cannot_be_measured_is_refused(
    files: LocalizationFiles, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(files, "--split", "dev") == 1
    assert "no split 'dev'" in capsys.readouterr().err
    assert evaluate(files, "--catalog", str(corpus)) == 1
    assert "has a segment; scan a list with the columns" in capsys.readouterr().err
    assert evaluate(files, "--out", str(files.proposals)) == 2
    assert "--out names the same file as --proposals" in capsys.readouterr().err
