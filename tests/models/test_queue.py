import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unreel.models.queue import NO_OWNER, KeyQueue


@given(st.integers(1, 7), st.lists(st.integers(1, 12), min_size=1, max_size=6))
def test_the_queue_holds_the_last_keys_whatever_the_batches(length: int, batches: list[int]) -> None:
    queue = KeyQueue(length, 1)
    written: list[int] = []
    for size in batches:
        owners = list(range(len(written), len(written) + size))
        queue.enqueue(torch.ones(size, 1), torch.tensor(owners))
        written += owners
    assert sorted(set(queue.owners_K.tolist()) - {NO_OWNER}) == written[-length:]
    assert (queue.owners_K == NO_OWNER).sum() == max(0, length - len(written))


def test_the_oldest_keys_leave_first_and_the_pointer_advances_by_the_batch() -> None:
    queue = KeyQueue(5, 2)
    queue.enqueue(torch.ones(3, 2), torch.tensor([10, 11, 12]))
    assert queue.position.item() == 3
    queue.enqueue(torch.ones(3, 2), torch.tensor([13, 14, 15]))
    assert queue.position.item() == 1
    assert queue.owners_K.tolist() == [15, 11, 12, 13, 14]


def test_keys_have_length_one_from_the_start_and_after_writing() -> None:
    queue = KeyQueue(6, 4)
    assert torch.allclose(queue.keys_KD.norm(dim=1), torch.ones(6))
    queue.enqueue(5 * torch.randn(4, 4), torch.arange(4))
    assert torch.allclose(queue.keys_KD.norm(dim=1), torch.ones(6))


def test_a_video_is_never_its_own_negative() -> None:
    queue = KeyQueue(4, 2)
    queue.enqueue(torch.ones(3, 2), torch.tensor([7, 8, 7]))
    excluded = queue.excluded(torch.tensor([7, 9]))
    assert excluded.tolist() == [[True, False, True, False], [False] * 4]


def test_written_keys_carry_no_gradient_and_are_copies() -> None:
    queue = KeyQueue(3, 2)
    keys = torch.ones(2, 2, requires_grad=True)
    queue.enqueue(keys, torch.tensor([0, 1]))
    assert not queue.keys_KD.requires_grad
    before = queue.keys_KD.clone()
    with torch.no_grad():
        keys.zero_()
    assert torch.equal(queue.keys_KD, before)


def test_the_state_survives_saving() -> None:
    queue, twin = KeyQueue(4, 2), KeyQueue(4, 2)
    queue.enqueue(torch.randn(3, 2), torch.tensor([1, 2, 3]))
    twin.load_state_dict(queue.state_dict())
    for each in (queue, twin):
        each.enqueue(torch.ones(2, 2), torch.tensor([4, 5]))
    assert torch.equal(queue.keys_KD, twin.keys_KD)
    assert queue.owners_K.tolist() == twin.owners_K.tolist() == [5, 2, 3, 4]


def test_an_empty_queue_is_refused() -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        KeyQueue(0, 2)
