from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.methods.batches import make_batch
from unreel.augment.compose import ClipAugmentation
from unreel.data.batch import VideoBatch
from unreel.data.segment_clips import ClipPairAndSegments, SegmentClips
from unreel.methods.moco import MoCo
from unreel.methods.vclr_clips import VCLRClips
from unreel.methods.vclr_clips_views import VCLRClipsViews, make_vclr_clips_views
from unreel.models.c3d import C3DConfig

STILL = ClipAugmentation(
    crop="center", size_px=16, flip_prob=0.0, jitter_prob=0.0, grayscale_prob=0.0, blur_prob=0.0
)
CONFIG = VCLRClips.Config(
    clips=ClipPairAndSegments(3, num_frames=4), augmentation=ClipAugmentation(size_px=16)
)
CLIP_ALONE: dict[str, Any] = {"video_weight": 0.0, "order_weight": 0.0}


def views_of(batch: VideoBatch, **changes: Any) -> VCLRClipsViews:
    return make_vclr_clips_views(replace(CONFIG, **changes), batch)


def batch_of(count: int = 6, *, clips: int = 8, **options: Any) -> VideoBatch:
    return make_batch(count, clips=clips, **options)


def middle_of(batch: VideoBatch, *rows: int) -> Tensor:
    return batch.frames_BNTHWC[:, list(rows), :, 2:18, 2:18].permute(0, 1, 5, 2, 3, 4) / 255


def test_each_network_sees_its_clip_of_the_pair_and_its_tuple() -> None:
    batch = batch_of()
    views = views_of(batch, augmentation=STILL)
    torch.testing.assert_close(views.online_BMCTHW, middle_of(batch, 0, 2, 3, 4))
    torch.testing.assert_close(views.keys_BMCTHW, middle_of(batch, 1, 5, 6, 7))
    assert views.owners_B.tolist() == list(range(6))


def test_the_clips_of_segments_alone_are_the_first_rows() -> None:
    batch = batch_of(clips=6)
    views = views_of(batch, augmentation=STILL, clip_weight=0.0, clips=SegmentClips(3, num_frames=4))
    torch.testing.assert_close(views.online_BMCTHW, middle_of(batch, 0, 1, 2))
    torch.testing.assert_close(views.keys_BMCTHW, middle_of(batch, 3, 4, 5))


def test_clips_that_no_loss_needs_are_not_augmented(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    apply = ClipAugmentation.apply

    def count(self: ClipAugmentation, frames: Tensor, *args: Any, **options: Any) -> Tensor:
        counts.append(len(frames))
        return apply(self, frames, *args, **options)

    monkeypatch.setattr(ClipAugmentation, "apply", count)
    expected: list[tuple[dict[str, Any], int]] = [
        ({}, 2 + 6),
        (CLIP_ALONE, 2),
        ({"clip_weight": 0.0}, 6),
        ({"video_weight": 0.0}, 2 + 6),
    ]
    for changes, clips in expected:
        counts.clear()
        views = views_of(batch_of(), **changes)
        assert sum(counts) == 6 * clips
        assert views.online_BMCTHW.shape == views.keys_BMCTHW.shape == (6, clips // 2, 3, 4, 16, 16)


def test_a_clip_is_augmented_by_itself_and_all_its_frames_alike() -> None:
    """All frames of the batch are the same picture: no two clips come out alike, all frames of a clip do."""
    batch = batch_of(4)
    same = replace(batch, frames_BNTHWC=batch.frames_BNTHWC[:1, :1, :1].expand(4, 8, 4, -1, -1, -1))
    views = views_of(same)
    clips = torch.cat([views.online_BMCTHW.flatten(0, 1), views.keys_BMCTHW.flatten(0, 1)])
    assert torch.equal(clips, clips[:, :, :1].expand_as(clips))
    assert len({clip.numpy().tobytes() for clip in clips}) == len(clips) == 4 * 8


def test_the_pair_looks_as_in_momentum_contrast_whatever_other_losses_there_are() -> None:
    batch = batch_of()
    config = MoCo.Config(augmentation=CONFIG.augmentation, backbone=C3DConfig(width=0.125))
    moco = config.build().make_views(replace(batch, frames_BNTHWC=batch.frames_BNTHWC[:, :2]))
    for changes in ({}, CLIP_ALONE):
        views = views_of(batch, **changes)
        assert torch.equal(views.online_BMCTHW[:, 0], moco.query_BCTHW)
        assert torch.equal(views.keys_BMCTHW[:, 0], moco.key_BCTHW)


def test_leaving_out_the_contrast_of_clips_changes_nothing_for_the_tuples() -> None:
    whole, less = views_of(batch_of()), views_of(batch_of(), clip_weight=0.0)
    assert torch.equal(whole.online_BMCTHW[:, 1:], less.online_BMCTHW)
    assert torch.equal(whole.keys_BMCTHW[:, 1:], less.keys_BMCTHW)
    assert whole.order is not None
    assert less.order is not None
    assert torch.equal(whole.order.answer_B, less.order.answer_B)


def test_the_order_is_asked_for_where_it_is_learned() -> None:
    views = views_of(batch_of(200))
    assert views.order is not None
    assert set(views.order.answer_B.tolist()) == {0, 1, 2, 3}
    assert views.order.anchor_order_BN.shape == (200, 3)
    assert views_of(batch_of(), order_weight=0.0).order is None


def test_views_depend_on_the_key_of_the_video_alone() -> None:
    """Two of six videos, in the other order and in other company, look as they did."""
    batch = batch_of()
    fields = ("frames_BNTHWC", "sizes_B2", "video_index_B", "frame_index_BNT", "keys_B")
    few = views_of(replace(batch, **{name: getattr(batch, name)[[4, 1]] for name in fields}))
    many = views_of(batch)
    for name in ("online_BMCTHW", "keys_BMCTHW", "owners_B"):
        assert torch.equal(getattr(many, name)[[4, 1]], getattr(few, name)), name
    assert many.order is not None
    assert few.order is not None
    assert torch.equal(many.order.answer_B[[4, 1]], few.order.answer_B)
    keys = replace(batch, keys_B=batch.keys_B.flip(0))
    assert not torch.equal(views_of(keys).online_BMCTHW, many.online_BMCTHW)


def test_pictures_of_different_sizes_are_seen_without_their_padding() -> None:
    batch = batch_of(2)
    frames = torch.full_like(batch.frames_BNTHWC, 255)
    frames[0, ..., 16:, :, :] = 0
    frames[0, ..., :, 16:, :] = 0
    padded = replace(batch, frames_BNTHWC=frames, sizes_B2=torch.tensor([[16, 16], [20, 20]]))
    views = views_of(padded, augmentation=STILL)
    assert views.online_BMCTHW.min() == views.keys_BMCTHW.min() == 1.0
