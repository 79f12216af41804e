import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from unreel.features.pooling import Pooling, check_poolings, max_pool_map, pool_features
from unreel.models.backbone import Backbone
from unreel.models.c3d import C3DConfig
from unreel.models.mvit import MViTConfig
from unreel.models.r3d_plus1 import R3DPlus1Config
from unreel.models.resnet3d import R2Plus1DConfig, R3DConfig
from unreel.models.zoo import BackboneConfig


class CountingBackbone(Backbone):
    """Gives the pixels of one channel as a map, and counts its passes."""

    num_features = 3

    def __init__(self) -> None:
        super().__init__()
        self.passes = 0

    def forward_map(self, clips_BCTHW: Tensor) -> Tensor:
        self.passes += 1
        return clips_BCTHW


def test_average_and_frame_are_means_of_one_pass() -> None:
    backbone = CountingBackbone()
    clips = torch.rand(2, 3, 4, 5, 6)
    features = pool_features(backbone, clips, ["average", "frame"])
    assert backbone.passes == 1
    assert features["average"].shape == (2, 1, 3)
    assert features["frame"].shape == (2, 4, 3)
    for b in range(2):
        for t in range(4):
            for c in range(3):
                expected = sum(float(value) for value in clips[b, c, t].reshape(-1)) / 30
                assert float(features["frame"][b, t, c]) == pytest.approx(expected, abs=1e-6)
    torch.testing.assert_close(features["average"][:, 0], clips.mean(dim=(2, 3, 4)))


def test_only_what_is_asked_for_comes_back() -> None:
    assert list(pool_features(CountingBackbone(), torch.rand(1, 3, 2, 4, 4), ["frame"])) == ["frame"]


def test_the_network_decides_what_its_frame_features_are() -> None:
    backbone = R3DPlus1Config(width=0.0625).build().eval()
    clips = torch.rand(1, 3, 4, 16, 16)
    features = pool_features(backbone, clips, ["average", "frame"])
    torch.testing.assert_close(features["average"][:, 0], backbone(clips))
    # res5 frames are not conv6 frames: their mean is another vector.
    assert not torch.allclose(features["frame"].mean(dim=1), features["average"][:, 0], atol=1e-3)


def test_max_pooling_is_worked_by_hand() -> None:
    """One feature, one moment, 3 x 5 positions: two 2 x 2 blocks, the last row and column are left out."""
    map_BDTHW = torch.tensor([[1.0, 7, 2, 3, 99], [4, 5, 8, 6, 99], [99, 99, 99, 99, 99]]).view(1, 1, 1, 3, 5)
    assert max_pool_map(map_BDTHW).tolist() == [[7.0, 8.0]]


@given(st.integers(1, 3), st.integers(1, 3), st.integers(2, 5), st.integers(2, 5), st.integers(0, 10_000))
def test_max_pooling_is_that_of_plain_loops(
    num_features: int, num_frames: int, height: int, width: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    map_BDTHW = torch.randn(2, num_features, num_frames, height, width, generator=generator)
    for clip, vector in zip(map_BDTHW.tolist(), max_pool_map(map_BDTHW).tolist(), strict=True):
        expected = [
            max(picture[2 * row + i][2 * column + j] for i in (0, 1) for j in (0, 1))
            for feature in clip
            for picture in feature
            for row in range(height // 2)
            for column in range(width // 2)
        ]
        assert vector == expected


@pytest.mark.parametrize(
    "config",
    [C3DConfig(width=0.0625), R3DConfig(width=0.0625), R2Plus1DConfig(width=0.0625)],
    ids=lambda config: config.architecture,
)
def test_the_networks_of_cacl_give_eighteen_positions_per_feature(config: BackboneConfig) -> None:
    """512 x 2 x 3 x 3 = 9216 numbers at full width for 16 frames of 112 x 112; here a sixteenth of that."""
    backbone = config.build().eval()
    with torch.no_grad():
        vector = pool_features(backbone, torch.rand(1, 3, 16, 112, 112), ["conv5_max"])["conv5_max"]
    assert vector.shape == (1, 1, 9216 // 16)


ALL: list[Pooling] = ["conv5_max", "frame", "average"]


def test_all_forms_come_from_one_pass_and_are_those_of_single_passes() -> None:
    backbone = CountingBackbone()
    clips = torch.rand(2, 3, 4, 5, 6)
    together = pool_features(backbone, clips, ALL)
    assert backbone.passes == 1
    assert list(together) == ALL
    assert together["conv5_max"].shape == (2, 1, 3 * 4 * 2 * 3)
    for pooling, rows in together.items():
        assert torch.equal(rows, pool_features(backbone, clips, [pooling])[pooling])


@pytest.mark.parametrize(
    "config",
    [
        R3DPlus1Config(width=0.0625),
        MViTConfig(width=0.125, depths=(1, 1, 1, 1), num_frames=4, size_px=32),
        MViTConfig(width=0.125, depths=(1, 1, 1, 1), num_frames=4, size_px=32, pooling="average"),
    ],
    ids=["r3d_plus1", "mvit class token", "mvit average"],
)
def test_a_network_with_features_of_its_own_keeps_them_beside_the_map(config: BackboneConfig) -> None:
    backbone = config.build().eval()
    clips = torch.rand(2, 3, 4, 64, 64)
    together = pool_features(backbone, clips, ALL)
    torch.testing.assert_close(together["average"][:, 0], backbone(clips))
    for pooling, rows in together.items():
        torch.testing.assert_close(rows, pool_features(backbone, clips, [pooling])[pooling])
    expected = max_pool_map(backbone.forward_map(clips))
    torch.testing.assert_close(together["conv5_max"][:, 0], expected)
    torch.testing.assert_close(together["frame"], backbone.forward_frames_and_video(clips)[0])


@pytest.mark.parametrize("size", [(1, 4), (4, 1)])
def test_a_map_that_cannot_be_halved_is_refused_with_the_remedy(size: tuple[int, int]) -> None:
    height, width = size
    with pytest.raises(ValueError, match=rf"is {height} x {width}; use pooling average, or .* larger crops"):
        pool_features(CountingBackbone(), torch.rand(1, 3, 4, height, width), ["conv5_max"])


def test_an_unknown_pooling_is_refused_and_the_known_ones_are_named() -> None:
    check_poolings(["average", "frame", "conv5_max"])
    with pytest.raises(ValueError, match="one of average, frame, conv5_max, got 'max'"):
        check_poolings(["average", "max"])
