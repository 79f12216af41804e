"""The command ``unreel paper``."""

import json
from pathlib import Path

import pytest

from tests.report.paper_examples import C3D, FEATURES, SPEC, retrieval_values
from unreel.cli.main import run
from unreel.report.paper_results import PAPERS, list_tables, load_paper_results

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def result(tmp_path: Path) -> Path:
    path = tmp_path / "retrieval.json"
    path.write_text(json.dumps(retrieval_values()))
    return path


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A run of CACL as far as files that are read say so, with the same retrieval in it."""
    folder = tmp_path / "runs" / "cacl"
    (folder / "encoder").mkdir(parents=True)
    (folder / "evaluations").mkdir()
    recipe = {"recipe": "cacl.ucf101", "settings": {"method": {"backbone": C3D}, "train": {"epochs": 1}}}
    encoder = {"hash": FEATURES["encoder_hash"], "input": SPEC, "provenance": {"method": "CACL", "step": 7}}
    provenance = {"parts": [{"catalog": "1" * 16, "videos": 9537, "initial_weights": {}}]}
    for name, values in (
        ("recipe.json", recipe),
        ("encoder/encoder.json", encoder),
        ("provenance.json", provenance),
        ("evaluations/retrieval.json", retrieval_values()),
    ):
        (folder / name).write_text(json.dumps(values))
    return folder


def cells(out: str, start: str) -> list[str]:
    """Return the cells of the first row of a table that starts with a text."""
    row = next(line for line in out.splitlines() if line.startswith(f"│ {start}"))
    return [cell.strip() for cell in row.strip("│").split("│")]


def test_papers_and_their_tables_are_listed(capsys: Capture) -> None:
    assert run(["paper"]) == 0
    out = capsys.readouterr().out
    assert "CACL: Cross-Architecture Self-supervised Video Representation Learning" in out
    assert "\nSCVRL: Shuffled Contrastive" in out
    assert cells(out, "   11")[1:] == [
        "69",
        "UCF101 and HMDB51, with sound, text and flow, frozen or fine-tuned",
    ]
    assert run(["paper", "ccl"]) == 0
    out = capsys.readouterr().out
    assert "CACL" not in out
    assert out.count("│") == 4 * len(list_tables("ccl"))


def test_a_table_is_shown_with_marks_and_what_they_mean(capsys: Capture) -> None:
    assert run(["paper", "cacl", "4"]) == 0
    out = capsys.readouterr().out
    assert cells(out, "RSPNet")[3:] == ["UCF101 split1", "36.0~", "56.7~", "66.5~", "76.3~", "87.7~"]
    assert "marks     ~: the digits are as printed, their place in the table was found" in out
    assert "+7.2 over RSPNet" in out
    assert "unreel paper cacl 4 --results RESULT.json --runs RUN" in out


@pytest.mark.parametrize(
    ("paper", "table"), [(paper, table) for paper in PAPERS for table in list_tables(paper)]
)
def test_every_table_shows_its_numbers(paper: str, table: str, capsys: Capture) -> None:
    assert run(["paper", paper.lower(), table]) == 0
    out = capsys.readouterr().out
    body = [line for line in out.splitlines() if line.startswith("│")]
    shown = " ".join(cell.strip().rstrip("~?") for line in body for cell in line.split("│")).split()
    numbers = [own.raw for own in load_paper_results() if (own.paper, own.number) == (paper, table)]
    assert [number for number in numbers if shown.count(number) < numbers.count(number)] == []


def test_numbers_stand_one_below_the_other(capsys: Capture) -> None:
    assert run(["paper", "scvrl", "6"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert len({row.rindex(".") for row in rows if "64.7" not in row}) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["byol"], "no paper is called 'byol'; the papers are: cacl, vclr, scvrl, ccl"),
        (["cacl", "6"], "CACL has no table '6' with results; its tables are: 1, 2, 3, 4, 5"),
        (["byol", "6", "--json"], "no paper is called 'byol'"),
    ],
)
def test_wrong_names_give_the_list(words: list[str], message: str, capsys: Capture) -> None:
    assert run(["paper", *words]) == 2
    assert message in capsys.readouterr().err


def test_own_numbers_stand_below_those_of_the_paper(result: Path, trained: Path, capsys: Capture) -> None:
    assert run(["paper", "cacl", "4", "--results", str(result), "--runs", str(trained)]) == 0
    out = capsys.readouterr().out
    assert cells(out, "yours: cacl/encoder") == [
        "yours: cacl/encoder",
        "C3D",
        "yours",
        "yours",
        "43.9",
        "60.0",
        "-",
        "-",
        "-",
    ]
    assert cells(out, "data set")[1].startswith("catalog fedcba9876543210; a result does not know")
    assert "less CACL, C3D, UCF101 train split1, UCF101 split1" in out
    assert "top1 +0.7, top5 -1.1" in out
    # What was done otherwise comes first, and the difference says so.
    assert out.index("Done otherwise in cacl/encoder") < out.index("top1 +0.7, top5 -1.1")
    assert "with all that the table above names done otherwise" in out
    assert "how far numbers lie apart that were come by in different ways, and no more" in out


def test_results_that_were_come_by_alike_share_what_was_done_otherwise(
    result: Path, trained: Path, capsys: Capture
) -> None:
    assert run(["paper", "cacl", "4", "--results", str(result), "--runs", str(trained)]) == 0
    out = capsys.readouterr().out
    assert out.count("│ yours: cacl/encoder") == 2  # the file given and the file in the run
    assert out.count("Done otherwise in") == 1


def test_a_result_in_a_run_is_read_once(trained: Path, capsys: Capture) -> None:
    given = str(trained / "evaluations" / "retrieval.json")
    assert run(["paper", "cacl", "4", "--results", given, "--runs", str(trained)]) == 0
    assert "1 read, 1 of them beside a table" in capsys.readouterr().out


def test_a_run_finds_its_tables(trained: Path, capsys: Capture) -> None:
    assert run(["paper", "--runs", str(trained), "--json"]) == 0
    tables = json.loads(capsys.readouterr().out)["tables"]
    assert [(own["paper"], own["table"]) for own in tables] == [("CACL", "1"), ("CACL", "2"), ("CACL", "4")]
    (own,) = tables[2]["own"]
    assert own["row"]["numbers"]["top1"]["value"] == pytest.approx(43.9)
    assert own["own_minus_paper"][0]["points"] == {"top1": 0.7, "top5": -1.1}
    assert own["differences"][0]["setting"] == "data set"


def test_results_that_belong_nowhere_are_said_to(result: Path, tmp_path: Path, capsys: Capture) -> None:
    assert run(["paper", "--results", str(result)]) == 0
    out = capsys.readouterr().out
    assert "none has a column for these numbers and a row of the method of these runs" in out
    assert run(["paper", "cacl", "5", "--results", str(result)]) == 0
    out = capsys.readouterr().out
    assert "Yours, but not in this table" in out
    assert "measures something else: retrieval of videos" in out


def test_a_damaged_result_is_named_and_left_out(result: Path, tmp_path: Path, capsys: Capture) -> None:
    damaged = tmp_path / "damaged.json"
    damaged.write_text("{")
    assert run(["paper", "cacl", "4", "--results", str(damaged), str(result)]) == 0
    captured = capsys.readouterr()
    assert "damaged.json cannot be read as a result" in captured.err
    assert "1 read, 1 of them beside a table" in captured.out


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, capsys: Capture) -> None:
    assert run(["paper", "cacl", "4", "--runs", str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err


def test_json_lists_and_shows(capsys: Capture) -> None:
    assert run(["paper", "--json"]) == 0
    tables = json.loads(capsys.readouterr().out)["tables"]
    assert len(tables) == sum(len(list_tables(paper)) for paper in PAPERS)
    assert set(tables[0]) == {"paper", "title", "table", "topic"}
    assert run(["paper", "ccl", "2", "--json"]) == 0
    (table,) = json.loads(capsys.readouterr().out)["tables"]
    assert table["rows"][1]["method"] == "CCL"
    assert table["rows"][1]["numbers"]["A frame=>video, top1"] == {
        "value": 26.1,
        "text": "26.1",
        "status": "legible",
    }
    assert table["own"] == table["others"] == []


def test_what_cannot_be_read_of_a_run_is_said(trained: Path, capsys: Capture) -> None:
    (trained / "provenance.json").write_text("{")
    (trained / "evaluations" / "damaged.json").write_text("{")
    assert run(["paper", "cacl", "4", "--runs", str(trained)]) == 0
    captured = capsys.readouterr()
    assert "provenance.json cannot be read" in captured.err
    assert "damaged.json cannot be read" in captured.err
    assert cells(captured.out, "pre-training")[1] == "not known"
    assert cells(captured.out, "yours: cacl/encoder")[4] == "43.9"


def test_a_run_without_results_shows_the_table_alone(trained: Path, capsys: Capture) -> None:
    (trained / "evaluations" / "retrieval.json").unlink()
    assert run(["paper", "cacl", "4", "--runs", str(trained)]) == 0
    out = capsys.readouterr().out
    assert "yours:" not in out
    assert "0 read, 0 of them beside a table" in out
    assert "there is no result" not in out
    assert run(["paper", "--runs", str(trained)]) == 0
    assert "no table        there is no result; --results takes" in capsys.readouterr().out


def test_a_table_of_an_unknown_paper_is_refused_before_runs_are_read(tmp_path: Path, capsys: Capture) -> None:
    assert run(["paper", "cacl", "9", "--runs", str(tmp_path / "nowhere")]) == 2
    assert "its tables are: 1, 2, 3, 4, 5" in capsys.readouterr().err


def test_help_says_what_the_marks_mean(capsys: Capture) -> None:
    assert run(["paper", "--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "`~` marks those whose place in the table was reconstructed" in out
    assert "unreel paper cacl 4 --results retrieval.json --runs runs/cacl" in out
