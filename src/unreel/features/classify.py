"""Videos in, scores of classes out: every view of a video is scored, and the mean is its answer."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from unreel.data.batch import Rejection
from unreel.data.catalog import Catalog
from unreel.distributed import gather_objects, rank_index, world_size
from unreel.features.classifier import ClipClassifier
from unreel.features.input_spec import InputSpec
from unreel.features.reading import EmbeddedVideo, ReadConfig, embed_videos

# N clips, R crops of each, C classes

_MOST_CLIPS = 32
_PIXELS_PER_PASS = _MOST_CLIPS * 16 * 112**2


@dataclass(frozen=True)
class ClassifiedVideo:
    """The scores of one video of a catalog, or why there are none.

    Attributes:
        row: of the catalog.
        scores_C: float32, one per class: the mean over clips and crops of logits or of probabilities, as the
            views of the classifier say; empty when the video was rejected.
        rejection: why the video could not be used, None when it could.
    """

    row: int
    scores_C: NDArray[np.float32]
    rejection: Rejection | None = None


def fit_batch_size(spec: InputSpec) -> int:
    """Return how many clips a pass of the network should have: 32 of 16 x 112 x 112 pixels, fewer if larger.

    Args:
        spec: what the network is fed.
    """
    return max(1, min(_MOST_CLIPS, _PIXELS_PER_PASS // (spec.num_frames * spec.crop_px**2)))


def classify_videos(
    classifier: ClipClassifier, catalog: Catalog, rows: Sequence[int], read: ReadConfig
) -> Iterator[ClassifiedVideo]:
    """Score the videos of some rows, in order; none is left out, none is replaced, none comes twice.

    Where several processes work together they share the rows by whole passes of the network, and each yields
    all of them when all are done. As a pass has the same content and shape in whatever process it runs, the
    scores are those of one process, to the bit on the CPU.

    Args:
        classifier: that of a run, or a linear one on an encoder.
        catalog: the videos.
        rows: ascending.
        read: batch, workers and time limit; the clips per video are those of the classifier's views.
    """
    read = dataclasses.replace(read, clips_per_video=classifier.views.clips)
    passes = [list(group) for _, group in groupby(rows, key=lambda row: row // read.videos_per_batch)]
    own = [
        row for number, group in enumerate(passes) if number % world_size() == rank_index() for row in group
    ]
    if world_size() == 1:
        yield from _score_videos(classifier, catalog, own, read)
        return
    shares = gather_objects(list(_score_videos(classifier, catalog, own, read)))
    yield from sorted((video for share in shares for video in share), key=lambda video: video.row)


def _score_videos(
    classifier: ClipClassifier, catalog: Catalog, rows: Sequence[int], read: ReadConfig
) -> Iterator[ClassifiedVideo]:
    if rows:
        yield from map(_average, embed_videos(classifier, catalog, rows, ["average"], read))


def _average(video: EmbeddedVideo) -> ClassifiedVideo:
    if video.rejection is not None:
        return ClassifiedVideo(video.row, np.empty(0, dtype=np.float32), video.rejection)
    scores_NRC = video.features["average"]
    scores_C = scores_NRC.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
    return ClassifiedVideo(video.row, scores_C)
