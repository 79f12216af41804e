"""Reading goes through packets: frames left out change no other, and faults are written down, not thrown."""

from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Discard
from av.video.codeccontext import VideoCodecContext

from tests.data.conftest import KindPath
from unreel.data.frame_index import FrameIndex
from unreel.data.opening import Deadline
from unreel.data.packets import VideoFile, view_first_plane
from unreel.data.probe import probe_video
from unreel.errors import VideoError


def open_video(path: Path, *, quick: bool = False) -> VideoFile:
    return VideoFile(path, Deadline(path, 10), quick=quick)


def read_all(path: Path) -> list[tuple[int | None, bytes]]:
    """Return timestamp and brightness of every frame, decoded from the beginning."""
    with open_video(path) as video:
        return [
            (frame.pts, view_first_plane(frame)[:, : frame.width].tobytes()) for frame in video.read_frames()
        ]


def pick(path: Path, index: FrameIndex, key: int, numbers: list[int]) -> list[tuple[int | None, bytes]]:
    with open_video(path) as video:
        frames = video.pick_frames(video.enter(index, key), frozenset(index.pts[numbers].tolist()))
        return [(frame.pts, view_first_plane(frame)[:, : frame.width].tobytes()) for frame in frames]


@pytest.mark.parametrize(
    "kind",
    ["h264", "h264 with open groups in ts", "mpeg4 with b-frames in avi", "hevc with open groups", "vp9"],
)
def test_picked_frames_are_those_of_a_decode_from_the_beginning(path_of: KindPath, kind: str) -> None:
    path = path_of(kind)
    index = probe_video(path).index
    everything = read_all(path)
    for key in (-1, *index.key_frames[1:].tolist()):
        first = max(key, 0)
        for numbers in ([first], [first + 3], [first, first + 1, first + 2], list(range(first, 40, 3))):
            assert pick(path, index, key, numbers) == [everything[number] for number in numbers]


def test_frames_that_nobody_needs_are_not_decoded(path_of: KindPath, monkeypatch: pytest.MonkeyPatch) -> None:
    path = path_of("h264 with one key frame")
    index = probe_video(path).index
    modes: list[str] = []
    decode = VideoFile.decode

    def spy(self: VideoFile, packet: object, *, skip: bool = False) -> list[object]:
        modes.append("drain" if packet is None else "skip" if skip else "keep")
        return decode(self, packet, skip=skip)  # type: ignore[arg-type,return-value]

    monkeypatch.setattr(VideoFile, "decode", spy)
    assert len(pick(path, index, -1, [4, 8])) == 2
    # Two frames are kept; nothing but the drain comes behind the second of them, long before the file ends.
    assert modes.count("keep") == 2
    assert modes[-2:] == ["keep", "drain"]
    assert len(modes) < 20


