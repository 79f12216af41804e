"""What is to be seen of a search: queries, their nearest videos by one or more encoders, frames of all."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unreel.config import config_to_dict
from unreel.data.batch import Rejection
from unreel.data.catalog import Catalog
from unreel.data.decode import ClipDecoder, FrameSize
from unreel.errors import CatalogError, FeaturesError, VideoError
from unreel.evaluate.grad_cam_choice import MOST_VIDEOS, choose_videos
from unreel.evaluate.ranking import RankingConfig
from unreel.features.table import FeatureTable
from unreel.search.exact import ExactIndex

# Q queries, G gallery, D features, F frames that are shown, H W pixels, C colors

MOST_TABLES, MOST_NEIGHBORS = 4, 10
"""What a person can look at."""


@dataclass(frozen=True, eq=False)
class SeenVideo:
    """A query, or a video that was found.

    Attributes:
        video_id: as in the catalog.
        path: as in the catalog, from its root.
        target: class, or group; "" when unknown.
        score: cosine to the query; None of a query itself.
        is_right: whether the target is the query's; None of a query itself, and where it has none.
        pictures_FHWC: first, middle and last frame, uint8 RGB; None where the video cannot be read.
    """

    video_id: str
    path: str
    target: str
    score: float | None
    is_right: bool | None
    pictures_FHWC: NDArray[np.uint8] | None

    def to_json(self) -> dict[str, Any]:
        """Return all but the pictures as plain values."""
        names = ("path", "target", "score", "is_right")
        return {"id": self.video_id, **{name: getattr(self, name) for name in names}}


@dataclass(frozen=True, eq=False)
class RetrievalView:
    """Queries and what was found for them.

    Attributes:
        encoders: name of the encoder of every table.
        queries: in the order of their names, or of the catalog.
        found: by query, then by table, the nearest videos, best first.
        rejected: videos that could not be read.
        settings: what was searched, and how.
    """

    encoders: tuple[str, ...]
    queries: tuple[SeenVideo, ...]
    found: tuple[tuple[tuple[SeenVideo, ...], ...], ...]
    rejected: tuple[Rejection, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return all but the pictures as plain values."""
        return {
            "figure": "retrieval",
            "encoders": list(self.encoders),
            "queries": [
                {
                    **query.to_json(),
                    "found": [[video.to_json() for video in videos] for videos in by_table],
                }
                for query, by_table in zip(self.queries, self.found, strict=True)
            ],
            "rejected": [config_to_dict(item) for item in self.rejected],
            "settings": self.settings,
        }


def choose_queries(
    tables: Sequence[FeatureTable],
    catalog: Catalog,
    split: str,
    *,
    names: Sequence[str] = (),
    num_queries: int = 4,
    seed: int | None = None,
) -> Catalog:
    """Return the queries: those that are named, or a few videos of a split that all tables have.

    Args:
        tables: features.
        catalog: that they were extracted from.
        split: to choose from where none is named, "" for all.
        names: ids, or paths as in the catalog.
        num_queries: how many to choose where none is named.
        seed: None chooses evenly over the catalog, a number at random.

    Raises:
        CatalogError: a name is not to be found in all tables, or no video is.
        ValueError: ``num_queries`` is out of range.
    """
    if not names and not 1 <= num_queries <= MOST_VIDEOS:
        raise ValueError(f"num_queries must lie between 1 and {MOST_VIDEOS}, got {num_queries}")
    shared = set(catalog.ids).intersection(*(set(table.video_ids) for table in tables))
    pool = catalog if names else catalog.select(split)
    known = pool.take([row for row, video_id in enumerate(pool.ids) if video_id in shared])
    if not len(known):
        raise CatalogError(
            "no video of the catalog is in all tables of features; give the catalog that they are of"
        )
    return choose_videos(known, names=names, num_videos=num_queries, seed=seed)


