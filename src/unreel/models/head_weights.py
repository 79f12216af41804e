"""Heads that start from the projection that a file holds beside its backbone."""

from pathlib import Path

import torch
from torch import Tensor, nn

from unreel.models.heads import ProjectionHead
from unreel.models.momentum import MomentumEncoder
from unreel.models.multi_head import MultiHeadEncoder
from unreel.models.weight_matching import LoadReport, Naming, ShapeMismatch
from unreel.models.weights import load_backbone_weights, load_state_dict_file


def load_multi_head(encoder: MultiHeadEncoder, path: Path) -> dict[str, LoadReport]:
    """Load a backbone and as many heads as the file has, in place.

    Returns:
        What fitted, under "backbone" and "heads".

    Raises:
        WeightsError: the file cannot be read or does not fit the backbone.
    """
    backbone = load_backbone_weights(encoder.backbone, path)
    return {"backbone": backbone, "heads": load_head_weights(encoder.heads, path, backbone=backbone)}


def load_both_networks(
    online: MultiHeadEncoder, key_encoder: MomentumEncoder, path: Path
) -> dict[str, LoadReport]:
    """Load a network as `load_multi_head` does; its momentum encoder starts from the same, in place.

    Heads that the file does not fill keep their values and are copied too.

    Raises:
        WeightsError: the file cannot be read or does not fit the backbone.
    """
    reports = load_multi_head(online, path)
    key_encoder.network.load_state_dict(online.state_dict())
    return reports


def load_head_weights(heads: nn.ModuleDict, path: Path, *, backbone: LoadReport) -> LoadReport:
    """Copy the projections of a file into heads, in place, and tell what fitted.

    A file of MoCo has one projection, ``fc.0`` and ``fc.2`` beside the backbone, and a checkpoint of our MoCo
    has ``head.layers``: it goes into every head. A checkpoint of a method with several heads gives each head
    the one of its name. A head that does not fit as a whole keeps its values, as half a head is worth
    nothing.

    Args:
        heads: `ProjectionHead` by name.
        path: the file that the backbone was loaded from.
        backbone: what was loaded there; it says where in the file to look.

    Returns:
        A report whose names are those of the heads' layers, such as ``video.0.weight``.

    Raises:
        WeightsError: the file cannot be read.
    """
    state = load_state_dict_file(path)
    prefix, naming, is_by_name = _locate(state, backbone.prefix)
    loaded: list[str] = []
    missing: list[str] = []
    mismatched: list[ShapeMismatch] = []
    for head_name, head in heads.items():
        assert isinstance(head, ProjectionHead)
        source = f"{prefix}{head_name}.layers." if is_by_name else prefix
        layers = head.layers.state_dict(keep_vars=True)
        absent = [f"{head_name}.{layer}" for layer in layers if source + layer not in state]
        unlike = [
            ShapeMismatch(f"{head_name}.{layer}", tuple(state[source + layer].shape), tuple(value.shape))
            for layer, value in layers.items()
            if source + layer in state and state[source + layer].shape != value.shape
        ]
        missing += absent
        mismatched += unlike
        if absent or unlike:
            continue
        with torch.no_grad():
            for layer, value in layers.items():
                value.copy_(state[source + layer])
        loaded += [f"{head_name}.{layer}" for layer in layers]
    return LoadReport(
        prefix=prefix,
        naming=naming,
        loaded=tuple(loaded),
        missing=tuple(missing),
        mismatched=tuple(mismatched),
        ignored_heads=(),
        unexpected=(),
        outside=(),
        file=backbone.file,
        file_hash=backbone.file_hash,
    )


def _locate(state: dict[str, Tensor], backbone_prefix: str) -> tuple[str, Naming, bool]:
    """Return what stands before the layers, whose names they are, and whether each head has its own."""
    own = backbone_prefix.removesuffix("backbone.")
    if any(name.startswith(own + "heads.") for name in state):
        return own + "heads.", "unreel", True
    if any(name.startswith(own + "head.layers.") for name in state):
        return own + "head.layers.", "unreel", False
    return backbone_prefix + "fc.", "torchvision", False
