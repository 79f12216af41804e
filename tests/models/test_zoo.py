import dataclasses
import inspect
import json

import pytest
import torch

from tests.models.network_checks import (
    check_autocast_runs,
    check_channels_last_agrees,
    check_gradient_reaches_every_parameter,
)
from unreel.config import config_from_dict, config_to_dict
from unreel.models.backbone import Backbone
from unreel.models.c3d import C3DConfig
from unreel.models.initialization import init_convs_kaiming
from unreel.models.mvit import MViTConfig
from unreel.models.r2d3d import R2D3DConfig
from unreel.models.r3d_50 import R3D50Config
from unreel.models.resnet2d import ResNetConfig
from unreel.models.resnet3d import R2Plus1DConfig, R3DConfig
from unreel.models.s3d import S3D, S3DConfig
from unreel.models.zoo import BACKBONES, BackboneConfig, build_backbone, find_backbone

SMALL = {name: dataclasses.replace(config, width=0.125) for name, config in BACKBONES.items()}


@dataclasses.dataclass(frozen=True)
class Holder:
    backbone: BackboneConfig = dataclasses.field(default_factory=C3DConfig)


def build_small(name: str) -> Backbone:
    torch.manual_seed(0)
    backbone = build_backbone(SMALL[name])
    if isinstance(backbone, S3D):  # its own small weights let the features of a fresh network vanish
        init_convs_kaiming(backbone)
    return backbone


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_turns_clips_into_features(name: str) -> None:
    backbone = build_small(name)
    clips = torch.randn(2, 3, 8, 32, 32)
    features = backbone(clips)
    assert features.shape == (2, backbone.num_features)
    assert features.isfinite().all()
    assert backbone.forward_map(clips).shape[:2] == (2, backbone.num_features)


@pytest.mark.parametrize("name", BACKBONES)
def test_gradient_reaches_every_parameter(name: str) -> None:
    check_gradient_reaches_every_parameter(build_small(name), torch.randn(2, 3, 8, 32, 32))


@pytest.mark.parametrize("name", BACKBONES)
def test_channels_last_gives_the_same_features(name: str) -> None:
    check_channels_last_agrees(build_small(name), torch.randn(2, 3, 8, 32, 32))


@pytest.mark.parametrize("name", BACKBONES)
def test_bfloat16_autocast_runs_forward_and_backward(name: str) -> None:
    # 24 frames become 12, 6 and 3.
    check_autocast_runs(build_small(name), torch.randn(1, 3, 24, 32, 32))


@pytest.mark.parametrize("name", BACKBONES)
def test_a_clip_does_not_depend_on_its_batch_when_evaluating(name: str) -> None:
    backbone = build_small(name).eval()
    clips = torch.randn(3, 3, 8, 32, 32)
    torch.testing.assert_close(backbone(clips)[1:2], backbone(clips[1:2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", BACKBONES)
def test_weights_are_drawn_from_the_global_generator(name: str) -> None:
    def draw(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.cat([value.flatten() for value in SMALL[name].build().parameters()])

    assert torch.equal(draw(3), draw(3))
    assert not torch.equal(draw(3), draw(4))


@pytest.mark.parametrize("name", BACKBONES)
def test_a_configuration_survives_json(name: str) -> None:
    holder = Holder(backbone=SMALL[name])
    values = json.loads(json.dumps(config_to_dict(holder)))
    assert config_from_dict(Holder(), values) == holder


def test_an_unknown_architecture_in_json_is_refused() -> None:
    with pytest.raises(ValueError, match=r"backbone names none of the known kinds \['c3d', 'r3d'"):
        config_from_dict(Holder(), {"backbone": {"architecture": "vgg"}})


def test_architectures_are_told_apart_by_one_word() -> None:
    words = [config().architecture for config in BackboneConfig.__args__]
    assert len(set(words)) == len(words) == 9


@pytest.mark.parametrize("config", BackboneConfig.__args__)
def test_every_setting_is_explained_and_every_kind_has_a_name(config: type[BackboneConfig]) -> None:
    lines = [line.strip() for line in inspect.getsource(config).splitlines()]
    for field in dataclasses.fields(config):
        number = next(i for i, line in enumerate(lines) if line.startswith(f"{field.name}:"))
        assert lines[number + 1].startswith('"""'), f"{config.__name__}.{field.name} has no help text"
    assert any(type(named) is config for named in BACKBONES.values())


def test_a_width_that_is_not_positive_is_refused_by_every_kind() -> None:
    for config in BackboneConfig.__args__:
        with pytest.raises(ValueError, match="width must be positive"):
            build_backbone(config(width=0.0))


def test_names_lead_to_configurations() -> None:
    assert find_backbone("r3d_34") == R3DConfig(depth=34)
    assert find_backbone("r2plus1d_18_torchvision") == R2Plus1DConfig(
        depth=18, factorization="torchvision", init="kaiming"
    )
    assert find_backbone("tsm_resnet_50") == ResNetConfig(temporal_shift=True, shift_divisor=8)
    assert find_backbone("s3d_torchvision") == S3DConfig(variant="torchvision")
    assert find_backbone("r3d_50") == R3D50Config()
    assert find_backbone("r2d3d_18") == R2D3DConfig()
    assert find_backbone("mvit_b") == MViTConfig()
    assert find_backbone("mvit_b_k3") == MViTConfig(temporal_kernel=3)
    assert find_backbone("mvit_b_average") == MViTConfig(pooling="average")
    assert [name for name, config in BACKBONES.items() if config.width != 1.0] == ["mvit_small"]


def test_an_unknown_name_is_refused_with_close_ones_and_all() -> None:
    with pytest.raises(
        ValueError, match=r"no backbone is called 'RESNET50'; did you mean resnet_50"
    ) as caught:
        find_backbone("RESNET50")
    assert all(name in str(caught.value) for name in BACKBONES)
    with pytest.raises(ValueError, match=r"'transformer'; Known: c3d, r3d_10"):
        find_backbone("transformer")
