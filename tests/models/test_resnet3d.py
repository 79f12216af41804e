import math
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.models.network_checks import build_on_meta, count_parameters, record_shapes
from unreel.models.resnet3d import (
    FactorizedConv,
    R2Plus1DConfig,
    R3DConfig,
    ResNet3D,
    count_mid_channels,
)

Depth = Literal[10, 18, 34]


@pytest.mark.parametrize(("depth", "expected"), [(10, 14_361_792), (18, 33_166_272), (34, 63_475_904)])
def test_r3d_has_the_published_number_of_parameters(depth: Depth, expected: int) -> None:
    assert count_parameters(build_on_meta(R3DConfig(depth=depth))) == expected


@pytest.mark.parametrize(("depth", "expected"), [(10, 14_365_303), (18, 33_178_423), (34, 63_504_759)])
def test_r2plus1d_has_the_released_number_of_parameters(depth: Depth, expected: int) -> None:
    assert count_parameters(build_on_meta(R2Plus1DConfig(depth=depth))) == expected


def test_torchvision_factorization_has_the_size_of_r2plus1d_18_without_its_classifier() -> None:
    # torchvision's r2plus1d_18 has 31 505 325 parameters, its 400-way classifier 512 * 400 + 400 of them;
    # r3d_18 has 33 371 472 with the same classifier.
    classifier = 512 * 400 + 400
    network = build_on_meta(R2Plus1DConfig(factorization="torchvision"))
    assert count_parameters(network) == 31_505_325 - classifier
    assert count_parameters(build_on_meta(R3DConfig())) == 33_371_472 - classifier


@pytest.mark.parametrize(
    "config",
    [
        R3DConfig(),
        R3DConfig(depth=10),
        R2Plus1DConfig(),
        R2Plus1DConfig(depth=34, factorization="torchvision"),
    ],
    ids=str,
)
def test_every_stage_has_the_published_size(config: R3DConfig | R2Plus1DConfig) -> None:
    expected = {
        "stem": [64, 16, 56, 56],
        "res2": [64, 16, 56, 56],
        "res3": [128, 8, 28, 28],
        "res4": [256, 4, 14, 14],
        "res5": [512, 2, 7, 7],
    }
    backbone = build_on_meta(config)
    assert record_shapes(backbone, (2, 3, 16, 112, 112), expected) == expected
    assert backbone.num_features == 512


@given(st.integers(1, 64), st.integers(1, 64), st.sampled_from([(3, 3, 3), (3, 7, 7), (1, 1, 1), (5, 3, 3)]))
def test_a_factorised_convolution_has_just_no_more_weights_than_the_full_one(
    in_channels: int, out_channels: int, kernel: tuple[int, int, int]
) -> None:
    def count_weights(mid: int) -> int:
        return mid * kernel[1] * kernel[2] * in_channels + mid * kernel[0] * out_channels

    mid = count_mid_channels(in_channels, out_channels, kernel)
    full = math.prod(kernel) * in_channels * out_channels
    assert count_weights(mid) <= full < count_weights(mid + 1)


def test_mid_channels_of_the_published_network() -> None:
    # Stem: 3*7*7 * 3*64 / (7*7 * 3 + 3 * 64) = 28224 / 339 = 83.3
    # res2: 27 * 64 * 64 / (9 * 64 + 3 * 64) = 144
    # First block of res3: 27 * 64 * 128 / (9 * 64 + 3 * 128) = 230.4
    # Its shortcut: 64 * 128 / (64 + 128) = 42.7
    network = build_on_meta(R2Plus1DConfig())
    assert isinstance(network, ResNet3D)
    assert network.get_submodule("stem.conv.spatial").out_channels == 83
    assert network.get_submodule("res2.0.conv1.spatial").out_channels == 144
    assert network.get_submodule("res3.0.conv1.spatial").out_channels == 230
    assert network.get_submodule("res3.0.conv2.spatial").out_channels == 288
    assert network.get_submodule("res3.0.shortcut.conv.spatial").out_channels == 42


