import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from unreel.models.memory_format import to_channels_last
from unreel.models.mvit_blocks import (
    BlockPlan,
    DropPath,
    Grid,
    HeadPooling,
    MultiscaleBlock,
    PoolingAttention,
    max_pool_tokens,
)

Vector = list[float]


def build_plan(**changes: float) -> BlockPlan:
    settings = {"in_channels": 8, "out_channels": 8, "num_heads": 2, "query_stride": 1, "key_stride": 2}
    return BlockPlan(**(settings | changes))  # type: ignore[arg-type]


def randomize(network: nn.Module) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape))


def pool_by_hand(tokens: list[Vector], grid: Grid, pooling: HeadPooling, stride: int) -> list[Vector]:
    """Pool the tokens of one head, class token first, with numbers alone."""
    num_frames, height, width = grid
    kernel = pooling.conv.weight.tolist()
    pooled = [tokens[0]]
    for time in range(num_frames):
        for row in range(0, height, stride):
            for column in range(0, width, stride):
                sums = [0.0] * len(tokens[0])
                for dt in (-1, 0, 1):
                    for dy in (-1, 0, 1):
                        for dx in (-1, 0, 1):
                            t, y, x = time + dt, row + dy, column + dx
                            if 0 <= t < num_frames and 0 <= y < height and 0 <= x < width:
                                token = tokens[1 + (t * height + y) * width + x]
                                for c, value in enumerate(token):
                                    sums[c] += kernel[c][0][1 + dt][1 + dy][1 + dx] * value
                pooled.append(sums)
    return [normalize_by_hand(token, pooling.norm) for token in pooled]


def normalize_by_hand(token: Vector, norm: nn.LayerNorm) -> Vector:
    mean = math.fsum(token) / len(token)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in token) / len(token) + 1e-6)
    weight, bias = norm.weight.tolist(), norm.bias.tolist()
    return [(v - mean) / deviation * w + b for v, w, b in zip(token, weight, bias, strict=True)]


def attend_by_hand(queries: list[Vector], keys: list[Vector], values: list[Vector]) -> list[Vector]:
    gathered = []
    for query in queries:
        logits = [math.fsum(q * k for q, k in zip(query, key, strict=True)) for key in keys]
        powers = [math.exp(logit / math.sqrt(len(query))) for logit in logits]
        shares = [power / math.fsum(powers) for power in powers]
        gathered.append(
            [
                math.fsum(s * value[c] for s, value in zip(shares, values, strict=True))
                for c in range(len(query))
            ]
        )
    return gathered


@given(
    grid=st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3)),
    num_heads=st.integers(1, 2),
    query_stride=st.sampled_from([1, 2]),
    key_stride=st.sampled_from([1, 2, 8]),
)
@settings(max_examples=12, deadline=None)
def test_attention_equals_its_derivation_with_numbers(
    grid: Grid, num_heads: int, query_stride: int, key_stride: int
) -> None:
    torch.manual_seed(0)
    plan = build_plan(
        in_channels=3 * num_heads, num_heads=num_heads, query_stride=query_stride, key_stride=key_stride
    )
    attention = PoolingAttention(plan).double()
    randomize(attention)
    tokens = torch.randn(1, 1 + math.prod(grid), 3 * num_heads, dtype=torch.float64)
    result, smaller = attention(tokens, grid)

    qkv = attention.qkv(tokens)[0]
    heads = []
    for head in range(num_heads):
        query, key, value = (
            qkv[:, start + 3 * head : start + 3 * head + 3].tolist()
            for start in (0, 3 * num_heads, 6 * num_heads)
        )
        key = pool_by_hand(key, grid, attention.pool_key, key_stride)
        value = pool_by_hand(value, grid, attention.pool_value, key_stride)
        if query_stride > 1:
            assert attention.pool_query is not None
            query = pool_by_hand(query, grid, attention.pool_query, query_stride)
        heads.append(torch.tensor(attend_by_hand(query, key, value), dtype=torch.float64))
    torch.testing.assert_close(result[0], attention.out(torch.cat(heads, dim=1)))
    assert smaller == (grid[0], *(math.ceil(side / query_stride) for side in grid[1:]))


