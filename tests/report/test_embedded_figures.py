import base64
from pathlib import Path

import pytest

from tests.report.run_folders import PNG
from unreel.report.embedded_figures import EmbeddedFigure, embed_figures


def embed(*paths: Path) -> tuple[list[EmbeddedFigure], list[str]]:
    told: list[str] = []
    return embed_figures(paths, warn=told.append), told


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_picture_is_in_the_address_whole(tmp_path: Path) -> None:
    (figure,), told = embed(write(tmp_path / "a.png", PNG))
    assert figure.name == "a.png"
    head, _, data = figure.uri.partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data) == PNG
    assert told == []


@pytest.mark.parametrize("content", [b"<svg/>", b'\xef\xbb\xbf\n<?xml version="1.0"?><svg/>'])
def test_an_svg_is_a_picture_too(tmp_path: Path, content: bytes) -> None:
    (figure,), _ = embed(write(tmp_path / "a.SVG", content))
    assert figure.uri.startswith("data:image/svg+xml;base64,")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.png", b"<html>", "does not hold what its name says"),
        ("a.svg", PNG, "does not hold what its name says"),
        ("a.png", b"", "does not hold what its name says"),
        ("a.html", b"<html>", "is no .png and no .svg"),
        ("a.png", PNG + bytes(5_000_000), "has 5.0 MB, more than 4, and is left out; draw it smaller"),
    ],
)
def test_what_is_no_picture_or_too_large_is_named(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    figures, told = embed(write(tmp_path / name, content), write(tmp_path / "good.png", PNG))
    assert [figure.name for figure in figures] == ["good.png"]
    assert len(told) == 1
    assert message in told[0]
    assert str(tmp_path / name) in told[0]


def test_a_picture_that_is_not_there_is_named(tmp_path: Path) -> None:
    figures, told = embed(tmp_path / "missing.png")
    assert figures == []
    assert "missing.png cannot be read (No such file" in told[0]


def test_all_pictures_together_have_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unreel.report.embedded_figures.LARGEST_TOTAL_MB", 2.5 * len(PNG) / 1e6)
    paths = [write(tmp_path / f"{number}.png", PNG) for number in range(3)]
    figures, told = embed(*paths)
    assert [figure.name for figure in figures] == ["0.png", "1.png"]
    assert "2.png is left out: all figures together may have" in told[0]
