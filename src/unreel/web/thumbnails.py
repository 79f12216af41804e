"""The job of the process that draws a picture of a video, as a JPEG."""

from pathlib import Path
from typing import Any

import av
import av.error
import cv2
import numpy as np
from av.video.frame import VideoFrame

from unreel.data.opening import Deadline, describe_error, find_video_stream, open_container
from unreel.data.pictures import RgbConverter, get_rotation
from unreel.data.scan_workers import Job
from unreel.errors import VideoError

WORK = f"{__name__}:draw_file"

_QUALITY = 80
_MAX_DECODED = 600
"""A video with no key frame near the wanted time is not decoded for ever; an earlier picture serves, too."""


def draw_file(job: Job) -> dict[str, Any]:
    """Draw a picture of a file.

    Args:
        job: ``path``, ``out``, ``at_sec``, ``height_px`` and ``time_limit_sec``.

    Returns:
        ``height`` and ``width``; or ``failure``, why there is no picture.
    """
    path = Path(job["path"])
    try:
        frame = find_frame(path, float(job["at_sec"]), Deadline(path, float(job["time_limit_sec"])))
    except VideoError as error:
        return {"failure": error.reason}
    except (av.error.FFmpegError, OSError, MemoryError) as error:
        return {"failure": describe_error(error)}
    height, width = write_jpeg(frame, Path(job["out"]), int(job["height_px"]))
    return {"height": height, "width": width}


def find_frame(path: Path, at_sec: float, deadline: Deadline) -> VideoFrame:
    """Return the frame that is shown at a time, or the last one before it that can be had.

    Args:
        path: the video.
        at_sec: from its beginning.
        deadline: ends the search.

    Raises:
        VideoError: no frame decodes, or the time is up.
    """
    for is_quick in (True, False):
        frame = _find_frame(path, at_sec, deadline, is_quick=is_quick)
        if frame is not None:
            return frame
    raise VideoError(str(path), "no frame of it decodes")


def _find_frame(path: Path, at_sec: float, deadline: Deadline, *, is_quick: bool) -> VideoFrame | None:
    """Return the frame; None when a jump led behind all that decodes, as in files without an index."""
    found: VideoFrame | None = None
    with open_container(path, deadline, quick=is_quick) as container:
        stream = find_video_stream(path, container)
        stream.codec_context.thread_count = 1
        # Opening quickly told the decoder to skip every frame.
        stream.codec_context.skip_frame = "DEFAULT"
        start_sec = float((stream.start_time or 0) * (stream.time_base or 0))
        if is_quick and at_sec > 0:
            try:
                container.seek(round((start_sec + at_sec) * av.time_base), backward=True)
            except (av.error.FFmpegError, OSError):
                return None
        for number, frame in enumerate(_decode(container.demux(stream), deadline)):
            if found is not None and frame.time is not None and frame.time - start_sec > at_sec + 1e-3:
                break
            found = frame
            if number >= _MAX_DECODED:
                break
    return found


def _decode(packets: Any, deadline: Deadline) -> Any:  # noqa: ANN401 (generics of PyAV's stubs)
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
        yield from (frame for frame in frames if isinstance(frame, VideoFrame))


def write_jpeg(frame: VideoFrame, out: Path, height_px: int) -> tuple[int, int]:
    """Write a frame upright, with at most so many lines; return its height and width."""
    turns = get_rotation(frame) // 90
    scale = min(1.0, height_px / (frame.width if turns % 2 else frame.height))
    height, width = max(1, round(frame.height * scale)), max(1, round(frame.width * scale))
    picture_HW3 = np.rot90(RgbConverter().convert(frame, height, width), -turns)
    is_fine, jpeg = cv2.imencode(
        ".jpg", np.ascontiguousarray(picture_HW3[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    assert is_fine
    out.write_bytes(jpeg.tobytes())
    return picture_HW3.shape[0], picture_HW3.shape[1]
