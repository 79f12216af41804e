import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unreel.models.mvit_blocks import Grid
from unreel.models.mvit_positions import TokenPositions

SIZES = st.integers(1, 7)


def build(grid: Grid = (2, 3, 4), channels: int = 5) -> TokenPositions:
    torch.manual_seed(0)
    return TokenPositions(channels, grid)


def test_on_its_own_grid_every_token_gets_the_vectors_as_they_are() -> None:
    positions = build()
    vectors = positions.resize((2, 3, 4))
    for time in range(2):
        for place in range(12):
            assert torch.equal(vectors[time, place], positions.temporal[time] + positions.spatial[place])


def test_the_class_token_comes_first_with_a_place_of_its_own() -> None:
    positions = build()
    cubes = torch.randn(3, 2, 12, 5)
    tokens = positions(cubes, (2, 3, 4))
    assert tokens.shape == (3, 1 + 24, 5)
    for clip in range(3):
        assert torch.equal(tokens[clip, 0], positions.class_token + positions.class_position)
    # Token 1 + t * 12 + p is place p of time t.
    expected = cubes[1, 1, 7] + (positions.temporal[1] + positions.spatial[7])
    assert torch.equal(tokens[1, 1 + 12 + 7], expected)


def test_tokens_in_another_order_get_the_vectors_of_the_places_to_which_they_come() -> None:
    positions = build()
    cubes = torch.randn(1, 2, 12, 5)
    swapped = positions(cubes.flip(1), (2, 3, 4))
    assert torch.equal(swapped[:, 1:13], cubes[:, 1] + positions.resize((2, 3, 4))[0])


def test_twice_as_many_times_lie_a_quarter_from_the_old_ones() -> None:
    # Times 0 and 1 stand for the halves of a clip, with centres at 1/4 and 3/4 of it. Centres of quarters
    # lie at 1/8, 3/8, 5/8 and 7/8: before the first old one, 1/4 and 3/4 of the way, and after the last.
    positions = build((2, 1, 1), 1)
    with torch.no_grad():
        positions.temporal.copy_(torch.tensor([[0.0], [1.0]]))
        positions.spatial.zero_()
    assert positions.resize((4, 1, 1)).flatten().tolist() == [0.0, 0.25, 0.75, 1.0]


def test_places_are_interpolated_along_both_sides() -> None:
    # Rows as above 0, 1 -> 0, 0.25, 0.75, 1; columns 0, 10, 20 -> one column over all three, their centre.
    positions = build((1, 2, 3), 1)
    with torch.no_grad():
        positions.temporal.zero_()
        positions.spatial.copy_(torch.tensor([0.0, 10, 20, 1, 11, 21])[:, None])
    vectors = positions.resize((1, 4, 1)).flatten()
    torch.testing.assert_close(vectors, torch.tensor([10.0, 10.25, 10.75, 11.0]))


@given(grid=st.tuples(SIZES, SIZES, SIZES), own=st.tuples(SIZES, SIZES, SIZES))
@settings(max_examples=20, deadline=None)
def test_vectors_that_do_not_differ_stay_what_they_are_on_any_grid(grid: Grid, own: Grid) -> None:
    positions = build(own, 2)
    with torch.no_grad():
        positions.temporal.fill_(0.25)
        positions.spatial.fill_(0.5)
    vectors = positions.resize(grid)
    assert vectors.shape == (grid[0], grid[1] * grid[2], 2)
    torch.testing.assert_close(vectors, torch.full_like(vectors, 0.75))


@pytest.mark.parametrize("grid", [(2, 3, 4), (4, 6, 8), (3, 3, 4), (2, 5, 4)])
def test_gradient_reaches_every_vector(grid: Grid) -> None:
    positions = build()
    cubes = torch.randn(2, grid[0], grid[1] * grid[2], 5)
    positions(cubes, grid).square().sum().backward()
    for name, parameter in positions.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.ne(0).all(), name


def test_vectors_start_small_and_the_sum_stays_in_full_precision() -> None:
    positions = build((8, 56, 56), 96)
    for parameter in positions.parameters():
        # Two hundredths within a third, and cut off at 2, not at two deviations.
        assert parameter.std().item() == pytest.approx(0.02, rel=0.33)
    with torch.autocast("cpu", torch.bfloat16):
        tokens = positions(torch.zeros(1, 8, 4, 96, dtype=torch.bfloat16), (8, 2, 2))
    assert tokens.dtype == torch.float32
