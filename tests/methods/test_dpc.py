import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.methods.batches import make_batch
from unreel.augment.compose import ClipAugmentation
from unreel.data.batch import VideoBatch
from unreel.data.block_clips import BlockClips
from unreel.methods.dpc import DPC
from unreel.models.mvit import MViTConfig
from unreel.models.r2d3d import R2D3DConfig
from unreel.models.r3d_50 import R3D50Config
from unreel.models.r3d_plus1 import R3DPlus1Config
from unreel.models.resnet2d import ResNetConfig
from unreel.models.resnet3d import R3DConfig
from unreel.models.zoo import BackboneConfig

DEFAULT = DPC.Config()
CONFIG = replace(
    DEFAULT,
    clips=BlockClips(num_blocks=4, num_frames=3, frame_stride=1),
    augmentation=replace(DEFAULT.augmentation, size_px=32),
    backbone=R2D3DConfig(width=0.125),
    num_predicted=2,
    dropout_prob=0.0,
)


def build(**changes: Any) -> DPC:
    torch.manual_seed(0)
    return replace(CONFIG, **changes).build().train()


def batch_of(count: int = 4, **options: Any) -> VideoBatch:
    return make_batch(count, clips=4, frames=3, size=36, **options)


def test_the_defaults_are_those_of_the_released_code() -> None:
    assert DEFAULT.clips == BlockClips(num_blocks=8, num_frames=5, frame_stride=3)
    assert (DEFAULT.num_predicted, DEFAULT.dropout_prob, DEFAULT.color_draws) == (3, 0.1, "frame")
    assert DEFAULT.backbone == R2D3DConfig()
    assert DEFAULT.augmentation.size_px == 128


def test_network_and_predictor_have_the_size_counted_by_hand() -> None:
    """14,057,536 of the backbone, three gates of 131,328 and two layers of 65,792."""
    with torch.device("meta"):
        method = DEFAULT.build()
    total = 14_057_536 + 3 * 131_328 + 2 * 65_792
    assert sum(parameter.numel() for parameter in method.parameters()) == total == 14_583_104


def test_a_network_whose_features_are_not_the_average_of_its_map_is_refused() -> None:
    """What DPC trains and what the encoder gives out would be two things."""
    with pytest.raises(ValueError, match=r"MViT\) has a class token .* --method.backbone.pooling average"):
        build(backbone=MViTConfig(width=0.125, depths=(1, 1, 1, 1), size_px=32))
    build(backbone=MViTConfig(width=0.125, depths=(1, 1, 1, 1), size_px=32, pooling="average"))


def test_the_published_input_gives_128_videos_3_steps_and_16_places_to_tell_apart() -> None:
    with torch.device("meta"):
        method = DEFAULT.build()
        maps = method.backbone.forward_map(torch.empty(2, 3, 5, 128, 128))
    assert maps.shape == (2, 256, 2, 4, 4)
    assert math.log(128 * 3 * 4 * 4) == pytest.approx(8.7232, abs=5e-5)


def test_a_predictor_that_knows_nothing_is_at_chance() -> None:
    """It says zero, so all similarities are equal: 4 videos, 2 steps, and of 64 pixels 2 x 2 places."""
    method = build(augmentation=replace(CONFIG.augmentation, size_px=64))
    last = method.dense.predictor.next_map[-1]
    with torch.no_grad():
        for weight in last.parameters():
            weight.zero_()
    output = method(method.make_views(batch_of()))
    assert output.loss.item() == pytest.approx(math.log(4 * 2 * 2 * 2), rel=1e-6)


def test_blocks_go_through_the_network_in_one_pass_and_come_back_in_order() -> None:
    method = build().eval()
    views = method.make_views(batch_of())
    assert views.shape == (4, 4, 3, 3, 32, 32)
    passes: list[Tensor] = []
    method.dense.register_forward_pre_hook(lambda _module, inputs: passes.append(inputs[0]))
    output = method(views)
    assert len(passes) == 1
    for row in range(4):
        for block in range(4):
            alone = method.backbone.forward_map(views[row, block][None])[0]
            torch.testing.assert_close(passes[0][row, block], alone, rtol=1e-4, atol=1e-5)
    assert set(output.terms) == {"dense", "dense_accuracy", "right_video", "right_step", "right_place"}
    assert output.terms["dense"].item() == output.loss.item()


def test_later_blocks_change_targets_and_not_predictions() -> None:
    method = build().eval()
    views = method.make_views(batch_of())
    predicted: list[Tensor] = []
    method.dense.predictor.register_forward_hook(lambda *args: predicted.append(args[2]))
    first = method(views).loss
    changed = views.clone()
    changed[:, 2:] += 1
    second = method(changed).loss
    torch.testing.assert_close(predicted[0], predicted[1])
    assert first.item() != pytest.approx(second.item(), rel=1e-3)


