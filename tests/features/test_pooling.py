import pytest
import torch
from torch import Tensor

from unreel.features.pooling import check_poolings, pool_features
from unreel.models.backbone import Backbone
from unreel.models.r3d_plus1 import R3DPlus1Config


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


def test_an_unknown_pooling_is_refused_and_the_known_ones_are_named() -> None:
    check_poolings(["average", "frame"])
    with pytest.raises(ValueError, match="one of average, frame, got 'max'"):
        check_poolings(["average", "max"])
