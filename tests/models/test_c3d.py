import pytest
import torch
from torch import nn

from tests.models.network_checks import build_on_meta, count_parameters, record_shapes
from unreel.models.c3d import C3D, C3DConfig


def test_the_published_network_has_27661440_parameters() -> None:
    assert count_parameters(build_on_meta(C3DConfig())) == 27_661_440


def test_every_layer_has_the_published_size() -> None:
    expected = {
        "conv1": [64, 16, 112, 112],
        "pool1": [64, 16, 56, 56],
        "conv2": [128, 16, 56, 56],
        "pool2": [128, 8, 28, 28],
        "conv3a": [256, 8, 28, 28],
        "conv3b": [256, 8, 28, 28],
        "pool3": [256, 4, 14, 14],
        "conv4a": [512, 4, 14, 14],
        "conv4b": [512, 4, 14, 14],
        "pool4": [512, 2, 7, 7],
        "conv5a": [512, 2, 7, 7],
        "conv5b": [512, 2, 7, 7],
    }
    backbone = build_on_meta(C3DConfig())
    assert record_shapes(backbone, (2, 3, 16, 112, 112), expected) == expected
    assert backbone.num_features == 512


def test_each_convolution_has_a_bias_and_normalisation() -> None:
    network = C3D(width=0.125)
    convs = [module for module in network.modules() if isinstance(module, nn.Conv3d)]
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
    assert len(convs) == len(norms) == 8
    assert all(conv.bias is not None and conv.kernel_size == (3, 3, 3) for conv in convs)


def test_width_scales_every_layer() -> None:
    network = C3DConfig(width=0.25).build()
    convs = [module for module in network.modules() if isinstance(module, nn.Conv3d)]
    assert [conv.out_channels for conv in convs] == [16, 32, 64, 64, 128, 128, 128, 128]
    assert network.num_features == 128
    assert network(torch.randn(2, 3, 8, 16, 16)).shape == (2, 128)


def test_features_are_the_average_of_the_last_map_and_not_negative() -> None:
    network = C3D(width=0.125).eval()
    clips = torch.randn(2, 3, 16, 32, 32)
    last_map = network.forward_map(clips)
    assert last_map.shape == (2, 64, 2, 2, 2)
    assert last_map.min() >= 0
    torch.testing.assert_close(network(clips), last_map.flatten(2).mean(2))
    frames, video = network.forward_frames_and_video(clips)
    assert frames.shape == (2, 2, 64)
    torch.testing.assert_close(frames.mean(1), video)


def test_the_smallest_clip_gives_one_position() -> None:
    assert C3D(width=0.125).eval().forward_map(torch.randn(1, 3, 8, 16, 16)).shape[2:] == (1, 1, 1)


@pytest.mark.parametrize("size", [(7, 16, 16), (8, 15, 16), (8, 16, 15)])
def test_a_clip_that_pooling_would_swallow_is_refused(size: tuple[int, int, int]) -> None:
    wanted = rf"at least 8 frames and 16x16 pixels, got {size[0]} frames of {size[1]}x{size[2]}"
    with pytest.raises(ValueError, match=wanted):
        C3D(width=0.125).forward_map(torch.randn(1, 3, *size))
