from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from unreel.evaluate.attention import AttentionResult
from unreel.report.attention import draw_attention, normalize_rows, place_tokens, save_attention


def make_result(num_frames: int = 4, *, num_clips: int = 50, seed: int = 0) -> AttentionResult:
    weights = np.random.default_rng(seed).random((1 + 2 * num_frames, 1 + 2 * num_frames)) + 0.5
    return AttentionResult(weights / weights.sum(axis=1, keepdims=True), num_clips=num_clips, block=1)


def tick_labels(axis: object) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]  # type: ignore[attr-defined]


def secondary_axes(axes: Axes) -> tuple[Axes, Axes]:
    below, beside = axes.child_axes
    return below, beside


@given(
    st.integers(1, 5).flatmap(
        lambda n: st.lists(st.lists(st.floats(0, 1), min_size=n, max_size=n), min_size=n, max_size=n)
    )
)
def test_every_row_is_stretched_by_itself(rows: list[list[float]]) -> None:
    stretched = normalize_rows(np.array(rows)).tolist()
    for row, result in zip(rows, stretched, strict=True):
        low, high = min(row), max(row)
        expected = [(x - low) / (high - low) if high > low else 0.0 for x in row]
        assert result == pytest.approx(expected)


def test_a_worked_matrix_is_stretched() -> None:
    # row 0: (x - 0.2) / 0.4; row 1 is even; row 2: (x - 0) / 0.8
    matrix = np.array([[0.2, 0.6, 0.3], [1 / 3, 1 / 3, 1 / 3], [0.0, 0.2, 0.8]])
    expected = [[0, 1, 0.25], [0, 0, 0], [0, 0.25, 1]]
    np.testing.assert_allclose(normalize_rows(matrix), expected)


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
        assert tick_labels(axis) == ["1", "2", "3", "4"] * 2
        np.testing.assert_allclose(axis.get_ticklocs(), middle[1:])
        group_axis = secondary.xaxis if axis is axes.xaxis else secondary.yaxis
        assert tick_labels(group_axis) == ["class", "clip", "shuffled clip"]
        expected = [middle[0], middle[1:5].mean(), middle[5:].mean()]
        np.testing.assert_allclose(group_axis.get_ticklocs(), expected)


def test_long_clips_have_a_tick_for_some_frames_only() -> None:
    axes = draw_attention(make_result(16)).axes[0]
    assert tick_labels(axes.xaxis) == ["1", "2", "4", "6", "8", "10", "12", "14", "16"] * 2
    _, middle = place_tokens(16)
    np.testing.assert_allclose(axes.xaxis.get_ticklocs()[[0, 1, 8, 9, 17]], middle[[1, 2, 16, 17, 32]])


@pytest.mark.parametrize(("num_clips", "words"), [(1, "and 1 clip\n"), (50, "and 50 clips\n")])
def test_the_title_says_what_was_averaged_and_how_large_the_weights_are(num_clips: int, words: str) -> None:
    # 0.5 and 0.1 are the extremes of the matrix; three tokens would share evenly with 1/3.
    matrix = np.array([[0.5, 0.4, 0.1], [0.3, 0.3, 0.4], [0.2, 0.4, 0.4]])
    title = draw_attention(AttentionResult(matrix, num_clips=num_clips, block=2)).axes[0].get_title()
    assert title.startswith("Attention in block 2, ")
    assert words in title
    assert "weights from 0.1 to 0.5; even attention would be 0.333" in title


def overlap(figure: Figure) -> list[str]:
    """Return the texts that leave the picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = figure.bbox.width, figure.bbox.height
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    assert len(texts) > 10
    return [
        text.get_text()
        for text in texts
        for box in [text.get_window_extent(canvas.get_renderer())]
        if box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height
    ]


@pytest.mark.parametrize("num_frames", [1, 4, 16, 32])
def test_no_text_is_cut_off(num_frames: int) -> None:
    assert overlap(draw_attention(make_result(num_frames))) == []


@pytest.mark.parametrize("name", ["a.png", "a.svg"])
def test_the_same_result_gives_the_same_file_and_another_another(tmp_path: Path, name: str) -> None:
    contents = []
    for folder, seed in (("one", 0), ("two", 0), ("three", 1)):
        save_attention(make_result(seed=seed), tmp_path / folder / name)
        contents.append((tmp_path / folder / name).read_bytes())
    assert contents[0] == contents[1] != contents[2]


@pytest.mark.parametrize("matrix", [np.zeros((2, 3)), np.zeros(4)])
def test_what_is_no_square_is_refused(matrix: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be a square matrix"):
        normalize_rows(matrix)


def test_attention_of_a_diverged_run_is_refused() -> None:
    with pytest.raises(ValueError, match="has the run diverged"):
        normalize_rows(np.array([[0.5, np.nan], [0.5, 0.5]]))
