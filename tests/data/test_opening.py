"""Every way in which a file cannot be opened has its reason, in one line and in plain words."""

import os
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from tests.data.conftest import KindPath
from tests.data.videos import draw_frames, write_audio, write_video
from unreel.data.opening import Deadline, check_time_limit, find_video_stream, open_container
from unreel.errors import VideoError


def open_and_close(path: Path, *, quick: bool = False) -> str:
    """Open a file as decoding does; return the name of the codec."""
    container = open_container(path, Deadline(path, 10), quick=quick)
    try:
        return find_video_stream(path, container).codec_context.codec.canonical_name
    finally:
        container.close()


def write_bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def draw_picture(side: int, pixel_format: str = "yuvj420p") -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(draw_frames(1, side, side)[0], "rgb24").reformat(format=pixel_format)


def write_pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: folder / "gone.mp4", "no such file; check the path"),
        (lambda folder: folder, "is a folder; scan it"),
        (lambda folder: write_pipe(folder / "pipe.mp4"), "is a pipe or device"),
        (lambda folder: write_bytes(folder / "empty.mp4", b""), r"the file is empty \(0 bytes\)"),
        (lambda folder: write_bytes(folder / "noise.mp4", bytes(range(256)) * 20), "not a media file"),
        (lambda folder: write_bytes(folder / "notes.txt", b"Dear diary\n" * 50), "is text or a play list"),
        (
            lambda folder: write_bytes(folder / "list.m3u8", b"#EXTM3U\n#EXTINF:1,\na.ts\n"),
            "play list|not a media file",
        ),
        (lambda folder: write_audio(folder / "song.mp2"), "no video stream: only audio; leave the file out"),
    ],
)
def test_what_is_no_video_is_refused_with_its_reason(tmp_path: Path, make: object, reason: str) -> None:
    assert callable(make)
    path = make(tmp_path)
    with pytest.raises(VideoError, match=reason) as refusal:
        open_and_close(path)
    assert refusal.value.path == str(path)
    assert "\n" not in refusal.value.reason
    assert refusal.value.frame_index is None


@pytest.mark.parametrize("name", ["list", "list.mp4", "list.m3u8", "list.idx"])
@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile other.ts\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\n{folder}/other.ts\n#EXT-X-ENDLIST\n",
        "# VobSub index file, v7\nsize: 720x480\nid: en, index: 0\ntimestamp: 00:00:00:000, filepos: 000\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    ],
    ids=["concat", "hls", "vobsub", "sdp"],
)
def test_what_names_other_files_is_refused_before_they_are_opened(
    tmp_path: Path, text: str, name: str
) -> None:
    with av.open(str(tmp_path / "other.ts"), "w") as file:
        video = file.add_stream("mpeg2video", rate=25)
        video.width = video.height = 16
        file.mux([*video.encode(draw_picture(16, "yuv420p")), *video.encode(None)])
    write_bytes(tmp_path / "list.sub", bytes(4096))
    path = write_bytes(tmp_path / name, text.replace("{folder}", str(tmp_path)).encode())
    for quick in (False, True):
        with pytest.raises(VideoError, match=r"is a play list that names other files|not a media file"):
            open_container(path, Deadline(path, 5.0), quick=quick)


def test_an_mp4_that_was_cut_off_is_told_from_noise(tmp_path: Path, path_of: KindPath) -> None:
    # The header (moov) of a plain MP4 stands at its end.
    path = write_bytes(tmp_path / "cut.mp4", path_of("h264").read_bytes()[:2000])
    with pytest.raises(VideoError, match="MP4 without a readable header"):
        open_and_close(path)


def test_a_file_that_ends_in_its_header_says_so(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="the file ends inside its header"):
        open_and_close(write_bytes(tmp_path / "cut.ogv", b"OggS" + bytes(20)))


def test_cover_pictures_are_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    with av.open(str(path), "w") as file:
        song = file.add_stream("libmp3lame", rate=44100)
        cover = file.add_stream("mjpeg", rate=1)
        cover.width = cover.height = 16
        cover.pix_fmt = "yuvj420p"
        cover.disposition = Disposition.attached_pic
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 4608), np.int16), format="s16p", layout="mono")
        silence.rate = 44100
        file.mux([*cover.encode(draw_picture(16)), *cover.encode(None)])
        file.mux([*song.encode(silence), *song.encode(None)])
    with av.open(str(path)) as file:
        assert [stream.type for stream in file.streams] == ["audio", "video"]
    with pytest.raises(VideoError, match="no video stream: only audio and cover pictures"):
        open_and_close(path)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "Permission denied"), "permission denied; let this user"),
        (OSError(5, "I/O error"), "cannot be read: i/o error"),
    ],
)
def test_refusals_of_the_system_are_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, reason: str
) -> None:
    path = write_bytes(tmp_path / "locked.mp4", b"x" * 100)

    def refuse(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(av, "open", refuse)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(VideoError, match=reason):
        open_and_close(path)


def test_unforeseen_refusals_keep_their_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path_of: KindPath
) -> None:
    path = write_bytes(tmp_path / "a.avi", path_of("mjpeg").read_bytes())

    def refuse(*args: object, **kwargs: object) -> None:
        raise av.error.MemoryError(12, "Cannot allocate memory")

    monkeypatch.setattr(av, "open", refuse)
    with pytest.raises(VideoError, match="cannot be opened: cannot allocate memory"):
        open_and_close(path)


