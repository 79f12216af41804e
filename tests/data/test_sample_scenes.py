"""Sample scenes: different from each other, drawn alike every time, with objects that show how they turn."""

import itertools
import typing

import numpy as np
import pytest

from unreel.data.sample_scenes import (
    SCENES,
    SPRITE_SIDE,
    ObjectKind,
    Pattern,
    Scene,
    Shape,
    draw_background,
    draw_sprite,
)

SHAPES = typing.get_args(Shape)
PATTERNS = typing.get_args(Pattern)
RED, BLUE = (255, 0, 0), (0, 0, 255)


def test_scenes_have_names_of_their_own_and_several_kinds_of_objects() -> None:
    assert len({scene.name for scene in SCENES}) == len(SCENES) == 5
    for scene in SCENES:
        assert scene.name.isalpha()
        assert scene.name.islower()
        assert len(set(scene.kinds)) == 3


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_a_background_fills_the_picture_and_is_the_same_every_time(scene: Scene) -> None:
    background = draw_background(scene, 72, 96)
    assert background.shape == (72, 96, 3)
    assert background.dtype == np.float32
    assert background.min() >= 0.0
    assert background.max() <= 255.0
    np.testing.assert_array_equal(background, draw_background(scene, 72, 96))


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_a_background_has_its_two_colours_above_and_below_the_horizon(scene: Scene) -> None:
    background = draw_background(scene, 100, 120)
    for colour, rows in ((scene.upper, slice(0, 4)), (scene.lower, slice(-4, None))):
        np.testing.assert_allclose(background[rows].mean(axis=(0, 1)), colour, atol=12.0)


def test_backgrounds_are_far_apart() -> None:
    pictures = [draw_background(scene, 24, 32) for scene in SCENES]
    for first, second in itertools.combinations(pictures, 2):
        assert np.abs(first - second).mean() > 20.0


@pytest.mark.parametrize("height", [2, 3, 7, 50])
def test_backgrounds_come_in_any_size(height: int) -> None:
    assert draw_background(SCENES[0], height, height + 1).shape == (height, height + 1, 3)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_sprite_holds_both_colours_times_its_opacity_and_ends_inside(
    shape: Shape, pattern: Pattern
) -> None:
    sprite = draw_sprite(ObjectKind(shape, pattern, (RED, BLUE)))
    assert sprite.shape == (SPRITE_SIDE, SPRITE_SIDE, 4)
    opacity = sprite[..., 3]
    assert 0.15 < opacity.mean() < 0.8
    assert opacity.max() == 1.0
    for rim in (opacity[0], opacity[-1], opacity[:, 0], opacity[:, -1]):
        assert not rim.any()
    # Red and blue are the ends of one line: together they are all colour there is.
    np.testing.assert_allclose(sprite[..., 0] + sprite[..., 2], 255.0 * opacity, atol=1e-3)
    assert not sprite[..., 1].any()
    shares = sprite[..., 0].sum() / (255.0 * opacity.sum())
    assert 0.15 < shares < 0.85


@pytest.mark.parametrize("kind", [kind for scene in SCENES for kind in scene.kinds])
def test_every_kind_looks_different_after_a_sixth_of_a_turn_or_less(kind: ObjectKind) -> None:
    """An object that looked the same at every angle would not show the motions that turn it."""
    sprite = draw_sprite(kind)
    axis = np.linspace(-1, 1, SPRITE_SIDE)
    x, y = np.meshgrid(axis, axis)
    changes = []
    for turn in np.deg2rad([15, 30, 45, 60]):
        column = (np.cos(turn) * x - np.sin(turn) * y + 1) / 2 * (SPRITE_SIDE - 1)
        row = (np.sin(turn) * x + np.cos(turn) * y + 1) / 2 * (SPRITE_SIDE - 1)
        rows, columns = (np.clip(np.rint(at), 0, SPRITE_SIDE - 1).astype(int) for at in (row, column))
        turned = sprite[rows, columns]
        changes.append(np.abs(turned - sprite).mean())
    assert max(changes) > 10.0


def test_a_disc_is_round_and_a_ring_is_hollow() -> None:
    middle = SPRITE_SIDE // 2
    disc, ring = (draw_sprite(ObjectKind(shape, "halves", (RED, BLUE)))[..., 3] for shape in ("disc", "ring"))
    np.testing.assert_array_equal(disc, disc.T)
    # Radius 0.85 of a half side of 48 pixels: pi * 0.85^2 / 4 of the square.
    assert disc.mean() == pytest.approx(np.pi * 0.85**2 / 4, abs=0.01)
    assert disc[middle, middle] == 1.0
    assert ring[middle, middle] == 0.0
