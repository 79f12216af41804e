"""The job of the process that reads a visitor's video: look before leaping, then decode what is needed."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np

from unreel.config import config_from_dict
from unreel.data.opening import Deadline
from unreel.data.packets import VideoFile
from unreel.data.scan_workers import Job
from unreel.errors import VideoError
from unreel.features.input_spec import InputSpec
from unreel.search.query import read_query_clips

WORK = f"{__name__}:decode_query"


class TooLarge(Exception):  # noqa: N818 (it is no error of the program)
    """A video that is larger than a visitor may send."""


@dataclasses.dataclass(frozen=True)
class Extent:
    """How large a video is, by its packets: nothing of it has been decoded.

    Attributes:
        frame_px: pixels of a frame.
        frames: number of packets with pictures.
        seconds: from the first to the last of them, or what the header promises where that is more.
    """

    frame_px: int
    frames: int
    seconds: float


def measure_extent(path: Path, deadline: Deadline, *, max_frames: int) -> Extent:
    """Read the packets of a video without decoding them, no more than one too many.

    Raises:
        VideoError: the file is no video, or the time is up.
    """
    with VideoFile(path, deadline) as video:
        frames, first, last = 0, math.inf, -math.inf
        for packet in video.read_packets():
            frames += 1
            if packet.pts is not None:
                first, last = min(first, packet.pts), max(last, packet.pts)
            if frames > max_frames:
                break
        num, den = video.time_base
        seconds = (last - first) * num / den if last > first else 0.0
        height, width = video.coded_size
        return Extent(height * width, frames, max(seconds, video.duration_sec))


def check_extent(extent: Extent, job: Job) -> None:
    """Refuse what is too large.

    Raises:
        TooLarge: with the reason.
    """
    if extent.frame_px > job["max_frame_px"]:
        raise TooLarge(f"frames have {extent.frame_px:,} pixels, {job['max_frame_px']:,} are allowed")
    if extent.seconds > job["max_sec"]:
        raise TooLarge(f"the video lasts {extent.seconds:,.0f} s, {job['max_sec']:,.0f} s are allowed")
    if extent.frames > job["max_frames"]:
        raise TooLarge(f"the video has more than the {job['max_frames']:,} frames that are allowed")


def decode_query(job: Job) -> dict[str, Any]:
    """Decode the clips of a visitor's video and write them to a file.

    Args:
        job: ``path`` of the video and ``out`` for the clips; ``spec`` and ``clips_per_video`` as the encoder
            wants them; ``start_sec`` and ``end_sec``, null for an open end; the limits ``max_frame_px``,
            ``max_sec``, ``max_frames`` and ``time_limit_sec``.

    Returns:
        ``seconds``, the video's length; or ``refusal``, ``"too_large"`` or ``"not_a_video"``, and ``reason``.
    """
    path, limit = Path(job["path"]), float(job["time_limit_sec"])
    try:
        extent = measure_extent(path, Deadline(path, limit), max_frames=int(job["max_frames"]))
        check_extent(extent, job)
        clips = read_query_clips(
            path,
            config_from_dict(InputSpec(), job["spec"]),
            int(job["clips_per_video"]),
            start_sec=job["start_sec"] or 0.0,
            end_sec=math.inf if job["end_sec"] is None else job["end_sec"],
            time_limit_sec=limit,
        )
    except TooLarge as error:
        return {"refusal": "too_large", "reason": str(error)}
    except VideoError as error:
        return {"refusal": "not_a_video", "reason": error.reason}
    except MemoryError:
        return {"refusal": "too_large", "reason": "decoding it needs more memory than is allowed"}
    with Path(job["out"]).open("wb") as file:
        np.save(file, clips, allow_pickle=False)
    return {"seconds": extent.seconds}
