import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.models.network_checks import count_parameters
from unreel.models.conv_gru import ConvGRU, FuturePredictor

Vector = list[float]


def apply_conv(conv: nn.Conv2d, vector: Vector) -> Vector:
    assert conv.bias is not None
    weights, biases = conv.weight[:, :, 0, 0].tolist(), conv.bias.tolist()
    return [
        sum(w * x for w, x in zip(row, vector, strict=True)) + b
        for row, b in zip(weights, biases, strict=True)
    ]


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def scalar_gru(gru: ConvGRU, x: Vector, h: Vector) -> Vector:
    """One step at one position, number by number."""
    update = [sigmoid(value) for value in apply_conv(gru.update, x + h)]
    reset = [sigmoid(value) for value in apply_conv(gru.reset, x + h)]
    candidate = apply_conv(gru.candidate, x + [r * old for r, old in zip(reset, h, strict=True)])
    return [(1 - u) * old + u * math.tanh(c) for u, old, c in zip(update, h, candidate, strict=True)]


def scalar_relu(vector: Vector) -> Vector:
    return [max(value, 0.0) for value in vector]


def scalar_prediction(network: FuturePredictor, seen: list[Vector], num_predicted: int) -> list[Vector]:
    """What is predicted at one position from what was seen there."""
    state = [0.0] * len(seen[0])
    for vector in seen:
        state = scalar_gru(network.gru, scalar_relu(vector), state)
    first, _, second = network.next_map
    assert isinstance(first, nn.Conv2d)
    assert isinstance(second, nn.Conv2d)
    predicted = []
    for _ in range(num_predicted):
        predicted.append(apply_conv(second, scalar_relu(apply_conv(first, state))))
        state = scalar_gru(network.gru, scalar_relu(predicted[-1]), state)
    return predicted


def randomize(network: nn.Module, seed: int) -> None:
    """Biases too, which start at zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.booleans(), st.integers(0, 2**31))
def test_a_step_is_the_equation_of_the_gated_unit_at_every_position(
    features: int, batch: int, side: int, has_state: bool, seed: int
) -> None:
    gru = ConvGRU(features, dropout_prob=0.1).eval()
    randomize(gru, seed)
    rng = np.random.default_rng(seed)
    shape = (batch, features, side, side + 1)
    x, h = (torch.from_numpy(rng.normal(size=shape)).float() for _ in range(2))
    result = gru(x, h) if has_state else gru(x)
    for row, top, left in itertools.product(range(batch), range(side), range(side + 1)):
        old = h[row, :, top, left].tolist() if has_state else [0.0] * features
        expected = scalar_gru(gru, x[row, :, top, left].tolist(), old)
        assert result[row, :, top, left].tolist() == pytest.approx(expected, rel=1e-4, abs=1e-5)


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**31))
def test_predictions_are_made_one_from_the_other_at_every_position(
    features: int, num_seen: int, num_predicted: int, seed: int
) -> None:
    network = FuturePredictor(features, dropout_prob=0.1).eval()
    randomize(network, seed)
    rng = np.random.default_rng(seed)
    seen = torch.from_numpy(rng.normal(size=(2, num_seen, features, 1, 2))).float()
    result = network(seen, num_predicted)
    assert result.shape == (2, num_predicted, features, 1, 2)
    for row, left in itertools.product(range(2), range(2)):
        expected = scalar_prediction(network, seen[row, :, :, 0, left].tolist(), num_predicted)
        for step, vector in enumerate(expected):
            found = result[row, step, :, 0, left].tolist()
            assert found == pytest.approx(vector, rel=1e-3, abs=1e-4)


def test_an_open_update_gate_forgets_and_a_closed_one_keeps() -> None:
    # With weights 0 and biases +-20 the gate is 1 or 0 to nine digits; the candidate is tanh(0.5) = 0.462.
    gru = ConvGRU(1, dropout_prob=0.0)
    with torch.no_grad():
        for conv in (gru.update, gru.reset, gru.candidate):
            conv.weight.zero_()
        gru.candidate.bias.fill_(0.5)
    x, state = torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), 0.9)
    for bias, expected in ((20.0, math.tanh(0.5)), (-20.0, 0.9), (0.0, (0.9 + math.tanh(0.5)) / 2)):
        with torch.no_grad():
            gru.update.bias.fill_(bias)
        assert gru(x, state).item() == pytest.approx(expected, abs=1e-6)


def test_the_published_sizes_counted_by_hand() -> None:
    """A gate sees 2 * 256 numbers and gives 256, with a bias each; two layers predict."""
    gate = 2 * 256 * 256 + 256
    layer = 256 * 256 + 256
    assert (gate, layer) == (131_328, 65_792)
    network = FuturePredictor(256, dropout_prob=0.1)
    assert count_parameters(network.gru) == 3 * gate == 393_984
    assert count_parameters(network) == 3 * gate + 2 * layer == 525_568


def test_weights_start_orthogonal_and_biases_at_zero() -> None:
    torch.manual_seed(0)
    network = FuturePredictor(12, dropout_prob=0.1)
    convs = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert len(convs) == 5
    for conv in convs:
        rows = conv.weight.flatten(1)
        torch.testing.assert_close(rows @ rows.T, torch.eye(12), atol=1e-5, rtol=0)
        assert conv.bias is not None
        assert not conv.bias.any()


def test_dropout_acts_on_what_the_next_step_sees_and_in_training_alone() -> None:
    torch.manual_seed(0)
    gru = ConvGRU(64, dropout_prob=0.5)
    x = torch.randn(4, 64, 3, 3)
    dropped = gru(x)
    assert 0.4 < (dropped == 0).float().mean() < 0.6
    kept = gru.eval()(x)
    assert (kept != 0).all()
    torch.testing.assert_close(dropped[dropped != 0], 2 * kept[dropped != 0])


def test_positions_do_not_meet_and_the_future_is_not_looked_at() -> None:
    torch.manual_seed(0)
    network = FuturePredictor(8, dropout_prob=0.0)
    seen = torch.randn(2, 3, 8, 2, 2)
    changed = seen.clone()
    changed[0, :, :, 0, 1] += 1
    moved = (network(seen, 2) - network(changed, 2)).abs().amax(dim=(1, 2))
    assert moved[0, 0, 1] > 1e-3
    moved[0, 0, 1] = 0
    assert moved.max() < 1e-6


def test_more_steps_do_not_change_the_first_ones() -> None:
    torch.manual_seed(0)
    network = FuturePredictor(8, dropout_prob=0.0)
    seen = torch.randn(2, 3, 8, 2, 2)
    torch.testing.assert_close(network(seen, 3)[:, :1], network(seen, 1))


def test_gradient_reaches_every_weight_even_with_one_prediction() -> None:
    torch.manual_seed(0)
    network = FuturePredictor(8, dropout_prob=0.1)
    network(torch.randn(2, 3, 8, 2, 2), 1).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_predictions_are_float32_even_under_autocast() -> None:
    torch.manual_seed(0)
    network = FuturePredictor(16, dropout_prob=0.0)
    seen = torch.randn(2, 3, 16, 2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        half = network(seen, 2)
    assert half.dtype == torch.float32
    assert torch.equal(half, network(seen, 2))
    assert network(seen.bfloat16(), 2).dtype == torch.float32
