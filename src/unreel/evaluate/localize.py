"""Find segments in videos with a trained localiser."""

from collections.abc import Iterator, Sequence

import numpy as np

from unreel.data.batch import Rejection
from unreel.data.catalog import Catalog
from unreel.evaluate.proposal_files import VideoProposals
from unreel.evaluate.proposals import propose
from unreel.evaluate.soft_nms import ScoredSegments
from unreel.features.grid_extract import build_grid_table, describe_grid
from unreel.features.grid_reading import EmbeddedGrid, embed_grids
from unreel.features.grids import Grids, GridTable
from unreel.features.localizer import Localizer
from unreel.features.reading import ClipEmbedder, ReadConfig
from unreel.features.table import FeatureTable
from unreel.progress import Progress, ignore_progress

_BATCH_SIZE = 16


def propose_segments(
    localizer: Localizer,
    table: FeatureTable,
    *,
    split: str = "",
    top: int = 100,
    progress: Progress = ignore_progress,
) -> list[VideoProposals]:
    """Propose stretches of every video of a table, in the table's order, a few videos at a time.

    Args:
        localizer: learned from vectors of the same encoder, at the same moments.
        table: of `unreel.features.grid_extract.extract_grids`.
        split: of the table, "" for all.
        top: most proposals per video.
        progress: is told the number of videos done.

    Raises:
        FeaturesError: the vectors are not those that the localiser learned from, or there is no such split.
        ValueError: ``top`` is not positive.
    """
    localizer.check_features(table.info)
    _check_top(top)
    videos = GridTable(table, split=split)
    proposals: list[VideoProposals] = []
    for first in range(0, len(videos), _BATCH_SIZE):
        block = range(first, min(first + _BATCH_SIZE, len(videos)))
        for found in _propose(localizer, videos.build(block, localizer.config.network.num_positions), top):
            proposals.append(found)
            progress(len(proposals), len(videos), "")
    return proposals


def localize_videos(
    localizer: Localizer,
    embedder: ClipEmbedder,
    catalog: Catalog,
    *,
    read: ReadConfig | None = None,
    top: int = 100,
    progress: Progress = ignore_progress,
) -> tuple[list[VideoProposals], list[Rejection]]:
    """Propose stretches of every video of a catalog, vectors and all; videos that fail are listed.

    The vectors of a few videos are kept at a time.

    Args:
        localizer: what finds segments.
        embedder: whose vectors it learned from.
        catalog: the videos.
        read: batch and workers; None for the defaults.
        top: most proposals per video.
        progress: is told the number of videos done.

    Raises:
        FeaturesError: the localiser learned from vectors of another encoder.
        ValueError: ``top`` is not positive.
    """
    read = read or ReadConfig()
    grid = localizer.grid
    info = describe_grid(embedder, catalog, grid, read, catalog_hash=catalog.hash, split="")
    localizer.check_features(info)
    _check_top(top)
    proposals: list[VideoProposals] = []
    rejected: list[Rejection] = []
    waiting: list[EmbeddedGrid] = []
    stream = embed_grids(embedder, catalog, [range(len(catalog))], grid, read)
    for done, video in enumerate(stream, start=1):
        if video.rejection is None:
            waiting.append(video)
        else:
            rejected.append(video.rejection)
        if len(waiting) == _BATCH_SIZE or done == len(catalog):
            table = build_grid_table(waiting, catalog, grid, info)
            proposals += propose_segments(localizer, table, top=top)
            waiting.clear()
        progress(done, len(catalog), "")
    return proposals, rejected


def _check_top(top: int) -> None:
    if top < 1:
        raise ValueError(f"top must be at least 1, got {top}")


def _propose(localizer: Localizer, grids: Grids, top: int) -> Iterator[VideoProposals]:
    """Score at most a pass of videos; all passes have one shape, so that no video depends on the others."""
    padding = [(0, _BATCH_SIZE - len(grids)), (0, 0), (0, 0)]
    scores = localizer.score(np.pad(grids.features_VDT, padding))
    for place in range(len(grids)):
        yield _in_seconds(grids, place, propose(*(part[place].numpy() for part in scores), top=top))


def _in_seconds(grids: Grids, place: int, found: ScoredSegments) -> VideoProposals:
    seconds = float(grids.seconds_V[place])
    return VideoProposals(
        video_id=grids.video_ids[place],
        path=grids.paths[place],
        seconds=seconds,
        found=ScoredSegments(found.segments_K2 * seconds, found.scores_K),
    )


def count_proposals(proposals: Sequence[VideoProposals]) -> int:
    """Return the number of proposals of all videos."""
    return sum(len(video.found.scores_K) for video in proposals)
