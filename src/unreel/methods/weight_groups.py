"""Weights of a network with a classifier, by how fast they move in fine-tuning."""

from collections.abc import Iterator
from typing import Literal

from torch import nn

from unreel.methods.method import ParameterGroup
from unreel.models.backbone import Backbone

Grouping = Literal["uniform", "tsm", "cacl_official"]
"""How the learning rate differs from weight to weight.

"uniform": by depth alone, if at all. "tsm": the classifier's weights five times, its biases ten times, other
biases twice as fast; biases and normalisation do not decay. "cacl_official": the last two stages and the
classifier at 0.001 throughout, the rest by the schedule (decision A6).
"""

_CACL_FIXED_LR = 1e-3
_CACL_LAST_STAGES = ("conv4", "conv5", "res4", "res5")


def group_weights(
    backbone: Backbone,
    classifier: nn.Linear,
    *,
    grouping: Grouping = "uniform",
    backbone_lr_factor: float = 1.0,
    layer_lr_decay: float = 1.0,
) -> list[ParameterGroup]:
    """Return the weights that learn, each once.

    Args:
        backbone: the network.
        classifier: its last layer; its rate is the schedule's where grouping is "uniform".
        grouping: which weights differ.
        backbone_lr_factor: multiplies the rate of the backbone.
        layer_lr_decay: multiplies the rate once more for every layer that lies between a weight and the
            classifier; the last layer of the backbone has one factor.

    Raises:
        ValueError: the backbone has no stages that "cacl_official" names, or a factor comes with a grouping
            that has its own.

    Reference: the released code of TSM (Lin et al., 2019) and of CACL; Howard and Ruder, 2018, section 3.2.
    """
    if grouping != "uniform":
        if (backbone_lr_factor, layer_lr_decay) != (1.0, 1.0):
            raise ValueError(
                f"grouping={grouping!r} has factors of its own; leave backbone_lr_factor and layer_lr_decay "
                f"at 1, got {backbone_lr_factor} and {layer_lr_decay}"
            )
        return _group_tsm(backbone, classifier) if grouping == "tsm" else _group_cacl(backbone, classifier)
    layers = list_layers(backbone)
    groups = [
        ParameterGroup(layer, lr_factor=backbone_lr_factor * layer_lr_decay ** (len(layers) - place))
        for place, layer in enumerate(layers)
    ]
    if layer_lr_decay == 1.0:
        together = [parameter for layer in layers for parameter in layer]
        groups = [ParameterGroup(together, lr_factor=backbone_lr_factor)]
    return [*groups, ParameterGroup(list(classifier.parameters()))]


def list_layers(backbone: Backbone) -> list[list[nn.Parameter]]:
    """Return the parameters of a backbone by layer, from the first to the last.

    A layer is a direct child, or a member of a child that is a list; a child that is a backbone itself, as in
    R3D-18+1, gives its own layers. Parameters that belong to the backbone itself count to the first layer.
    """
    layers = [list(module.parameters()) for module in _iterate_layers(backbone)]
    layers = [layer for layer in layers if layer] or [[]]
    layers[0] = [*backbone.parameters(recurse=False), *layers[0]]
    return layers


def _iterate_layers(backbone: Backbone) -> Iterator[nn.Module]:
    for child in backbone.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        elif isinstance(child, Backbone):
            yield from _iterate_layers(child)
        else:
            yield child


def _group_tsm(backbone: Backbone, classifier: nn.Linear) -> list[ParameterGroup]:
    biases: list[nn.Parameter] = []
    norms: list[nn.Parameter] = []
    weights: list[nn.Parameter] = []
    for module in backbone.modules():
        is_norm = isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.LayerNorm))
        for name, parameter in module.named_parameters(recurse=False):
            members = norms if is_norm else biases if name == "bias" else weights
            members.append(parameter)
    own = dict(classifier.named_parameters())
    return [
        ParameterGroup(weights),
        ParameterGroup(biases, lr_factor=2.0, decay_factor=0.0),
        ParameterGroup(norms, decay_factor=0.0),
        ParameterGroup([own["weight"]], lr_factor=5.0),
        ParameterGroup([own["bias"]], lr_factor=10.0, decay_factor=0.0),
    ]


def _group_cacl(backbone: Backbone, classifier: nn.Linear) -> list[ParameterGroup]:
    early: list[nn.Parameter] = []
    late: list[nn.Parameter] = []
    for name, parameter in backbone.named_parameters():
        (late if name.startswith(_CACL_LAST_STAGES) else early).append(parameter)
    if not late:
        raise ValueError(
            f"grouping='cacl_official' names the last two stages of C3D, R3D and R(2+1)D, and "
            f"{type(backbone).__name__} has none of these names; take 'uniform'"
        )
    return [ParameterGroup(early), ParameterGroup([*late, *classifier.parameters()], fixed_lr=_CACL_FIXED_LR)]
