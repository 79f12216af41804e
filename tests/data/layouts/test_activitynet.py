import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.layouts.trees import add_videos, read, scan, write_tree
from unreel.data.catalog import Segment
from unreel.data.layouts.activitynet import read_database
from unreel.data.layouts.layout import Annotations
from unreel.data.layouts.published import Published
from unreel.errors import CatalogError

FILE = "activity_net.v1-3.min.json"


def segment(start: Any, end: Any, label: str = "Archery") -> dict[str, Any]:
    return {"segment": [start, end], "label": label}


DATABASE = {
    "sJFgo9H6zNo": {
        "duration": 0.2,
        "subset": "training",
        "url": "https://www.youtube.com/watch?v=sJFgo9H6zNo",
        "annotations": [segment(0.12, 99.5), segment(0.01, 0.1)],
        "resolution": "1920x1080",
    },
    "V1zhqaGFY2A": {"subset": "validation", "annotations": [segment(5, 9, "Painting fence")]},
    "uOmCLzEMPGc": {"subset": "testing", "annotations": []},
    "gone0000000": {"subset": "validation", "annotations": [segment(0, 1)]},
}


def write_database(folder: Path, database: Any = DATABASE) -> Path:
    content = {"database": database, "taxonomy": [], "version": "VERSION 1.3"}
    return write_tree(folder, {FILE: json.dumps(content)})


def load(folder: Path, *annotations: dict[str, Any]) -> Annotations:
    write_database(folder, {"abc": {"subset": "training", "annotations": list(annotations)}})
    return read_database(folder / FILE, Published())


def test_the_data_set_becomes_a_catalog_with_segments(data: Path, clip: Path) -> None:
    """The clip lasts 0.2 s: one segment is cut at its end, another begins behind it."""
    names = ["videos/v_sJFgo9H6zNo.mp4", "videos/V1zhqaGFY2A.webm", "videos/v_uOmCLzEMPGc.mkv"]
    add_videos(write_database(data), names, clip)
    catalog, summary, rejected = scan("activitynet", data)
    assert list(zip(catalog.labels, catalog.splits, strict=True)) == [
        ("Painting fence", "val"),
        ("Archery", "train"),
        ("", "test"),
    ]
    assert [video.segments for video in catalog] == [
        (),
        (Segment(0.01, 0.1, "Archery"), Segment(0.12, 0.2, "Archery")),
        (),
    ]
    assert list(rejected) == ["Archery/v_gone0000000.mp4"]
    assert summary.segments == 2
    cut = "segments that end behind the end of their video, and were cut to it: 1 (videos/v_sJFgo9H6zNo.mp4)"
    beyond = (
        "segments left out, because they begin behind the end of their video: 1 (videos/V1zhqaGFY2A.webm)"
    )
    assert cut in summary.notes
    assert beyond in summary.warnings
    assert "the annotations name 2 classes, published are 200" in summary.warnings


def test_the_class_of_most_seconds_is_the_videos_own(tmp_path: Path) -> None:
    """10 s of b in two segments, 8 s of a in one."""
    annotations = load(tmp_path, segment(0, 4, "b"), segment(0, 8, "a"), segment(6, 12, "b"))
    (video,) = annotations.videos
    assert video.label == "b"
    assert [(item.start_sec, item.label) for item in video.segments] == [(0, "b"), (0, "a"), (6, "b")]
    assert annotations.notes == [
        "videos with segments of several classes, whose own label is the one of most seconds: 1"
    ]
    assert load(tmp_path, segment(0, 1, "b"), segment(0, 1, "a")).videos[0].label == "a"


def test_segments_that_end_before_they_begin_are_left_out_with_a_warning(tmp_path: Path) -> None:
    annotations = load(tmp_path, segment(3, 2), segment(-0.5, 2), segment(4, 4))
    assert annotations.videos[0].segments == (Segment(0.0, 2.0, "Archery"),)
    (warning,) = annotations.warnings
    assert warning.startswith("segments left out because they end before they begin: 2, the first is ")
    assert warning.endswith(f"{FILE}, video 'abc', segment 1")
    assert annotations.notes == []


def test_the_file_is_needed(tmp_path: Path) -> None:
    with pytest.raises(
        CatalogError, match=r"activity_net\.v1-3\.min\.json or .*download page of ActivityNet"
    ):
        read("activitynet", tmp_path)


@pytest.mark.parametrize(
    ("database", "message"),
    [
        ([], r"min\.json, database: expected a dict, got list"),
        (None, r"min\.json, database: expected a dict, got NoneType"),
        ({"a": []}, r"min\.json, video 'a': expected a dict, got list"),
        ({"a": {"subset": "dev"}}, r"video 'a': subset 'dev' is none of training, validation, testing"),
        ({"a": {"subset": "training", "annotations": {}}}, r"video 'a': expected a list, got dict"),
        ({"../a": {"subset": "training"}}, r"video '\.\./a': '\.\./a' is no name as the data set has them"),
    ],
)
def test_a_database_that_makes_no_sense_is_refused(database: Any, message: str, tmp_path: Path) -> None:
    write_database(tmp_path, database)
    with pytest.raises(ValueError, match=message):
        read("activitynet", tmp_path)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (segment("a", 2), r"video 'abc', segment 1: \['a', 2\] is not \[start, end\] in seconds; download"),
        (segment(0, float("nan")), r"segment 1: \[0, nan\] is not"),
        (segment(0, 10**400), r"segment 1: .* is not \[start, end\]"),
        ({"segment": [1, 2, 3], "label": "a"}, r"segment 1: \[1, 2, 3\] is not"),
        ({"label": "a"}, r"segment 1: expected a list, got NoneType"),
        ({"segment": [1, 2]}, r"segment 1: has no text or number 'label'"),
        (segment(1, 2, "a/../../b"), r"segment 1: 'a/\.\./\.\./b' is no class as the data set has them"),
    ],
)
def test_a_segment_that_makes_no_sense_is_refused(
    entry: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        load(tmp_path, entry)
