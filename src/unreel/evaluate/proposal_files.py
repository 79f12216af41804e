"""Proposals as a file that others read: the JSON of ActivityNet's task of temporal action proposals."""

import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unreel.data.catalog import Catalog
from unreel.errors import UnreelError
from unreel.evaluate.soft_nms import ScoredSegments
from unreel.runs import read_json, write_json

_PREFIX = "v_"
"""What ActivityNet puts before the id of a video to name its file."""


@dataclass(frozen=True)
class VideoProposals:
    """What a localiser says of one video.

    Attributes:
        video_id: of the catalog.
        path: as in the catalog.
        seconds: length of the video.
        found: start and end in seconds, the best first.
    """

    video_id: str
    path: str
    seconds: float
    found: ScoredSegments


def name_videos(paths: Sequence[str]) -> list[str]:
    """Return the names by which videos go in the file: their files' names without suffix.

    ActivityNet's ``v_`` is taken away where all have it. Where two files have one name, all keep their path.
    """
    names = [PurePosixPath(path).stem for path in paths]
    if names and all(name.startswith(_PREFIX) and name != _PREFIX for name in names):
        names = [name.removeprefix(_PREFIX) for name in names]
    return names if len(set(names)) == len(names) else list(paths)


def write_proposals(path: Path, proposals: Sequence[VideoProposals], *, details: str) -> None:
    """Write proposals in ActivityNet's form, in one step.

    Args:
        path: the JSON file.
        proposals: of every video.
        details: what data they were made with.
    """
    names = name_videos([video.path for video in proposals])
    results = {
        name: [
            {"score": round(float(score), 9), "segment": [round(float(start), 6), round(float(end), 6)]}
            for (start, end), score in zip(video.found.segments_K2, video.found.scores_K, strict=True)
        ]
        for name, video in zip(names, proposals, strict=True)
    }
    write_json(
        path,
        {"version": "VERSION 1.3", "results": results, "external_data": {"used": True, "details": details}},
    )


def read_proposals(path: Path) -> dict[str, ScoredSegments]:
    """Read proposals in ActivityNet's form, of any program, and sort them by score.

    Returns:
        By the name in the file; start and end in seconds, the best first.

    Raises:
        UnreelError: the file is missing, is no JSON of this form, or a proposal is none.
    """
    try:
        content = read_json(Path(path))
    except FileNotFoundError as error:
        raise UnreelError(
            f"{path}: there is no such file; make one with `unreel localize propose`"
        ) from error
    except (OSError, ValueError) as error:
        raise UnreelError(f"{path} cannot be read as JSON: {error}; write it again") from error
    results = content.get("results") if isinstance(content, Mapping) else None
    if not isinstance(results, Mapping):
        raise UnreelError(
            f'{path} has no "results"; proposals are {{"results": {{VIDEO: [{{"score": 0.9, "segment": [1.5, '
            "4.0]}]}} as `unreel localize propose` writes them"
        )
    return {str(name): _parse_video(path, name, listed) for name, listed in results.items()}


def _parse_video(path: Path, name: str, listed: Any) -> ScoredSegments:  # noqa: ANN401 (JSON is any value)
    rows = []
    for number, item in enumerate(listed if isinstance(listed, list) else [None]):
        try:
            start, end = map(float, list(item["segment"]) if isinstance(item["segment"], list) else ())
            rows.append((start, end, float(item["score"])))
        except (TypeError, ValueError, KeyError, OverflowError):
            raise UnreelError(
                f"{path}: proposal {number} of video {name!r} is {reprlib.repr(item)}; it must have a "
                "score and a segment of two numbers, in seconds"
            ) from None
        if not all(map(math.isfinite, rows[-1])) or not 0 <= start <= end:
            raise UnreelError(
                f"{path}: proposal {number} of video {name!r} reaches from {start} to {end} s with score "
                f"{rows[-1][2]}; numbers must be finite, and the end not before the start"
            )
    table_K3: NDArray[np.float64] = np.array(rows, dtype=np.float64).reshape(-1, 3)
    table_K3 = table_K3[np.argsort(-table_K3[:, 2], kind="stable")]
    return ScoredSegments(table_K3[:, :2], table_K3[:, 2])


def match_videos(path: Path, names: Sequence[str], catalog: Catalog) -> tuple[dict[int, str], list[str]]:
    """Find which video of a catalog each name stands for: its id, its path, or the name of its file.

    Args:
        path: of the proposals, for messages.
        names: of the file.
        catalog: the videos.

    Returns:
        The name of every row that has one, and the names that stand for no video.

    Raises:
        UnreelError: a name stands for several videos, or several for one.
    """
    rows_of: dict[str, set[int]] = {}
    for row, (video_id, own) in enumerate(zip(catalog.ids, catalog.table["path"].to_pylist(), strict=True)):
        stem = PurePosixPath(own).stem
        for known in {video_id, own, stem, stem.removeprefix(_PREFIX)}:
            rows_of.setdefault(known, set()).add(row)
    found: dict[int, str] = {}
    unknown = []
    for name in names:
        rows = rows_of.get(name, set())
        if not rows:
            unknown.append(name)
            continue
        if len(rows) > 1:
            raise UnreelError(
                f"{path}: {name!r} stands for {len(rows)} videos of the catalog, as their files have one "
                "name; name them by their paths in the catalog"
            )
        (row,) = rows
        if row in found:
            raise UnreelError(f"{path}: {found[row]!r} and {name!r} stand for one video; keep one of them")
        found[row] = name
    return found, unknown
