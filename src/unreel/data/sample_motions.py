"""The motions of the sample videos: how objects drift, turn or grow.

Every object lives for about a second, fades in, moves, fades out, and another one comes elsewhere. Whatever
its motion, it has a random place, angle and size at every moment, from the same distributions: a single
picture says nothing, only the change over time tells one motion from another. Motions come in pairs of which
each is the other one played backwards.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# G objects (one per life), T frames

DRIFT_PX = (0.7, 1.6)
"""Slowest and fastest drift, in pixels per frame."""
SPIN_RAD = (0.06, 0.14)
"""Slowest and fastest turn, in radians per frame."""
GROWTH = (0.018, 0.036)
"""Slowest and fastest change of the logarithm of the size, per frame."""
LIFE_FRAMES = (28, 44)
"""Shortest and longest life of an object."""

_FADE_FRAMES = 4.0
_NUM_ALIVE = 9
_REACH_PX = (48.0, 36.0)  # objects are halfway through their lives at most this far from the middle
_RADIUS_PX = (10.0, 16.0)


@dataclass(frozen=True)
class Motion:
    """A way to move.

    Attributes:
        label: its name in the table of videos.
        drift: direction on the screen (right, down), of length 1 or 0.
        spin: 1 turns clockwise, -1 the other way round.
        growth: 1 grows, -1 shrinks.
    """

    label: str
    drift: tuple[float, float] = (0.0, 0.0)
    spin: float = 0.0
    growth: float = 0.0


MOTIONS = (
    Motion("left", drift=(-1.0, 0.0)),
    Motion("right", drift=(1.0, 0.0)),
    Motion("up", drift=(0.0, -1.0)),
    Motion("down", drift=(0.0, 1.0)),
    Motion("clockwise", spin=1.0),
    Motion("counterclockwise", spin=-1.0),
    Motion("expansion", growth=1.0),
    Motion("contraction", growth=-1.0),
)


@dataclass(frozen=True)
class Tracks:
    """Where every object is in every frame.

    Attributes:
        centre_GT2: x and y in pixels from the middle of the picture, right and down.
        radius_GT: in pixels.
        angle_GT: in radians, clockwise on the screen.
        opacity_GT: in [0, 1]; 0 before and after an object's life.
        kind_G: number of the object's kind in [0, num_kinds).
    """

    centre_GT2: NDArray[np.float64]
    radius_GT: NDArray[np.float64]
    angle_GT: NDArray[np.float64]
    opacity_GT: NDArray[np.float64]
    kind_G: NDArray[np.int64]


def sample_tracks(
    motion: Motion, *, num_frames: int, num_kinds: int, generator: np.random.Generator
) -> Tracks:
    """Draw the speed and the objects of one video.

    Args:
        motion: what all objects do.
        num_frames: T, length of the video.
        num_kinds: how many kinds of objects there are.
        generator: the only source of chance.

    Raises:
        ValueError: there is no frame or no kind.
    """
    if num_frames < 1 or num_kinds < 1:
        raise ValueError(f"num_frames and num_kinds must be at least 1, got {num_frames} and {num_kinds}")
    drift, spin, growth = (generator.uniform(*span) for span in (DRIFT_PX, SPIN_RAD, GROWTH))
    age_GT, life_G = _sample_lives(num_frames, generator)
    num_objects = len(life_G)
    still_G1 = growth * life_G[:, None] * generator.uniform(-0.5, 0.5, size=(num_objects, 1))
    log_size_GT = (
        growth * motion.growth * age_GT if motion.growth else np.repeat(still_G1, num_frames, axis=1)
    )
    reach_2 = np.asarray(_REACH_PX)
    place_G2 = generator.uniform(-reach_2, reach_2, size=(num_objects, 2))
    radius_G = generator.uniform(*_RADIUS_PX, size=num_objects)
    angle_G = generator.uniform(0.0, 2.0 * np.pi, size=num_objects)
    return Tracks(
        centre_GT2=place_G2[:, None, :] + drift * age_GT[..., None] * np.asarray(motion.drift),
        radius_GT=radius_G[:, None] * np.exp(log_size_GT),
        angle_GT=angle_G[:, None] + spin * motion.spin * age_GT,
        opacity_GT=np.clip((0.5 * life_G[:, None] - np.abs(age_GT)) / _FADE_FRAMES, 0.0, 1.0),
        kind_G=generator.integers(0, num_kinds, size=num_objects),
    )


def _sample_lives(
    num_frames: int, generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return, in frames, every object's age, counted from the middle of its life, and its life."""
    life_N = generator.uniform(*LIFE_FRAMES, size=_NUM_ALIVE)
    first_N = -life_N * generator.uniform(0.0, 1.0, size=_NUM_ALIVE)
    num_lives = int(num_frames / LIFE_FRAMES[0]) + 2
    born_G = (first_N[:, None] + life_N[:, None] * np.arange(num_lives)).reshape(-1)
    life_G = np.repeat(life_N, num_lives)
    is_seen_G = born_G < num_frames
    born_G, life_G = born_G[is_seen_G], life_G[is_seen_G]
    return np.arange(num_frames) - (born_G + 0.5 * life_G)[:, None], life_G
