"""MMAct: trimmed videos of 37 classes, 20 subjects and 4 cameras; the path of a file is its annotation.

``subject1/cam1/scene1/session1/carrying.mp4``, folders in any order. Verified in the challenge's description
and in public code are the names of the folders, that a trimmed file is called by its class, and that subjects
1 to 16 train; recalled is the rule of sessions. The authors' own lists of splits, which come with the
challenge, are not read.

Reference: Kong et al., MMAct: a large-scale dataset for cross modal human action understanding, ICCV 2019,
section 5.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from unreel.data.layouts.annotation_files import AnnotationFiles
from unreel.data.layouts.layout import AnnotatedVideo, Annotations, Layout
from unreel.data.layouts.published import Published
from unreel.errors import CatalogError

_LAST_TRAIN_SUBJECT = 16
_PUBLISHED = Published(37, is_verified=True)
Place = Mapping[str, int]
"""Subject, scene, session and perhaps cam -> number."""


def read_mmact(files: AnnotationFiles, split: str) -> Annotations:
    """Read labels and splits from paths; a group is what all cameras saw at once.

    Args:
        files: the annotation files, of which only the paths of videos are needed.
        split: ``"cross-subject"``: subjects 1 to 16 train; ``"cross-session"``: of every subject, the first
            four fifths of the session numbers train.

    Raises:
        CatalogError: no video has such a path.
    """
    parsed = [(path, *found) for path in files.videos if (found := parse_path(path))]
    if not parsed:
        raise CatalogError(
            f"none of {len(files.videos)} videos has a path such as "
            "subject1/cam1/scene1/session1/carrying.mp4; name the folder of MMAct's trimmed videos"
        )
    sessions: defaultdict[int, set[int]] = defaultdict(set)
    for _, place, _ in parsed:
        sessions[place["subject"]].add(place["session"])
    last = {subject: _last_train_session(numbers) for subject, numbers in sessions.items()}
    videos = []
    for path, place, label in parsed:
        if split == "cross-subject":
            is_train = place["subject"] <= _LAST_TRAIN_SUBJECT
        else:
            is_train = place["session"] <= last[place["subject"]]
        group = "_".join(f"{name}{place[name]}" for name in ("subject", "scene", "session"))
        videos.append(AnnotatedVideo(path, label, "train" if is_train else "test", group, path=path))
    return Annotations(videos, _PUBLISHED)


def _last_train_session(numbers: set[int]) -> int:
    ordered = sorted(numbers)
    return ordered[max(1, len(ordered) * 4 // 5) - 1]


def parse_path(path: str) -> tuple[Place, str] | None:
    """Return where a video was made and its class, None for a path that does not say it."""
    place = {}
    for folder in Path(path).parts[:-1]:
        if found := re.fullmatch(r"(subject|scene|session|cam)(?:era)?_?(\d{1,9})", folder, re.IGNORECASE):
            place[found[1].lower()] = int(found[2])
    # A number behind a class tells its repetitions apart.
    action = re.fullmatch(r"([A-Za-z][A-Za-z_ -]*?)[ _-]*\(?\d*\)?", Path(path).stem)
    if action is None or not {"subject", "scene", "session"} <= place.keys():
        return None
    return place, re.sub("[ -]", "_", action[1].lower())


MMACT = Layout(
    "the trimmed videos, which the MMAct page gives to whoever signs its agreement",
    read_mmact,
    ("cross-subject", "cross-session"),
)
