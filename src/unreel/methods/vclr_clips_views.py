"""What VCLR on clips looks at: the clips of a video for each network, and the order they are judged in."""

from dataclasses import dataclass

import torch
from torch import Tensor

from unreel.augment.compose import ClipAugmentation
from unreel.data.batch import VideoBatch
from unreel.methods.tuple_tasks import OrderQuestion, ask_for_order
from unreel.methods.vclr_clips_settings import VCLRClipsSettings
from unreel.seeding import RowGenerator

# B videos, N clips of a tuple, M clips of a video for one network, C channels, T frames, H W pixels


@dataclass(frozen=True)
class VCLRClipsViews:
    """The augmented clips of each video, as each network takes them.

    Attributes:
        online_BMCTHW: the query, then the anchor tuple; what no loss needs is missing.
        keys_BMCTHW: the key, then the positive tuple; likewise.
        order: how the tuples are shown to the task of order; None without it.
        owners_B: row of each video in the catalog.
    """

    online_BMCTHW: Tensor
    keys_BMCTHW: Tensor
    order: OrderQuestion | None
    owners_B: Tensor


def make_vclr_clips_views(config: VCLRClipsSettings, batch: VideoBatch) -> VCLRClipsViews:
    """Augment every clip that a loss needs, independently of the others, all its frames alike.

    Query and key come out as those of momentum contrast, whatever other losses there are.
    """
    clips_BNTHWC = batch.frames_BNTHWC
    online: list[Tensor] = []
    keys: list[Tensor] = []
    if "clip" in config.losses:
        for views, purpose, row in ((online, "query", 0), (keys, "key", 1)):
            generator = batch.generator(purpose)
            views.append(_augment(config.augmentation, batch, clips_BNTHWC[:, row, None], generator))
    if config.has_tuples:
        first, num_segments = config.first_segment_row, config.num_segments
        for views, purpose, row in ((online, "anchor", first), (keys, "positive", first + num_segments)):
            generator = batch.generator(purpose).repeat(num_segments)
            tuple_BNTHWC = clips_BNTHWC[:, row : row + num_segments]
            views.append(_augment(config.augmentation, batch, tuple_BNTHWC, generator))
    return VCLRClipsViews(
        online_BMCTHW=_join(online),
        keys_BMCTHW=_join(keys),
        order=ask_for_order(batch, config.num_segments) if "order" in config.losses else None,
        owners_B=batch.video_index_B,
    )


def _augment(
    augmentation: ClipAugmentation, batch: VideoBatch, clips_BNTHWC: Tensor, generator: RowGenerator
) -> Tensor:
    """Augment N clips of every video with a stream for each: float32 (B, N, C, T, H, W)."""
    batch_size, num_clips = clips_BNTHWC.shape[:2]
    clips_XCTHW = augmentation.apply(
        clips_BNTHWC.flatten(0, 1), generator, sizes_B2=batch.sizes_B2.repeat_interleave(num_clips, dim=0)
    )
    return clips_XCTHW.reshape(batch_size, num_clips, *clips_XCTHW.shape[1:])


def _join(views: list[Tensor]) -> Tensor:
    return views[0] if len(views) == 1 else torch.cat(views, dim=1)
