import math
from dataclasses import replace
from typing import Literal

import pytest
import torch

from tests.methods.batches import make_batch
from unreel.augment.compose import ClipAugmentation
from unreel.data.clips import FramePerPart, GridFrames, RandomClips
from unreel.losses.contrastive import info_nce
from unreel.methods.moco import MoCo
from unreel.models.c3d import C3DConfig
from unreel.models.resnet2d import ResNetConfig
from unreel.models.resnet3d import R3DConfig

CONFIG = MoCo.Config(
    clips=RandomClips(count=1, num_frames=4),
    augmentation=ClipAugmentation(size_px=16),
    backbone=R3DConfig(depth=10, width=0.125),
    embedding_dim=8,
    queue_length=12,
    shuffle_bn_group=2,
)


def build(config: MoCo.Config = CONFIG) -> MoCo:
    torch.manual_seed(0)
    return config.build()


def test_the_defaults_are_those_of_the_paper() -> None:
    config = MoCo.Config()
    assert (config.queue_length, config.temperature, config.momentum) == (6400, 0.07, 0.999)
    assert (config.embedding_dim, config.hidden_dim) == (128, 0)
    assert (config.clips.num_frames, config.clips.frame_stride, config.clips.count) == (16, 2, 1)
    assert config.augmentation.size_px == 112


def test_one_clip_gives_two_different_views_of_itself() -> None:
    method = build(replace(CONFIG, augmentation=ClipAugmentation(size_px=16, jitter_prob=0.0, blur_prob=0.0)))
    batch = make_batch()
    views = method.make_views(batch)
    assert views.query_BCTHW.shape == views.key_BCTHW.shape == (4, 3, 4, 16, 16)
    assert not torch.equal(views.query_BCTHW, views.key_BCTHW)
    assert views.owners_B.tolist() == [0, 1, 2, 3]


def test_two_clips_give_one_view_each() -> None:
    still = ClipAugmentation(
        crop="center", size_px=16, flip_prob=0.0, jitter_prob=0.0, grayscale_prob=0.0, blur_prob=0.0
    )
    method = build(replace(CONFIG, clips=RandomClips(count=2, num_frames=4), augmentation=still))
    batch = make_batch(clips=2)
    views = method.make_views(batch)
    middle = batch.frames_BNTHWC[:, :, :, 2:18, 2:18].permute(0, 1, 5, 2, 3, 4) / 255
    torch.testing.assert_close(views.query_BCTHW, middle[:, 0])
    torch.testing.assert_close(views.key_BCTHW, middle[:, 1])


def test_views_depend_on_the_key_of_the_video_alone() -> None:
    method = build()
    batch = make_batch()
    views, again = method.make_views(batch), method.make_views(batch)
    assert torch.equal(views.query_BCTHW, again.query_BCTHW)
    other = method.make_views(replace(batch, keys_B=batch.keys_B + 1))
    assert not torch.equal(views.query_BCTHW, other.query_BCTHW)


def test_the_loss_is_info_nce_of_queries_keys_and_queue() -> None:
    method = build(replace(CONFIG, shuffle_bn_group=0)).train()
    views = method.make_views(make_batch())
    output = method(views)
    method_again = build(replace(CONFIG, shuffle_bn_group=0)).train()
    query, key = method_again.online(views.query_BCTHW), method_again.key_encoder(views.key_BCTHW)
    expected = info_nce(query, key, method_again.queue.keys_KD, temperature=0.07)
    assert output.loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert output.terms["contrast"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_first_loss_is_near_chance() -> None:
    losses = []
    for seed in range(8):
        torch.manual_seed(seed)
        method = replace(CONFIG, queue_length=64, temperature=1.0, embedding_dim=32).build().train()
        losses.append(method(method.make_views(make_batch(seed=seed))).loss.item())
    # Positives start alike (same clip and weights): the loss lies at most 2 / tau below log(1 + K) = 4.174.
    assert math.log(65) - 2 < sum(losses) / len(losses) < math.log(65)


def test_gradient_reaches_the_online_network_and_nothing_else() -> None:
    method = build().train()
    method(method.make_views(make_batch())).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in method.online.parameters())
    assert all(p.grad is None for p in method.key_encoder.parameters())


