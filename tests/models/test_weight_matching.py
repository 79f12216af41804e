import pytest
import torch
from torch import Tensor

from unreel.models.c3d import C3D
from unreel.models.r3d_plus1 import R3DPlus1
from unreel.models.resnet2d import ResNet2D
from unreel.models.resnet3d import ResNet3D
from unreel.models.torchvision_names import to_torchvision
from unreel.models.weight_matching import ShapeMismatch, join_names, match_weights

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def network() -> ResNet2D:
    return ResNet2D(depth=18, width=0.125)


def add_prefix(state: State, prefix: str) -> State:
    return {prefix + key: value for key, value in state.items()}


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "module.",
        "encoder_q.",
        "encoder_q.0.",
        "module.encoder_q.",
        "module.encoder_q.0.",
        "backbone.",
        "model.",
        "base_encoder.",
        "query.",
        "module.module.model.backbone.",
        "some.other.code.",
    ],
)
@pytest.mark.parametrize("naming", ["unreel", "torchvision"])
def test_any_prefix_and_both_namings_are_found(network: ResNet2D, prefix: str, naming: str) -> None:
    state = network.state_dict() if naming == "unreel" else to_torchvision(network)
    fitting, report = match_weights(network, add_prefix(state, prefix))
    assert (report.prefix, report.naming) == (prefix, naming)
    assert fitting.keys() == network.state_dict().keys()
    assert all(torch.equal(fitting[name], value) for name, value in network.state_dict().items())
    assert report.loaded == tuple(network.state_dict())
    assert (report.missing, report.mismatched, report.unexpected, report.outside) == ((), (), (), ())
    assert report.share_loaded == 1.0


@pytest.mark.parametrize(
    ("query", "momentum"),
    [
        ("module.encoder_q.", "module.encoder_k."),
        ("online.backbone.", "key_encoder.network.backbone."),
        ("backbone.", "backbone_momentum."),
        ("student.", "teacher."),
        ("net.", "momentum_encoder.net."),
        ("online_network.", "target_network."),
    ],
)
def test_the_query_encoder_is_taken_wherever_it_stands(network: ResNet2D, query: str, momentum: str) -> None:
    own, other = to_torchvision(network), {key: value + 1 for key, value in to_torchvision(network).items()}
    for state in (
        add_prefix(own, query) | add_prefix(other, momentum),
        add_prefix(other, momentum) | add_prefix(own, query),
    ):
        fitting, report = match_weights(network, state)
        assert report.prefix == query
        assert torch.equal(fitting["stem.conv.weight"], network.stem.conv.weight)
        assert set(report.outside) == set(add_prefix(other, momentum))


def test_a_momentum_encoder_alone_is_still_found(network: ResNet2D) -> None:
    _, report = match_weights(network, add_prefix(network.state_dict(), "encoder_k."))
    assert report.prefix == "encoder_k."
    assert report.share_loaded == 1.0


def test_the_network_of_the_right_shape_is_found_beside_another() -> None:
    """Names of a 3D and of a 2D network overlap; shapes decide."""
    network, other = ResNet3D(depth=10, width=0.125), ResNet2D(depth=50, width=0.125)
    state = add_prefix(other.state_dict(), "frame_network.") | add_prefix(network.state_dict(), "cnn.")
    assert match_weights(network, state)[1].prefix == "cnn."
    assert match_weights(other, state)[1].prefix == "frame_network."


def test_a_file_of_moco_is_sorted_into_its_parts(network: ResNet2D) -> None:
    state = {key: value for key, value in to_torchvision(network).items() if "num_batches" not in key}
    query = add_prefix(state, "module.encoder_q.")
    heads = {"module.encoder_q.fc.0.weight": torch.zeros(1), "module.encoder_q.fc.2.bias": torch.zeros(1)}
    other = add_prefix(state, "module.encoder_k.") | {"module.queue": torch.zeros(2)}
    extra = {"module.encoder_q.layer9.weight": torch.zeros(1)}
    _, report = match_weights(network, query | heads | other | extra)
    assert report.ignored_heads == tuple(heads)
    assert report.unexpected == tuple(extra)
    assert report.outside == tuple(other)
    assert report.missing == ()
    assert report.share_loaded == 1.0


def test_what_is_missing_or_of_another_shape_is_named(network: ResNet2D) -> None:
    state = network.state_dict()
    del state["res5.1.norm2.bias"]
    state["stem.conv.weight"] = torch.zeros(8, 1, 7, 7)
    fitting, report = match_weights(network, state)
    assert report.missing == ("res5.1.norm2.bias",)
    assert report.mismatched == (ShapeMismatch("stem.conv.weight", (8, 1, 7, 7), (8, 3, 7, 7)),)
    assert (
        str(report.mismatched[0]) == "stem.conv.weight: (8, 1, 7, 7) in the file, (8, 3, 7, 7) in the network"
    )
    assert "stem.conv.weight" not in fitting
    # 20 convolutions and 20 normalisations of four entries are 100; two of them do not fit.
    assert report.share_loaded == pytest.approx(98 / 100)


def test_another_width_is_a_mismatch_of_every_weight(network: ResNet2D) -> None:
    fitting, report = match_weights(network, ResNet2D(depth=18, width=0.25).state_dict())
    assert report.share_loaded == 0.0
    assert all(name.endswith("num_batches_tracked") for name in fitting)
    assert len(report.mismatched) == 100


def test_r3d_plus1_takes_a_2d_resnet_18_and_names_conv6(network: ResNet2D) -> None:
    target = R3DPlus1(width=0.125)
    fitting, report = match_weights(target, add_prefix(to_torchvision(network), "module."))
    assert torch.equal(fitting["frames.res5.1.conv2.weight"], network.res5[1].conv2.weight)
    assert report.naming == "torchvision"
    assert report.missing == (
        "conv6.conv.weight",
        "conv6.norm.weight",
        "conv6.norm.bias",
        "conv6.norm.running_mean",
        "conv6.norm.running_var",
    )


def test_nothing_fits_a_file_of_something_else() -> None:
    fitting, report = match_weights(C3D(width=0.125), {"transformer.weight": torch.zeros(3)})
    assert fitting == {}
    assert report.share_loaded == 0.0
    assert report.unexpected == ("transformer.weight",)
    assert match_weights(C3D(width=0.125), {})[1].share_loaded == 0.0


def test_the_description_names_what_did_not_fit(network: ResNet2D) -> None:
    state = add_prefix(to_torchvision(network), "module.") | {"module.fc.weight": torch.zeros(1)}
    _, report = match_weights(R3DPlus1(width=0.125), state)
    lines = report.describe().splitlines()
    assert lines[0] == "95% of the weights loaded (torchvision names behind 'module.')"
    assert lines[1].startswith("not in the file: conv6.conv.weight, conv6.norm.weight")
    assert lines[2] == "heads, ignored: module.fc.weight"
    assert len(lines) == 3


def test_long_lists_are_cut() -> None:
    assert join_names("abcde") == "a, b, c, d, e"
    assert join_names("abcdefg") == "a, b, c, d, e and 2 more"
    assert join_names([]) == ""
