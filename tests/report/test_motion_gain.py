from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from unreel.errors import FeaturesError
from unreel.evaluate.motion_gain import ClassGain, MotionGain
from unreel.report.motion_gain import draw_motion_gain, save_motion_gain

ORANGE, BLUE, GRAY = "#e07b39", "#20639b", "#9aa5b1"


def make_gain(
    gains: dict[str, tuple[float, float | None]] | None = None, *, second: str = "scvrl"
) -> MotionGain:
    """Build a result from the gain and the normalised motion of every class."""
    values = gains or {"jump": (0.5, 0.9), "run": (0.25, 0.4), "sit": (0.0, 0.1), "hold": (-0.25, 0.0)}
    classes = tuple(
        ClassGain(name, 4, 0.5, 0.5 + gain, motion, motion, 3, 0) for name, (gain, motion) in values.items()
    )
    return MotionGain("cvrl", second, classes, (), {})


def only_axes(figure: Figure) -> Axes:
    (axes,) = figure.axes
    return axes


def names(figure: Figure) -> list[str]:
    return [text.get_text() for text in only_axes(figure).texts]


def test_a_point_per_class_lies_at_its_motion_and_gain() -> None:
    (points,) = only_axes(draw_motion_gain(make_gain())).collections
    np.testing.assert_allclose(points.get_offsets(), [[0.9, 50], [0.4, 25], [0.1, 0], [0, -25]], atol=1e-9)
    assert [to_hex(color) for color in points.get_facecolors()] == [ORANGE, ORANGE, GRAY, BLUE]  # type: ignore[attr-defined]


def test_classes_without_known_motion_have_no_point_and_no_name() -> None:
    figure = draw_motion_gain(make_gain({"jump": (0.5, 1.0), "run": (0.25, None), "sit": (0.0, 0.0)}))
    (points,) = only_axes(figure).collections
    assert len(points.get_offsets()) == 2
    assert set(names(figure)) == {"jump", "sit"}
    assert "2 classes, mean gain 25.0 points" in figure.texts[0].get_text()


def test_the_largest_and_smallest_gains_are_named_each_once() -> None:
    assert set(names(draw_motion_gain(make_gain(), num_names=1))) == {"jump", "hold"}
    assert sorted(names(draw_motion_gain(make_gain(), num_names=9))) == ["hold", "jump", "run", "sit"]
    assert names(draw_motion_gain(make_gain(), num_names=0)) == []


def test_names_hide_neither_each_other_nor_points_and_stay_inside() -> None:
    rng = np.random.default_rng(0)
    gains = {
        f"a class with a long name {number}": (float(gain), float(motion))
        for number, (gain, motion) in enumerate(
            zip(sorted(rng.normal(size=60) / 9, reverse=True), rng.uniform(size=60), strict=True)
        )
    }
    figure = draw_motion_gain(make_gain(gains), num_names=8)
    axes = only_axes(figure)
    boxes = [text.get_window_extent() for text in axes.texts]
    assert 8 <= len(boxes) <= 16
    for place, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:place])
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        for x, y in axes.transData.transform(axes.collections[0].get_offsets()):
            assert not (box.x0 < x < box.x1 and box.y0 < y < box.y1)


def test_names_of_classes_that_gain_nothing_are_not_struck_through() -> None:
    figure = draw_motion_gain(make_gain({"jump": (0.5, 1.0), "sit": (0.0, 0.5), "hold": (-0.5, 0.0)}))
    axes = only_axes(figure)
    zero = axes.transData.transform((0, 0))[1]
    box = next(text.get_window_extent() for text in axes.texts if text.get_text() == "sit")
    assert not box.y0 < zero < box.y1


def test_the_title_says_who_is_compared_and_stays_in_the_figure() -> None:
    figure = draw_motion_gain(make_gain(second="long/" * 40 + "\N{PILE OF POO}"))
    FigureCanvasAgg(figure)
    (title,) = figure.texts
    assert title.get_window_extent().x1 < figure.bbox.x1
    text = draw_motion_gain(make_gain()).texts[0].get_text()
    assert text.splitlines() == [
        "scvrl against cvrl",
        "4 classes, mean gain 12.5 points, rank correlation 1.00",
    ]
    even = make_gain({"a": (0.1, 0.0), "b": (0.1, 1.0)})
    assert "no rank correlation" in draw_motion_gain(even).texts[0].get_text()


def test_odd_and_long_names_are_made_legible() -> None:
    figure = draw_motion_gain(make_gain({"x" * 50: (0.5, 0.2), "$a$ 日": (-0.5, 0.8)}))
    FigureCanvasAgg(figure).draw()
    assert set(names(figure)) == {"x" * 29 + "...", "$a$ ?"}


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_same_result_gives_the_same_file(tmp_path: Path, suffix: str) -> None:
    contents = []
    for name, second in (("a", "scvrl"), ("b", "scvrl"), ("c", "other")):
        save_motion_gain(make_gain(second=second), (tmp_path / name).with_suffix(suffix), num_names=2)
        contents.append((tmp_path / name).with_suffix(suffix).read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end in .png or .svg"):
        save_motion_gain(make_gain(), tmp_path / "a.pdf")
    with pytest.raises(FeaturesError, match="nothing is known of the motion of any class"):
        draw_motion_gain(make_gain({"jump": (0.5, None)}))
