"""What VCLR looks at: two tuples of frames, each augmented by itself, and the order they are judged in."""

from dataclasses import dataclass

import torch
from torch import Tensor

from unreel.data.batch import VideoBatch
from unreel.methods.frame_views import augment_frames
from unreel.methods.tuple_tasks import OrderQuestion, ask_for_order
from unreel.methods.vclr_settings import VCLRSettings

# B batch, N frames of a tuple, C channels, H W pixels


@dataclass(frozen=True)
class VCLRViews:
    """The augmented frames of each video.

    Attributes:
        anchor_BNCHW: the anchor tuple, which holds the query.
        positive_BNCHW: the positive tuple; None when no loss compares tuples.
        twin_BCHW: the query's frame in another augmentation; None when no loss contrasts frames.
        query_place_B: int64, which frame of the anchor tuple is the query.
        order: how the tuples are shown to the task of order; None without it.
        owners_B: row of each video in the catalog.
    """

    anchor_BNCHW: Tensor
    positive_BNCHW: Tensor | None
    twin_BCHW: Tensor | None
    query_place_B: Tensor
    order: OrderQuestion | None
    owners_B: Tensor


def make_vclr_views(config: VCLRSettings, batch: VideoBatch) -> VCLRViews:
    """Augment every frame by itself, and the query's frame a second time; draw the orders.

    The query is the first or the last frame of the anchor tuple, either as likely (decision V8). What no loss
    needs is not made, and what is drawn for one thing does not depend on the others.
    """
    device, augmentation = batch.frames_BNTHWC.device, config.augmentation
    anchor_BNHWC = batch.frames_BNTHWC[:, 0]
    place_B = torch.from_numpy(batch.generator("query").bernoulli(0.5)).long() * (config.num_segments - 1)
    place_B = place_B.to(device, non_blocking=True)
    positive_BNCHW = twin_BCHW = None
    if config.has_tuples:
        positive_BNCHW = augment_frames(augmentation, batch, batch.frames_BNTHWC[:, 1], "positive")
    if config.has_query:
        query_B1HWC = anchor_BNHWC[torch.arange(len(batch), device=device), place_B][:, None]
        twin_BCHW = augment_frames(augmentation, batch, query_B1HWC, "twin").squeeze(1)
    return VCLRViews(
        anchor_BNCHW=augment_frames(augmentation, batch, anchor_BNHWC, "anchor"),
        positive_BNCHW=positive_BNCHW,
        twin_BCHW=twin_BCHW,
        query_place_B=place_B,
        order=ask_for_order(batch, config.num_segments) if "order" in config.losses else None,
        owners_B=batch.video_index_B,
    )
