import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest
from matplotlib.figure import Figure

from unreel.report.figures import check_figure_path, make_drawable, plain_style, save_figure


def draw() -> Figure:
    with plain_style():
        figure = Figure(figsize=(2, 1))
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], clip_on=True)
        axes.set_title("a line")
    return figure


@pytest.mark.parametrize(("name", "start"), [("f.png", b"\x89PNG"), ("f.SVG", b"<?xml"), ("f.svg", b"<?xml")])
def test_the_end_of_the_name_chooses_the_format(tmp_path: Path, name: str, start: bytes) -> None:
    save_figure(draw(), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_same_figure_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    for name in ("a", "b"):
        save_figure(draw(), (tmp_path / name).with_suffix(suffix))
    first, second = ((tmp_path / name).with_suffix(suffix).read_bytes() for name in ("a", "b"))
    assert first == second
    assert b"<dc:date>" not in first


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_what_a_user_has_set_changes_neither_figure_nor_is_it_changed(tmp_path: Path, suffix: str) -> None:
    save_figure(draw(), (tmp_path / "plain").with_suffix(suffix))
    with matplotlib.rc_context({"font.size": 20, "svg.fonttype": "none", "axes.facecolor": "red"}):
        save_figure(draw(), (tmp_path / "own").with_suffix(suffix))
        assert matplotlib.rcParams["font.size"] == 20
        assert matplotlib.rcParams["svg.hashsalt"] is None
    plain, own = ((tmp_path / name).with_suffix(suffix).read_bytes() for name in ("plain", "own"))
    assert plain == own


def test_an_older_file_is_replaced_and_missing_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "f.png"
    save_figure(draw(), path)
    path.write_bytes(b"old")
    save_figure(draw(), path)
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["f.jpg", "f", "f.png.txt", ".png"])
def test_another_end_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"must end in \.png or \.svg, got '.*" + name):
        check_figure_path(tmp_path / name)
    with pytest.raises(ValueError, match=r"must end in \.png or \.svg"):
        save_figure(draw(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_drawing_needs_no_display_and_no_state_of_pyplot(tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
import unreel.report.figures as figures
assert "matplotlib" not in sys.modules
with figures.plain_style():
    from matplotlib.figure import Figure
    figure = Figure()
figures.save_figure(figure, Path({str(tmp_path / "f.png")!r}))
assert "matplotlib.pyplot" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_letters_that_the_font_lacks_and_line_breaks_are_marked() -> None:
    assert make_drawable("läuft_日本\n.mp4\t") == "läuft_???.mp4?"
