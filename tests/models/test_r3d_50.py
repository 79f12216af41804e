import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.models.network_checks import build_on_meta, count_parameters, record_shapes
from unreel.errors import WeightsError
from unreel.models.r3d_50 import R3D50, Bottleneck3D, R3D50Config
from unreel.models.resnet2d import ResNet2D, ResNetConfig
from unreel.models.weights import load_backbone_weights


@pytest.fixture
def network() -> R3D50:
    torch.manual_seed(0)
    return R3D50(width=0.125).eval()


def blocks(network: R3D50) -> list[Bottleneck3D]:
    return [block for stage in (network.res2, network.res3, network.res4, network.res5) for block in stage]


def test_the_published_network_has_31672128_parameters() -> None:
    assert count_parameters(build_on_meta(R3D50Config())) == 31_672_128


def test_these_are_the_parameters_of_resnet_50_and_two_more_positions_in_time() -> None:
    # The stem sees 5 frames for 1; the first convolutions of the blocks of res4 and res5 see 3 for 1.
    flat = count_parameters(build_on_meta(ResNetConfig(depth=50)))
    stem = 4 * 3 * 64 * 7 * 7
    res4 = 2 * 256 * (512 + 5 * 1024)
    res5 = 2 * 512 * (1024 + 2 * 2048)
    assert flat + stem + res4 + res5 == 31_672_128


def test_every_stage_has_the_published_size() -> None:
    expected = {
        "stem": [64, 8, 112, 112],
        "pool": [64, 8, 56, 56],
        "res2": [256, 8, 56, 56],
        "res3": [512, 8, 28, 28],
        "res4": [1024, 8, 14, 14],
        "res5": [2048, 8, 7, 7],
    }
    backbone = build_on_meta(R3D50Config())
    assert record_shapes(backbone, (2, 3, 16, 224, 224), expected) == expected
    assert backbone.num_features == 2048


def test_the_last_two_stages_look_at_three_frames_and_only_the_stem_strides_over_them() -> None:
    network = R3D50(width=0.125)
    assert (network.stem.conv.kernel_size, network.stem.conv.stride) == ((5, 7, 7), (2, 2, 2))
    assert [block.conv1.kernel_size for block in blocks(network)] == [(1, 1, 1)] * 7 + [(3, 1, 1)] * 9
    convs = [conv for block in blocks(network) for conv in block.modules() if isinstance(conv, nn.Conv3d)]
    assert {conv.stride[0] for conv in convs} == {1}
    assert {block.conv2.kernel_size for block in blocks(network)} == {(1, 3, 3)}
    assert {block.conv3.kernel_size for block in blocks(network)} == {(1, 1, 1)}
    assert all(conv.bias is None for conv in convs)


def test_the_spatial_convolution_carries_the_stride_of_its_stage(network: R3D50) -> None:
    assert [block.conv2.stride[1:] for block in blocks(network)] == [
        *[(1, 1)] * 3,
        *[(2, 2), *[(1, 1)] * 3],
        *[(2, 2), *[(1, 1)] * 5],
        *[(2, 2), *[(1, 1)] * 2],
    ]
    strided = [number for number, block in enumerate(blocks(network)) if hasattr(block.shortcut, "conv")]
    assert strided == [0, 3, 7, 13]


def test_the_arithmetic_is_that_of_the_layers_written_out(network: R3D50) -> None:
    clips = torch.randn(1, 3, 6, 32, 32)
    stem = network.stem.norm(network.stem.conv(clips)).relu()
    x = nn.functional.max_pool3d(stem, (1, 3, 3), (1, 2, 2), (0, 1, 1))
    for block in blocks(network):
        y = block.norm1(block.conv1(x)).relu()
        y = block.norm2(block.conv2(y)).relu()
        x = (block.norm3(block.conv3(y)) + block.shortcut(x)).relu()
    assert x.shape == (1, 256, 3, 1, 1)
    torch.testing.assert_close(network.forward_map(clips), x)


def test_the_first_two_stages_keep_frames_to_themselves_and_the_third_does_not(network: R3D50) -> None:
    def changed_times(first: nn.Module, *others: nn.Module) -> list[int]:
        x = torch.randn(1, first[0].conv1.in_channels, 9, 8, 8)
        moved = x.clone()
        moved[:, :, 4] += 1
        for stage in (first, *others):
            x, moved = stage(x), stage(moved)
        return (x - moved).abs().amax(dim=(0, 1, 3, 4)).gt(1e-6).nonzero().flatten().tolist()

    assert changed_times(network.res2, network.res3) == [4]
    assert changed_times(network.res4[:1]) == [3, 4, 5]


def test_weights_spread_by_the_number_of_outputs_an_input_reaches() -> None:
    torch.manual_seed(0)
    weight = R3D50(width=0.25).res5[1].conv1.weight
    # 128 channels times 3 frames; 196 608 draws.
    assert math.isclose(weight.std().item(), math.sqrt(2 / 384), rel_tol=0.01)


def test_a_single_small_frame_is_enough_when_evaluating(network: R3D50) -> None:
    assert network.forward_map(torch.randn(1, 3, 1, 8, 8)).shape == (1, 256, 1, 1, 1)


def test_width_scales_every_layer() -> None:
    network = R3D50Config(width=0.25).build()
    assert network.stem.conv.out_channels == network.res2[0].conv1.out_channels == 16
    assert network.res2[0].conv3.out_channels == 64
    assert network.num_features == 512
    # Rounding is done before the expansion: 512 * 0.3 = 153.6 -> 152.
    assert R3D50Config(width=0.3).build().num_features == 4 * 152


def test_its_weights_come_back_from_a_file(network: R3D50, tmp_path: Path) -> None:
    target = R3D50(width=0.125).eval()
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    report = load_backbone_weights(target, tmp_path, min_share=1.0)
    assert report.loaded == tuple(network.state_dict())
    clips = torch.randn(1, 3, 4, 32, 32)
    assert torch.equal(target(clips), network(clips))


def test_weights_of_the_2d_network_are_refused(network: R3D50, tmp_path: Path) -> None:
    save_file(ResNet2D(depth=50, width=0.125).state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"of the weights of R3D50 fit; of another shape: "):
        load_backbone_weights(network, tmp_path)
