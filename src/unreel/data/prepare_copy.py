"""The job of the workers that prepare: one original to one copy, which is checked before it counts."""

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import av
import av.error
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from unreel.config import config_from_dict
from unreel.data.frame_index import FrameIndex
from unreel.data.opening import Deadline, describe_error
from unreel.data.packets import VideoFile
from unreel.data.pictures import FrameSize, PictureStack, RgbConverter
from unreel.data.prepare_config import FramePlan, PrepareConfig, plan_frames
from unreel.data.probe import VideoInfo, probe_video
from unreel.data.scan_probe import build_row
from unreel.errors import VideoError
from unreel.runs import atomic_path

# K frames of a copy, H W pixels, C channels

_CHANGED = "the file has changed since it was scanned; scan it again"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_ALIKE_PSNR = 100.0


def copy_file(job: Mapping[str, Any]) -> Mapping[str, Any]:
    """Make the copy that a job asks for, or look at the one that is there.

    Args:
        job: of the original ``path``, ``bytes`` and ``mtime_ns``, as scanned, ``index``, columns of
            `FrameIndex.to_row`, ``seconds``, ``fps``, ``height``, ``width``, as shown, and ``note``;
            ``copy``, the file to write; ``is_made``, whether it is there; ``verify``, whether it is compared
            with the original; ``config``, of `PrepareConfig`; and ``time_limit_sec``.

    Returns:
        ``row``, the columns of `MEDIA_SCHEMA` (not when it was there), ``bytes`` and ``mtime_ns`` of the
        copy, ``psnr``, the likeness of its least alike picture, None when they were not compared, and
        ``is_touched``, whether the original was written at another time than scanned; or ``reason`` why
        there is no copy; or ``stop``, why nothing can be written at all.
    """
    path, copy = Path(job["path"]), Path(job["copy"])
    config = config_from_dict(PrepareConfig(), job["config"])
    try:
        if path.is_file() and path.stat().st_size != job["bytes"]:
            return {"reason": f"another size than scanned; {_CHANGED}"}
        if copy.exists() and path.exists() and copy.samefile(path):
            return {"reason": f"is itself in the place of its copy, {copy}; choose another --out"}
        result = _verify_made(copy, job, config) if job["is_made"] else _make_copy(copy, job, config)
        written = copy.stat()
        return {
            **result,
            "bytes": written.st_size,
            "mtime_ns": written.st_mtime_ns,
            "is_touched": path.stat().st_mtime_ns != job["mtime_ns"],
        }
    except VideoError as error:
        where = "" if error.frame_index is None else f" (frame {error.frame_index})"
        return {"reason": error.reason + where}
    except (OSError, av.error.FFmpegError) as error:
        kind = "stop" if error.errno in _FULL else "reason"
        return {kind: f"its copy {copy} cannot be written: {describe_error(error)}"}


def _make_copy(copy: Path, job: Mapping[str, Any], config: PrepareConfig) -> dict[str, Any]:
    """Write the copy beside its place and put it there when it was read back."""
    limit = float(job["time_limit_sec"])
    plan = plan_frames(FrameIndex.from_row(job["index"]), job["seconds"], config)
    with atomic_path(copy) as temporary:
        with CopyWriter(temporary, job["height"], job["width"], plan.ticks_per_sec, config) as writer:
            for number, picture_HWC in read_pictures(job, plan, config):
                writer.add(picture_HWC, int(plan.tick_K[number]))
        info = probe_video(temporary, time_limit_sec=limit)
        _check_times(copy, info, plan)
        psnr = compare_copy(temporary, job, config) if job["verify"] else None
    row = build_row(info, "decode")
    row["note"] = f"original: {job['note']}" if job["note"] else info.note
    if not config.fps:  # every frame has kept its time
        row |= {"seconds": job["seconds"], "fps": job["fps"]}
    return {"row": row, "psnr": psnr}


def _verify_made(copy: Path, job: Mapping[str, Any], config: PrepareConfig) -> dict[str, Any]:
    """Compare a copy with its original; one that is not what it should be is removed.

    The copy is read without a limit of its own: one that is slow to read is not wrong. Where it hangs, the
    process is ended from outside, and the copy stays.
    """
    plan = plan_frames(FrameIndex.from_row(job["index"]), job["seconds"], config)
    try:
        info = probe_video(copy, time_limit_sec=0)
        _check_times(copy, info, plan)
        return {"psnr": compare_copy(copy, job, config)}
    except VideoError as error:
        if error.path == str(copy):
            copy.unlink(missing_ok=True)
        raise


def _check_times(copy: Path, info: VideoInfo, plan: FramePlan) -> None:
    """Refuse a copy that has not just the planned frames at the planned times.

    Raises:
        VideoError: it has others.
    """
    if info.frames != len(plan.tick_K):
        raise VideoError(str(copy), f"its copy has {info.frames} of {len(plan.tick_K)} frames")
    numerator, denominator = info.index.time_base
    ticks = np.sort(info.index.pts)
    if not np.array_equal((ticks - ticks[0]) * numerator * plan.ticks_per_sec, plan.tick_K * denominator):
        raise VideoError(str(copy), "frames of its copy are not shown when they should be")


