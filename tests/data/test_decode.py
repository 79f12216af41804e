"""Decoding a plan gives the bits that decoding the file from its beginning gives, or says why it cannot."""

import dataclasses
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.data.conftest import KindPath
from tests.data.videos import KINDS, draw_frames, write_video
from unreel.data import decode
from unreel.data.decode import ClipDecoder, FrameSize
from unreel.data.frame_index import FrameIndex
from unreel.data.packets import VideoFile
from unreel.data.probe import probe_video
from unreel.errors import VideoError


def random_plan(num_frames: int, rng: np.random.Generator) -> np.ndarray:
    """Draw one to three clips: strided from anywhere, or of frames in any order with repetitions."""
    num_clips, length = rng.integers(1, 4), rng.integers(1, 9)
    if rng.random() < 0.3:
        return rng.integers(0, num_frames, (num_clips, length))
    starts = rng.integers(0, num_frames, (num_clips, 1))
    return np.minimum(starts + np.arange(length) * rng.integers(1, 6), num_frames - 1)


def watch_reading(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that is told of every opened file and of every frame that a decoder gives."""
    events: list[str] = []
    decode_packet, open_file = VideoFile.decode, VideoFile.__init__

    def spy_decode(self: VideoFile, packet: object, *, skip: bool = False) -> list[object]:
        frames = decode_packet(self, packet, skip=skip)  # type: ignore[arg-type]
        events.extend("frame" for _ in frames)
        return frames  # type: ignore[return-value]

    def spy_open(self: VideoFile, *args: object, **kwargs: object) -> None:
        events.append("open")
        open_file(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(VideoFile, "decode", spy_decode)
    monkeypatch.setattr(VideoFile, "__init__", spy_open)
    return events


@pytest.mark.parametrize("kind", KINDS)
def test_every_plan_has_the_bits_of_a_decode_from_the_beginning(path_of: KindPath, kind: str) -> None:
    path = path_of(kind)
    index = FrameIndex.from_row(probe_video(path).index.to_row())
    rng = np.random.default_rng(list(kind.encode()))
    for size in (FrameSize(30, 40), FrameSize()):
        decoder = ClipDecoder(size)
        whole_FHWC = decoder.decode_all(path)
        for _ in range(12):
            frames_NT = random_plan(len(whole_FHWC), rng)
            np.testing.assert_array_equal(decoder.decode(path, index, frames_NT), whole_FHWC[frames_NT])


WITHOUT_TIMES = ("h264 without container", "mpeg4 with repeated timestamps")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in WITHOUT_TIMES])
def test_the_fast_way_never_needs_the_slow_one(
    path_of: KindPath, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = path_of(kind)
    index = probe_video(path).index
    monkeypatch.delattr(ClipDecoder, "_read_in_order")
    events = watch_reading(monkeypatch)
    for number in range(40):
        ClipDecoder(FrameSize(12, 16)).decode(path, index, np.array([[number, min(number + 5, 39)]]))
    assert events.count("open") == 40


def test_the_plan_is_shaped_and_ordered_as_asked(path_of: KindPath) -> None:
    path = path_of("h264")
    decoder = ClipDecoder(FrameSize(12, 16))
    whole_FHWC = decoder.decode_all(path)
    frames_NT = np.array([[39, 0, 39], [7, 7, 7]])
    clips_NTHWC = decoder.decode(path, probe_video(path).index, frames_NT)
    assert clips_NTHWC.shape == (2, 3, 12, 16, 3)
    assert clips_NTHWC.dtype == np.uint8
    np.testing.assert_array_equal(clips_NTHWC, whole_FHWC[frames_NT])


def test_clips_do_not_share_memory(path_of: KindPath) -> None:
    path = path_of("h264")
    index = probe_video(path).index
    decoder = ClipDecoder(FrameSize(12, 16))
    first = decoder.decode(path, index, np.array([[3, 4]]))
    kept = first.copy()
    second = decoder.decode(path, index, np.array([[13, 14]]))
    second[:] = 0
    np.testing.assert_array_equal(first, kept)
    repeated = decoder.decode(path, index, np.array([[3, 3]]))
    repeated[0, 0] = 0
    assert repeated[0, 1].any()


def test_a_frame_is_decoded_once_however_often_it_is_named(
    path_of: KindPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = path_of("mjpeg")
    index = probe_video(path).index
    events = watch_reading(monkeypatch)
    ClipDecoder().decode(path, index, np.array([[5, 9, 5], [9, 9, 5]]))
    assert events == ["open", "frame", "frame"]


def test_frames_up_to_the_next_key_frame_are_jumped_over(
    path_of: KindPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = path_of(
        "mpeg4 in avi"
    )  # key frames 0, 12, 24, 36 and no B-frames: every frame is needed by the next
    index = probe_video(path).index
    events = watch_reading(monkeypatch)
    for plan, expected in (
        ([0], 1),
        ([11], 12),
        ([12], 1),
        ([13, 26], 2 + 3),  # 12, 13, jump, 24, 25, 26
        ([11, 12], 13),  # the way crosses a key frame, but there is nothing to leave out
        ([10, 12], 11 + 1),
        ([2, 39], 3 + 4),
    ):
        events.clear()
        ClipDecoder(FrameSize(12, 16)).decode(path, index, np.array([plan]))
        assert events == ["open"] + ["frame"] * expected, plan


@pytest.mark.parametrize("plan", [[-1], [40], [3, 99]])
def test_frames_that_the_index_does_not_list_are_refused(path_of: KindPath, plan: list[int]) -> None:
    path = path_of("h264")
    with pytest.raises(ValueError, match=rf"frames_NT must lie in \[0, 40\).*got {plan[0]} to {plan[-1]}"):
        ClipDecoder().decode(path, probe_video(path).index, np.array([plan]))


def test_an_empty_plan_is_refused(path_of: KindPath) -> None:
    path = path_of("h264")
    with pytest.raises(ValueError, match="at least one frame"):
        ClipDecoder().decode(path, probe_video(path).index, np.zeros((0, 4), np.int64))


@pytest.mark.parametrize("kind", ["h264 uneven", "mpeg4 in avi", "h264 in ts", "h264 without container"])
def test_a_file_that_became_shorter_is_refused_at_the_missing_frame(
    tmp_path: Path, path_of: KindPath, kind: str
) -> None:
    index = probe_video(path_of(kind)).index
    path = tmp_path / path_of(kind).name
    content = path_of(kind).read_bytes()
    path.write_bytes(content[: int(len(content) * 0.8)])
    left = probe_video(path).frames
    assert 3 < left < 39
    decoder = ClipDecoder(FrameSize(12, 16))
    assert decoder.decode(path, index, np.array([[0, 1]])).shape == (1, 2, 12, 16, 3)
    with pytest.raises(
        VideoError, match=f"the file ends after {left} of 40 frames.*scan it again"
    ) as refusal:
        decoder.decode(path, index, np.array([[1, 39, 38]]))
    assert refusal.value.frame_index == 38
    assert refusal.value.path == str(path)
    assert f"{path} at frame 38: " in str(refusal.value)


def test_another_video_in_the_place_of_the_scanned_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    index = probe_video(write_video(path, draw_frames(30, 32, 32))).index
    write_video(path, draw_frames(30, 32, 32), ticks=list(range(0, 90, 3)))
    with pytest.raises(VideoError, match=r"another timestamp than scanned.*scan it again") as refusal:
        ClipDecoder().decode(path, index, np.array([[20, 21]]))
    assert refusal.value.frame_index == 20
    # At 30 frames per second the ticks have the same numbers, but they are shorter.
    write_video(path, draw_frames(30, 32, 32), fps=30)
    assert probe_video(path).index.pts.tolist() == index.pts.tolist()
    with pytest.raises(VideoError, match=r"other ticks of time than scanned.*scan it again"):
        ClipDecoder().decode(path, index, np.array([[20, 21]]))


def test_a_file_that_went_away_is_refused(path_of: KindPath, tmp_path: Path) -> None:
    index = probe_video(path_of("h264")).index
    with pytest.raises(VideoError, match=r"gone\.mp4: no such file"):
        ClipDecoder().decode(tmp_path / "gone.mp4", index, np.array([[0]]))
    with pytest.raises(VideoError, match=r"gone\.mp4: no such file"):
        ClipDecoder().decode_all(tmp_path / "gone.mp4")


def test_time_is_limited_and_the_frame_is_named(path_of: KindPath) -> None:
    path = path_of("h264")
    decoder = ClipDecoder(time_limit_sec=1e-6)
    with pytest.raises(VideoError, match="at frame 7: not read within 1e-06 s") as refusal:
        decoder.decode(path, probe_video(path).index, np.array([[7, 9]]))
    assert refusal.value.frame_index == 7
    with pytest.raises(VideoError, match="not read within 1e-06 s"):
        decoder.decode_all(path)


@pytest.mark.parametrize("kind", ["h264", "h264 with one key frame", "mpeg4 with b-frames in avi", "vp9"])
def test_damaged_files_give_the_same_bits_in_any_order(tmp_path: Path, path_of: KindPath, kind: str) -> None:
    content = bytearray(path_of(kind).read_bytes())
    rng = np.random.default_rng(3)
    for start in rng.integers(len(content) // 3, len(content) * 2 // 3, 4):
        content[start : start + 30] = rng.bytes(30)
    path = tmp_path / path_of(kind).name
    path.write_bytes(content)
    info = probe_video(path)
    decoder = ClipDecoder(FrameSize(30, 40))
    whole_FHWC = decoder.decode_all(path)
    assert len(whole_FHWC) == info.frames
    for _ in range(30):
        frames_NT = random_plan(info.frames, rng)
        np.testing.assert_array_equal(decoder.decode(path, info.index, frames_NT), whole_FHWC[frames_NT])


def test_a_wrong_index_costs_time_but_no_bit(path_of: KindPath) -> None:
    # Key frames where there are none, as a lying container would have them: the decoder starts over.
    path = path_of("h264 with one key frame")
    index = dataclasses.replace(probe_video(path).index, key_frames=np.array([0, 10, 20], np.int64))
    decoder = ClipDecoder(FrameSize(12, 16))
    whole_FHWC = decoder.decode_all(path)
    frames_NT = np.array([[5, 15, 25, 35]])
    np.testing.assert_array_equal(decoder.decode(path, index, frames_NT), whole_FHWC[frames_NT])


def test_a_header_with_another_size_than_the_frames_is_not_believed(
    tmp_path: Path, path_of: KindPath
) -> None:
    content = bytearray(path_of("h264").read_bytes())
    start = content.index(b"avc1", content.index(b"stsd")) + 28
    assert content[start : start + 4] == bytes([0, 64, 0, 48])
    content[start : start + 4] = bytes([0, 80, 0, 60])
    path = tmp_path / "lie.mp4"
    path.write_bytes(content)
    info = probe_video(path)
    decoder = ClipDecoder()
    whole_FHWC = decoder.decode_all(path)
    assert whole_FHWC.shape == (40, info.height, info.width, 3) == (40, 48, 64, 3)
    frames_NT = np.array([[3, 30]])
    np.testing.assert_array_equal(decoder.decode(path, info.index, frames_NT), whole_FHWC[frames_NT])


def test_a_long_video_is_decoded_whole(tmp_path: Path) -> None:
    path = write_video(tmp_path / "long.mp4", draw_frames(150, 16, 16))
    whole_FHWC = ClipDecoder(FrameSize(8, 8)).decode_all(path)
    assert len(whole_FHWC) == 150 > decode._FIRST_ROOM
    assert whole_FHWC.base is None  # not a part of something larger that stays in memory


def test_a_file_without_a_frame_cannot_be_decoded_whole(tmp_path: Path, path_of: KindPath) -> None:
    content = path_of("mjpeg").read_bytes()
    path = tmp_path / "blank.avi"
    start = content.index(b"movi") + 12
    path.write_bytes(content[:start] + bytes(2000))
    with pytest.raises(VideoError, match="no frame decodes"):
        ClipDecoder().decode_all(path)


def test_memory_stays_flat(tmp_path: Path, path_of: KindPath) -> None:
    # 600 readings of four files; a leak of one frame of 48x64 each would be 5 MiB, of one open file far more.
    paths = [path_of(kind) for kind in ("h264", "vp9", "mpeg4 in avi", "h264 turned")]
    indexes = [probe_video(path).index for path in paths]
    decoder = ClipDecoder(FrameSize(30, 40))
    rng = np.random.default_rng(0)

    def read(times: int) -> int:
        for number in range(times):
            place = number % len(paths)
            decoder.decode(paths[place], indexes[place], random_plan(40, rng))
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = read(200)
    assert read(600) - before < 3 * 1024  # kilobytes


def test_the_name_may_be_anything(tmp_path: Path, path_of: KindPath) -> None:
    path = tmp_path / "concat:ünï %03d.mp4"
    shutil.copy(path_of("h264"), path)
    index = probe_video(path).index
    assert ClipDecoder().decode(path, index, np.array([[1]])).shape == (1, 1, 48, 64, 3)


@pytest.mark.parametrize("seconds", [float("nan"), -1.0, float("inf")])
def test_a_time_limit_that_would_be_none_by_accident_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"decode_time_limit_sec must be a number of seconds, or 0 for no"):
        ClipDecoder(time_limit_sec=seconds)
