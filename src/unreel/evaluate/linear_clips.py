"""An encoder and a linear classifier on its features, as one thing that scores clips."""

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.augment.evaluation_views import EvaluationViews
from unreel.errors import WeightsError
from unreel.evaluate.linear_classifier import LinearClassifier
from unreel.features.encoder import Encoder
from unreel.features.input_spec import InputSpec
from unreel.features.pooling import Pooling

# B clips, R rows per clip, D features, C classes


class LinearClips:
    """Scores clips by an encoder and a classifier that was fitted to its features.

    The scores of a video are the mean of those of its clips. These are the scores of its mean vector, since
    weighted sums may be averaged before or after; but where the classifier brings vectors to length 1 it does
    so with those of single clips, as when clips are classified one by one.

    Args:
        encoder: the one whose features the classifier was fitted to.
        linear: the classifier.
        clips: clips per video.

    Raises:
        WeightsError: the classifier was fitted to the features of another encoder.
    """

    def __init__(self, encoder: Encoder, linear: LinearClassifier, *, clips: int = 10) -> None:
        if encoder.hash != linear.encoder_hash:
            raise WeightsError(
                f"the classifier was fitted to features of encoder {linear.encoder_hash}, and this one, "
                f"{encoder.name!r}, is {encoder.hash}; give the encoder whose features `unreel evaluate` read"
            )
        self.encoder = encoder
        self.linear = linear
        self.views = EvaluationViews(clips=clips, average="logits")

    @property
    def name(self) -> str:
        """What messages and tables call it."""
        return f"{self.encoder.name} with a linear classifier"

    @property
    def hash(self) -> str:
        """That of the encoder."""
        return self.encoder.hash

    @property
    def spec(self) -> InputSpec:
        """What the encoder must be fed."""
        return self.encoder.spec

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the scores."""
        return self.linear.classes

    @property
    def num_features(self) -> int:
        """C, number of scores."""
        return len(self.classes)

    @property
    def device(self) -> torch.device:
        """Where the encoder computes."""
        return self.encoder.device

    @property
    def precision(self) -> str:
        """Arithmetic of the encoder."""
        return self.encoder.precision

    def embed_clips(
        self, frames_BTHWC: Tensor | Sequence[Tensor], poolings: Sequence[Pooling] = ("average",)
    ) -> Mapping[Pooling, NDArray[np.float32]]:
        """Return, under "average", the scores of decoded clips: shape (B, R, C).

        Raises:
            ValueError: another pooling is asked for, or the classifier's does not suit the encoder.
        """
        if tuple(poolings) != ("average",):
            raise ValueError(f"a classifier scores whole clips; use pooling average, not {list(poolings)}")
        pooling = cast(Pooling, self.linear.pooling)
        features_BRD = self.encoder.embed_clips(frames_BTHWC, [pooling])[pooling]
        scores = self.linear.scores(features_BRD.reshape(-1, features_BRD.shape[-1]))
        return {"average": scores.reshape(*features_BRD.shape[:2], -1)}
