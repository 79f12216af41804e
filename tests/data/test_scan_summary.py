import pyarrow as pa

from tests.data.worker_jobs import media_row
from unreel.data.catalog_table import MediaRows
from unreel.data.scan_summary import count_reasons, describe_extensions, note_oddities


def table_of(*rows: dict[str, object]) -> pa.Table:
    media = MediaRows()
    for row in rows:
        media.append(media_row(**row))
    return media.build()


def test_reasons_that_differ_in_numbers_are_one() -> None:
    reasons = ["frame 12 of MP4 fails", "empty", "frame 7 of MP4 fails", "took 1.5 s"]
    assert list(count_reasons(reasons).items()) == [
        ("frame N of MP4 fails", 2),
        ("empty", 1),
        ("took 1.5 s", 1),
    ]


def test_ordinary_videos_need_no_note() -> None:
    assert note_oddities(table_of({}, {})) == []


def test_oddities_are_counted() -> None:
    notes = note_oddities(
        table_of(
            {"note": "header promises 50 frames, 49 decode"},
            {"note": "header promises 8 frames, 6 decode", "is_variable_frame_rate": True},
            {"frames": 1},
        )
    )
    assert notes == [
        "2 videos: header promises N frames, N decode",
        "1 video: a single frame, perhaps a still picture",
        "1 video: frames unevenly apart in time",
    ]


def test_extensions_are_listed_by_frequency_up_to_six() -> None:
    assert describe_extensions({}) == ""
    assert describe_extensions({".csv": 1}) == "1 file (.csv 1)"
    many = {f".{letter}": place for place, letter in enumerate("abcdefg", start=1)}
    assert describe_extensions(many) == "28 files (.g 7, .f 6, .e 5, .d 4, .c 3, .b 2, ...)"
