import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.models.network_checks import count_parameters
from unreel.models.frame_transformer import (
    FrameTransformer,
    FrameTransformerConfig,
    SelfAttention,
    TransformerBlock,
)

# B batch, T frame tokens, N = 1 + T tokens, D features of a frame, W width, H heads

Row = list[float]
Rows = list[Row]

SMALL = FrameTransformerConfig(width=12, depth=3, num_heads=2, mlp_ratio=2)


def build_small(seed: int = 0) -> FrameTransformer:
    torch.manual_seed(seed)
    return FrameTransformer(SMALL, num_features=5, num_tokens=4, embedding_dim=3)


def test_the_published_numbers_of_parameters() -> None:
    with torch.device("meta"):
        transformer = FrameTransformer(
            FrameTransformerConfig(), num_features=2048, num_tokens=32, embedding_dim=128
        )
    assert count_parameters(transformer) == 44_213_120
    # 2 * 2 * 768 (norms) + 768 * 2304 (qkv) + 768 * 768 + 768 (out) + 2 * 768 * 3072 + 3072 + 768 (mlp)
    assert count_parameters(transformer.blocks[0]) == 7_085_568
    assert [block.attention.num_heads for block in transformer.blocks] == [6] * 6


def linear(rows: Rows, layer: torch.nn.Module) -> Rows:
    weight, bias = layer.weight.tolist(), [0.0] * len(layer.weight)
    if layer.bias is not None:
        bias = layer.bias.tolist()
    return [
        [sum(w * x for w, x in zip(ws, row, strict=True)) + b for ws, b in zip(weight, bias, strict=True)]
        for row in rows
    ]


def layer_norm(rows: Rows, layer: torch.nn.Module) -> Rows:
    normalized = []
    for row in rows:
        mean = sum(row) / len(row)
        variance = sum((x - mean) ** 2 for x in row) / len(row)
        weights, biases = layer.weight.tolist(), layer.bias.tolist()
        normalized.append(
            [
                (x - mean) / math.sqrt(variance + 1e-5) * w + b
                for x, w, b in zip(row, weights, biases, strict=True)
            ]
        )
    return normalized


def attend(rows: Rows, attention: SelfAttention) -> tuple[Rows, list[Rows]]:
    """Return what the layer gives, and its weights head by head."""
    width, heads = len(rows[0]), attention.num_heads
    size = width // heads
    qkv = linear(rows, attention.qkv)
    gathered: Rows = [[] for _ in rows]
    weights: list[Rows] = []
    for head in range(heads):
        query, key, value = (
            [row[part * width + head * size : part * width + (head + 1) * size] for row in qkv]
            for part in range(3)
        )
        weights.append([])
        for place, q in enumerate(query):
            scores = [sum(a * b for a, b in zip(q, k, strict=True)) / math.sqrt(size) for k in key]
            total = sum(math.exp(score) for score in scores)
            weights[-1].append([math.exp(score) / total for score in scores])
            gathered[place] += [
                sum(w * v[i] for w, v in zip(weights[-1][-1], value, strict=True)) for i in range(size)
            ]
    return linear(gathered, attention.out), weights


def gelu(x: float) -> float:
    return 0.5 * x * (1 + math.erf(x / math.sqrt(2)))


def add(rows: Rows, others: Rows) -> Rows:
    return [[a + b for a, b in zip(x, y, strict=True)] for x, y in zip(rows, others, strict=True)]


def transform(transformer: FrameTransformer, frames: Rows) -> tuple[Row, list[list[Rows]]]:
    """Return the embedding of one clip and the attention of every block, with no tensor algebra."""
    tokens = transformer.class_token[0].tolist() + linear(frames, transformer.input)
    tokens = add(tokens, transformer.position[0].tolist())
    attention = []
    for block in transformer.blocks:
        assert isinstance(block, TransformerBlock)
        gathered, weights = attend(layer_norm(tokens, block.norm1), block.attention)
        attention.append(weights)
        tokens = add(tokens, gathered)
        hidden = linear(layer_norm(tokens, block.norm2), block.mlp[0])
        tokens = add(tokens, linear([[gelu(x) for x in row] for row in hidden], block.mlp[2]))
    return linear(layer_norm(tokens[:1], transformer.norm), transformer.head)[0], attention


