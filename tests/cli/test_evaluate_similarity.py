import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from tests.evaluate.tiny_cacl import build_config, tiny, write_run
from tests.train.runs import build_recipe
from unreel.cli.main import run
from unreel.recipes.find import load_run_method

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "cacl", tiny())


def evaluate(run_folder: Path, catalog: Path, *words: str) -> int:
    needed = ["--run", str(run_folder), "--catalog", str(catalog), "--num-workers", "0", "--device", "cpu"]
    return run(["evaluate", "similarity", *needed, *words])


def test_every_pair_is_shown_and_kept(
    run_folder: Path, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert evaluate(run_folder, corpus, "--out", str(tmp_path / "s.json")) == 0
    captured = capsys.readouterr()
    for words in ("Gq, Gk", "Gq, Tq", "Gq, Tk", "Tq, Tk", "other videos", "3 used, 0 rejected", "s.json"):
        assert words in captured.out
    assert "3/3 clips" in captured.err
    assert f"unreel evaluate degree --run {run_folder} --catalog {corpus}" in captured.out
    values = json.loads((tmp_path / "s.json").read_text())
    assert list(values["pairs"]) == ["gq_gk", "gq_tq", "gq_tk", "tq_tk"]
    assert f"{values['pairs']['gq_gk']['mean']:.3f}" in captured.out
    assert (values["settings"]["split"], values["settings"]["step"]) == ("test", 7)


def test_json_stands_alone_and_is_the_same_every_time(
    run_folder: Path, corpus: Path, capsys: Capture
) -> None:
    found = []
    for words in ([], [], ["--seed", "1"]):
        assert evaluate(run_folder, corpus, "--json", "--split", "", "--num-rounds", "2", *words) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert (found[0]["videos"], found[0]["clips"]) == (12, 24)
    assert found[0]["pairs"] == found[1]["pairs"] != found[2]["pairs"]


def test_a_run_without_transformer_shows_the_pair_it_has_and_a_lonely_video_no_others(
    corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    from unreel.data.catalog import Catalog

    method = build_config(pairs=("gq_gk",), degree_weight=0.0)
    folder = write_run(tmp_path / "run", dataclasses.replace(tiny(), method=method))
    Catalog.load(corpus).take([3]).save(tmp_path / "one.parquet")
    assert evaluate(folder, tmp_path / "one.parquet", "--root", str(corpus.parent)) == 0
    out = capsys.readouterr().out
    assert "Gq, Gk" in out
    assert "Gq, Tq" not in out
    assert "evaluate degree" not in out
    cells = next(line for line in out.splitlines() if "Gq, Gk" in line).split("│")
    assert cells[4].strip() == "-"


def test_rejected_videos_are_announced_and_too_many_fail_the_command(
    run_folder: Path, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    shutil.copytree(corpus.parent, tmp_path / "copy")
    (tmp_path / "copy" / "03.mp4").unlink()
    words = ["--root", str(tmp_path / "copy")]
    assert evaluate(run_folder, corpus, *words, "--max-rejected-fraction", "0.4") == 0
    captured = capsys.readouterr()
    assert "2 used, 1 rejected" in captured.out
    assert "03.mp4" in captured.err
    assert evaluate(run_folder, corpus, *words) == 1
    assert "1 of 3 videos cannot be used" in capsys.readouterr().err


def test_a_run_of_another_method_is_refused_with_the_remedy(
    corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    folder = write_run(tmp_path / "run", build_recipe(corpus), name="moco.ucf101")
    assert evaluate(folder, corpus) == 2
    assert "give a run of a cacl recipe" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--run", "absent"], 1, "absent holds no run"),
        (["--split", "val"], 1, "no split 'val'"),
        (["--batch-size", "0"], 2, "batch_size must be at least 1"),
        (["--unknown"], 2, "unknown"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_right_code(
    run_folder: Path, corpus: Path, capsys: Capture, words: list[str], code: int, message: str
) -> None:
    assert evaluate(run_folder, corpus, *words) == code
    captured = capsys.readouterr()
    assert message in captured.err + captured.out


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
    next_step = next(line for line in captured.out.splitlines() if "evaluate degree" in line)
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
