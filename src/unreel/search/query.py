"""What is searched for: a video file, a stretch of one, or a video that is known already."""

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray

from unreel.data.decode import ClipDecoder
from unreel.data.frame_index import FrameIndex
from unreel.data.probe import probe_video
from unreel.errors import FeaturesError, VideoError
from unreel.features.encoder import Encoder
from unreel.features.input_spec import InputSpec
from unreel.features.pooling import Pooling
from unreel.features.table import FeatureTable
from unreel.search.exact import ExactIndex
from unreel.search.hits import Hit
from unreel.seeding import build_generator

# N clips, R rows per clip, D features


_WITH_TIMES = re.compile(r"(?P<source>.+)@(?P<start>\d+(\.\d*)?)-(?P<end>\d+(\.\d*)?)", re.DOTALL)


@dataclass(frozen=True)
class Query:
    """What is searched for.

    Attributes:
        source: a video file, or the id or path of a video of the index.
        start_sec: where the stretch begins that counts.
        end_sec: where it ends; infinity for the end of the video.

    Raises:
        ValueError: the stretch is empty.
    """

    source: str
    start_sec: float = 0.0
    end_sec: float = math.inf

    def __post_init__(self) -> None:
        if not 0 <= self.start_sec < self.end_sec:
            raise ValueError(
                f"a stretch of time must start at 0 s or later and end after its start, got "
                f"{self.start_sec:g}-{self.end_sec:g}; write for example video.mp4@3.5-6.0"
            )

    @property
    def is_whole(self) -> bool:
        """Whether the whole video counts."""
        return self.start_sec == 0 and self.end_sec == math.inf


def parse_query(text: str) -> Query:
    """Read a query such as ``video.mp4``, ``video.mp4@3.5-6.0`` (seconds) or the id of a video.

    A file whose name itself ends like a stretch of time is taken for that file.

    Raises:
        ValueError: the stretch of time is empty.
    """
    found = _WITH_TIMES.fullmatch(text)
    if found is None or os.path.isfile(text):
        return Query(text)
    return Query(found["source"], float(found["start"]), float(found["end"]))


def search_videos(query: Query, encoder: Encoder, table: FeatureTable, *, top_k: int = 10) -> list[Hit]:
    """Return the ``top_k`` videos of a table most like a video file, best first.

    Videos are ranked by the cosine between the query's mean vector and their own; equal scores keep the
    order of the table. A query that is in the table finds itself first.

    Args:
        query: a file that decodes, which need not be in the catalog, or a stretch of it.
        encoder: the one that made the table.
        table: as `unreel extract` wrote it.
        top_k: number of hits; fewer when the table has fewer videos.

    Raises:
        FeaturesError: the table is empty or was made by another encoder.
        ValueError: ``top_k`` is not positive.
        VideoError: the query is no video that decodes, or has no frame in the stretch.
    """
    _check_match(encoder, table)
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}")
    query_D = embed_file(query, encoder, table).mean(axis=0)
    videos = table.average_per_video()
    scores_1K, rows_1K = ExactIndex(videos.vectors).search(query_D[None], min(top_k, len(videos)))
    names = {name: videos.column(name) for name in ("video_id", "path", "label", "split", "group")}
    hits = []
    for score, row in zip(scores_1K[0], rows_1K[0], strict=True):
        start_sec, end_sec = _find_best_clip(query_D, table, names["video_id"][row])
        hits.append(
            Hit(
                **{name: str(values[row]) for name, values in names.items()},
                score=float(score),
                start_sec=start_sec,
                end_sec=end_sec,
                # The table knows no lengths; a video lasts at least until its last vector ends.
                seconds=float(videos.column("end_sec")[row]),
            )
        )
    return hits


def embed_file(query: Query, encoder: Encoder, table: FeatureTable) -> NDArray[np.float32]:
    """Return the vectors of a video file, made as those of the table were: shape (N * R, D).

    Raises:
        VideoError: the file is no video that decodes, or has no frame in the stretch.
    """
    clips = read_query_clips(
        Path(query.source),
        encoder.spec,
        table.info.clips_per_video,
        start_sec=query.start_sec,
        end_sec=query.end_sec,
    )
    return embed_query(clips, encoder, cast(Pooling, table.info.pooling))


