"""ActivityNet 1.3: long videos of 200 classes with labelled segments.

``activity_net.v1-3.min.json`` holds ``{"database": {ID: {"subset": "training", "annotations": [{"segment":
[0.5, 12.3], "label": "Archery"}], ...}}}``, times in seconds. Files are called ``v_ID.mp4``, ``.mkv`` or
``.webm``; the ``v_`` may be missing.

Reference: Caba Heilbron et al., ActivityNet: a large-scale video benchmark for human activity understanding,
CVPR 2015.
"""

from collections import defaultdict
from pathlib import Path

from unreel.data.catalog import Segment
from unreel.data.layouts.annotation_files import AnnotationFiles
from unreel.data.layouts.annotation_text import check_name, expect, read_json, take
from unreel.data.layouts.layout import AnnotatedVideo, Annotations, Layout
from unreel.data.layouts.published import Published

_LATEST_SEC = 1e6
_SPLITS = {"training": "train", "validation": "val", "testing": "test"}
# Verified in public repositories.
_PUBLISHED = Published(200, {"train": 10024, "val": 4926, "test": 5044}, is_verified=True)


def read_activitynet(files: AnnotationFiles, _: str) -> Annotations:
    """Read the videos of all subsets with their segments; ``test`` has none.

    Args:
        files: the annotation files.

    Raises:
        CatalogError: the file is missing.
        ValueError: an entry makes no sense.
    """
    return read_database(files.need("activity_net.v1-3.min.json", "activity_net.v1-3.json"), _PUBLISHED)


def read_database(path: Path, published: Published) -> Annotations:
    """Read a file in ActivityNet's syntax.

    A video's own label is the class that most of its annotated time belongs to. Segments that end before they
    begin are left out and warned of.

    Args:
        path: the file.
        published: what it should hold.

    Raises:
        ValueError: the file is broken or an entry makes no sense.
    """
    database = read_json(path, dict).get("database")
    videos, num_mixed = [], 0
    faults: list[str] = []
    for name, entry in expect(database, dict, f"{path}, database").items():
        where = f"{path}, video {name!r}"
        check_name(name, where)
        subset = take(entry, "subset", where)
        if subset not in _SPLITS:
            raise ValueError(f"{where}: subset {subset!r} is none of {', '.join(_SPLITS)}")
        segments = _read_segments(entry.get("annotations", []), where, faults)
        label, is_mixed = _choose_label(segments)
        num_mixed += is_mixed
        file = f"{label}/v_{name}.mp4" if label else f"v_{name}.mp4"
        videos.append(AnnotatedVideo(file, label, _SPLITS[subset], "", segments, other_name=name))
    notes = [
        f"videos with segments of several classes, whose own label is the one of most seconds: {num_mixed}"
    ]
    warnings = [
        f"segments left out because they end before they begin: {len(faults)}, the first is {place}"
        for place in faults[:1]
    ]
    return Annotations(videos, published, notes=notes if num_mixed else [], warnings=warnings)


def _read_segments(annotations: object, where: str, faults: list[str]) -> tuple[Segment, ...]:
    segments = []
    for number, entry in enumerate(expect(annotations, list, where), start=1):
        place = f"{where}, segment {number}"
        times = expect(expect(entry, dict, place).get("segment"), list, place)
        is_time = [isinstance(time, (int, float)) and abs(time) < _LATEST_SEC for time in times]
        if is_time != [True, True]:
            raise ValueError(f"{place}: {times!r} is not [start, end] in seconds; download the file again")
        start, end = max(0.0, float(times[0])), float(times[1])
        if start < end:
            segments.append(Segment(start, end, check_name(take(entry, "label", place), place, what="class")))
        else:
            faults.append(place)
    return tuple(sorted(segments, key=lambda segment: (segment.start_sec, segment.end_sec, segment.label)))


def _choose_label(segments: tuple[Segment, ...]) -> tuple[str, bool]:
    seconds: defaultdict[str, float] = defaultdict(float)
    for segment in segments:
        seconds[segment.label] += segment.end_sec - segment.start_sec
    ordered = sorted(seconds, key=lambda label: (-seconds[label], label))
    return (ordered[0] if ordered else ""), len(ordered) > 1


ACTIVITYNET = Layout('"Annotations, release 1.3" of the download page of ActivityNet', read_activitynet)
