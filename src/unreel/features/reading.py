"""Videos in, vectors out, in the catalog's order: the part that extraction and the cycle tasks share."""

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from unreel.data.batch import Rejection
from unreel.data.catalog import Catalog
from unreel.data.decode import ClipDecoder
from unreel.data.opening import check_time_limit
from unreel.errors import VideoError
from unreel.features.input_spec import InputSpec
from unreel.features.pooling import Pooling
from unreel.machine import count_cores, end_with_parent
from unreel.seeding import build_generator

# N clips, R rows per clip, T frames, H W pixels, C channels, D features, S further orders of a clip's frames

Orders = Callable[[int], NDArray[np.int64]]
"""Row of the catalog -> orders in which the frames of its clips are to be seen besides, shape (S, N, T)."""


class ClipEmbedder(Protocol):
    """What turns clips into vectors: an `Encoder`, or a baseline."""

    @property
    def name(self) -> str:
        """What messages and tables call it."""

    @property
    def hash(self) -> str:
        """Changes whenever its vectors do."""

    @property
    def spec(self) -> InputSpec:
        """What it must be fed."""

    @property
    def num_features(self) -> int:
        """D, length of a vector of pooling "average" or "frame"."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    @property
    def precision(self) -> str:
        """Its arithmetic."""

    def embed_clips(
        self, frames_BTHWC: Tensor | Sequence[Tensor], poolings: Sequence[Pooling] = ("average",)
    ) -> Mapping[Pooling, NDArray[np.float32]]:
        """Return an array of shape (B, R, D) per pooling."""


@dataclass(frozen=True)
class ReadConfig:
    """How videos are read and passed to the network."""

    clips_per_video: int = 10
    """Clips spread evenly over each video; frames, of a network of single frames."""
    batch_size: int = 32
    """Clips per pass of the network, rounded down to whole videos (one video at least)."""
    num_workers: int = -1
    """Processes that decode; -1 takes one per core, 0 decodes in the main process."""
    decode_time_limit_sec: float = 30.0
    """Time after which a video counts as unreadable; 0 sets no limit."""

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            ValueError: a number is out of range.
        """
        for name, lowest in (("clips_per_video", 1), ("batch_size", 1), ("num_workers", -1)):
            if getattr(self, name) < lowest:
                raise ValueError(f"{name} must be at least {lowest}, got {getattr(self, name)}")
        check_time_limit(self.decode_time_limit_sec)

    @property
    def videos_per_batch(self) -> int:
        """Videos per pass of the network."""
        return max(1, self.batch_size // self.clips_per_video)


@dataclass(frozen=True)
class EmbeddedVideo:
    """The features of one video of a catalog, or why there are none.

    Attributes:
        row: of the catalog.
        frames_NT: which frames the clips show.
        features: an array of shape (N, R, D) per pooling; empty when the video was rejected.
        rejection: why the video could not be used, None when it could.
        reordered: the same as ``features`` of every further order of the frames, if any was asked for.
    """

    row: int
    frames_NT: NDArray[np.int64]
    features: Mapping[Pooling, NDArray[np.float32]]
    rejection: Rejection | None = None
    reordered: tuple[Mapping[Pooling, NDArray[np.float32]], ...] = ()


class _ReadVideo(NamedTuple):
    row: int
    frames_NT: NDArray[np.int64]
    clips_NTHWC: Tensor
    failure: str


class _ClipReader(Dataset[_ReadVideo]):
    def __init__(self, catalog: Catalog, spec: InputSpec, config: ReadConfig) -> None:
        self._catalog = catalog
        self._spec = spec
        self._sampling = spec.build_sampling(config.clips_per_video)
        self._clips_per_video = config.clips_per_video
        self._decoder = ClipDecoder(spec.frame_size, time_limit_sec=config.decode_time_limit_sec)

    def __getitem__(self, row: int) -> _ReadVideo:
        """Read one video; one that fails comes back black, so that its neighbours are computed as ever."""
        video = self._catalog.video(row)
        frames_NT = self._sampling.sample(video.frames, build_generator("no chance in testing")).frames_NT
        try:
            clips = torch.from_numpy(self._decoder.decode(video.path, video.index, frames_NT))
        except VideoError as error:
            where = "" if error.frame_index is None else f" (frame {error.frame_index})"
            return _ReadVideo(row, frames_NT, self.blank(), error.reason + where)
        return _ReadVideo(row, frames_NT, clips, "")

    def blank(self) -> Tensor:
        side = self._spec.crop_px
        return torch.zeros((self._clips_per_video, self._spec.num_frames, side, side, 3), dtype=torch.uint8)


def embed_videos(
    embedder: ClipEmbedder,
    catalog: Catalog,
    rows: Sequence[int],
    poolings: Sequence[Pooling],
    config: ReadConfig,
    *,
    orders: Orders | None = None,
) -> Iterator[EmbeddedVideo]:
    """Embed the videos of some rows, in order; none is left out, none is replaced.

    Row ``r`` is always computed in pass ``r // videos_per_batch``, and every pass has the same shape:
    places of rejected or missing videos are black. So the vectors of a video depend neither on the other
    rows nor on the number of workers, to the bit on the CPU, as long as ``rows`` are whole passes.

    Args:
        embedder: encoder or baseline.
        catalog: the videos.
        rows: ascending.
        poolings: forms of the features, all from one pass of the network.
        config: how videos are read.
        orders: further orders of the frames of every clip; the videos are decoded once for all. Each takes
            passes of its own, so the features of the clips as they are stay the same to the bit.
    """
    reader = _ClipReader(catalog, embedder.spec, config)
    num_workers = config.num_workers if config.num_workers >= 0 else count_cores()
    loader = DataLoader(
        reader,
        batch_size=None,
        sampler=rows,
        num_workers=min(num_workers, len(rows)),
        pin_memory=embedder.device.type == "cuda",
        collate_fn=_pass_on,
        worker_init_fn=_start_worker,
        # Per worker and in videos; a longer queue would only hold more decoded clips in memory.
        prefetch_factor=2 if min(num_workers, len(rows)) else None,
    )
    size = config.videos_per_batch
    for _, group in groupby(loader, key=lambda video: video.row // size):
        videos = list(group)
        clips = [video.clips_NTHWC for video in videos]
        clips += [reader.blank()] * (size - len(videos))
        passes = [embedder.embed_clips(clips, poolings)]
        orders_of = [orders(video.row) if orders else _NO_ORDERS for video in videos]
        for number in range(max(map(len, orders_of))):
            clips[: len(videos)] = [
                _reorder(video.clips_NTHWC, own_SNT[number]) if number < len(own_SNT) else reader.blank()
                for video, own_SNT in zip(videos, orders_of, strict=True)
            ]
            passes.append(embedder.embed_clips(clips, poolings))
        for place, (video, own_SNT) in enumerate(zip(videos, orders_of, strict=True)):
            rows_N = slice(place * config.clips_per_video, (place + 1) * config.clips_per_video)
            own = [
                {name: rows_BRD[rows_N] for name, rows_BRD in features.items()}
                for features in passes[: 1 + len(own_SNT)]
            ]
            yield _finish(video, own, catalog)


_NO_ORDERS = np.empty((0, 0, 0), dtype=np.int64)


def _reorder(clips_NTHWC: Tensor, order_NT: NDArray[np.int64]) -> Tensor:
    clip_N1 = torch.arange(len(clips_NTHWC))[:, None]
    return clips_NTHWC[clip_N1, torch.from_numpy(order_NT)]


def _finish(
    video: _ReadVideo, features: Sequence[Mapping[Pooling, NDArray[np.float32]]], catalog: Catalog
) -> EmbeddedVideo:
    failure = video.failure
    if not failure and not all(np.isfinite(rows).all() for forms in features for rows in forms.values()):
        failure = "the network gave NaN or infinity; try precision float32, or another encoder"
    if failure:
        rejection = Rejection(str(catalog.video(video.row).path), failure)
        return EmbeddedVideo(video.row, video.frames_NT, {}, rejection)
    return EmbeddedVideo(video.row, video.frames_NT, features[0], reordered=tuple(features[1:]))


def _pass_on(video: Any) -> Any:  # noqa: ANN401 (torch's type)
    """Stand in for torch's own function, which would turn frame numbers into tensors."""
    return video


def _start_worker(worker: int) -> None:
    end_with_parent()
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