def view_retrieval(
    tables: Sequence[FeatureTable],
    catalog: Catalog,
    queries: Catalog,
    *,
    num_neighbors: int = 3,
    config: RankingConfig | None = None,
    picture_px: int = 96,
    decode_time_limit_sec: float = 30.0,
) -> RetrievalView:
    """Find the nearest videos of every query in every table, and read three frames of each.

    Videos are compared by the cosine of the means of their vectors, and none is its own neighbour.

    Args:
        tables: one per encoder, of the same videos.
        catalog: that they were extracted from.
        queries: some of its videos, such as those of `choose_queries`.
        num_neighbors: videos to find for each.
        config: which split is searched, and what makes a neighbour right.
        picture_px: shorter side of the frames.
        decode_time_limit_sec: time after which a video counts as unreadable; 0 sets no limit.

    Raises:
        CatalogError: the catalog lacks a video that was found.
        FeaturesError: a table lacks the split or a query, or has too few videos to find.
        ValueError: a number is out of range, or ``config`` asks for centred vectors.
    """
    config = config or RankingConfig()
    for name, value, most in (
        ("num_neighbors", num_neighbors, MOST_NEIGHBORS),
        ("number of tables", len(tables), MOST_TABLES),
    ):
        if not 1 <= value <= most:
            raise ValueError(f"{name} must lie between 1 and {most}, got {value}; draw several figures")
    if config.is_centered:
        raise ValueError("vectors are compared as they are here, so is_centered must be False, got True")
    row_of = {video_id: row for row, video_id in enumerate(catalog.ids)}
    reader = _Reader(
        catalog, row_of, ClipDecoder(FrameSize(picture_px), time_limit_sec=decode_time_limit_sec)
    )
    targets = queries.labels if config.by == "label" else queries.groups
    by_table = [_search(table, queries.ids, num_neighbors, config) for table in tables]
    seen = [
        reader.see(video_id, target, None, None)
        for video_id, target in zip(queries.ids, targets, strict=True)
    ]
    found = [
        tuple(
            tuple(
                reader.see(hit.video_id, hit.target, hit.score, hit.target == target if target else None)
                for hit in hits[place]
            )
            for hits in by_table
        )
        for place, target in enumerate(targets)
    ]
    return RetrievalView(
        encoders=tuple(table.info.encoder or table.info.encoder_hash for table in tables),
        queries=tuple(seen),
        found=tuple(found),
        rejected=tuple(reader.rejected.values()),
        settings={
            "by": config.by,
            "gallery_split": config.resolve_splits(tables[0].split_names)[1],
            "features": [config_to_dict(table.info) for table in tables],
            "catalog_hash": catalog.hash,
        },
    )


@dataclass(frozen=True)
class _Hit:
    video_id: str
    target: str
    score: float


def _search(
    table: FeatureTable, query_ids: Sequence[str], count: int, config: RankingConfig
) -> list[list[_Hit]]:
    """Return the nearest videos of every query, its own left out."""
    _, gallery_split = config.resolve_splits(table.split_names)
    rows = np.flatnonzero(np.isin(table.video_ids, np.array(query_ids, dtype=object)))
    asked = table.take(rows).average_per_video()
    place_of = {video_id: place for place, video_id in enumerate(asked.video_ids)}
    missing = [video_id for video_id in query_ids if video_id not in place_of]
    if missing:
        raise FeaturesError(
            f"the features of {table.info.encoder} lack the query {missing[0]}; extract it too"
        )
    gallery = table.average_per_video(gallery_split)
    query_QD = asked.vectors[[place_of[video_id] for video_id in query_ids]]
    scores, found = ExactIndex(gallery.vectors).search(query_QD, min(count + 1, len(gallery)))
    targets, hits = gallery.column(config.by), []
    for video_id, own_scores, own_rows in zip(query_ids, scores.tolist(), found.tolist(), strict=True):
        others = [
            _Hit(gallery.video_ids[row], targets[row], score)
            for row, score in zip(own_rows, own_scores, strict=True)
            if gallery.video_ids[row] != video_id
        ]
        if len(others) < count:
            raise FeaturesError(
                f"num_neighbors is {count}, and a query has only {len(others)} videos to find; take fewer"
            )
        hits.append(others[:count])
    return hits


class _Reader:
    """Reads three frames of a video, each video once."""

    def __init__(self, catalog: Catalog, row_of: dict[str, int], decoder: ClipDecoder) -> None:
        self.rejected: dict[str, Rejection] = {}
        self._catalog, self._row_of, self._decoder = catalog, row_of, decoder
        self._pictures: dict[str, NDArray[np.uint8] | None] = {}

    def see(self, video_id: str, target: str, score: float | None, is_right: bool | None) -> SeenVideo:
        if video_id not in self._row_of:
            raise CatalogError(
                f"the catalog lacks the video {video_id}, which was found; give that of the features"
            )
        path = self._catalog.table["path"][self._row_of[video_id]].as_py()
        return SeenVideo(video_id, path, target, score, is_right, self._read(video_id))

    def _read(self, video_id: str) -> NDArray[np.uint8] | None:
        if video_id not in self._pictures:
            video = self._catalog.video(self._row_of[video_id])
            frames_1F = np.array([[0, (video.frames - 1) // 2, video.frames - 1]])
            try:
                self._pictures[video_id] = self._decoder.decode(video.path, video.index, frames_1F)[0]
            except VideoError as error:
                self._pictures[video_id] = None
                self.rejected[video_id] = Rejection(str(video.path), error.reason)
        return self._pictures[video_id]
