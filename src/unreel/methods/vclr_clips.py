"""VCLR's contrast of videos and task of order on clips of a 3D network, beside a contrast of clips.

The contrast of clips alone is instance discrimination as CoCLR's baseline has it. Its two clips are drawn and
augmented independently of the tuples, so that leaving the other losses out leaves exactly that baseline. The
losses of single frames are VCLR's on 2D networks alone: how they would look on clips is not published
(decision V20).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from unreel.data.batch import VideoBatch
from unreel.methods.loss_weights import sum_losses
from unreel.methods.method import Method, StepOutput
from unreel.methods.tuple_tasks import TupleOrder, VideoContrast
from unreel.methods.vclr_clips_settings import VCLRClipsSettings
from unreel.methods.vclr_clips_views import VCLRClipsViews, make_vclr_clips_views
from unreel.models.backbone import Backbone
from unreel.models.batch_norm import forward_shuffled
from unreel.models.momentum import MomentumEncoder
from unreel.models.multi_head import MultiHeadEncoder, extract_each, project_keys
from unreel.models.zoo import build_backbone

# B batch, N clips of a tuple, M clips of a video for one network, D features, E embedding


class VCLRClips(Method):
    """Contrast of clips and of whole videos, and the order of clips.

    Each network runs once over all clips that it is asked about, ``(1 + N) B`` in a batch of B videos, and
    normalises them together; so memory grows with N, and ``train.accumulate`` divides it.

    Reference: VCLR, section 5.3 and Table 8; its eq. 4 to 10 with clips in place of frames.
    """

    @dataclass(frozen=True)
    class Config(VCLRClipsSettings):
        """Settings of `VCLRClips`; the defaults are those of Table 8's last row."""

        def build(self) -> "VCLRClips":
            """Build the method with fresh weights from torch's global generator."""
            return VCLRClips(self)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.online = MultiHeadEncoder(
            build_backbone(config.backbone),
            config.losses,
            config.embedding_dim,
            hidden_dim=config.hidden_dim,
        )
        self.key_encoder = MomentumEncoder(self.online)
        self.clip = self._build_contrast(config.clip_temperature) if "clip" in config.losses else None
        self.video = self._build_contrast(config.video_temperature) if "video" in config.losses else None
        self.order = None
        if "order" in config.losses:
            self.order = TupleOrder(config.num_segments, config.embedding_dim)

    def _build_contrast(self, temperature: float) -> VideoContrast:
        """Build a contrast with a queue; that of clips differs from that of videos in what is embedded."""
        config = self.config
        return VideoContrast(
            config.queue_length,
            config.embedding_dim,
            temperature=temperature,
            exclude_own=config.exclude_own_keys,
        )

    @property
    def backbone(self) -> Backbone:
        """The network that sees clips."""
        return self.online.backbone

    def make_views(self, batch: VideoBatch) -> VCLRClipsViews:
        """Augment every clip by itself, all its frames alike; draw the orders."""
        return make_vclr_clips_views(self.config, batch)

    def forward(self, views: VCLRClipsViews) -> StepOutput:
        """Compute the weighted sum of the losses."""
        online_BMD, keys_BMD = self._extract(views)
        results: dict[str, tuple[Tensor, Tensor]] = {}
        num_pair = 0
        if self.clip is not None:
            num_pair = 1
            query_BE = self.online.project("clip", online_BMD[:, 0])
            key_BE = project_keys(self.key_encoder, "clip", keys_BMD[:, 0])
            results["clip"] = self.clip(query_BE, key_BE, views.owners_B)
        anchor_BND, positive_BND = online_BMD[:, num_pair:], keys_BMD[:, num_pair:]
        if self.video is not None:
            query_BE = self.online.project("video", anchor_BND.float().mean(dim=1))
            key_BE = project_keys(self.key_encoder, "video", positive_BND.float().mean(dim=1))
            results["video"] = self.video(query_BE, key_BE, views.owners_B)
        if self.order is not None:
            query_BNE = self.online.project("order", anchor_BND)
            key_BNE = project_keys(self.key_encoder, "order", positive_BND)
            results["order"] = self.order(query_BNE, key_BNE, views.order)
        return sum_losses(self.config, results)

    def _extract(self, views: VCLRClipsViews) -> tuple[Tensor, Tensor]:
        """Run each network once over its clips: features of shape (B, M, D)."""
        group_size = self.config.shuffle_bn_group if self.training else 0
        with torch.no_grad():
            keys_BMD = extract_each(
                lambda clips: forward_shuffled(self.key_encoder, clips, group_size=group_size),
                views.keys_BMCTHW,
            )
        return extract_each(self.online, views.online_BMCTHW), keys_BMD

    def after_step(self, progress: float) -> None:
        """Move the momentum encoder and store the keys of the step."""
        self.key_encoder.follow(self.online, momentum=self.config.momentum)
        for task in (self.clip, self.video):
            if task is not None:
                task.store()
