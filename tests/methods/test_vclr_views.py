from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.methods.batches import make_batch
from unreel.augment.compose import ClipAugmentation
from unreel.data.batch import VideoBatch
from unreel.methods.vclr import VCLR
from unreel.methods.vclr_views import VCLRViews, make_vclr_views

STILL = ClipAugmentation(
    crop="center", size_px=16, flip_prob=0.0, jitter_prob=0.0, grayscale_prob=0.0, blur_prob=0.0
)
CONFIG = VCLR.Config(augmentation=ClipAugmentation(size_px=16))


def views_of(batch: VideoBatch, **changes: Any) -> VCLRViews:
    return make_vclr_views(replace(CONFIG, **changes), batch)


def batch_of(count: int = 16, *, frames: int = 3, seed: int = 0) -> VideoBatch:
    return make_batch(count, clips=2, frames=frames, seed=seed)


def middle_of(batch: VideoBatch, row: int) -> Tensor:
    return batch.frames_BNTHWC[:, row, :, 2:18, 2:18].permute(0, 1, 4, 2, 3) / 255


def test_the_tuples_are_the_two_rows_of_the_plan_in_order_of_time() -> None:
    batch = batch_of()
    views = views_of(batch, augmentation=STILL)
    torch.testing.assert_close(views.anchor_BNCHW, middle_of(batch, 0))
    assert views.positive_BNCHW is not None
    torch.testing.assert_close(views.positive_BNCHW, middle_of(batch, 1))
    assert views.owners_B.tolist() == list(range(16))


def test_the_query_is_the_first_or_the_last_frame_of_the_anchor() -> None:
    batch = batch_of(400)
    views = views_of(batch, augmentation=STILL)
    assert views.twin_BCHW is not None
    places = views.query_place_B
    assert set(places.tolist()) == {0, 2}
    assert 160 < (places == 2).sum() < 240
    torch.testing.assert_close(views.twin_BCHW, middle_of(batch, 0)[torch.arange(400), places])


def test_the_twin_is_another_augmentation_of_the_query() -> None:
    views = views_of(batch_of())
    assert views.twin_BCHW is not None
    query = views.anchor_BNCHW[torch.arange(16), views.query_place_B]
    assert views.twin_BCHW.shape == query.shape == (16, 3, 16, 16)
    assert not any(torch.allclose(a, b) for a, b in zip(query, views.twin_BCHW, strict=True))


def test_every_frame_is_augmented_by_itself() -> None:
    """All frames of the batch are the same picture; no two come out alike."""
    batch = batch_of(4)
    same = replace(batch, frames_BNTHWC=batch.frames_BNTHWC[:1, :1, :1].expand(4, 2, 3, -1, -1, -1))
    views = views_of(same)
    assert views.positive_BNCHW is not None
    assert views.twin_BCHW is not None
    pictures = torch.cat(
        [views.anchor_BNCHW.flatten(0, 1), views.positive_BNCHW.flatten(0, 1), views.twin_BCHW]
    )
    assert len(pictures) == 28
    assert len({picture.numpy().tobytes() for picture in pictures}) == 28


def test_no_frame_is_augmented_twice_but_the_query(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 16 videos: 3 frames of the anchor, 3 of the positive, and the query again."""
    counts = []
    apply = ClipAugmentation.apply

    def count(self: ClipAugmentation, frames: Tensor, *args: Any, **options: Any) -> Tensor:
        counts.append(frames.shape[:2])
        return apply(self, frames, *args, **options)

    monkeypatch.setattr(ClipAugmentation, "apply", count)
    views_of(batch_of())
    assert sum(rows * frames for rows, frames in counts) == 16 * (3 + 3 + 1)
    counts.clear()
    views_of(batch_of(), video_weight=0.0, order_weight=0.0)
    assert sum(rows * frames for rows, frames in counts) == 16 * (3 + 1)
    counts.clear()
    views_of(batch_of(), inter_weight=0.0, intra_weight=0.0)
    assert sum(rows * frames for rows, frames in counts) == 16 * (3 + 3)


def test_the_class_of_order_counts_shuffled_tuples() -> None:
    """0: none, 1: the anchor, 2: the positive, 3: both; each of a quarter of the videos."""
    views = views_of(batch_of(800))
    assert views.order is not None
    anchor, positive = (
        (order != torch.arange(3)).any(dim=1).long()
        for order in (views.order.anchor_order_BN, views.order.positive_order_BN)
    )
    assert torch.equal(views.order.answer_B, anchor + 2 * positive)
    counts = torch.bincount(views.order.answer_B, minlength=4)
    # Chi-square with 3 degrees of freedom exceeds 16.3 once in a thousand.
    assert ((counts - 200) ** 2 / 200).sum() < 16.3
    for order in (views.order.anchor_order_BN, views.order.positive_order_BN):
        assert [2, 1, 0] not in order.tolist()


def test_views_depend_on_the_key_of_the_video_alone() -> None:
    """Two of six videos, in the other order and in other company, look as they did."""
    batch = batch_of(6)
    fields = ("frames_BNTHWC", "sizes_B2", "video_index_B", "frame_index_BNT", "keys_B")
    few = views_of(replace(batch, **{name: getattr(batch, name)[[4, 1]] for name in fields}))
    many = views_of(batch)
    for name in ("anchor_BNCHW", "positive_BNCHW", "twin_BCHW", "query_place_B", "owners_B"):
        assert torch.equal(getattr(many, name)[[4, 1]], getattr(few, name)), name
    assert many.order is not None
    assert few.order is not None
    for name in ("anchor_order_BN", "positive_order_BN", "answer_B"):
        assert torch.equal(getattr(many.order, name)[[4, 1]], getattr(few.order, name)), name
    keys = replace(batch, keys_B=batch.keys_B.flip(0))
    assert not torch.equal(views_of(keys).anchor_BNCHW, many.anchor_BNCHW)


@pytest.mark.parametrize("name", ["inter_weight", "intra_weight", "video_weight", "order_weight"])
def test_leaving_out_a_loss_changes_nothing_for_the_others(name: str) -> None:
    whole, less = views_of(batch_of()), views_of(batch_of(), **{name: 0.0})
    assert torch.equal(whole.anchor_BNCHW, less.anchor_BNCHW)
    assert torch.equal(whole.query_place_B, less.query_place_B)
    if less.positive_BNCHW is not None:
        assert whole.positive_BNCHW is not None
        assert torch.equal(whole.positive_BNCHW, less.positive_BNCHW)


def test_what_no_loss_needs_is_not_made() -> None:
    frames = views_of(batch_of(), video_weight=0.0, order_weight=0.0)
    assert (frames.positive_BNCHW, frames.order) == (None, None)
    videos = views_of(batch_of(), inter_weight=0.0, intra_weight=0.0, order_weight=0.0)
    assert videos.twin_BCHW is None
    assert videos.positive_BNCHW is not None


def test_pictures_of_different_sizes_are_seen_without_their_padding() -> None:
    batch = batch_of(2)
    frames = torch.full_like(batch.frames_BNTHWC, 255)
    frames[0, ..., 16:, :, :] = 0
    frames[0, ..., :, 16:, :] = 0
    padded = replace(batch, frames_BNTHWC=frames, sizes_B2=torch.tensor([[16, 16], [20, 20]]))
    views = views_of(padded, augmentation=STILL)
    assert views.anchor_BNCHW.min() == 1.0
