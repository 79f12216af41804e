"""Videos in, a vector per position of their grid out: as many as a video is long, in passes of one shape."""

import dataclasses
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from unreel.data.batch import Rejection
from unreel.data.catalog import Catalog
from unreel.data.decode import ClipDecoder
from unreel.errors import VideoError
from unreel.features.classifier import Classifier
from unreel.features.grid_clips import GridSampling, choose_clip, cut_clips
from unreel.features.input_spec import InputSpec
from unreel.features.reading import ClipEmbedder, ReadConfig
from unreel.machine import count_cores, end_with_parent

# N positions of a video, T frames, H W pixels, C channels, D features, B clips of a pass


@dataclass(frozen=True)
class EmbeddedGrid:
    """The vectors of one video of a catalog, or why there are none.

    Attributes:
        row: of the catalog.
        vectors_ND: float32, a vector per position; empty when the video was rejected.
        rejection: why the video could not be used, None when it could.
    """

    row: int
    vectors_ND: NDArray[np.float32]
    rejection: Rejection | None = None


class _Piece(NamedTuple):
    """Some neighbouring positions of a video; ``is_last`` closes the group of videos."""

    row: int
    first: int
    last: int
    is_last: bool


class _ReadPiece(NamedTuple):
    piece: _Piece
    clips_NTHWC: Tensor
    failure: str


class _PieceReader(Dataset[_ReadPiece]):
    def __init__(self, catalog: Catalog, spec: InputSpec, grid: GridSampling, config: ReadConfig) -> None:
        self._catalog = catalog
        self._spec = spec
        self._grid = grid
        self._decoder = ClipDecoder(spec.frame_size, time_limit_sec=config.decode_time_limit_sec)

    def __getitem__(self, piece: _Piece) -> _ReadPiece:
        """Read some clips; what fails comes back black, so that its neighbours are computed as ever."""
        video = self._catalog.video(piece.row)
        centers_N = self._grid.find_centers(video.frames)[piece.first : piece.last]
        frames_NT = cut_clips(centers_N, video.frames, self._spec)
        try:
            clips = torch.from_numpy(self._decoder.decode(video.path, video.index, frames_NT))
        except VideoError as error:
            where = "" if error.frame_index is None else f" (frame {error.frame_index})"
            return _ReadPiece(piece, self.blank(len(centers_N)), error.reason + where)
        return _ReadPiece(piece, clips, "")

    def blank(self, count: int) -> Tensor:
        side = self._spec.crop_px
        return torch.zeros((count, self._spec.num_frames, side, side, 3), dtype=torch.uint8)


def load_grid_classifier(folder: Path) -> Classifier:
    """Read a classifier whose vectors over time are the scores of the center crop, whatever its tests see.

    Crops are part of a classifier's hash: a localiser knows vectors of the center from those of ten crops.

    Args:
        folder: of the classifier, or of the run that has it.

    Raises:
        WeightsError: the folder holds no classifier, or a file is damaged.

    Reference: VCLR, section 4.5, and its released code.
    """
    classifier = Classifier.load(folder)
    return classifier.with_views(dataclasses.replace(classifier.views, crops="center"))


