import errno
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from unreel.cli import evaluate_output
from unreel.cli.evaluate_output import (
    ComparisonArguments,
    OutputArguments,
    check_output,
    close,
    count_vectors,
    deliver,
    name_result,
    percent,
    show_accuracy,
    show_recall,
    warn_of_ks,
    warn_of_rejected,
)
from unreel.data.batch import Rejection
from unreel.errors import UnreelError
from unreel.evaluate.accuracy import measure_scores
from unreel.evaluate.ranking import RankingConfig

Capture = pytest.CaptureFixture[str]
VALUES = {"settings": {"query_split": "", "gallery_split": "train", "by": "group"}, "seconds": 3.0}


def test_flags_become_the_librarys_settings() -> None:
    arguments = ComparisonArguments(by="group", query_split="a", gallery_split="b", center=True)
    assert arguments.config == RankingConfig("group", "a", "b", is_centered=True)
    assert ComparisonArguments().config == RankingConfig()


def test_tables_are_wanted_unless_json_is_and_the_file_waits_for_them(
    tmp_path: Path, capsys: Capture
) -> None:
    assert deliver(VALUES, ComparisonArguments(out=tmp_path / "r.json"))
    assert capsys.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []


def test_json_replaces_the_tables_and_is_kept_too(tmp_path: Path, capsys: Capture) -> None:
    assert not deliver(VALUES, ComparisonArguments(json=True))
    assert json.loads(capsys.readouterr().out) == VALUES
    assert not deliver(VALUES, ComparisonArguments(json=True, out=tmp_path / "new" / "r.json"))
    assert json.loads((tmp_path / "new" / "r.json").read_text()) == VALUES


@pytest.mark.parametrize("is_json", [True, False])
def test_a_result_that_cannot_be_kept_is_shown_first_and_the_flag_is_named(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, is_json: bool
) -> None:
    def fill_disk(path: Path, value: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(evaluate_output, "write_json", fill_disk)
    arguments = ComparisonArguments(json=is_json, out=tmp_path / "r.json")
    show = (
        partial(deliver, VALUES, arguments) if is_json else partial(close, VALUES, arguments, {"of": "f"}, [])
    )
    with pytest.raises(UnreelError, match=r"--out .*r.json was not written \(No space left on device\)"):
        show()
    out = capsys.readouterr().out
    assert json.loads(out) == VALUES if is_json else "r.json" in out


def test_a_result_file_that_cannot_be_written_is_refused_beforehand(tmp_path: Path) -> None:
    check_output(OutputArguments(), {"--features": tmp_path / "f.parquet"})
    check_output(OutputArguments(out=tmp_path / "r.json"), {"--features": None})
    with pytest.raises(ValueError, match=r"--out .* is a folder"):
        check_output(OutputArguments(out=tmp_path), {})
    with pytest.raises(ValueError, match=r"--out names the same file as --features, .*; give another"):
        check_output(OutputArguments(out=tmp_path / "f"), {"--features": tmp_path / "f"})


def test_videos_that_failed_are_named_one_by_one(capsys: Capture) -> None:
    warn_of_rejected([Rejection("a.mp4", "noise"), Rejection("b.mp4", "empty")])
    assert capsys.readouterr().err == "warning: rejected a.mp4: noise\nwarning: rejected b.mp4: empty\n"


def test_a_result_is_named_by_its_file_or_by_how_to_keep_it() -> None:
    assert name_result(OutputArguments(out=Path("r.json"))) == "Result r.json"
    assert "not kept; --out FILE.json keeps it" in name_result(OutputArguments())


def test_recall_is_shown_in_percent_beside_chance(capsys: Capture) -> None:
    show_recall("Retrieval", {1: 0.1234, 10: 1.0}, {1: 0.05, 10: 0.5})
    out = capsys.readouterr().out
    assert "12.3" in out
    assert "100.0" in out
    assert "5.0" in out


def test_shares_become_percent() -> None:
    assert (percent(0.0), percent(0.0005), percent(2 / 3)) == ("0.0", "0.1", "66.7")


def test_impossible_ks_are_announced_and_nothing_else(capsys: Capture) -> None:
    warn_of_ks([], 12)
    assert capsys.readouterr().err == ""
    warn_of_ks([20, 50], 12)
    assert "no value for k = 20, 50: a gallery of 12" in capsys.readouterr().err


def test_left_out_queries_are_counted_only_when_there_are_some() -> None:
    assert count_vectors(5, 9, 0, "label") == "5 queries, 9 in the gallery"
    assert count_vectors(5, 9, 2, "label").endswith("; 2 queries have no label and are left out")


def test_the_closing_says_what_was_compared_and_what_comes_next(tmp_path: Path, capsys: Capture) -> None:
    close(VALUES, ComparisonArguments(out=tmp_path / "r.json"), {"features": "f"}, ["unreel next"])
    assert json.loads((tmp_path / "r.json").read_text()) == VALUES
    out = capsys.readouterr().out
    for words in ("r.json", "all videos", "train", "the group agrees", "features", "3 s", "unreel next"):
        assert words in out


def test_a_result_that_is_not_kept_says_how_to_keep_it(capsys: Capture) -> None:
    close({**VALUES, "settings": {**VALUES["settings"], "gallery_split": ""}}, ComparisonArguments(), {}, [])
    out = capsys.readouterr().out
    assert "--out FILE.json keeps it" in out
    assert "all videos but the query's own" in out


def test_accuracies_are_shown_in_percent_and_what_is_not_defined_is_left_out(capsys: Capture) -> None:
    scores = np.eye(6, dtype=np.float32)[[0, 1, 1, 2]]
    classes = tuple("abcdef")
    show_accuracy("Title", measure_scores(scores, classes, list("abbb"), {"b": 3, "a": 1}))
    out = capsys.readouterr().out
    assert out.startswith("Title")
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if "│" in line]
    # F of a: 1, of b: P = 1, R = 2/3, 4/5; of c: 0.
    assert rows == [
        ["top 1", "75.0"],
        ["top 5", "100.0"],  # of equal scores the first by number
        ["mean over classes", "83.3"],
        ["macro F-measure", "60.0"],
        ["chance", "16.7"],
        ["most frequent class", "75.0"],
    ]
    show_accuracy("Title", measure_scores(scores[:, :3], classes[:3], list("abbb")))
    out = capsys.readouterr().out
    assert "top 5" not in out
    assert "most frequent" not in out


def test_a_name_with_a_line_break_cannot_pass_for_another_message(capsys: Capture) -> None:
    warn_of_rejected([Rejection("a\nerror: all is lost.mp4", "empty")])
    assert capsys.readouterr().err == "warning: rejected a?error: all is lost.mp4: empty\n"
