import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.losses.test_contrastive import cosine
from unreel.losses.cycle import cycle_losses, frame_diversity_penalty, frame_video_mse

Vector = list[float]


def softmax(values: Vector) -> Vector:
    total = sum(math.exp(value) for value in values)
    return [math.exp(value) / total for value in values]


def mix(weights: Vector, vectors: list[Vector]) -> Vector:
    return [sum(w * v[d] for w, v in zip(weights, vectors, strict=True)) for d in range(len(vectors[0]))]


def scalar_cycle(
    videos: list[Vector], frames: list[list[Vector]], i: int, tau: float, alpha: float, beta: float
) -> tuple[float, float]:
    """CCL's equations 1 to 4 for video i, word by word."""
    flat = [frame for video in frames for frame in video]
    soft_frame = mix(softmax([cosine(videos[i], z) / alpha for z in flat]), flat)
    denominator = sum(math.exp(cosine(soft_frame, z) / tau) for z in flat)
    forward = -sum(math.log(math.exp(cosine(soft_frame, z) / tau) / denominator) for z in frames[i])
    soft_video = mix(softmax([cosine(soft_frame, s) / beta for s in videos]), videos)
    ends = [math.exp(cosine(soft_video, s) / tau) for s in videos]
    return forward / len(frames[i]), -math.log(ends[i] / sum(ends))


def draw(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.normal(size=shape)).float()


temperatures = st.floats(0.2, 2.0)


