import pytest
import torch
from torch import Tensor, nn

from tests.models.network_checks import build_on_meta, count_parameters, record_shapes
from unreel.models.r3d_plus1 import R3DPlus1, R3DPlus1Config


@pytest.fixture
def network() -> R3DPlus1:
    torch.manual_seed(0)
    return R3DPlus1(width=0.125)


def test_the_trunk_has_11963968_parameters() -> None:
    assert count_parameters(build_on_meta(R3DPlus1Config())) == 11_963_968


def test_every_layer_has_the_published_size() -> None:
    # The layers up to res5 run on frames: their sizes have no time.
    expected = {
        "frames.stem": [64, 56, 56],
        "frames.res2": [64, 56, 56],
        "frames.res3": [128, 28, 28],
        "frames.res4": [256, 14, 14],
        "frames.res5": [512, 7, 7],
        "conv6": [512, 8, 7, 7],
    }
    backbone = build_on_meta(R3DPlus1Config())
    assert record_shapes(backbone, (2, 3, 8, 112, 112), expected) == expected
    assert backbone.num_features == 512


def test_conv6_looks_at_three_time_positions(network: R3DPlus1) -> None:
    conv = network.conv6.conv
    assert (conv.kernel_size, conv.stride, conv.padding, conv.bias) == ((3, 1, 1), (1, 1, 1), (1, 0, 0), None)


def test_conv6_is_normalised_and_rectified(network: R3DPlus1) -> None:
    network.eval()
    clips = torch.randn(2, 3, 4, 32, 32)
    sums = network.conv6.norm(network.conv6.conv(network.frames.forward_map(clips)))
    assert sums.min() < 0
    torch.testing.assert_close(network.forward_map(clips), sums.clamp(min=0))


def test_the_network_equals_3d_convolutions_with_kernels_of_one_frame(network: R3DPlus1) -> None:
    """Run every layer as the paper has it, as 1xkxk in 3D, in training mode with shared batch statistics."""

    def convolve(conv: nn.Conv2d, x: Tensor) -> Tensor:
        stride, padding = (1, *conv.stride), (0, *conv.padding)
        return nn.functional.conv3d(x, conv.weight.unsqueeze(2), stride=stride, padding=padding)

    def normalize(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
        return nn.functional.batch_norm(x, None, None, norm.weight, norm.bias, training=True, eps=norm.eps)

    clips = torch.randn(2, 3, 4, 32, 32)
    frames = network.frames
    x = normalize(frames.stem.norm, convolve(frames.stem.conv, clips)).relu()
    for block in [*frames.res2, *frames.res3, *frames.res4, *frames.res5]:
        y = normalize(block.norm1, convolve(block.conv1, x)).relu()
        y = normalize(block.norm2, convolve(block.conv2, y))
        if not isinstance(block.shortcut, nn.Identity):
            x = normalize(block.shortcut.norm, convolve(block.shortcut.conv, x))
        x = (x + y).relu()
    torch.testing.assert_close(frames.forward_map(clips), x, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(network.forward_map(clips), network.conv6(x), rtol=1e-4, atol=1e-4)


def test_frame_features_are_averages_of_res5_and_the_video_feature_of_conv6(network: R3DPlus1) -> None:
    network.eval()
    clips = torch.randn(2, 3, 4, 32, 32)
    frames_BTD, video_BD = network.forward_frames_and_video(clips)
    assert frames_BTD.shape == (2, 4, 64)
    assert video_BD.shape == (2, 64)
    res5 = network.frames.forward_map(clips)
    torch.testing.assert_close(frames_BTD[1, 3], res5[1, :, 3].flatten(1).mean(1))
    torch.testing.assert_close(video_BD, network.conv6(res5).flatten(2).mean(2))
    torch.testing.assert_close(video_BD, network(clips))
    assert not torch.allclose(frames_BTD.mean(1), video_BD)


def test_no_frame_feature_depends_on_another_frame(network: R3DPlus1) -> None:
    network.eval()
    clips = torch.randn(1, 3, 6, 32, 32)
    changed = clips.clone()
    changed[:, :, 2] += 1
    difference_T = (
        (network.forward_frames_and_video(clips)[0] - network.forward_frames_and_video(changed)[0])
        .abs()
        .amax(dim=(0, 2))
    )
    assert difference_T[2] > 1e-4
    assert difference_T[[0, 1, 3, 4, 5]].max() < 1e-6


def test_in_training_all_frames_share_batch_statistics(network: R3DPlus1) -> None:
    clips = torch.randn(1, 3, 6, 32, 32)
    changed = clips.clone()
    changed[:, :, 2] += 1
    before, after = network.forward_frames_and_video(clips)[0], network.forward_frames_and_video(changed)[0]
    assert ((before - after).abs().amax(dim=(0, 2)) > 1e-4).all()


def test_conv6_mixes_neighbours_only(network: R3DPlus1) -> None:
    network.eval()
    clips = torch.randn(1, 3, 6, 32, 32)
    changed = clips.clone()
    changed[:, :, 2] += 1
    difference_T = (network.forward_map(clips) - network.forward_map(changed)).abs().amax(dim=(0, 1, 3, 4))
    assert (difference_T[1:4] > 1e-4).all()
    assert difference_T[[0, 4, 5]].max() < 1e-6


def test_reversing_time_permutes_frame_features_but_moves_the_video_feature(network: R3DPlus1) -> None:
    """The kernel over time has a direction."""
    network.eval()
    clips = torch.randn(1, 3, 4, 32, 32)
    frames, video = network.forward_frames_and_video(clips)
    frames_back, video_back = network.forward_frames_and_video(clips.flip(2))
    torch.testing.assert_close(frames_back.flip(1), frames)
    assert not torch.allclose(video, video_back, atol=1e-4)


def test_any_number_of_frames_passes(network: R3DPlus1) -> None:
    network.eval()
    for num_frames in (1, 2, 5):
        assert network.forward_map(torch.randn(1, 3, num_frames, 16, 16)).shape == (1, 64, num_frames, 1, 1)


def test_width_scales_both_parts() -> None:
    network = R3DPlus1Config(width=0.25).build()
    assert network.num_features == network.conv6.conv.in_channels == network.frames.num_features == 128


def test_conv6_starts_with_kaiming_weights() -> None:
    torch.manual_seed(0)
    weight = R3DPlus1(width=0.25).conv6.conv.weight
    # fan_out = 128 channels * 3; 49 152 samples.
    assert abs(weight.std().item() / (2 / 384) ** 0.5 - 1) < 0.02
