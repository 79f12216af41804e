import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.evaluate.tiny_cacl import build_config, tiny, write_run
from unreel.cli.evaluate_degree import draw_confusion
from unreel.cli.main import run
from unreel.evaluate.shuffle_degree import DegreeResult
from unreel.recipes.find import load_run_method

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "cacl", tiny())


def evaluate(run_folder: Path, catalog: Path, *words: str) -> int:
    needed = ["--run", str(run_folder), "--catalog", str(catalog), "--num-workers", "0", "--device", "cpu"]
    return run(["evaluate", "degree", *needed, *words])


def test_scores_and_confusion_are_shown_and_kept(
    run_folder: Path, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert evaluate(run_folder, corpus, "--out", str(tmp_path / "d.json")) == 0
    captured = capsys.readouterr()
    for words in (
        "accuracy %",
        "within one degree %",
        "mean error, degrees",
        "best single answer",
        "Degree predicted",
        "d.json",
    ):
        assert words in captured.out
    assert "preset uniform_exact, as in training" in captured.out
    assert "30/30 clips" in captured.err
    assert f"unreel evaluate similarity --run {run_folder} --catalog {corpus}" in captured.out
    values = json.loads((tmp_path / "d.json").read_text())
    assert (values["videos"], values["clips"]) == (3, 30)  # ten rounds unless told otherwise
    assert values["settings"]["num_rounds"] == 10
    accuracy = next(line for line in captured.out.splitlines() if "accuracy %" in line)
    assert f"{100 * values['accuracy']:.1f}" in accuracy
    assert "16.7" in accuracy  # one of six degrees


def test_the_matrix_is_in_percent_of_each_row_and_aligned() -> None:
    """Four clips of degree 0, three of them told; one of 250 clips of degree 2 taken for 4; none of 3."""
    counts = np.array([[3, 1, 0, 0], [0, 249, 0, 1], [0, 0, 0, 0], [0, 0, 0, 5]])
    result = DegreeResult((0, 2, 3, 4), counts, videos=1, rejected=[], settings={}, seconds=0.0)
    assert draw_confusion(result).splitlines()[1:] == [
        "  true   clips    0   2   3   4",
        "     0       4   75  25   .   .",
        "     2     250    . 100   .   0",
        "     3       0    .   .   .   .",
        "     4       5    .   .   . 100",
    ]


def test_the_matrix_of_sixteen_degrees_fits_a_terminal() -> None:
    degrees = (0, *range(2, 17))
    result = DegreeResult(degrees, np.eye(16, dtype=np.int64) * 99999, 1, [], {}, 0.0)
    lines = draw_confusion(result).splitlines()
    assert len(lines) == 2 + 16
    assert max(map(len, lines)) <= 80
    assert len({len(line) for line in lines[1:]}) == 1


def test_json_stands_alone_and_is_the_same_every_time(
    run_folder: Path, corpus: Path, capsys: Capture
) -> None:
    found = []
    for words in ([], [], ["--seed", "1"]):
        assert evaluate(run_folder, corpus, "--json", "--num-rounds", "4", *words) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["clips"] == 12
    assert found[0]["confusion"] == found[1]["confusion"] != found[2]["confusion"]


def test_a_run_that_only_tells_degrees_names_no_similarity(
    corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    folder = write_run(tmp_path / "run", dataclasses.replace(tiny(), method=build_config(pairs=())))
    assert evaluate(folder, corpus, "--num-rounds", "1") == 0
    assert "evaluate similarity" not in capsys.readouterr().out


def test_a_run_without_the_degree_is_refused_with_the_remedy(
    corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    method = build_config(degree_weight=0.0)
    folder = write_run(tmp_path / "run", dataclasses.replace(tiny(), method=method))
    assert evaluate(folder, corpus) == 2
    assert "predicts no shuffle degree" in capsys.readouterr().err


def test_a_folder_without_a_run_is_refused(corpus: Path, tmp_path: Path, capsys: Capture) -> None:
    assert evaluate(tmp_path, corpus) == 1
    assert "holds no run" in capsys.readouterr().err


def test_rejections_are_told_beside_json_and_the_next_command_keeps_root_and_split(
    run_folder: Path, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    shutil.copytree(corpus.parent, tmp_path / "copy")
    (tmp_path / "copy" / "03.mp4").unlink()
    words = ["--root", str(tmp_path / "copy"), "--split", "test", "--max-rejected-fraction", "0.4"]
    assert evaluate(run_folder, corpus, *words, "--num-rounds", "1", "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["videos"] == 2
    assert captured.err.count("03.mp4") == 1
    assert evaluate(run_folder, corpus, *words, "--num-rounds", "1") == 0
    captured = capsys.readouterr()
    assert captured.err.count("03.mp4") == 1
    next_step = next(line for line in captured.out.splitlines() if "evaluate similarity" in line)
    assert next_step.endswith(f"--root {tmp_path / 'copy'} --split test")


def test_the_result_tells_which_weights_were_measured(
    run_folder: Path, corpus: Path, capsys: Capture
) -> None:
    assert evaluate(run_folder, corpus, "--num-rounds", "1", "--json") == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    expected = load_run_method(run_folder).describe()
    assert {name: settings[name] for name in expected} == expected
    assert expected["method_name"] == "CACL"


def test_an_unwritable_result_file_and_a_limit_that_is_no_share_are_refused_before_a_video_is_read(
    run_folder: Path, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "file").write_text("")
    for words, message in (
        (["--out", str(tmp_path)], "is a folder"),
        (["--out", str(tmp_path / "file" / "r.json")], "cannot be written"),
        (["--max-rejected-fraction", "-1"], "max_rejected_fraction must be between 0 and 1"),
        (["--max-rejected-fraction", "2"], "max_rejected_fraction must be between 0 and 1"),
    ):
        assert evaluate(run_folder, corpus, *words) == 2
        captured = capsys.readouterr()
        assert message in captured.err
        assert "clips" not in captured.err
        assert captured.out == ""
