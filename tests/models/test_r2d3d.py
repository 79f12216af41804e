import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.models.network_checks import build_on_meta, count_parameters, record_shapes
from unreel.models.r2d3d import R2D3D, BasicBlock2D3D, R2D3DConfig
from unreel.models.weights import load_backbone_weights


@pytest.fixture
def network() -> R2D3D:
    torch.manual_seed(0)
    return R2D3D(width=0.125).eval()


def blocks(network: R2D3D) -> list[BasicBlock2D3D]:
    return [*network.res2, *network.res3, *network.res4, *network.res5]


def test_the_published_network_has_14057536_parameters() -> None:
    assert count_parameters(build_on_meta(R2D3DConfig())) == 14_057_536


def test_the_parameters_are_those_of_the_layers_counted_one_by_one() -> None:
    def conv(before: int, after: int, positions: int) -> int:
        return before * after * positions + 2 * after  # the normalisation has two per channel

    res2 = 4 * conv(64, 64, 9)
    res3 = conv(64, 128, 9) + 3 * conv(128, 128, 9) + conv(64, 128, 1)
    res4 = conv(128, 256, 27) + 3 * conv(256, 256, 27) + conv(128, 256, 1)
    res5 = 4 * conv(256, 256, 27) + conv(256, 256, 1)
    assert conv(3, 64, 49) + res2 + res3 + res4 + res5 == 14_057_536


def test_every_stage_has_the_published_size() -> None:
    expected = {
        "stem": [64, 5, 64, 64],
        "pool": [64, 5, 32, 32],
        "res2": [64, 5, 32, 32],
        "res3": [128, 5, 16, 16],
        "res4": [256, 3, 8, 8],
        "res5": [256, 2, 4, 4],
    }
    backbone = build_on_meta(R2D3DConfig())
    assert record_shapes(backbone, (2, 3, 5, 128, 128), expected) == expected
    assert backbone.num_features == 256


def test_two_stages_are_flat_and_two_are_not(network: R2D3D) -> None:
    convs = [conv for block in blocks(network) for conv in (block.conv1, block.conv2)]
    assert [conv.kernel_size for conv in convs] == [(1, 3, 3)] * 8 + [(3, 3, 3)] * 8
    assert (network.stem.conv.kernel_size, network.stem.conv.stride) == ((1, 7, 7), (1, 2, 2))
    assert all(module.bias is None for module in network.modules() if isinstance(module, nn.Conv3d))


def test_the_first_block_of_a_stage_strides_and_its_shortcut_with_it(network: R2D3D) -> None:
    one = (1, 1, 1)
    assert [block.conv1.stride for block in blocks(network)] == [
        *(one, one),
        *((1, 2, 2), one),
        *((2, 2, 2), one),
        *((2, 2, 2), one),
    ]
    for block in blocks(network):
        if block.conv1.stride == one:
            assert isinstance(block.shortcut, nn.Identity)
        else:
            assert block.shortcut.conv.stride == block.conv1.stride
            assert block.shortcut.conv.kernel_size == one


def test_the_arithmetic_is_that_of_the_layers_written_out(network: R2D3D) -> None:
    clips = torch.randn(2, 3, 5, 64, 64)
    stem = network.stem.norm(network.stem.conv(clips)).relu()
    x = nn.functional.max_pool3d(stem, (1, 3, 3), (1, 2, 2), (0, 1, 1))
    for block in blocks(network):
        y = block.norm1(block.conv1(x)).relu()
        sums = block.norm2(block.conv2(y)) + block.shortcut(x)
        x = sums.relu()
    # `sums` are those of the last block, which no ReLU follows.
    assert sums.shape == (2, 32, 2, 2, 2)
    assert sums.min() < 0 < sums.max()
    torch.testing.assert_close(network.forward_map(clips), sums)


def test_only_the_very_last_block_ends_without_relu(network: R2D3D) -> None:
    assert [block.has_final_relu for block in blocks(network)] == [True] * 7 + [False]


def test_frames_meet_in_the_third_stage_and_not_before(network: R2D3D) -> None:
    clips = torch.randn(1, 3, 5, 32, 32)
    changed = clips.clone()
    changed[:, :, 4] += 1
    flat = nn.Sequential(network.stem, network.pool, network.res2, network.res3)
    difference_T = (flat(clips) - flat(changed)).abs().amax(dim=(0, 1, 3, 4))
    assert difference_T[4] > 1e-4
    assert difference_T[:4].max() < 1e-6
    # Frame 4 is in output 2 of the strided convolution; the next one carries it to 1, the one after to 0.
    whole = (network.res4(flat(clips)) - network.res4(flat(changed))).abs().amax(dim=(0, 1, 3, 4))
    assert (whole > 1e-6).all()


def test_weights_spread_by_the_number_of_outputs_an_input_reaches() -> None:
    torch.manual_seed(0)
    network = R2D3D(width=0.5)
    # Output channels times positions of the kernel: 64 * 9 and 128 * 27.
    assert math.isclose(network.res3[1].conv1.weight.std().item(), math.sqrt(2 / 576), rel_tol=0.02)
    assert math.isclose(network.res5[1].conv1.weight.std().item(), math.sqrt(2 / 3456), rel_tol=0.02)


def test_a_single_small_frame_is_enough_when_evaluating(network: R2D3D) -> None:
    assert network.forward_map(torch.randn(1, 3, 1, 8, 8)).shape == (1, 32, 1, 1, 1)


def test_width_scales_every_layer() -> None:
    network = R2D3DConfig(width=0.25).build()
    assert [block.conv1.out_channels for block in blocks(network)] == [16, 16, 32, 32, 64, 64, 64, 64]
    assert network.stem.conv.out_channels == 16
    assert network.num_features == 64


def test_its_weights_come_back_from_a_file(network: R2D3D, tmp_path: Path) -> None:
    target = R2D3D(width=0.125).eval()
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    report = load_backbone_weights(target, tmp_path, min_share=1.0)
    assert report.loaded == tuple(network.state_dict())
    clips = torch.randn(1, 3, 5, 32, 32)
    assert torch.equal(target(clips), network(clips))
