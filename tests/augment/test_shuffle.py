"""Shuffles have the degree they say, and each clip's depends on its own stream alone."""

import numpy as np
import pytest

from unreel.augment.shuffle import ShuffleConfig, construct_shuffle, sample_shuffles
from unreel.augment.shuffle_degree import possible_degrees, shuffle_degree
from unreel.seeding import RowGenerator


@pytest.mark.parametrize("num_frames", [4, 5, 16, 33])
@pytest.mark.parametrize("preset", ["uniform_exact", "official", "plain"])
def test_shuffles_have_the_degree_they_say(num_frames: int, preset: str) -> None:
    shuffles = sample_shuffles(num_frames, RowGenerator(range(500)), ShuffleConfig(preset=preset))  # type: ignore[arg-type]
    assert shuffles.order_BT.dtype == shuffles.degree_B.dtype == np.int64
    assert shuffle_degree(shuffles.order_BT).tolist() == shuffles.degree_B.tolist()


@pytest.mark.parametrize("num_frames", range(4, 33))
def test_every_degree_can_be_constructed(num_frames: int) -> None:
    positions = RowGenerator(range(50)).permutations(num_frames)
    for degree in possible_degrees(num_frames):
        orders = [construct_shuffle(position, degree) for position in positions]
        assert (shuffle_degree(orders) == degree).all()
