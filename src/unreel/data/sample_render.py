"""Pictures of the sample videos: a scene's objects laid over its background, frame by frame."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from unreel.data.sample_motions import Motion, Tracks, sample_tracks
from unreel.data.sample_scenes import SCENES, SPRITE_SIDE, Scene, draw_background, draw_sprite

# T frames, H W pixels, C channels, N frames in which an object is seen, W pixels of a window around it

HEIGHT_PX, WIDTH_PX = 72, 96

_MARGIN_PX = 1  # of the canvas: whatever of an object lies beyond the picture is painted there, and cut off
_SPARE_PX = 2  # of the background on every side, for the shaking camera
_SHAKE_PX = 1.2  # largest shift of the camera


def render_video(
    scene: Scene, motion: Motion, num_frames: int, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Draw a video of a scene with a motion, shape (T, H, W, 3), RGB.

    Args:
        scene: what it looks like.
        motion: what its objects do.
        num_frames: T.
        generator: draws speed, places, phases and the shaking of the camera.
    """
    tracks = sample_tracks(motion, num_frames=num_frames, num_kinds=len(scene.kinds), generator=generator)
    shake_T2 = _sample_shake(num_frames, generator)
    canvas_THWC = _shift_background(_background(scene), shake_T2)
    for number in range(len(tracks.kind_G)):
        _paint_object(canvas_THWC, tracks, number, _sprite(scene, int(tracks.kind_G[number])), shake_T2)
    inner = canvas_THWC[:, _MARGIN_PX:-_MARGIN_PX, _MARGIN_PX:-_MARGIN_PX]
    return np.clip(np.rint(inner), 0, 255).astype(np.uint8)


@lru_cache(maxsize=len(SCENES))
def _background(scene: Scene) -> NDArray[np.float32]:
    """Draw a background that is larger than the picture by what the camera may shake."""
    return draw_background(scene, HEIGHT_PX + 2 * _SPARE_PX, WIDTH_PX + 2 * _SPARE_PX)


@lru_cache(maxsize=64)
def _sprite(scene: Scene, kind: int) -> NDArray[np.float32]:
    return draw_sprite(scene.kinds[kind]).reshape(-1, 4)


def _sample_shake(num_frames: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Draw how far the camera is off in every frame, (x, y) in pixels: two slow swings per axis."""
    time_T = np.arange(num_frames)[:, None, None]
    rate, phase = generator.uniform(0.1, 0.5, size=(2, 2)), generator.uniform(0.0, 2.0 * np.pi, size=(2, 2))
    swings: NDArray[np.float64] = np.sin(rate * time_T + phase).sum(axis=2) * (0.5 * _SHAKE_PX)
    return swings


def _shift_background(
    background_HWC: NDArray[np.float32], shake_T2: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Copy the background into every frame of a canvas with margins, moved by fractions of a pixel."""
    canvas = np.zeros(
        (len(shake_T2), HEIGHT_PX + 2 * _MARGIN_PX, WIDTH_PX + 2 * _MARGIN_PX, 3), dtype=np.float32
    )
    inner = canvas[:, _MARGIN_PX:-_MARGIN_PX, _MARGIN_PX:-_MARGIN_PX]
    for frame, (dx, dy) in zip(inner, _SPARE_PX - shake_T2, strict=True):
        x, y = int(dx), int(dy)
        a, b = np.float32(dx - x), np.float32(dy - y)
        rows = background_HWC[:, x : x + WIDTH_PX] * (1 - a) + background_HWC[:, x + 1 : x + 1 + WIDTH_PX] * a
        frame[:] = rows[y : y + HEIGHT_PX] * (1 - b) + rows[y + 1 : y + 1 + HEIGHT_PX] * b
    return canvas


def _paint_object(
    canvas_THWC: NDArray[np.float32],
    tracks: Tracks,
    number: int,
    sprite: NDArray[np.float32],
    shake_T2: NDArray[np.float64],
) -> None:
    """Lay one object over the frames in which it is seen: each pixel looks up its place in the sprite."""
    middle = np.array([WIDTH_PX, HEIGHT_PX]) / 2.0
    centre_T2 = tracks.centre_GT2[number] + middle + shake_T2
    radius_T, opacity_T = tracks.radius_GT[number], tracks.opacity_GT[number]
    size = np.array([WIDTH_PX, HEIGHT_PX])
    is_near = ((centre_T2 > -radius_T[:, None]) & (centre_T2 < size + radius_T[:, None])).all(axis=1)
    times = np.flatnonzero(is_near & (opacity_T > 0))
    if len(times) == 0:
        return
    reach = int(np.ceil(radius_T[times].max()))
    window = np.arange(-reach, reach + 1)
    corner_N2 = np.floor(centre_T2[times]).astype(np.int64)
    x_NW, y_NW = (corner_N2[:, axis, None] + window for axis in (0, 1))
    off_x = ((x_NW + 0.5 - centre_T2[times, 0, None]) / radius_T[times, None])[:, None, :]
    off_y = ((y_NW + 0.5 - centre_T2[times, 1, None]) / radius_T[times, None])[:, :, None]
    cos, sin = (f(tracks.angle_GT[number, times])[:, None, None] for f in (np.cos, np.sin))
    column = _sprite_index(cos * off_x + sin * off_y)
    row = _sprite_index(cos * off_y - sin * off_x)
    paint = sprite[row * SPRITE_SIDE + column] * opacity_T[times, None, None, None].astype(np.float32)
    y_NW, x_NW = (
        np.clip(at_NW, -1, end) + _MARGIN_PX for at_NW, end in ((y_NW, HEIGHT_PX), (x_NW, WIDTH_PX))
    )
    place = (times[:, None, None], y_NW[:, :, None], x_NW[:, None, :])
    canvas_THWC[place] = canvas_THWC[place] * (1 - paint[..., 3:]) + paint[..., :3]


def _sprite_index(position: NDArray[np.float64]) -> NDArray[np.int64]:
    index = ((position + 1.0) * (SPRITE_SIDE / 2)).astype(np.int64)
    return np.clip(index, 0, SPRITE_SIDE - 1)
