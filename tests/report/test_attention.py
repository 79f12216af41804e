import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from unreel.evaluate.attention import AttentionResult
from unreel.report.attention import draw_attention, normalize_rows, place_tokens, save_attention


def make_result(num_frames: int = 4, *, num_clips: int = 50, seed: int = 0) -> AttentionResult:
    weights = np.random.default_rng(seed).random((1 + 2 * num_frames, 1 + 2 * num_frames)) + 0.5
    return AttentionResult(
        weights / weights.sum(axis=1, keepdims=True), num_clips=num_clips, num_videos=40, block=1
    )


def tick_labels(axis: object) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]  # type: ignore[attr-defined]


def secondary_axes(axes: Axes) -> tuple[Axes, Axes]:
    below, beside = axes.child_axes
    return below, beside


@given(st.integers(1, 3), st.data())
def test_every_row_is_stretched_by_its_own_frames(num_frames: int, data: st.DataObject) -> None:
    num_tokens = 1 + 2 * num_frames
    weight = st.integers(0, 1000).map(lambda thousandths: thousandths / 1000)
    row = st.lists(weight, min_size=num_tokens, max_size=num_tokens)
    rows = data.draw(st.lists(row, min_size=num_tokens, max_size=num_tokens))
    for given_row, result in zip(rows, normalize_rows(np.array(rows)).tolist(), strict=True):
        low, high = min(given_row[1:]), max(given_row[1:])
        span = high - low if high > low else 1.0
        assert result == pytest.approx([(x - low) / span for x in given_row])
        assert min(result[1:]) == 0.0
        assert max(result[1:]) == pytest.approx(1.0 if high > low else 0.0)


def test_a_worked_matrix_is_stretched() -> None:
    # row 0: (x - 0.2) / 0.2; row 1: the frames are even; row 2: (x - 0.2) / 0.6
    matrix = np.array([[0.4, 0.4, 0.2], [0.5, 0.25, 0.25], [0.0, 0.2, 0.8]])
    expected = [[1, 1, 0], [0.25, 0, 0], [-1 / 3, 0, 1]]
    np.testing.assert_allclose(normalize_rows(matrix), expected, atol=1e-12)


def test_a_class_token_far_from_the_frames_does_not_hide_them() -> None:
    matrix = np.array([[0.9, 0.06, 0.04], [0.98, 0.011, 0.009], [0.0, 0.5, 0.5]])
    np.testing.assert_allclose(normalize_rows(matrix)[:, 1:], [[1, 0], [1, 0], [0, 0]])


@given(st.integers(1, 40))
def test_gaps_part_the_class_token_the_clip_and_the_shuffled_clip(num_frames: int) -> None:
    start, middle = place_tokens(num_frames)
    assert len(start) == len(middle) == 1 + 2 * num_frames
    np.testing.assert_allclose(middle - start, 0.5)
    steps = np.diff(start)
    is_gap = steps > 1 + 1e-9
    assert np.flatnonzero(is_gap).tolist() == [0, num_frames]
    np.testing.assert_allclose(steps[~is_gap], 1)


def test_every_cell_of_the_matrix_is_drawn_in_its_place() -> None:
    result = make_result(3)
    (axes, _bar) = draw_attention(result).axes
    start, _ = place_tokens(3)
    shown = np.full((7, 7), np.nan)
    meshes = [item for item in axes.collections if isinstance(item, QuadMesh)]
    assert len(meshes) == 9
    for mesh in meshes:
        corners = mesh.get_coordinates()
        values = mesh.get_array().reshape(corners.shape[0] - 1, corners.shape[1] - 1)
        for (i, j), value in np.ndenumerate(values):
            column, row = (int(np.flatnonzero(np.isclose(start, at))[0]) for at in corners[i, j])
            assert np.isnan(shown[row, column])
            shown[row, column] = value
            np.testing.assert_allclose(corners[i + 1, j + 1] - corners[i, j], [1, 1])
    np.testing.assert_allclose(shown, normalize_rows(result.attention_NN))
    assert all(mesh.get_clim() == (0, 1) for mesh in meshes)
    assert axes.yaxis_inverted()


def test_ticks_number_the_frames_of_both_clips_and_name_the_groups() -> None:
    axes = draw_attention(make_result(4)).axes[0]
    _, middle = place_tokens(4)
    for axis, secondary in zip((axes.xaxis, axes.yaxis), secondary_axes(axes), strict=True):
        assert tick_labels(axis) == ["0", "1", "2", "3"] * 2
        np.testing.assert_allclose(axis.get_ticklocs(), middle[1:])
        # The numbers behind the picture have the same names.
        assert make_result(4).tokens[1:5] == [f"clip {label}" for label in tick_labels(axis)[:4]]
        group_axis = secondary.xaxis if axis is axes.xaxis else secondary.yaxis
        assert tick_labels(group_axis) == ["class", "clip", "shuffled clip"]
        expected = [middle[0], middle[1:5].mean(), middle[5:].mean()]
        np.testing.assert_allclose(group_axis.get_ticklocs(), expected)


