"""Kinetics: ten seconds each of videos that have to be downloaded one by one, so some are always missing.

``train.csv`` and its like have the columns ``label,youtube_id,time_start,time_end,split``; a test list may
have no labels. Files are called ``<youtube_id>_<start>_<end>.mp4`` with six digits for each time, in folders
of their classes or none.

Reference: Kay et al., The Kinetics human action video dataset, 2017.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from unreel.data.layouts.annotation_files import AnnotationFiles
from unreel.data.layouts.annotation_text import check_name, read_rows
from unreel.data.layouts.layout import AnnotatedVideo, Annotations, Layout
from unreel.data.layouts.published import Published

_WORDS = {"train": ("train",), "val": ("val", "validate", "validation"), "test": ("test",)}
_LATEST_SEC = 1e6


def read_kinetics(files: AnnotationFiles, _: str, *, num_classes: int) -> Annotations:
    """Read the lists of all splits that there are; a group is the video that clips were cut from.

    Args:
        files: the annotation files.
        num_classes: 400, 600 or 700.

    Raises:
        CatalogError: there is no list at all.
        ValueError: a line makes no sense.
    """
    videos: list[AnnotatedVideo] = []
    absent = []
    for split, words in _WORDS.items():
        path = files.find(*(name for word in words for name in _name_lists(word, num_classes)))
        if path is None:
            absent.append(split)
        else:
            videos += _read_list(path, split)
    if len(absent) == len(_WORDS):
        raise files.report_missing("train.csv, val.csv or test.csv")
    notes = [
        f"no list was found of {' and '.join(absent)}, which {'is' if len(absent) == 1 else 'are'} left out"
    ]
    # How many videos there are differs between releases of the lists, so only the classes are compared.
    return Annotations(videos, Published(num_classes, is_verified=True), notes=notes if absent else [])


def _name_lists(word: str, num_classes: int) -> Iterator[str]:
    yield f"{word}.csv"
    for separator in ("", "_", "-"):
        yield f"kinetics{separator}{num_classes}_{word}.csv"
    yield f"kinetics_{word}.csv"
    yield f"k{num_classes}_{word}.csv"


def _read_list(path: Path, split: str) -> Iterator[AnnotatedVideo]:
    for where, row in read_rows(path, ("youtube_id", "time_start", "time_end")):
        youtube_id = check_name(row["youtube_id"], where)
        start, end = (_read_second(row[name], where, name) for name in ("time_start", "time_end"))
        label = row.get("label", "").replace('"', "").replace("_", " ")
        name = f"{youtube_id}_{start:06d}_{end:06d}.mp4"
        if label:
            name = f"{check_name(label, where, what='class')}/{name}"
        yield AnnotatedVideo(name, label, split, youtube_id)


def _read_second(text: str, where: str, column: str) -> int:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < _LATEST_SEC:
        raise ValueError(f"{where}: {column} is {text!r}, not a number of seconds; download the file again")
    return int(seconds)


def make_kinetics(num_classes: int) -> Layout:
    """Return the layout of Kinetics-400, -600 or -700."""
    return Layout(
        f"the Kinetics-{num_classes} download of Google DeepMind's Kinetics page, or its copy at the CVD "
        "Foundation",
        partial(read_kinetics, num_classes=num_classes),
    )
