"""Find the annotation files of a data set, or say which are missing and where they are published."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from unreel.errors import CatalogError

_FOLDERS_SHOWN = 4
_DEPTH = 2


class AnnotationFiles:
    """Annotation files in some folders, and up to two folders below them.

    Args:
        folders: where to look.
        origin: where the files are published, in words, for whoever lacks them.
        videos: paths of the video files below the sources.

    Raises:
        CatalogError: one of ``folders`` is no folder.
    """

    def __init__(self, folders: Sequence[Path], origin: str, videos: Sequence[str] = ()) -> None:
        for folder in folders:
            if not folder.is_dir():
                raise CatalogError(
                    f"{folder}: there is no such folder of annotations; name one with --annotations"
                )
        self.videos = videos
        self._origin = origin
        self._folders = list(folders)

    def find(self, *names: str) -> Path | None:
        """Return the file that has one of several names, the first name before the others.

        Raises:
            ValueError: files in several folders are meant.
        """
        for level in self._levels():
            found = [
                next((folder / name for name in names if (folder / name).is_file()), None) for folder in level
            ]
            if path := _choose([path for path in found if path is not None]):
                return path
        return None

    def need(self, *names: str) -> Path:
        """Return the file that has one of several names.

        Raises:
            CatalogError: there is none; says where it was looked for and where it is published.
            ValueError: files in several folders are meant.
        """
        path = self.find(*names)
        if path is None:
            raise self.report_missing(" or ".join(names))
        return path

    def need_all(self, pattern: str) -> list[Path]:
        """Return all files of one folder whose names match a regular expression, sorted.

        Raises:
            CatalogError: there is none.
            ValueError: several folders have such files.
        """
        for level in self._levels():
            folders = [folder for folder in level if _list_matching(folder, pattern)]
            if folder := _choose(folders):
                return _list_matching(folder, pattern)
        raise self.report_missing(re.sub(r"\\", "", pattern).replace(".+", "*"))

    def report_missing(self, name: str) -> CatalogError:
        """Return the error for a file that is not there."""
        looked = ", ".join(map(str, self._folders[:_FOLDERS_SHOWN]))
        return CatalogError(
            f"{name}: there is no such annotation file in {looked} or up to {_DEPTH} folders below; it is "
            f"part of {self._origin}; say where it is with --annotations"
        )

    def _levels(self) -> Iterator[list[Path]]:
        level = self._folders
        yield level
        for _ in range(_DEPTH):
            level = [child for folder in level for child in _list_folders(folder)]
            yield level


def _list_folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir())
    except OSError:  # whoever walks the sources reports it
        return []


def _list_matching(folder: Path, pattern: str) -> list[Path]:
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return [folder / name for name in sorted(names) if re.fullmatch(pattern, name)]


def _choose(paths: list[Path]) -> Path | None:
    if len({path.resolve() for path in paths}) > 1:
        raise ValueError(
            f"annotations lie in several places: {', '.join(map(str, paths[:_FOLDERS_SHOWN]))}; say which "
            "with --annotations FOLDER"
        )
    return paths[0] if paths else None
