import csv
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.data.catalog import Segment
from unreel.data.video_lists import DEFAULT_COLUMNS, ListColumns, ListedVideo, read_list
from unreel.errors import CatalogError


def read(tmp_path: Path, name: str, text: str, columns: ListColumns = DEFAULT_COLUMNS) -> list[ListedVideo]:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_list(path, columns)[0]


@pytest.mark.parametrize("name", ["train.txt", "train.list", "train.csv"])
def test_lines_of_path_and_label_are_read(name: str, tmp_path: Path) -> None:
    """The last word is the label, so a path may have spaces; mmaction2 and SlowFast write such files."""
    assert read(tmp_path, name, "a/b.mp4 3\n\nmy videos/c d.avi  jump\r\n  e.webm\t7\n") == [
        ListedVideo("a/b.mp4", "3"),
        ListedVideo("my videos/c d.avi", "jump"),
        ListedVideo("e.webm", "7"),
    ]


@given(
    st.lists(
        st.tuples(st.text("aé .,'\"", max_size=8), st.text("aé,'\"1", min_size=1, max_size=3)), max_size=5
    )
)
def test_any_path_with_a_videos_ending_and_any_one_word_label_come_back(pairs: list[tuple[str, str]]) -> None:
    videos = [ListedVideo(f"x{path}.mp4", label) for path, label in pairs]
    with TemporaryDirectory() as folder:
        lines = "".join(f"{video.path} {video.label}\n" for video in videos)
        assert read(Path(folder), "v.txt", lines) == videos


@given(
    st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=4, max_size=4))
)
def test_any_cells_that_a_csv_writer_wrote_come_back_without_outer_spaces(rows: list[list[str]]) -> None:
    """Rows without a path are refused and tested elsewhere, so every path here begins with a letter."""
    rows = [[f"x{path}", *rest] for path, *rest in rows]
    with TemporaryDirectory() as folder:
        with (Path(folder) / "v.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["path", "label", "split", "group"], *rows])
        videos, _ = read_list(Path(folder) / "v.csv", ListColumns())
    assert videos == [ListedVideo(*(cell.strip() for cell in row)) for row in rows]


def test_lines_with_only_a_path_are_read(tmp_path: Path) -> None:
    assert read(tmp_path, "test.txt", "a/b.mp4\nc d.avi\n") == [
        ListedVideo("a/b.mp4"),
        ListedVideo("c d.avi"),
    ]


def test_a_path_without_a_known_ending_needs_a_label(tmp_path: Path) -> None:
    assert read(tmp_path, "train.txt", "clips/0001 3\n") == [ListedVideo("clips/0001", "3")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.mp4 1\nb.mp4\n", r"train\.txt, line 2: 'b\.mp4' has no label but the lines before have one"),
        ("a.mp4\n\nb.mp4 1\n", r"train\.txt, line 3: 'b\.mp4 1' has a label but the lines before have none"),
        ("a.mp4 1 2\n", r"line 1: 'a\.mp4 1 2' has several words behind the path; give one label"),
        ("a.mp4 1\nframes/v1 120 3\n", r"line 2: .* lists of extracted frames are not read: list the videos"),
        (
            "a.mp4,jump\n",
            r"line 1: 'a\.mp4,jump' is one word .*separated by a space, or give the list the name \.csv",
        ),
    ],
)
def test_a_line_that_makes_no_sense_is_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        read(tmp_path, "train.txt", text)


def test_columns_stand_in_any_order(tmp_path: Path) -> None:
    text = 'split,path,group,label\ntrain,a.mp4,film,jump\ntest,"b, c.mp4",,\n\n ,d.mp4, other , run\n'
    assert read(tmp_path, "videos.csv", text) == [
        ListedVideo("a.mp4", "jump", "train", "film"),
        ListedVideo("b, c.mp4", "", "test", ""),
        ListedVideo("d.mp4", "run", "", "other"),
    ]


def test_a_byte_order_mark_and_tabs_are_read(tmp_path: Path) -> None:
    text = "\ufeffpath\tlabel\na b.mp4\tjump high\n"
    assert read(tmp_path, "videos.tsv", text) == [ListedVideo("a b.mp4", "jump high")]


def test_only_the_path_is_needed_and_only_the_path_may_be_all(tmp_path: Path) -> None:
    assert read(tmp_path, "videos.csv", "path\na.mp4\n") == [ListedVideo("a.mp4")]


