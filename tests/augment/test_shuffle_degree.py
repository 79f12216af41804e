"""The shuffle degree is the edit distance, and its classes leave no gap."""

import itertools

import numpy as np
import pytest

from unreel.augment.shuffle_degree import shuffle_degree

# Rows: frames; columns: degree 0, 1, 2, ...
NUM_OF_DEGREE = {
    3: [1, 0, 5, 0],
    4: [1, 0, 12, 5, 6],
    5: [1, 0, 22, 24, 65, 8],
    6: [1, 0, 35, 65, 275, 233, 111],
    7: [1, 0, 51, 136, 793, 1494, 2045, 520],
    8: [1, 0, 70, 245, 1832, 5553, 13525, 14111, 4983],
}


def all_permutations(num_frames: int) -> np.ndarray:
    return np.array(list(itertools.permutations(range(num_frames))))


@pytest.mark.parametrize("num_frames", NUM_OF_DEGREE)
def test_as_many_permutations_have_each_degree_as_were_counted(num_frames: int) -> None:
    degree = shuffle_degree(all_permutations(num_frames))
    assert np.bincount(degree, minlength=num_frames + 1).tolist() == NUM_OF_DEGREE[num_frames]
