from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.data.layouts.annotation_text import (
    check_name,
    expect,
    read_json,
    read_lines,
    read_rows,
    read_text,
    take,
)
from unreel.errors import CatalogError


def write(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "file"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_lines_have_their_numbers_whatever_ends_them(tmp_path: Path) -> None:
    path = write(tmp_path, "\ufeffa 1\r\n\r\n  b 2  \rc 3\n")
    assert list(read_lines(path)) == [
        (f"{path}, line 1", "a 1"),
        (f"{path}, line 3", "b 2"),
        (f"{path}, line 4", "c 3"),
    ]


def test_text_that_is_none_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"file, byte 3: is not UTF-8 text; download the file again"):
        read_text(write(tmp_path, b"abc\xff"))
    with pytest.raises(CatalogError, match=r"gone: cannot be read \(No such file or directory\)"):
        read_text(tmp_path / "gone")


def test_rows_are_read_by_their_columns(tmp_path: Path) -> None:
    path = write(tmp_path, 'label, id ,x\r\n"air drumming", a ,1\r\n\r\n"b ""c""",d,\r\n')
    assert list(read_rows(path, ("id", "label"))) == [
        (f"{path}, line 2", {"label": "air drumming", "id": "a", "x": "1"}),
        (f"{path}, line 4", {"label": 'b "c"', "id": "d", "x": ""}),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "label,x\na,1\n",
            r"file, line 1: the header has no column 'id', only label, x; download the file ag",
        ),
        ("", r"file, line 1: the header has no column 'id', only nothing"),
        ("id,x\na\n", r"file, line 2: has 1 cells but the header 2"),
        ('id,x\n"' + "a" * 140_000, r"file, line \d+: is not CSV \(field larger .*\); check the quotes"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused_with_its_place(
    text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        list(read_rows(write(tmp_path, text), ("id",)))


def test_json_is_read_as_what_it_should_hold(tmp_path: Path) -> None:
    assert read_json(write(tmp_path, '\ufeff{"a": [1]}'), dict) == {"a": [1]}
    with pytest.raises(ValueError, match="file: expected a list, got dict; download the file again"):
        read_json(write(tmp_path, "{}"), list)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"id": 1},\n {"id" 2}]', r"file, line 2, column 8: is not JSON \(Expecting ':' delimiter\)"),
        ('[{"id": 1}', r"file, line 1, column 11: is not JSON"),
        ("[" * 200_000, r"file: holds no annotations \(.*\); download the file again"),
        ("[" + "9" * 5000 + "]", r"file: holds no annotations \(.*digits.*\); download the file again"),
    ],
)
def test_json_that_is_broken_is_refused_with_its_place(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        read_json(write(tmp_path, text), list)


def test_entries_hold_what_they_should() -> None:
    assert expect([1], list, "here") == [1]
    assert take({"id": " 7 "}, "id", "here") == "7"
    assert take({"label": 0}, "label", "here") == "0"
    with pytest.raises(ValueError, match="here: expected a dict, got str"):
        take("x", "id", "here")
    for value in (None, True, 1.5, ["a"]):
        with pytest.raises(ValueError, match="here: has no text or number 'id'; download the file again"):
            take({"id": value}, "id", "here")


@pytest.mark.parametrize(
    "name", ["a.avi", "#20_Rhythm_clap_0.avi", "-3B32lodo2M", "a..b", "é (in a game)", "…"]
)
def test_names_as_data_sets_have_them_pass(name: str) -> None:
    assert check_name(name, "here") == name
    assert check_name(f"folder/{name}", "here", has_folder=True) == f"folder/{name}"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "../a.avi",
        "a/../../b.avi",
        "/etc/passwd",
        "a//b.avi",
        "./a.avi",
        "C:\\a.avi",
        "a\0b",
        "a\nb",
        "a/",
    ],
)
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    for has_folder in (False, True):
        with pytest.raises(ValueError, match=r"line 3: .* is no name as the data set has them"):
            check_name(name, "line 3", has_folder=has_folder)


def test_a_folder_stands_only_where_it_may() -> None:
    with pytest.raises(ValueError, match="here: 'a/b' is no class as the data set has them"):
        check_name("a/b", "here", what="class")


@given(st.text("ab./\\\0 ~", max_size=8))
def test_whatever_passes_stays_below_the_folder(name: str) -> None:
    root = Path("/data/videos")
    try:
        check_name(name, "here", has_folder=True)
    except ValueError:
        return
    assert root in (root / name).resolve().parents
