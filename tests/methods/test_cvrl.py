from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.losses.test_contrastive import scalar_info_nce
from tests.methods.batches import make_batch
from unreel.augment.compose import ClipAugmentation
from unreel.data.clips import RandomClips
from unreel.data.interval_pairs import IntervalPairs
from unreel.methods.cvrl import CVRL, CVRLViews
from unreel.methods.scvrl import SCVRL
from unreel.models.mvit import MViTConfig
from unreel.models.queue import KeyQueue
from unreel.models.resnet2d import ResNetConfig
from unreel.models.resnet3d import R3DConfig
from unreel.models.zoo import BackboneConfig

MVIT = MViTConfig(width=0.25, depths=(1, 1, 1, 1), num_frames=8, size_px=16)
R3D = R3DConfig(depth=10, width=0.125)
SIZES: dict[str, Any] = {
    "clips": RandomClips(count=2, num_frames=8),
    "augmentation": ClipAugmentation(size_px=16),
    "embedding_dim": 8,
    "hidden_dim": 16,
    "queue_length": 24,
    "shuffle_bn_group": 2,
}
CONFIG = CVRL.Config(backbone=MVIT, **SIZES)


def build(**changes: Any) -> CVRL:
    torch.manual_seed(0)
    return replace(CONFIG, **changes).build().train()


def views_of(method: CVRL, count: int = 4, **options: Any) -> CVRLViews:
    return method.make_views(make_batch(count, clips=2, frames=8, **options))


def queue_of(method: CVRL) -> KeyQueue:
    queue = method.visual.negatives.queue
    assert queue is not None
    return queue


def test_the_defaults_are_those_that_scvrl_compares_itself_with() -> None:
    """CVRL is SCVRL without shuffles: what both have is the same, but for the clips."""
    config, other = CVRL.Config(), SCVRL.Config()
    assert config.clips == IntervalPairs(num_frames=16, frame_stride=4, min_gap=1)
    assert config.temperature == other.visual_temperature == 0.1
    names = ("augmentation", "backbone", "embedding_dim", "hidden_dim", "queue_length", "momentum")
    for name in (*names, "exclude_own_keys", "shuffle_bn_group"):
        assert getattr(config, name) == getattr(other, name), name
    assert config.cautions() == ()
    assert (config.min_videos, replace(config, queue_length=0).min_videos) == (1, 2)


def test_the_loss_is_its_equation_worked_out_clip_by_clip() -> None:
    """In evaluation mode, where a clip's features do not depend on its batch."""
    method = build(backbone=R3D).eval()
    with torch.no_grad():
        for weight in method.key_encoder.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    views = views_of(method)

    def embed(network: Any, clip: torch.Tensor) -> list[float]:
        with torch.no_grad():
            values: list[float] = network.project("visual", network(clip[None]))[0].tolist()
        return values

    output = method(views)
    slow, keys = method.key_encoder.network, queue_of(method).keys_KD.tolist()
    expected = sum(
        scalar_info_nce(embed(method.online, anchor), embed(slow, key), keys, 0.1) / 4
        for anchor, key in zip(views.anchor_BCTHW, views.key_BCTHW, strict=True)
    )
    assert output.loss.item() == pytest.approx(expected, rel=1e-4)
    assert output.terms["visual"] == output.loss.detach()
    assert set(output.terms) == {"visual", "visual_accuracy"}


@pytest.mark.parametrize("backbone", [MVIT, R3D], ids=lambda config: config.architecture)
def test_cvrl_is_scvrl_without_shuffles_to_the_bit(backbone: BackboneConfig) -> None:
    """The same seed gives the same weights, views, losses, gradients and keys."""
    mine = build(backbone=backbone)
    torch.manual_seed(0)
    other = SCVRL.Config(backbone=backbone, shuffled_weight=0.0, **SIZES).build().train()
    assert list(mine.state_dict()) == list(other.state_dict())
    for step in range(2):
        losses = []
        for method in (mine, other):
            torch.manual_seed(step)  # Shuffle-BN draws from it
            method.zero_grad()
            output = method(method.make_views(make_batch(4, clips=2, frames=8, seed=step)))
            output.loss.backward()
            method.after_step(0.5)
            losses.append(output.loss.item())
        assert losses[0] == losses[1]
        for left, right in zip(mine.online.parameters(), other.online.parameters(), strict=True):
            assert left.grad is not None
            assert right.grad is not None
            assert torch.equal(left.grad, right.grad)
    for name, value in mine.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_chance_is_the_logarithm_of_one_more_than_the_queue() -> None:
    """log 65537 = 11.0904."""
    method = build(queue_length=65536)
    with torch.no_grad():
        for network in (method.online, method.key_encoder.network):
            head = network.get_submodule("heads.visual.layers.2")
            head.weight.zero_()  # type: ignore[operator]
            head.bias.copy_(torch.eye(8)[0])  # type: ignore[operator]
        queue_of(method).keys_KD.copy_(torch.eye(8)[0].expand(65536, -1))
    assert method(views_of(method)).loss.item() == pytest.approx(11.0904, abs=6e-5)


def test_keys_give_no_gradient_and_every_parameter_gets_it() -> None:
    method = build()
    views = views_of(method)
    views.anchor_BCTHW.requires_grad_()
    views.key_BCTHW.requires_grad_()
    method(views).loss.backward()
    assert views.anchor_BCTHW.grad is not None
    assert views.key_BCTHW.grad is None
    assert [n for n, p in method.named_parameters() if p.requires_grad and p.grad is None] == []
    assert not any(weight.requires_grad for weight in method.key_encoder.parameters())


def test_after_a_step_the_momentum_encoder_has_moved_and_the_keys_are_stored() -> None:
    method = build()
    slow = method.key_encoder
    before = [weight.clone() for weight in slow.parameters()]
    with torch.no_grad():
        for weight in method.online.parameters():
            weight.add_(torch.randn_like(weight))
    views = views_of(method)
    with torch.no_grad():
        key_BE = slow.network.project("visual", slow(views.key_BCTHW))  # type: ignore[operator]
    method(views)
    method.after_step(0.5)
    for old, new, now in zip(before, slow.parameters(), method.online.parameters(), strict=True):
        torch.testing.assert_close(new.double(), 0.999 * old.double() + 0.001 * now.double())
    assert queue_of(method).owners_K[:5].tolist() == [0, 1, 2, 3, -1]
    torch.testing.assert_close(queue_of(method).keys_KD[:4], F.normalize(key_BE, dim=1))


def test_networks_of_single_frames_will_do() -> None:
    method = build(backbone=ResNetConfig(depth=18, width=0.125), augmentation=ClipAugmentation(size_px=32))
    assert torch.isfinite(method(views_of(method)).loss)


def test_half_precision_ends_before_embeddings_and_losses() -> None:
    method = build()
    with torch.autocast("cpu", torch.bfloat16):
        output = method(views_of(method))
    assert output.loss.dtype == torch.float32
    output.loss.backward()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"momentum": -0.1}, r"momentum must lie in \[0, 1\]"),
        ({"queue_length": -1}, r"method.queue_length must not be negative, got -1"),
        ({"shuffle_bn_group": -1}, r"method.shuffle_bn_group must not be negative, got -1"),
        ({"clips": RandomClips(count=1)}, "must give two clips of one length"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_trained_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **changes)
