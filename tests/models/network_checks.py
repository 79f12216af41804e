"""What the tests of all backbones share: counting, recording sizes, and the properties every network has."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from unreel.models.backbone import Backbone
from unreel.models.memory_format import to_channels_last
from unreel.models.zoo import BackboneConfig


def build_on_meta(config: BackboneConfig) -> Backbone:
    """Build a network without memory for its weights, for sizes and counts."""
    with torch.device("meta"):
        return config.build()


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def record_shapes(
    backbone: Backbone, clip_shape: tuple[int, ...], names: Iterable[str]
) -> dict[str, list[int]]:
    """Run a batch through and return the output size, without the batch, of each named part."""
    shapes: dict[str, list[int]] = {}
    for name in names:
        part = backbone.get_submodule(name)
        part.register_forward_hook(
            lambda _module, _inputs, output, name=name: shapes.__setitem__(name, list(output.shape[1:]))
        )
    backbone.forward_map(torch.empty(clip_shape, device=next(backbone.parameters()).device))
    return shapes


def check_gradient_reaches_every_parameter(backbone: Backbone, clips_BCTHW: Tensor) -> None:
    frames_BTD, video_BD = backbone.forward_frames_and_video(clips_BCTHW)
    (video_BD.square().sum() + frames_BTD.square().sum()).backward()
    for name, parameter in backbone.named_parameters():
        assert parameter.grad is not None, name
        # A bias before batch normalisation is taken away again: its gradient is rounding, or nothing.
        assert parameter.grad.any() or name.endswith("conv.bias"), name


def check_channels_last_agrees(backbone: Backbone, clips_BCTHW: Tensor) -> None:
    backbone.eval()
    with torch.no_grad():
        expected = backbone.forward_map(clips_BCTHW)
        to_channels_last(backbone)
        result = backbone.forward_map(clips_BCTHW.to(memory_format=torch.channels_last_3d))
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)


def check_autocast_runs(backbone: Backbone, clips_BCTHW: Tensor) -> None:
    """A pass in bfloat16 gives finite gradients, and features near those of full precision.

    On CPUs with bfloat16 instructions, oneDNN 3.12 returns arbitrary weight gradients where a kernel of 3
    runs with stride 1 over exactly 2 frames, so the clip must not shrink to 2 frames on its way.
    """
    backbone.eval()
    expected = backbone(clips_BCTHW)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = backbone(clips_BCTHW)
    result.float().square().sum().backward()
    assert torch.nn.functional.cosine_similarity(result.float(), expected).min() > 0.99
    assert all(bool(p.grad.isfinite().all()) for p in backbone.parameters() if p.grad is not None)
    assert next(backbone.parameters()).dtype == torch.float32
