import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from unreel.models.c3d import C3DConfig
from unreel.models.frozen_frames import FrozenFrames
from unreel.models.resnet2d import ResNet2D

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
PLAIN = {"view_mean": (0.0, 0.0, 0.0), "view_std": (1.0, 1.0, 1.0)}


def build_small(**statistics: tuple[float, float, float]) -> FrozenFrames:
    torch.manual_seed(0)
    return FrozenFrames(ResNet2D(depth=18, width=0.125), **(PLAIN | IMAGENET | statistics))


def record_input(frozen: FrozenFrames, clips_BCTHW: Tensor, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """Return what reaches the frame network."""
    seen: list[Tensor] = []
    forward_map = frozen.backbone.forward_map
    monkeypatch.setattr(
        frozen.backbone, "forward_map", lambda clips: (seen.append(clips), forward_map(clips))[1]
    )
    frozen(clips_BCTHW)
    monkeypatch.undo()
    assert len(seen) == 1
    return seen[0]


def test_every_frame_gets_the_average_of_its_map() -> None:
    frozen = build_small()
    clips = torch.rand(2, 3, 4, 32, 32)
    features = frozen(clips)
    assert features.shape == (2, 4, frozen.num_features)
    mean, std = (torch.tensor(IMAGENET[name])[:, None, None, None] for name in ("mean", "std"))
    for row in range(2):
        for time in range(4):
            frame = ((clips[row] - mean) / std)[None, :, time : time + 1]
            expected = frozen.backbone.forward_map(frame).mean(dim=(2, 3, 4))[0]
            torch.testing.assert_close(features[row, time], expected, rtol=1e-4, atol=1e-5)


def test_shuffled_frames_have_the_shuffled_features() -> None:
    frozen = build_small()
    clips = torch.rand(2, 3, 6, 32, 32)
    order_BT = torch.tensor([[3, 0, 5, 1, 4, 2], [1, 2, 3, 4, 5, 0]])
    rows_B1 = torch.arange(2)[:, None]
    shuffled = clips.transpose(1, 2)[rows_B1, order_BT].transpose(1, 2)
    features, expected = frozen(shuffled), frozen(clips)[rows_B1, order_BT]
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-6)
    assert (frozen(clips) - expected).abs().max() > 1e-3  # the frames do differ


def test_nothing_moves_when_the_method_around_it_trains() -> None:
    method = nn.ModuleDict({"frames": build_small(), "other": nn.BatchNorm1d(3)})
    frozen = method["frames"]
    before = copy.deepcopy(frozen.state_dict())
    assert method.train()["other"].training
    assert not any(module.training for module in frozen.modules())
    clips = torch.rand(2, 3, 4, 32, 32)
    features = frozen(clips)
    assert all(torch.equal(value, before[name]) for name, value in frozen.state_dict().items())
    assert torch.equal(features, method.eval()["frames"](clips))


def test_a_network_that_was_training_is_frozen_too() -> None:
    backbone = ResNet2D(depth=18, width=0.125).train()
    frozen = FrozenFrames(backbone, **PLAIN, **IMAGENET)
    assert frozen.train() is frozen
    assert not backbone.training
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


def test_no_gradient_flows_but_what_follows_can_learn() -> None:
    frozen = build_small()
    clips = torch.rand(1, 3, 2, 32, 32, requires_grad=True)
    features = frozen(clips)
    assert not features.requires_grad
    layer = nn.Linear(frozen.num_features, 1)
    layer(features).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.any()
    assert clips.grad is None
    assert all(parameter.grad is None for parameter in frozen.parameters())


channels = st.tuples(*[st.floats(0.0, 0.7)] * 3)
spreads = st.tuples(*[st.floats(0.1, 1.0)] * 3)


@settings(max_examples=20)
@given(channels, spreads, channels, spreads)
def test_clips_are_renormalised_to_what_the_network_knows(
    view_mean: tuple[float, float, float],
    view_std: tuple[float, float, float],
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> None:
    frozen = build_small(view_mean=view_mean, view_std=view_std, mean=mean, std=std)
    pixels = torch.rand(1, 3, 1, 2, 3, dtype=torch.float64)
    view, expected = torch.empty_like(pixels), torch.empty_like(pixels)
    for color in range(3):
        view[:, color] = (pixels[:, color] - view_mean[color]) / view_std[color]
        expected[:, color] = (pixels[:, color] - mean[color]) / std[color]
    with pytest.MonkeyPatch.context() as monkeypatch:
        result = record_input(frozen, view.float(), monkeypatch)
    # 10 is the largest deviation that these statistics allow.
    torch.testing.assert_close(result.double(), expected, rtol=1e-6, atol=1e-6 * 10)


def test_plain_pixels_become_imagenets_to_the_sixth_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    # (1 - 0.485) / 0.229 = 2.2489083, (1 - 0.456) / 0.224 = 2.4285714, (1 - 0.406) / 0.225 = 2.64
    white = record_input(build_small(), torch.ones(1, 3, 1, 32, 32), monkeypatch)
    expected = torch.tensor([2.2489083, 2.4285714, 2.64])[:, None, None, None].expand_as(white[0])
    torch.testing.assert_close(white[0], expected, rtol=0, atol=1e-6)


def test_clips_that_are_as_the_network_wants_them_are_passed_on_untouched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frozen = build_small(view_mean=IMAGENET["mean"], view_std=IMAGENET["std"])
    clips = torch.rand(1, 3, 2, 32, 32)
    assert record_input(frozen, clips, monkeypatch) is clips
    assert record_input(build_small(), clips, monkeypatch) is not clips


def test_renormalising_keeps_the_order_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = torch.rand(2, 3, 4, 32, 32).to(memory_format=torch.channels_last_3d)
    seen = record_input(build_small(), clips, monkeypatch)
    assert seen.is_contiguous(memory_format=torch.channels_last_3d)


def test_autocast_stays_near_full_precision() -> None:
    frozen = build_small()
    clips = torch.rand(2, 3, 3, 32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = frozen(clips)
    assert features.shape == (2, 3, frozen.num_features)
    similarity_BT = nn.functional.cosine_similarity(features.float(), frozen(clips), dim=2)
    assert similarity_BT.min() > 0.99


def test_the_state_is_the_networks_weights_and_brings_them_back() -> None:
    frozen, clips = build_small(), torch.rand(1, 3, 2, 32, 32)
    assert frozen.state_dict().keys() == {f"backbone.{name}" for name in frozen.backbone.state_dict()}
    torch.manual_seed(1)
    other = FrozenFrames(ResNet2D(depth=18, width=0.125), **PLAIN, **IMAGENET)
    assert not torch.equal(other(clips), frozen(clips))
    other.load_state_dict(frozen.state_dict())
    assert torch.equal(other(clips), frozen(clips))


def test_a_network_that_mixes_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="must see each frame alone, got C3D; use the 2D ResNet"):
        FrozenFrames(C3DConfig(width=0.125).build(), **PLAIN, **IMAGENET)
    with pytest.raises(ValueError, match="must see each frame alone, got temporal_shift"):
        FrozenFrames(ResNet2D(depth=18, width=0.125, shift_divisor=8), **PLAIN, **IMAGENET)


@pytest.mark.parametrize("name", ["view_std", "std"])
def test_a_spread_of_zero_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must be positive, got \(1.0, 0.0, 1.0\)"):
        build_small(**{name: (1.0, 0.0, 1.0)})
