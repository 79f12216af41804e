"""Decoded frames become pictures of the wanted size, upright, with exact colours."""

from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from tests.data.conftest import KindPath
from tests.data.videos import draw_frames, rotate_mp4
from unreel.data.opening import Deadline
from unreel.data.packets import VideoFile
from unreel.data.pictures import FrameSize, PictureStack, RgbConverter, get_rotation


def make_frame(
    height: int = 48, width: int = 64, pixel_format: str = "yuv420p", *, seed: int = 0
) -> av.VideoFrame:
    picture = draw_frames(1, height, width, seed=seed)[0]
    return av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=pixel_format)


def read_first_frame(path: Path) -> av.VideoFrame:
    with VideoFile(path, Deadline(path, 10)) as video:
        return next(video.read_frames())


def stack_frame(size: FrameSize, frame: av.VideoFrame, coded_size: tuple[int, int]) -> NDArray[np.uint8]:
    stack = PictureStack(size, RgbConverter(), 1, coded_size)
    stack.put(0, frame)
    return stack.frames_FHWC[0]


@pytest.mark.parametrize(
    ("size", "video", "expected"),
    [
        (FrameSize(), (240, 320), (240, 320)),
        (FrameSize(128, 171), (240, 320), (128, 171)),
        (FrameSize(128, 171), (320, 240), (128, 171)),
        (FrameSize(128), (240, 320), (128, 171)),  # 320 * 128 / 240 = 170.67
        (FrameSize(128), (320, 240), (171, 128)),
        (FrameSize(128), (1, 1), (128, 128)),
        (FrameSize(1), (10, 1000), (1, 100)),
    ],
)
def test_sizes_are_resolved_as_shown(
    size: FrameSize, video: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert size.resolve(*video) == expected


@pytest.mark.parametrize(("height", "width"), [(-1, 5), (5, -1), (0, 5)])
def test_impossible_sizes_are_refused(height: int, width: int) -> None:
    with pytest.raises(ValueError, match=f"got height {height} and width {width}"):
        FrameSize(height, width)


@pytest.mark.parametrize(
    "pixel_format", ["yuv420p", "yuvj420p", "yuv444p", "yuv420p10le", "gbrp", "bgra", "gray", "nv12"]
)
@pytest.mark.parametrize(("height", "width"), [(31, 43), (32, 44), (96, 128)])
def test_scaled_colours_are_those_of_the_most_accurate_conversion(
    pixel_format: str, height: int, width: int
) -> None:
    frame = make_frame(pixel_format=pixel_format)
    accurate = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    if pixel_format != "bgra":  # here the flag changes the reader, which is no more accurate
        accurate |= Interpolation.FULL_CHR_H_INP
    expected = VideoReformatter().reformat(frame, width, height, "rgb24", interpolation=accurate, threads=1)
    picture = RgbConverter().convert(frame, height, width)
    assert np.abs(picture.astype(int) - expected.to_ndarray()).max() <= 1


@pytest.mark.parametrize("pixel_format", ["yuv420p", "gbrp", "rgb24"])
def test_frames_keep_their_colours_when_they_keep_their_size(pixel_format: str) -> None:
    frame = make_frame(pixel_format=pixel_format)
    picture = RgbConverter().convert(frame, 48, 64)
    np.testing.assert_array_equal(picture, frame.to_ndarray(format="rgb24"))


def test_frames_that_keep_their_size_take_the_short_way() -> None:
    converter = RgbConverter()
    converter._scaler = None  # type: ignore[assignment]
    assert converter.convert(make_frame(), 48, 64).shape == (48, 64, 3)
    with pytest.raises(AttributeError):
        converter.convert(make_frame(), 47, 64)


def test_a_converter_has_no_memory() -> None:
    # One object serves frames of all sizes and formats, in any order.
    cases = [((48, 64), "yuv420p"), ((30, 20), "gbrp"), ((48, 64), "yuv420p10le"), ((16, 16), "bgra")]
    shared = RgbConverter()
    for _ in range(2):
        for seed, ((height, width), pixel_format) in enumerate(cases):
            frame = make_frame(height, width, pixel_format, seed=seed)
            fresh = RgbConverter().convert(frame, 24, 30).copy()
            np.testing.assert_array_equal(shared.convert(frame, 24, 30), fresh)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 2), (1, 9), (9, 1)])
def test_the_smallest_frames_can_be_scaled(height: int, width: int) -> None:
    frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 90, np.uint8), "rgb24")
    picture = stack_frame(FrameSize(12, 16), frame, (height, width))
    assert picture.shape == (12, 16, 3)
    assert np.abs(picture.astype(int) - 90).max() <= 1
    assert stack_frame(FrameSize(), frame, (height, width)).shape == (height, width, 3)


@pytest.mark.parametrize(("degrees", "turns"), [(0, 0), (90, -1), (180, 2), (270, 1)])
def test_pictures_are_turned_upright(tmp_path: Path, path_of: KindPath, degrees: int, turns: int) -> None:
    path = rotate_mp4(path_of("h264"), tmp_path / "turned.mp4", degrees)
    frame = read_first_frame(path)
    assert get_rotation(frame) == degrees
    upright = stack_frame(FrameSize(), read_first_frame(path_of("h264")), (48, 64))
    np.testing.assert_array_equal(stack_frame(FrameSize(), frame, (48, 64)), np.rot90(upright, turns))


def test_sizes_count_after_the_turn(tmp_path: Path, path_of: KindPath) -> None:
    frame = read_first_frame(rotate_mp4(path_of("h264"), tmp_path / "turned.mp4", 90))
    assert stack_frame(FrameSize(30, 20), frame, (48, 64)).shape == (30, 20, 3)
    assert stack_frame(FrameSize(24), frame, (48, 64)).shape == (32, 24, 3)
    assert stack_frame(FrameSize(), frame, (48, 64)).shape == (64, 48, 3)


def test_all_pictures_get_the_size_of_the_video_not_of_the_frame() -> None:
    stack = PictureStack(FrameSize(), RgbConverter(), 2, (48, 64))
    stack.put(1, make_frame(48, 64))
    stack.put(0, make_frame(24, 32))
    assert stack.frames_FHWC.shape == (2, 48, 64, 3)


def test_a_header_without_a_size_leaves_it_to_the_first_frame() -> None:
    assert stack_frame(FrameSize(), make_frame(24, 32), (0, 0)).shape == (24, 32, 3)


def test_a_stack_grows_and_keeps_what_it_holds() -> None:
    stack = PictureStack(FrameSize(12, 16), RgbConverter(), 2, (48, 64))
    frames = [make_frame(seed=seed) for seed in range(9)]
    for row, frame in enumerate(frames):
        stack.put(row, frame)
    assert len(stack.frames_FHWC) == 16
    for row, frame in enumerate(frames):
        np.testing.assert_array_equal(stack.frames_FHWC[row], RgbConverter().convert(frame, 12, 16))
