"""A trace knows the frames of a file, and lists only key frames from which the same pictures come."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from av.video.frame import VideoFrame

from tests.data.conftest import KindPath
from tests.data.videos import KINDS, draw_frames, set_timestamps, write_video
from unreel.data import tracing
from unreel.data.opening import Deadline
from unreel.data.packets import VideoFile
from unreel.data.tracing import Trace, trace_decode, trace_packets
from unreel.errors import VideoError

KEY_FRAMES = {
    "h264 with one key frame": [0],
    "h264 with gradual refresh": [0],
    "h264 without container": [],
    "mpeg4 with repeated timestamps": [],
    "h264 with open groups": [0, 10, 20, 30],
    "h264 with open groups in ts": [0, 10, 20, 30],
    "hevc with open groups": [0, 10, 20, 30],
    "mjpeg": list(range(40)),
    "gif": [0],
    "animation with alpha": [0],
}
"""What the writers of `tests.data.videos` were told; all other kinds have a key frame every 12 frames."""


def trace(path: Path) -> Trace:
    return trace_decode(path, Deadline(path, 10))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_is_traced(path_of: KindPath, kind: str) -> None:
    seen = trace(path_of(kind))
    assert len(seen.pts) == 40
    assert seen.key_frames == KEY_FRAMES.get(kind, [0, 12, 24, 36])
    assert seen.faults == []


@pytest.mark.parametrize("kind", KINDS)
def test_packets_alone_tell_the_same_or_nothing(path_of: KindPath, kind: str) -> None:
    path = path_of(kind)
    quick = trace_packets(path, Deadline(path, 10))
    tells = kind not in (
        "h264 without container",  # no timestamps
        "mpeg4 with repeated timestamps",
        "h264 in avi",  # timestamps that do not rise
        "h264 with gradual refresh",  # flags of key frames where there are none
        "animation with alpha",  # a decoder that does not say which frames are key frames
    )
    assert (quick is not None) == tells
    if quick is not None:
        full = trace(path)
        assert (quick.pts, quick.key_frames) == (full.pts, full.key_frames)
        assert (quick.size, quick.rotation, quick.codec) == (full.size, full.rotation, full.codec)


def test_packets_that_share_a_time_in_the_middle_do_not_pass_for_one(
    tmp_path: Path, path_of: KindPath
) -> None:
    times = [40 * number for number in range(40)]
    times[18] = times[17]
    path = set_timestamps(path_of("mpeg4 in avi"), tmp_path / "twins.mkv", times)
    assert trace_packets(path, Deadline(path, 10)) is None
    assert len(trace(path).pts) == 40


def test_packets_decode_no_more_than_they_need(path_of: KindPath, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = 0
    decode = VideoFile.decode

    def count(self: VideoFile, packet: object, *, skip: bool = False) -> list[VideoFrame]:
        nonlocal decoded
        decoded += packet is not None and not skip
        return decode(self, packet, skip=skip)  # type: ignore[arg-type]

    monkeypatch.setattr(VideoFile, "decode", count)
    path = path_of("h264")
    trace_packets(path, Deadline(path, 10))
    # The first 12 frames, the last 4, and the three key frames in between to see whether they are any.
    assert decoded == 12 + 4 + 3


def break_fingerprints(monkeypatch: pytest.MonkeyPatch, is_broken: Callable[[int], bool]) -> list[int]:
    """Let frames look different the second time they are decoded; return the frames that were looked at."""
    fingerprint = tracing._fingerprint
    looks: dict[int, int] = {}

    def lie(frame: VideoFrame) -> int:
        number = round((frame.pts or 0) / 512)
        looks[number] = looks.get(number, 0) + 1
        return fingerprint(frame) + (looks[number] > 1 and is_broken(number))

    monkeypatch.setattr(tracing, "_fingerprint", lie)
    return list(looks)


@pytest.mark.parametrize(
    ("broken", "expected"), [(12, [0, 24, 36]), (14, [0, 24, 36]), (38, [0, 12, 24]), (0, [])]
)
def test_a_key_frame_that_gives_other_pictures_is_not_listed(
    path_of: KindPath, monkeypatch: pytest.MonkeyPatch, broken: int, expected: list[int]
) -> None:
    # Either of the two frames that are compared is enough; without the first one nothing can be trusted.
    break_fingerprints(monkeypatch, lambda number: number == broken)
    assert trace(path_of("h264")).key_frames == expected


def test_one_bad_key_frame_in_the_sample_lets_all_be_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "keys.mp4", draw_frames(40, 32, 32), options={"g": "1"})
    monkeypatch.setattr(tracing, "_MAX_TRIED_KEY_FRAMES", 4)
    assert trace(path).key_frames == list(range(40))
    # 39 candidates in steps of 10: frames 1, 11, 21, 31 are tried. Frame 11 is bad, so all are tried.
    break_fingerprints(monkeypatch, lambda number: number in (7, 11))
    seen = trace(path).key_frames
    assert {5, 7, 9, 11} & set(seen) == set()  # frames 5 and 9 are compared together with 7 and 11
    assert len(seen) == 36


def test_the_fingerprint_sees_the_picture_not_the_padding() -> None:
    from av import VideoFrame as Frame

    pictures = draw_frames(2, 10, 13)
    frames = [Frame.from_ndarray(picture, "rgb24").reformat(format="yuv420p10le") for picture in pictures]
    again = Frame.from_ndarray(pictures[0], "rgb24").reformat(format="yuv420p10le")
    padding = np.frombuffer(memoryview(again.planes[0]), np.uint8).reshape(10, -1)
    padding[:, 26:] = 77  # 13 pixels of 2 bytes
    assert tracing._fingerprint(frames[0]) == tracing._fingerprint(again)
    assert tracing._fingerprint(frames[0]) != tracing._fingerprint(frames[1])


def test_faults_are_kept_with_the_frames_that_decode(tmp_path: Path, path_of: KindPath) -> None:
    path = tmp_path / "noise.mp4"
    content = bytearray(path_of("h264 with one key frame").read_bytes())
    start = content.index(b"mdat") + 1800
    content[start : start + 300] = bytes(300)
    path.write_bytes(content)
    seen = trace(path)
    assert 20 < len(seen.pts) < 40
    assert seen.promised_frames == 40
    assert seen.faults
    assert trace_packets(path, Deadline(path, 10)) is None


@pytest.mark.parametrize("is_first", [True, False])
def test_noise_in_the_first_and_in_the_last_group_is_seen(
    tmp_path: Path, path_of: KindPath, *, is_first: bool
) -> None:
    content = bytearray(path_of("mpeg4 in avi").read_bytes())
    # The last two frames have about 25 bytes each and stand before the table at the end.
    start = content.index(b"movi") + 600 if is_first else content.index(b"idx1") - 54
    content[start : start + 22] = np.random.default_rng(0).bytes(22)
    path = tmp_path / "noise.avi"
    path.write_bytes(content)
    assert trace_packets(path, Deadline(path, 10)) is None


def test_packets_that_cannot_all_be_read_leave_it_to_the_decoder(
    path_of: KindPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_early(self: VideoFile) -> Iterator[object]:
        self.faults.append("reading stops early: input/output error")
        return iter(())

    monkeypatch.setattr(VideoFile, "read_packets", stop_early)
    path = path_of("h264")
    assert trace_packets(path, Deadline(path, 10)) is None


def test_a_file_without_a_frame_is_refused(tmp_path: Path, path_of: KindPath) -> None:
    content = bytearray(path_of("mjpeg").read_bytes())
    start = content.index(b"movi")
    content[start + 12 : -2000] = bytes(len(content) - 2000 - start - 12)
    path = tmp_path / "blank.avi"
    path.write_bytes(content[:-2000])
    with pytest.raises(VideoError, match="no frame decodes"):
        trace(path)
