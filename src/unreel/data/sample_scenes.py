"""The scenes of the sample videos: a still background each, and a few kinds of textured objects."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unreel.seeding import build_generator

# H W pixels, S side of a square sprite

Colour = tuple[int, int, int]
Shape = Literal["disc", "square", "triangle", "ring", "star", "cross"]
Pattern = Literal["stripes", "checks", "halves", "spots", "wedges"]

SPRITE_SIDE = 96
"""Side of an object's picture: about five times finer than shown, so that it moves by parts of a pixel."""
_EDGE = 0.08  # width of the soft rim of a shape, where its half side is 1
_GRAIN = 14.0  # strength of a background's fixed texture


@dataclass(frozen=True)
class ObjectKind:
    """A shape with a two-coloured pattern on it, which shows how it turns."""

    shape: Shape
    pattern: Pattern
    colours: tuple[Colour, Colour]


@dataclass(frozen=True)
class Scene:
    """What a fixed camera sees.

    Attributes:
        name: the group of its videos.
        upper: colour above the horizon.
        lower: colour below it.
        horizon: its height as a share of the picture, from above.
        blocks: still boxes as (left, top, right, bottom, colour), in shares of the picture.
        kinds: what moves in it.
    """

    name: str
    upper: Colour
    lower: Colour
    horizon: float
    blocks: tuple[tuple[float, float, float, float, Colour], ...]
    kinds: tuple[ObjectKind, ...]


SCENES = (
    Scene(
        "meadow",
        upper=(150, 190, 225),
        lower=(84, 130, 66),
        horizon=0.4,
        blocks=((0.08, 0.2, 0.16, 0.5, (96, 72, 48)), (0.7, 0.28, 0.92, 0.46, (170, 84, 70))),
        kinds=(
            ObjectKind("disc", "halves", ((240, 220, 60), (200, 60, 50))),
            ObjectKind("star", "stripes", ((250, 250, 245), (120, 60, 150))),
            ObjectKind("square", "checks", ((30, 60, 140), (235, 225, 200))),
        ),
    ),
    Scene(
        "harbour",
        upper=(196, 204, 210),
        lower=(40, 84, 118),
        horizon=0.55,
        blocks=((0.0, 0.4, 0.3, 0.56, (110, 112, 116)), (0.55, 0.3, 0.6, 0.62, (60, 56, 52))),
        kinds=(
            ObjectKind("triangle", "stripes", ((250, 250, 250), (220, 70, 40))),
            ObjectKind("ring", "wedges", ((240, 110, 30), (250, 245, 235))),
            ObjectKind("disc", "spots", ((20, 40, 60), (230, 200, 70))),
        ),
    ),
    Scene(
        "kitchen",
        upper=(226, 214, 190),
        lower=(150, 104, 70),
        horizon=0.66,
        blocks=((0.1, 0.1, 0.42, 0.4, (120, 150, 150)), (0.6, 0.46, 0.9, 0.68, (196, 196, 200))),
        kinds=(
            ObjectKind("disc", "wedges", ((170, 40, 40), (245, 240, 230))),
            ObjectKind("cross", "halves", ((40, 110, 60), (20, 40, 30))),
            ObjectKind("square", "stripes", ((60, 80, 160), (240, 200, 210))),
        ),
    ),
    Scene(
        "desert",
        upper=(236, 190, 140),
        lower=(204, 150, 84),
        horizon=0.3,
        blocks=((0.2, 0.22, 0.34, 0.34, (150, 96, 60)), (0.76, 0.4, 0.82, 0.8, (70, 110, 60))),
        kinds=(
            ObjectKind("star", "halves", ((60, 30, 20), (150, 40, 60))),
            ObjectKind("triangle", "checks", ((30, 90, 110), (240, 240, 220))),
            ObjectKind("ring", "stripes", ((40, 50, 40), (220, 230, 180))),
        ),
    ),
    Scene(
        "night",
        upper=(22, 24, 52),
        lower=(44, 40, 46),
        horizon=0.6,
        blocks=((0.05, 0.3, 0.25, 0.62, (60, 56, 70)), (0.45, 0.16, 0.62, 0.62, (74, 66, 60))),
        kinds=(
            ObjectKind("disc", "stripes", ((250, 230, 130), (180, 120, 30))),
            ObjectKind("square", "wedges", ((120, 220, 230), (30, 80, 150))),
            ObjectKind("cross", "checks", ((240, 120, 170), (90, 30, 90))),
        ),
    ),
)