@settings(max_examples=15)
@given(
    st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.integers(1, 3), st.data()
)
def test_embedding_and_attention_are_the_equations_written_out(
    heads: int, size: int, depth: int, ratio: int, num_features: int, data: st.DataObject
) -> None:
    config = FrameTransformerConfig(width=heads * size, depth=depth, num_heads=heads, mlp_ratio=ratio)
    num_tokens, embedding_dim = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 2))
    torch.manual_seed(data.draw(st.integers(0, 99)))
    transformer = FrameTransformer(
        config, num_features=num_features, num_tokens=num_tokens, embedding_dim=embedding_dim
    ).double()
    for parameter in transformer.parameters():  # also the norms, which start as ones and zeros
        parameter.data += 0.3 * torch.randn_like(parameter)
    features_BTD = torch.randn(2, num_tokens, num_features, dtype=torch.float64)
    embedding_BD = transformer(features_BTD)
    for row in range(2):
        expected, weights = transform(transformer, features_BTD[row].tolist())
        torch.testing.assert_close(embedding_BD[row].tolist(), expected, rtol=1e-9, atol=1e-9)
        for block in range(depth):
            attention_HNN = transformer.attention(features_BTD, block=block)[row]
            torch.testing.assert_close(attention_HNN, torch.tensor(weights[block]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("block", [0, 1, 2])
def test_attention_times_values_is_what_the_forward_pass_gathers(block: int) -> None:
    transformer = build_small()
    features_BTD = torch.randn(2, 4, 5)
    layer = transformer.blocks[block].attention
    seen: list[Tensor] = []
    handle = layer.out.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    tokens: list[Tensor] = []
    other = layer.register_forward_hook(lambda _module, inputs, _output: tokens.append(inputs[0]))
    transformer(features_BTD)
    handle.remove()
    other.remove()
    query_BHNS, key_BHNS, value_BHNS = layer.split_heads(tokens[0])
    by_weights = (transformer.attention(features_BTD, block=block) @ value_BHNS).transpose(1, 2).flatten(2)
    torch.testing.assert_close(by_weights, seen[0], rtol=1e-5, atol=1e-6)
    by_torch = F.scaled_dot_product_attention(query_BHNS, key_BHNS, value_BHNS).transpose(1, 2).flatten(2)
    torch.testing.assert_close(by_torch, seen[0])


def test_attention_has_a_row_per_token_that_sums_to_one_and_no_gradient() -> None:
    transformer = build_small()
    features_BTD = torch.randn(3, 4, 5, requires_grad=True)
    attention = transformer.attention(features_BTD)
    assert attention.shape == (3, 2, 5, 5)
    assert attention.min() > 0
    torch.testing.assert_close(attention.sum(dim=3), torch.ones(3, 2, 5))
    assert not attention.requires_grad
    assert torch.equal(attention, transformer.attention(features_BTD, block=0))
    assert not torch.allclose(attention, transformer.attention(features_BTD, block=1))


def test_attention_is_float32_and_sums_to_one_also_under_autocast() -> None:
    transformer = build_small()
    features_BTD = torch.randn(3, 4, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        attention = transformer.attention(features_BTD, block=2)
    assert attention.dtype == torch.float32
    torch.testing.assert_close(attention.sum(dim=3), torch.ones(3, 2, 5))
    torch.testing.assert_close(attention, transformer.attention(features_BTD, block=2), rtol=0, atol=0.02)


def test_equal_tokens_share_the_attention_equally() -> None:
    transformer = build_small()
    with torch.no_grad():
        for parameter in (transformer.class_token, transformer.position, transformer.input.bias):
            parameter.zero_()
    attention = transformer.attention(torch.zeros(1, 4, 5), block=2)
    torch.testing.assert_close(attention, torch.full((1, 2, 5, 5), 1 / 5))


def test_the_order_of_frames_counts_because_every_place_has_its_embedding() -> None:
    transformer = build_small()
    features_BTD = torch.randn(2, 4, 5)
    swapped_BTD = features_BTD[:, [1, 0, 2, 3]]
    assert (transformer(features_BTD) - transformer(swapped_BTD)).abs().max() > 1e-4
    torch.nn.init.zeros_(transformer.position)
    torch.testing.assert_close(transformer(features_BTD), transformer(swapped_BTD))


def test_clips_do_not_influence_each_other() -> None:
    transformer = build_small()
    features_BTD = torch.randn(3, 4, 5)
    changed_BTD = features_BTD.clone()
    changed_BTD[1] += 1
    moved_B = (transformer(features_BTD) - transformer(changed_BTD)).abs().amax(dim=1) > 1e-5
    assert moved_B.tolist() == [False, True, False]


def test_fresh_tokens_have_the_published_spread_and_linear_layers_torchs_own() -> None:
    torch.manual_seed(0)
    config = FrameTransformerConfig(width=96, depth=1)
    transformer = FrameTransformer(config, num_features=64, num_tokens=64, embedding_dim=8)
    assert transformer.class_token.shape == (1, 1, 96)
    assert transformer.position.shape == (1, 65, 96)
    for parameter in (transformer.class_token, transformer.position):
        # Standard errors of the estimate: 7 % over the 96 numbers of the class token, 1 % over the 6240.
        assert 0.016 < parameter.std().item() < 0.024
    # torch draws from the uniform distribution within 1 / sqrt(inputs), whose spread is that over sqrt(3).
    for layer, inputs in ((transformer.input, 64), (transformer.blocks[0].mlp[2], 4 * 96)):
        bound = inputs**-0.5
        assert 0.99 * bound < layer.weight.abs().max().item() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)


def test_training_and_evaluating_are_the_same() -> None:
    transformer = build_small()
    features_BTD = torch.randn(2, 4, 5)
    assert torch.equal(transformer.train()(features_BTD), transformer.eval()(features_BTD))


def test_the_gradient_reaches_every_parameter_and_autocast_stays_near() -> None:
    transformer = build_small()
    features_BTD = torch.randn(6, 4, 5)
    expected = transformer(features_BTD)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = transformer(features_BTD)
    assert F.cosine_similarity(result.float(), expected).min() > 0.99
    result.float().square().sum().backward()
    for name, parameter in transformer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 5, 5), (2, 4, 6), (4, 5)])