def test_long_clips_have_a_tick_for_some_frames_only() -> None:
    axes = draw_attention(make_result(16)).axes[0]
    assert tick_labels(axes.xaxis) == ["0", "2", "4", "6", "8", "10", "12", "14"] * 2
    _, middle = place_tokens(16)
    np.testing.assert_allclose(axes.xaxis.get_ticklocs()[[0, 1, 7, 8, 15]], middle[[1, 3, 15, 17, 31]])


@pytest.mark.parametrize(
    ("num_clips", "num_videos", "words"),
    [
        (1, 1, "and 1 clip of 1 video\n"),
        (50, 1, "and 50 clips of 1 video\n"),
        (50, 3, "50 clips of 3 videos\n"),
    ],
)
def test_the_title_says_what_was_averaged_and_how_large_the_weights_are(
    num_clips: int, num_videos: int, words: str
) -> None:
    # Frames: 0.1 to 0.45. Class token, the first column: 0.2 to 0.5. Three even shares: 1/3.
    matrix = np.array([[0.5, 0.4, 0.1], [0.3, 0.3, 0.4], [0.2, 0.35, 0.45]])
    result = AttentionResult(matrix, num_clips=num_clips, num_videos=num_videos, block=2)
    title = draw_attention(result).axes[0].get_title()
    assert title.startswith("Attention in block 2, ")
    assert words in title
    assert "of a frame 0.1 to 0.45 (0.333 if even)\nweight of the class token 0.2 to 0.5" in title


def test_a_class_token_beyond_the_frames_has_a_color_of_its_own_and_the_bar_says_so() -> None:
    # Rows: the class token above the frames, below them, and on their least and their largest weight.
    matrix = np.array([[0.6, 0.1, 0.3], [0.0, 0.4, 0.6], [0.2, 0.2, 0.6]])
    axes, bar = draw_attention(AttentionResult(matrix, num_clips=1, num_videos=1, block=0)).axes
    colors = [mesh.cmap(mesh.norm(mesh.get_array().ravel())) for mesh in axes.collections[::3]]
    above, below, least = (tuple(color[0]) for color in colors)
    scale = axes.collections[0].cmap(np.linspace(0, 1, 256))
    for color in (above, below):
        assert np.abs(scale - np.array(color)).max(axis=1).min() > 0.2
    assert np.abs(np.array(above) - np.array(below)).max() > 0.2
    assert least == tuple(scale[0])
    assert "pink: class token above all frames; grey: class token below" in bar.get_ylabel()


def box_texts(figure: Figure) -> list[tuple[str, Bbox]]:
    """Return all texts and the room that each takes in the picture."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    assert len(texts) > 10
    return [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in texts]


@pytest.mark.parametrize("num_frames", [2, 4, 16, 32])
def test_no_text_is_cut_off_or_covers_another(num_frames: int) -> None:
    figure = draw_attention(make_result(num_frames))
    boxes = box_texts(figure)
    inside = figure.bbox
    assert [
        text
        for text, box in boxes
        if not (inside.x0 <= box.x0 <= box.x1 <= inside.x1 and inside.y0 <= box.y0 <= box.y1 <= inside.y1)
    ] == []
    pairs = itertools.combinations(boxes, 2)
    assert [(first, second) for (first, one), (second, other) in pairs if one.overlaps(other)] == []


@pytest.mark.parametrize("name", ["a.png", "a.svg"])
def test_the_same_result_gives_the_same_file_and_another_another(tmp_path: Path, name: str) -> None:
    contents = []
    for folder, seed in (("one", 0), ("two", 0), ("three", 1)):
        save_attention(make_result(seed=seed), tmp_path / folder / name)
        contents.append((tmp_path / folder / name).read_bytes())
    assert contents[0] == contents[1] != contents[2]


@pytest.mark.parametrize("shape", [(3, 5), (5,), (4, 4), (1, 1)])
def test_what_is_no_attention_of_two_clips_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"square matrix of 1 \+ 2 \* frames tokens, got shape"):
        normalize_rows(np.zeros(shape))


def test_attention_of_a_diverged_run_is_refused() -> None:
    with pytest.raises(ValueError, match="has the run diverged"):
        normalize_rows(np.full((3, 3), np.nan))
