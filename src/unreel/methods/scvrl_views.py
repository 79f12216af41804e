"""What SCVRL looks at: three views of two clips of a video, and the orders that one is shown in."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.augment.compose import ClipAugmentation
from unreel.augment.group_shuffle import expand_groups, sample_group_orders
from unreel.data.batch import VideoBatch
from unreel.methods.scvrl_settings import SCVRLSettings

# B videos, N shuffles, G groups of frames, C channels, T frames, H W pixels

ANCHOR_CLIP, KEY_CLIP = 0, -1
"""The clip that is shuffled, and the other one of its video."""


@dataclass(frozen=True)
class ShuffleQuestion:
    """Clips of which it is asked whether they are shuffled.

    Attributes:
        clips_BCTHW: the clips as they are shown.
        is_shuffled_B: float32, the right answers, 1 or 0.
    """

    clips_BCTHW: Tensor
    is_shuffled_B: Tensor


@dataclass(frozen=True)
class SCVRLViews:
    """The augmented clips of each video; what no loss needs is None.

    Attributes:
        anchor_BCTHW: the first clip.
        positive_BCTHW: the first clip, augmented in another way, in order of time.
        negative_order_BNG: int64, in which orders its groups of frames are shown as negatives.
        question: for telling shuffled clips, made of the positive.
        key_BCTHW: the second clip.
        owners_B: row of each video in the catalog.
    """

    anchor_BCTHW: Tensor | None
    positive_BCTHW: Tensor | None
    negative_order_BNG: Tensor | None
    question: ShuffleQuestion | None
    key_BCTHW: Tensor | None
    owners_B: Tensor


def make_scvrl_views(config: SCVRLSettings, batch: VideoBatch) -> SCVRLViews:
    """Augment the views that the losses need, each by itself, and draw the shuffles.

    A view comes out alike whatever other losses there are.
    """
    positive_BCTHW = None
    if config.is_about_order:
        positive_BCTHW = augment_clip(config.augmentation, batch, ANCHOR_CLIP, "positive")
    negative_order_BNG, question, key_BCTHW = None, None, None
    if "shuffled" in config.losses:
        order_BNG = sample_group_orders(
            config.num_groups, config.num_negatives, batch.generator("shuffled negatives")
        )
        negative_order_BNG = _to_device(order_BNG, batch)
    if "detection" in config.losses:
        assert positive_BCTHW is not None
        question = ask_whether_shuffled(config, batch, positive_BCTHW)
    if "visual" in config.losses:
        key_BCTHW = augment_clip(config.augmentation, batch, KEY_CLIP, "key")
    return SCVRLViews(
        anchor_BCTHW=augment_clip(config.augmentation, batch, ANCHOR_CLIP, "anchor")
        if config.contrasts
        else None,
        positive_BCTHW=positive_BCTHW if "shuffled" in config.losses else None,
        negative_order_BNG=negative_order_BNG,
        question=question,
        key_BCTHW=key_BCTHW,
        owners_B=batch.video_index_B,
    )


def augment_clip(augmentation: ClipAugmentation, batch: VideoBatch, row: int, purpose: str) -> Tensor:
    """Augment one clip of every video: float32 (B, C, T, H, W).

    Args:
        augmentation: what may happen.
        batch: the videos.
        row: which of their clips.
        purpose: names the stream of random numbers.
    """
    frames_BTHWC = batch.frames_BNTHWC[:, row]
    return augmentation.apply(frames_BTHWC, batch.generator(purpose), sizes_B2=batch.sizes_B2)


def ask_whether_shuffled(config: SCVRLSettings, batch: VideoBatch, clips_BCTHW: Tensor) -> ShuffleQuestion:
    """Shuffle each clip or not, with probability 1/2; as the negatives are, in groups and never into time."""
    stream = batch.generator("shuffle question")
    order_BG = sample_group_orders(config.num_groups, 1, stream.fork("order"))[:, 0]
    is_shuffled_B = stream.fork("choice").bernoulli(0.5)
    order_BG[~is_shuffled_B] = np.arange(config.num_groups)
    frames_BT = expand_groups(_to_device(order_BG, batch), config.group_frames)
    rows_B1 = torch.arange(len(frames_BT), device=frames_BT.device)[:, None]
    shown_BTCHW = clips_BCTHW.transpose(1, 2)[rows_B1, frames_BT]
    answers_B = torch.from_numpy(is_shuffled_B.astype(np.float32))
    return ShuffleQuestion(shown_BTCHW.transpose(1, 2), answers_B.to(frames_BT.device, non_blocking=True))


def _to_device(order: NDArray[np.int64], batch: VideoBatch) -> Tensor:
    return torch.from_numpy(order).to(batch.frames_BNTHWC.device, non_blocking=True)