def test_pooling_shares_one_kernel_among_heads_and_clips() -> None:
    torch.manual_seed(0)
    pooling = HeadPooling(4, stride=2)
    randomize(pooling)
    heads = torch.randn(2, 3, 1 + 2 * 4 * 5, 4)
    pooled, grid = pooling(heads, (2, 4, 5))
    assert (grid, pooled.shape) == ((2, 2, 3), (2, 3, 1 + 2 * 2 * 3, 4))
    for clip in range(2):
        for head in range(3):
            alone, _ = pooling(heads[clip : clip + 1, head : head + 1], (2, 4, 5))
            torch.testing.assert_close(pooled[clip, head], alone[0, 0])


def test_the_class_token_passes_by_the_convolution_but_not_the_normalisation() -> None:
    pooling = HeadPooling(4, stride=2)
    heads = torch.randn(1, 1, 1 + 8, 4)
    before, _ = pooling(heads, (2, 2, 2))
    nn.init.constant_(pooling.conv.weight, 3.0)
    after, _ = pooling(heads, (2, 2, 2))
    assert torch.equal(after[:, :, 0], before[:, :, 0])
    assert not torch.allclose(after[:, :, 1:], before[:, :, 1:])
    torch.testing.assert_close(after[0, 0, 0], nn.functional.layer_norm(heads[0, 0, 0], (4,), eps=1e-6))


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_a_grid_is_divided_in_space_alone_and_rounded_up(stride: int) -> None:
    _, grid = HeadPooling(8, stride=stride)(torch.zeros(1, 1, 1 + 3 * 9 * 1, 8), (3, 9, 1))
    assert grid == (3, math.ceil(9 / stride), 1)


def test_kernels_with_channels_innermost_give_the_same() -> None:
    pooling = HeadPooling(8, stride=2)
    heads = torch.randn(2, 2, 1 + 2 * 4 * 4, 8)
    expected, _ = pooling(heads, (2, 4, 4))
    result, _ = to_channels_last(pooling)(heads, (2, 4, 4))
    torch.testing.assert_close(result, expected)


def test_attention_at_equal_keys_is_the_mean_of_the_values() -> None:
    attention = PoolingAttention(build_plan(key_stride=1))
    randomize(attention)
    with torch.no_grad():
        attention.pool_key.norm.weight.zero_()  # every key is then the bias of the normalisation
        nn.init.eye_(attention.out.weight)
        nn.init.zeros_(attention.out.bias)
    tokens = torch.randn(2, 1 + 2 * 2 * 2, 8)
    result, _ = attention(tokens, (2, 2, 2))
    value = attention.qkv(tokens)[..., 16:].unflatten(2, (2, 4)).transpose(1, 2)
    mean = attention.pool_value(value, (2, 2, 2))[0].mean(dim=2).flatten(1)
    torch.testing.assert_close(result, mean[:, None].expand_as(result))


def test_the_maximum_of_3x3_positions_is_taken_frame_by_frame() -> None:
    # One channel, class token 99, two frames of 3 x 4:
    #   0 1 2 3        -5 -5 -5 -5
    #   4 5 6 7        -5 -9 -5 -5      windows at rows 0 and 2, columns 0 and 2
    #   8 9 7 0        -5 -5 -5 -1
    first = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 7, 0]
    second = [-5, -5, -5, -5, -5, -9, -5, -5, -5, -5, -5, -1]
    tokens = torch.tensor([99.0, *first, *second])[None, :, None]
    pooled = max_pool_tokens(tokens, (2, 3, 4))
    assert pooled.flatten().tolist() == [99, 5, 7, 9, 9, -5, -5, -5, -1]


def silence(block: MultiscaleBlock) -> None:
    """Let attention and perceptron give nothing, so that what they are added to comes out."""
    for layer in (block.attention.out, block.mlp[2]):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)


