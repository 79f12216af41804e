"""Small classifiers, and one that tells the classes of the corpus by brightness."""

import dataclasses
from typing import Any

import torch

from tests.features.tiny import SPEC
from unreel.augment.evaluation_views import EvaluationViews
from unreel.features.classifier import Classifier
from unreel.features.classifier_files import ClassifierConfig
from unreel.models.resnet3d import R3DConfig

CLASSES = ("speed0", "speed1", "speed2")
VIEWS = EvaluationViews(clips=2)
CONFIG = ClassifierConfig(R3DConfig(depth=10, width=0.0625), SPEC, VIEWS, CLASSES)


def build_classifier(*, seed: int = 0, config: ClassifierConfig = CONFIG, **views: Any) -> Classifier:
    """Return a 3D network with a head whose weights are large enough for answers to differ."""
    config = dataclasses.replace(config, views=dataclasses.replace(config.views, **views))
    classifier = Classifier.untrained(config, seed=seed)
    with torch.no_grad():
        classifier.head.linear.weight.mul_(20)
    return classifier
