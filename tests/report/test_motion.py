from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from unreel.data.motion_windows import window_probabilities
from unreel.report.motion import draw_motion, save_motion
from unreel.report.motion_view import DrawnClip, MotionView

MOTION = [2.0, 4.0, 8.0, 16.0, 3.0, 1.0, 0.0, 5.0, 6.0, 7.0]
ORANGE = "#e07b39"


def make_view(
    motion: list[float] | None = None, *, path: str = "a.mp4", shape: tuple[int, int] = (12, 16)
) -> MotionView:
    values = np.array(MOTION if motion is None else motion, dtype=np.float32)
    count = len(values)
    rng = np.random.default_rng(0)
    return MotionView(
        path=path,
        video_id="0" * 16,
        beta=5.0,
        edges_sec=np.arange(count + 1, dtype=np.float64),
        motion_C=values,
        prob_C=window_probabilities(values, 5.0),
        clips=(DrawnClip(count - 1, count - 1.5, count - 0.5, (1, 2)), DrawnClip(0, 0.0, 0.9, (0, 1))),
        picture_sec_P=np.arange(count) + 0.5,
        pictures_PHWC=rng.integers(0, 255, (count, *shape, 3), dtype=np.uint8),
        settings={},
    )


def panels(figure: Figure) -> tuple[Axes, Axes]:
    probabilities, motion = figure.axes[:2]
    assert (motion.get_ylabel(), probabilities.get_ylabel()) == ("motion", "probability")
    return motion, probabilities


def bars(axes: Axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def test_bars_have_the_heights_and_places_of_the_windows() -> None:
    view = make_view()
    motion, probabilities = panels(draw_motion(view))
    for axes, values in ((motion, view.motion_C), (probabilities, view.prob_C)):
        np.testing.assert_allclose([bar.get_height() for bar in bars(axes)], values)
        np.testing.assert_allclose([bar.get_x() for bar in bars(axes)], np.arange(10))
        np.testing.assert_allclose([bar.get_width() for bar in bars(axes)], 1)
        assert axes.get_xlim() == (0, 10)


def test_windows_that_were_drawn_are_marked_and_no_others() -> None:
    for axes in panels(draw_motion(make_view())):
        marked = [to_hex(bar.get_facecolor()) == ORANGE for bar in bars(axes)]
        assert marked == [True] + [False] * 8 + [True]


def test_clips_lie_over_the_bars_and_apart_from_each_other() -> None:
    view = make_view()
    _, probabilities = panels(draw_motion(view))
    even, *lines = probabilities.lines
    np.testing.assert_allclose(even.get_ydata(), 0.1)
    assert [tuple(line.get_xdata()) for line in lines] == [(8.5, 9.5), (0.0, 0.9)]
    levels = [line.get_ydata()[0] for line in lines]  # type: ignore[index]
    assert len(set(levels)) == 2
    assert min(levels) > view.prob_C.max()
    assert max(levels) < probabilities.get_ylim()[1]
    assert max(probabilities.get_yticks()) <= 1


@pytest.mark.parametrize("shape", [(16, 12), (4, 40)])
def test_pictures_are_whole_undistorted_and_over_their_windows(shape: tuple[int, int]) -> None:
    view = make_view(shape=shape)
    figure = draw_motion(view)
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    motion, _ = panels(figure)
    boxes = [axes.get_window_extent() for axes in figure.axes[2:]]
    assert len(boxes) == 10
    for window, box in enumerate(boxes):
        assert box.height / box.width == pytest.approx(shape[0] / shape[1], rel=0.02)
        first, last = motion.transData.transform([(window, 0), (window + 1, 0)])[:, 0]
        assert first - 1 <= box.x0
        assert box.x1 <= last + 1
        assert box.y0 >= motion.get_window_extent().y1
        assert box.y1 <= figure.bbox.y1
    for place, axes in enumerate(figure.axes[2:]):
        assert np.array_equal(axes.images[0].get_array(), view.pictures_PHWC[place])
        assert axes.get_title() == f"{place + 0.5:.1f} s"


def test_the_title_says_what_is_shown_and_stays_in_the_figure() -> None:
    figure = draw_motion(make_view(path="videos/" + "long/" * 40 + "\N{PILE OF POO}.mp4"))
    FigureCanvasAgg(figure)
    (title,) = figure.texts
    assert "10 windows, as uncertain as 5.4 at beta 5" in title.get_text()
    assert title.get_text().splitlines()[0].endswith("long/?.mp4")
    assert title.get_window_extent().x1 < figure.bbox.x1
    assert "$" in draw_motion(make_view(path="a$b$.mp4")).texts[0].get_text()


def test_a_single_window_can_be_drawn() -> None:
    motion, _ = panels(draw_motion(make_view([3.0])))
    assert len(bars(motion)) == 1


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_same_view_gives_the_same_file(tmp_path: Path, suffix: str) -> None:
    contents = []
    for name, motion in (("a", MOTION[:3]), ("b", MOTION[:3]), ("c", MOTION[1:4])):
        save_motion(make_view(motion), (tmp_path / name).with_suffix(suffix))
        contents.append((tmp_path / name).with_suffix(suffix).read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_other_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end in .png or .svg"):
        save_motion(make_view(), tmp_path / "a.pdf")
