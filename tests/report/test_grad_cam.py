import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from unreel.evaluate.grad_cam_videos import GradCamResult, VideoMaps
from unreel.report.grad_cam import (
    blend,
    describe_target,
    draw_grad_cam,
    name_strip,
    save_grad_cam,
    save_strips,
)


def make_video(number: int = 0, *, num_frames: int = 3, **changes: object) -> VideoMaps:
    rng = np.random.default_rng(number)
    video = VideoMaps(
        video_id=f"{number:016x}",
        path=f"videos/{number}.mp4",
        label="",
        target="",
        score=12.345,
        frames_F=np.arange(num_frames) * 5,
        seconds_F=np.arange(num_frames) * 0.2,
        pictures_FHWC=rng.integers(0, 256, (num_frames, 8, 8, 3), dtype=np.uint8),
        shares_FHW=rng.random((num_frames, 2, 2), dtype=np.float32),
    )
    return replace(video, **changes)  # type: ignore[arg-type]


def make_result(*videos: VideoMaps, clip_frames: int = 1) -> GradCamResult:
    return GradCamResult(videos or (make_video(0), make_video(1)), "vclr/encoder", clip_frames)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text().strip()]


def pictures(figure: Figure) -> list[np.ndarray]:
    """Return what is shown, but for the scale at the end."""
    return [np.asarray(image.get_array()) for image in figure.findobj(AxesImage)][:-1]


