"""A table of features as one NumPy file per video, as many programs of other people want them."""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unreel.errors import FeaturesError
from unreel.features.export_folder import new_folder
from unreel.features.table import FeatureTable
from unreel.progress import Progress, ignore_progress

# N vectors of a video, D features

INDEX_FILE = "index.csv"
INDEX_COLUMNS = ("video_id", "path", "file", "shape")
_LONGEST_NAME = 120


@dataclass(frozen=True)
class VectorExport:
    """What was written.

    Attributes:
        folder: holds the files and their list, ``index.csv``.
        videos: number of files.
        vectors: rows of all of them together.
        dimension: D.
        renamed: videos whose file has more in its name than their path, as another would have the same.
    """

    folder: Path
    videos: int
    vectors: int
    dimension: int
    renamed: int


def export_vectors(
    table: FeatureTable, folder: Path, *, progress: Progress = ignore_progress
) -> VectorExport:
    """Write the vectors of every video as ``NAME.npy``, float32 of shape (N, D) in the order of the table.

    All files are there at the end, or none.

    Args:
        table: the features.
        folder: new or empty.
        progress: is told the number of videos done.

    Raises:
        FeaturesError: the table has no rows.
        ValueError: ``folder`` is a file or not empty.
    """
    if not len(table):
        raise FeaturesError("the table of features has no rows, so there is nothing to export; extract again")
    ids, first_V, video_G = np.unique(table.video_ids, return_index=True, return_inverse=True)
    paths_V = table.column("path")[first_V]
    by_video = np.argsort(video_G, kind="stable")
    ends_V = np.cumsum(np.bincount(video_G))
    names = name_files(zip(ids, paths_V, strict=True))
    with new_folder(folder) as inner, (inner / INDEX_FILE).open("w", newline="", encoding="utf-8") as file:
        index = csv.writer(file, lineterminator="\n")
        index.writerow(INDEX_COLUMNS)
        for done, video in enumerate(np.argsort(first_V), start=1):
            begin, end = ends_V[video - 1] if video else 0, ends_V[video]
            vectors_ND = np.ascontiguousarray(table.vectors[by_video[begin:end]])
            name = names[ids[video]]
            np.save(inner / name, vectors_ND, allow_pickle=False)
            num_vectors, dimension = vectors_ND.shape
            index.writerow([ids[video], paths_V[video], name, f"{num_vectors}x{dimension}"])
            progress(done, len(ids), "")
    plain = {video: f"{_make_safe(path)}.npy" for video, path in zip(ids, paths_V, strict=True)}
    return VectorExport(
        folder=Path(folder),
        videos=len(ids),
        vectors=len(table),
        dimension=table.info.dimension,
        renamed=sum(plain[video] != names[video] for video in ids),
    )


def name_files(videos: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return a file name for every video, by its id: its path without suffix, made safe and unique.

    Names are of ASCII letters, digits, ``.``, ``_`` and ``-``, begin with a letter, a digit or ``_``, and
    differ where upper and lower case are one, too. A folder of the path is set off by two underscores. Videos
    that would share a name all get their id behind it, so that no name depends on the order.

    Args:
        videos: id and path of each; ids are unique.
    """
    safe = {video: _make_safe(path) for video, path in videos}
    counts: dict[str, int] = {}
    for name in safe.values():
        counts[name.casefold()] = counts.get(name.casefold(), 0) + 1
    # A name with an id behind it could again be that of another video.
    taken = {name.casefold() for name in safe.values()}
    files = {}
    for video, name in safe.items():
        own = name
        if counts[name.casefold()] > 1:
            own = f"{name}-{_make_safe(video)}"
            while own.casefold() in taken:
                own += "_"
            taken.add(own.casefold())
        files[video] = f"{own}.npy"
    return files


def _make_safe(path: str) -> str:
    """Turn a path into a name without folders, such as ``archery__v_01`` of ``archery/v 01.mp4``."""
    without_suffix = re.sub(r"\.[A-Za-z0-9]{1,5}$", "", path)
    parts = [part for part in re.split(r"[/\\]+", without_suffix) if part.strip(".")]
    name = "__".join(re.sub(r"[^A-Za-z0-9._-]", "_", part) for part in parts)
    return re.sub(r"^[.-]+", "_", name[-_LONGEST_NAME:]) or "_"
