"""Which weights move how fast: each once, by the factors of the released codes, by depth."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from unreel.methods.method import ParameterGroup
from unreel.methods.weight_groups import Grouping, group_weights, list_layers
from unreel.models.backbone import Backbone
from unreel.models.c3d import C3DConfig
from unreel.models.mvit import MViTConfig
from unreel.models.r3d_plus1 import R3DPlus1Config
from unreel.models.resnet2d import ResNetConfig
from unreel.models.resnet3d import R2Plus1DConfig, R3DConfig
from unreel.models.s3d import S3DConfig
from unreel.models.zoo import BACKBONES, BackboneConfig, build_backbone
from unreel.train.optimizer import build_optimizer, set_learning_rate
from unreel.train.recipe import OptimizerConfig

C3D = C3DConfig(width=0.125)


def build(config: BackboneConfig) -> tuple[Backbone, nn.Linear]:
    with torch.device("meta"):  # names and shapes are enough
        backbone = build_backbone(config)
        return backbone, nn.Linear(backbone.num_features, 3)


def group_of(groups: list[ParameterGroup], parameter: nn.Parameter) -> ParameterGroup:
    (found,) = [group for group in groups if any(member is parameter for member in group.parameters)]
    return found


def factors_by_name(config: BackboneConfig, **settings: object) -> dict[str, tuple[float, float, float]]:
    """Return rate, decay and fixed rate of every weight; the classifier's are called fc."""
    backbone, classifier = build(config)
    groups = group_weights(backbone, classifier, **settings)
    named = [*backbone.named_parameters(), *((f"fc.{name}", w) for name, w in classifier.named_parameters())]
    found = {name: group_of(groups, parameter) for name, parameter in named}
    return {name: (group.lr_factor, group.decay_factor, group.fixed_lr) for name, group in found.items()}


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize(
    ("grouping", "layer_lr_decay"), [("uniform", 1.0), ("uniform", 0.5), ("tsm", 1.0), ("cacl_official", 1.0)]
)
def test_every_weight_is_in_one_group(name: str, grouping: Grouping, layer_lr_decay: float) -> None:
    backbone, classifier = build(replace(BACKBONES[name], width=0.125))
    if grouping == "cacl_official" and not hasattr(backbone, "res4") and not hasattr(backbone, "conv4a"):
        with pytest.raises(ValueError, match=r"names the last two stages of C3D, R3D .* take 'uniform'"):
            group_weights(backbone, classifier, grouping=grouping)
        return
    groups = group_weights(backbone, classifier, grouping=grouping, layer_lr_decay=layer_lr_decay)
    members = [id(parameter) for group in groups for parameter in group.parameters]
    everything = [id(parameter) for module in (backbone, classifier) for parameter in module.parameters()]
    assert len(set(members)) == len(members)
    assert sorted(members) == sorted(everything)


def test_by_default_all_weights_move_alike() -> None:
    assert set(factors_by_name(C3D).values()) == {(1.0, 1.0, 0.0)}


def test_the_backbone_may_move_more_slowly_than_the_classifier() -> None:
    found = factors_by_name(S3DConfig(width=0.125), backbone_lr_factor=0.1)
    assert {name for name, (rate, _, _) in found.items() if rate == 1.0} == {"fc.weight", "fc.bias"}
    assert {factors for name, factors in found.items() if not name.startswith("fc")} == {(0.1, 1.0, 0.0)}


def test_the_rate_falls_with_every_layer_away_from_the_classifier() -> None:
    found = factors_by_name(R3DConfig(depth=10, width=0.125), layer_lr_decay=0.5)
    # res5 is next to the classifier: one factor; the stem, five layers away, has 0.5 ** 5 = 0.03125.
    expected = {"fc": 1.0, "res5": 0.5, "res4": 0.25, "res3": 0.125, "res2": 0.0625, "stem": 0.03125}
    assert {name.partition(".")[0]: rate for name, (rate, _, _) in found.items()} == expected
    assert {rate for rate, _, _ in found.values()} == set(expected.values())


def test_both_factors_multiply() -> None:
    found = factors_by_name(R3DConfig(depth=10, width=0.125), layer_lr_decay=0.5, backbone_lr_factor=0.1)
    assert found["res4.0.conv1.weight"][0] == pytest.approx(0.025)  # 0.1 * 0.5 ** 2
    assert found["fc.weight"][0] == 1.0


def test_layers_of_a_transformer_are_its_blocks() -> None:
    config = MViTConfig(width=0.25, depths=(1, 1, 2, 2), size_px=64)
    backbone, _ = build(config)
    assert len(list_layers(backbone)) == 9  # cubes, positions, six blocks, normalisation
    found = factors_by_name(config, layer_lr_decay=0.5)
    assert found["norm.weight"][0] == 0.5
    # Behind block 0 of six lie five blocks and the normalisation.
    assert {rate for name, (rate, _, _) in found.items() if name.startswith("blocks.0.")} == {0.5**7}
    assert {rate for name, (rate, _, _) in found.items() if name.startswith("positions.")} == {0.5**8}


