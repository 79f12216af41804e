"""What Grad-CAM explains: the direction of the feature itself, or the score of a class."""

import difflib
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor

from unreel.errors import FeaturesError
from unreel.evaluate.grad_cam import Score, pool_map, score_class, score_own_direction
from unreel.evaluate.linear_classifier import LinearClassifier
from unreel.features.encoder import Encoder
from unreel.features.extract import count_numbers
from unreel.features.pooling import Pooling

# N clips of a video, D features, K classes, T time positions, H W positions


@dataclass(frozen=True, eq=False)
class Target:
    """Chooses what is explained in a video.

    Attributes:
        classifier: whose score is explained; None explains the direction of each feature itself.
        class_name: of the classifier; "" takes, for each video, the class with the highest mean score.

    Raises:
        ValueError: there is no classifier that knows the class, or it weighs vectors of length 1.
    """

    classifier: LinearClassifier | None = None
    class_name: str = ""

    def __post_init__(self) -> None:
        if self.classifier is not None and self.classifier.is_l2_normalized:
            raise ValueError(
                "the classifier weighs vectors of length 1, and Grad-CAM explains sums of a map; fit one to "
                "the vectors as they are (`unreel evaluate svm`, or `linear` without --l2-normalize)"
            )
        if not self.class_name:
            return
        if self.classifier is None:
            raise ValueError(f"target class {self.class_name!r} needs a classifier that knows it; give one")
        if self.class_name not in self.classifier.classes:
            classes = self.classifier.classes
            close = difflib.get_close_matches(self.class_name, classes, n=5)
            more = f" and {len(classes) - 5} more" if len(classes) > 5 else ""
            known = f"it knows {', '.join(classes[:5])}{more}"
            hint = f"did you mean {' or '.join(close)}?" if close else known
            raise ValueError(f"the classifier knows no class {self.class_name!r}; {hint}")

    def check(self, encoder: Encoder, *, is_other_encoder_allowed: bool = False) -> None:
        """Refuse a classifier that does not suit the encoder.

        Raises:
            FeaturesError: it was fitted to the features of another encoder, and that is not allowed.
            ValueError: its vectors have another length or form than those that the last map gives.
        """
        classifier = self.classifier
        if classifier is None:
            return
        if encoder.hash != classifier.encoder_hash and not is_other_encoder_allowed:
            raise FeaturesError(
                f"the classifier was fitted to features of encoder {classifier.encoder_hash}, and this is "
                f"{encoder.name!r} ({encoder.hash}); give that encoder, or allow another one "
                "(--other-encoder) if you know that their features agree"
            )
        pooling = cast(Pooling, classifier.pooling)
        backbone = encoder.backbone
        is_of_map = {"average": backbone.average_is_of_map, "frame": backbone.frames_are_of_map}
        if not is_of_map.get(pooling, True):
            others = " or ".join(name for name, is_shown in is_of_map.items() if is_shown)
            raise ValueError(
                f"the classifier takes features of pooling {pooling}, which this network does not read from "
                f"the map that is shown; fit one to features of pooling {others}"
            )
        length = count_numbers(encoder, pooling)
        if length != classifier.num_features:
            raise ValueError(
                f"the classifier takes vectors of {classifier.num_features} numbers, and this encoder gives "
                f"{length} (pooling {pooling}); give the encoder that it was fitted to"
            )

    def choose(self, map_NDTHW: Tensor) -> tuple[str, Score]:
        """Return the class to explain in a video, "" for none, and its score.

        Args:
            map_NDTHW: last maps of the video's clips, float32.
        """
        classifier = self.classifier
        if classifier is None:
            return "", score_own_direction
        pooling = cast(Pooling, classifier.pooling)
        if self.class_name:
            number = classifier.classes.index(self.class_name)
        else:
            scores_NK = classifier.scores(pool_map(map_NDTHW, pooling).cpu().numpy())
            number = int(scores_NK.mean(axis=0).argmax())
        weights_D = torch.from_numpy(classifier.weights_CD[number].copy()).to(map_NDTHW.device)
        bias = 0.0 if classifier.bias_C is None else float(classifier.bias_C[number])
        return classifier.classes[number], partial(
            score_class, weights_D=weights_D, bias=bias, pooling=pooling
        )
