"""Permutations of time, drawn so that their shuffle degree is known."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unreel.augment.shuffle_degree import (
    class_to_degree,
    count_degree_classes,
    measure_degrees,
    possible_degrees,
)
from unreel.seeding import RowGenerator

# B shuffles, T frames, R shuffles that are tried, N tries per shuffle

IntArray = NDArray[np.int64]

TRIES_PER_ROUND = (6, 16, 32, 64, 128, 256)
"""How many candidates each round of `sample_shuffles` draws for every clip that has no shuffle yet.

The highest degree is the hardest. One candidate in ten has it, or one in 15 for 5 frames, where all 502 fail
once in 1e14 clips. Few candidates come first, because three or four are enough on average.
"""


@dataclass(frozen=True)
class ShuffleConfig:
    """How clips are shuffled."""

    preset: Literal["uniform_exact", "official", "plain"] = "uniform_exact"
    """``uniform_exact`` draws a degree, all as likely, and then a shuffle that has it, as the paper says;
    ``official`` permutes a random number of frames, as its code does; ``plain`` permutes all of them."""
    metropolis_steps: int = 0
    """Random moves that keep the degree, after ``uniform_exact``: 0 displaces as many frames as the degree
    says; more also gives shuffles that shift many frames by little."""

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other.

        Raises:
            ValueError: a negative number of steps, or steps with another preset than ``uniform_exact``.
        """
        if self.metropolis_steps < 0:
            raise ValueError(
                f"metropolis_steps is {self.metropolis_steps}; give 0 for none, or a positive number"
            )
        if self.metropolis_steps and self.preset != "uniform_exact":
            raise ValueError(
                f"metropolis_steps is {self.metropolis_steps} with preset {self.preset!r}, which draws no "
                "degree that they could keep; set metropolis_steps to 0 or preset to 'uniform_exact'"
            )


@dataclass(frozen=True)
class Shuffles:
    """One permutation of time per clip.

    Attributes:
        order_BT: ``shuffled[b, t] = clip[b, order_BT[b, t]]``.
        degree_B: `shuffle_degree` of each.
    """

    order_BT: IntArray
    degree_B: IntArray


def sample_shuffles(num_frames: int, generator: RowGenerator, config: ShuffleConfig) -> Shuffles:
    """Sample one shuffle per clip.

    A clip's shuffle depends on its own stream alone, not on the batch. The generator itself does not
    advance, so two draws need two generators, such as its forks.

    With ``uniform_exact`` the degree d is uniform over `possible_degrees`, and the shuffle is uniform over
    those of degree d that displace exactly d frames. Shuffling all frames until the degree is met, as in
    the paper, would take up to 2e13 tries for 16 frames. Here each candidate permutes d random
    positions, and the first of degree d is taken: as the distance is never above the number of displaced
    frames, none of the d is then in its place. If all candidates fail, `construct_shuffle` gives a shuffle.

    Args:
        num_frames: frames per clip.
        generator: one stream per clip.
        config: which shuffles.

    Raises:
        ValueError: fewer than 4 frames.

    Reference: CACL, eq. 5; decision A12.
    """
    possible_degrees(num_frames)  # refuses clips that are too short
    if config.preset == "uniform_exact":
        degree_B = class_to_degree(generator.fork("degree").integers(count_degree_classes(num_frames)))
        order_BT = sample_shuffles_of_degree(num_frames, degree_B, generator)
        if config.metropolis_steps:
            order_BT = mix_shuffles(order_BT, config.metropolis_steps, generator)
        return Shuffles(order_BT, degree_B)
    count_B = np.full(generator.num_rows, num_frames)
    if config.preset == "official":
        count_B = 1 + generator.fork("count").integers(num_frames)
    order_BT = _permute_some(num_frames, count_B, generator.fork("official and plain"), 1)
    return Shuffles(order_BT, measure_degrees(order_BT))


def sample_shuffles_of_degree(num_frames: int, degree_B: IntArray, generator: RowGenerator) -> IntArray:
    """Sample one shuffle per clip with the degree that is asked for; see `sample_shuffles` for its law.

    Args:
        num_frames: frames per clip.
        degree_B: the degree of each.
        generator: one stream per clip.

    Raises:
        ValueError: fewer than 4 frames, a degree that no shuffle has, or not one degree per stream.
    """
    _check_degrees(num_frames, degree_B)
    if len(degree_B) != generator.num_rows:
        raise ValueError(
            f"degree_B holds {len(degree_B)} degrees for {generator.num_rows} streams; give one for each"
        )
    order_BT = np.empty((len(degree_B), num_frames), dtype=np.int64)
    # Keys in place of streams: later rounds draw for the clips that are still open, and for no others.
    key_B = generator.fork("candidates").integers(2**53)
    open_R = np.arange(len(degree_B))
    for round_number, num_tries in enumerate(TRIES_PER_ROUND):
        if not len(open_R):
            return order_BT
        stream = RowGenerator(key_B[open_R]).fork(f"round {round_number}")
        candidate_RNT = _permute_some(num_frames, degree_B[open_R], stream, num_tries).reshape(
            len(open_R), num_tries, num_frames
        )
        found_RN = measure_degrees(candidate_RNT.reshape(-1, num_frames)).reshape(-1, num_tries)
        fits_RN = found_RN == degree_B[open_R, None]
        first_R = fits_RN.argmax(axis=1)
        is_found_R = fits_RN.any(axis=1)
        order_BT[open_R[is_found_R]] = candidate_RNT[is_found_R, first_R[is_found_R]]
        open_R = open_R[~is_found_R]
    position_RT = RowGenerator(key_B[open_R]).fork("construction").permutations(num_frames)
    for row, position_T in zip(open_R, position_RT, strict=True):
        order_BT[row] = construct_shuffle(position_T, int(degree_B[row]))
    return order_BT