def test_features_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    message = rf"must have shape \(clips, 4 frames, 5 features\), got \({', '.join(map(str, shape))}\)"
    with pytest.raises(ValueError, match=message):
        build_small()(torch.zeros(shape))
    with pytest.raises(ValueError, match=message):
        build_small().attention(torch.zeros(shape))


@pytest.mark.parametrize("block", [-1, 3])
def test_a_block_that_is_not_there_is_refused(block: int) -> None:
    with pytest.raises(ValueError, match=f"block must lie between 0 and 2, got {block}"):
        build_small().attention(torch.zeros(1, 4, 5), block=block)


def test_a_width_that_the_heads_cannot_share_is_refused() -> None:
    with pytest.raises(ValueError, match=r"multiple of transformer\.num_heads, got 100 and 6"):
        FrameTransformerConfig(width=100)


@pytest.mark.parametrize("name", ["width", "depth", "num_heads", "mlp_ratio"])
def test_a_size_that_is_not_positive_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"transformer\.{name} must be at least 1, got 0"):
        FrameTransformerConfig(**{name: 0})


@pytest.mark.parametrize("name", ["num_features", "num_tokens", "embedding_dim"])
def test_a_transformer_without_input_or_output_is_refused(name: str) -> None:
    sizes = {"num_features": 5, "num_tokens": 4, "embedding_dim": 3}
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        FrameTransformer(SMALL, **(sizes | {name: 0}))
