import pytest
import torch
import torch.nn.functional as F

from unreel.models.negative_keys import NegativeKeys

OWNERS = torch.tensor([4, 7])
KEYS = torch.eye(3)[:2] * 2


def test_keys_join_the_queue_when_the_step_is_over() -> None:
    negatives = NegativeKeys(4, 3, exclude_own=True)
    assert negatives.queue is not None
    before = negatives.queue.keys_KD.clone()
    taken, excluded = negatives.take(KEYS, OWNERS, OWNERS)
    assert torch.equal(taken, before)
    assert excluded is not None
    assert not excluded.any()
    assert torch.equal(negatives.queue.keys_KD, before)
    negatives.store()
    torch.testing.assert_close(negatives.queue.keys_KD[:2], F.normalize(KEYS, dim=1))
    assert negatives.queue.owners_K.tolist() == [4, 7, -1, -1]
    negatives.store()
    assert negatives.queue.position.item() == 2


def test_all_parts_of_an_accumulated_batch_are_noted() -> None:
    negatives = NegativeKeys(4, 3, exclude_own=True)
    negatives.take(KEYS, OWNERS, OWNERS)
    negatives.take(KEYS, OWNERS + 1, OWNERS + 1)
    negatives.store()
    assert negatives.queue is not None
    assert negatives.queue.owners_K.tolist() == [4, 7, 5, 8]


@pytest.mark.parametrize("is_excluding", [True, False])
def test_own_keys_of_earlier_steps_are_left_out_where_that_is_wanted(is_excluding: bool) -> None:
    negatives = NegativeKeys(4, 3, exclude_own=is_excluding)
    negatives.take(KEYS, OWNERS, OWNERS)
    negatives.store()
    _, excluded = negatives.take(KEYS, OWNERS, OWNERS)
    if not is_excluding:
        assert excluded is None
        return
    assert excluded is not None
    assert excluded.tolist() == [[True, False, False, False], [False, True, False, False]]


def test_without_a_queue_the_keys_of_the_step_are_the_negatives_but_for_the_own_ones() -> None:
    """Two keys of each video: a query meets those of the other video alone."""
    negatives = NegativeKeys(0, 3, exclude_own=False)
    keys = torch.randn(4, 3)
    taken, excluded = negatives.take(keys, OWNERS.repeat_interleave(2), OWNERS)
    assert torch.equal(taken, keys)
    assert excluded is not None
    assert excluded.tolist() == [[True, True, False, False], [False, False, True, True]]
    negatives.store()
    assert negatives.state_dict() == {}


def test_nothing_is_noted_in_evaluation() -> None:
    negatives = NegativeKeys(4, 3, exclude_own=True).eval()
    negatives.take(KEYS, OWNERS, OWNERS)
    negatives.train()
    negatives.take(KEYS, OWNERS + 1, OWNERS + 1)
    negatives.store()
    assert negatives.queue is not None
    assert negatives.queue.owners_K.tolist() == [5, 8, -1, -1]


def test_one_video_without_a_queue_has_nothing_to_be_contrasted_with() -> None:
    with pytest.raises(ValueError, match=r"method.queue_length = 0 .* there is none; lower train.accumulate"):
        NegativeKeys(0, 3, exclude_own=True).take(KEYS[:1], OWNERS[:1], OWNERS[:1])
