"""Shuffled contrast: a clip is nearer to itself in order of time than to itself in other orders.

Beside it stands CVRL's contrast of two clips of a video with clips of other videos.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unreel.data.batch import VideoBatch
from unreel.losses.shuffled import order_accuracy, shuffled_info_nce, shuffled_logits
from unreel.methods.loss_weights import sum_losses
from unreel.methods.method import Method, StepOutput
from unreel.methods.scvrl_keys import (
    BoundedPasses,
    extract_in_order,
    extract_versions,
    has_batch_norm,
    share_statistics,
)
from unreel.methods.scvrl_settings import SCVRLSettings
from unreel.methods.scvrl_views import SCVRLViews, ShuffleQuestion, make_scvrl_views
from unreel.methods.tuple_tasks import VideoContrast
from unreel.models.backbone import Backbone
from unreel.models.heads import ProjectionHead
from unreel.models.momentum import MomentumEncoder
from unreel.models.multi_head import MultiHeadEncoder, project_keys
from unreel.models.zoo import build_backbone

# B videos, N shuffles of a clip, V = 1 + N versions of it, X clips for the key network, G groups of frames,
# D features, E embedding

_SHARED = "shared"


class SCVRL(Method):
    """The contrast of a clip with its shuffles, and of a video with others, in one network.

    The online network sees one clip of a video, the anchor. The key network, its slow copy, sees the same
    clip augmented anew, in order of time and in N other orders, and another clip of the video.

    Reference: SCVRL, sections 3.1 to 3.3, eq. 1 and 3; which rows of its Table 8 are which settings is in
    docs/methods.md.
    """

    @dataclass(frozen=True)
    class Config(SCVRLSettings):
        """Settings of `SCVRL`; the defaults are the paper's."""

        def build(self) -> "SCVRL":
            """Build the method with fresh weights from torch's global generator."""
            return SCVRL(self)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        heads = (_SHARED,) if config.shared_head and config.contrasts else config.contrasts
        self.online = MultiHeadEncoder(
            build_backbone(config.backbone), heads, config.embedding_dim, hidden_dim=config.hidden_dim
        )
        self._passes = BoundedPasses(config.key_chunk)
        self.visual = self.detector = None
        if config.contrasts:
            self.key_encoder = MomentumEncoder(self.online)
        if "visual" in config.losses:
            self.visual = VideoContrast(
                config.queue_length,
                config.embedding_dim,
                temperature=config.visual_temperature,
                exclude_own=config.exclude_own_keys,
            )
        if "detection" in config.losses:
            self.detector = ProjectionHead(self.backbone.num_features, 1, hidden_dim=config.hidden_dim)

    @property
    def backbone(self) -> Backbone:
        """The network that learns."""
        return self.online.backbone

    def make_views(self, batch: VideoBatch) -> SCVRLViews:
        """Augment the first clip twice and the second once, each by itself; draw the shuffles."""
        return make_scvrl_views(self.config, batch)

    def forward(self, views: SCVRLViews) -> StepOutput:
        """Compute the weighted sum of the losses."""
        results: dict[str, tuple[Tensor, Tensor]] = {}
        terms: dict[str, Tensor] = {}
        if views.anchor_BCTHW is not None:
            # Keys first: while they are computed, no activations of the anchor lie in memory.
            versions_BVD, key_BD = self._extract_keys(views)
            anchor_BD = self.online(views.anchor_BCTHW)
            if versions_BVD is not None:
                results["shuffled"], terms = self._contrast_shuffles(anchor_BD, versions_BVD)
            if self.visual is not None and key_BD is not None:
                query_BE = self.online.project(self._head("visual"), anchor_BD)
                key_BE = project_keys(self.key_encoder, self._head("visual"), key_BD)
                results["visual"] = self.visual(query_BE, key_BE, views.owners_B)
        if views.question is not None:
            results["detection"] = self._detect(views.question)
        output = sum_losses(self.config, results)
        return StepOutput(output.loss, output.terms | terms)

    def _head(self, name: str) -> str:
        return _SHARED if self.config.shared_head else name

    def _extract_keys(self, views: SCVRLViews) -> tuple[Tensor | None, Tensor | None]:
        """Return the key network's features of all versions (B, V, D), and of the second clip (B, D)."""
        group_size = self.config.shuffle_bn_group
        key_BD = None
        if views.key_BCTHW is not None:
            key_BD = extract_in_order(self.key_encoder, views.key_BCTHW, group_size=group_size)
        elif self.training and has_batch_norm(self.key_encoder):
            assert views.positive_BCTHW is not None
            extract_in_order(self.key_encoder, views.positive_BCTHW, group_size=group_size)  # for statistics
        if views.positive_BCTHW is None or views.negative_order_BNG is None:
            return None, key_BD
        batch_size, num_negatives, num_groups = views.negative_order_BNG.shape
        rows_B = torch.arange(batch_size, device=views.owners_B.device)
        time_B1G = torch.arange(num_groups, device=rows_B.device).expand(batch_size, 1, -1)
        order_BVG = torch.cat([time_B1G, views.negative_order_BNG], dim=1)
        versions_XD = extract_versions(
            self.key_encoder,
            views.positive_BCTHW,
            rows_B.repeat_interleave(1 + num_negatives),
            order_BVG.flatten(0, 1),
            group_frames=self.config.group_frames,
            passes=self._passes,
        )
        return versions_XD.reshape(batch_size, 1 + num_negatives, -1), key_BD

    def _contrast_shuffles(
        self, anchor_BD: Tensor, versions_BVD: Tensor
    ) -> tuple[tuple[Tensor, Tensor], dict[str, Tensor]]:
        temperature, head = self.config.shuffled_temperature, self._head("shuffled")
        anchor_BE = self.online.project(head, anchor_BD)
        versions_BVE = project_keys(self.key_encoder, head, versions_BVD)
        logits_BV = shuffled_logits(
            anchor_BE, versions_BVE[:, 0], versions_BVE[:, 1:], temperature=temperature
        )
        similarity_BV = logits_BV.detach() * temperature
        terms = {
            "positive_similarity": similarity_BV[:, 0].mean(),
            "negative_similarity": similarity_BV[:, 1:].mean(),
        }
        return (shuffled_info_nce(logits_BV), order_accuracy(logits_BV)), terms

    def _detect(self, question: ShuffleQuestion) -> tuple[Tensor, Tensor]:
        """Return the binary cross-entropy and the share of right answers."""
        assert self.detector is not None
        logit_B = self.detector(self.online(question.clips_BCTHW)).squeeze(1)
        is_right_B = (logit_B.detach() > 0) == question.is_shuffled_B.bool()
        loss = F.binary_cross_entropy_with_logits(logit_B, question.is_shuffled_B)
        return loss, is_right_B.float().mean()

    def after_step(self, progress: float) -> None:
        """Move the momentum encoder and store the second clips' keys of the step."""
        if self.config.contrasts:
            self.key_encoder.follow(self.online, momentum=self.config.momentum)
            share_statistics(self.key_encoder)
        if self.visual is not None:
            self.visual.store()
