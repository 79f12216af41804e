from hypothesis import given
from hypothesis import strategies as st

from unreel.data.catalog import Segment
from unreel.data.scan_segments import FittedSegments


def test_segments_within_the_video_stay_as_they_are() -> None:
    fitted = FittedSegments()
    fitted.add("a.mp4", (Segment(0.0, 1.0, "x"), Segment(0.5, 2.0, "y")), 2.0)
    fitted.add("b.mp4", (), 1.0)
    assert fitted.rows == [
        [
            {"start_sec": 0.0, "end_sec": 1.0, "label": "x"},
            {"start_sec": 0.5, "end_sec": 2.0, "label": "y"},
        ],
        [],
    ]
    assert (fitted.count, fitted.num_classes) == (2, 2)
    assert (fitted.describe_cut(), fitted.describe_beyond()) == ([], [])


def test_segments_are_cut_at_the_end_of_the_video_and_left_out_behind_it() -> None:
    fitted = FittedSegments()
    fitted.add("a.mp4", (Segment(1.0, 2.5, "x"), Segment(2.0, 3.0, "y"), Segment(5.0, 6.0, "z")), 2.0)
    assert fitted.rows == [[{"start_sec": 1.0, "end_sec": 2.0, "label": "x"}]]
    assert fitted.describe_cut() == [
        "segments that end behind the end of their video, and were cut to it: 1 (a.mp4)"
    ]
    assert fitted.describe_beyond() == [
        "segments left out, because they begin behind the end of their video: 2 (a.mp4)"
    ]


def test_of_many_videos_a_few_are_named() -> None:
    fitted = FittedSegments()
    for name in "abcd":
        fitted.add(name, (Segment(0.0, 9.0, "x"),) * 2, 1.0)
    assert fitted.describe_cut()[0].endswith("were cut to it: 8 (a, b, c, ...)")


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9))), st.integers(1, 9))
def test_what_is_kept_lies_in_the_video_and_nothing_is_lost(
    spans: list[tuple[int, int]], seconds: int
) -> None:
    fitted = FittedSegments()
    fitted.add("a", tuple(Segment(start, start + length, "x") for start, length in spans), seconds)
    assert fitted.count + len(fitted.beyond) == len(spans)
    assert all(0 <= row["start_sec"] < row["end_sec"] <= seconds for row in fitted.rows[0])
    assert len(fitted.cut) == sum(start < seconds < start + length for start, length in spans)