@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(2, 5),
    temperatures,
    temperatures,
    temperatures,
    st.integers(0, 2**32 - 1),
)
def test_cycle_losses_are_the_equations_of_the_paper(
    num_videos: int, num_frames: int, dim: int, tau: float, alpha: float, beta: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    videos, frames = draw(rng, num_videos, dim), draw(rng, num_videos, num_frames, dim)
    scalars = [scalar_cycle(videos.tolist(), frames.tolist(), i, tau, alpha, beta) for i in range(num_videos)]
    terms = cycle_losses(
        videos, videos, frames, temperature=tau, frame_temperature=alpha, video_temperature=beta
    )
    assert terms.forward.item() == pytest.approx(sum(f for f, _ in scalars) / num_videos, rel=1e-4, abs=1e-5)
    assert terms.backward.item() == pytest.approx(sum(b for _, b in scalars) / num_videos, rel=1e-4, abs=1e-5)


def test_a_share_of_the_videos_cycles_through_all_of_them() -> None:
    rng = np.random.default_rng(0)
    videos, frames = draw(rng, 6, 5), draw(rng, 6, 4, 5)
    whole = cycle_losses(videos, videos, frames)
    shares = [cycle_losses(videos[i : i + 2], videos, frames, first_row=i) for i in (0, 2, 4)]
    assert np.mean([s.forward.item() for s in shares]) == pytest.approx(whole.forward.item(), rel=1e-5)
    assert np.mean([s.backward.item() for s in shares]) == pytest.approx(whole.backward.item(), rel=1e-5)
    assert np.mean([s.consistency.item() for s in shares]) == pytest.approx(whole.consistency.item())


def test_alike_embeddings_give_the_chance_values() -> None:
    # N = 48, L = 8: log 384 = 5.950643 and log 48 = 3.871201
    terms = cycle_losses(torch.ones(48, 16), torch.ones(48, 16), torch.ones(48, 8, 16))
    assert terms.forward.item() == pytest.approx(5.950643, abs=1e-5)
    assert terms.backward.item() == pytest.approx(3.871201, abs=1e-5)


def test_the_losses_stay_above_the_optimum_of_the_simplex() -> None:
    # Videos at the corners of a regular simplex, each with its frames at its corner: nothing does better.
    # N = 48, L = 8: own similarity is 1, any other -1/47;
    # L_f = log(8 * e + 376 * e^(-1/47)) - 1 = 4.966, L_v = 2.886
    corners = torch.eye(48) - 1 / 48
    terms = cycle_losses(corners, corners, corners[:, None, :].expand(48, 8, 48))
    assert terms.forward.item() == pytest.approx(4.966, abs=2e-3)
    assert terms.backward.item() == pytest.approx(2.886, abs=2e-3)
    assert terms.consistency.item() == 1.0


def test_consistency_counts_the_videos_that_come_home() -> None:
    videos = torch.eye(4)
    frames = torch.eye(4)[:, None, :].repeat(1, 2, 1)
    frames[[0, 1]] = frames[[1, 0]]
    # A video goes to the frame that looks like it, then to the video that looks like that: all come home.
    assert cycle_losses(videos, videos, frames).consistency.item() == 1.0
    videos_alike = torch.eye(4)[[0, 0, 2, 3]] + torch.tensor(
        [[0.0, 0, 0, 0], [0, 0.1, 0, 0], [0] * 4, [0] * 4]
    )
    # Videos 0 and 1 both pick a frame at corner 0, which is nearest to video 0: one of four goes astray.
    assert cycle_losses(videos_alike, videos_alike, frames).consistency.item() == 0.75


def test_gradient_flows_through_the_soft_choices_to_videos_and_frames() -> None:
    rng = np.random.default_rng(1)
    videos, frames = draw(rng, 3, 4).requires_grad_(), draw(rng, 3, 2, 4).requires_grad_()
    cycle_losses(videos, videos, frames).forward.backward()
    assert videos.grad is not None
    assert videos.grad.abs().sum() > 0  # only alpha ties the forward loss to the videos
    assert frames.grad is not None
    assert (frames.grad.abs().sum(dim=2) > 0).all()


@given(st.integers(1, 3), st.integers(1, 5), st.integers(2, 5), st.booleans(), st.integers(0, 2**32 - 1))
def test_the_penalty_is_the_squared_frobenius_norm(
    num_videos: int, num_frames: int, dim: int, is_normalized: bool, seed: int
) -> None:
    frames = draw(np.random.default_rng(seed), num_videos, num_frames, dim)
    expected = 0.0
    for video in frames.tolist():
        for k, left in enumerate(video):
            for m, right in enumerate(video):
                dot = (
                    cosine(left, right)
                    if is_normalized
                    else sum(a * b for a, b in zip(left, right, strict=True))
                )
                expected += (dot - (k == m)) ** 2 / num_videos
    penalty = frame_diversity_penalty(frames, is_normalized=is_normalized)
    assert penalty.item() == pytest.approx(expected, rel=1e-3, abs=1e-5)
    averaged = frame_diversity_penalty(frames, is_normalized=is_normalized, is_averaged=True)
    assert averaged.item() == pytest.approx(expected / num_frames**2, rel=1e-3, abs=1e-5)


def test_the_penalty_runs_from_orthogonal_to_identical_frames() -> None:
    assert frame_diversity_penalty(torch.eye(8)[None]).item() == pytest.approx(0.0, abs=1e-10)
    # L = 8: L^2 - L = 56
    assert frame_diversity_penalty(torch.ones(1, 8, 8)).item() == pytest.approx(56.0, rel=1e-5)


def test_mse_sums_over_frames_and_averages_over_videos() -> None:
    videos = torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    frames = torch.tensor([[[1.0, 0.0], [0.0, 2.0]], [[1.0, 2.0], [3.0, 2.0]]])
    # video 0: 1 + 4, video 1: 0 + 4, mean 4.5
    assert frame_video_mse(videos, frames).item() == pytest.approx(4.5)


@pytest.mark.parametrize("name", ["temperature", "frame_temperature", "video_temperature"])
def test_a_temperature_of_zero_is_refused(name: str) -> None:
    rows = torch.ones(2, 3)
    with pytest.raises(ValueError, match="temperature must be positive"):
        cycle_losses(rows, rows, rows[:, None], **{name: 0.0})
