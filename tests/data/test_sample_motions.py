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
def test_turning_objects_turn_at_one_rate_where_they_are(label: str, sign: float) -> None:
    tracks = tracks_of(label)
    turn_GT = np.diff(tracks.angle_GT, axis=1)
    rate = turn_GT[0, 0]
    assert SPIN_RAD[0] <= sign * rate <= SPIN_RAD[1]
    np.testing.assert_allclose(turn_GT, rate, rtol=1e-9)
    assert np.ptp(tracks.centre_GT2, axis=1).max() == 0.0
    assert np.ptp(tracks.radius_GT, axis=1).max() == 0.0


@pytest.mark.parametrize(("label", "sign"), [("expansion", 1.0), ("contraction", -1.0)])
def test_growing_objects_change_their_size_by_one_factor_where_they_are(label: str, sign: float) -> None:
    tracks = tracks_of(label)
    factor_GT = tracks.radius_GT[:, 1:] / tracks.radius_GT[:, :-1]
    factor = factor_GT[0, 0]
    assert GROWTH[0] <= sign * np.log(factor) <= GROWTH[1]
    np.testing.assert_allclose(factor_GT, factor)
    assert np.ptp(tracks.centre_GT2, axis=1).max() == 0.0
    assert np.ptp(tracks.angle_GT, axis=1).max() == 0.0


@pytest.mark.parametrize("label", BY_LABEL)
def test_objects_fade_in_and_out_and_are_born_all_the_time(label: str) -> None:
    tracks = tracks_of(label, num_frames=60)
    assert tracks.opacity_GT.min() == 0.0
    assert tracks.opacity_GT.max() == 1.0
    assert np.abs(np.diff(tracks.opacity_GT, axis=1)).max() <= 0.25 + 1e-9
    alive_T = (tracks.opacity_GT > 0).sum(axis=0)
    assert alive_T.min() >= 6
    assert alive_T.max() <= 9


@pytest.mark.parametrize("label", BY_LABEL)
def test_no_object_is_seen_at_both_ends_of_a_video(label: str) -> None:
    """What two distant clips of a video share is the motion, not the objects."""
    opacity_GT = tracks_of(label, num_frames=50).opacity_GT
    assert not ((opacity_GT[:, :2] > 0).any(axis=1) & (opacity_GT[:, -2:] > 0).any(axis=1)).any()


def test_a_single_moment_says_nothing_of_the_motion() -> None:
    """Size and place of what is in the picture, and how much there is of it, agree between motions."""
    radii, counts, places = {}, {}, {}
    for label in BY_LABEL:
        seen_radii, seen_counts, seen_places = [], [], []
        for seed in range(300):
            tracks = tracks_of(label, seed=seed, num_frames=30)
            is_near_G = (tracks.opacity_GT[:, 15] > 0.5) & (np.abs(tracks.centre_GT2[:, 15]) < 20.0).all(
                axis=1
            )
            seen_radii.extend(np.log(tracks.radius_GT[is_near_G, 15]))
            seen_counts.append(is_near_G.sum())
            seen_places.extend(tracks.centre_GT2[is_near_G, 15])
        radii[label] = float(np.mean(seen_radii))
        counts[label] = float(np.mean(seen_counts))
        places[label] = np.mean(seen_places, axis=0)
    # About 300 * 1.7 objects a motion. Standard errors: log radius 0.35 / sqrt(510) = 0.016, count
    # 1.2 / sqrt(300) = 0.07, place 11.5 / sqrt(510) = 0.5 px. Four of them on each side of the common mean.
    assert np.ptp(list(radii.values())) < 0.13
    assert np.ptp(list(counts.values())) < 0.56
    assert np.ptp(list(places.values()), axis=0).max() < 4.0


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
