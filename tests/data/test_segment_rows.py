import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.data.catalog import Segment
from unreel.data.segment_rows import SegmentRow, gather_segments, read_times


def row(path: str, start: float, end: float, label: str = "a", **fields: str) -> SegmentRow:
    return SegmentRow("here", path, (start, end), label, **fields)


@pytest.mark.parametrize(
    ("start", "end", "times"), [("0", "1.5", (0.0, 1.5)), ("1e1", "20", (10.0, 20.0)), ("", "", None)]
)
def test_times_are_seconds_or_nothing(start: str, end: str, times: tuple[float, float] | None) -> None:
    assert read_times(start, end, "here") == times


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (
            "2",
            "2",
            "v.csv, line 3: a stretch from 2 to 2 s must start at 0 or later and end after its start; corr",
        ),
        ("3", "2", "a stretch from 3 to 2 s must start"),
        ("-1", "2", "a stretch from -1 to 2 s must start"),
        ("", "2", "v.csv, line 3: a stretch from '' to '2' is not two numbers of seconds; leave both empty"),
        ("1", "", "a stretch from '1' to '' is not"),
        ("0:01", "0:02", "a stretch from '0:01' to '0:02' is not"),
        ("nan", "2", "a stretch from 'nan' to '2' is not"),
        ("0", "inf", "a stretch from '0' to 'inf' is not"),
    ],
)
def test_times_that_make_no_sense_are_refused_by_line(start: str, end: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_times(start, end, "v.csv, line 3")


def test_rows_of_a_video_stand_anywhere_and_overlap() -> None:
    rows = [row("b.mp4", 3, 5), row("a.mp4", 0, 1, "x"), row("./b.mp4", 0, 4, "b"), row("b.mp4", 3, 4)]
    assert gather_segments(rows) == [
        ("b.mp4", "", "", "", (Segment(0, 4, "b"), Segment(3, 4, "a"), Segment(3, 5, "a"))),
        ("a.mp4", "x", "", "", (Segment(0, 1, "x"),)),
    ]


def test_a_row_that_is_given_twice_is_one_segment() -> None:
    assert gather_segments([row("a.mp4", 0, 1)] * 2)[0][4] == (Segment(0, 1, "a"),)


def test_a_row_without_times_is_about_the_video() -> None:
    rows = [SegmentRow("here", "a.mp4", None, "whole"), row("a.mp4", 0, 1), SegmentRow("here", "b.mp4")]
    assert gather_segments(rows) == [
        ("a.mp4", "whole", "", "", (Segment(0, 1, "a"),)),
        ("b.mp4", "", "", "", ()),
    ]


def test_split_and_group_may_stand_in_any_row_of_a_video() -> None:
    rows = [
        row("a.mp4", 0, 1),
        row("a.mp4", 1, 2, split="test", group="film"),
        row("a.mp4", 2, 3, split="test"),
    ]
    assert gather_segments(rows)[0][:4] == ("a.mp4", "a", "test", "film")


@pytest.mark.parametrize("field", ["split", "group"])
def test_rows_that_contradict_each_other_are_refused(field: str) -> None:
    rows = [row("a.mp4", 0, 1, **{field: "x"}), SegmentRow("line 3", "a.mp4", (1, 2), "a", **{field: "y"})]
    message = (
        f"line 3: the {field} is 'y', but 'x' in a row above for the same video; a video has one {field}"
    )
    with pytest.raises(ValueError, match=message):
        gather_segments(rows)


def test_two_labels_for_a_whole_video_are_refused() -> None:
    rows = [SegmentRow("line 2", "a.mp4", None, "x"), SegmentRow("line 3", "a.mp4", None, "y")]
    with pytest.raises(ValueError, match="line 3: the label is 'y', but 'x' in a row above"):
        gather_segments(rows)


def test_a_segment_needs_a_label() -> None:
    with pytest.raises(ValueError, match="line 2: the stretch has no label; fill it in or remove the line"):
        gather_segments([SegmentRow("line 2", "a.mp4", (0, 1))])


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5), st.integers(1, 5), st.sampled_from("xy")))
)
def test_no_segment_is_lost_or_made_up(spans: list[tuple[str, int, int, str]]) -> None:
    rows = [row(path, start, start + length, label) for path, start, length, label in spans]
    gathered = {
        (path, segment.start_sec, segment.end_sec - segment.start_sec, segment.label)
        for path, *_, segments in gather_segments(rows)
        for segment in segments
    }
    assert gathered == set(spans)