def embed_grids(
    embedder: ClipEmbedder,
    catalog: Catalog,
    groups: Sequence[Sequence[int]],
    grid: GridSampling,
    config: ReadConfig,
) -> Iterator[EmbeddedGrid]:
    """Embed a clip at every position of the videos of some rows, in order; none is left out or replaced.

    The clips of a group of videos fill passes of ``config.batch_size``, one video after the other, and the
    last pass is filled up with black. So the vectors depend on the group alone: neither on other groups nor
    on the number of workers, to the bit on the CPU. Where the embedder gives several vectors per clip, such
    as the scores of several crops, it is their mean.

    Args:
        embedder: an encoder, a classifier or a baseline.
        catalog: the videos.
        groups: rows, each group always asked for as a whole.
        grid: where the clips lie.
        config: batch and workers; the number of clips is the grid's.

    Raises:
        ValueError: the embedder's clips cover whole videos.
    """
    spec = choose_clip(embedder.spec, getattr(getattr(embedder, "config", None), "backbone", None))
    counts = [len(grid.find_centers(int(frames))) for frames in catalog.num_frames_array]
    pieces = [piece for rows in groups for piece in _cut_pieces(rows, counts, config.batch_size)]
    reader = _PieceReader(catalog, spec, grid, config)
    failures: dict[int, str] = {}
    stream = _embed_pieces(embedder, _load(reader, pieces, embedder, config), reader, config, failures)
    for row in (row for rows in groups for row in rows):
        vectors_ND = np.stack([next(stream) for _ in range(counts[row])])
        failure = failures.get(row, "")
        if not failure and not np.isfinite(vectors_ND).all():
            failure = "the network gave NaN or infinity; try precision float32, or another encoder"
        if failure:
            rejection = Rejection(str(catalog.video(row).path), failure)
            yield EmbeddedGrid(row, np.empty((0, vectors_ND.shape[1]), dtype=np.float32), rejection)
        else:
            yield EmbeddedGrid(row, vectors_ND)


def _cut_pieces(rows: Sequence[int], counts: Sequence[int], size: int) -> list[_Piece]:
    """Cut the videos of a group into pieces of at most ``size`` clips, so that memory is bounded."""
    pieces = [
        _Piece(row, first, min(first + size, counts[row]), is_last=False)
        for row in rows
        for first in range(0, counts[row], size)
    ]
    return [*pieces[:-1], *(piece._replace(is_last=True) for piece in pieces[-1:])]


def _load(
    reader: _PieceReader, pieces: Sequence[_Piece], embedder: ClipEmbedder, config: ReadConfig
) -> Iterator[_ReadPiece]:
    num_workers = min(config.num_workers if config.num_workers >= 0 else count_cores(), len(pieces))
    loader = DataLoader(
        reader,
        batch_size=None,
        sampler=pieces,
        num_workers=num_workers,
        pin_memory=embedder.device.type == "cuda",
        collate_fn=_pass_on,
        worker_init_fn=_start_worker,
        prefetch_factor=2 if num_workers else None,
    )
    return iter(loader)


def _embed_pieces(
    embedder: ClipEmbedder,
    pieces: Iterator[_ReadPiece],
    reader: _PieceReader,
    config: ReadConfig,
    failures: dict[int, str],
) -> Iterator[NDArray[np.float32]]:
    """Yield a vector per clip; note on the way which rows failed and why."""
    waiting: list[Tensor] = []
    for read in pieces:
        if read.failure:
            failures.setdefault(read.piece.row, read.failure)
        waiting.append(read.clips_NTHWC)
        while sum(map(len, waiting)) >= config.batch_size:
            taken, waiting = _split(waiting, config.batch_size)
            yield from _embed(embedder, taken)
        count = sum(map(len, waiting))
        if read.piece.is_last and count:
            yield from _embed(embedder, [*waiting, reader.blank(config.batch_size - count)])[:count]
            waiting = []


def _split(parts: Sequence[Tensor], count: int) -> tuple[list[Tensor], list[Tensor]]:
    """Return the first ``count`` clips of some tensors, and the rest; the last tensor reaches beyond them."""
    kept = count - sum(map(len, parts[:-1]))
    rest = parts[-1][kept:]
    return [*parts[:-1], parts[-1][:kept]], [rest] if len(rest) else []


def _embed(embedder: ClipEmbedder, clips: Sequence[Tensor]) -> NDArray[np.float32]:
    rows_BRD = embedder.embed_clips(clips, ("average",))["average"]
    mean_BD: NDArray[np.float32] = rows_BRD.mean(axis=1, dtype=np.float32)
    return mean_BD


def _pass_on(piece: Any) -> Any:  # noqa: ANN401 (torch's type)
    """Stand in for torch's own function, which would turn numbers into tensors."""
    return piece


def _start_worker(worker: int) -> None:
    end_with_parent()
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
