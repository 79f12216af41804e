import json
from typing import Any

import pytest

from unreel.augment.evaluation_views import EvaluationViews
from unreel.config import config_from_dict, config_to_dict


def test_views_say_what_they_are() -> None:
    assert EvaluationViews().describe() == "10 clips x center crop, probabilities averaged"
    tsn = EvaluationViews(clips=1, num_frames=8, crops="ten", average="logits")
    assert tsn.describe() == "1 clip x 10 crops, logits averaged"
    assert EvaluationViews(crops="three").describe() == "10 clips x 3 crops, probabilities averaged"


@pytest.mark.parametrize(("crops", "count"), [("center", 1), ("three", 3), ("ten", 10)])
def test_crops_are_counted(crops: Any, count: int) -> None:
    assert EvaluationViews(crops=crops).num_crops == count


def test_views_survive_json() -> None:
    views = EvaluationViews(3, 25, "three", 256, 256, 0, "logits", "offset")
    values = json.loads(json.dumps(config_to_dict(views)))
    assert config_from_dict(EvaluationViews(), values) == views
    with pytest.raises(ValueError, match="crops must be one of 'center', 'three', 'ten', got 'five'"):
        config_from_dict(EvaluationViews(), {"crops": "five"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clips": 0}, "views.clips must be between 1 and 1000, got 0"),
        ({"num_frames": -1}, "views.num_frames must not be negative and at most 10000, got -1; 0 is as"),
        ({"crop_px": -8}, "views.crop_px must not be negative and at most 8192, got -8"),
        ({"height": -1}, "views.height must not be negative"),
        ({"height": 100_000}, "views.height must not be negative and at most 8192, got 100000"),
        ({"clips": 99_999}, "views.clips must be between 1 and 1000, got 99999"),
        ({"width": 171}, "views.width=171 needs views.height"),
    ],
)
def test_views_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EvaluationViews(**changes)
