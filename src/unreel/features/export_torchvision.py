"""Weights in torchvision's names, for the networks that torchvision has."""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from unreel.config import config_to_dict
from unreel.errors import WeightsError
from unreel.features.classifier import Classifier
from unreel.features.export_folder import new_folder
from unreel.features.export_source import ExportSource
from unreel.models.mvit import MViTConfig
from unreel.models.resnet2d import ResNetConfig
from unreel.models.resnet3d import R2Plus1DConfig, R3DConfig
from unreel.models.s3d import S3DConfig
from unreel.models.torchvision_names import to_torchvision
from unreel.models.zoo import BackboneConfig
from unreel.runs import write_json

WEIGHTS_FILE, PICKLE_FILE, INFO_FILE = "model.safetensors", "model.pth", "info.json"

_TWINS: dict[str, BackboneConfig] = {
    "torchvision.models.resnet18": ResNetConfig(depth=18),
    "torchvision.models.resnet50": ResNetConfig(depth=50),
    "torchvision.models.video.r3d_18": R3DConfig(depth=18),
    "torchvision.models.video.r2plus1d_18": R2Plus1DConfig(depth=18, factorization="torchvision"),
    "torchvision.models.video.s3d": S3DConfig(variant="torchvision"),
    "torchvision.models.video.mvit_v1_b": MViTConfig(temporal_kernel=3),
}
_CLASSIFIERS = {"s3d": "classifier.1", "mvit": "head.1"}
"""Name of torchvision's last layer by architecture; that of all others is ``fc``."""
_WITHOUT_EFFECT = {"init", "drop_path", "shift_divisor"}
"""Settings that a trained network without temporal shift no longer depends on."""


def find_twin(config: BackboneConfig) -> str:
    """Return the function of torchvision that builds the same network.

    Raises:
        WeightsError: there is none; the message names the nearest and what sets it apart, or all.
    """
    known = "; ".join(f"{twin.rpartition('.')[2]} ({_describe(own)})" for twin, own in _TWINS.items())
    apart = []
    for twin, own in _TWINS.items():
        if type(own) is type(config):
            differences = _find_differences(config, own)
            if not differences:
                return twin
            apart.append(f"{twin.rpartition('.')[2]} has {', '.join(differences)}")
    reason = f" ({'; '.join(apart)})" if apart else ""
    raise WeightsError(
        f"torchvision has no network like this {config.architecture}{reason}; it has counterparts "
        f"of {known}. Export another format: huggingface, onnx"
    )


def export_torchvision(source: ExportSource, folder: Path) -> str:
    """Write ``model.safetensors`` and ``model.pth`` in torchvision's names, and ``info.json``.

    An encoder loads with ``strict=False``, which leaves torchvision's own classifier as it was drawn.
    ``model.pth`` holds nothing but tensors and loads with ``weights_only=True``.

    Returns:
        The function of torchvision that builds the network.

    Raises:
        WeightsError: torchvision has no such network.
        ValueError: ``folder`` is a file or not empty.
    """
    twin = find_twin(source.model.config.backbone)
    state = {**to_torchvision(source.model.backbone), **_name_classifier(source)}
    state = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    with new_folder(folder) as inner:
        save_file(state, inner / WEIGHTS_FILE, metadata={"format": "pt"})
        torch.save(state, inner / PICKLE_FILE)
        write_json(inner / INFO_FILE, _describe_files(source, twin))
    return twin


def _name_classifier(source: ExportSource) -> dict[str, Tensor]:
    if not isinstance(source.model, Classifier):
        return {}
    architecture, linear = source.model.config.backbone.architecture, source.model.head.linear
    # The last layer of torchvision's S3D is a convolution over single positions.
    weight = linear.weight[:, :, None, None, None] if architecture == "s3d" else linear.weight
    layer = _CLASSIFIERS.get(architecture, "fc")
    return {f"{layer}.weight": weight, f"{layer}.bias": linear.bias}


def _describe_files(source: ExportSource, twin: str) -> dict[str, Any]:
    model = source.model
    classes = list(model.classes) if isinstance(model, Classifier) else []
    build = f"{twin}(num_classes={len(classes)})" if classes else f"{twin}()"
    way = f'torch.load("{PICKLE_FILE}", weights_only=True)'
    return {
        "network": twin,
        "load": f"network = {build}; network.load_state_dict({way}, strict={bool(classes)})",
        **(
            {"classes": classes} if classes else {"missing": "torchvision's classifier stays as it was drawn"}
        ),
        "input": config_to_dict(model.spec),
        "hash": model.hash,
        "training": source.facts,
    }


def _find_differences(config: BackboneConfig, twin: BackboneConfig) -> list[str]:
    return [
        f"{field.name} {getattr(twin, field.name)!r}, not {getattr(config, field.name)!r}"
        for field in dataclasses.fields(config)
        if field.name not in _WITHOUT_EFFECT and getattr(config, field.name) != getattr(twin, field.name)
    ]


def _describe(config: BackboneConfig) -> str:
    settings = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if field.name in ("architecture", "depth") or getattr(config, field.name) != field.default
    }
    return " ".join(
        str(value) if name == "architecture" else f"{name}={value}" for name, value in settings.items()
    )