def test_a_network_inside_a_network_has_layers_of_its_own() -> None:
    found = factors_by_name(R3DPlus1Config(width=0.125), layer_lr_decay=0.5)
    assert {rate for name, (rate, _, _) in found.items() if name.startswith("conv6")} == {0.5}
    assert {rate for name, (rate, _, _) in found.items() if name.startswith("frames.res5")} == {0.25}
    assert {rate for name, (rate, _, _) in found.items() if name.startswith("frames.stem")} == {0.5**6}


class Bare(Backbone):
    """A weight of its own, a layer without weights, one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(2))
        self.activation = nn.ReLU()
        self.layer = nn.Linear(2, 2)
        self.num_features = 2

    def forward_map(self, clips_BCTHW: torch.Tensor) -> torch.Tensor:
        return clips_BCTHW


def test_weights_of_the_network_itself_count_to_the_first_layer() -> None:
    network = Bare()
    (layer,) = list_layers(network)
    assert [id(parameter) for parameter in layer] == [
        id(network.token),
        id(network.layer.weight),
        id(network.layer.bias),
    ]
    del network.layer
    assert [len(layer) for layer in list_layers(network)] == [1]


def test_tsm_moves_its_classifier_faster_and_spares_norms_and_biases_the_decay() -> None:
    found = factors_by_name(ResNetConfig(depth=18, width=0.125, temporal_shift=True), grouping="tsm")
    assert found["fc.weight"] == (5.0, 1.0, 0.0)
    assert found["fc.bias"] == (10.0, 0.0, 0.0)
    norms = {name for name, factors in found.items() if factors == (1.0, 0.0, 0.0)}
    assert {"stem.norm.weight", "stem.norm.bias", "res4.0.norm1.weight"} <= norms
    assert all(".norm" in name or name.startswith("res") for name in norms)
    convs = {name for name, factors in found.items() if factors == (1.0, 1.0, 0.0)}
    assert {"stem.conv.weight", "res5.1.conv2.weight"} <= convs
    assert len(norms) + len(convs) + 2 == len(found)  # these convolutions have no biases
    assert len(convs) == 20  # the stem, eight blocks of two, three shortcuts


def test_other_biases_of_tsm_move_twice_as_fast() -> None:
    found = factors_by_name(C3D, grouping="tsm")
    biases = {name for name, factors in found.items() if factors == (2.0, 0.0, 0.0)}
    assert biases == {f"conv{part}.conv.bias" for part in ("1", "2", "3a", "3b", "4a", "4b", "5a", "5b")}
    token = factors_by_name(MViTConfig(width=0.25, depths=(1, 1, 2, 2), size_px=64), grouping="tsm")
    assert token["positions.class_token"] == (1.0, 1.0, 0.0)
    assert token["norm.weight"] == (1.0, 0.0, 0.0)
    assert token["stem.bias"] == (2.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("config", "late"),
    [
        (C3D, ("conv4a", "conv4b", "conv5a", "conv5b")),
        (R3DConfig(depth=18, width=0.125), ("res4", "res5")),
        (R2Plus1DConfig(depth=10, width=0.125), ("res4", "res5")),
    ],
    ids=["c3d", "r3d", "r2plus1d"],
)
def test_the_released_code_of_cacl_keeps_the_last_stages_at_a_thousandth(
    config: BackboneConfig, late: tuple[str, ...]
) -> None:
    """Decision A6: conv4, conv5 and linear stay at 0.001 and the rest follows the schedule."""
    found = factors_by_name(config, grouping="cacl_official")
    fixed = {name for name, factors in found.items() if factors == (1.0, 1.0, 1e-3)}
    assert {name.partition(".")[0] for name in fixed} == {*late, "fc"}
    assert {factors for name, factors in found.items() if name not in fixed} == {(1.0, 1.0, 0.0)}


@pytest.mark.parametrize("grouping", ["tsm", "cacl_official"])
@pytest.mark.parametrize("factor", ["backbone_lr_factor", "layer_lr_decay"])
def test_factors_beside_a_grouping_with_its_own_are_refused(grouping: Grouping, factor: str) -> None:
    with pytest.raises(ValueError, match=rf"grouping='{grouping}' has factors of its own; .* got .*0.5"):
        group_weights(*build(C3D), grouping=grouping, **{factor: 0.5})


def test_the_optimiser_moves_the_groups_by_their_factors() -> None:
    backbone, classifier = (module.to_empty(device="cpu") for module in build(replace(C3D, width=0.0625)))
    for parameter in [*backbone.parameters(), *classifier.parameters()]:
        nn.init.zeros_(parameter)
        parameter.grad = torch.ones_like(parameter)
    groups = group_weights(backbone, classifier, grouping="tsm")
    optimizer = build_optimizer(OptimizerConfig(lr=0.5, momentum=0.0, weight_decay=0.1), groups)
    set_learning_rate(optimizer, 0.01)
    optimizer.step()
    assert classifier.weight.flatten()[0].item() == pytest.approx(-0.05)
    assert classifier.bias[0].item() == pytest.approx(-0.1)
    (conv,) = [p for name, p in backbone.named_parameters() if name.startswith("conv1.") and p.dim() == 5]
    assert conv.flatten()[0].item() == pytest.approx(-0.01)
    official = build_optimizer(
        OptimizerConfig(lr=0.5), group_weights(backbone, classifier, grouping="cacl_official")
    )
    set_learning_rate(official, 0.25)
    assert [group["lr"] for group in official.param_groups] == [0.25, 1e-3]
