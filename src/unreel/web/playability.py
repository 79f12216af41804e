"""Which files browsers play as they are; the job of the process that looks into them."""

import os
from pathlib import Path
from typing import Any

from unreel.data.opening import Deadline, find_video_stream, open_container
from unreel.data.scan_workers import Job
from unreel.errors import VideoError

WORK = f"{__name__}:probe_files"

_MP4, _MATROSKA, _OGG = "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "ogg"
_CODECS = {_MP4: {"h264", "av1", "vp9"}, _MATROSKA: {"vp8", "vp9", "av1"}}
"""Video codecs that every current browser plays, by container."""
_AUDIO_CODECS = {_MP4: {"aac", "mp3", "opus", "flac"}, _MATROSKA: {"opus", "vorbis"}}
_SUFFIXES = {_MP4: {".mp4", ".m4v", ".mov"}, _MATROSKA: {".webm"}}
"""Matroska under its own name is not played everywhere, WebM is."""
_PIXEL_FORMATS = {"yuv420p", "yuvj420p"}
_TEN_BIT_FORMATS = {"yuv420p10le"}
_TEN_BIT_CODECS = {"vp9", "av1"}


def is_played_as_it_is(
    *, suffix: str, container: str, codec: str, pixel_format: str, audio_codecs: set[str]
) -> bool:
    """Whether every current browser plays a file.

    Args:
        suffix: ending of its name, in small letters.
        container: FFmpeg's name of the container format.
        codec: FFmpeg's name of the video codec.
        pixel_format: FFmpeg's name of how pictures are stored.
        audio_codecs: FFmpeg's names of the audio codecs.
    """
    formats = _PIXEL_FORMATS | (_TEN_BIT_FORMATS if codec in _TEN_BIT_CODECS else set())
    return (
        suffix in _SUFFIXES.get(container, set())
        and codec in _CODECS[container]
        and pixel_format in formats
        and audio_codecs <= _AUDIO_CODECS[container]
    )


def guess_from_name(path: str) -> bool:
    """Whether browsers most likely play a file of this name."""
    return os.path.splitext(path)[1].lower() in {".mp4", ".m4v", ".webm"}


def probe_files(job: Job) -> dict[str, Any]:
    """Look into the headers of files.

    Args:
        job: ``paths`` and ``time_limit_sec``, for each of them.

    Returns:
        ``is_playable``, one per path; False for what is no video.
    """
    return {"is_playable": [_probe(Path(path), float(job["time_limit_sec"])) for path in job["paths"]]}


def _probe(path: Path, time_limit_sec: float) -> bool:
    try:
        with open_container(path, Deadline(path, time_limit_sec)) as container:
            stream = find_video_stream(path, container)
            return is_played_as_it_is(
                suffix=path.suffix.lower(),
                container=str(container.format.name),
                codec=str(stream.codec_context.codec.canonical_name),
                pixel_format=str(stream.codec_context.pix_fmt or ""),
                audio_codecs={
                    str(audio.codec_context.codec.canonical_name) if audio.codec_context else ""
                    for audio in container.streams.audio
                },
            )
    except (VideoError, OSError):
        return False
