"""What a key is contrasted with: keys of earlier steps, or of the batch's other videos."""

from torch import Tensor, nn

from unreel.distributed import gather_rows, world_size
from unreel.models.queue import KeyQueue

# B videos of this process, X keys of them, K negatives, E embedding


class NegativeKeys(nn.Module):
    """A queue of keys with its videos; without a queue, the keys of the other videos of the batch.

    In training the keys of a step are noted when they are seen and join the queue when the step is over, so
    no loss meets its own keys, and every part of an accumulated batch is counted. In evaluation no step ends,
    and nothing is noted.

    Args:
        queue_length: K; 0 takes the keys of this step, of all processes, instead.
        embedding_dim: E.
        exclude_own: whether a queue's keys of a video are no negatives of that video. Keys of the same step
            never are.
    """

    def __init__(self, queue_length: int, embedding_dim: int, *, exclude_own: bool) -> None:
        super().__init__()
        self.exclude_own = exclude_own
        self.queue = KeyQueue(queue_length, embedding_dim) if queue_length else None
        self._noted: list[tuple[Tensor, Tensor]] = []

    def take(self, keys_XE: Tensor, key_owners_X: Tensor, owners_B: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the negatives of this step, and which of them are of a video's own; note the keys.

        Args:
            keys_XE: keys of this step, without gradient.
            key_owners_X: the video of each.
            owners_B: the videos whose queries ask, every one once.

        Returns:
            Shapes (K, E) and (B, K); None in place of the second when nothing is to be left out.

        Raises:
            ValueError: there is neither a queue nor another video.
        """
        if self.queue is not None:
            if self.training:
                self._noted.append((keys_XE, key_owners_X))
            return self.queue.keys_KD, self.queue.excluded(owners_B) if self.exclude_own else None
        if world_size() * len(owners_B) < 2:
            raise ValueError(
                "method.queue_length = 0 takes the other videos of a part of the batch as negatives, and "
                "there is none; lower train.accumulate, raise train.batch_size or use a queue"
            )
        return gather_rows(keys_XE), owners_B[:, None] == gather_rows(key_owners_X)[None, :]

    def store(self) -> None:
        """Put the noted keys into the queue; called when the step is over."""
        for keys_XE, owners_X in self._noted:
            assert self.queue is not None
            self.queue.enqueue(keys_XE, owners_X)
        self._noted.clear()
