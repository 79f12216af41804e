import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unreel.models.temporal_shift import check_shift, shift_frames


@given(
    clips=st.integers(1, 3), frames=st.integers(1, 5), channels=st.integers(1, 19), divisor=st.integers(2, 9)
)
def test_every_channel_comes_from_where_it_is_said(
    clips: int, frames: int, channels: int, divisor: int
) -> None:
    x = torch.rand(clips * frames, channels, 2, 3)
    found = shift_frames(x, frames, divisor).reshape(clips, frames, channels, 2, 3)
    own = x.reshape(clips, frames, channels, 2, 3)
    moved = channels // divisor
    for clip in range(clips):
        for time in range(frames):
            for channel in range(channels):
                source = time + 1 if channel < moved else time - 1 if channel < 2 * moved else time
                is_inside = 0 <= source < frames
                expected = own[clip, source, channel] if is_inside else torch.zeros(2, 3)
                assert torch.equal(found[clip, time, channel], expected)


def test_a_shift_by_hand() -> None:
    # Two clips of three frames with four channels, a quarter of which moves: frame t of clip b holds
    # 10 b + t + 1 in every channel.
    values = torch.tensor([1.0, 2, 3, 11, 12, 13])
    x = values[:, None, None, None].expand(6, 4, 1, 1)
    shifted = shift_frames(x, 3, 4)[:, :, 0, 0]
    assert shifted[:, 0].tolist() == [2, 3, 0, 12, 13, 0]  # from the next frame
    assert shifted[:, 1].tolist() == [0, 1, 2, 0, 11, 12]  # from the previous frame
    assert shifted[:, 2].tolist() == shifted[:, 3].tolist() == values.tolist()


def test_the_input_is_left_alone_and_the_gradient_is_the_shift_back() -> None:
    x = torch.rand(4, 8, 2, 2, requires_grad=True)
    before = x.detach().clone()
    weights = torch.rand(4, 8, 2, 2)
    (shift_frames(x, 4) * weights).sum().backward()
    assert torch.equal(x.detach(), before)
    assert x.grad is not None
    # What went to the frame before is credited to the frame behind, and the other way round.
    assert torch.equal(x.grad[1:, 0], weights[:-1, 0])
    assert torch.equal(x.grad[:-1, 1], weights[1:, 1])
    assert torch.equal(x.grad[:, 2:], weights[:, 2:])
    assert x.grad[0, 0].abs().sum() == x.grad[-1, 1].abs().sum() == 0


def test_the_order_of_the_numbers_in_memory_stays() -> None:
    x = torch.rand(6, 8, 5, 4).to(memory_format=torch.channels_last)
    shifted = shift_frames(x, 3)
    assert shifted.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(shifted, shift_frames(x.contiguous(), 3))


def test_frames_that_are_no_whole_clips_are_refused() -> None:
    with pytest.raises(ValueError, match="7 frames are no whole clips of num_frames=3"):
        shift_frames(torch.rand(7, 8, 1, 1), 3)


@pytest.mark.parametrize("divisor", [-8, 0, 1, 17])
def test_a_share_that_moves_too_much_or_nothing_is_refused(divisor: int) -> None:
    with pytest.raises(ValueError, match=rf"shift_divisor must be between 2 and 16, .* got {divisor}:"):
        check_shift(divisor, 16)
    check_shift(2, 16)
    check_shift(16, 16)