def test_after_a_step_the_keys_move_and_the_queue_takes_the_batch() -> None:
    method = build().train()
    before = [p.clone() for p in method.key_encoder.parameters()]
    queue_before = method.queue.keys_KD.clone()
    method(method.make_views(make_batch())).loss.backward()
    assert torch.equal(method.queue.keys_KD, queue_before)  # the loss of a step never sees its own keys
    with torch.no_grad():
        for parameter in method.online.parameters():
            parameter.add_(1.0)
    method.after_step(0.5)
    for old, new, online in zip(
        before, method.key_encoder.parameters(), method.online.parameters(), strict=True
    ):
        torch.testing.assert_close(new, 0.999 * old + 0.001 * online)
    assert method.queue.position.item() == 4
    assert method.queue.owners_K[:5].tolist() == [0, 1, 2, 3, -1]
    assert torch.equal(method.queue.keys_KD[4:], queue_before[4:])


def test_every_part_of_an_accumulated_batch_enters_the_queue() -> None:
    method = build().train()
    for first_video in (0, 4):
        method(method.make_views(make_batch(first_video=first_video))).loss.backward()
    method.after_step(0.5)
    assert method.queue.owners_K[:8].tolist() == list(range(8))
    method.after_step(0.6)
    assert method.queue.position.item() == 8


@pytest.mark.parametrize(("exclude", "is_lower"), [(True, True), (False, False)])
def test_a_video_that_comes_round_again_is_not_its_own_negative(exclude: bool, is_lower: bool) -> None:
    method = build(
        replace(CONFIG, queue_length=4, exclude_own_keys=exclude, shuffle_bn_group=0, momentum=1.0)
    ).train()
    views = method.make_views(make_batch(batch=4))
    # one video in the batch, four times its key in the queue
    one = replace(views, owners_B=torch.zeros(4, dtype=torch.long))
    method(one)
    method.after_step(0.5)
    assert (method(one).loss.item() == 0.0) is is_lower


def test_frames_as_instances_are_told_apart_within_a_video() -> None:
    """Owners of (video 5, frame 30), (5, 40), (5, 30) and (6, 30): the first and the third are the same."""
    method = build(replace(CONFIG, clips=GridFrames(count=1), instance="frame"))
    batch = replace(
        make_batch(frames=1),
        video_index_B=torch.tensor([5, 5, 5, 6]),
        frame_index_BNT=torch.tensor([30, 40, 30, 30]).view(4, 1, 1),
    )
    owners = method.make_views(batch).owners_B
    assert owners.dtype == torch.int64
    is_same = owners[:, None] == owners[None, :]
    assert is_same.tolist() == [
        [True, False, True, False],
        [False, True, False, False],
        [True, False, True, False],
        [False, False, False, True],
    ]
    videos = build(replace(CONFIG, clips=GridFrames(count=1))).make_views(batch).owners_B
    assert videos.tolist() == [5, 5, 5, 6]


def test_no_two_frames_of_a_large_corpus_share_an_owner() -> None:
    # The last frame that a 32-bit number can tell, in one video, and the first frame of the next video.
    method = build(replace(CONFIG, instance="frame"))
    batch = replace(
        make_batch(),
        video_index_B=torch.tensor([0, 1, 99_999_999, 100_000_000]),
        frame_index_BNT=torch.tensor([2**32 - 1, 0, 2**32 - 1, 0]).view(4, 1, 1).expand(4, 1, 4),
    )
    owners = method.make_views(batch).owners_B.tolist()
    assert owners == [2**32 - 1, 2**32, 99_999_999 * 2**32 + 2**32 - 1, 100_000_000 * 2**32]


