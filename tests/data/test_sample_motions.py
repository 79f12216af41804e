"""Sample motions: what moves where, and that only time tells the motions apart."""

import numpy as np
import pytest

from unreel.data.sample_motions import (
    DRIFT_PX,
    GROWTH,
    MOTIONS,
    SPIN_RAD,
    Motion,
    Tracks,
    sample_tracks,
)
from unreel.seeding import build_generator

BY_LABEL = {motion.label: motion for motion in MOTIONS}


def tracks_of(label: str, *, seed: int = 0, num_frames: int = 50) -> Tracks:
    generator = build_generator(seed, "test")
    return sample_tracks(BY_LABEL[label], num_frames=num_frames, num_kinds=3, generator=generator)


def alive_steps(tracks: Tracks) -> np.ndarray:
    """Return where an object is seen in two frames in a row, shape (G, T - 1)."""
    return (tracks.opacity_GT[:, 1:] > 0) & (tracks.opacity_GT[:, :-1] > 0)


def test_there_are_eight_motions_in_four_pairs_of_opposites() -> None:
    assert len(BY_LABEL) == 8
    for forward, backward in zip(MOTIONS[::2], MOTIONS[1::2], strict=True):
        assert forward.drift == tuple(-part for part in backward.drift)
        assert forward.spin == -backward.spin
        assert forward.growth == -backward.growth


@pytest.mark.parametrize(
    ("label", "direction"),
    [("left", (-1.0, 0.0)), ("right", (1.0, 0.0)), ("up", (0.0, -1.0)), ("down", (0.0, 1.0))],
)
def test_drifting_objects_all_keep_one_velocity_and_their_size(
    label: str, direction: tuple[float, float]
) -> None:
    tracks = tracks_of(label)
    velocity_GT2 = np.diff(tracks.centre_GT2, axis=1)
    speed = float(velocity_GT2[0, 0] @ np.array(direction))
    assert DRIFT_PX[0] <= speed <= DRIFT_PX[1]
    np.testing.assert_allclose(velocity_GT2, np.broadcast_to(speed * np.array(direction), velocity_GT2.shape))
    assert np.ptp(tracks.radius_GT, axis=1).max() == 0.0
    assert np.ptp(tracks.angle_GT, axis=1).max() == 0.0


@pytest.mark.parametrize(("label", "sign"), [("clockwise", 1.0), ("counterclockwise", -1.0)])
def test_turning_objects_circle_one_centre_and_turn_with_it(label: str, sign: float) -> None:
    tracks = tracks_of(label)
    turn_GT = np.diff(tracks.angle_GT, axis=1)
    rate = turn_GT[0, 0]
    assert SPIN_RAD[0] <= sign * rate <= SPIN_RAD[1]
    np.testing.assert_allclose(turn_GT, rate, rtol=1e-9)
    # A turn about m sends p to m + R (p - m), so p' - R p = (I - R) m holds one centre m for every object.
    # On the screen y points down: the matrix that turns x towards y turns clockwise.
    rotation = np.array([[np.cos(rate), -np.sin(rate)], [np.sin(rate), np.cos(rate)]])
    before, after = tracks.centre_GT2[:, :-1], tracks.centre_GT2[:, 1:]
    centre_GT2 = (after - before @ rotation.T) @ np.linalg.inv(np.eye(2) - rotation).T
    np.testing.assert_allclose(centre_GT2, np.broadcast_to(centre_GT2[0, 0], centre_GT2.shape), atol=1e-8)
    assert np.abs(centre_GT2[0, 0]).max() <= 8.0


@pytest.mark.parametrize(("label", "sign"), [("expansion", 1.0), ("contraction", -1.0)])
def test_growing_objects_move_away_from_one_centre_by_the_factor_they_grow(label: str, sign: float) -> None:
    tracks = tracks_of(label)
    factor_GT = tracks.radius_GT[:, 1:] / tracks.radius_GT[:, :-1]
    factor = factor_GT[0, 0]
    assert GROWTH[0] <= sign * np.log(factor) <= GROWTH[1]
    np.testing.assert_allclose(factor_GT, factor)
    before, after = tracks.centre_GT2[:, :-1], tracks.centre_GT2[:, 1:]
    centre_GT2 = (after - factor * before) / (1.0 - factor)
    np.testing.assert_allclose(centre_GT2, np.broadcast_to(centre_GT2[0, 0], centre_GT2.shape), atol=1e-8)


