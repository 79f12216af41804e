import pytest
import torch
from torch import nn

from tests.models.network_checks import build_on_meta, count_parameters, record_shapes
from unreel.models.resnet2d import ResNet2D, ResNetConfig


def test_the_published_numbers_of_parameters() -> None:
    assert count_parameters(build_on_meta(ResNetConfig(depth=18))) == 11_176_512
    assert count_parameters(build_on_meta(ResNetConfig(depth=50))) == 23_508_032


def test_every_stage_of_resnet_50_has_the_published_size() -> None:
    expected = {
        "stem": [64, 112, 112],
        "res2": [256, 56, 56],
        "res3": [512, 28, 28],
        "res4": [1024, 14, 14],
        "res5": [2048, 7, 7],
    }
    backbone = build_on_meta(ResNetConfig(depth=50))
    assert record_shapes(backbone, (2, 3, 3, 224, 224), expected) == expected
    assert backbone.forward_map(torch.empty(2, 3, 3, 224, 224, device="meta")).shape == (2, 2048, 3, 7, 7)
    assert backbone.num_features == 2048


def test_every_stage_of_resnet_18_has_the_published_size() -> None:
    expected = {
        "stem": [64, 112, 112],
        "res2": [64, 56, 56],
        "res3": [128, 28, 28],
        "res4": [256, 14, 14],
        "res5": [512, 7, 7],
    }
    backbone = build_on_meta(ResNetConfig(depth=18))
    assert record_shapes(backbone, (1, 3, 2, 224, 224), expected) == expected
    assert backbone.num_features == 512


def test_the_bottleneck_carries_its_stride_in_the_3x3_convolution() -> None:
    block = ResNet2D(depth=50, width=0.125).res3[0]
    assert [conv.stride for conv in (block.conv1, block.conv2, block.conv3)] == [(1, 1), (2, 2), (1, 1)]
    assert [conv.kernel_size for conv in (block.conv1, block.conv2, block.conv3)] == [(1, 1), (3, 3), (1, 1)]


@pytest.mark.parametrize("depth", [18, 50])
def test_a_clip_gives_what_its_frames_give_one_by_one(depth: int) -> None:
    torch.manual_seed(0)
    network = ResNet2D(depth=depth, width=0.125).eval()
    clips = torch.randn(2, 3, 3, 32, 32)
    whole = network.forward_map(clips)
    for row in range(2):
        for time in range(3):
            frame = clips[row : row + 1, :, time : time + 1]
            alone = network.forward_map(frame)[0, :, 0]
            torch.testing.assert_close(alone, whole[row, :, time], rtol=1e-4, atol=1e-4)


def test_a_frame_influences_no_other_when_evaluating_but_all_when_training() -> None:
    torch.manual_seed(0)
    network = ResNet2D(depth=18, width=0.125)
    clips = torch.randn(2, 3, 4, 32, 32)
    changed = clips.clone()
    changed[0, :, 1] += 1
    for mode, expected in (("eval", [(0, 1)]), ("train", [(b, t) for b in range(2) for t in range(4)])):
        network.train(mode == "train")
        difference_BT = (network.forward_map(clips) - network.forward_map(changed)).abs().amax(dim=(1, 3, 4))
        # Batches of another content may be summed in another order; a real influence is far larger.
        moved = [tuple(position) for position in (difference_BT > 1e-4).nonzero().tolist()]
        assert moved == expected


def test_the_arithmetic_is_that_of_the_layers_written_out() -> None:
    torch.manual_seed(0)
    network = ResNet2D(depth=50, width=0.125).eval()
    frame = torch.randn(1, 3, 1, 32, 32)
    x = nn.functional.max_pool2d(network.stem.norm(network.stem.conv(frame[:, :, 0])).relu(), 3, 2, 1)
    for block in [*network.res2, *network.res3, *network.res4, *network.res5]:
        y = block.norm1(block.conv1(x)).relu()
        y = block.norm2(block.conv2(y)).relu()
        x = (block.norm3(block.conv3(y)) + block.shortcut(x)).relu()
    torch.testing.assert_close(network.forward_map(frame)[:, :, 0], x)


def test_one_vector_per_frame_is_the_average_of_its_map() -> None:
    network = ResNet2D(depth=18, width=0.125).eval()
    clips = torch.randn(2, 3, 3, 32, 32)
    frames, video = network.forward_frames_and_video(clips)
    assert frames.shape == (2, 3, 64)
    torch.testing.assert_close(frames[1, 2], network.forward_map(clips)[1, :, 2].flatten(1).mean(1))
    torch.testing.assert_close(video, frames.mean(1))
    torch.testing.assert_close(video, network(clips))


def test_without_max_pooling_the_map_is_twice_as_large() -> None:
    clips = torch.randn(1, 3, 1, 64, 64)
    assert ResNet2D(depth=18, width=0.125).eval().forward_map(clips).shape[3:] == (2, 2)
    assert ResNet2D(depth=18, width=0.125, has_max_pool=False).eval().forward_map(clips).shape[3:] == (4, 4)


def test_width_scales_every_layer() -> None:
    network = ResNetConfig(depth=50, width=0.25).build()
    assert network.stem.conv.out_channels == 16
    assert network.res2[0].conv1.out_channels == 16
    assert network.res2[0].conv3.out_channels == 64
    assert network.num_features == 512
    # Rounding is done before the expansion: 64 * 0.3 -> 16, 512 * 0.3 = 153.6 -> 152.
    assert ResNetConfig(depth=50, width=0.3).build().num_features == 4 * 152


def test_an_unknown_depth_is_refused() -> None:
    with pytest.raises(ValueError, match=r"depth must be one of \[18, 50\], got 34"):
        ResNetConfig(depth=34).build()  # type: ignore[arg-type]
