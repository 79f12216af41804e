"""Find the videos of a table that are most like a given video file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from unreel.data.decode import ClipDecoder
from unreel.data.probe import probe_video
from unreel.errors import FeaturesError
from unreel.features.encoder import Encoder
from unreel.features.pooling import Pooling
from unreel.features.table import FeatureTable
from unreel.search.exact import ExactIndex
from unreel.seeding import build_generator

# N clips, R rows per clip, D features


@dataclass(frozen=True)
class Hit:
    """A video that resembles the query.

    Attributes:
        video_id: as in the catalog.
        path: as in the catalog, from its root.
        score: cosine of the two videos' mean vectors, in [-1, 1] up to rounding.
        start_sec: where in the video the clip most like the query starts.
        label: class, "" when unknown.
    """

    video_id: str
    path: str
    score: float
    start_sec: float
    label: str


def search_videos(query: Path, encoder: Encoder, table: FeatureTable, *, top_k: int = 10) -> list[Hit]:
    """Return the ``top_k`` videos of a table most like a video file, best first.

    Videos are ranked by the cosine between the query's mean vector and their own; equal scores keep the
    order of the table. A query that is in the table finds itself first.

    Args:
        query: any file that decodes; it need not be in the catalog.
        encoder: the one that made the table.
        table: as `unreel extract` wrote it.
        top_k: number of hits; fewer when the table has fewer videos.

    Raises:
        FeaturesError: the table is empty or was made by another encoder.
        ValueError: ``top_k`` is not positive.
        VideoError: the query is no video that decodes.
    """
    _check_match(encoder, table)
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}")
    query_D = embed_file(query, encoder, table).mean(axis=0)
    videos = table.average_per_video()
    scores_1K, rows_1K = ExactIndex(videos.vectors).search(query_D[None], min(top_k, len(videos)))
    names = {name: videos.column(name) for name in ("video_id", "path", "label")}
    return [
        Hit(
            **{name: str(values[row]) for name, values in names.items()},
            score=float(score),
            start_sec=_find_start(query_D, table, names["video_id"][row]),
        )
        for score, row in zip(scores_1K[0], rows_1K[0], strict=True)
    ]


def embed_file(path: Path, encoder: Encoder, table: FeatureTable) -> NDArray[np.float32]:
    """Return the vectors of a video file, made as those of the table were: shape (N * R, D).

    Raises:
        VideoError: the file is no video that decodes.
    """
    index = probe_video(path).index
    sampling = encoder.spec.build_sampling(table.info.clips_per_video)
    frames_NT = sampling.sample(index.num_frames, build_generator("no chance in testing")).frames_NT
    clips = ClipDecoder(encoder.spec.frame_size).decode(path, index, frames_NT)
    pooling = cast(Pooling, table.info.pooling)
    features_NRD = encoder.embed_clips(torch.from_numpy(clips), [pooling])[pooling]
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


def _find_start(query_D: NDArray[np.float32], table: FeatureTable, video_id: Any) -> float:  # noqa: ANN401
    """Return where the clip of a video starts that is most like the query."""
    rows = np.flatnonzero(table.video_ids == video_id)
    _, best = ExactIndex(table.vectors[rows]).search(query_D[None], 1)
    return float(table.column("start_sec")[rows[best[0, 0]]])
