from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from unreel.evaluate.low_shot import LowShotCurve, LowShotPoint, LowShotResult
from unreel.report.low_shot import draw_low_shot, save_low_shot


def make_result(second: str = "cvrl", *, metric: str = "top1") -> LowShotResult:
    """Two encoders, three shares, two seeds."""
    curves = tuple(
        LowShotCurve(
            name,
            (
                LowShotPoint(0.01, (9, 10), (0.1 - less, 0.2 - less)),
                LowShotPoint(0.1, (90, 90), (0.4 - less, 0.5 - less)),
                LowShotPoint(1.0, (900, 900), (0.7 - less, 0.7 - less)),
            ),
        )
        for name, less in (("scvrl", 0.0), (second, 0.05))
    )
    return LowShotResult(curves, {"metric": metric}, 1.0)


def only_axes(figure: Figure) -> Axes:
    (axes,) = figure.axes
    return axes


def test_every_encoder_has_a_curve_of_means_with_its_deviations() -> None:
    axes = only_axes(draw_low_shot(make_result()))
    first, second = axes.containers
    np.testing.assert_allclose(first.lines[0].get_xydata(), [[1, 15], [10, 45], [100, 70]])  # type: ignore[attr-defined]
    np.testing.assert_allclose(second.lines[0].get_xydata(), [[1, 10], [10, 40], [100, 65]])  # type: ignore[attr-defined]
    # Two values 10 points apart deviate by 10 / sqrt(2), each way.
    (bars,) = first.lines[2]  # type: ignore[attr-defined]
    low, high = np.array(bars.get_segments())[0, :, 1]
    assert high - low == pytest.approx(2 * 10 / 2**0.5)


def test_shares_are_on_a_logarithmic_axis_with_the_number_of_videos() -> None:
    axes = only_axes(draw_low_shot(make_result()))
    assert axes.get_xscale() == "log"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1\n10", "10\n90", "100\n900"]
    assert axes.get_ylim()[0] == 0
    assert axes.get_ylabel() == "accuracy %"
    assert only_axes(draw_low_shot(make_result(metric="macro_f_measure"))).get_ylabel() == "macro F-measure %"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cvrl", "cvrl"),
        ("_hidden", " _hidden"),
        ("$a$ \N{PILE OF POO}", "$a$ ?"),
        ("x" * 50, "x" * 37 + "..."),
    ],
)
def test_names_are_made_legible(name: str, shown: str) -> None:
    figure = draw_low_shot(make_result(name))
    FigureCanvasAgg(figure).draw()
    legend = only_axes(figure).get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["scvrl", shown]


def test_labels_stay_inside_the_figure() -> None:
    figure = draw_low_shot(make_result())
    FigureCanvasAgg(figure).draw()
    axes = only_axes(figure)
    for text in (axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels()):
        box = text.get_window_extent()
        assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 <= box.y1 <= figure.bbox.y1


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_same_result_gives_the_same_file(tmp_path: Path, suffix: str) -> None:
    contents = []
    for name, second in (("a", "cvrl"), ("b", "cvrl"), ("c", "other")):
        save_low_shot(make_result(second), (tmp_path / name).with_suffix(suffix))
        contents.append((tmp_path / name).with_suffix(suffix).read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end in .png or .svg"):
        save_low_shot(make_result(), tmp_path / "a.pdf")
