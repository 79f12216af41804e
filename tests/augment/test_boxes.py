"""Crop boxes: their law, their place, their limits."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.augment.boxes import center_boxes, sample_random_boxes, sample_random_resized_boxes
from unreel.seeding import RowGenerator

MANY = 20_000


def many_sizes(height: int, width: int, rows: int = MANY) -> np.ndarray:
    return np.tile(np.array([height, width]), (rows, 1))


@given(
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    size_px=st.integers(1, 128),
    area=st.tuples(st.floats(0.01, 0.99), st.just(1.0)),
    aspect=st.tuples(st.floats(0.2, 1.0), st.floats(1.0, 5.0)),
)
def test_boxes_of_every_law_lie_inside_the_picture(
    height: int, width: int, size_px: int, area: tuple[float, float], aspect: tuple[float, float]
) -> None:
    sizes = many_sizes(height, width, 20)
    generator = RowGenerator(range(20))
    for boxes in (
        sample_random_resized_boxes(sizes, generator, area=area, aspect=aspect),
        sample_random_boxes(sizes, size_px, generator),
        center_boxes(sizes, size_px),
    ):
        assert boxes.dtype == np.int64
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, 2:] >= 1).all()
        assert (boxes[:, :2] + boxes[:, 2:] <= sizes).all()


def scalar_random_resized_box(
    height: int, width: int, draws: np.ndarray, area: tuple[float, float], aspect: tuple[float, float]
) -> tuple[int, int, int, int]:
    """The law of torchvision's RandomResizedCrop for one picture; ``draws`` are 22 numbers in [0, 1)."""
    for attempt in range(10):
        target = height * width * (area[0] + (area[1] - area[0]) * draws[2 * attempt])
        low, high = math.log(aspect[0]), math.log(aspect[1])
        ratio = math.exp(low + (high - low) * draws[2 * attempt + 1])
        box_width, box_height = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
        if 0 < box_width <= width and 0 < box_height <= height:
            top = int(draws[20] * (height - box_height + 1))
            left = int(draws[21] * (width - box_width + 1))
            return top, left, box_height, box_width
    box_height, box_width = height, width
    if width / height < aspect[0]:
        box_height = round(width / aspect[0])
    elif width / height > aspect[1]:
        box_width = round(height * aspect[1])
    return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


@given(
    height=st.integers(2, 150),
    width=st.integers(2, 150),
    area=st.sampled_from([(0.2, 1.0), (0.05, 0.3), (0.9, 1.0), (1.0, 1.0)]),
    aspect=st.sampled_from([(0.75, 4 / 3), (0.5, 2.0), (1.0, 1.0), (2.0, 3.0)]),
)
def test_random_resized_boxes_follow_the_scalar_law(
    height: int, width: int, area: tuple[float, float], aspect: tuple[float, float]
) -> None:
    keys = range(8)
    boxes = sample_random_resized_boxes(
        many_sizes(height, width, 8), RowGenerator(keys), area=area, aspect=aspect
    )
    generator = RowGenerator(keys)
    draws = np.stack([generator.uniform() for _ in range(22)], axis=1)
    for row in keys:
        assert tuple(boxes[row]) == scalar_random_resized_box(height, width, draws[row], area, aspect)


def test_areas_are_uniform_and_aspects_log_uniform_where_every_box_fits() -> None:
    boxes = sample_random_resized_boxes(
        many_sizes(1000, 1000), RowGenerator(range(MANY)), area=(0.1, 0.5), aspect=(0.5, 2.0)
    )
    share = boxes[:, 2] * boxes[:, 3] / 1e6
    log_aspect = np.log(boxes[:, 3] / boxes[:, 2]) / np.log(2.0)
    # Quantiles of a uniform law over 20 000 draws stray by less than 4 * 0.5 / sqrt(20 000) = 0.014.
    for level in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert np.quantile(share, level) == pytest.approx(0.1 + 0.4 * level, abs=0.014 * 0.4 + 0.001)
        assert np.quantile(log_aspect, level) == pytest.approx(2 * level - 1, abs=0.028 + 0.003)
    assert abs(np.corrcoef(share, log_aspect)[0, 1]) < 0.03


def test_places_are_uniform_over_all_that_fit() -> None:
    boxes = sample_random_boxes(many_sizes(12, 11), 8, RowGenerator(range(MANY)))
    counts = np.zeros((5, 4))
    np.add.at(counts, (boxes[:, 0], boxes[:, 1]), 1)
    # Each of 20 places expects 1000 of 20 000, standard deviation 31.
    assert (np.abs(counts - 1000) < 150).all()


def test_the_fallback_is_the_largest_centred_box_of_an_allowed_aspect() -> None:
    # No box of aspect 1 covers a share of 1 of a picture of aspect 4, so the centre of 10 x 10 is taken.
    boxes = sample_random_resized_boxes(
        many_sizes(10, 40, 5), RowGenerator(range(5)), area=(1.0, 1.0), aspect=(1.0, 1.0)
    )
    assert (boxes == [0, 15, 10, 10]).all()
    boxes = sample_random_resized_boxes(
        many_sizes(41, 10, 5), RowGenerator(range(5)), area=(1.0, 1.0), aspect=(0.5, 0.5)
    )
    assert (boxes == [10, 0, 20, 10]).all()


def test_a_centred_box_leaves_as_much_on_both_sides() -> None:
    # 128 - 112 = 16 = 8 + 8; 171 - 112 = 59 = 29 + 30.
    assert center_boxes(np.array([[128, 171]]), 112).tolist() == [[8, 29, 112, 112]]


def test_a_small_picture_gives_its_largest_square() -> None:
    sizes = np.array([[30, 50], [50, 30]])
    assert center_boxes(sizes, 40).tolist() == [[0, 10, 30, 30], [10, 0, 30, 30]]
    assert (sample_random_boxes(sizes, 40, RowGenerator([1, 2]))[:, 2:] == 30).all()


def test_each_clip_is_cropped_inside_its_own_size() -> None:
    sizes = np.array([[20, 90], [90, 20]] * 500)
    for boxes in (
        sample_random_resized_boxes(sizes, RowGenerator(range(1000)), area=(0.2, 1.0), aspect=(0.5, 2.0)),
        sample_random_boxes(sizes, 16, RowGenerator(range(1000))),
    ):
        assert (boxes[:, :2] + boxes[:, 2:] <= sizes).all()


def test_the_box_of_a_clip_ignores_its_neighbours() -> None:
    sizes = np.array([[64, 80], [33, 47], [90, 20]])
    law = {"area": (0.2, 1.0), "aspect": (0.75, 4 / 3)}
    together = sample_random_resized_boxes(sizes, RowGenerator([5, 6, 7]), **law)
    alone = sample_random_resized_boxes(sizes[1:2], RowGenerator([6]), **law)
    assert together[1].tolist() == alone[0].tolist()