class CopyWriter:
    """Write pictures to a file, each at its time; a context manager that completes the file.

    Args:
        path: the file.
        height: of the pictures of the original, as shown.
        width: likewise.
        ticks_per_sec: of the times.
        config: how pictures are coded.
    """

    def __init__(
        self, path: Path, height: int, width: int, ticks_per_sec: int, config: PrepareConfig
    ) -> None:
        is_raw = config.format == "raw"
        self._pixels = "rgb24" if is_raw else "yuv420p"
        self._time_base = Fraction(1, ticks_per_sec)
        options = {} if is_raw else {"movflags": "+faststart"}
        self._file = av.open(str(path), "w", format="mov" if is_raw else "mp4", container_options=options)
        rate = Fraction(config.fps or 25).limit_denominator(1001)
        codec = "rawvideo" if is_raw else "libx264"
        stream = self._file.add_stream(codec, rate=rate, options=config.codec_options)
        self._stream = cast(VideoStream, stream)
        self._stream.height, self._stream.width = config.choose_size(height, width)
        self._stream.pix_fmt = self._pixels
        self._stream.codec_context.time_base = self._time_base

    def __enter__(self) -> "CopyWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._file.mux(self._stream.encode(None))
            self._file.close()
            return
        with contextlib.suppress(av.error.FFmpegError, OSError):  # the first error is the one to tell of
            self._file.close()

    def add(self, picture_HWC: NDArray[np.uint8], tick: int) -> None:
        """Append a picture, shown from a time on."""
        frame = to_frame(picture_HWC, self._pixels)
        frame.pts, frame.time_base = tick, self._time_base
        self._file.mux(self._stream.encode(frame))


def to_frame(picture_HWC: NDArray[np.uint8], pixels: str) -> VideoFrame:
    """Return an RGB picture as a frame in another arrangement of its pixels."""
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture_HWC), "rgb24")
    return frame if pixels == "rgb24" else frame.reformat(format=pixels, threads=1)


def read_pictures(
    job: Mapping[str, Any], plan: FramePlan, config: PrepareConfig
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Decode an original from its beginning and yield the pictures of its copy, with their numbers.

    The pictures are those that `ClipDecoder` gives for the size of the copy. One is overwritten by the next.

    Raises:
        VideoError: the file does not hold the frames that were scanned.
    """
    path = Path(job["path"])
    index = FrameIndex.from_row(job["index"])
    deadline = Deadline(path, float(job["time_limit_sec"]))
    last = int(plan.source_K[-1])
    number = -1
    with VideoFile(path, deadline) as video:
        if video.time_base != index.time_base:
            raise VideoError(str(path), f"other ticks of time than scanned; {_CHANGED}")
        size = FrameSize(*config.choose_size(job["height"], job["width"]))
        pictures = PictureStack(size, RgbConverter(), 1, video.coded_size)
        for number, frame in enumerate(video.read_frames()):
            deadline.frame_index = number
            if index.is_addressable and number < index.num_frames and frame.pts != index.pts[number]:
                raise VideoError(str(path), f"another timestamp than scanned; {_CHANGED}", frame_index=number)
            first, behind = np.searchsorted(plan.source_K, [number, number + 1]).tolist()
            if first < behind:
                pictures.put(0, frame)
            for place in range(first, behind):
                yield place, pictures.frames_FHWC[0]
            if number == last:
                return
        reason = f"the file ends after {number + 1} of {index.num_frames} frames; {_CHANGED}"
        raise VideoError(str(path), "; ".join([reason, *video.faults[:1]]))


def compare_copy(copy: Path, job: Mapping[str, Any], config: PrepareConfig) -> float:
    """Return how alike the least alike picture of a copy is to its original, in decibels, 100 for identical.

    Compared is what the encoder was given: samples of brightness and colour at the size of the copy.

    Raises:
        VideoError: a picture is less alike than `PrepareConfig.least_psnr`, or one of the files does not
            decode.
    """
    plan = plan_frames(FrameIndex.from_row(job["index"]), job["seconds"], config)
    pixels = "rgb24" if config.format == "raw" else "yuv420p"
    least = _ALIKE_PSNR
    with VideoFile(copy, Deadline(copy, 0)) as video:  # see `_verify_made`
        pictures = read_pictures(job, plan, config)
        for (number, picture_HWC), frame in zip(pictures, video.read_frames(), strict=True):
            psnr = _measure_psnr(to_frame(picture_HWC, pixels).to_ndarray(), frame.to_ndarray())
            if psnr < config.least_psnr:
                reason = (
                    f"its copy differs: a picture has {psnr:.1f} dB, and {config.least_psnr:g} are the least"
                )
                raise VideoError(str(copy), reason, frame_index=number)
            least = min(least, psnr)
    return least


def _measure_psnr(one: NDArray[Any], other: NDArray[Any]) -> float:
    if one.shape != other.shape:
        return 0.0
    error = float(np.mean((one.astype(np.float32) - other.astype(np.float32)) ** 2))
    return min(_ALIKE_PSNR, 10 * np.log10(255.0**2 / error)) if error else _ALIKE_PSNR


def clean_up(folder: Path) -> None:
    """Remove what killed workers have left half written."""
    for place, _, names in os.walk(folder):
        for name in names:
            if name.startswith(".") and name.endswith(".tmp"):
                Path(place, name).unlink(missing_ok=True)