@pytest.mark.parametrize("label", BY_LABEL)
def test_objects_fade_in_and_out_and_are_born_all_the_time(label: str) -> None:
    tracks = tracks_of(label, num_frames=60)
    assert tracks.opacity_GT.min() == 0.0
    assert tracks.opacity_GT.max() == 1.0
    assert np.abs(np.diff(tracks.opacity_GT, axis=1)).max() <= 0.25 + 1e-9
    alive_T = (tracks.opacity_GT > 0).sum(axis=0)
    assert alive_T.min() >= 20
    assert alive_T.max() <= 26


@pytest.mark.parametrize("label", BY_LABEL)
def test_no_object_is_seen_at_both_ends_of_a_video(label: str) -> None:
    """What two distant clips of a video share is the motion, not the objects."""
    opacity_GT = tracks_of(label, num_frames=40).opacity_GT
    assert not ((opacity_GT[:, :2] > 0).any(axis=1) & (opacity_GT[:, -2:] > 0).any(axis=1)).any()


def test_a_single_moment_says_nothing_of_the_motion() -> None:
    """Size, and number and size of what is near the middle, agree between motions within chance."""
    radii, counts = {}, {}
    for label in BY_LABEL:
        seen_radii, seen_counts = [], []
        for seed in range(150):
            tracks = tracks_of(label, seed=seed, num_frames=30)
            is_near_G = (tracks.opacity_GT[:, 15] > 0.5) & (np.hypot(*tracks.centre_GT2[:, 15].T) < 40.0)
            seen_radii.extend(np.log(tracks.radius_GT[is_near_G, 15]))
            seen_counts.append(is_near_G.sum())
        radii[label], counts[label] = seen_radii, seen_counts
    # About 150 * 5 objects a motion: the error of a mean log radius is about 0.35 / sqrt(750) = 0.013,
    # that of a mean count about 2.2 / sqrt(150) = 0.18. Four of them on each side of the common mean.
    mean_radius = {label: float(np.mean(values)) for label, values in radii.items()}
    mean_count = {label: float(np.mean(values)) for label, values in counts.items()}
    assert np.ptp(list(mean_radius.values())) < 0.105
    assert np.ptp(list(mean_count.values())) < 1.5


def test_a_motion_without_movement_holds_still() -> None:
    tracks = sample_tracks(Motion("none"), num_frames=9, num_kinds=1, generator=build_generator(1))
    assert np.ptp(tracks.centre_GT2, axis=1).max() == 0.0
    assert alive_steps(tracks).any()


def test_tracks_follow_from_the_generator_alone() -> None:
    first, again, other = tracks_of("up", seed=3), tracks_of("up", seed=3), tracks_of("up", seed=4)
    np.testing.assert_array_equal(first.centre_GT2, again.centre_GT2)
    assert first.kind_G.tolist() == again.kind_G.tolist()
    assert first.centre_GT2[0, 0, 0] != other.centre_GT2[0, 0, 0]


@pytest.mark.parametrize("kinds", [1, 3])
def test_every_kind_of_object_appears(kinds: int) -> None:
    tracks = sample_tracks(MOTIONS[0], num_frames=60, num_kinds=kinds, generator=build_generator(0))
    assert set(tracks.kind_G.tolist()) == set(range(kinds))


@pytest.mark.parametrize(("num_frames", "num_kinds"), [(0, 3), (10, 0)])
def test_no_frames_or_no_kinds_are_refused(num_frames: int, num_kinds: int) -> None:
    with pytest.raises(ValueError, match=f"must be at least 1, got {num_frames} and {num_kinds}"):
        sample_tracks(MOTIONS[0], num_frames=num_frames, num_kinds=num_kinds, generator=build_generator(0))