def test_gradient_reaches_every_weight_through_what_is_seen_and_what_is_predicted() -> None:
    method = build()
    views = method.make_views(batch_of()).requires_grad_()
    method(views).loss.backward()
    for name, parameter in method.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
    assert views.grad is not None
    assert (views.grad.abs().sum(dim=(0, 2, 3, 4, 5)) > 0).all()


def test_dropout_acts_in_training_alone() -> None:
    method = build(dropout_prob=0.5)
    views = method.make_views(batch_of())
    one, two = method(views).loss.item(), method(views).loss.item()
    assert one != pytest.approx(two, rel=1e-4)
    method.eval()
    assert method(views).loss.item() == method(views).loss.item()


@pytest.mark.parametrize(
    ("backbone", "num_places"),
    [
        (R3DConfig(depth=10, width=0.125), 4),
        (R3D50Config(width=0.125), 1),
        (R3DPlus1Config(width=0.125), 4),
    ],
    ids=["R3D", "R3D50", "R3DPlus1"],
)
def test_any_3d_network_will_do_with_as_many_places_as_its_map_has(
    backbone: BackboneConfig, num_places: int
) -> None:
    method = build(backbone=backbone)
    targets: list[Tensor] = []
    method.dense.predictor.register_forward_hook(lambda *args: targets.append(args[2]))
    output = method(method.make_views(batch_of()))
    assert targets[0].flatten(3).shape[3] == num_places
    assert torch.isfinite(output.loss)


def test_a_single_video_still_has_its_own_steps_to_tell_apart() -> None:
    assert CONFIG.min_videos == 1
    method = build().eval()
    assert torch.isfinite(method(method.make_views(batch_of(1))).loss)


def test_two_steps_of_one_seed_agree_to_the_bit_and_nothing_is_kept_between_them() -> None:
    losses = []
    for _ in range(2):
        method = build(dropout_prob=0.1)
        torch.manual_seed(3)
        losses.append(method(method.make_views(batch_of())).loss.item())
        names = set(method.state_dict())
        method.after_step(0.5)
        assert set(method.state_dict()) == names
    assert losses[0] == losses[1]


def test_half_precision_ends_before_the_loss() -> None:
    method = build().eval()
    views = method.make_views(batch_of())
    exact = method(views)
    with torch.autocast("cpu", torch.bfloat16):
        output = method(views)
    assert {value.dtype for value in (output.loss, *output.terms.values())} == {torch.float32}
    assert output.loss.item() == pytest.approx(exact.loss.item(), rel=0.05)


def test_settings_that_predict_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="num_predicted must lie between 1 and 7, got 8"):
        DPC.Config(num_predicted=8)
    with pytest.raises(ValueError, match="dropout_prob"):
        DPC.Config(dropout_prob=1.0)
    with pytest.raises(ValueError, match="backbone must see clips, got ResNetConfig"):
        DPC.Config(backbone=ResNetConfig())


def striped(batch: VideoBatch, colors: Tensor) -> VideoBatch:
    """Give every video four quarters of its own colours, and a little noise."""
    height, width = batch.frames_BNTHWC.shape[3:5]
    rows = torch.arange(height) * 2 // height
    cols = torch.arange(width) * 2 // width
    picture = colors[:, rows[:, None], cols[None, :]][:, None, None]
    return replace(batch, frames_BNTHWC=(picture + batch.frames_BNTHWC % 24).to(torch.uint8))


def test_a_tiny_network_learns_what_comes_next() -> None:
    """Eight videos that stand still: 25 steps bring the loss far below chance, log(8 * 2 * 4) = 4.16."""
    still = ClipAugmentation.only_crop(64, mean=(0.5,) * 3, std=(0.25,) * 3)
    method = build(augmentation=still, dropout_prob=0.1)
    optimizer = torch.optim.AdamW(method.parameters(), lr=2e-3)
    colors = torch.randint(0, 230, (8, 2, 2, 3), generator=torch.Generator().manual_seed(1))
    losses, output = [], None
    for step in range(25):
        batch = striped(make_batch(8, clips=4, frames=1, size=64, seed=step), colors)
        output = method(method.make_views(batch))
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        losses.append(output.loss.item())
    assert output is not None
    # Which of the two steps it is cannot be told, as nothing moves: log 2 = 0.69 is the least there is.
    assert losses[-1] < 0.5 * math.log(8 * 2 * 4)
    assert output.terms["right_video"] > 0.8
    assert output.terms["right_place"] > 0.6


@pytest.mark.gpu
def test_a_step_on_a_gpu_agrees_with_the_cpu() -> None:
    expected = build()(build().make_views(batch_of()))
    method = build().cuda()
    views = method.make_views(batch_of().to(torch.device("cuda")))
    with torch.autocast("cuda", torch.bfloat16):
        output = method(views)
    output.loss.backward()
    assert output.loss.dtype == torch.float32
    assert output.loss.item() == pytest.approx(expected.loss.item(), rel=0.1)
