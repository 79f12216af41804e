import math
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.models.network_checks import (
    build_on_meta,
    check_gradient_reaches_every_parameter,
    count_parameters,
    record_shapes,
)
from unreel.models.initialization import init_convs_kaiming
from unreel.models.s3d import S3D, InceptionBlock, S3DConfig, SeparableConv, Variant
from unreel.models.torchvision_names import to_torchvision
from unreel.models.weights import load_backbone_weights


def test_the_published_network_has_7910048_parameters() -> None:
    # torchvision's s3d has 8 320 048, of them 1024 * 400 + 400 in its 400-way classifier.
    assert count_parameters(build_on_meta(S3DConfig())) == 8_320_048 - (1024 * 400 + 400) == 7_910_048


def test_every_stage_has_the_published_size() -> None:
    expected = {
        "conv1": [64, 16, 64, 64],
        "pool2": [64, 16, 32, 32],
        "conv2b": [64, 16, 32, 32],
        "conv2c": [192, 16, 32, 32],
        "pool3": [192, 16, 16, 16],
        "mixed3.0": [256, 16, 16, 16],
        "mixed3": [480, 16, 16, 16],
        "pool4": [480, 8, 8, 8],
        "mixed4.0": [512, 8, 8, 8],
        "mixed4.3": [528, 8, 8, 8],
        "mixed4": [832, 8, 8, 8],
        "pool5": [832, 4, 4, 4],
        "mixed5.0": [832, 4, 4, 4],
        "mixed5": [1024, 4, 4, 4],
    }
    backbone = build_on_meta(S3DConfig())
    assert record_shapes(backbone, (2, 3, 32, 128, 128), expected) == expected
    assert backbone.num_features == 1024


def test_a_clip_of_64_frames_and_224_pixels_gives_the_map_of_the_paper() -> None:
    backbone = build_on_meta(S3DConfig())
    assert backbone.forward_map(torch.empty(1, 3, 64, 224, 224, device="meta")).shape == (1, 1024, 8, 7, 7)


def test_a_separable_convolution_looks_at_space_first_and_time_second() -> None:
    conv = SeparableConv(2, 3, 5, stride=2).eval()
    assert [part.conv.kernel_size for part in conv] == [(1, 5, 5), (5, 1, 1)]
    assert [part.conv.stride for part in conv] == [(1, 2, 2), (2, 1, 1)]
    x = torch.randn(1, 2, 6, 9, 9)
    between = conv.spatial.norm(conv.spatial.conv(x)).relu()
    result = conv.temporal.norm(conv.temporal.conv(between)).relu()
    assert result.shape == (1, 3, 3, 5, 5)
    torch.testing.assert_close(conv(x), result)


def test_a_block_is_four_ways_in_order() -> None:
    torch.manual_seed(0)
    block = InceptionBlock(8, (1, 2, 3, 4, 5, 6)).eval()
    assert block.out_channels == 1 + 3 + 5 + 6
    x = torch.randn(2, 8, 3, 4, 4)
    result = block(x)
    assert result.shape == (2, 15, 3, 4, 4)
    torch.testing.assert_close(result[:, :1], block.branch0(x))
    torch.testing.assert_close(result[:, 1:4], block.branch1.separable(block.branch1.reduce(x)))
    torch.testing.assert_close(result[:, 4:9], block.branch2.separable(block.branch2.reduce(x)))
    pooled = nn.functional.max_pool3d(x, 3, stride=1, padding=1)
    torch.testing.assert_close(result[:, 9:], block.branch3.project(pooled))


def test_every_convolution_is_normalised_and_none_has_a_bias() -> None:
    network = S3D(width=0.125)
    convs = [module for module in network.modules() if isinstance(module, nn.Conv3d)]
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
    # conv1 and conv2c are two each, conv2b one; a block has 4 simple ones and 2 that are two each.
    assert len(convs) == len(norms) == 5 + 9 * 8
    assert all(conv.bias is None for conv in convs)


def test_weights_start_normal_with_a_deviation_of_a_hundredth() -> None:
    torch.manual_seed(0)
    network = S3D(width=0.25)
    convs = [module for module in network.modules() if isinstance(module, nn.Conv3d)]
    assert len(convs) == 77
    for conv in convs:
        # Four deviations of the estimate, which is the true one over the root of twice the number of draws.
        tolerance = 4 / math.sqrt(2 * conv.weight.numel())
        assert math.isclose(conv.weight.std().item(), 0.01, rel_tol=tolerance)
    weights = torch.cat([conv.weight.flatten() for conv in convs])
    # Of a normal distribution 4.55 % lie beyond two deviations, of PyTorch's uniform one none.
    assert math.isclose((weights.abs() > 0.02).float().mean().item(), 0.0455, rel_tol=0.05)
    assert abs(weights.mean().item()) < 1e-4


