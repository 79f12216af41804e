"""Rendered sample videos: pictures that move as they say, smoothly, over a still background."""

import numpy as np
import pytest

from unreel.data.sample_motions import DRIFT_PX, MOTIONS, Motion
from unreel.data.sample_render import HEIGHT_PX, WIDTH_PX, render_video
from unreel.data.sample_scenes import SCENES, ObjectKind, Scene
from unreel.seeding import build_generator

PLAIN = Scene(
    "plain",
    upper=(128, 128, 128),
    lower=(128, 128, 128),
    horizon=0.5,
    blocks=(),
    kinds=(ObjectKind("disc", "checks", ((255, 255, 255), (0, 0, 0))),),
)


def render(motion: Motion, *, scene: Scene = PLAIN, num_frames: int = 20, seed: int = 0) -> np.ndarray:
    return render_video(scene, motion, num_frames, build_generator(seed, motion.label))


def best_shift(before: np.ndarray, after: np.ndarray, reach: int = 6) -> tuple[int, int]:
    """Return by how many pixels (right, down) the inner part of a picture has moved."""
    inner = before[reach:-reach, reach:-reach].astype(float)
    scores = {}
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            rows = slice(reach + down, HEIGHT_PX - reach + down)
            columns = slice(reach + right, WIDTH_PX - reach + right)
            scores[right, down] = np.abs(after[rows, columns].astype(float) - inner).mean()
    return min(scores, key=lambda shift: scores[shift])


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_every_scene_gives_colour_pictures(scene: Scene) -> None:
    frames = render(MOTIONS[4], scene=scene, num_frames=3)
    assert frames.shape == (3, HEIGHT_PX, WIDTH_PX, 3)
    assert frames.dtype == np.uint8
    assert frames.std() > 15


@pytest.mark.parametrize(
    ("label", "direction"), [("left", (-1, 0)), ("right", (1, 0)), ("up", (0, -1)), ("down", (0, 1))]
)
def test_pictures_move_the_way_their_label_says(label: str, direction: tuple[int, int]) -> None:
    motion = next(motion for motion in MOTIONS if motion.label == label)
    frames = render(motion)
    moved = np.array([best_shift(frames[t], frames[t + 3]) for t in range(0, 16, 4)]).mean(axis=0)
    # Three frames of drift, and a camera that shakes by a pixel or two meanwhile.
    along, across = moved @ np.array(direction), moved @ np.array(direction[::-1])
    assert 3 * DRIFT_PX[0] - 1.5 <= along <= 3 * DRIFT_PX[1] + 1.5
    assert abs(across) <= 1.5


def test_turns_flow_around_and_their_opposites_the_other_way_round() -> None:
    for label, sign in (("clockwise", 1), ("counterclockwise", -1)):
        motion = next(motion for motion in MOTIONS if motion.label == label)
        curls = [fit_curl_and_divergence(render(motion, seed=seed))[0] for seed in range(4)]
        assert sign * np.mean(curls) > 0.01


def test_expansion_flows_outwards_and_contraction_inwards() -> None:
    for label, sign in (("expansion", 1), ("contraction", -1)):
        motion = next(motion for motion in MOTIONS if motion.label == label)
        divergences = [fit_curl_and_divergence(render(motion, seed=seed))[1] for seed in range(4)]
        assert sign * np.mean(divergences) > 0.004


def fit_curl_and_divergence(frames: np.ndarray, side: int = 12) -> tuple[float, float]:
    """Fit ``v = (a + d x - c y, b + d y + c x)`` to every block of every picture; return mean c and d.

    A turning disc has the same c, and a growing one the same d, around each of its points; a block need not
    know where the middle is. Brightness keeps its value along the flow: ``I_t + v . grad I = 0``, a linear
    equation per pixel. Blocks count by how much there is to see in them.
    """
    grey = frames.astype(float).mean(axis=3)
    time, rows, columns = np.gradient(grey)
    y, x = np.meshgrid(*2 * [np.arange(side) - (side - 1) / 2], indexing="ij")
    fits, weights = [], []
    for t in range(1, len(frames) - 1):
        for top in range(0, HEIGHT_PX - side + 1, side):
            for left in range(0, WIDTH_PX - side + 1, side):
                block = (t, slice(top, top + side), slice(left, left + side))
                right, down = columns[block], rows[block]
                equations = np.stack([right, down, down * x - right * y, right * x + down * y], axis=-1)
                fit = np.linalg.lstsq(equations.reshape(-1, 4), -time[block].reshape(-1), rcond=None)[0]
                fits.append(fit[2:])
                weights.append(np.square(right).sum() + np.square(down).sum())
    curl, divergence = np.average(fits, axis=0, weights=weights)
    return float(curl), float(divergence)


def test_objects_move_by_fractions_of_a_pixel() -> None:
    """Slow drift changes a little in every frame: no frame repeats, none jumps."""
    frames = render(MOTIONS[1], num_frames=24).astype(float)
    steps = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
    assert steps.min() > 0.3 * np.median(steps)
    assert steps.max() < 2.5 * np.median(steps)


def test_the_background_stays_but_for_the_shaking_camera() -> None:
    frames = render(MOTIONS[0], scene=SCENES[0], num_frames=200).astype(float)
    # The median over time forgets what passes by: the same picture early and late.
    early, late = np.median(frames[:100], axis=0), np.median(frames[100:], axis=0)
    assert np.median(np.abs(early - late)) < 8.0


def test_rendering_follows_from_the_generator_alone() -> None:
    np.testing.assert_array_equal(render(MOTIONS[6], num_frames=4), render(MOTIONS[6], num_frames=4))
    assert (render(MOTIONS[6], num_frames=4) != render(MOTIONS[6], num_frames=4, seed=1)).any()