def test_a_codec_that_nothing_decodes_is_named_as_the_cause(tmp_path: Path, path_of: KindPath) -> None:
    content = path_of("mpeg4 in avi").read_bytes().replace(b"FMP4", b"QQQQ")
    with pytest.raises(VideoError, match="no decoder for its video codec; convert it"):
        open_and_close(write_bytes(tmp_path / "odd.avi", content))


@pytest.mark.parametrize("name", ["concat:a.mp4", "a%03d.mp4", "http:b.mp4", "ünï cödé.mp4", "-i.mp4"])
def test_names_are_names_not_commands(
    tmp_path: Path, path_of: KindPath, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(path_of("h264"), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for quick in (False, True):
        assert open_and_close(Path(name), quick=quick) == "h264"


def test_metadata_in_a_foreign_alphabet_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as file:
        file.metadata["title"] = "Caffe"
        stream = file.add_stream("mjpeg", rate=25)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuvj420p"
        file.mux([*stream.encode(draw_picture(16)), *stream.encode(None)])
    content = path.read_bytes()
    assert content.count(b"Caffe") == 1
    path.write_bytes(content.replace(b"Caffe", b"Caff\xe9"))
    assert open_and_close(path) == "mjpeg"


def test_the_quick_way_is_only_for_containers_that_tell_all(tmp_path: Path, path_of: KindPath) -> None:
    disguised = tmp_path / "avi.mp4"
    shutil.copy(path_of("mpeg4 in avi"), disguised)
    with open_container(disguised, Deadline(disguised, 10), quick=True) as quick:
        assert quick.format.name == "avi"
        assert quick.streams.video[0].average_rate == 25
    path = path_of("h264")
    with open_container(path, Deadline(path, 10), quick=True) as quick:
        # The pixel format is known only to those who have decoded a frame.
        assert quick.streams.video[0].codec_context.pix_fmt is None
    with open_container(path, Deadline(path, 10)) as full:
        assert full.streams.video[0].codec_context.pix_fmt == "yuv420p"


def test_a_deadline_names_its_limit_and_the_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([100.0, 102.9, 103.1, 103.1])
    monkeypatch.setattr("time.monotonic", lambda: next(moments))
    deadline = Deadline(tmp_path / "a.mp4", 3.0)
    deadline.check()
    with pytest.raises(VideoError, match=r"a\.mp4: not read within 3 s; raise the time limit"):
        deadline.check()
    deadline.frame_index = 7
    with pytest.raises(VideoError, match=r"a\.mp4 at frame 7: not read within 3 s"):
        deadline.check()


def test_no_limit_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deadline = Deadline(tmp_path / "a.mp4", 0)
    monkeypatch.setattr("time.monotonic", lambda: 1e300)
    deadline.check()


@pytest.mark.parametrize(("name", "expected"), [("two.mp4", 16), ("two.avi", 64)])
def test_of_several_video_streams_the_default_or_the_largest_is_read(
    tmp_path: Path, name: str, expected: int
) -> None:
    # MP4 marks its first stream as the default, AVI marks none.
    path = tmp_path / name
    with av.open(str(path), "w") as file:
        streams = {side: file.add_stream("libx264", rate=25) for side in (16, 64)}
        for side, stream in streams.items():
            stream.width, stream.height, stream.pix_fmt = side, side, "yuv420p"
        for side, stream in streams.items():
            file.mux([*stream.encode(draw_picture(side, "yuv420p")), *stream.encode(None)])
    with open_container(path, Deadline(path, 10), quick=True) as container:
        assert [stream.width for stream in container.streams.video] == [16, 64]
        assert find_video_stream(path, container).width == expected
        # Several streams are not opened the quick way, which leaves the pixel format open.
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


def test_nothing_is_printed(tmp_path: Path, path_of: KindPath, capfd: pytest.CaptureFixture[str]) -> None:
    noise = write_bytes(tmp_path / "noise.mp4", path_of("h264").read_bytes()[:2000])
    with pytest.raises(VideoError):
        open_and_close(noise)
    write_video(tmp_path / "fine.mp4", draw_frames(2))
    assert open_and_close(tmp_path / "fine.mp4", quick=True) == "h264"
    captured = capfd.readouterr()
    assert "error" not in (captured.out + captured.err).lower()


def test_a_limit_is_a_number_of_seconds_or_zero_for_none(tmp_path: Path) -> None:
    for seconds in (0.0, 0.5, 1e9):
        check_time_limit(seconds)
    for seconds in (-1e-9, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"^limit must be a number of seconds, or 0 for no .*{seconds}$"):
            check_time_limit(seconds, name="limit")
    Deadline(tmp_path, 0).check()
