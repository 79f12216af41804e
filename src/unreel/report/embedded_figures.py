"""Pictures inside a page: as data, so that the page is one file and loads nothing."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unreel.errors import FeaturesError
from unreel.legible import make_legible
from unreel.progress import Warn, ignore_warning

LARGEST_FIGURE_MB = 4
"""A larger picture is left out."""
LARGEST_TOTAL_MB = 24
"""So is what would make all pictures together larger than this."""

_TYPES = {".png": ("image/png", b"\x89PNG\r\n\x1a\n"), ".svg": ("image/svg+xml", b"<")}
"""End of a file's name -> its type, and how a file of that type starts."""


@dataclass(frozen=True)
class EmbeddedFigure:
    """A picture as an ``<img>`` takes it; there, no script in an SVG runs and nothing is loaded from it.

    Attributes:
        name: of the file.
        uri: the whole picture as a ``data:`` address.
    """

    name: str
    uri: str


def embed_figures(paths: Sequence[Path], *, warn: Warn = ignore_warning) -> list[EmbeddedFigure]:
    """Read pictures; one that cannot be used, or is too large, is named and left out.

    Args:
        paths: PNG or SVG files, the most important first.
        warn: told of every picture that is left out, and why.
    """
    figures: list[EmbeddedFigure] = []
    left = LARGEST_TOTAL_MB * 1e6
    for path in paths:
        try:
            content, media_type = _read(path, left)
        except FeaturesError as error:
            warn(str(error))
            continue
        left -= len(content)
        data = base64.b64encode(content).decode("ascii")
        figures.append(EmbeddedFigure(make_legible(path.name), f"data:{media_type};base64,{data}"))
    return figures


def _read(path: Path, left: float) -> tuple[bytes, str]:
    if path.suffix.lower() not in _TYPES:
        raise FeaturesError(f"figure {path} is no .png and no .svg and is left out")
    media_type, start = _TYPES[path.suffix.lower()]
    try:
        size = path.stat().st_size
        if size > LARGEST_FIGURE_MB * 1e6:
            raise FeaturesError(
                f"figure {path} has {size / 1e6:.1f} MB, more than {LARGEST_FIGURE_MB}, and is left out; "
                "draw it smaller"
            )
        if size > left:
            raise FeaturesError(
                f"figure {path} is left out: all figures together may have {LARGEST_TOTAL_MB} MB; name the "
                "most important with --figures"
            )
        content = path.read_bytes()
    except OSError as error:
        raise FeaturesError(f"figure {path} cannot be read ({error.strerror or error})") from error
    if not content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(start):
        raise FeaturesError(f"figure {path} does not hold what its name says and is left out; draw it again")
    return content, media_type
