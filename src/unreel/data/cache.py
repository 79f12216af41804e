"""A small corpus, decoded once and kept in memory."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unreel.data.catalog import Catalog, Video
from unreel.data.decode import ClipDecoder, FrameSize
from unreel.errors import VideoError
from unreel.progress import Progress, ignore_progress

_BYTES_PER_MB = 2**20


class FrameCache:
    """All frames of all videos, uint8 RGB, read by the loader's workers without a copy.

    A video that cannot be decoded is kept as its error and raises it when it is asked for, like a file would.

    Args:
        catalog: the videos.
        size: to which frames are scaled.
        limit_mb: memory that may be used.
        num_threads: decoders at work at once while the cache is filled.
        time_limit_sec: per video.
        progress: told after every video.

    Raises:
        ValueError: the frames would not fit into ``limit_mb``.
    """

    def __init__(
        self,
        catalog: Catalog,
        size: FrameSize,
        *,
        limit_mb: int,
        num_threads: int,
        time_limit_sec: float,
        progress: Progress = ignore_progress,
    ) -> None:
        videos = [catalog.video(row) for row in range(len(catalog))]
        needed_mb = sum(_num_bytes(video, size) for video in videos) / _BYTES_PER_MB
        if needed_mb > limit_mb:
            raise ValueError(
                f"data.cache = 'ram' needs {needed_mb:,.0f} MiB for {len(videos)} videos, "
                f"data.cache_limit_mb is {limit_mb:,}; raise the limit, lower data.height and data.width, or "
                "use data.cache = 'none'"
            )
        self._frames: dict[Path, NDArray[np.uint8] | VideoError] = {}

        def decode(video: Video) -> NDArray[np.uint8] | VideoError:
            try:
                frames = ClipDecoder(size, time_limit_sec=time_limit_sec).decode_all(video.path)
            except VideoError as error:
                return error
            if len(frames) < video.frames:
                return VideoError(
                    str(video.path),
                    f"the catalog lists {video.frames} frames, {len(frames)} decode; scan it again",
                    frame_index=len(frames),
                )
            return frames[: video.frames]

        with ThreadPoolExecutor(max(1, num_threads)) as pool:
            for done, (video, frames) in enumerate(zip(videos, pool.map(decode, videos), strict=True), 1):
                self._frames[video.path] = frames
                progress(done, len(videos), "decoding into memory")

    def decode(self, path: Path, frames_NT: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the planned frames, shape (N, T, H, W, 3).

        Raises:
            VideoError: the video could not be decoded when the cache was filled.
        """
        frames = self._frames[path]
        if isinstance(frames, VideoError):
            raise frames
        return frames[frames_NT]


def _num_bytes(video: Video, size: FrameSize) -> int:
    height, width = size.resolve(video.height, video.width)
    return video.frames * height * width * 3
