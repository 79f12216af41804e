"""Does a classifier tell the class of videos that it has not seen?"""

import time
from dataclasses import dataclass
from typing import Any

from unreel.config import config_to_dict
from unreel.data.batch import Rejection
from unreel.data.catalog import Catalog
from unreel.errors import CatalogError
from unreel.evaluate.accuracy import Accuracy, measure_scores
from unreel.evaluate.failures import check_fraction, refuse_too_many
from unreel.evaluate.score_table import ScoreTable, name_kind
from unreel.features.classifier import Classifier
from unreel.features.classify import classify_videos
from unreel.features.reading import ReadConfig
from unreel.progress import Progress, ignore_progress

TEST_SPLITS = ("test", "val", "validation")
"""Names of the split that is measured, the best first: data sets whose test labels are secret have others."""


@dataclass(frozen=True, eq=False)
class RecognitionResult:
    """How well a classifier does on one split.

    Attributes:
        accuracy: of the videos that could be read.
        videos: labelled videos of the split, rejected ones included.
        without_label: further videos of the split, which could not be counted.
        rejected: labelled videos that could not be used; they are no part of ``accuracy``.
        top1_of_all: accuracy when every rejected video counts as a wrong answer.
        is_training: whether these are the videos that the classifier learned from.
        scores: of every labelled video.
        model: what was measured: name, hash, precision, provenance.
        settings: split, views and hash of the catalog.
        seconds: duration.
    """

    accuracy: Accuracy
    videos: int
    without_label: int
    rejected: list[Rejection]
    top1_of_all: float
    is_training: bool
    scores: ScoreTable
    model: dict[str, Any]
    settings: dict[str, Any]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values; the scores of single videos are left to their own file."""
        return {
            "protocol": "recognition",
            **config_to_dict(self.accuracy),
            "videos": self.videos,
            "without_label": self.without_label,
            "rejected": [config_to_dict(rejection) for rejection in self.rejected],
            "top1_of_all": self.top1_of_all,
            "is_training": self.is_training,
            "model": self.model,
            "settings": self.settings,
            "seconds": self.seconds,
        }


def evaluate_recognition(
    classifier: Classifier,
    catalog: Catalog,
    *,
    split: str = "auto",
    read: ReadConfig | None = None,
    max_rejected_fraction: float = 0.05,
    progress: Progress = ignore_progress,
) -> RecognitionResult:
    """Classify the labelled videos of a split and compare with their labels.

    Every video is seen once, by all its views. One whose label the classifier does not know counts as wrong.
    One that cannot be read has no answer: it is named, and counts as wrong in
    `RecognitionResult.top1_of_all` alone.

    Args:
        classifier: with the views by which it is to be tested.
        catalog: the videos.
        split: part of the catalog; "auto" takes that of `find_test_split`, else all; "" takes all.
        read: batch, workers and time limit.
        max_rejected_fraction: share of the videos that may fail.
        progress: is told the number of videos done.

    Raises:
        CatalogError: there is no such split, no video, or no label in it.
        FeaturesError: too many videos fail.
        ValueError: a number is out of range.

    Reference: CACL, section 4.3; VCLR, section 4.4; SCVRL, section 4.2; CCL, section 4.2.
    """
    started = time.monotonic()
    check_fraction(max_rejected_fraction)
    if split == "auto":
        split = find_test_split(catalog)
    videos, without_label = take_labelled(catalog, split)
    classified = []
    num_rejected = 0
    progress(0, len(videos), "")
    for video in classify_videos(classifier, videos, range(len(videos)), read or ReadConfig()):
        classified.append(video)
        num_rejected += video.rejection is not None
        progress(len(classified), len(videos), f"{num_rejected} rejected" if num_rejected else "")
    rejected = [video.rejection for video in classified if video.rejection is not None]
    refuse_too_many(rejected, num_videos=len(videos), max_rejected_fraction=max_rejected_fraction)
    scores = ScoreTable.build(videos, classifier.classes, name_kind(classifier.views.average), classified)
    rows = scores.accepted
    if not rows:
        raise CatalogError(f"none of the {len(videos)} videos can be read, so there is nothing to measure")
    truth_Q = [videos.labels[row] for row in rows]
    accuracy = measure_scores(scores.scores_VC[rows], classifier.classes, truth_Q, classifier.training_counts)
    return RecognitionResult(
        accuracy=accuracy,
        videos=len(videos),
        without_label=without_label,
        rejected=rejected,
        top1_of_all=accuracy.top1 * len(rows) / len(videos),
        is_training=videos.hash == classifier.provenance.get("catalog"),
        scores=scores,
        model={
            "name": classifier.name,
            "hash": classifier.hash,
            "network_hash": classifier.network_hash,
            "precision": classifier.precision,
            "provenance": classifier.provenance,
        },
        settings={
            "split": split,
            "views": config_to_dict(classifier.views),
            "input": config_to_dict(classifier.spec),
            "catalog_hash": catalog.hash,
        },
        seconds=time.monotonic() - started,
    )


def find_test_split(catalog: Catalog) -> str:
    """Return the first of `TEST_SPLITS` that has labels, else the first that there is, else "".

    Test videos of Kinetics, Something-Something and ActivityNet have no labels: those of validation count.
    """
    named = [split for split in TEST_SPLITS if split in catalog.split_names]
    labelled = {split for split, label in zip(catalog.splits, catalog.labels, strict=True) if label}
    return next((split for split in named if split in labelled), named[0] if named else "")


def take_labelled(catalog: Catalog, split: str) -> tuple[Catalog, int]:
    """Return the videos of a split that have a label, and how many have none.

    Args:
        catalog: all videos.
        split: part of it, "" for all.

    Raises:
        CatalogError: there is no such split, no video, or no label in it.
    """
    videos = catalog.select(split)
    where = f"split {split!r}" if split else "the catalog"
    if not len(videos):
        raise CatalogError("the catalog holds no video; scan a folder that does")
    rows = [row for row, label in enumerate(videos.labels) if label]
    if not rows:
        raise CatalogError(
            f"none of the {len(videos)} videos of {where} has a label, so no answer can be called right; "
            "scan a list with a label column, or folders named like classes with --labels from-folders"
        )
    return videos.take(rows), len(videos) - len(rows)