def read_query_clips(
    path: Path,
    spec: InputSpec,
    clips_per_video: int,
    *,
    start_sec: float = 0.0,
    end_sec: float = math.inf,
    time_limit_sec: float = 30.0,
) -> NDArray[np.uint8]:
    """Decode the clips of a video, or of a stretch of it, as an encoder wants them.

    The stretch is treated as if the video consisted of its frames alone. A file that is as its packets say is
    not decoded as a whole.

    Args:
        path: any file that decodes.
        spec: of the encoder.
        clips_per_video: clips that are spread over it.
        start_sec: where the stretch begins.
        end_sec: where it ends.
        time_limit_sec: for looking into the file and again for decoding it; 0 sets no limit.

    Returns:
        uint8 RGB of shape (N, T, H, W, 3).

    Raises:
        VideoError: the file is no video that decodes, or has no frame in that stretch.
    """
    stretch = (start_sec, end_sec)
    try:
        return _read_clips(path, spec, clips_per_video, stretch, time_limit_sec, check="packets")
    except VideoError:  # perhaps it is damaged somewhere; which frames it has, only decoding tells
        return _read_clips(path, spec, clips_per_video, stretch, time_limit_sec, check="decode")


def _read_clips(
    path: Path,
    spec: InputSpec,
    clips_per_video: int,
    stretch: tuple[float, float],
    time_limit_sec: float,
    *,
    check: Literal["decode", "packets"],
) -> NDArray[np.uint8]:
    index = probe_video(path, check=check, time_limit_sec=time_limit_sec).index
    frames = find_frames(path, index, *stretch)
    sampling = spec.build_sampling(clips_per_video)
    plan = sampling.sample(len(frames), build_generator("no chance in testing"))
    return ClipDecoder(spec.frame_size, time_limit_sec=time_limit_sec).decode(
        path, index, frames.start + plan.frames_NT
    )


def find_frames(path: Path, index: FrameIndex, start_sec: float, end_sec: float) -> range:
    """Return the frames that are shown in a stretch of time, whole or in part.

    Raises:
        VideoError: the video has none there.
    """
    seconds = index.timestamps_sec()
    # The frame before the start is still shown there.
    first = max(0, int(np.searchsorted(seconds, start_sec, side="right")) - 1)
    end = int(np.searchsorted(seconds, end_sec, side="left"))
    # Where the last frame ends is not always known; what starts a second after it is beyond the video.
    if end <= first or start_sec > seconds[-1] + 1:
        raise VideoError(
            str(path),
            f"no frame between {start_sec:g} s and {end_sec:g} s; its last one is at {seconds[-1]:.2f} s",
        )
    return range(first, end)


def embed_query(clips_NTHWC: NDArray[np.uint8], encoder: Encoder, pooling: Pooling) -> NDArray[np.float32]:
    """Return the vectors of some clips: shape (N * R, D)."""
    features_NRD = encoder.embed_clips(torch.from_numpy(clips_NTHWC), [pooling])[pooling]
    return features_NRD.reshape(-1, features_NRD.shape[-1])


def _check_match(encoder: Encoder, table: FeatureTable) -> None:
    if not len(table):
        raise FeaturesError("the table of features is empty; extract a catalog that holds videos")
    if encoder.hash != table.info.encoder_hash:
        raise FeaturesError(
            f"the features were made by encoder {table.info.encoder!r} (hash {table.info.encoder_hash}), "
            f"the query would be embedded by {encoder.name!r} (hash {encoder.hash}); give the encoder that "
            "made the table, or extract the catalog again with this one"
        )


def _find_best_clip(
    query_D: NDArray[np.float32], table: FeatureTable, video_id: object
) -> tuple[float, float]:
    """Return where the clip of a video lies that is most like the query."""
    rows = np.flatnonzero(table.video_ids == video_id)
    _, best = ExactIndex(table.vectors[rows]).search(query_D[None], 1)
    row = rows[best[0, 0]]
    return float(table.column("start_sec")[row]), float(table.column("end_sec")[row])
