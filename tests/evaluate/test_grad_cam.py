import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from unreel.evaluate.grad_cam import (
    Score,
    locate,
    pool_map,
    score_class,
    score_own_direction,
    stretch_space,
    stretch_time,
)
from unreel.models.backbone import Backbone
from unreel.models.r3d_plus1 import R3DPlus1
from unreel.models.resnet2d import ResNet2D
from unreel.models.resnet3d import R3DConfig
from unreel.models.s3d import S3DConfig

SIZES = st.tuples(
    st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)
)


def draw_map(sizes: Sequence[int], seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(sizes)).float()


def flatten(clip_DTHW: Tensor) -> list[list[float]]:
    """Return a list of positions for each channel."""
    return clip_DTHW.flatten(1).double().tolist()


def weigh_by_hand(channels: list[list[float]], weights: list[float]) -> list[float]:
    """Return the normalised map of one clip, position by position."""
    sums = [
        max(0.0, sum(weight * channel[place] for weight, channel in zip(weights, channels, strict=True)))
        for place in range(len(channels[0]))
    ]
    peak = max(sums)
    return [value / peak if peak > 0 else 0.0 for value in sums]


@given(SIZES, st.integers(0, 10))
def test_without_classifier_a_channel_weighs_as_much_as_it_is_of_the_feature(
    sizes: tuple[int, ...], seed: int
) -> None:
    map_BDTHW = draw_map(sizes, seed)
    shares_BTHW, score_B = locate(map_BDTHW, score_own_direction)
    assert shares_BTHW.shape == (sizes[0], *sizes[2:])
    for clip, shares, score in zip(map_BDTHW, shares_BTHW, score_B.tolist(), strict=True):
        channels = flatten(clip)
        feature = [sum(channel) / len(channel) for channel in channels]
        # The score is <f, f / |f|> = |f|; weights f / |f| / P give the same shares as weights f.
        assert score == pytest.approx(math.sqrt(sum(value * value for value in feature)), rel=1e-4)
        assert shares.flatten().tolist() == pytest.approx(weigh_by_hand(channels, feature), abs=1e-3)


@given(SIZES, st.integers(0, 10))
def test_the_gradient_of_the_own_direction_is_the_direction_shared_by_all_positions(
    sizes: tuple[int, ...], seed: int
) -> None:
    map_BDTHW = draw_map(sizes, seed).double().requires_grad_()
    (gradient,) = torch.autograd.grad(score_own_direction(map_BDTHW).sum(), map_BDTHW)
    for clip, slope in zip(map_BDTHW.detach(), gradient, strict=True):
        feature = [sum(channel) / len(channel) for channel in flatten(clip)]
        length = math.sqrt(sum(value * value for value in feature))
        for value, places in zip(feature, flatten(slope), strict=True):
            assert places == pytest.approx([value / length / len(places)] * len(places))


@given(SIZES, st.integers(0, 10), st.floats(-2, 2))
def test_with_a_classifier_a_channel_weighs_as_the_class_has_it(
    sizes: tuple[int, ...], seed: int, bias: float
) -> None:
    map_BDTHW = draw_map(sizes, seed)
    weights_D = draw_map([sizes[1]], seed + 1)
    shares_BTHW, score_B = locate(map_BDTHW, partial(score_class, weights_D=weights_D, bias=bias))
    weights = weights_D.tolist()
    for clip, shares, score in zip(map_BDTHW, shares_BTHW, score_B.tolist(), strict=True):
        channels = flatten(clip)
        feature = [sum(channel) / len(channel) for channel in channels]
        expected = bias + sum(weight * value for weight, value in zip(weights, feature, strict=True))
        assert score == pytest.approx(expected, abs=1e-4)
        assert shares.flatten().tolist() == pytest.approx(weigh_by_hand(channels, weights), abs=1e-3)