def test_only_trusted_decoders_are_told_to_leave_frames_out(
    path_of: KindPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind, may_skip in (("h264", True), ("vp8", False)):
        with open_video(path_of(kind)) as video:
            context = video.stream.codec_context
            assert isinstance(context, VideoCodecContext)
            packet = next(iter(video.read_packets()))
            video.decode(packet, skip=True)
            assert context.skip_frame == ("NONREF" if may_skip else "DEFAULT")
            video.decode(packet)
            assert context.skip_frame == "DEFAULT"


@pytest.mark.parametrize("kind", ["h264 in ts", "mpeg1"])
def test_a_container_without_a_table_is_entered_exactly(path_of: KindPath, kind: str) -> None:
    path = path_of(kind)
    index = probe_video(path).index
    assert len(index.key_frames) == 4
    for key in index.key_frames[1:].tolist():
        with open_video(path) as video:
            packets = list(video.enter(index, key))
        assert (packets[0].pts, packets[0].is_keyframe) == (index.pts[key], True)
        assert len(packets) >= 40 - key


def test_no_packet_comes_where_there_is_no_key_frame(path_of: KindPath) -> None:
    path = path_of("h264")
    index = probe_video(path).index
    for wrong in (13, 39):
        with open_video(path) as video:
            assert list(video.enter(index, wrong)) == []


def test_the_search_for_a_key_frame_does_not_read_the_whole_file(path_of: KindPath) -> None:
    path = path_of("h264 in flv")
    index = probe_video(path).index
    with open_video(path) as video:
        read: list[int | None] = []
        read_packets = video.read_packets

        def watch() -> object:
            for packet in read_packets():
                read.append(packet.dts)
                yield packet

        video.read_packets = watch  # type: ignore[method-assign,assignment]
        assert list(video.enter(index, 13)) == []
    # From key frame 12 and again from 0, each time to the first packet that is decoded behind frame 13.
    assert read[-1] == read[4] == 640
    assert len(read) == 5 + 17


def test_one_thread_decodes_one_stream(tmp_path: Path) -> None:
    path = tmp_path / "two.avi"
    with av.open(str(path), "w") as file:
        for _ in range(2):
            stream = file.add_stream("mjpeg", rate=25)
            stream.width, stream.height, stream.pix_fmt = 16, 16, "yuvj420p"
        for stream in file.streams.video:
            file.mux(stream.encode(av.VideoFrame(16, 16, "yuvj420p")))
    with open_video(path) as video:
        assert video.stream.codec_context.thread_count == 1
        container = video.stream.container
        assert [stream.discard for stream in container.streams] == [Discard.default, Discard.all]


def test_a_container_that_cannot_seek_gives_nothing(path_of: KindPath) -> None:
    path = path_of("h264 without container")
    index = FrameIndex(np.arange(40, dtype=np.int64), np.array([0, 12], np.int64), (1, 25))
    with open_video(path) as video:
        assert list(video.enter(index, 12)) == []


def test_a_seek_that_fails_gives_nothing(path_of: KindPath) -> None:
    path = path_of("h264")
    index = probe_video(path).index
    with open_video(path) as video:
        container = video._container

        class Failing:
            def seek(self, *args: object, **kwargs: object) -> None:
                raise av.error.OSError(1, "Operation not permitted")

        video._container = Failing()  # type: ignore[assignment]
        assert list(video.enter(index, 12)) == []
        video._container = container


def test_noise_in_a_packet_is_a_fault_not_an_end(tmp_path: Path, path_of: KindPath) -> None:
    content = bytearray(path_of("h264 with one key frame").read_bytes())
    start = content.index(b"mdat") + 4
    middle = start + 1800
    content[middle : middle + 300] = bytes(300)
    path = tmp_path / "noise.mp4"
    path.write_bytes(content)
    with open_video(path) as video:
        frames = list(video.read_frames())
    assert 20 < len(frames) < 40
    assert "a packet does not decode: invalid data found when processing input" in video.faults
    assert "a frame is damaged and was patched up by the decoder" in video.faults


def test_a_read_that_fails_is_a_fault_not_a_crash(path_of: KindPath) -> None:
    with open_video(path_of("h264")) as video:
        container = video._container

        class Failing:
            def demux(self, stream: object) -> object:
                yield next(container.demux(stream))
                raise OSError(5, "Input/output error")

        video._container = Failing()  # type: ignore[assignment]
        assert len(list(video.read_packets())) == 1
        video._container = container
    assert video.faults == ["reading stops early: input/output error"]


def test_the_end_without_a_frame_has_its_reason(path_of: KindPath) -> None:
    with open_video(path_of("h264")) as video:
        assert "it holds no data" in video.explain_no_frame()
        video.faults = ["something broke", "more"]
        assert video.explain_no_frame().startswith("no frame decodes (something broke); ")


def test_time_is_up_between_packets(path_of: KindPath, monkeypatch: pytest.MonkeyPatch) -> None:
    path = path_of("h264")
    deadline = Deadline(path, 10)
    with VideoFile(path, deadline) as video:
        packets = video.read_packets()
        next(packets)
        monkeypatch.setattr("time.monotonic", lambda: 1e12)
        with pytest.raises(VideoError, match="not read within 10 s"):
            next(packets)


def test_a_file_describes_itself(path_of: KindPath) -> None:
    with open_video(path_of("h264 turned")) as video:
        assert (video.container_name, video.codec_name) == ("mov,mp4,m4a,3gp,3g2,mj2", "h264")
        assert video.coded_size == (48, 64)
        assert video.duration_sec == pytest.approx(1.6)
    with open_video(path_of("vp8")) as video:  # Matroska gives a length to the file, not to the stream
        assert video.stream.duration is None
        assert video.duration_sec == pytest.approx(1.6, abs=0.05)


def test_the_quick_way_gives_the_same_frames(path_of: KindPath) -> None:
    for kind in ("h264", "h264 uneven", "vp9", "hevc with open groups"):
        with open_video(path_of(kind), quick=True) as video:
            quick = [frame.pts for frame in video.read_frames()]
        assert quick == [pts for pts, _ in read_all(path_of(kind))]


def test_a_file_without_video_is_closed_and_refused(tmp_path: Path, path_of: KindPath) -> None:
    path = tmp_path / "odd.avi"
    path.write_bytes(path_of("mpeg4 in avi").read_bytes().replace(b"FMP4", b"QQQQ"))
    with pytest.raises(VideoError, match="no decoder"):
        open_video(path)
