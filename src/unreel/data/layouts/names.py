"""The layouts by name, and what the files of one are: videos with labels, and videos that are missing."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unreel.data.folder_walk import FolderContents, printable, walk_folder
from unreel.data.layouts.activitynet import ACTIVITYNET
from unreel.data.layouts.annotation_files import AnnotationFiles
from unreel.data.layouts.diving48 import DIVING48
from unreel.data.layouts.hacs import HACS
from unreel.data.layouts.hmdb51 import HMDB51
from unreel.data.layouts.jhmdb import JHMDB
from unreel.data.layouts.kinetics import make_kinetics
from unreel.data.layouts.layout import Layout
from unreel.data.layouts.matching import iterate_counts, match_files
from unreel.data.layouts.mmact import MMACT
from unreel.data.layouts.published import compare_counts, describe_missing
from unreel.data.layouts.something import SOMETHING_V2
from unreel.data.layouts.ucf101 import UCF101
from unreel.data.video_lists import ListedVideo
from unreel.errors import CatalogError

LayoutName = Literal[
    "none",
    "ucf101",
    "hmdb51",
    "jhmdb",
    "kinetics400",
    "kinetics600",
    "kinetics700",
    "something-v2",
    "diving48",
    "activitynet",
    "hacs",
    "mmact",
]
"""Data sets that are read from their official annotation files; "none" reads folders and lists."""

LAYOUTS: dict[str, Layout] = {
    "ucf101": UCF101,
    "hmdb51": HMDB51,
    "jhmdb": JHMDB,
    "kinetics400": make_kinetics(400),
    "kinetics600": make_kinetics(600),
    "kinetics700": make_kinetics(700),
    "something-v2": SOMETHING_V2,
    "diving48": DIVING48,
    "activitynet": ACTIVITYNET,
    "hacs": HACS,
    "mmact": MMACT,
}

_NAMES_SHOWN = 3


@dataclass(frozen=True)
class DataSet:
    """Which data set, and where its annotations are.

    Attributes:
        layout: its name.
        split: which of several ways to divide it, "" for the usual one.
        annotations: folder of the annotation files; None looks in the sources.

    Raises:
        ValueError: a split or annotations of no layout.
    """

    layout: LayoutName = "none"
    split: str = ""
    annotations: Path | None = None

    def __post_init__(self) -> None:
        if self.layout == "none" and (self.split or self.annotations is not None):
            raise ValueError(
                "layout_split and annotations are those of a data set; name it with --layout, or leave them "
                "out"
            )


NO_DATA_SET = DataSet()


@dataclass(frozen=True)
class LaidOut:
    """What a data set on the disk holds.

    Attributes:
        videos: those that are annotated and there, by absolute paths.
        missing: path where a video might be -> why it is not used.
        contents: of the sources.
        notes: what the user should know.
        warnings: what the user should mend.
    """

    videos: list[ListedVideo]
    missing: dict[str, str]
    contents: FolderContents
    notes: list[str]
    warnings: list[str]


def read_data_set(data_set: DataSet, sources: Sequence[Path], report: Callable[[int], None]) -> LaidOut:
    """Read a data set's annotations and find its videos.

    Args:
        data_set: which; its layout is not "none".
        sources: absolute paths of the folders with its videos.
        report: called with the number of files found so far.

    Raises:
        CatalogError: a source is no folder, or an annotation file is missing.
        ValueError: the layout has no such split, or an annotation file makes no sense.
    """
    layout = LAYOUTS[data_set.layout]
    split = data_set.split or layout.splits[0]
    if split not in layout.splits:
        known = ", ".join(layout.splits) if layout.splits != ("",) else "none to choose"
        raise ValueError(f"layout {data_set.layout} has no split {split!r} (--layout-split); it has {known}")
    contents = _walk(data_set.layout, sources, report)
    # Files that cannot be read are found all the same, and refused with their own reason.
    paths = list(dict.fromkeys([*(file.path for file in contents.files), *contents.refused]))
    folders = sources if data_set.annotations is None else [Path(os.path.abspath(data_set.annotations))]
    annotations = layout.read(AnnotationFiles(folders, layout.origin, paths), split)
    match = match_files(annotations, paths)
    absent = [video for video, _ in match.missing]
    counts = list(iterate_counts(annotations.videos))
    warnings = [*annotations.warnings, *compare_counts(counts, annotations.published)]
    if absent:
        warnings.append(describe_missing(iterate_counts(absent), counts))
    return LaidOut(
        [
            ListedVideo(path, video.label, video.split, video.group, video.segments)
            for video, path in match.found
        ],
        {os.path.join(sources[0], *video.name.split("/")): reason for video, reason in match.missing},
        contents,
        annotations.notes + _note_unnamed(match.unnamed),
        warnings,
    )


def _walk(layout: str, sources: Sequence[Path], report: Callable[[int], None]) -> FolderContents:
    contents = FolderContents()
    for source in sources:
        if not source.is_dir():
            raise CatalogError(
                f"{printable(str(source))}: layout {layout} takes folders; name the folder of the videos"
            )
        found = walk_folder(str(source), report)
        contents.add(found)
        contents.repeated += found.repeated
    return contents


def _note_unnamed(paths: Sequence[str]) -> list[str]:
    if not paths:
        return []
    shown = ", ".join(printable(os.path.basename(path)) for path in paths[:_NAMES_SHOWN])
    more = ", ..." if len(paths) > _NAMES_SHOWN else ""
    return [
        f"videos on the disk that no annotation names, and which are left out: {len(paths)} ({shown}{more})"
    ]
