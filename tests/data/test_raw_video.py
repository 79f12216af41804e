"""Raw videos: the bits of the ordinary way at a fraction of its cost, and the ordinary way when in doubt."""

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.data.videos import draw_frames, write_video
from unreel.data import raw_video as module
from unreel.data.decode import ClipDecoder, FrameSize
from unreel.data.frame_index import FrameIndex
from unreel.data.opening import Deadline
from unreel.data.packets import VideoFile
from unreel.data.pictures import RgbConverter
from unreel.data.probe import probe_video
from unreel.data.raw_video import RawLayout, find_layout, read_raw
from unreel.errors import VideoError

TICKS = (0, 3, 4, 9, 10, 30, 31)


def write_raw(path: Path, frames_FHWC: NDArray[np.uint8], *, audio: bool = False) -> Path:
    with av.open(str(path), "w", format="mov") as file:
        stream = file.add_stream("rawvideo", rate=25)
        stream.height, stream.width = frames_FHWC.shape[1:3]
        stream.pix_fmt = "rgb24"
        stream.codec_context.time_base = Fraction(1, 100)
        sound = file.add_stream("pcm_s16le", rate=8000) if audio else None
        for picture, tick in zip(frames_FHWC, TICKS, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 100)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
        if sound is not None:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
            silence.rate = 8000
            file.mux(sound.encode(silence))
            file.mux(sound.encode(None))
    return path


@pytest.fixture(scope="module", name="frames_FHWC")
def draw_once() -> NDArray[np.uint8]:
    return draw_frames(len(TICKS), 24, 30)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory, frames_FHWC: NDArray[np.uint8]) -> Path:
    return write_raw(tmp_path_factory.mktemp("raw") / "a.raw.mov", frames_FHWC)


def read(path: Path, index: FrameIndex, frames: list[int], size: FrameSize = FrameSize()) -> object:  # noqa: B008
    deadline = Deadline(path, 0)
    return read_raw(path, index, np.array(frames), size, converter=RgbConverter(), deadline=deadline)


def look(path: Path) -> RawLayout | None:
    file = os.open(path, os.O_RDONLY)
    try:
        return find_layout(file)
    finally:
        os.close(file)


def test_frames_are_where_the_layout_says(raw: Path, frames_FHWC: NDArray[np.uint8]) -> None:
    layout = look(raw)
    assert layout is not None
    assert (layout.num_frames, layout.height, layout.width) == (7, 24, 30)
    assert layout.frame_bytes == 24 * 30 * 3
    place = layout.offset + 5 * layout.frame_bytes
    assert raw.read_bytes()[place : place + layout.frame_bytes] == frames_FHWC[5].tobytes()


def test_every_plan_has_the_frames_that_were_written(raw: Path, frames_FHWC: NDArray[np.uint8]) -> None:
    index = probe_video(raw).index
    assert index.time_base[0] * (index.pts[5] - index.pts[0]) * 100 == 30 * index.time_base[1]
    decoder = ClipDecoder()
    np.testing.assert_array_equal(decoder.decode_all(raw), frames_FHWC)
    for plan in ([[0, 6]], [[6, 6, 2], [0, 1, 5]], [[3]]):
        np.testing.assert_array_equal(decoder.decode(raw, index, np.array(plan)), frames_FHWC[np.array(plan)])


