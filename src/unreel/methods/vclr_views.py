"""What VCLR looks at: two tuples of frames, each augmented by itself, and the order they are judged in."""

from dataclasses import dataclass

import torch
from torch import Tensor

from unreel.augment.compose import ClipAugmentation
from unreel.augment.tuple_order import sample_tuple_orders
from unreel.data.batch import VideoBatch
from unreel.data.segments import OppositeHalves
from unreel.methods.vclr_settings import VCLRSettings
from unreel.seeding import RowGenerator

# B batch, N frames of a tuple, F = B * N frames of a batch, C channels, H W pixels


@dataclass(frozen=True)
class VCLRViews:
    """The augmented frames of each video.

    Attributes:
        anchor_BNCHW: the anchor tuple, which holds the query; with SeCo's frames, the query and the others.
        positive_BNCHW: the positive tuple; None when no loss compares tuples.
        twin_BCHW: the query's frame in another augmentation; None when no loss contrasts frames.
        query_place_B: int64, which frame of the anchor tuple is the query.
        anchor_order_BN: int64, frame of the anchor tuple at each position of the sequence that is judged;
            None when the order of tuples is not.
        positive_order_BN: the same of the positive tuple.
        order_class_B: int64, the right answer of the task of order; None without it.
        owners_B: row of each video in the catalog.
    """

    anchor_BNCHW: Tensor
    positive_BNCHW: Tensor | None
    twin_BCHW: Tensor | None
    query_place_B: Tensor
    anchor_order_BN: Tensor | None
    positive_order_BN: Tensor | None
    order_class_B: Tensor | None
    owners_B: Tensor


def make_vclr_views(config: VCLRSettings, batch: VideoBatch) -> VCLRViews:
    """Augment every frame by itself, and the query's frame a second time; draw the orders.

    The query is the first or the last frame of the anchor tuple, either as likely (decision V8). What no loss
    needs is not made, and what is drawn for one thing does not depend on the others.
    """
    device, augmentation = batch.frames_BNTHWC.device, config.augmentation
    anchor_BNHWC = batch.frames_BNTHWC[:, 0]
    place_B, is_query_late_B = _choose_query(config, batch)
    place_B = place_B.to(device, non_blocking=True)
    positive_BNCHW = twin_BCHW = None
    if config.has_tuples:
        positive_BNCHW = _augment(augmentation, batch, batch.frames_BNTHWC[:, 1], batch.generator("positive"))
    if config.has_twin:
        query_B1HWC = anchor_BNHWC[torch.arange(len(batch), device=device), place_B][:, None]
        twin_BCHW = _augment(augmentation, batch, query_B1HWC, batch.generator("twin")).squeeze(1)
    anchor_order_BN, positive_order_BN, order_class_B = _ask_for_order(config, batch, is_query_late_B)
    return VCLRViews(
        anchor_BNCHW=_augment(augmentation, batch, anchor_BNHWC, batch.generator("anchor")),
        positive_BNCHW=positive_BNCHW,
        twin_BCHW=twin_BCHW,
        query_place_B=place_B,
        anchor_order_BN=_move(anchor_order_BN, device),
        positive_order_BN=_move(positive_order_BN, device),
        order_class_B=_move(order_class_B, device),
        owners_B=batch.video_index_B,
    )


def _choose_query(config: VCLRSettings, batch: VideoBatch) -> tuple[Tensor, Tensor]:
    """Return where in its row each query stands, and whether it comes after the other frames in time."""
    if isinstance(config.clips, OppositeHalves):
        query_B, other_B = batch.frame_index_BNT[:, 0, 0], batch.frame_index_BNT[:, 0, 1]
        return torch.zeros_like(query_B), query_B > other_B
    is_late_B = torch.from_numpy(batch.generator("query").bernoulli(0.5))
    return is_late_B.long() * (config.num_frames - 1), is_late_B


def _ask_for_order(
    config: VCLRSettings, batch: VideoBatch, is_query_late_B: Tensor
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the orders of both tuples and the right answer, as far as there is a task of order."""
    if "order" not in config.losses:
        return None, None, None
    if config.order_task == "query":
        return None, None, is_query_late_B.long()
    anchor = sample_tuple_orders(config.num_frames, batch.generator("anchor order"))
    positive = sample_tuple_orders(config.num_frames, batch.generator("positive order"))
    answer_B = anchor.is_shuffled_B + 2 * positive.is_shuffled_B
    return torch.from_numpy(anchor.order_BN), torch.from_numpy(positive.order_BN), torch.from_numpy(answer_B)


def _augment(
    augmentation: ClipAugmentation, batch: VideoBatch, frames_BNHWC: Tensor, generator: RowGenerator
) -> Tensor:
    """Treat every frame as a clip of its own: shape (B, N, C, H, W)."""
    batch_size, num_frames = frames_BNHWC.shape[:2]
    frames_FCHW = augmentation.apply(
        frames_BNHWC.flatten(0, 1)[:, None],
        generator.repeat(num_frames),
        sizes_B2=batch.sizes_B2.repeat_interleave(num_frames, dim=0),
    ).squeeze(2)
    return frames_FCHW.reshape(batch_size, num_frames, *frames_FCHW.shape[1:])


def _move(values: Tensor | None, device: torch.device) -> Tensor | None:
    return None if values is None else values.to(device, non_blocking=True)
