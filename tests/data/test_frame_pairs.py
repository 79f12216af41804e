import numpy as np
import pytest

from unreel.data.frame_pairs import RandomFramePairs


def frames_of(num_frames: int, *, num_pairs: int = 4, seed: int = 0) -> np.ndarray:
    rule = RandomFramePairs(num_pairs)
    plan = rule.sample(num_frames, np.random.default_rng(seed))
    assert plan.num_clips == rule.num_clips == 2
    return plan.frames_NT


def test_frames_come_from_all_over_the_video() -> None:
    """Of 5 frames and 4000 draws each is drawn about 800 times."""
    draws = np.concatenate([frames_of(5, seed=seed).ravel() for seed in range(500)])
    counts = np.bincount(draws, minlength=5)
    # Chi-square with 4 degrees of freedom exceeds 18.5 once in a thousand.
    assert ((counts - 800) ** 2 / 800).sum() < 18.5


def test_queries_and_keys_are_drawn_apart() -> None:
    pairs = frames_of(1000, num_pairs=200)
    assert pairs.shape == (2, 200)
    assert (pairs[0] == pairs[1]).sum() < 5
    assert abs(np.corrcoef(pairs)[0, 1]) < 0.25  # 3.5 standard deviations


def test_a_video_of_one_frame_gives_it_again_and_again() -> None:
    assert frames_of(1).tolist() == [[0] * 4, [0] * 4]


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="num_pairs must be at least 1, got 0"):
        RandomFramePairs(0)
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        frames_of(0)