def test_a_worked_map() -> None:
    # One clip, two channels, one moment, two places: channel 0 has 4 and 0, channel 1 has 0 and 2. The
    # feature is (2, 1): weights in the ratio 2 to 1, sums 8 and 2, shares 1 and 0.25, length sqrt(5).
    map_BDTHW = torch.tensor([[4.0, 0.0], [0.0, 2.0]])[None, :, None, None]
    shares_BTHW, score_B = locate(map_BDTHW, score_own_direction)
    assert shares_BTHW.flatten().tolist() == pytest.approx([1.0, 0.25])
    assert score_B.item() == pytest.approx(math.sqrt(5))
    # A class that wants channel 1 and not channel 0: sums -4 and 2, of which the first is cut off.
    shares_BTHW, score_B = locate(map_BDTHW, partial(score_class, weights_D=torch.tensor([-1.0, 1.0])))
    assert shares_BTHW.flatten().tolist() == [0.0, 1.0]
    assert score_B.item() == -1.0


def test_of_a_max_pooled_map_only_the_largest_places_count() -> None:
    # One channel, 2 x 2 places: the gradient is the weight at the largest place, its mean a quarter of it.
    map_BDTHW = torch.tensor([[1.0, 4.0], [2.0, 3.0]])[None, None, None]
    score = partial(score_class, weights_D=torch.tensor([3.0]), bias=1.0, pooling="conv5_max")
    shares_BTHW, score_B = locate(map_BDTHW, score)
    assert score_B.tolist() == [13.0]
    assert shares_BTHW.flatten().tolist() == [0.25, 1.0, 0.5, 0.75]
    # Two cells of two channels: channel 0 has weights 1 and -1, which cancel; channel 1 has 2 and 0.
    wide_BDTHW = draw_map([1, 2, 1, 2, 4]).abs()
    score = partial(score_class, weights_D=torch.tensor([1.0, -1.0, 2.0, 0.0]), pooling="conv5_max")
    expected = wide_BDTHW[:, 1] / wide_BDTHW[:, 1].max()
    torch.testing.assert_close(locate(wide_BDTHW, score)[0], expected)


def backbone_of(name: str) -> Backbone:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        networks = {
            "resnet": lambda: ResNet2D(depth=18, width=0.125),
            "r3d": R3DConfig(depth=10, width=0.125).build,
            "r3d_plus1": lambda: R3DPlus1(width=0.125),
            "s3d": S3DConfig(variant="torchvision", width=0.125).build,
        }
        return networks[name]().eval()


@pytest.mark.parametrize("name", ["resnet", "r3d", "r3d_plus1", "s3d"])
@pytest.mark.parametrize("has_class", [False, True])
def test_the_map_alone_gives_what_a_gradient_through_the_whole_network_gives(
    name: str, has_class: bool
) -> None:
    backbone = backbone_of(name)
    clips_BCTHW = draw_map([2, 3, 8, 48, 48])
    # Of both signs, and more for than against, so that something is seen.
    weights_D = draw_map([backbone.num_features], 1).abs() - 0.3
    # The network as a user runs it: parameters want gradients, and features come from `forward`.
    kept: list[Tensor] = []

    def keep(clips: Tensor) -> Tensor:
        kept.append(type(backbone).forward_map(backbone, clips).clone())
        kept[0].retain_grad()
        return kept[0]

    backbone.forward_map = keep  # type: ignore[method-assign]
    feature_BD = backbone(clips_BCTHW)
    if has_class:
        score_B = feature_BD @ weights_D
    else:
        score_B = (feature_BD * F.normalize(feature_BD.detach(), dim=1)).sum(dim=1)
    score_B.sum().backward()
    (map_BDTHW,) = kept
    assert map_BDTHW.grad is not None
    assert next(backbone.parameters()).grad is not None
    weights_BD111 = map_BDTHW.grad.mean(dim=(2, 3, 4), keepdim=True)
    seen_BTHW = F.relu((weights_BD111 * map_BDTHW.detach()).sum(dim=1))
    expected = seen_BTHW / seen_BTHW.amax(dim=(1, 2, 3), keepdim=True)
    assert expected.max() == 1
    score: Score = partial(score_class, weights_D=weights_D) if has_class else score_own_direction
    with torch.no_grad():
        plain_BDTHW = backbone_of(name).forward_map(clips_BCTHW)
    shares_BTHW, found_B = locate(plain_BDTHW, score)
    torch.testing.assert_close(shares_BTHW, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found_B, score_B.detach(), rtol=1e-4, atol=1e-5)


