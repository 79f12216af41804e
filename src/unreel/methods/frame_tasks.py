"""The tasks of VCLR and SeCo on single frames: a frame among frames of other videos, and of its own."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unreel.losses.contrastive import retrieval_accuracy
from unreel.losses.frames import IntraForm, inter_frame_loss, intra_frame_loss
from unreel.models.negative_keys import NegativeKeys

# B videos, P keys of a video, E embedding


class FrameContrast(nn.Module):
    """Tell a frame and other frames of its video from frames of other videos.

    Args:
        queue_length: K, frame keys; 0 takes those of the batch's other videos.
        embedding_dim: E.
        temperature: divides the cosine similarities.
        exclude_own: whether earlier keys of a video are left out of its negatives.

    Reference: VCLR, eq. 2.
    """

    def __init__(
        self, queue_length: int, embedding_dim: int, *, temperature: float, exclude_own: bool
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.negatives = NegativeKeys(queue_length, embedding_dim, exclude_own=exclude_own)

    def forward(self, query_BE: Tensor, keys_BPE: Tensor, owners_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss, and the share of queries whose nearest first key in the batch is their own.

        Args:
            query_BE: embeddings that receive gradient.
            keys_BPE: of the momentum encoder: the query's frame in another augmentation, then other frames.
            owners_B: row of each video in the catalog.

        Raises:
            ValueError: there is neither a queue nor another video.
        """
        owners_F = owners_B.repeat_interleave(keys_BPE.shape[1])
        negatives_KE, excluded_BK = self.negatives.take(keys_BPE.flatten(0, 1), owners_F, owners_B)
        loss = inter_frame_loss(
            query_BE, keys_BPE, negatives_KE, temperature=self.temperature, excluded_BK=excluded_BK
        )
        return loss, retrieval_accuracy(query_BE, keys_BPE[:, 0])

    def store(self) -> None:
        """Put the keys of the step into the queue."""
        self.negatives.store()


def contrast_within_videos(
    query_BE: Tensor, keys_BPE: Tensor, *, temperature: float, form: IntraForm
) -> tuple[Tensor, Tensor]:
    """Return the loss of a frame among those of its video, and how often its own key is the nearest.

    Args:
        query_BE: embeddings that receive gradient.
        keys_BPE: the query's frame in another augmentation, then at least one other frame.
        temperature: divides the cosine similarities.
        form: how the other frames share a softmax.

    Raises:
        ValueError: ``temperature`` is not positive.

    Reference: VCLR, eq. 3.
    """
    key_BE, others_BPE = keys_BPE[:, 0], keys_BPE[:, 1:]
    loss = intra_frame_loss(query_BE, key_BE, others_BPE, temperature=temperature, form=form)
    with torch.no_grad():
        own_B = F.cosine_similarity(query_BE, key_BE, dim=1)
        other_BP = F.cosine_similarity(query_BE[:, None], others_BPE, dim=2)
        return loss, (own_B > other_BP.amax(dim=1)).float().mean()
