"""First-in first-out memory of keys, the negatives of MoCo."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unreel.distributed import gather_rows

# B keys of this process, K length of the queue, D features

NO_OWNER = -1


class KeyQueue(nn.Module):
    """The last K keys and the video each belongs to.

    A small corpus comes round again before the queue has forgotten it; the keys of a video would then be
    negatives of that same video and undo the learning. The queue therefore remembers owners, and `excluded`
    says which keys a video must not be contrasted with. Before the first lap is over, the queue holds random
    directions without owner.

    The state (keys, owners, next position) lives in buffers, so it is saved with the method and moves without
    the host ever waiting for the device.

    Args:
        length: K, number of keys.
        embedding_dim: D.

    Raises:
        ValueError: ``length`` is not positive.
    """

    keys_KD: Tensor
    owners_K: Tensor
    position: Tensor

    def __init__(self, length: int, embedding_dim: int) -> None:
        super().__init__()
        if length < 1:
            raise ValueError(f"the queue's length must be at least 1, got {length}")
        self.register_buffer("keys_KD", F.normalize(torch.randn(length, embedding_dim), dim=1))
        self.register_buffer("owners_K", torch.full((length,), NO_OWNER))
        self.register_buffer("position", torch.zeros((), dtype=torch.long))

    @property
    def length(self) -> int:
        """K, number of keys that the queue holds."""
        return len(self.keys_KD)

    def excluded(self, owners_B: Tensor) -> Tensor:
        """Return a (B, K) mask, true where a key belongs to the row's own video."""
        return owners_B[:, None] == self.owners_K[None, :]

    @torch.no_grad()
    def enqueue(self, keys_BD: Tensor, owners_B: Tensor) -> None:
        """Replace the oldest keys by those of all processes; batches of any size fit (decision E3).

        Args:
            keys_BD: new keys; stored with length one.
            owners_B: the video of each key, its row in the catalog.
        """
        keys_BD = gather_rows(F.normalize(keys_BD.detach().float(), dim=1))[-self.length :]
        owners_B = gather_rows(owners_B)[-self.length :]
        places_B = (self.position + torch.arange(len(keys_BD), device=self.position.device)) % self.length
        self.keys_KD[places_B] = keys_BD.to(self.keys_KD.dtype)
        self.owners_K[places_B] = owners_B
        self.position.add_(len(keys_BD)).remainder_(self.length)