def test_the_shares_do_not_depend_on_the_scale_or_on_other_clips() -> None:
    map_BDTHW = draw_map([3, 4, 2, 3, 3]).abs()
    shares_BTHW, _ = locate(map_BDTHW, score_own_direction)
    assert shares_BTHW.amax(dim=(1, 2, 3)).tolist() == [1.0] * 3
    assert shares_BTHW.min() >= 0
    for scale in (1e-25, 1e-10, 7.0, 1e10):
        torch.testing.assert_close(locate(map_BDTHW * scale, score_own_direction)[0], shares_BTHW)
    torch.testing.assert_close(locate(map_BDTHW[1:2], score_own_direction)[0], shares_BTHW[1:2])


def test_a_map_in_which_nothing_speaks_for_the_score_is_zero_and_not_nan() -> None:
    map_BDTHW = torch.stack([torch.zeros(2, 1, 2, 2), torch.ones(2, 1, 2, 2)])
    shares_BTHW, score_B = locate(map_BDTHW, score_own_direction)
    assert shares_BTHW.flatten(1).tolist() == [[0.0] * 4, [1.0] * 4]
    assert score_B.tolist() == pytest.approx([0.0, math.sqrt(2)])
    shares_BTHW, score_B = locate(map_BDTHW, partial(score_class, weights_D=torch.tensor([-1.0, -1.0])))
    assert not shares_BTHW.any()
    assert score_B.tolist() == [0.0, -2.0]


def test_no_graph_is_needed_and_none_is_left() -> None:
    map_BDTHW = draw_map([1, 2, 1, 2, 2])
    with torch.no_grad():
        shares_BTHW, score_B = locate(map_BDTHW, score_own_direction)
    assert not shares_BTHW.requires_grad
    assert not score_B.requires_grad
    assert not map_BDTHW.requires_grad
    half_BTHW, half_B = locate(map_BDTHW.bfloat16(), score_own_direction)
    assert (half_BTHW.dtype, half_B.dtype) == (torch.float32, torch.float32)


def test_the_mean_of_the_time_positions_stands_for_frames() -> None:
    map_BDTHW = draw_map([2, 3, 4, 2, 2])
    frames_BTD = map_BDTHW.mean(dim=(3, 4)).transpose(1, 2)
    torch.testing.assert_close(pool_map(map_BDTHW, "frame"), frames_BTD.mean(dim=1))
    torch.testing.assert_close(pool_map(map_BDTHW, "average"), map_BDTHW.mean(dim=(2, 3, 4)))
    with pytest.raises(ValueError, match="pooling conv5_max halves the last map"):
        pool_map(draw_map([1, 2, 1, 1, 1]), "conv5_max")


@given(st.integers(1, 4), st.integers(1, 9))
def test_positions_are_stretched_over_the_frames_that_they_cover(num_positions: int, num_frames: int) -> None:
    line = [float(3 * place % 5) for place in range(num_positions)]
    shares = torch.tensor(line)[None, :, None, None].expand(1, num_positions, 2, 3)
    found = stretch_time(shares, num_frames)
    assert found.shape == (1, num_frames, 2, 3)
    for frame in range(num_frames):
        # The middle of the frame on the scale of positions, whose own middles are 0, 1, ...
        place = min(max((frame + 0.5) * num_positions / num_frames - 0.5, 0.0), num_positions - 1.0)
        left = min(int(place), max(num_positions - 2, 0))
        right = min(left + 1, num_positions - 1)
        expected = line[left] + (place - left) * (line[right] - line[left])
        assert found[0, frame].flatten().tolist() == pytest.approx([expected] * 6, abs=1e-5)


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
def test_time_and_then_space_are_one_trilinear_interpolation(times: int, rows: int, columns: int) -> None:
    shares_1THW = draw_map([1, times, rows, columns])
    both = stretch_space(stretch_time(shares_1THW, 5)[0], 7)
    at_once = F.interpolate(shares_1THW[None], size=(5, 7, 7), mode="trilinear", align_corners=False)
    torch.testing.assert_close(both, at_once[0, 0])


def test_what_has_the_right_size_stays_as_it_is() -> None:
    shares_BTHW = draw_map([2, 3, 4, 4])
    torch.testing.assert_close(stretch_time(shares_BTHW, 3), shares_BTHW, rtol=0, atol=0)
    torch.testing.assert_close(stretch_space(shares_BTHW[0], 4), shares_BTHW[0], rtol=0, atol=0)
