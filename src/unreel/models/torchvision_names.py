"""State dictionaries in torchvision's names, both ways, so that weights move freely.

A block of ours and its counterpart::

    res2.0.conv1.weight           layer1.0.conv1.weight          resnet18, resnet50
    res2.0.norm1.weight           layer1.0.bn1.weight
    res2.0.conv1.weight           layer1.0.conv1.0.weight        r3d_18
    res2.0.norm1.weight           layer1.0.conv1.1.weight
    res2.0.conv1.temporal.weight  layer1.0.conv1.0.3.weight      r2plus1d_18
    mixed3.0.branch0.conv.weight  features.5.branch0.0.weight    s3d
    blocks.0.attention.out.bias   blocks.0.attn.project.0.bias   mvit_v1_b

Classifiers (``fc``, ``classifier``, ``head``) have no counterpart here.
"""

import re
from collections.abc import Mapping

from torch import Tensor

from unreel.models.backbone import Backbone
from unreel.models.mvit import MViT
from unreel.models.r3d_plus1 import R3DPlus1
from unreel.models.resnet2d import ResNet2D
from unreel.models.resnet3d import ResNet3D
from unreel.models.s3d import S3D

Rules = tuple[tuple[str, str], ...]

_SHARED: Rules = (
    (r"\.shortcut\.conv\.", ".downsample.0."),
    (r"\.shortcut\.norm\.", ".downsample.1."),
)
_RULES_2D: Rules = (
    (r"^stem\.conv\.", "conv1."),
    (r"^stem\.norm\.", "bn1."),
    *_SHARED,
    (r"\.norm(\d)\.", r".bn\1."),
)
_RULES_3D: Rules = (
    (r"^stem\.conv\.weight", "stem.0.weight"),
    (r"^stem\.norm\.", "stem.1."),
    *_SHARED,
    (r"\.conv(\d)\.weight", r".conv\1.0.weight"),
    (r"\.norm(\d)\.", r".conv\1.1."),
)
_RULES_FACTORIZED: Rules = (
    (r"^stem\.conv\.spatial\.", "stem.0."),
    (r"^stem\.conv\.norm\.", "stem.1."),
    (r"^stem\.conv\.temporal\.", "stem.3."),
    (r"^stem\.norm\.", "stem.4."),
    *_SHARED,
    (r"\.conv(\d)\.spatial\.", r".conv\1.0.0."),
    (r"\.conv(\d)\.norm\.", r".conv\1.0.1."),
    (r"\.conv(\d)\.temporal\.", r".conv\1.0.3."),
    (r"\.norm(\d)\.", r".conv\1.1."),
)
# torchvision counts convolutions, poolings and blocks in one row; the poolings are 1, 4, 7 and 13.
_S3D_PLACES = {3: (5, 6), 4: (8, 9, 10, 11, 12), 5: (14, 15)}
_RULES_S3D: Rules = (
    (r"^conv1\.", "features.0."),
    (r"^conv2b\.", "features.2."),
    (r"^conv2c\.", "features.3."),
    *(
        (rf"^mixed{stage}\.{block}\.", f"features.{place}.")
        for stage, places in _S3D_PLACES.items()
        for block, place in enumerate(places)
    ),
    (r"\.(reduce|spatial)\.", ".0."),
    (r"\.(separable|project)\.", ".1."),
    (r"\.temporal\.", ".1."),
    (r"\.conv\.", ".0."),
    (r"\.norm\.", ".1."),
)
_RULES_MVIT: Rules = (
    (r"^stem\.", "conv_proj."),
    (r"^positions\.class_position", "pos_encoding.class_pos"),
    (r"^positions\.(spatial|temporal)", r"pos_encoding.\1_pos"),
    (r"^positions\.", "pos_encoding."),
    (r"\.attention\.out\.", ".attn.project.0."),
    (r"\.attention\.", ".attn."),
    (r"\.pool_(\w)\w+\.conv\.", r".pool_\1.pool."),
    (r"\.pool_(\w)\w+\.norm\.", r".pool_\1.norm_act.0."),
    # Between the two layers of the perceptron it counts an activation and a dropout, we the activation.
    (r"\.mlp\.2\.", ".mlp.3."),
)


def map_to_torchvision(backbone: Backbone) -> dict[str, str]:
    """Return torchvision's name of every weight and buffer that has one, by our name, in order.

    Empty for networks that torchvision does not have, R(2+1)D as CACL factorises it among them. Of R3D-18+1,
    all up to res5 has the name it would have in a 2D ResNet-18, and conv6 has none (decision L16). The shapes
    of torchvision's MViT are those of ``temporal_kernel=3``; with 2, all but the first layer agree.
    """
    prefix, rules = _find_rules(backbone)
    keys = [key for key in backbone.state_dict() if rules and key.startswith(prefix)]
    return {key: _rename(key.removeprefix(prefix), rules) for key in keys}


def _find_rules(backbone: Backbone) -> tuple[str, Rules]:
    if isinstance(backbone, R3DPlus1):
        return "frames.", _RULES_2D
    if isinstance(backbone, ResNet2D):
        return "", _RULES_2D
    if isinstance(backbone, ResNet3D):
        return "", {"none": _RULES_3D, "torchvision": _RULES_FACTORIZED, "cacl": ()}[backbone.factorization]
    if isinstance(backbone, MViT):
        return "", _RULES_MVIT
    return "", _RULES_S3D if isinstance(backbone, S3D) else ()


def _rename(key: str, rules: Rules) -> str:
    key = re.sub(r"^res(\d)\.", lambda found: f"layer{int(found[1]) - 1}.", key)
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key


def to_torchvision(backbone: Backbone) -> dict[str, Tensor]:
    """Return a backbone's weights and buffers in torchvision's names and order, without classifier.

    They load into torchvision's network with ``strict=False``; only its classifier is then missing.

    Raises:
        ValueError: torchvision has no such network, or not all of its layers.
    """
    names = map_to_torchvision(backbone)
    state = backbone.state_dict()
    without = [key for key in state if key not in names]
    if without:
        remedy = (
            "convert its `frames` alone"
            if names
            else "ResNet, R3D, R(2+1)D-torchvision, S3D and MViT can be converted"
        )
        raise ValueError(
            f"torchvision has no counterpart of {type(backbone).__name__}'s {without[0]} "
            f"({len(without)} of {len(state)} entries); {remedy}"
        )
    return {names[key]: value for key, value in state.items()}


def from_torchvision(backbone: Backbone, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dictionary in our names; what has no counterpart in the backbone keeps its name.

    Args:
        backbone: says which names there are; its own weights are not read or changed.
        state: in torchvision's names.

    Raises:
        ValueError: torchvision has no such network.
    """
    own_names = {theirs: own for own, theirs in map_to_torchvision(backbone).items()}
    if not own_names:
        raise ValueError(
            f"torchvision has no counterpart of this {type(backbone).__name__}; "
            "ResNet, R3D, R3D-18+1, R(2+1)D-torchvision, S3D and MViT can be converted"
        )
    return {own_names.get(key, key): value for key, value in state.items()}
