import copy

import pytest
import torch
from torch import nn

from tests.models.network_checks import build_on_meta, count_parameters, record_shapes
from unreel.config import hash_config
from unreel.models.resnet2d import ResNet2D, ResNetConfig
from unreel.models.temporal_shift import shift_frames


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


def build_shifted(depth: int, *, divisor: int = 8) -> ResNet2D:
    torch.manual_seed(0)
    return ResNetConfig(depth=depth, width=0.125, temporal_shift=True, shift_divisor=divisor).build().eval()


def test_a_shift_adds_no_weight_and_renames_none() -> None:
    plain, shifted = (build_on_meta(ResNetConfig(depth=50, temporal_shift=value)) for value in (False, True))
    assert count_parameters(shifted) == 23_508_032
    assert list(plain.state_dict()) == list(shifted.state_dict())


@pytest.mark.parametrize("depth", [18, 50])
def test_only_what_goes_through_the_convolutions_of_every_block_is_shifted(depth: int) -> None:
    network = build_shifted(depth)
    clips = torch.randn(2, 3, 4, 32, 32)
    frames = clips.transpose(1, 2).flatten(0, 1)
    x = nn.functional.max_pool2d(network.stem.norm(network.stem.conv(frames)).relu(), 3, 2, 1)
    for block in [*network.res2, *network.res3, *network.res4, *network.res5]:
        y = block.norm1(block.conv1(shift_frames(x, 4, 8))).relu()
        y = block.norm2(block.conv2(y))
        if depth == 50:
            y = block.norm3(block.conv3(y.relu()))
        x = (y + block.shortcut(x)).relu()
    expected = x.reshape(2, 4, *x.shape[1:]).transpose(1, 2)
    torch.testing.assert_close(network.forward_map(clips), expected)


def test_with_a_shift_a_frame_is_seen_by_its_neighbours_but_not_by_another_clip() -> None:
    # Each of the 8 blocks passes a frame on to the frames beside it.
    network = build_shifted(18)
    clips = torch.randn(2, 3, 20, 32, 32)
    changed = clips.clone()
    changed[0, :, 10] += 5
    difference_BT = (network.forward_map(clips) - network.forward_map(changed)).abs().amax(dim=(1, 3, 4))
    assert not difference_BT[1].any()
    reached = (difference_BT[0] > 0).nonzero().flatten().tolist()
    assert {9, 10, 11} <= set(reached) <= set(range(2, 19))
    assert difference_BT[0, 10] == difference_BT.max()


def test_the_order_of_frames_counts_with_a_shift_and_not_without() -> None:
    clips = torch.randn(1, 3, 4, 32, 32)
    shifted = build_shifted(18)
    plain = copy.deepcopy(shifted)
    for module in plain.modules():
        module.shift_divisor = 0
    backwards = clips.flip(2)
    torch.testing.assert_close(plain(clips), plain(backwards), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(shifted(clips), shifted(backwards), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(shifted(clips), plain(clips), rtol=1e-3, atol=1e-4)


def test_a_network_with_shift_is_never_fed_single_frames() -> None:
    with pytest.raises(ValueError, match="temporal_shift needs clips of at least 2 frames, got 1"):
        build_shifted(18)(torch.randn(2, 3, 1, 32, 32))


@pytest.mark.parametrize("divisor", [-1, 0, 1, 9])
def test_a_shift_of_nothing_or_everything_is_refused(divisor: int) -> None:
    with pytest.raises(ValueError, match="shift_divisor must be"):
        build_shifted(18, divisor=divisor)
    assert build_shifted(18, divisor=4).res2[0].shift_divisor == 4


def test_networks_of_old_keep_their_hash() -> None:
    # Encoders and runs were hashed when there was no shift; the hash of depth 50 was noted then.
    assert hash_config(ResNetConfig()) == "5f57dc6b4dfed6be"
    assert hash_config(ResNetConfig(temporal_shift=True)) != hash_config(ResNetConfig())
    assert hash_config(ResNetConfig(temporal_shift=True, shift_divisor=4)) != hash_config(
        ResNetConfig(temporal_shift=True)
    )