def test_the_variants_differ_in_normalisation_and_fresh_weights_alone() -> None:
    coclr, torchvision = S3DConfig(width=0.125).build(), S3DConfig(variant="torchvision", width=0.125).build()
    for network, eps, momentum in ((coclr, 1e-5, 0.1), (torchvision, 1e-3, 1e-3)):
        norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
        assert {(norm.eps, norm.momentum) for norm in norms} == {(eps, momentum)}
    # PyTorch draws uniformly up to 1 / sqrt(fan_in): 8 channels of 3 positions give 0.2.
    assert torchvision.conv1.temporal.conv.weight.abs().max() > 0.1
    init_convs_kaiming(coclr)  # large enough to give features without statistics of any clip
    clips = torch.randn(2, 3, 8, 24, 24)
    torchvision.load_state_dict(coclr.state_dict(), strict=True)
    features = coclr.eval()(clips)
    assert not torch.allclose(torchvision.eval()(clips), features, rtol=1e-3)
    for module in torchvision.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.eps = 1e-5
    torch.testing.assert_close(torchvision(clips), features)


def test_width_scales_every_layer_to_multiples_of_8() -> None:
    network = S3DConfig(width=0.5).build()
    assert network.conv1.temporal.conv.out_channels == 32
    assert network.conv2c.temporal.conv.out_channels == 96
    # Half of 64, 96, 128, 16, 32, 32.
    block = network.mixed3[0]
    convs = [module for module in block.modules() if isinstance(module, nn.Conv3d)]
    assert [conv.out_channels for conv in convs] == [32, 48, 64, 64, 8, 16, 16, 16]
    assert network.num_features == 512
    # A block whose widths round up is wider than its share: 16 / 8 = 2 becomes 8.
    assert S3DConfig(width=0.125).build().mixed3[0].branch2.reduce.conv.out_channels == 8


def test_features_are_the_average_of_the_last_map_and_not_negative() -> None:
    network = S3D(width=0.125)
    clips = torch.randn(2, 3, 16, 64, 64)
    init_convs_kaiming(network)
    network.eval()
    last_map = network.forward_map(clips)
    assert last_map.shape == (2, network.num_features, 2, 2, 2)
    assert last_map.min() >= 0
    assert last_map.max() > 0.1
    torch.testing.assert_close(network(clips), last_map.flatten(2).mean(2))


def test_the_smallest_clip_gives_one_position() -> None:
    assert S3D(width=0.125).eval().forward_map(torch.randn(1, 3, 8, 17, 17)).shape[2:] == (1, 1, 1)


@pytest.mark.parametrize("size", [(7, 17, 17), (8, 16, 17), (8, 17, 16)])
def test_a_clip_that_is_too_small_is_refused(size: tuple[int, int, int]) -> None:
    wanted = rf"at least 8 frames and 17x17 pixels, got {size[0]} frames of {size[1]}x{size[2]}"
    with pytest.raises(ValueError, match=wanted):
        S3D(width=0.125).forward_map(torch.randn(1, 3, *size))


def test_a_file_in_torchvisions_names_fills_the_network(tmp_path: Path) -> None:
    source, target = S3D(width=0.125), S3D(width=0.125)
    clips = torch.randn(2, 3, 8, 32, 32)
    init_convs_kaiming(source)
    source(clips)  # in training mode: its statistics are then not those of a fresh network
    head = {"classifier.1.weight": torch.zeros(400, source.num_features, 1, 1, 1)}
    torch.save(to_torchvision(source) | head, tmp_path / "s3d.pth")
    report = load_backbone_weights(target, tmp_path / "s3d.pth", min_share=1.0)
    assert (report.naming, report.prefix, report.share_loaded) == ("torchvision", "", 1.0)
    assert report.ignored_heads == tuple(head)
    assert (report.missing, report.mismatched, report.unexpected) == ((), (), ())
    features = source.eval()(clips)
    assert features.max() > 0.1
    assert torch.equal(target.eval()(clips), features)
    counters = [name for name in source.state_dict() if name.endswith("num_batches_tracked")]
    assert all(target.state_dict()[name] == 1 for name in counters)


@pytest.mark.parametrize("variant", ["coclr", "torchvision"])
def test_gradient_of_fresh_weights_reaches_every_parameter(variant: Variant) -> None:
    torch.manual_seed(0)
    network = S3D(variant=variant, width=0.125)
    check_gradient_reaches_every_parameter(network, torch.randn(2, 3, 16, 64, 64))
    squares = {name: weight.grad.square().sum() for name, weight in network.named_parameters()}
    # No part starves: of the convolutions, the weakest gradient is not below a millionth of the strongest.
    norms = [square.sqrt() for name, square in squares.items() if name.endswith("conv.weight")]
    assert len(norms) == 77
    assert min(norms) > 1e-6 * max(norms)
