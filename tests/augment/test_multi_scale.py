"""Crops of TSN: which sizes, which places, how often."""

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.augment.multi_scale import sample_multi_scale_boxes
from unreel.seeding import RowGenerator

TSN = (1.0, 0.875, 0.75, 0.66)
MANY = 20_000


def sample(height: int, width: int, *, rows: int = MANY, **settings: Any) -> np.ndarray:
    settings = {"scales": TSN, "num_places": 5} | settings
    return sample_multi_scale_boxes(
        np.tile([height, width], (rows, 1)), RowGenerator(range(rows)), **settings
    )


def list_boxes(height: int, width: int, num_places: int, max_gap: int = 1) -> set[tuple[int, ...]]:
    """All boxes that TSN's released code can give, written as it writes them (x, y in quarter steps)."""
    short = min(height, width)
    sizes = [int(short * scale) for scale in TSN]
    boxes = set()
    for (i, box_height), (j, box_width) in itertools.product(enumerate(sizes), enumerate(sizes)):
        if abs(i - j) > max_gap:
            continue
        x_step, y_step = (width - box_width) // 4, (height - box_height) // 4
        offsets = [(0, 0), (4, 0), (0, 4), (4, 4), (2, 2)]
        if num_places == 13:
            offsets += [(0, 2), (4, 2), (2, 4), (2, 0), (1, 1), (3, 1), (1, 3), (3, 3)]
        boxes |= {(y * y_step, x * x_step, box_height, box_width) for x, y in offsets}
    return boxes


@pytest.mark.parametrize(("height", "width"), [(256, 340), (340, 256), (256, 256), (101, 67)])
@pytest.mark.parametrize("num_places", [5, 13])
def test_the_boxes_are_those_of_the_released_code(height: int, width: int, num_places: int) -> None:
    found = {tuple(box) for box in sample(height, width, num_places=num_places).tolist()}
    assert found == list_boxes(height, width, num_places)


def test_a_worked_box() -> None:
    # The short side of 256 x 340 is 256: shares give 256, 224, 192 and 168 (0.66 * 256 = 168.96).
    boxes = sample(256, 340)
    assert {int(side) for side in boxes[:, 2:].flatten()} == {256, 224, 192, 168}
    # 168 x 192: 88 and 148 pixels are left, quarters of 22 and 37; the middle is at 44 and 74.
    of_size = {tuple(box[:2]) for box in boxes.tolist() if box[2:] == [168, 192]}
    assert of_size == {(0, 0), (0, 148), (88, 0), (88, 148), (44, 74)}


def test_ten_sizes_are_as_likely_as_each_other_and_so_are_the_places() -> None:
    # 512 x 800 leaves room at any size, so that places differ in both directions but for a height of 512.
    boxes = sample(512, 800)
    sizes = Counter(tuple(box[2:]) for box in boxes.tolist())
    assert len(sizes) == 10
    # 2000 of each are expected, with a standard deviation of 42.
    assert max(abs(count - MANY / 10) for count in sizes.values()) < 200
    one_size = Counter(tuple(box[:2]) for box in boxes.tolist() if box[2:] == [448, 448])
    assert len(one_size) == 5
    assert max(abs(count - MANY / 50) for count in one_size.values()) < 90  # 400 each, deviation 20


def test_thirteen_places_are_as_likely_as_each_other() -> None:
    places = Counter(tuple(box) for box in sample(400, 400, num_places=13, scales=(0.5,)).tolist())
    assert len(places) == 13
    assert max(abs(count - MANY / 13) for count in places.values()) < 190  # 1538 each, deviation 38


@pytest.mark.parametrize(("max_gap", "num_sizes"), [(0, 4), (1, 10), (2, 14), (3, 16)])
def test_height_and_width_lie_no_further_apart_than_asked(max_gap: int, num_sizes: int) -> None:
    found = {tuple(box[2:]) for box in sample(200, 200, max_gap=max_gap).tolist()}
    assert len(found) == num_sizes
    assert found == {box[2:] for box in list_boxes(200, 200, 5, max_gap)}


def test_a_clip_has_its_box_whatever_batch_it_is_in() -> None:
    sizes = np.array([[30, 40], [50, 20], [16, 16], [30, 40]])
    together = sample_multi_scale_boxes(sizes, RowGenerator([7, 8, 9, 10]), scales=TSN, num_places=13)
    for row, key in enumerate([7, 8, 9, 10]):
        alone = sample_multi_scale_boxes(sizes[[row]], RowGenerator([key]), scales=TSN, num_places=13)
        assert np.array_equal(alone[0], together[row])


@given(
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    scales=st.lists(st.floats(0.001, 1.0), min_size=1, max_size=5),
    num_places=st.sampled_from([5, 13]),
)
def test_boxes_lie_inside_the_picture_however_small(
    height: int, width: int, scales: list[float], num_places: int
) -> None:
    boxes = sample(height, width, rows=30, scales=tuple(scales), num_places=num_places)
    assert boxes.dtype == np.int64
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] >= 1).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= [height, width]).all()
