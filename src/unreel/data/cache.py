"""A small corpus, decoded once and kept in memory or on the device that trains."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from unreel.data.catalog import Catalog, Video
from unreel.data.decode import ClipDecoder, FrameSize
from unreel.data.device_frames import DeviceClips, DeviceFrames, read_free_mb
from unreel.data.shared_block import SharedBlock, agree, find_crew, open_together
from unreel.distributed import gather_objects
from unreel.errors import VideoError
from unreel.progress import Progress, ignore_progress

# N clips, T frames, F frames of a whole video, H W pixels

_BYTES_PER_MB = 2**20
_CPU = torch.device("cpu")


class FrameCache:
    """All frames of all videos, uint8 RGB, one video behind the other.

    In memory they lie once for all processes of a machine that train together, which also decode them
    together, and for their workers. On a device every process has its own.

    A video that does not decode from beginning to end, or not within the time limit, is not kept: its clips
    are read from the file, and fail or not as they do without a cache.

    Args:
        catalog: the videos.
        size: to which frames are scaled.
        limit_mb: memory that may be used.
        num_threads: decoders at work at once on this machine while the cache is filled.
        time_limit_sec: per video.
        device: where the frames live; in shared memory when None.
        progress: told after every video that this process decodes.

    Raises:
        ValueError: the frames would not fit into ``limit_mb`` or into the memory that is free.

    Attributes:
        num_bytes: what the frames take.
    """

    def __init__(
        self,
        catalog: Catalog,
        size: FrameSize,
        *,
        limit_mb: int,
        num_threads: int,
        time_limit_sec: float,
        device: torch.device | None = None,
        progress: Progress = ignore_progress,
    ) -> None:
        videos = list({video.path: video for video in catalog}.values())
        self._places, self.num_bytes = _lay_out(videos, size)
        need = _Need("ram" if device is None else "device", self.num_bytes, len(videos))
        need.check_limit(limit_mb)
        self._block: SharedBlock | None = None
        self._on_device = None if device is None else agree(lambda: need.take_device(device))
        crew = find_crew()
        if device is None or len(crew) > 1:
            self._block = open_together(crew, self.num_bytes, lambda: need.check_free(_CPU))

        own, failed = videos[crew.place :: len(crew)], list[Path]()

        def keep(video: Video) -> bool:
            """Decode a video to its place, or say that it cannot be."""
            try:
                decoder = ClipDecoder(size, time_limit_sec=time_limit_sec)
                frames_NFHWC = decoder.decode(video.path, video.index, np.arange(video.frames)[None])
            except VideoError:
                return False
            return self._put(self._places[video.path], frames_NFHWC[0])

        with ThreadPoolExecutor(max(1, num_threads // len(crew))) as pool:
            for done, (video, is_kept) in enumerate(zip(own, pool.map(keep, own), strict=True), 1):
                failed += [] if is_kept else [video.path]
                but = f", {len(failed)} videos stay in their files" if failed else ""
                progress(done, len(own), f"decoding into memory{but}")

        for path in {path for paths in gather_objects(failed) for path in paths}:
            self._places.pop(path, None)
        if self._block is not None and self._on_device is not None:
            self._on_device.put(0, self._block.bytes_N)
            self._block = None

    def find(self, path: Path, frames_NT: NDArray[np.int64]) -> NDArray[np.uint8] | DeviceClips | None:
        """Return the planned frames, shape (N, T, H, W, 3), only named if they live on a device.

        None stands for a video that is not kept and has to be read from its file.
        """
        place = self._places.get(path)
        if place is None:
            return None
        if self._on_device is not None:
            _, height, width, _ = place.shape
            return self._on_device.name_clips(place.first_byte, height, width, frames_NT)
        assert self._block is not None
        frames: NDArray[np.uint8] = place.view(self._block)[frames_NT]
        return frames

    def _put(self, place: "_Place", frames_FHWC: NDArray[np.uint8]) -> bool:
        if frames_FHWC.shape != place.shape:
            return False
        if self._block is not None:
            place.view(self._block)[:] = frames_FHWC
        else:
            assert self._on_device is not None
            self._on_device.put(place.first_byte, frames_FHWC)
        return True


class _Place(NamedTuple):
    """Where the pictures of a video lie: the first byte, and (F, H, W, 3)."""

    first_byte: int
    shape: tuple[int, int, int, int]

    def view(self, block: SharedBlock) -> NDArray[np.uint8]:
        num_bytes = int(np.prod(self.shape, dtype=np.int64))
        return block.bytes_N[self.first_byte : self.first_byte + num_bytes].reshape(self.shape)


def _lay_out(videos: Sequence[Video], size: FrameSize) -> tuple[dict[Path, _Place], int]:
    """Give every video its place; return also the bytes of all."""
    places, first_byte = dict[Path, _Place](), 0
    for video in videos:
        height, width = size.resolve(video.height, video.width)
        places[video.path] = _Place(first_byte, (video.frames, height, width, 3))
        first_byte += video.frames * height * width * 3
    return places, first_byte


class _Need(NamedTuple):
    """What a cache asks for."""

    kind: str
    num_bytes: int
    num_videos: int

    def __str__(self) -> str:
        needed_mb = self.num_bytes / _BYTES_PER_MB
        return f"data.cache = {self.kind!r} needs {needed_mb:,.0f} MiB for {self.num_videos} videos"

    def check_limit(self, limit_mb: int) -> None:
        if self.num_bytes > limit_mb * _BYTES_PER_MB:
            raise ValueError(
                f"{self}, data.cache_limit_mb is {limit_mb:,}; raise the limit, lower data.height and "
                "data.width, or use data.cache = 'none'"
            )

    def check_free(self, device: torch.device) -> None:
        free_mb = read_free_mb(device)
        if free_mb and self.num_bytes > free_mb * _BYTES_PER_MB:
            where = "on this machine" if device.type == "cpu" else f"on {device}"
            raise ValueError(
                f"{self}, but only {free_mb:,} MiB are free {where}; end other programs, lower data.height "
                "and data.width, or use data.cache = 'none'"
            )

    def take_device(self, device: torch.device) -> DeviceFrames:
        self.check_free(device)
        return DeviceFrames(self.num_bytes, device)