def test_no_decoder_is_started(
    raw: Path, frames_FHWC: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    index = probe_video(raw).index
    monkeypatch.delattr(VideoFile, "__init__")
    np.testing.assert_array_equal(ClipDecoder().decode(raw, index, np.array([[4]]))[0, 0], frames_FHWC[4])


@pytest.mark.parametrize("size", [FrameSize(12, 16), FrameSize(17, 23), FrameSize(48), FrameSize(24, 31)])
def test_another_size_has_the_bits_of_the_ordinary_way(
    raw: Path, size: FrameSize, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = probe_video(raw).index
    plan_NT = np.array([[0, 3, 6], [2, 2, 1]])
    quick = ClipDecoder(size).decode(raw, index, plan_NT)
    monkeypatch.setattr("unreel.data.decode.read_raw", lambda *_, **__: None)
    np.testing.assert_array_equal(quick, ClipDecoder(size).decode(raw, index, plan_NT))


def test_clips_do_not_share_memory(raw: Path) -> None:
    index = probe_video(raw).index
    clips = ClipDecoder().decode(raw, index, np.array([[3, 3]]))
    clips[0, 0] = 0
    assert clips[0, 1].any()


def test_other_names_and_missing_files_are_left_alone(raw: Path, tmp_path: Path) -> None:
    index = probe_video(raw).index
    other = tmp_path / "a.mov"
    other.write_bytes(raw.read_bytes())
    assert read(raw, index, [0]) is not None
    assert read(other, index, [0]) is None
    assert read(tmp_path / "none.raw.mov", index, [0]) is None
    (tmp_path / "folder.raw.mov").mkdir()
    assert read(tmp_path / "folder.raw.mov", index, [0]) is None


def test_what_is_only_called_raw_is_read_in_the_ordinary_way(
    tmp_path: Path, frames_FHWC: NDArray[np.uint8]
) -> None:
    path = write_video(tmp_path / "x.raw.mov", frames_FHWC)
    assert look(path) is None
    index = probe_video(path).index
    clip = ClipDecoder().decode(path, index, np.array([[2, 5]]))
    np.testing.assert_array_equal(clip[0], ClipDecoder().decode_all(path)[[2, 5]])


def test_odd_widths_whose_rows_are_padded_are_not_taken(tmp_path: Path) -> None:
    assert look(write_raw(tmp_path / "odd.raw.mov", draw_frames(7, 24, 31))) is None


def test_a_second_stream_is_not_taken(tmp_path: Path, frames_FHWC: NDArray[np.uint8]) -> None:
    assert look(write_raw(tmp_path / "two.raw.mov", frames_FHWC, audio=True)) is None


def test_a_second_track_is_not_taken_even_if_it_is_the_same(raw: Path, tmp_path: Path) -> None:
    content = raw.read_bytes()
    moov, trak = content.index(b"moov") - 4, content.index(b"trak") - 4
    track = content[trak : trak + int.from_bytes(content[trak : trak + 4], "big")]
    twice = tmp_path / "twice.raw.mov"
    size = len(content) - moov + len(track)
    twice.write_bytes(content[:moov] + size.to_bytes(4, "big") + content[moov + 4 :] + track)
    assert look(twice) is None


def test_a_file_that_was_turned_is_not_taken(raw: Path, tmp_path: Path) -> None:
    turned = tmp_path / "turned.raw.mov"
    assert raw.read_bytes().count(module._IDENTITY) == 2  # of the film, and of its track
    head, sep, tail = raw.read_bytes().rpartition(module._IDENTITY)
    turned.write_bytes(head + bytes(len(sep)) + tail)
    assert look(turned) is None


@pytest.mark.parametrize("cut", [0, 4, 20, 36, 1000, -700, -300, -1])
def test_a_file_that_was_cut_off_is_never_half_read(raw: Path, tmp_path: Path, cut: int) -> None:
    index = probe_video(raw).index
    path = tmp_path / "cut.raw.mov"
    path.write_bytes(raw.read_bytes()[:cut])
    assert read(path, index, [6]) is None


def test_any_damaged_byte_of_the_header_is_survived(raw: Path, tmp_path: Path) -> None:
    content = raw.read_bytes()
    layout = look(raw)
    assert layout is not None
    end = layout.offset + layout.num_frames * layout.frame_bytes
    path = tmp_path / "bad.raw.mov"
    for place in (*range(36), *range(end, len(content), 3)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        found = look(path)
        assert found is None or found.frame_bytes * found.num_frames == end - layout.offset


def test_a_file_that_changed_is_named_by_the_ordinary_way(
    tmp_path: Path, frames_FHWC: NDArray[np.uint8], raw: Path
) -> None:
    path = tmp_path / "a.raw.mov"
    write_video(path, frames_FHWC[:3], fps=10, codec="libx264")
    with pytest.raises(VideoError, match="has changed since it was scanned"):
        ClipDecoder().decode(path, probe_video(raw).index, np.array([[6]]))


def test_frames_and_ticks_must_be_those_that_were_scanned(raw: Path) -> None:
    index = probe_video(raw).index
    fewer = FrameIndex(index.pts[:-1], index.key_frames[:-1], index.time_base)
    other = FrameIndex(index.pts, index.key_frames, (1, index.time_base[1] + 1))
    assert read(raw, fewer, [0]) is None
    assert read(raw, other, [0]) is None


def test_long_times_have_longer_fields(raw: Path) -> None:
    """Version 1 of the media's header has two times of eight bytes before the rate, not of four."""
    content = raw.read_bytes()
    place = content.index(b"mdhd") + 4
    short = content[place : place + 24]
    long = b"\1" + short[1:4] + bytes(16) + short[12:16] + bytes(8) + short[20:]
    moov = content.index(b"moov") + 4
    header = content[moov:place] + long + content[place + 24 :]
    for kind in (b"mdhd", b"mdia", b"trak"):
        at = header.index(kind) - 4
        size = int.from_bytes(header[at : at + 4], "big") + len(long) - len(short)
        header = header[:at] + size.to_bytes(4, "big") + header[at + 4 :]
    layout = look(raw)
    assert layout is not None
    end = layout.offset + layout.num_frames * layout.frame_bytes
    assert module._parse_header(header, (layout.offset, end)) == layout


def test_a_disk_that_is_too_slow_is_given_up(raw: Path) -> None:
    deadline = Deadline(raw, 1e-9)
    with pytest.raises(VideoError, match="not read within 1e-09 s") as caught:
        read_raw(
            raw,
            probe_video(raw).index,
            np.array([3]),
            FrameSize(),
            converter=RgbConverter(),
            deadline=deadline,
        )
    assert caught.value.frame_index == 3
