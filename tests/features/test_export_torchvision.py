import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.models.network_checks import build_on_meta
from tests.models.test_torchvision_names import (
    Shapes,
    mvit_v1_b,
    r2plus1d_18,
    r3d_18,
    resnet18,
    resnet50,
    s3d,
)
from unreel.errors import WeightsError
from unreel.features.classifier import Classifier
from unreel.features.classifier_files import ClassifierConfig
from unreel.features.encoder import Encoder
from unreel.features.encoder_files import EncoderConfig
from unreel.features.export_source import ExportSource
from unreel.features.export_torchvision import _TWINS, export_torchvision, find_twin
from unreel.features.input_spec import InputSpec
from unreel.models.c3d import C3DConfig
from unreel.models.mvit import MViTConfig
from unreel.models.r3d_plus1 import R3DPlus1Config
from unreel.models.resnet2d import ResNetConfig
from unreel.models.resnet3d import R2Plus1DConfig, R3DConfig
from unreel.models.s3d import S3DConfig
from unreel.models.torchvision_names import from_torchvision, to_torchvision
from unreel.models.zoo import BACKBONES, BackboneConfig, build_backbone

SPEC = InputSpec(num_frames=8, decode_height=64, decode_width=64, crop_px=32)
SHAPES = {
    "resnet18": resnet18,
    "resnet50": resnet50,
    "r3d_18": r3d_18,
    "r2plus1d_18": r2plus1d_18,
    "s3d": s3d,
    "mvit_v1_b": mvit_v1_b,
}


def build_source(config: BackboneConfig = ResNetConfig(depth=18)) -> ExportSource:  # noqa: B008
    return ExportSource(Encoder.untrained(EncoderConfig(config, SPEC)), Path("unused"), {"method": "SeCo"})


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files") / "out"
    assert export_torchvision(build_source(), folder) == "torchvision.models.resnet18"
    return folder


def test_both_files_have_torchvisions_names_and_shapes(exported: Path) -> None:
    assert sorted(os.listdir(exported)) == ["info.json", "model.pth", "model.safetensors"]
    plain = torch.load(exported / "model.pth", weights_only=True)
    safe = load_file(exported / "model.safetensors")
    expected: Shapes = resnet18()
    assert [(name, tuple(value.shape)) for name, value in plain.items()] == expected
    assert {(name, tuple(value.shape)) for name, value in safe.items()} == set(expected)
    assert all(torch.equal(plain[name], safe[name]) for name in plain)


def test_the_pth_file_is_a_plain_dictionary_of_tensors(exported: Path) -> None:
    state = torch.load(exported / "model.pth", weights_only=True)
    assert type(state) is dict
    assert {type(value) for value in state.values()} == {torch.Tensor}
    assert not any(value.requires_grad for value in state.values())


def test_the_weights_come_back_as_they_went(exported: Path) -> None:
    source = build_source()
    other = build_backbone(source.model.config.backbone)
    other.load_state_dict(from_torchvision(other, torch.load(exported / "model.pth", weights_only=True)))
    for name, value in source.model.backbone.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name


def test_the_description_says_how_to_load_it(exported: Path) -> None:
    info = json.loads((exported / "info.json").read_text())
    assert info["network"] == "torchvision.models.resnet18"
    assert info["load"] == (
        "network = torchvision.models.resnet18(); "
        'network.load_state_dict(torch.load("model.pth", weights_only=True), strict=False)'
    )
    compile(info["load"], "info", "exec")
    assert info["input"]["crop_px"] == 32
    assert info["training"] == {"method": "SeCo"}


@pytest.mark.parametrize("twin", _TWINS)
def test_every_twin_has_the_shapes_of_torchvisions_network(twin: str) -> None:
    state = to_torchvision(build_on_meta(_TWINS[twin]))
    expected = SHAPES[twin.rpartition(".")[2]]()
    assert [(name, tuple(value.shape)) for name, value in state.items()] == expected