@pytest.mark.parametrize(("instance", "is_own"), [("video", True), ("frame", False)])
def test_another_frame_of_the_video_is_a_negative_only_where_frames_are_instances(
    instance: Literal["video", "frame"], is_own: bool
) -> None:
    method = build(replace(CONFIG, queue_length=4, instance=instance, shuffle_bn_group=0)).train()
    batch = replace(make_batch(), video_index_B=torch.zeros(4, dtype=torch.long))
    later = replace(batch, frame_index_BNT=batch.frame_index_BNT + 10)
    method(method.make_views(batch))
    method.after_step(0.5)
    assert method(method.make_views(batch)).loss.item() == 0.0  # the queue holds nothing but this frame
    assert (method(method.make_views(later)).loss.item() == 0.0) is is_own


def test_two_views_of_one_frame_train_a_2d_network() -> None:
    config = replace(
        CONFIG,
        clips=GridFrames(count=1),
        instance="frame",
        backbone=ResNetConfig(depth=18, width=0.125),
        augmentation=ClipAugmentation(size_px=32),
    )
    method = build(config).train()
    views = method.make_views(make_batch(frames=1, size=36))
    assert views.query_BCTHW.shape == (4, 3, 1, 32, 32)
    output = method(views)
    output.loss.backward()
    assert torch.isfinite(output.loss)
    assert all(p.grad is not None for p in method.online.parameters())


def test_without_queue_both_views_contrast_both_ways_in_the_batch() -> None:
    config = replace(CONFIG, queue_length=0, temperature=0.2)
    method = build(config).train()
    views = method.make_views(make_batch())
    output = method(views)
    query, key = (
        torch.nn.functional.normalize(half, dim=1)
        for half in build(config).train().online(torch.cat([views.query_BCTHW, views.key_BCTHW])).chunk(2)
    )
    expected = 0.0
    for left, right in ((query, key), (key, query)):
        for row in range(4):
            similarities = [(left[row] @ right[other]).item() / 0.2 for other in range(4)]
            total = sum(math.exp(value) for value in similarities)
            expected -= math.log(math.exp(similarities[row]) / total) / 8
    assert output.loss.item() == pytest.approx(expected, rel=1e-4)
    assert not hasattr(method, "key_encoder")
    output.loss.backward()
    method.after_step(1.0)


@pytest.mark.parametrize(
    "backbone", [C3DConfig(width=0.125), ResNetConfig(depth=18, width=0.125)], ids=["c3d", "resnet"]
)
def test_any_backbone_will_do(backbone: C3DConfig | ResNetConfig) -> None:
    config = replace(CONFIG, backbone=backbone, augmentation=ClipAugmentation(size_px=32))
    method = build(config).train()
    output = method(method.make_views(make_batch(frames=8, size=36)))
    output.loss.backward()
    assert torch.isfinite(output.loss)


def test_clips_that_no_encoder_could_be_fed_or_of_two_first_frames_are_refused() -> None:
    with pytest.raises(ValueError, match=r"method.clips must be RandomClips or GridFrames, got FramePerPart"):
        replace(CONFIG, clips=FramePerPart())
    with pytest.raises(ValueError, match=r"count must be 1 where method.instance is 'frame', got 2"):
        replace(CONFIG, clips=GridFrames(count=2), instance="frame")
    assert replace(CONFIG, clips=GridFrames(count=2)).clips.num_clips == 2


def test_more_than_two_clips_are_refused() -> None:
    with pytest.raises(ValueError, match=r"method.clips.count must be 1 or 2, got 3"):
        replace(CONFIG, clips=RandomClips(count=3))


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("temperature", 0.0, "temperature must be positive, got 0"),
        ("momentum", 2.0, r"method.momentum must lie in \[0, 1\], got 2.0"),
        ("queue_length", -1, "must not be negative, got -1 and 2"),
        ("shuffle_bn_group", -1, "must not be negative, got 12 and -1"),
    ],
)
def test_settings_out_of_range_are_refused_before_anything_is_built(
    setting: str, value: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **{setting: value})
