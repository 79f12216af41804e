"""Recipes of DPC with VCLR's losses."""

import dataclasses

from unreel.data.block_clips import BlocksAndSegmentClips
from unreel.methods.dpc import DPC
from unreel.methods.vclr_dpc import VCLRDPC
from unreel.recipes import dpc
from unreel.train.recipe import Recipe


def ucf101() -> Recipe:
    """DPC, contrast of videos and order with 2D3D-ResNet-18 on UCF101, training split 1.

    Paper: VCLR, Table 9: fine-tuned 62.7 % on UCF101, 47.1 % on HMDB51. Measured with this code: not yet.
    The row above, without order, is ``--method.order-weight 0`` (62.0 %, 46.3 %); the baseline is
    `dpc.ucf101`, from which nothing differs but the clips of the three segments and their losses. What the
    paper does not give is VCLR's own (decision V7), temperature and momentum, but for the queue: VCLR's
    131,072 keys would reach back fourteen epochs here, so it has 2,048, as in `vclr_clips`.
    """
    recipe = dpc.ucf101()
    return Recipe(method=VCLRDPC.Config(), data=recipe.data, train=recipe.train)


def small() -> Recipe:
    """`dpc.small` with VCLR's losses on three segments, for two CPU cores.

    Videos are contrasted inside the batch; the momentum is low because training is short. Measured with this
    code: not yet.
    """
    recipe = dpc.small()
    baseline = recipe.method
    assert isinstance(baseline, DPC.Config)
    blocks = baseline.clips
    method = VCLRDPC.Config(
        clips=BlocksAndSegmentClips(
            num_blocks=blocks.num_blocks,
            num_segments=3,
            num_frames=blocks.num_frames,
            frame_stride=blocks.frame_stride,
        ),
        augmentation=baseline.augmentation,
        backbone=baseline.backbone,
        num_predicted=baseline.num_predicted,
        embedding_dim=64,
        hidden_dim=128,
        queue_length=0,
        momentum=0.9,
        shuffle_bn_group=32,
    )
    return dataclasses.replace(recipe, method=method)
