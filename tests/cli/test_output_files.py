import errno
import os
from pathlib import Path

import pytest

from unreel.cli.main import run
from unreel.cli.output_files import check_outputs, write_outputs
from unreel.errors import UnreelError


def test_files_that_can_be_written_pass_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("old")
    check_outputs({"--out": tmp_path / "new" / "deep" / "a.json", "--data": None})
    check_outputs({"--out": tmp_path / "old.json", "--data": tmp_path / "a.json"})
    assert [path.name for path in tmp_path.iterdir()] == ["old.json"]
    assert (tmp_path / "old.json").read_text() == "old"


def test_a_name_without_a_folder_lies_in_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_outputs({"--out": Path("a.json")})
    (tmp_path / "a.json").mkdir()
    with pytest.raises(ValueError, match=r"--out a.json is a folder; name a file in it"):
        check_outputs({"--out": Path("a.json")})


def test_a_place_under_a_file_or_where_no_file_can_be_is_refused_with_the_flag(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"--data .*file/a.json cannot be written: .* \(Not a directory\)"):
        check_outputs({"--out": None, "--data": tmp_path / "file" / "a.json"})
    with pytest.raises(ValueError, match=r"--out /proc/no/a.json cannot be written: .* in /proc \("):
        check_outputs({"--out": Path("/proc/no/a.json")})


@pytest.mark.parametrize("other", ["a.png", "b/../a.png", "link"])
def test_two_flags_for_one_file_are_refused_however_it_is_spelled(tmp_path: Path, other: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "a.png")
    (tmp_path / "b").mkdir()
    with pytest.raises(ValueError, match=r"--out and --data name the same file, .*; give each"):
        check_outputs({"--out": tmp_path / "a.png", "--data": tmp_path / other})


@pytest.mark.parametrize("spelled", ["in.json", "b/../in.json", "link"])
def test_what_is_read_is_not_replaced_however_it_is_spelled(tmp_path: Path, spelled: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "in.json")
    (tmp_path / "b").mkdir()
    outputs = {"--data": None, "--out": tmp_path / spelled}
    with pytest.raises(ValueError, match=r"^--out names the same file as --first, .*in\.json; give another"):
        check_outputs(outputs, {"--motion": None, "--first": tmp_path / "in.json"})
    with pytest.raises(ValueError, match=r"^--out names the same file as --tables, .*; give another"):
        check_outputs(outputs, {"--tables": (tmp_path / "other.json", tmp_path / "in.json")})
    check_outputs(outputs, {"--tables": (tmp_path / "other.json",), "--first": tmp_path / "b"})


@pytest.mark.parametrize(
    "name",
    [
        "recipe.json",
        "metrics.jsonl",
        "checkpoints/step_1.pt",
        "encoder/x.json",
        "classifier/classifier.json",
        "model.safetensors",
    ],
)
def test_files_of_a_run_are_not_replaced_but_results_may_lie_beside_them(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=rf"--out .*{name} is a file of --run .* itself; give another"):
        check_outputs({"--out": tmp_path / name}, {"--run": tmp_path})
    check_outputs({"--out": tmp_path / "degree.json", "--data": tmp_path / "new" / name}, {"--run": tmp_path})


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("evaluate svm --features in --classifier in", "--classifier names the same file as --features"),
        ("evaluate svm --features in --out in", "--out names the same file as --features"),
        ("evaluate retrieval --features in --out in", "--out names the same file as --features"),
        ("evaluate knn --features in --out in", "--out names the same file as --features"),
        ("evaluate cycle --encoder e --catalog in --out in", "--out names the same file as --catalog"),
        ("evaluate degree --run r --catalog in --out in", "--out names the same file as --catalog"),
        ("evaluate similarity --run r --catalog c --out r/recipe.json", "is a file of --run"),
        ("evaluate shuffle-sensitivity --encoder e --catalog in --out in", "the same file as --catalog"),
        ("evaluate motion-gain in b --catalog c --out in", "--out names the same file as the first result"),
        ("evaluate motion-gain a in --catalog c --out in", "--out names the same file as the second"),
        ("evaluate motion-gain a b --catalog c --motion in --out in", "the same file as --motion"),
        ("report motion-gain in.png --out in.png", "--out names the same file as the result"),
        ("report motion --catalog c --motion in --data in", "--data names the same file as --motion"),
        ("report retrieval --features a in --catalog c --data in", "the same file as --features"),
        ("report attention --run r --catalog in --data in", "--data names the same file as --catalog"),
        ("extract --encoder e --catalog in --out in", "--out names the same file as --catalog"),
        ("extract --encoder e --catalog c --out e/encoder.json", "is a file of --encoder"),
        ("scan in --rejected in", "--rejected names the same file as a source"),
    ],
)
def test_no_command_replaces_what_it_reads(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("in", "in.png"):
        (tmp_path / name).write_text("precious")
    assert run(command.split()) == 2
    assert message in capsys.readouterr().err
    assert [path.read_text() for path in tmp_path.iterdir()] == ["precious", "precious"]


def test_every_file_is_tried_and_those_that_failed_are_named(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path.with_name(".temporary")))

    def write(path: Path) -> None:
        path.write_text("whole")

    with pytest.raises(UnreelError) as caught:
        write_outputs(
            {"--out": (tmp_path / "a", fail), "--data": (tmp_path / "b", write), "--more": (None, fail)}
        )
    assert str(caught.value) == (
        f"--out {tmp_path / 'a'} was not written (No space left on device); make room or name another file, "
        "and run the command again"
    )
    assert (tmp_path / "b").read_text() == "whole"
