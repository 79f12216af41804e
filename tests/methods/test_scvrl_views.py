from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.methods.batches import make_batch
from unreel.augment.compose import ClipAugmentation
from unreel.augment.group_shuffle import expand_groups
from unreel.data.batch import VideoBatch
from unreel.data.clips import RandomClips
from unreel.methods.scvrl import SCVRL
from unreel.methods.scvrl_views import SCVRLViews, make_scvrl_views

STILL = ClipAugmentation(
    crop="center", size_px=16, flip_prob=0.0, jitter_prob=0.0, grayscale_prob=0.0, blur_prob=0.0
)
CONFIG = SCVRL.Config(
    clips=RandomClips(count=2, num_frames=8), augmentation=ClipAugmentation(size_px=16), detection_weight=1.0
)


def views_of(batch: VideoBatch, **changes: Any) -> SCVRLViews:
    return make_scvrl_views(replace(CONFIG, **changes), batch)


def batch_of(count: int = 6) -> VideoBatch:
    return make_batch(count, clips=2, frames=8)


def middle_of(batch: VideoBatch, row: int) -> Tensor:
    return batch.frames_BNTHWC[:, row, :, 2:18, 2:18].permute(0, 4, 1, 2, 3) / 255


def test_anchor_and_positive_are_the_first_clip_and_the_key_is_the_second() -> None:
    batch = batch_of()
    views = views_of(batch, augmentation=STILL)
    assert views.anchor_BCTHW is not None
    assert views.key_BCTHW is not None
    torch.testing.assert_close(views.anchor_BCTHW, middle_of(batch, 0))
    torch.testing.assert_close(views.positive_BCTHW, middle_of(batch, 0))
    torch.testing.assert_close(views.key_BCTHW, middle_of(batch, 1))
    assert views.owners_B.tolist() == list(range(6))


def test_the_three_views_are_augmented_independently_and_all_frames_alike() -> None:
    """All frames of the batch are one picture: no two views come out alike, all frames of a view do."""
    batch = batch_of(4)
    same = replace(batch, frames_BNTHWC=batch.frames_BNTHWC[:1, :1, :1].expand(4, 2, 8, -1, -1, -1))
    views = views_of(same)
    assert views.anchor_BCTHW is not None
    assert views.positive_BCTHW is not None
    assert views.key_BCTHW is not None
    clips = torch.cat([views.anchor_BCTHW, views.positive_BCTHW, views.key_BCTHW])
    assert torch.equal(clips, clips[:, :, :1].expand_as(clips))
    assert len({clip.numpy().tobytes() for clip in clips}) == 12


def test_the_negatives_are_twelve_different_orders_of_four_groups_and_not_that_of_time() -> None:
    order = views_of(batch_of()).negative_order_BNG
    assert order is not None
    assert order.shape == (6, 12, 4)
    assert torch.equal(order.sort(dim=2).values, torch.arange(4).expand(6, 12, 4))
    for of_clip in order.tolist():
        assert len({tuple(row) for row in of_clip} | {(0, 1, 2, 3)}) == 13
    assert not torch.equal(order[0], order[1])