@pytest.mark.parametrize("twin", _TWINS)
def test_every_twin_is_found(twin: str) -> None:
    assert find_twin(_TWINS[twin]) == twin


def test_how_weights_were_drawn_plays_no_role() -> None:
    assert find_twin(R3DConfig(depth=18, init="kaiming")) == "torchvision.models.video.r3d_18"
    assert find_twin(MViTConfig(temporal_kernel=3, drop_path=0.2)) == "torchvision.models.video.mvit_v1_b"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (C3DConfig(), "no network like this c3d; it has counterparts of"),
        (R3DPlus1Config(), "no network like this r3d_plus1; it has"),
        (ResNetConfig(depth=18, width=0.5), r"resnet18 has width 1.0, not 0.5"),
        (ResNetConfig(depth=50, temporal_shift=True), r"resnet50 has temporal_shift False, not True"),
        (R3DConfig(depth=34), r"r3d_18 has depth 18, not 34"),
        (R2Plus1DConfig(depth=18), r"r2plus1d_18 has factorization 'torchvision', not 'cacl'"),
        (S3DConfig(), r"s3d has variant 'torchvision', not 'coclr'"),
        (MViTConfig(), r"mvit_v1_b has temporal_kernel 3, not 2"),
        (MViTConfig(temporal_kernel=3, pooling="average"), "has pooling 'class_token', not 'average'"),
        (MViTConfig(temporal_kernel=3, size_px=112), "has size_px 224, not 112"),
    ],
)
def test_a_network_that_torchvision_lacks_is_refused(config: BackboneConfig, words: str) -> None:
    with pytest.raises(WeightsError, match=words) as refusal:
        find_twin(config)
    for name in SHAPES:
        assert name in str(refusal.value)


def test_every_backbone_of_the_zoo_is_either_written_or_refused() -> None:
    found = set()
    for config in BACKBONES.values():
        try:
            found.add(find_twin(config))
        except WeightsError:
            continue
    assert found == set(_TWINS)


def test_a_refusal_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        export_torchvision(build_source(R3DConfig(depth=10, width=0.0625)), tmp_path / "out")
    assert os.listdir(tmp_path) == []


def test_a_folder_with_something_in_it_is_refused(exported: Path) -> None:
    with pytest.raises(ValueError, match="is not empty"):
        export_torchvision(build_source(), exported)


@pytest.mark.parametrize(
    ("config", "layer", "shape"),
    [
        (ResNetConfig(depth=18), "fc", (3, 512)),
        (S3DConfig(variant="torchvision"), "classifier.1", (3, 1024, 1, 1, 1)),
    ],
    ids=["resnet", "s3d"],
)
def test_a_classifier_brings_torchvisions_last_layer(
    tmp_path: Path, config: Any, layer: str, shape: tuple[int, ...]
) -> None:
    classifier = Classifier.untrained(ClassifierConfig(config, SPEC, classes=("a", "b", "c")))
    export_torchvision(ExportSource(classifier, tmp_path, {}), tmp_path / "out")
    state = torch.load(tmp_path / "out" / "model.pth", weights_only=True)
    assert tuple(state[f"{layer}.weight"].shape) == shape
    assert torch.equal(state[f"{layer}.weight"].flatten(1), classifier.head.linear.weight)
    assert torch.equal(state[f"{layer}.bias"], classifier.head.linear.bias)
    info = json.loads((tmp_path / "out" / "info.json").read_text())
    assert info["classes"] == ["a", "b", "c"]
    assert "(num_classes=3)" in info["load"]
    assert info["load"].endswith("strict=True)")


def test_every_setting_but_those_of_training_sets_networks_apart() -> None:
    for own in _TWINS.values():
        for field in dataclasses.fields(own):
            assert hasattr(own, field.name)
            if field.name == "width":
                with pytest.raises(WeightsError):
                    find_twin(dataclasses.replace(own, width=0.5))
