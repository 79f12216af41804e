import math
from dataclasses import replace

import pytest
import torch

from tests.methods.batches import make_batch
from unreel.data.clips import FramePerPart
from unreel.losses.cycle import cycle_losses, frame_diversity_penalty
from unreel.methods.ccl import CCL
from unreel.models.c3d import C3DConfig
from unreel.models.r3d_plus1 import R3DPlus1Config

DEFAULT = CCL.Config()
CONFIG = replace(
    DEFAULT,
    clips=FramePerPart(num_frames=4, span_frames=16),
    augmentation=replace(DEFAULT.augmentation, size_px=16),
    backbone=R3DPlus1Config(width=0.125),
    embedding_dim=8,
    hidden_dim=8,
)


def build(config: CCL.Config = CONFIG) -> CCL:
    torch.manual_seed(0)
    return config.build().train()


def test_the_defaults_are_those_of_the_paper() -> None:
    assert (DEFAULT.forward_weight, DEFAULT.backward_weight, DEFAULT.penalty_weight) == (0.2, 0.2, 0.4)
    assert (DEFAULT.temperature, DEFAULT.frame_temperature, DEFAULT.video_temperature) == (1.0, 1.0, 1.0)
    assert (DEFAULT.clips.num_frames, DEFAULT.clips.span_frames, DEFAULT.clips.jitter) == (8, 64, True)
    augmentation = DEFAULT.augmentation
    assert (augmentation.crop, augmentation.size_px, augmentation.flip_prob) == ("random", 112, 0.0)
    assert (augmentation.jitter_prob, augmentation.grayscale_prob, augmentation.blur_prob) == (0.0, 0.0, 0.0)


def test_network_and_head_have_the_published_size() -> None:
    with torch.device("meta"):
        method = DEFAULT.build()
    assert sum(p.numel() for p in method.parameters()) == 12_128_192


def test_the_loss_is_the_weighted_sum_of_the_three_terms() -> None:
    method = build()
    views = method.make_views(make_batch())
    assert views.shape == (4, 3, 4, 16, 16)
    output = method(views)
    again = build()
    frames, videos = (again.head(features) for features in again.backbone.forward_frames_and_video(views))
    cycle = cycle_losses(videos, videos, frames)
    penalty = frame_diversity_penalty(frames)
    expected = 0.2 * cycle.forward + 0.2 * cycle.backward + 0.4 * penalty
    assert output.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert output.terms["penalty"].item() == pytest.approx(penalty.item(), rel=1e-5)
    assert set(output.terms) == {"forward", "backward", "penalty", "cycle_consistency"}


def test_the_losses_start_inside_their_bands() -> None:
    terms = build()(build().make_views(make_batch())).terms
    assert terms["forward"].item() == pytest.approx(math.log(16), abs=0.5)
    assert terms["backward"].item() == pytest.approx(math.log(4), abs=0.5)
    assert 0.0 <= terms["penalty"].item() <= 12.0
    assert 0.0 <= terms["cycle_consistency"].item() <= 1.0


@pytest.mark.parametrize("term", ["forward", "backward", "penalty"])
def test_each_term_can_be_switched_off(term: str) -> None:
    whole, without = build(), build(replace(CONFIG, **{f"{term}_weight": 0.0}))
    views = whole.make_views(make_batch())
    difference = whole(views).loss - without(views).loss
    weight = {"forward": 0.2, "backward": 0.2, "penalty": 0.4}[term]
    assert difference.item() == pytest.approx(weight * whole(views).terms[term].item(), rel=1e-3, abs=1e-5)


def test_gradient_reaches_every_weight() -> None:
    method = build()
    method(method.make_views(make_batch())).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in method.parameters())


def test_the_baseline_pulls_videos_to_their_frames_only() -> None:
    method = build(replace(CONFIG, objective="mse", forward_weight=0.0, backward_weight=0.0))
    views = method.make_views(make_batch())
    output = method(views)
    frames, videos = (build().head(features) for features in build().backbone.forward_frames_and_video(views))
    expected = sum(
        ((video - frame) ** 2).sum().item()
        for video, own in zip(videos, frames, strict=True)
        for frame in own
    )
    assert output.loss.item() == pytest.approx(expected / 4, rel=1e-4)
    assert set(output.terms) == {"mse"}


def test_options_of_the_penalty_change_it_as_said() -> None:
    views = build().make_views(make_batch())
    plain = build()(views).terms["penalty"].item()
    averaged = build(replace(CONFIG, penalty_scale="mean"))(views).terms["penalty"].item()
    raw = build(replace(CONFIG, penalty_rows="raw"))(views).terms["penalty"].item()
    assert averaged == pytest.approx(plain / 16, rel=1e-5)
    assert raw != pytest.approx(plain, rel=1e-3)


def test_any_backbone_gives_the_positions_of_its_last_map_as_frames() -> None:
    config = replace(
        CONFIG,
        backbone=C3DConfig(width=0.125),
        clips=FramePerPart(num_frames=16),
        augmentation=replace(CONFIG.augmentation, size_px=32),
    )
    method = build(config)
    output = method(method.make_views(make_batch(frames=16, size=36)))
    # C3D leaves 2 of 16 positions: chance of the forward loss is log(4 * 2)
    assert output.terms["forward"].item() == pytest.approx(math.log(8), abs=0.5)


def test_a_cycle_without_any_contrast_is_refused() -> None:
    with pytest.raises(ValueError, match="both 0, so nothing ties a video to its frames"):
        replace(CONFIG, forward_weight=0.0, backward_weight=0.0)
    with pytest.raises(ValueError, match=r"method.clips.count must be 1, got 2"):
        replace(CONFIG, clips=FramePerPart(count=2))
    with pytest.raises(ValueError, match="temperature must be positive, got 0"):
        replace(CONFIG, video_temperature=0.0)


def test_nothing_changes_after_a_step() -> None:
    method = build()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    method.after_step(1.0)
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