def test_the_question_is_the_positive_shuffled_in_groups_or_not() -> None:
    views = views_of(batch_of(200), augmentation=STILL)
    assert views.question is not None
    in_time = views.positive_BCTHW
    assert in_time is not None
    stays = (views.question.clips_BCTHW == in_time).flatten(1).all(dim=1)
    assert torch.equal(stays, views.question.is_shuffled_B == 0)
    assert 75 < int(stays.sum()) < 125  # 100 with a standard deviation of 7
    # Whatever the order, frames 2g and 2g + 1 stay side by side: every shown pair is one of the clip's.
    pairs = in_time.unflatten(2, (4, 2))
    shown = views.question.clips_BCTHW.unflatten(2, (4, 2))
    found = (shown[:, :, :, None] == pairs[:, :, None]).flatten(5).all(dim=(1, 4, 5))
    assert (found.sum(dim=2) == 1).all()


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ((1.0, 0.0, 1.0), "anchor positive order key"),
        ((1.0, 0.0, 0.0), "anchor positive order"),
        ((0.0, 1.0, 1.0), "anchor question key"),
        ((0.0, 1.0, 0.0), "question"),
        ((0.0, 0.0, 1.0), "anchor key"),
    ],
)
def test_views_that_no_loss_needs_are_not_made(
    weights: tuple[float, float, float], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    apply = ClipAugmentation.apply

    def count(self: ClipAugmentation, frames: Tensor, *args: Any, **options: Any) -> Tensor:
        counts.append(len(frames))
        return apply(self, frames, *args, **options)

    monkeypatch.setattr(ClipAugmentation, "apply", count)
    names = ("shuffled_weight", "detection_weight", "visual_weight")
    views = views_of(batch_of(), **dict(zip(names, weights, strict=True)))
    made = {
        "anchor": views.anchor_BCTHW,
        "positive": views.positive_BCTHW,
        "order": views.negative_order_BNG,
        "question": views.question,
        "key": views.key_BCTHW,
    }
    assert {name for name, view in made.items() if view is not None} == set(expected.split())
    augmented = {"anchor", "key", "positive"} & set(expected.split())
    assert sum(counts) == 6 * (len(augmented) + ("question" in expected and "positive" not in expected))


def test_leaving_out_a_loss_changes_nothing_for_the_others() -> None:
    whole, fewer = views_of(batch_of()), views_of(batch_of(), detection_weight=0.0)
    alone = views_of(batch_of(), detection_weight=0.0, shuffled_weight=0.0)
    for name in ("anchor_BCTHW", "key_BCTHW"):
        assert torch.equal(getattr(whole, name), getattr(alone, name))
    for name in ("positive_BCTHW", "negative_order_BNG"):
        assert torch.equal(getattr(whole, name), getattr(fewer, name))


def test_views_depend_on_the_key_of_the_video_alone() -> None:
    """Two of six videos, in the other order and in other company, look as they did."""
    batch = batch_of()
    fields = ("frames_BNTHWC", "sizes_B2", "video_index_B", "frame_index_BNT", "keys_B")
    few = views_of(replace(batch, **{name: getattr(batch, name)[[4, 1]] for name in fields}))
    many = views_of(batch)
    for name in ("anchor_BCTHW", "positive_BCTHW", "negative_order_BNG", "key_BCTHW", "owners_B"):
        assert torch.equal(getattr(many, name)[[4, 1]], getattr(few, name)), name
    assert many.question is not None
    assert few.question is not None
    assert torch.equal(many.question.clips_BCTHW[[4, 1]], few.question.clips_BCTHW)
    keys = replace(batch, keys_B=batch.keys_B.flip(0))
    assert not torch.equal(views_of(keys).negative_order_BNG, many.negative_order_BNG)


def test_pictures_of_different_sizes_are_seen_without_their_padding() -> None:
    batch = batch_of(2)
    frames = torch.full_like(batch.frames_BNTHWC, 255)
    frames[0, ..., 16:, :, :] = 0
    frames[0, ..., :, 16:, :] = 0
    padded = replace(batch, frames_BNTHWC=frames, sizes_B2=torch.tensor([[16, 16], [20, 20]]))
    views = views_of(padded, augmentation=STILL)
    for name in ("anchor_BCTHW", "positive_BCTHW", "key_BCTHW"):
        assert getattr(views, name).min() == 1.0


def test_orders_of_groups_are_orders_of_frames() -> None:
    order = views_of(batch_of()).negative_order_BNG
    assert order is not None
    frames = expand_groups(order, 2)
    assert frames.shape == (6, 12, 8)
    assert torch.equal(frames[..., 0::2] + 1, frames[..., 1::2])