def construct_shuffle(position_T: IntArray, degree: int) -> IntArray:
    """Build a shuffle of a given degree without any trial.

    The frames at the first ``degree`` of the positions are written in reverse; of an odd number of them the
    one in the middle then moves to the front::

        reversed 4 3 2 1 0, degree 4        middle to the front 2 4 3 1 0, degree 5

    The distance is at most d, one substitution per moved frame. It is not less: an alignment that keeps c
    frames, one of them displaced by k, costs at least n - c + k, and c is at most n - d plus the moved frames
    kept, which must be in order. That is one, with k >= 1, or the middle one and one more. The middle one
    has k >= (d - 1) / 2, so 2 from d = 5 on; for d = 3 the positions are such that one of the two has k >= 2.

    Args:
        position_T: a permutation of the positions; its start says which frames move.
        degree: a possible degree of so many frames.

    Raises:
        ValueError: fewer than 4 frames, or no shuffle has this degree.
    """
    _check_degrees(len(position_T), np.array([degree]))
    order_T = np.arange(len(position_T))
    moved = sorted(position_T[:degree])
    if degree == 3:
        # Four positions without one of the inner two, so that a gap between the three is 2 or more.
        four = sorted(position_T[:4])
        moved = [four[0], four[1 + int(position_T[0] > position_T[1])], four[3]]
    contents = moved[::-1]
    if degree % 2:
        contents.insert(0, contents.pop(degree // 2))
    order_T[moved] = contents
    return order_T


def mix_shuffles(order_BT: IntArray, num_steps: int, generator: RowGenerator) -> IntArray:
    """Take random steps among the shuffles of the same degree (Metropolis).

    A step swaps two frames or moves one elsewhere, and is undone where the degree changes. Both moves are
    as likely as their reverse, so the uniform law over all shuffles of one degree stays as it is, and many
    steps lead to it from any start.

    Args:
        order_BT: one permutation per clip.
        num_steps: how many steps each clip takes.
        generator: one stream per clip.
    """
    stream = generator.fork("steps")
    num_frames = order_BT.shape[1]
    degree_B = measure_degrees(order_BT)
    place_T = np.arange(num_frames)
    for _ in range(num_steps):
        is_swap_B1 = stream.bernoulli(0.5)[:, None]
        from_B1, to_B1 = stream.integers(num_frames)[:, None], stream.integers(num_frames)[:, None]
        # A frame that moves later draws those it passes one place forward, and the other way around.
        is_passed_BT = (np.minimum(from_B1, to_B1) <= place_T) & (place_T <= np.maximum(from_B1, to_B1))
        moved_BT = np.where(is_passed_BT, place_T + np.sign(to_B1 - from_B1), place_T)
        swapped_BT = np.where(place_T == from_B1, to_B1, place_T)
        source_BT = np.where(place_T == to_B1, from_B1, np.where(is_swap_B1, swapped_BT, moved_BT))
        proposed_BT = np.take_along_axis(order_BT, source_BT, axis=1)
        keeps_B1 = (measure_degrees(proposed_BT) == degree_B)[:, None]
        order_BT = np.where(keeps_B1, proposed_BT, order_BT)
    return order_BT


def _permute_some(num_frames: int, count_B: IntArray, generator: RowGenerator, num_copies: int) -> IntArray:
    """Permute the frames at ``count_B`` random positions at random, ``num_copies`` times per clip.

    The start of a random permutation is a random choice in a random order; its frames go to the same
    positions in their true order.
    """
    shape = (len(count_B) * num_copies, num_frames)
    count_R = np.repeat(count_B, num_copies)
    place_bits = (num_frames - 1).bit_length()
    draw_RT = generator.repeat(num_copies * num_frames).integers(2 ** min(53, 63 - place_bits)).reshape(shape)
    # Sorting numbers that end in their place is several times faster than `argsort`, and knows no ties.
    key_RT = draw_RT << place_bits | np.arange(num_frames)
    sorted_RT = np.sort(key_RT, axis=1)
    limit_R = sorted_RT[np.arange(len(count_R)), np.minimum(count_R, num_frames - 1)]
    is_moved_RT = key_RT < np.where(count_R < num_frames, limit_R, np.iinfo(np.int64).max)[:, None]
    is_chosen_RT = np.arange(num_frames) < count_R[:, None]
    order_RT = np.empty(shape, dtype=np.int64)
    order_RT[:] = np.arange(num_frames)
    order_RT[is_moved_RT] = sorted_RT[is_chosen_RT] & (2**place_bits - 1)
    return order_RT


def _check_degrees(num_frames: int, degree_B: IntArray) -> None:
    is_wrong_B = ~np.isin(degree_B, possible_degrees(num_frames))
    if is_wrong_B.any():
        raise ValueError(
            f"degree_B holds {degree_B[is_wrong_B][0]}; shuffles of {num_frames} frames have the degrees 0 "
            f"and 2 to {num_frames}"
        )
