"""Vectors over time brought to the same number of positions, however long the video (decision V21)."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unreel.errors import FeaturesError
from unreel.features.grid_clips import GridSampling
from unreel.features.table import FeatureTable
from unreel.features.table_info import FeatureInfo

# V videos, N rows of a video, D features, T positions, K sample points

SAMPLES_PER_POSITION = 3
_MOST_SECONDS = 1e9
"""Thirty years; what is said to last longer was not read right."""


@dataclass(frozen=True)
class Grids:
    """Videos as pictures of time.

    Attributes:
        info: what the vectors were made from.
        video_ids: of every video, in the table's order.
        paths: as in the catalog.
        seconds_V: length of every video.
        features_VDT: float32.
    """

    info: FeatureInfo
    video_ids: list[str]
    paths: list[str]
    seconds_V: NDArray[np.float64]
    features_VDT: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.video_ids)


def check_grid(path: Path, table: FeatureTable) -> None:
    """Refuse a table whose clips do not lie on a grid.

    Raises:
        FeaturesError: they do not, or the times of a video cannot be.
    """
    if GridSampling.from_name(table.info.sampling) is None:
        raise FeaturesError(
            f"{path} has {table.info.sampling or 'clips'} spread over each video, not vectors over time; "
            "make those with `unreel localize features`"
        )
    _check_times(path, table)


def _check_times(path: Path, table: FeatureTable) -> None:
    """Refuse times that are no numbers, lie before the start, do not rise, or belong to a torn video."""
    starts_G, ends_G = table.column("start_sec"), table.column("end_sec")
    ids = table.video_ids
    is_possible = (starts_G >= 0) & (ends_G >= starts_G) & (ends_G <= _MOST_SECONDS)  # NaN is not
    is_same_video = ids[1:] == ids[:-1]
    firsts = np.flatnonzero(np.append(True, ~is_same_video))[: len(ids)]
    lasts = np.append(firsts[1:], len(ids))[: len(firsts)] - 1
    with np.errstate(all="ignore"):
        times_G = (starts_G + ends_G) / 2
        times_G[lasts] = np.minimum(starts_G[lasts] + times_G[firsts] - starts_G[firsts], ends_G[lasts])
    is_rising = (starts_G[1:] > starts_G[:-1]) & (times_G[1:] > times_G[:-1])  # times as in `find_times`
    is_possible[1:] &= is_rising | ~is_same_video
    if not is_possible.all():
        row = int(np.flatnonzero(~is_possible)[0])
        raise FeaturesError(
            f"{path}: row {row}, of video {table.column('path')[row]}, reaches from {starts_G[row]:g} to "
            f"{ends_G[row]:g} s; the times of a video must be finite, not negative, and rise from row to "
            "row. Make the table again with `unreel localize features`"
        )
    names, counts = np.unique(ids[firsts], return_counts=True)
    if (counts > 1).any():
        path_of = table.column("path")[ids == names[counts > 1][0]][0]
        raise FeaturesError(
            f"{path}: the rows of video {path_of} do not stand together; make the table again with `unreel "
            "localize features`, or sort it by video and time"
        )


class GridTable:
    """The videos of a table, brought to positions when they are asked for; no vector is copied before.

    Args:
        table: of `unreel.features.grid_extract.extract_grids`.
        split: of the table, "" for all.

    Attributes:
        info: what the vectors were made from.
        video_ids: of every video, in the table's order.

    Raises:
        FeaturesError: the table has no such split.
    """

    def __init__(self, table: FeatureTable, *, split: str = "") -> None:
        rows = table.rows_of(split)
        ids = table.video_ids[rows]
        changes = np.flatnonzero(ids[1:] != ids[:-1]) + 1
        places = np.concatenate([[0], changes]).astype(np.int64)[: len(rows)]
        ends = np.append(places[1:], len(rows))[: len(places)]
        self.info = table.info
        self.video_ids: list[str] = ids[places].tolist()
        self._paths: list[str] = table.column("path")[rows[places]].tolist()
        # The rows of a video stand together.
        self._firsts, self._lasts = rows[places], rows[ends - 1] + 1
        self._starts, self._ends = table.column("start_sec"), table.column("end_sec")
        self._vectors = table.vectors

    def __len__(self) -> int:
        return len(self.video_ids)

    def build(self, videos: Iterable[int], num_positions: int) -> Grids:
        """Bring some videos, by their numbers, to ``num_positions`` positions."""
        chosen = np.array(list(videos), dtype=np.int64)
        grids_VDT = np.empty((len(chosen), self.info.dimension, num_positions), dtype=np.float32)
        for grid_DT, video in zip(grids_VDT, chosen, strict=True):
            own = slice(self._firsts[video], self._lasts[video])
            times_N = find_times(self._starts[own], self._ends[own])
            grid_DT[:] = resample(self._vectors[own], times_N, self._ends[own.stop - 1], num_positions)
        return Grids(
            info=self.info,
            video_ids=[self.video_ids[video] for video in chosen],
            paths=[self._paths[video] for video in chosen],
            seconds_V=self._ends[self._lasts[chosen] - 1],
            features_VDT=grids_VDT,
        )


def build_grids(table: FeatureTable, num_positions: int) -> Grids:
    """Bring every video of a table to ``num_positions`` positions.

    Args:
        table: of `unreel.features.grid_extract.extract_grids`.
        num_positions: T.
    """
    grids = GridTable(table)
    return grids.build(range(len(grids)), num_positions)


def find_times(starts_N: NDArray[np.float64], ends_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the moments that the rows of a video stand for, in seconds.

    It is the middle of a stretch; in the last one, which may be longer or shorter than the others, as far
    from its start as in the first.
    """
    times_N = (starts_N + ends_N) / 2
    if len(times_N) > 1:
        times_N[-1] = min(starts_N[-1] + times_N[0] - starts_N[0], ends_N[-1])
    return times_N


def resample(
    vectors_ND: NDArray[np.float32],
    times_N: NDArray[np.float64],
    seconds: float,
    num_positions: int,
    samples: int = SAMPLES_PER_POSITION,
) -> NDArray[np.float32]:
    """Interpolate vectors between their moments, at points spread evenly over each position, and average.

    Position t reaches from ``t / T`` to ``(t + 1) / T`` of the video. Before the first moment and behind the
    last the nearest vector is taken.

    Args:
        vectors_ND: vectors in order of time.
        times_N: moments that they stand for, in seconds, rising.
        seconds: length of the video.
        num_positions: T.
        samples: points per position.

    Returns:
        Shape (D, T).

    Reference: VCLR, section 4.5: 100 positions by linear interpolation, three samples each.
    """
    points_K = (np.arange(num_positions * samples) + 0.5) / (num_positions * samples) * seconds
    if len(times_N) == 1:
        return np.repeat(vectors_ND.T.astype(np.float32), num_positions, axis=1)
    below_K = np.clip(np.searchsorted(times_N, points_K) - 1, 0, len(times_N) - 2)
    gap_K = times_N[below_K + 1] - times_N[below_K]
    share_K = np.clip((points_K - times_N[below_K]) / gap_K, 0.0, 1.0)[:, None].astype(np.float32)
    values_KD = (1 - share_K) * vectors_ND[below_K] + share_K * vectors_ND[below_K + 1]
    mean_TD = values_KD.reshape(num_positions, samples, -1).mean(axis=1)
    grid_DT: NDArray[np.float32] = np.ascontiguousarray(mean_TD.T, dtype=np.float32)
    return grid_DT
