"""The tasks of VCLR on tuples of a video, whatever is in them: frames, or clips of a 3D network."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unreel.augment.tuple_order import sample_tuple_orders
from unreel.data.batch import VideoBatch
from unreel.losses.contrastive import info_nce, retrieval_accuracy
from unreel.losses.frames import OrderNorm, concat_for_order
from unreel.models.heads import ProjectionHead
from unreel.models.negative_keys import NegativeKeys

# B videos, N members of a tuple, E embedding

NUM_ORDER_CLASSES = 4
"""Neither tuple is shuffled, the anchor, the positive, both."""


@dataclass(frozen=True)
class OrderQuestion:
    """In which order two tuples are shown, and what the right answer is.

    Attributes:
        anchor_order_BN: int64, member of the anchor tuple at each position of the sequence that is judged.
        positive_order_BN: the same of the positive tuple.
        answer_B: int64, 1 where the anchor is shuffled plus 2 where the positive is.
    """

    anchor_order_BN: Tensor
    positive_order_BN: Tensor
    answer_B: Tensor


def ask_for_order(batch: VideoBatch, num_segments: int) -> OrderQuestion:
    """Shuffle each tuple or not, with probability 1/2; the question is on the device of the batch.

    Reference: VCLR, section 3.3.
    """
    anchor = sample_tuple_orders(num_segments, batch.generator("anchor order"))
    positive = sample_tuple_orders(num_segments, batch.generator("positive order"))
    answer_B = anchor.is_shuffled_B + 2 * positive.is_shuffled_B
    parts = (torch.from_numpy(part) for part in (anchor.order_BN, positive.order_BN, answer_B))
    device = batch.frames_BNTHWC.device
    return OrderQuestion(*(part.to(device, non_blocking=True) for part in parts))


class VideoContrast(nn.Module):
    """Tell a video, seen through the average of a tuple, from other videos.

    Args:
        queue_length: K, video keys; 0 takes the batch's other videos.
        embedding_dim: E.
        temperature: divides the cosine similarities.
        exclude_own: whether earlier keys of a video are left out of its negatives.

    Reference: VCLR, eq. 4 to 6.
    """

    def __init__(
        self, queue_length: int, embedding_dim: int, *, temperature: float, exclude_own: bool
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.negatives = NegativeKeys(queue_length, embedding_dim, exclude_own=exclude_own)

    def forward(self, query_BE: Tensor, key_BE: Tensor, owners_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss, and the share of videos whose nearest key in the batch is their own.

        Args:
            query_BE: embedding of the average over the anchor tuple.
            key_BE: that over the positive tuple, of the momentum encoder.
            owners_B: row of each video in the catalog.

        Raises:
            ValueError: there is neither a queue nor another video.
        """
        negatives_KE, excluded_BK = self.negatives.take(key_BE, owners_B, owners_B)
        loss = info_nce(query_BE, key_BE, negatives_KE, temperature=self.temperature, excluded_BK=excluded_BK)
        return loss, retrieval_accuracy(query_BE, key_BE)

    def store(self) -> None:
        """Put the keys of the step into the queue."""
        self.negatives.store()


class TupleOrder(nn.Module):
    """Tell which of two tuples is shuffled.

    Args:
        num_segments: N.
        embedding_dim: E.
        norm: along which axis embeddings are normalised.

    Reference: VCLR, eq. 7 to 10.
    """

    def __init__(self, num_segments: int, embedding_dim: int, *, norm: OrderNorm = "channels") -> None:
        super().__init__()
        self.norm: OrderNorm = norm
        self.classifier = ProjectionHead(2 * num_segments * embedding_dim, NUM_ORDER_CLASSES)

    def forward(self, query_BNE: Tensor, key_BNE: Tensor, question: OrderQuestion) -> tuple[Tensor, Tensor]:
        """Return the cross-entropy and the share of right answers.

        Every member is embedded by itself, so shuffling the embeddings is shuffling the pictures.

        Args:
            query_BNE: embeddings of the anchor tuple in order of time.
            key_BNE: of the positive tuple, from the momentum encoder; they give no gradient.
            question: the orders that are shown.
        """
        sequence_BX = concat_for_order(
            _reorder(query_BNE, question.anchor_order_BN),
            _reorder(key_BNE, question.positive_order_BN),
            norm=self.norm,
        )
        logits_BX = self.classifier(sequence_BX)
        is_right_B = logits_BX.detach().argmax(dim=1) == question.answer_B
        return F.cross_entropy(logits_BX, question.answer_B), is_right_B.float().mean()


def _reorder(embeddings_BNE: Tensor, order_BN: Tensor) -> Tensor:
    rows_B1 = torch.arange(len(order_BN), device=order_BN.device)[:, None]
    return embeddings_BNE[rows_B1, order_BN]