def draw_background(scene: Scene, height: int, width: int) -> NDArray[np.float32]:
    """Draw the still part of a scene, shape (height, width, 3), values in [0, 255]."""
    y = (np.arange(height) + 0.5)[:, None] / height
    x = (np.arange(width) + 0.5)[None, :] / width
    below = np.clip((y - scene.horizon) * height / 3.0 + 0.5, 0.0, 1.0)[..., None]
    picture = (1.0 - below) * np.asarray(scene.upper, float) + below * np.asarray(scene.lower, float)
    picture = np.repeat(picture, width, axis=1)
    for left, top, right, bottom, colour in scene.blocks:
        inside = (y >= top) & (y < bottom) & (x >= left) & (x < right)
        picture[inside] = colour
    coarse = build_generator("background", scene.name).normal(size=(height // 3 + 2, width // 3 + 2, 1))
    grain = np.repeat(np.repeat(coarse, 3, axis=0), 3, axis=1)
    smooth = (
        grain[:height, :width] + grain[1 : height + 1, 1 : width + 1] + grain[2 : height + 2, 2 : width + 2]
    ) / 3
    return np.clip(picture + _GRAIN * smooth, 0.0, 255.0).astype(np.float32)


def draw_sprite(kind: ObjectKind) -> NDArray[np.float32]:
    """Draw an object, shape (S, S, 4): colours in [0, 255] times opacity, and opacity in [0, 1].

    The outermost pixels are transparent, so that anything beyond may be read from the rim.
    """
    axis = (np.arange(SPRITE_SIDE) + 0.5) / SPRITE_SIDE * 2.0 - 1.0
    y, x = axis[:, None], axis[None, :]
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    opacity = np.clip(0.5 + _depth_inside(kind.shape, x, y, radius, angle) / _EDGE, 0.0, 1.0)
    opacity[[0, -1], :] = opacity[:, [0, -1]] = 0.0
    share = np.clip(0.5 + 4.0 * _pattern_value(kind.pattern, x, y, angle), 0.0, 1.0)[..., None]
    first, second = (np.asarray(colour, float) for colour in kind.colours)
    colours = share * first + (1.0 - share) * second
    return np.concatenate([colours * opacity[..., None], opacity[..., None]], axis=-1).astype(np.float32)


def _depth_inside(
    shape: Shape,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    radius: NDArray[np.float64],
    angle: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return about how far a point lies inside a shape; negative outside."""
    depths: dict[Shape, NDArray[np.float64]] = {
        "disc": 0.85 - radius,
        "square": 0.7 - np.maximum(np.abs(x), np.abs(y)),
        "triangle": np.minimum(0.45 - y, 0.45 + 0.5 * y - 0.87 * np.abs(x)),
        "ring": 0.28 - np.abs(radius - 0.6),
        "star": 0.65 + 0.25 * np.cos(5.0 * angle) - radius,
        "cross": np.minimum(
            0.85 - np.maximum(np.abs(x), np.abs(y)), 0.32 - np.minimum(np.abs(x) + 0 * y, np.abs(y) + 0 * x)
        ),
    }
    return depths[shape]


def _pattern_value(
    pattern: Pattern, x: NDArray[np.float64], y: NDArray[np.float64], angle: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return a number that is positive where the first colour shows, with soft borders."""
    values: dict[Pattern, NDArray[np.float64]] = {
        "stripes": np.sin(2.5 * np.pi * x) + 0.0 * y,
        "checks": np.sin(2.0 * np.pi * x) * np.sin(2.0 * np.pi * y),
        "halves": 2.0 * (x + 0.0 * y),
        "spots": np.cos(3.0 * np.pi * x) * np.cos(3.0 * np.pi * y) - 0.2,
        "wedges": np.sin(3.0 * angle),
    }
    return values[pattern]