def test_torchvision_shares_one_mid_width_inside_a_block() -> None:
    network = build_on_meta(R2Plus1DConfig(factorization="torchvision"))
    assert network.get_submodule("stem.conv.spatial").out_channels == 45
    assert network.get_submodule("res3.0.conv1.spatial").out_channels == 230
    assert network.get_submodule("res3.0.conv2.spatial").out_channels == 230
    assert isinstance(network.get_submodule("res3.0.shortcut.conv"), nn.Conv3d)


def test_a_factorised_convolution_looks_at_space_first_and_time_second() -> None:
    conv = FactorizedConv(2, 3, (3, 5, 7), (2, 3, 1), mid_channels=4).eval()
    assert conv.spatial.kernel_size == (1, 5, 7)
    assert conv.spatial.stride == (1, 3, 1)
    assert conv.temporal.kernel_size == (3, 1, 1)
    assert conv.temporal.stride == (2, 1, 1)
    x = torch.randn(1, 2, 6, 9, 9)
    assert conv(x).shape == (1, 3, 3, 3, 9)
    torch.testing.assert_close(conv(x), conv.temporal(conv.norm(conv.spatial(x)).relu()))


def test_the_block_is_two_convolutions_plus_a_strided_shortcut() -> None:
    block = ResNet3D(depth=10, width=0.125).eval().res3[0]
    x = torch.randn(2, 8, 4, 6, 6)
    way = block.norm2(block.conv2(block.norm1(block.conv1(x)).relu()))
    shortcut = nn.functional.conv3d(x[:, :, ::2, ::2, ::2], block.shortcut.conv.weight)
    torch.testing.assert_close(block(x), (way + block.shortcut.norm(shortcut)).relu())


def test_the_first_stage_keeps_the_identity() -> None:
    network = ResNet3D(depth=10, width=0.125)
    assert isinstance(network.res2[0].shortcut, nn.Identity)
    assert not any(isinstance(module, nn.MaxPool3d) for module in network.modules())
    assert not any(module.bias is not None for module in network.modules() if isinstance(module, nn.Conv3d))


@pytest.mark.parametrize("factorization", ["cacl", "torchvision"])
def test_width_scales_stages_and_the_formula_of_the_mid_channels(
    factorization: Literal["cacl", "torchvision"],
) -> None:
    network = R2Plus1DConfig(depth=10, factorization=factorization, width=0.25).build()
    # 27 * 16 * 32 / (9 * 16 + 3 * 32) = 57.6
    assert network.get_submodule("res3.0.conv1.spatial").out_channels == 57
    # 3*49*3*16 / (49*3 + 3*16) = 36.2, or a quarter of 45
    assert (
        network.get_submodule("stem.conv.spatial").out_channels
        == {"cacl": 36, "torchvision": 11}[factorization]
    )
    assert network.num_features == 128
    assert network(torch.randn(2, 3, 4, 16, 16)).shape == (2, 128)


def test_a_single_small_frame_is_enough_when_evaluating() -> None:
    network = R3DConfig(depth=10, width=0.125).build().eval()
    assert network.forward_map(torch.randn(1, 3, 1, 8, 8)).shape == (1, 64, 1, 1, 1)


def test_kaiming_weights_spread_wider_than_the_default() -> None:
    # The default is uniform of variance 1 / (3 fan_in); Kaiming's is 2 / fan_out: sqrt(6) times the deviation
    # where as many channels go in as out.
    stds = []
    for init in ("pytorch", "kaiming"):
        torch.manual_seed(0)
        stds.append(ResNet3D(depth=10, width=0.25, init=init).res5[0].conv2.weight.std().item())
    assert math.isclose(stds[1] / stds[0], math.sqrt(6), rel_tol=0.02)


@pytest.mark.parametrize("config", [R3DConfig, R2Plus1DConfig])
def test_an_unknown_depth_is_refused(config: type[R3DConfig] | type[R2Plus1DConfig]) -> None:
    with pytest.raises(ValueError, match=r"depth must be one of \[10, 18, 34\], got 50"):
        config(depth=50).build()  # type: ignore[arg-type]
