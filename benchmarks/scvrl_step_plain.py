"""The step of SCVRL as one would write it first: the other side of benchmarks/scvrl_step.py.

Every clip that a loss names is made from the frames and run by itself: the anchor, the second clip, the
positive and each of its shuffles.
"""

import torch
from torch import Tensor

from unreel.augment.group_shuffle import expand_groups, sample_group_orders
from unreel.data.batch import VideoBatch
from unreel.losses.shuffled import shuffled_info_nce, shuffled_logits
from unreel.methods.scvrl import SCVRL
from unreel.methods.scvrl_views import ANCHOR_CLIP, KEY_CLIP, augment_clip
from unreel.models.multi_head import project_keys

# B videos, N shuffles of a clip, C channels, T frames, H W pixels, D features, E embedding

Clips = dict[str, list[Tensor]]


def make_plain_clips(method: SCVRL, batch: VideoBatch) -> Clips:
    """Augment every clip of its own, shuffles too: their frames are put in another order first."""
    config = method.config
    frames_BTHWC = batch.frames_BNTHWC[:, ANCHOR_CLIP]
    rows_B1 = torch.arange(len(batch), device=frames_BTHWC.device)[:, None]
    order_BNG = sample_group_orders(
        config.num_groups, config.num_negatives, batch.generator("shuffled negatives")
    )
    order_BNT = expand_groups(torch.from_numpy(order_BNG).to(frames_BTHWC.device), config.group_frames)
    shuffles = [
        config.augmentation.apply(
            frames_BTHWC[rows_B1, order_BT], batch.generator("positive"), sizes_B2=batch.sizes_B2
        )
        for order_BT in order_BNT.unbind(1)
    ]
    return {
        "anchor": [augment_clip(config.augmentation, batch, ANCHOR_CLIP, "anchor")],
        "key": [augment_clip(config.augmentation, batch, KEY_CLIP, "key")],
        "versions": [augment_clip(config.augmentation, batch, ANCHOR_CLIP, "positive"), *shuffles],
    }


def run_plainly(method: SCVRL, clips: Clips, owners_B: Tensor) -> Tensor:
    """Return SCVRL's loss from one forward pass for each of the fifteen clips."""
    config = method.config
    assert method.visual is not None
    anchor_BD = method.online(clips["anchor"][0])
    key_BD = method.key_encoder(clips["key"][0])
    was_training = method.key_encoder.training
    method.key_encoder.eval()  # the running statistics normalise shuffles, as in ours
    features = [method.key_encoder(clip_BCTHW) for clip_BCTHW in clips["versions"]]
    method.key_encoder.train(was_training)
    positive_BE, *negatives = (project_keys(method.key_encoder, "shuffled", each) for each in features)
    logits = shuffled_logits(
        method.online.project("shuffled", anchor_BD),
        positive_BE,
        torch.stack(negatives, dim=1),
        temperature=config.shuffled_temperature,
    )
    visual, _ = method.visual(
        method.online.project("visual", anchor_BD),
        project_keys(method.key_encoder, "visual", key_BD),
        owners_B,
    )
    loss: Tensor = config.shuffled_weight * shuffled_info_nce(logits) + config.visual_weight * visual
    return loss
