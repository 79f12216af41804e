"""Heads that start from the projection that a file holds beside its backbone."""

from pathlib import Path

import torch
from torch import Tensor, nn

from unreel.models.heads import ProjectionHead
from unreel.models.weight_matching import LoadReport, Naming, ShapeMismatch
from unreel.models.weights import load_state_dict_file


def load_head_weights(heads: nn.ModuleDict, path: Path, *, backbone: LoadReport) -> LoadReport:
    """Copy one projection of a file into every head, in place, and tell what fitted.

    A file of MoCo has it as ``fc.0`` and ``fc.2`` beside the backbone, a checkpoint of our MoCo as
    ``head.layers``. Heads that do not fit as a whole keep their values, as half a head is worth nothing.

    Args:
        heads: of one architecture, `ProjectionHead`.
        path: the file that the backbone was loaded from.
        backbone: what was loaded there; it says where in the file to look.

    Raises:
        WeightsError: the file cannot be read.
    """
    state = load_state_dict_file(path)
    wanted = _wanted(heads)
    prefix, naming = _locate(state, backbone.prefix)
    mismatched = tuple(
        ShapeMismatch(layer, tuple(state[prefix + layer].shape), tuple(value.shape))
        for layer, value in wanted.items()
        if prefix + layer in state and state[prefix + layer].shape != value.shape
    )
    missing = tuple(layer for layer in wanted if prefix + layer not in state)
    is_whole = not mismatched and not missing
    if is_whole:
        for head in heads.values():
            assert isinstance(head, ProjectionHead)
            with torch.no_grad():
                for layer, value in head.layers.state_dict(keep_vars=True).items():
                    value.copy_(state[prefix + layer])
    return LoadReport(
        prefix=prefix,
        naming=naming,
        loaded=tuple(wanted) if is_whole else (),
        missing=missing,
        mismatched=mismatched,
        ignored_heads=(),
        unexpected=(),
        outside=(),
        file=backbone.file,
        file_hash=backbone.file_hash,
    )


def _wanted(heads: nn.ModuleDict) -> dict[str, Tensor]:
    """Return the layers of a head by name; all heads have the same."""
    head = next(iter(heads.values()))
    assert isinstance(head, ProjectionHead)
    return head.layers.state_dict()


def _locate(state: dict[str, Tensor], backbone_prefix: str) -> tuple[str, Naming]:
    own = backbone_prefix.removesuffix("backbone.") + "head.layers."
    if any(name.startswith(own) for name in state):
        return own, "unreel"
    return backbone_prefix + "fc.", "torchvision"
