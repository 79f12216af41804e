"""Videos that are encoded once for all tests of reading."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.videos import draw_frames, write_kind

KindPath = Callable[[str], Path]


@pytest.fixture(scope="session")
def path_of(tmp_path_factory: pytest.TempPathFactory) -> KindPath:
    """Return a function from a kind of file to one of 40 frames of 64x48, which nobody writes to."""
    folder = tmp_path_factory.mktemp("kinds")
    frames_THWC = draw_frames(40)
    written: dict[str, Path] = {}

    def path_of_kind(kind: str) -> Path:
        if kind not in written:
            written[kind] = write_kind(folder, kind, frames_THWC)
        return written[kind]

    return path_of_kind
