from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from unreel.report.retrieval import draw_retrieval, join_pictures, save_retrieval
from unreel.report.retrieval_view import RetrievalView, SeenVideo

GREEN, RED, GRAY, BLACK = "#2e9e4f", "#c8402f", "#9aa5b1", "#000000"


def see(
    number: int,
    target: str = "jump",
    score: float | None = None,
    is_right: bool | None = None,
    *,
    shape: tuple[int, int] | None = (12, 16),
    path: str = "",
) -> SeenVideo:
    rng = np.random.default_rng(number)
    pictures = None if shape is None else rng.integers(0, 255, (3, *shape, 3), dtype=np.uint8)
    return SeenVideo(f"{number:016x}", path or f"videos/{number}.mp4", target, score, is_right, pictures)


def make_view(*, num_tables: int = 2, **changes: object) -> RetrievalView:
    """Two queries; the first finds a video of its class, another one and one of an unknown query's."""
    row = (see(1, "jump", 0.9, True, **changes), see(2, "run", 0.8, False), see(3, "sit", 0.7, None))  # type: ignore[arg-type]
    queries = (see(4, path="query.mp4"), see(5, ""))
    return RetrievalView(("cvrl/encoder", "scvrl/encoder")[:num_tables], queries, ((row,) * num_tables,) * 2)


def color_of(axes: Axes) -> str:
    return to_hex(axes.spines["top"].get_edgecolor())


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text().strip()]


def test_strips_hold_the_three_frames_side_by_side_with_white_between() -> None:
    pictures = np.arange(3 * 2 * 4 * 3, dtype=np.uint8).reshape(3, 2, 4, 3)
    joined = join_pictures(pictures)
    assert joined.shape == (2, 3 * 4 + 2 * 2, 3)
    for place, start in enumerate((0, 6, 12)):
        np.testing.assert_array_equal(joined[:, start : start + 4], pictures[place])
    assert (joined[:, [4, 5, 10, 11]] == 255).all()


def test_every_query_has_its_strip_and_a_row_per_encoder() -> None:
    view = make_view()
    figure = draw_retrieval(view)
    shown = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    assert len(shown) == 2 * (1 + 2 * 3)
    row = view.found[0][0]
    for start, query in ((0, view.queries[0]), (7, view.queries[1])):
        expected = [query, *row, *row]
        for picture, video in zip(shown[start : start + 7], expected, strict=True):
            assert video.pictures_FHWC is not None
            np.testing.assert_array_equal(picture, join_pictures(video.pictures_FHWC))


def test_right_neighbours_are_green_wrong_ones_red_and_the_unknown_gray() -> None:
    figure = draw_retrieval(make_view(num_tables=1))
    assert [color_of(axes) for axes in figure.axes] == [BLACK, GREEN, RED, GRAY] * 2


def test_classes_similarities_and_encoders_are_written() -> None:
    found = texts(draw_retrieval(make_view()))
    for text in (
        "query query.mp4",
        "cvrl/encoder",
        "scvrl/encoder",
        "jump",
        "1: jump, 0.90 \N{CHECK MARK}",
        "2: run, 0.80 \N{BALLOT X}",
        "3: sit, 0.70",
        # A query without a class is named by its path.
        "videos/5.mp4",
    ):
        assert text in found


@pytest.mark.parametrize("shape", [(12, 16), (16, 12), (10, 40)])
def test_strips_keep_their_aspect_and_hide_nothing(shape: tuple[int, int]) -> None:
    figure = draw_retrieval(make_view(shape=shape))
    FigureCanvasAgg(figure).draw()
    boxes = [axes.get_window_extent() for axes in figure.axes]
    for axes, box in zip(figure.axes, boxes, strict=True):
        rows, columns = np.asarray(axes.images[0].get_array()).shape[:2]
        assert box.height / box.width == pytest.approx(rows / columns, rel=0.02)
    letters = [text.get_window_extent() for text in figure.texts]
    for place, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1
        assert not any(box.overlaps(other) for other in boxes[:place])
        assert not any(box.overlaps(other) for other in letters)


def test_a_video_that_cannot_be_read_keeps_its_place() -> None:
    figure = draw_retrieval(make_view(shape=None))
    assert texts(figure).count("cannot be read") == 4
    assert color_of(figure.axes[1]) == GREEN


def test_long_and_odd_names_are_cut_and_made_legible() -> None:
    figure = draw_retrieval(make_view(path="", shape=(12, 16)))
    FigureCanvasAgg(figure).draw()
    long = see(6, "very long " * 20 + "$x$日", path="folder/" * 20 + "a.mp4")
    figure = draw_retrieval(RetrievalView(("long/" * 60,), (long,), (((see(7, "a" * 90, 0.5, True),),),)))
    FigureCanvasAgg(figure).draw()
    query = next(text for text in figure.texts if text.get_text().endswith("$x$?"))
    assert query.get_text().startswith("...")
    path = next(text for text in figure.texts if text.get_text().startswith("query "))
    assert path.get_text().startswith("query ...")
    assert len(path.get_text()) == 36
    # Nothing is as wide as to reach the next column, or beyond the figure.
    second = figure.axes[1].get_window_extent()
    assert query.get_window_extent().x1 < second.x0
    assert all(
        text.get_window_extent().x1 <= figure.bbox.x1 for text in figure.texts if "a.mp4" in text.get_text()
    )


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_same_view_gives_the_same_file(tmp_path: Path, suffix: str) -> None:
    contents = []
    for name, number in (("a", 2), ("b", 2), ("c", 1)):
        save_retrieval(make_view(num_tables=number), (tmp_path / name).with_suffix(suffix))
        contents.append((tmp_path / name).with_suffix(suffix).read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_other_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end in .png or .svg"):
        save_retrieval(make_view(), tmp_path / "a.pdf")
