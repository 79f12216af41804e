import dataclasses

import pytest

from tests.features.tiny_classifier import build_classifier
from unreel.augment.evaluation_views import EvaluationViews
from unreel.cli.view_arguments import ViewArguments


def test_without_flags_the_classifier_is_the_same() -> None:
    classifier = build_classifier()
    assert ViewArguments().apply(classifier) is classifier


def test_what_is_not_given_stays() -> None:
    classifier = build_classifier(crops="ten", average="logits")
    changed = ViewArguments(clips=3, crop_px=12).apply(classifier)
    assert changed.views == EvaluationViews(3, 0, "ten", 12, average="logits")
    assert changed.backbone is classifier.backbone


def test_zero_is_as_in_training_again() -> None:
    assert ViewArguments(crop_px=0).apply(build_classifier(crop_px=12)).spec.crop_px == 16


def test_there_is_a_flag_for_every_view_and_no_other() -> None:
    flags = {field.name for field in dataclasses.fields(ViewArguments)}
    assert flags == {field.name for field in dataclasses.fields(EvaluationViews)}


def test_views_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"views.clips must be between 1 and 1000, got 0"):
        ViewArguments(clips=0).apply(build_classifier())
