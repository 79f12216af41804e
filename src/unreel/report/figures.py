"""What all figures share: one look on every machine, and files that come out the same every time."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from unreel.legible import make_legible
from unreel.runs import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = {".png": "png", ".svg": "svg"}
"""End of a file's name -> its format."""

DOTS_PER_INCH = 150
"""Resolution of PNG files."""


def check_figure_path(path: Path) -> str:
    """Return the format that a file's name asks for; cheap, so that a long job can begin with it.

    Raises:
        ValueError: the name ends otherwise than figures do.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"a figure's file must end in {' or '.join(FORMATS)}, got {str(path)!r}")
    return FORMATS[suffix]


@contextmanager
def plain_style() -> Iterator[None]:
    """Draw as matplotlib does on a fresh machine, whatever the user has set; both drawing and saving need it.

    The names inside an SVG, random by default, become a function of what is drawn.
    """
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams["svg.hashsalt"] = "unreel"
        yield


def make_drawable(text: str) -> str:
    """Write ``?`` for what the font of the figures has no letter for, line breaks included."""
    return make_legible(text, letters=_known_letters())


@lru_cache(maxsize=1)
def _known_letters() -> frozenset[int]:
    from matplotlib import font_manager, ft2font

    return frozenset(ft2font.FT2Font(font_manager.findfont("DejaVu Sans")).get_charmap())


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG or SVG in one step; the same figure gives the same bytes.

    Args:
        figure: made within `plain_style`.
        path: its end, .png or .svg, chooses the format.

    Raises:
        ValueError: the name ends otherwise.
    """
    file_format = check_figure_path(path)
    # The one thing in a file that would change from run to run is its date.
    metadata = {"Date": None} if file_format == "svg" else {}
    with plain_style(), atomic_path(path) as temporary:
        figure.savefig(temporary, format=file_format, dpi=DOTS_PER_INCH, metadata=metadata)