def test_a_silent_block_keeps_its_tokens_or_pools_them() -> None:
    tokens = torch.randn(2, 1 + 2 * 4 * 4, 8)
    block = MultiscaleBlock(build_plan())
    silence(block)
    result, grid = block(tokens, (2, 4, 4))
    assert grid == (2, 4, 4)
    assert torch.equal(result, tokens)
    pooled = MultiscaleBlock(build_plan(query_stride=2))
    silence(pooled)
    result, grid = pooled(tokens, (2, 4, 4))
    assert grid == (2, 2, 2)
    assert torch.equal(result, max_pool_tokens(tokens, (2, 4, 4)))


def test_where_channels_double_a_linear_layer_on_normalised_tokens_takes_the_place_of_the_skip() -> None:
    block = MultiscaleBlock(build_plan(out_channels=16))
    silence(block)
    randomize(block.norm2)
    tokens = torch.randn(2, 1 + 8, 8)
    result, _ = block(tokens, (2, 2, 2))
    assert block.project is not None
    assert torch.equal(result, block.project(block.norm2(tokens)))


def test_a_block_adds_attention_and_then_the_perceptron() -> None:
    torch.manual_seed(0)
    block = MultiscaleBlock(build_plan())
    randomize(block)
    tokens = torch.randn(2, 1 + 8, 8)
    middle = tokens + block.attention(block.norm1(tokens), (2, 2, 2))[0]
    hidden = nn.functional.gelu(block.mlp[0](block.norm2(middle)))
    assert hidden.shape[-1] == 4 * 8
    torch.testing.assert_close(block(tokens, (2, 2, 2))[0], middle + block.mlp[2](hidden))


@pytest.mark.parametrize("changes", [{}, {"out_channels": 16}, {"query_stride": 2}, {"drop_prob": 0.5}])
def test_under_autocast_tokens_stay_in_full_precision(changes: dict[str, float]) -> None:
    block = MultiscaleBlock(build_plan(**changes)).train()
    with torch.autocast("cpu", torch.bfloat16):
        tokens, _ = block(torch.randn(2, 1 + 8, 8), (2, 2, 2))
    assert tokens.dtype == torch.float32


def draw(prob: float, seed: int, num_clips: int = 2000) -> Tensor:
    torch.manual_seed(seed)
    return DropPath(prob).train()(torch.ones(num_clips, 3, 2))


def test_dropping_leaves_whole_clips_out_and_keeps_the_expectation() -> None:
    result = draw(0.25, seed=0)
    assert result.unique().tolist() == [0.0, pytest.approx(1 / 0.75)]
    assert torch.equal(result, result[:, :1, :1].expand_as(result))
    # Five deviations of the mean of 2000 draws of variance 0.25 * 0.75 / 0.75^2.
    assert result.mean().item() == pytest.approx(1.0, abs=5 * math.sqrt(0.25 / 0.75 / 2000))


def test_drops_come_from_the_global_generator_and_only_in_training() -> None:
    assert torch.equal(draw(0.5, seed=1), draw(0.5, seed=1))
    assert not torch.equal(draw(0.5, seed=1), draw(0.5, seed=2))
    branch = torch.randn(4, 3, 2)
    for layer in (DropPath(0.5).eval(), DropPath(0.0).train()):
        before = torch.get_rng_state()
        assert layer(branch) is branch
        assert torch.equal(torch.get_rng_state(), before)


def test_dropping_half_precision_keeps_the_exact_factor() -> None:
    # In bfloat16, 1 / 0.9 would be 1.109375.
    result = DropPath(0.1).train()(torch.ones(64, 1, 1, dtype=torch.bfloat16))
    assert result.max().item() == pytest.approx(1 / 0.9, rel=1e-6)


def test_a_block_of_one_clip_drops_both_branches_independently() -> None:
    torch.manual_seed(0)
    block = MultiscaleBlock(build_plan(drop_prob=0.5)).train()
    randomize(block)
    tokens = torch.randn(1, 1 + 8, 8)
    results = {tuple(block(tokens, (2, 2, 2))[0].flatten().tolist()) for _ in range(64)}
    assert len(results) == 4  # attention or not, perceptron or not
    assert tuple(tokens.flatten().tolist()) in results
    assert "prob=0.5" in repr(block.drop_path)
