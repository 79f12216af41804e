import math
from typing import Any

import pytest
import torch

from tests.losses.test_contrastive import cosine
from unreel.methods.frame_tasks import FrameContrast, contrast_within_videos


def exps(query: list[float], keys: list[list[float]]) -> list[float]:
    return [math.exp(cosine(query, key) / 0.1) for key in keys]


def test_frames_of_other_videos_are_pushed_by_each_key_alone() -> None:
    """Equation 2: three keys, a softmax each; without a queue the other video's three keys push."""
    torch.manual_seed(0)
    query, keys, owners = torch.randn(2, 4), torch.randn(2, 3, 4), torch.tensor([5, 9])
    loss, accuracy = FrameContrast(0, 4, temperature=0.1, exclude_own=True)(query, keys, owners)
    expected, hits = 0.0, 0
    for row in range(2):
        own, other = (exps(query[row].tolist(), keys[video].tolist()) for video in (row, 1 - row))
        expected -= sum(math.log(pull / (pull + sum(other))) for pull in own) / 6
        hits += own[0] > other[0]
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert accuracy.item() == hits / 2


def test_the_queue_takes_all_keys_of_a_video() -> None:
    task = FrameContrast(7, 4, temperature=0.1, exclude_own=True)
    task(torch.randn(2, 4), torch.randn(2, 3, 4), torch.tensor([5, 9]))
    task.store()
    assert task.negatives.queue is not None
    assert task.negatives.queue.owners_K.tolist() == [5, 5, 5, 9, 9, 9, -1]


@pytest.mark.parametrize("form", ["official", "joint"])
def test_frames_of_the_same_video_push(form: Any) -> None:
    """Equation 3; of the two forms one has a softmax per other frame, the other one for all."""
    torch.manual_seed(1)
    query, keys = torch.randn(4, 4), torch.randn(4, 3, 4)
    loss, accuracy = contrast_within_videos(query, keys, temperature=0.1, form=form)
    expected, hits = 0.0, 0
    for row in range(4):
        own, *others = exps(query[row].tolist(), keys[row].tolist())
        if form == "joint":
            expected -= math.log(own / (own + sum(others))) / 4
        else:
            expected -= sum(math.log(own / (own + other)) for other in others) / 8
        hits += own > max(others)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert accuracy.item() == hits / 4
    assert 0 < hits < 4
