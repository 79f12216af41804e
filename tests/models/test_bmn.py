from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from unreel.models.bmn import BMN, BMNConfig, normalize_over_time

TINY = BMNConfig(
    num_features=8, num_positions=6, hidden_1d=8, hidden_2d=4, hidden_3d=8, num_groups=4, num_samples=4
)


@pytest.fixture(scope="module")
def network() -> BMN:
    torch.manual_seed(0)
    return BMN(TINY)


def test_the_paper_s_network_has_the_parameters_of_its_table() -> None:
    """Worked: weights plus biases, layer by layer, with 200 features in groups of 4."""
    trunk = (256 * 50 * 3 + 256) + (256 * 64 * 3 + 256)
    boundary = (256 * 64 * 3 + 256) + (256 + 1)
    proposal = 256 * 256 * 3 + 256
    samples = 512 * 256 * 32 + 512
    stretches = (128 * 512 + 128) + 2 * (128 * 128 * 9 + 128) + (2 * 128 + 2)
    total = trunk + 2 * boundary + proposal + samples + stretches
    assert total == 4_940_164
    built = BMN(BMNConfig(num_features=200))
    assert sum(parameter.numel() for parameter in built.parameters()) == total
    assert not any("indices" in name or "values" in name for name in built.state_dict())


def test_the_layers_are_those_of_the_table_one_after_the_other(network: BMN) -> None:
    features = torch.randn(2, 8, 6)
    scores = network(features)
    conv = dict(network.named_parameters())

    def over_time(x: torch.Tensor, name: str, groups: int, padding: int = 1) -> torch.Tensor:
        return F.conv1d(x, conv[f"{name}.weight"], conv[f"{name}.bias"], padding=padding, groups=groups)

    trunk = over_time(over_time(features, "trunk.0", 4).relu(), "trunk.2", 4).relu()
    for name, found in (("start", scores.start_BT), ("end", scores.end_BT)):
        logit = over_time(over_time(trunk, f"{name}.0", 4).relu(), f"{name}.2", 1, padding=0)
        assert torch.allclose(found, logit.sigmoid()[:, 0], atol=1e-6)
    x = network.matching(over_time(trunk, "proposal.0", 1).relu()).relu()
    for layer, padding in ((1, 0), (3, 1), (5, 1), (7, 0)):
        name = f"stretches.{layer}"
        x = F.conv2d(x, conv[f"{name}.weight"], conv[f"{name}.bias"], padding=padding)
        x = x.relu() if layer < 7 else x.sigmoid()
    assert torch.allclose(scores.regression_BLT, x[:, 0], atol=1e-6)
    assert torch.allclose(scores.classification_BLT, x[:, 1], atol=1e-6)


def test_all_scores_are_probabilities_of_the_right_shape(network: BMN) -> None:
    scores = network(10 * torch.randn(3, 8, 6))
    assert [tuple(part.shape) for part in scores] == [(3, 6), (3, 6), (3, 6, 6), (3, 6, 6)]
    assert all(((part > 0) & (part < 1)).all() for part in scores)
    assert all(part.dtype == torch.float32 for part in scores)


def test_videos_do_not_look_at_each_other(network: BMN) -> None:
    features = torch.randn(3, 8, 6)
    together, alone = network(features), network(features[1:2])
    for left, right in zip(together, alone, strict=True):
        assert torch.allclose(left[1:2], right, atol=1e-6)


def test_every_weight_receives_gradient(network: BMN) -> None:
    torch.manual_seed(2)
    network.zero_grad()
    sum(part.sum() for part in network(torch.randn(4, 8, 6))).backward()
    silent = [name for name, value in network.named_parameters() if not value.grad.any()]
    assert silent == []


def test_normalised_features_forget_what_does_not_change() -> None:
    features = torch.randn(2, 8, 6)
    normal = normalize_over_time(features)
    assert torch.allclose(normal.mean(dim=2), torch.zeros(2, 8), atol=1e-5)
    assert torch.allclose(normal.std(dim=2, unbiased=False), torch.ones(2, 8), atol=1e-3)
    moved = 3 * features + torch.randn(2, 8, 1)
    assert torch.allclose(normalize_over_time(moved), normal, atol=1e-3)
    assert not normalize_over_time(torch.ones(1, 2, 6)).any()
    torch.manual_seed(0)
    network = BMN(replace(TINY, normalize_over_time=True))
    assert torch.allclose(network(features).start_BT, network(moved).start_BT, atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_positions": 1}, "network.num_positions must be at least 2, got 1"),
        ({"num_positions": 10**6}, "network.num_positions must be at most 1000, got 1000000"),
        ({"hidden_2d": 0}, "network.hidden_2d must be at least 1, got 0"),
        ({"context": -0.1}, "network.context must not be negative, got -0.1"),
        (
            {"num_features": 10},
            "num_features = 10 does not divide into network.num_groups = 4; take --method",
        ),
        ({"hidden_1d": 6}, "network.hidden_1d = 6 does not divide"),
    ],
)
def test_sizes_that_cannot_be_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TINY, **changes)


def test_features_of_another_size_are_refused(network: BMN) -> None:
    with pytest.raises(ValueError, match=r"takes 8 numbers at 6 positions, got \(8, 7\)"):
        network(torch.zeros(1, 8, 7))
    with pytest.raises(ValueError, match="num_features is 0"):
        BMN(BMNConfig())
