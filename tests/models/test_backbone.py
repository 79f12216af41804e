import pytest
import torch
from torch import Tensor, nn

from unreel.models.backbone import Backbone


class Identity(Backbone):
    num_features = 3

    def forward_map(self, clips_BCTHW: Tensor) -> Tensor:
        return clips_BCTHW


def test_features_are_the_average_of_the_last_map() -> None:
    clips = torch.randn(2, 3, 4, 5, 6)
    features = Identity()(clips)
    assert features.shape == (2, 3)
    assert features[1, 2].item() == pytest.approx(clips[1, 2].mean().item(), abs=1e-6)


def test_frames_are_the_positions_of_the_last_map_unless_a_network_has_its_own() -> None:
    clips = torch.randn(2, 3, 4, 5, 6)
    frames, video = Identity().forward_frames_and_video(clips)
    assert (frames.shape, video.shape) == ((2, 4, 3), (2, 3))
    assert frames[1, 3, 2].item() == pytest.approx(clips[1, 2, 3].mean().item(), abs=1e-6)
    assert torch.allclose(frames.mean(dim=1), video, atol=1e-6)


def test_a_backbone_must_have_a_map() -> None:
    with pytest.raises(TypeError, match="forward_map"):
        Backbone()  # type: ignore[abstract]
    assert issubclass(Backbone, nn.Module)
