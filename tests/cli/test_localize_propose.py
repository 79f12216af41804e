import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.localization_files import LocalizationFiles, write_localization_files
from tests.features.tiny import build_vectors
from unreel.cli.main import run
from unreel.features.table import FeatureTable


@pytest.fixture(scope="module")
def files(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> LocalizationFiles:
    return write_localization_files(corpus, tmp_path_factory.mktemp("files"))


def propose(files: LocalizationFiles, out: Path, *words: str) -> int:
    inputs = ["--run", str(files.run), "--features", str(files.features)]
    return run(["localize", "propose", *inputs, "--out", str(out), "--device", "cpu", *words])


def test_proposals_of_all_videos_are_written(
    files: LocalizationFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "p.json"
    assert propose(files, out) == 0
    assert out.read_text().replace("vectors of tiny/encoder (eeeeeeeeeeeeeeee)", "test") == (
        files.proposals.read_text()
    )
    text = capsys.readouterr().out
    assert "at most 100 per video" in text
    assert f"unreel localize evaluate --proposals {out} --catalog CATALOG" in text


def test_a_split_and_fewer_proposals_may_be_asked_for(files: LocalizationFiles, tmp_path: Path) -> None:
    assert propose(files, tmp_path / "p.json", "--split", "test", "--top", "3") == 0
    results = json.loads((tmp_path / "p.json").read_text())["results"]
    assert list(results) == ["03", "07", "11"]
    assert all(0 < len(listed) <= 3 for listed in results.values())
    assert all(0 <= s < e <= 8.0 for listed in results.values() for s, e in (i["segment"] for i in listed))


def test_other_tables_and_folders_are_refused(
    files: LocalizationFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build_vectors([[1.0, 2.0]], ["a"]).save(tmp_path / "f.parquet")
    words = ["localize", "propose", "--run", str(files.run), "--out", str(tmp_path / "p.json")]
    assert run([*words, "--features", str(tmp_path / "f.parquet")]) == 1
    assert "make those with `unreel localize features`" in capsys.readouterr().err
    assert run(["localize", "propose", "--run", str(tmp_path), "--features", str(files.features)]) == 1
    assert "holds no localizer" in capsys.readouterr().err
    table = FeatureTable.load(files.features)
    table.take(np.arange(0)).save(tmp_path / "empty.parquet")
    assert run([*words, "--features", str(tmp_path / "empty.parquet")]) == 1
    assert "holds no video; run `unreel localize features` again" in capsys.readouterr().err
    assert propose(files, files.features) == 2
    assert "--out names the same file as --features" in capsys.readouterr().err
    assert propose(files, files.run / "localizer" / "localizer.json") == 2
    assert "is a file of --run" in capsys.readouterr().err
    assert not (tmp_path / "p.json").exists()
