"""The job of the process that makes an MP4 of H.264 and AAC, which every browser plays, of any video."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from unreel.data.opening import Deadline, describe_error, find_video_stream, open_container
from unreel.data.pictures import RgbConverter, get_rotation
from unreel.data.scan_workers import Job
from unreel.errors import VideoError

WORK = f"{__name__}:convert_file"

_TICKS_PER_SEC = 90_000
_OPTIONS = {"preset": "veryfast", "crf": "24", "profile": "high", "threads": "2"}
_SAMPLE_RATE = 48_000
_WIDEST_PX = 2560
_MAX_EARLY_SOUNDS = 1000


def convert_file(job: Job) -> dict[str, Any]:
    """Convert a file.

    Args:
        job: ``path``, ``out``, ``height_px`` (most lines of the result) and ``time_limit_sec``.

    Returns:
        ``frames`` and ``seconds`` of the result; or ``failure``, why there is none.
    """
    path, out = Path(job["path"]), Path(job["out"])
    deadline = Deadline(path, float(job["time_limit_sec"]))
    try:
        return convert_video(path, out, deadline, height_px=int(job["height_px"]))
    except VideoError as error:
        return {"failure": error.reason}
    except (av.error.FFmpegError, OSError, MemoryError) as error:
        return {"failure": describe_error(error)}


def convert_video(path: Path, out: Path, deadline: Deadline, *, height_px: int) -> dict[str, Any]:
    """Write a video anew; times are kept, the header stands first, sides are even.

    Args:
        path: the video.
        out: MP4 to write.
        deadline: ends the work.
        height_px: most lines of the result.

    Returns:
        ``frames`` and ``seconds`` of the result.

    Raises:
        VideoError: no frame decodes, or the time is up.
    """
    with (
        open_container(path, deadline) as source,
        av.open(str(out), "w", format="mp4", options={"movflags": "faststart"}) as target,
    ):
        stream = find_video_stream(path, source)
        stream.codec_context.thread_count = 1
        audio = _choose_audio(source)
        writer = _Writer(target, height_px, has_audio=audio is not None)
        for frame in _read_frames(source, stream, audio, deadline):
            writer.put(frame)
        writer.finish()
    if not writer.num_frames:
        raise VideoError(str(path), "no frame of it decodes")
    return {"frames": writer.num_frames, "seconds": writer.seconds}


def _choose_audio(source: InputContainer) -> AudioStream | None:
    return next((stream for stream in source.streams.audio if stream.codec_context is not None), None)


def _read_frames(
    source: InputContainer, video: VideoStream, audio: AudioStream | None, deadline: Deadline
) -> "Iterator[VideoFrame | AudioFrame]":
    """Yield what decodes; damaged packets are left out, and a file that breaks off ends there."""
    streams: list[VideoStream | AudioStream] = [video] if audio is None else [video, audio]
    packets = source.demux(streams)
    while True:
        deadline.check()
        try:
            packet = next(packets, None)
            if packet is None:
                return
            frames = packet.decode()
        except av.error.EOFError:
            return
        except av.error.FFmpegError:
            continue
        for frame in frames:
            if isinstance(frame, (VideoFrame, AudioFrame)):
                yield frame


class _Writer:
    """Encodes frames as they come; the first picture settles size, start and rotation."""

    def __init__(self, target: OutputContainer, height_px: int, *, has_audio: bool) -> None:
        self._target, self._height_px = target, height_px
        self._video: VideoStream | None = None
        # A stream must be declared before the first packet is written, when nothing of it has been seen yet.
        self._audio = _add_audio(target) if has_audio else None
        self._converter = RgbConverter()
        self._resampler = av.AudioResampler(format="fltp", layout="stereo", rate=_SAMPLE_RATE)
        self._early_audio: list[AudioFrame] = []
        self._first_sec = 0.0
        self._last_pts = -1
        self._num_samples = 0
        self.num_frames = 0

    @property
    def seconds(self) -> float:
        """Time of the last picture."""
        return max(self._last_pts, 0) / _TICKS_PER_SEC

    def put(self, frame: VideoFrame | AudioFrame) -> None:
        """Encode a picture or some sound; sound before the first picture waits, but not for ever."""
        if isinstance(frame, VideoFrame):
            self._put_picture(frame)
        elif self._video is not None:
            self._put_sound(frame)
        elif len(self._early_audio) < _MAX_EARLY_SOUNDS:
            self._early_audio.append(frame)

    def finish(self) -> None:
        """Encode what the encoders hold back."""
        if self._video is None:
            return
        self._target.mux(self._video.encode(None))
        if self._audio is not None:
            self._write_sound(self._resampler.resample(None))
            self._target.mux(self._audio.encode(None))

    def _put_picture(self, frame: VideoFrame) -> None:
        turns = get_rotation(frame) // 90
        if self._video is None:
            self._first_sec = frame.time or 0.0
            self._video = _add_video(self._target, frame, self._height_px, turns)
        pts = self._last_pts + _TICKS_PER_SEC // 25
        if frame.time is not None:
            pts = max(round((frame.time - self._first_sec) * _TICKS_PER_SEC), self._last_pts + 1)
        picture = self._turn(frame, turns).reformat(self._video.width, self._video.height, "yuv420p")
        picture.pts, picture.time_base = pts, Fraction(1, _TICKS_PER_SEC)
        picture.pict_type = PictureType.NONE  # the encoder decides anew which pictures are key frames
        self._target.mux(self._video.encode(picture))
        self._last_pts = pts
        self.num_frames += 1
        early, self._early_audio = self._early_audio, []
        for sound in early:
            self._put_sound(sound)

    def _turn(self, frame: VideoFrame, turns: int) -> VideoFrame:
        if not turns:
            return frame
        assert self._video is not None
        size = (self._video.height, self._video.width)
        picture_HW3 = self._converter.convert(frame, *(size[::-1] if turns % 2 else size))
        return VideoFrame.from_ndarray(np.ascontiguousarray(np.rot90(picture_HW3, -turns)), format="rgb24")

    def _put_sound(self, frame: AudioFrame) -> None:
        if self._audio is None or (frame.time or 0.0) < self._first_sec - 0.05:
            return
        if not self._num_samples and frame.time is not None:
            self._num_samples = max(0, round((frame.time - self._first_sec) * _SAMPLE_RATE))
        frame.pts = None
        self._write_sound(self._resampler.resample(frame))

    def _write_sound(self, frames: list[AudioFrame]) -> None:
        assert self._audio is not None
        for frame in frames:
            frame.pts, frame.time_base = self._num_samples, Fraction(1, _SAMPLE_RATE)
            self._num_samples += frame.samples
            self._target.mux(self._audio.encode(frame))


def fit_size(height: int, width: int, height_px: int) -> tuple[int, int]:
    """Return the height and width, both even, of a picture with at most so many lines; none gets larger."""
    scale = min(1.0, height_px / height, _WIDEST_PX / width)
    return max(2, round(height * scale / 2) * 2), max(2, round(width * scale / 2) * 2)


def _add_video(target: OutputContainer, frame: VideoFrame, height_px: int, turns: int) -> VideoStream:
    shown = (frame.width, frame.height) if turns % 2 else (frame.height, frame.width)
    stream = target.add_stream("libx264", rate=25, options=_OPTIONS)
    stream.height, stream.width = fit_size(*shown, height_px)
    stream.pix_fmt = "yuv420p"
    # Pictures keep their own times, so the rate above is a mere hint.
    stream.codec_context.time_base = stream.time_base = Fraction(1, _TICKS_PER_SEC)
    return stream


def _add_audio(target: OutputContainer) -> AudioStream:
    return target.add_stream("aac", rate=_SAMPLE_RATE, layout="stereo")
