import json
import shutil
from pathlib import Path

import pytest

from tests.report.test_retrieval_view import make_table
from unreel.cli.main import run
from unreel.data.catalog import Catalog
from unreel.evaluate.ranking import RankingConfig
from unreel.features.table import FeatureTable
from unreel.report.retrieval import save_retrieval
from unreel.report.retrieval_view import choose_queries, view_retrieval

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def tables(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("tables")
    catalog = Catalog.load(corpus)
    for seed in (0, 1):
        make_table(catalog, seed).save(folder / f"{seed}.parquet")
    make_table(catalog, 2, rows=range(1, 12)).save(folder / "2.parquet")
    return [folder / f"{seed}.parquet" for seed in (0, 1, 2)]


def report(tables: list[Path], catalog: Path, *words: str) -> int:
    features = [str(path) for path in tables]
    return run(["report", "retrieval", "--features", *features, "--catalog", str(catalog), *words])


def test_picture_and_numbers_are_the_librarys(
    tables: list[Path], corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    out, data = tmp_path / "a.png", tmp_path / "a.json"
    words = ["--num-queries", "2", "--num-neighbors", "2", "--out", str(out), "--data", str(data)]
    assert report(tables[:2], corpus, *words) == 0
    catalog = Catalog.load(corpus)
    both = [FeatureTable.load(path) for path in tables[:2]]
    chosen = choose_queries(both, catalog, "test", num_queries=2)
    config = RankingConfig("label", "test", "train")
    view = view_retrieval(both, catalog, chosen, num_neighbors=2, config=config)
    save_retrieval(view, tmp_path / "b.png")
    assert out.read_bytes() == (tmp_path / "b.png").read_bytes()
    values = json.loads(data.read_text())
    expected = json.loads(json.dumps(view.to_json()))
    assert values["queries"] == expected["queries"]
    assert values["settings"] == {
        **expected["settings"],
        "features_paths": [str(path) for path in tables[:2]],
        "queries": [],
        "seed": None,
    }
    printed = capsys.readouterr()
    num_right = sum(
        bool(video.is_right) for by_table in view.found for videos in by_table for video in videos
    )
    for text in (f"Figure {out}", f"{num_right} of 8 shown", "encoder 0", "encoder 1", "03.mp4", "2 videos"):
        assert text in printed.out
    assert "warning" not in printed.err


def test_queries_are_named_or_drawn(
    tables: list[Path], corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    words = ["--out", str(tmp_path / "a.svg"), "--json", "--num-neighbors", "1"]
    named = ["--queries", "05.mp4", "03.mp4", "--by", "group", "--gallery-split", ""]
    assert report(tables[:1], corpus, *words, *named) == 0
    values = json.loads(capsys.readouterr().out)
    assert [query["path"] for query in values["queries"]] == ["05.mp4", "03.mp4"]
    assert [query["target"] for query in values["queries"]] == ["5", "3"]
    assert values["settings"]["gallery_split"] == ""
    drawn = ["--query-split", "train", "--num-queries", "3", "--seed", "4"]
    assert report(tables[:1], corpus, *words, *drawn) == 0
    values = json.loads(capsys.readouterr().out)
    table, catalog = FeatureTable.load(tables[0]), Catalog.load(corpus)
    expected = choose_queries([table], catalog, "train", num_queries=3, seed=4).ids
    assert [query["id"] for query in values["queries"]] == expected
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()


def test_without_a_name_the_figure_is_called_retrieval(
    tables: list[Path], corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert report(tables[:1], corpus, "--num-queries", "1") == 0
    assert (tmp_path / "retrieval.png").read_bytes().startswith(b"\x89PNG")


def test_videos_that_fail_and_tables_of_other_videos_are_announced(
    tables: list[Path], corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    shutil.copytree(corpus.parent, tmp_path / "copy")
    (tmp_path / "copy" / "03.mp4").write_bytes(b"damaged")
    words = ["--root", str(tmp_path / "copy"), "--out", str(tmp_path / "a.png"), "--queries", "03.mp4"]
    assert report([tables[0], tables[2]], corpus, *words) == 0
    captured = capsys.readouterr()
    assert "warning: rejected" in captured.err
    assert "03.mp4" in captured.err
    assert "1 videos are in one of the tables of encoder 0 and encoder 2 only" in captured.err
    assert (tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--features", "absent.parquet"], 1, "absent.parquet cannot be read"),
        (["--queries", "zz.mp4"], 1, "no video 'zz.mp4' among the 12"),
        (["--query-split", "val"], 1, "no split 'val'"),
        (["--gallery-split", "val"], 1, "no split 'val'"),
        (["--num-queries", "0"], 2, "num_queries must lie between 1 and 32, got 0"),
        (["--num-neighbors", "11"], 2, "num_neighbors must lie between 1 and 10, got 11"),
        (["--out", "a.pdf"], 2, "must end in .png or .svg"),
        (["--out", "x.png", "--data", "./x.png"], 2, "--out and --data name the same file"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_right_code(
    tables: list[Path],
    corpus: Path,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert report(tables[:1], corpus, *words) == code
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
