import copy

import pytest
import torch
from torch import Tensor, nn

from tests.models.network_checks import build_on_meta
from unreel.models.backbone import Backbone, limit_clips
from unreel.models.c3d import C3DConfig
from unreel.models.momentum import MomentumEncoder
from unreel.models.mvit import MViTConfig
from unreel.models.r3d_plus1 import R3DPlus1Config
from unreel.models.zoo import BACKBONES


class Identity(Backbone):
    num_features = 3

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def forward_map(self, clips_BCTHW: Tensor) -> Tensor:
        self.sizes.append(len(clips_BCTHW))
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


@pytest.mark.parametrize("way", ["forward_map", "forward", "forward_frames_and_video"])
def test_every_way_through_a_backbone_takes_a_limited_number_of_clips(way: str) -> None:
    network, clips = Identity(), torch.randn(5, 3, 4, 5, 6)
    whole = getattr(network, way)(clips)
    limit_clips(network, 2)
    chunked = getattr(network, way)(clips)
    assert network.sizes == [5, 2, 2, 1]
    torch.testing.assert_close(chunked, whole, rtol=0, atol=0)
    limit_clips(network, 0)
    getattr(network, way)(clips)
    assert network.sizes[-1] == 5


@pytest.mark.parametrize("name", BACKBONES)
def test_every_architecture_goes_in_chunks_whatever_it_defines_itself(name: str) -> None:
    architecture = type(build_on_meta(BACKBONES[name]))
    for way in ("forward_map", "forward", "forward_frames_and_video"):
        assert hasattr(getattr(architecture, way), "__wrapped__"), way


def test_the_limit_reaches_backbones_inside_momentum_encoders_and_copies() -> None:
    online = Identity()
    method = nn.ModuleDict({"online": online, "momentum": MomentumEncoder(online)})
    limit_clips(method, 2)
    keys = method["momentum"]
    assert isinstance(keys, MomentumEncoder)
    keys(torch.randn(4, 3, 1, 1, 1))
    assert isinstance(keys.network, Identity)
    assert (keys.network.sizes, online.sizes) == ([2, 2], [])
    assert copy.deepcopy(online).chunk_clips == 2
    assert Identity.chunk_clips == 0


def test_a_backbone_inside_another_divides_no_chunk_again() -> None:
    network, clips = R3DPlus1Config(width=0.125).build().eval(), torch.randn(4, 3, 2, 16, 16)
    sizes: list[int] = []
    network.frames.stem.register_forward_hook(lambda _module, inputs, _output: sizes.append(len(inputs[0])))
    limit_clips(network, 3)
    with torch.no_grad():
        network.forward_frames_and_video(clips)
    assert sizes == [4, 4]  # two chunks of two clips of two frames


def test_a_limit_without_backbone_or_of_single_clips_to_normalise_is_refused() -> None:
    with pytest.raises(ValueError, match=r"train.chunk_clips = 4 limits .* Linear has none; .*accumulate"):
        limit_clips(nn.Linear(1, 1), 4)
    limit_clips(nn.Linear(1, 1), 0)
    network = R3DPlus1Config(width=0.125).build()
    with pytest.raises(ValueError, match=r"train.chunk_clips = 2 can leave .* one clip .* at least 3"):
        limit_clips(network, 2)
    limit_clips(network, 3)
    limit_clips(network.requires_grad_(False), 1)
    limit_clips(MViTConfig(width=0.125, depths=(1, 1, 1, 1)).build(), 1)
    limit_clips(C3DConfig(width=0.125).build(), 3)
