"""Find the files of annotated videos by their names, whatever folders they lie in."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from unreel.data.layouts.layout import AnnotatedVideo, Annotations


@dataclass(frozen=True)
class Match:
    """What became of the annotations.

    Attributes:
        found: video -> file.
        missing: videos without a file, with the reason.
        unnamed: files that no annotation names.
    """

    found: list[tuple[AnnotatedVideo, str]]
    missing: list[tuple[AnnotatedVideo, str]]
    unnamed: list[str]


def match_files(annotations: Annotations, paths: Sequence[str]) -> Match:
    """Look for the file of every annotated video.

    A file is found by its name without folder and ending. Where several files share it, or several
    annotations, the folder decides, then the ending. Underscores and spaces in folders are alike.

    Args:
        annotations: what is annotated.
        paths: absolute, of the files.
    """
    index = _Index(annotations, paths)
    found, missing = [], []
    for video in annotations.videos:
        path, reason = (video.path, "") if video.path else index.find(video)
        if path:
            found.append((video, path))
        else:
            missing.append((video, reason))
    named = {path for _, path in found}
    return Match(found, missing, sorted(path for path in paths if path not in named))


class _Index:
    """Files by what they are called."""

    def __init__(self, annotations: Annotations, paths: Sequence[str]) -> None:
        self._fold = str.casefold if annotations.ignores_case else str
        self._files: defaultdict[str, list[str]] = defaultdict(list)
        for path in sorted(paths):
            self._files[self._stem(path)].append(path)
        # An annotation given twice is one; those of other folders are others.
        self._sharers = Counter(
            stem
            for stem, _ in {(self._stem(video.name), _folder(video.name)) for video in annotations.videos}
        )

    def find(self, video: AnnotatedVideo) -> tuple[str, str]:
        """Return the path of a video's file, or "" and the reason why there is none."""
        stem = self._stem(video.name)
        files = self._files.get(stem) or self._files.get(self._fold(video.other_name), [])
        if not files:
            return (
                "",
                f"missing: the annotations name it for {video.split or 'no split'}, no file has this name",
            )
        is_shared = self._sharers[stem] > 1
        if len(files) > 1 or is_shared:
            files = _narrow(files, video, must_match=is_shared)
        if not files:
            return (
                "",
                f"missing: {self._sharers[stem]} annotations share this name, none of its files lies in "
                "such a folder",
            )
        if len(files) > 1 and len({os.path.realpath(path) for path in files}) > 1:
            return "", f"ambiguous: {len(files)} files have this name; keep one below the sources"
        return files[0], ""

    def _stem(self, path: str) -> str:
        return self._fold(os.path.splitext(os.path.basename(path))[0])


def _narrow(files: list[str], video: AnnotatedVideo, *, must_match: bool) -> list[str]:
    in_folder = [path for path in files if _folder(path) == _folder(video.name)]
    files = in_folder if must_match else in_folder or files
    ending = os.path.splitext(video.name)[1]
    return [path for path in files if path.endswith(ending)] or files


def _folder(path: str) -> str:
    return os.path.basename(os.path.dirname(path)).replace("_", " ").casefold()


def iterate_counts(videos: Sequence[AnnotatedVideo]) -> Iterator[tuple[str, str]]:
    """Yield split and label of videos, for counting."""
    for video in videos:
        yield video.split, video.label