@given(st.integers(0, 20))
def test_an_overlay_is_three_tenths_heat_map_and_seven_tenths_picture(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pictures_FHWC = rng.integers(0, 256, (2, 3, 3, 3), dtype=np.uint8)
    shares_FHW = rng.random((2, 3, 3), dtype=np.float32)
    blended = blend(pictures_FHWC, shares_FHW)
    assert blended.dtype == np.uint8
    for place in itertools.product(range(2), range(3), range(3)):
        heat = colormaps["turbo"](float(shares_FHW[place]))[:3]
        expected = [0.3 * 255 * h + 0.7 * int(p) for h, p in zip(heat, pictures_FHWC[place], strict=True)]
        assert np.abs(blended[place] - np.array(expected)).max() <= 0.51


def test_a_worked_overlay() -> None:
    # The first color of turbo is (0.18995, 0.07176, 0.23217), the last (0.4796, 0.01583, 0.01055).
    # Grey of 100: 0.7 * 100 + 0.3 * 255 * (0.18995, ...) = 84.5, 75.5, 87.8; and 106.7, 71.2, 70.8.
    grey = np.full((1, 2, 2, 3), 100, dtype=np.uint8)
    low, high = (blend(grey, np.full((1, 1, 1), share, dtype=np.float32)) for share in (0, 1))
    assert low[0, 0, 0].tolist() == [85, 75, 88]
    assert high[0, 1, 1].tolist() == [107, 71, 71]


def test_a_map_is_stretched_over_its_picture() -> None:
    black = np.zeros((1, 4, 4, 3), dtype=np.uint8)
    shares = np.array([[[0.0, 1.0]]], dtype=np.float32)
    # From 2 to 4 columns: middles at -0.25, 0.25, 0.75 and 1.25 of the way, kept within the map.
    expected = colormaps["turbo"](np.array([0.0, 0.25, 0.75, 1.0], dtype=np.float32))[:, :3] * 0.3 * 255
    for row in blend(black, shares)[0]:
        np.testing.assert_allclose(row, expected, atol=0.51)


def test_every_video_has_a_row_of_frames_and_one_of_overlays() -> None:
    result = make_result(make_video(0), make_video(1, num_frames=2))
    figure = draw_grad_cam(result)
    shown = pictures(figure)
    expected = [
        picture
        for video in result.videos
        for pair in zip(video.pictures_FHWC, blend(video.pictures_FHWC, video.shares_FHW), strict=True)
        for picture in pair
    ]
    assert len(shown) == len(expected) == 10
    for one, other in zip(shown, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    boxes = [axes.get_position() for axes in figure.axes[:-1]]
    for above, below in zip(boxes[::2], boxes[1::2], strict=True):
        assert above.x0 == below.x0
        assert above.y0 > below.y1
        assert above.width * figure.get_figwidth() == pytest.approx(above.height * figure.get_figheight())
    times = ["0.00 s", "0.20 s", "0.40 s", "0.00 s", "0.20 s"]
    assert [axes.get_title() for axes in figure.axes[:-1:2]] == times


def test_what_is_explained_stands_above_each_video() -> None:
    with_class = make_video(1, label="run", target="walk", score=-0.5)
    figure = draw_grad_cam(make_result(make_video(0), with_class))
    found = [text.get_text() for text in figure.texts]
    assert found[0].splitlines()[0] == "Grad-CAM on the last feature map of vclr/encoder"
    assert "videos/0.mp4\ndirection of the feature, of length 12.3" in found
    assert "videos/1.mp4\nlabel run; class walk, score -0.5" in found
    assert describe_target(with_class) == "class walk, score -0.5"


@pytest.mark.parametrize(("clip_frames", "words"), [(1, "in each frame"), (16, "in each clip of 16 frames")])
def test_the_figure_says_within_what_the_largest_share_is_one(clip_frames: int, words: str) -> None:
    heading = draw_grad_cam(make_result(clip_frames=clip_frames)).texts[0].get_text()
    assert heading.endswith(f"1: place that speaks most for the score, {words}")


def test_a_frame_in_which_nothing_was_found_says_zero() -> None:
    shares_FHW = np.zeros((3, 2, 2), dtype=np.float32)
    shares_FHW[1] = 0.5
    figure = draw_grad_cam(make_result(make_video(0, shares_FHW=shares_FHW)))
    assert texts(figure).count("zero") == 2
    below = figure.axes[1:-1:2]
    assert [[text.get_text() for text in axes.texts] for axes in below] == [["zero"], [], ["zero"]]
    assert texts(draw_grad_cam(make_result())).count("zero") == 0


def boxes_of_texts(figure: Figure) -> list[tuple[str, Bbox]]:
    figure.set_dpi(150)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    shown = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in shown]


@pytest.mark.parametrize("num_frames", [1, 3, 16])
@pytest.mark.parametrize("path", ["a.mp4", "W" * 400, "i" * 1000, "$x^2$ " * 70])
def test_no_text_is_cut_off_or_covers_another_or_a_picture(num_frames: int, path: str) -> None:
    videos = [make_video(number, num_frames=num_frames, path=path, label="l" * 300) for number in range(2)]
    figure = draw_grad_cam(make_result(*videos))
    boxes = boxes_of_texts(figure)
    assert len(boxes) > 2 * num_frames + 2
    whole = figure.bbox
    assert [
        text for text, box in boxes if box.x0 < 0 or box.y0 < 0 or box.x1 > whole.x1 or box.y1 > whole.y1
    ] == []
    pairs = itertools.combinations(boxes, 2)
    assert [(first, second) for (first, one), (second, other) in pairs if one.overlaps(other)] == []
    shown = [axes.get_window_extent() for axes in figure.axes[:-1]]
    assert [text for text, box in boxes for picture in shown if box.overlaps(picture)] == []


def test_of_a_path_that_is_too_long_the_end_is_kept() -> None:
    (title,) = [
        text
        for text in texts(draw_grad_cam(make_result(make_video(0, path="x" * 300 + "/end.mp4"))))
        if "end" in text
    ]
    first = title.splitlines()[0]
    assert first.startswith("...xx")
    assert first.endswith("/end.mp4")
    assert 30 < len(first) < 120


def test_letters_that_the_font_lacks_and_line_breaks_are_marked() -> None:
    name = "videos/日本$.mp4"
    figure = draw_grad_cam(make_result(make_video(0, path=name)))
    boxes_of_texts(figure)  # a missing letter would be a warning, which is an error here
    assert any(text.startswith("videos/??$.mp4\n") for text in texts(figure))


@pytest.mark.parametrize("name", ["a.png", "a.svg"])
def test_the_same_result_gives_the_same_file_and_another_another(tmp_path: Path, name: str) -> None:
    contents = []
    for folder, number in (("one", 0), ("two", 0), ("three", 1)):
        save_grad_cam(make_result(make_video(number)), tmp_path / folder / name)
        contents.append((tmp_path / folder / name).read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_strips_are_pictures_of_one_video_each_and_nothing_else_is_written(tmp_path: Path) -> None:
    odd = make_video(2, video_id="../../outside")
    result = make_result(make_video(0), make_video(1), odd)
    save_strips(result, tmp_path / "in" / "strips")
    written = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    expected = [Path("in/strips") / name_strip(video.video_id) for video in result.videos]
    assert written == sorted(expected)
    save_grad_cam(make_result(result.videos[1]), tmp_path / "alone.png")
    assert (tmp_path / expected[1]).read_bytes() == (tmp_path / "alone.png").read_bytes()


def test_ids_of_a_scan_are_names_as_they_are() -> None:
    assert name_strip("0123456789abcdef") == "0123456789abcdef.png"


@given(st.text(max_size=300))
def test_any_id_is_a_name_that_leads_nowhere_else(video_id: str) -> None:
    name = name_strip(video_id)
    assert Path(name).name == name
    assert len(name) <= 64
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-.")
    assert name.count(".") == 1
    assert name.endswith(".png")
    assert name.split(".")[0] not in ("", "con", "nul", "aux", "prn")


def test_ids_that_look_alike_have_names_of_their_own() -> None:
    ids = [
        "a/b",
        "a_b",
        "A_B",
        "a\\b",
        "x" * 100,
        "x" * 101,
        "",
        ".",
        "..",
        "0123456789abcdef",
        "0123456789ABCDEF",
    ]
    assert len({name_strip(video_id).lower() for video_id in ids}) == len(ids)