def test_named_columns_are_used_and_others_noted(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("path,command,label,f_command\na.mp4,bin,old,3-9\n", encoding="utf-8")
    videos, notes = read_list(path, ListColumns(label="command"))
    assert videos == [ListedVideo("a.mp4", "bin")]
    assert notes == ["labels.csv: columns ignored: label, f_command"]


def test_one_column_may_serve_twice(tmp_path: Path) -> None:
    columns = ListColumns(group="label")
    assert read(tmp_path, "v.csv", "path,label\na.mp4,x\n", columns) == [ListedVideo("a.mp4", "x", "", "x")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "video,label\na.mp4,1\n",
            r"v\.csv, line 1: the header has no column `path`, only video, label; begin the",
        ),
        ("", r"v\.csv, line 1: the header has no column `path`, only nothing"),
        (
            "path,label\na.mp4,1\nb,c.mp4,2\n",
            r"line 3: has 3 cells but the header 2; put cells with commas in quotes",
        ),
        ("path,label\na.mp4\n", r"line 2: has 1 cells but the header 2"),
        ("path,label\n ,jump\n", r"line 2: the path is empty; remove the line or fill in the path"),
        (
            'path,label\n"a.mp4,1' + "x" * 140_000,
            r"line \d+: is not CSV \(field larger .*\); check the quotes",
        ),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        read(tmp_path, "v.csv", text)


def test_a_column_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no column 'film' to take the group from; columns are path, label"):
        read(tmp_path, "v.csv", "path,label\na.mp4,1\n", ListColumns(group="film"))


def test_names_that_are_not_utf8_survive(tmp_path: Path) -> None:
    path = tmp_path / "v.csv"
    path.write_bytes(b"path,label\ncaf\xe9.mp4,1\n")
    (video,) = read_list(path, ListColumns())[0]
    assert video.path.encode(errors="surrogateescape") == b"caf\xe9.mp4"


def test_a_list_that_cannot_be_opened_is_an_error_of_the_catalog(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"gone\.txt: cannot be read \(No such file or directory\)"):
        read_list(tmp_path / "gone.txt", ListColumns())


def test_rows_with_times_are_stretches_of_their_videos(tmp_path: Path) -> None:
    text = (
        "path,start_sec,end_sec,label,split\n"
        "a.mp4,1.5,4,pour,train\r\n"
        "b.mp4,0,2,stir,test\n"
        "a.mp4,0.5,2,cut bread,\n"
        "c.mp4,,,,train\n"
    )
    assert read(tmp_path, "v.csv", text) == [
        ListedVideo("a.mp4", "", "train", "", (Segment(0.5, 2.0, "cut bread"), Segment(1.5, 4.0, "pour"))),
        ListedVideo("b.mp4", "stir", "test", "", (Segment(0.0, 2.0, "stir"),)),
        ListedVideo("c.mp4", "", "train"),
    ]


def test_columns_of_times_may_be_named_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "v.csv"
    path.write_text("path,from,to,label\na.mp4,1,2,x\n", encoding="utf-8")
    videos, notes = read_list(path, ListColumns(start="from", end="to"))
    assert videos == [ListedVideo("a.mp4", "x", segments=(Segment(1.0, 2.0, "x"),))]
    assert notes == []


def test_without_times_a_video_may_be_listed_twice(tmp_path: Path) -> None:
    """Whoever adds the files to a catalog warns of what contradicts."""
    assert len(read(tmp_path, "v.csv", "path,label\na.mp4,x\na.mp4,y\n")) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "path,start_sec,label\na.mp4,1,x\n",
            r"v\.csv, line 1: labelled stretches need both columns, 'start_sec' and 'end_sec'; columns",
        ),
        (
            "path,start_sec,end_sec,label\n\na.mp4,2,1,x\n",
            r"v\.csv, line 3: a stretch from 2 to 1 s must start",
        ),
        ("path,start_sec,end_sec\na.mp4,1,2\n", r"v\.csv, line 2: the stretch has no label"),
    ],
)
def test_stretches_that_make_no_sense_are_refused_by_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        read(tmp_path, "v.csv", text)


def test_a_column_of_times_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no column 'from' to take the start from; columns are path, label"):
        read(tmp_path, "v.csv", "path,label\na.mp4,1\n", ListColumns(start="from"))
