import dataclasses
import json

import pytest

from unreel.search.hits import Hit

HIT = Hit(
    video_id="a",
    path="2024/a.mp4",
    score=0.5,
    start_sec=1.0,
    end_sec=2.5,
    label="run",
    split="train",
    group="x",
    seconds=9.0,
)


def test_a_hit_is_plain_data_that_json_takes() -> None:
    assert json.loads(json.dumps(dataclasses.asdict(HIT))) == {
        "video_id": "a",
        "path": "2024/a.mp4",
        "score": 0.5,
        "start_sec": 1.0,
        "end_sec": 2.5,
        "label": "run",
        "split": "train",
        "group": "x",
        "seconds": 9.0,
    }


def test_a_hit_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        HIT.score = 1.0  # type: ignore[misc]
    assert dataclasses.replace(HIT, score=1.0) != HIT
