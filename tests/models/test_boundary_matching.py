import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unreel.models.boundary_matching import BoundaryMatching, build_sampling


def sample_slowly(
    features_CT: list[list[float]], start: int, length: int, *, num_samples: int, per_bin: int, context: float
) -> list[list[float]]:
    """Return the samples (C, N) of the stretch that begins at ``start``, one point after the other."""
    last = start + length - 1
    low, high = start - context * length, last + context * length
    total = num_samples * per_bin
    points = [low + (high - low) * k / (total - 1) for k in range(total)]

    def look_up(row: list[float], point: float) -> float:
        below = math.floor(point)
        share = point - below
        values = [row[place] if 0 <= place < len(row) else 0.0 for place in (below, below + 1)]
        return (1 - share) * values[0] + share * values[1]

    return [
        [
            sum(look_up(row, point) for point in points[n * per_bin : (n + 1) * per_bin]) / per_bin
            for n in range(num_samples)
        ]
        for row in features_CT
    ]


def compute_slowly(layer: BoundaryMatching, features_BCT: Tensor, **settings: float) -> Tensor:
    """Sample first, stretch by stretch, then apply the layer as a convolution over the samples."""
    num_videos, channels, size = features_BCT.shape
    num_samples = int(settings["num_samples"])
    sampled = torch.zeros(num_videos, channels, num_samples, size, size, dtype=torch.float64)
    for video in range(num_videos):
        for length in range(1, size + 1):
            for start in range(size - length + 1):
                rows = sample_slowly(features_BCT[video].tolist(), start, length, **settings)  # type: ignore[arg-type]
                sampled[video, :, :, length - 1, start] = torch.tensor(rows, dtype=torch.float64)
    out = F.conv3d(sampled, layer.conv.weight.double(), layer.conv.bias.double())  # type: ignore[union-attr]
    return out[:, :, 0]


@pytest.mark.parametrize(("size", "num_samples", "per_bin", "context"), [(6, 4, 3, 0.5), (5, 3, 1, 0.25)])
def test_every_stretch_is_sampled_and_weighed_as_defined(
    size: int, num_samples: int, per_bin: int, context: float
) -> None:
    torch.manual_seed(0)
    layer = BoundaryMatching(
        3, 2, num_positions=size, num_samples=num_samples, samples_per_bin=per_bin, context=context
    )
    features = torch.randn(2, 3, size)
    expected = compute_slowly(layer, features, num_samples=num_samples, per_bin=per_bin, context=context)
    assert torch.allclose(layer(features).double(), expected, atol=1e-5)


def test_a_stretch_that_leaves_the_video_has_the_bias_alone() -> None:
    layer = BoundaryMatching(2, 3, num_positions=4, num_samples=4)
    out = layer(torch.randn(1, 2, 4))
    for length in range(4):
        for start in range(4):
            is_bias = torch.allclose(out[0, :, length, start], layer.conv.bias)
            assert is_bias == (start + length >= 4)


def test_the_gradient_is_that_of_the_dense_product() -> None:
    torch.manual_seed(1)
    layer = BoundaryMatching(2, 3, num_positions=5, num_samples=4)
    indices, values = build_sampling(5, 4, 3, 0.5)
    dense = torch.zeros(25, 20)
    dense[tuple(torch.from_numpy(indices))] = torch.from_numpy(values)
    features = torch.randn(2, 2, 5, requires_grad=True)
    goal = torch.randn(2, 3, 5, 5)
    (layer(features) * goal).sum().backward()
    found = [features.grad, layer.conv.weight.grad, layer.conv.bias.grad]  # type: ignore[union-attr]
    copy = features.detach().clone().requires_grad_()
    sampled = torch.einsum("bct,pnt->bcnp", copy, dense.view(25, 4, 5)).view(2, 2, 4, 5, 5)
    layer.zero_grad()
    (F.conv3d(sampled, layer.conv.weight, layer.conv.bias)[:, :, 0] * goal).sum().backward()
    for left, right in zip(found, [copy.grad, layer.conv.weight.grad, layer.conv.bias.grad], strict=True):  # type: ignore[union-attr]
        assert torch.allclose(left, right, atol=1e-5)


def test_a_constant_video_is_seen_as_constant_where_no_point_leaves_it() -> None:
    """Stretch [4, 5] of 10 positions is seen from 3 to 6; the weights of a sample add up to one."""
    indices, values = build_sampling(10, 8, 3, 0.5)
    row = 1 * 10 + 4
    sums = [values[(indices[0] == row) & (indices[1] // 10 == n)].sum() for n in range(8)]
    assert sums == pytest.approx([1.0] * 8)
    # The whole video is seen from -5 to 14: its first and last samples see nothing.
    row = 9 * 10
    sums = [values[(indices[0] == row) & (indices[1] // 10 == n)].sum() for n in range(8)]
    assert sums[0] == sums[-1] == 0


def test_the_constant_is_not_saved_and_the_numbers_of_the_paper_stay_small() -> None:
    layer = BoundaryMatching(4, 4)
    assert set(layer.state_dict()) == {"conv.weight", "conv.bias"}
    assert layer.conv.weight.shape == (4, 4, 32, 1, 1)
    # 100 * 101 / 2 = 5050 stretches; dense, the matrix would have 5050 * 3200 = 16 million numbers.
    assert len(torch.unique(layer.indices_2X[0])) == 5050
    assert len(layer.values_X) < 500_000
    assert (layer.indices_2X[0].diff() >= 0).all()


def test_half_precision_keeps_the_sampling_in_full() -> None:
    torch.manual_seed(0)
    layer = BoundaryMatching(3, 2, num_positions=5, num_samples=4)
    features = torch.randn(2, 3, 5)
    with torch.autocast("cpu", torch.bfloat16):
        half = layer(features)
    assert half.dtype == torch.float32
    assert torch.allclose(half, layer(features), atol=0.05)
    half.sum().backward()
    assert torch.isfinite(layer.conv.weight.grad).all()


def test_the_arithmetic_is_a_seventieth_of_sampling_first() -> None:
    """Worked: C = 256, O = 512, N = 32, T = 100, so 10 000 stretches, real or not, in the published order."""
    sampling_first = 256 * 100 * 32 * 10_000 + 256 * 32 * 512 * 10_000
    layer_first = 256 * 512 * 32 * 100 + 512 * len(build_sampling(100, 32, 3, 0.5)[1])
    assert sampling_first == 50_135_040_000
    assert layer_first == pytest.approx(0.66e9, rel=0.01)
    assert 70 < sampling_first / layer_first < 80


def test_the_layer_moves_and_counts_as_any_other() -> None:
    layer = BoundaryMatching(2, 3, num_positions=4, num_samples=4).double().to("cpu")
    assert {name for name, _ in layer.named_buffers()} == {"indices_2X", "values_X"}
    assert layer.indices_2X.dtype == torch.int64
    assert sum(parameter.numel() for parameter in layer.parameters()) == 3 * 2 * 4 + 3
