"""Pace prediction: how fast is a clip played, and which clips are of one video?

The label is made by the sampling: every clip takes each p-th frame of its video. Clips that show no motion
between frames, stills of very short videos, have no pace and are not asked for it.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unreel.augment.compose import ClipAugmentation
from unreel.augment.frame_colors import ColorsOf
from unreel.data.batch import VideoBatch
from unreel.data.pace_clips import NO_PACE, PaceClips
from unreel.distributed import gather_rows, rank_index, sum_over_ranks, world_size
from unreel.losses.contrastive import check_temperature, normalize
from unreel.methods.loss_weights import check_loss_weights, sum_losses
from unreel.methods.method import Method, MethodConfig, StepOutput
from unreel.methods.pace_views import PaceViews, make_pace_views
from unreel.models.backbone import Backbone
from unreel.models.heads import ProjectionHead
from unreel.models.resnet2d import ResNetConfig
from unreel.models.resnet3d import R2Plus1DConfig
from unreel.models.zoo import BackboneConfig, build_backbone

# Q clips of this process, G clips of all, P paces, D features, E embedding

LOSSES = ("pace", "contrast")

_NEVER = -1e9  # a logit that counts for nothing; finite, so that a row of them has a gradient


class Pace(Method):
    """Tell the pace of a clip, and find the clips of its video, or of its pace, among those of the batch.

    Reference: Wang, Jiao, Liu: Self-supervised Video Representation Learning by Pace Prediction, 2020.
    """

    @dataclass(frozen=True)
    class Config(MethodConfig):
        """Settings of `Pace`; the recipes say which are published and which are decided here."""

        clips: PaceClips = field(default_factory=PaceClips)
        """Clips at different paces."""
        augmentation: ClipAugmentation = field(
            default_factory=lambda: ClipAugmentation(
                brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, grayscale_prob=0.0, blur_prob=0.0
            )
        )
        """What happens to every clip, independently of the others of its video."""
        backbone: BackboneConfig = field(default_factory=lambda: R2Plus1DConfig(depth=10))
        """The network that learns; it must see clips."""
        color_draws: ColorsOf = "clip"
        """Whether all frames of a clip change colour alike, or each by itself, as in the released code."""
        pace_weight: float = 1.0
        """Weight of the cross-entropy of the pace; 0 leaves it out."""
        contrast_weight: float = 0.1
        """Weight of the contrast of clips; 0 leaves it out."""
        positives: Literal["context", "pace"] = "context"
        """Which clips belong together: those of one video, the others being of other videos; or those of one
        pace, the others being of other paces."""
        similarity: Literal["cosine", "dot"] = "cosine"
        """How embeddings are compared: by their angle, or by their product as it is."""
        temperature: float = 0.1
        """Divides the similarities."""
        embedding_dim: int = 128
        """Length of the embedding."""
        hidden_dim: int = 512
        """Width of the embedding head's hidden layer; 0 makes it linear. A linear layer tells the pace."""

        def __post_init__(self) -> None:
            """Refuse what cannot be trained.

            Raises:
                ValueError: a number is out of range, or the settings contradict each other.
            """
            check_loss_weights(self, LOSSES)
            if self.contrast_weight and self.positives == "context" and self.clips.count < 2:
                raise ValueError(
                    f"method.clips.count must be at least 2, got {self.clips.count}: clips of one video are "
                    "contrasted; or set method.contrast_weight to 0 or method.positives to pace"
                )
            check_temperature(self.temperature)
            if isinstance(self.backbone, ResNetConfig):
                raise ValueError(
                    "method.backbone must see clips, got ResNetConfig: single frames have no pace; take a 3D "
                    "network such as r3d_18, r2plus1d_10 or c3d"
                )

        @property
        def min_videos(self) -> int:
            """Two where clips are contrasted: a video is nothing to be told from itself."""
            return 2 if self.contrast_weight else 1

        def build(self) -> "Pace":
            """Build the method with fresh weights from torch's global generator."""
            return Pace(self)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self._backbone = build_backbone(config.backbone)
        num_features = self._backbone.num_features
        self.heads = nn.ModuleDict()
        if config.pace_weight:
            self.heads["pace"] = ProjectionHead(num_features, len(config.clips.paces))
        if config.contrast_weight:
            self.heads["contrast"] = ProjectionHead(
                num_features, config.embedding_dim, hidden_dim=config.hidden_dim
            )

    @property
    def backbone(self) -> Backbone:
        """The network that learns."""
        return self._backbone

    def make_views(self, batch: VideoBatch) -> PaceViews:
        """Augment every clip by itself and read its pace from its frames."""
        config = self.config
        return make_pace_views(batch, config.clips, config.augmentation, color_draws=config.color_draws)

    def forward(self, views: PaceViews) -> StepOutput:
        """Add up the weighted losses that are switched on."""
        features_QD = self._backbone(views.clips_QCTHW)
        results: dict[str, tuple[Tensor, Tensor]] = {}
        if "pace" in self.heads:
            results["pace"] = classify_paces(self.heads["pace"](features_QD), views.class_Q)
        if "contrast" in self.heads:
            results["contrast"] = self._contrast(self.heads["contrast"](features_QD), views)
        output = sum_losses(self.config, results)
        output.terms["labelled"] = (views.class_Q != NO_PACE).float().mean()
        return output

    def _contrast(self, embedding_QE: Tensor, views: PaceViews) -> tuple[Tensor, Tensor]:
        owner_G, class_G = gather_rows(torch.stack([views.owner_Q, views.class_Q], dim=1)).unbind(dim=1)
        if self.config.positives == "context":
            is_alike_QG = views.owner_Q[:, None] == owner_G
            is_told_QG = torch.ones_like(is_alike_QG)
        else:
            is_alike_QG = views.class_Q[:, None] == class_G
            is_told_QG = (views.class_Q[:, None] != NO_PACE) & (class_G != NO_PACE)
        row_Q = torch.arange(len(embedding_QE), device=embedding_QE.device) + rank_index() * len(embedding_QE)
        is_self_QG = row_Q[:, None] == torch.arange(len(owner_G), device=row_Q.device)
        return contrast_clips(
            embedding_QE,
            gather_rows(embedding_QE),
            is_alike_QG & is_told_QG & ~is_self_QG,
            ~is_alike_QG & is_told_QG,
            temperature=self.config.temperature,
            similarity=self.config.similarity,
        )

    def after_step(self, progress: float) -> None:
        """Nothing follows a step: there is no queue and no momentum encoder."""


def classify_paces(logits_QP: Tensor, class_Q: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy of the paces and the share of right answers, over clips that have a pace.

    Both are averages over the clips of all processes: ``log(P)`` nats at chance, and 0 where no clip of any
    process has a pace.

    Args:
        logits_QP: one score per pace.
        class_Q: the right answers; `NO_PACE` is left out.
    """
    is_told_Q = class_Q != NO_PACE
    with torch.autocast(logits_QP.device.type, enabled=False):
        total = F.cross_entropy(logits_QP.float(), class_Q, ignore_index=NO_PACE, reduction="sum")
    is_right_Q = (logits_QP.argmax(dim=1) == class_Q) & is_told_Q
    return _average(total, is_told_Q), _average(is_right_Q.sum().float(), is_told_Q)


def contrast_clips(
    query_QE: Tensor,
    key_GE: Tensor,
    is_positive_QG: Tensor,
    is_negative_QG: Tensor,
    *,
    temperature: float,
    similarity: Literal["cosine", "dot"] = "cosine",
) -> tuple[Tensor, Tensor]:
    """Contrast each clip with every positive of its own, each against all of the clip's negatives.

    A pair costs ``log(1 + E / exp(s))``, where s is its similarity divided by the temperature and E sums
    ``exp`` of the negatives' ones: ``log(1 + K)`` nats when all similarities are equal and K are negative.
    Pairs are averaged per clip, then clips over all processes. A clip without a positive or without a
    negative is left out.

    Args:
        query_QE: embeddings of this process's clips.
        key_GE: embeddings of all processes' clips.
        is_positive_QG: which of them belong to the query.
        is_negative_QG: which do not; what is neither counts for nothing.
        temperature: divides the similarities.
        similarity: "cosine" or the plain product, "dot".

    Returns:
        The loss, and the share of clips whose most similar clip is a positive.

    Raises:
        ValueError: ``temperature`` is not positive.

    Reference: Wang et al., 2020 (pace prediction); two clips per video and cosines make it Chen et al., 2020,
    eq. 1.
    """
    check_temperature(temperature)
    with torch.autocast(query_QE.device.type, enabled=False):
        query_QE, key_GE = query_QE.float(), key_GE.float()
        if similarity == "cosine":
            query_QE, key_GE = normalize(query_QE), normalize(key_GE)
        logits_QG = query_QE @ key_GE.T / temperature
        negatives_Q1 = logits_QG.masked_fill(~is_negative_QG, _NEVER).logsumexp(dim=1, keepdim=True)
        pair_QG = (torch.logaddexp(logits_QG, negatives_Q1) - logits_QG).masked_fill(~is_positive_QG, 0.0)
        num_positives_Q = is_positive_QG.sum(dim=1)
        is_told_Q = (num_positives_Q > 0) & is_negative_QG.any(dim=1)
        loss_Q = pair_QG.sum(dim=1) / num_positives_Q.clamp(min=1)
        nearest_Q1 = logits_QG.masked_fill(~(is_positive_QG | is_negative_QG), _NEVER).argmax(1, keepdim=True)
    is_right_Q = is_positive_QG.gather(1, nearest_Q1).squeeze(1) & is_told_Q
    loss = _average(loss_Q.masked_fill(~is_told_Q, 0.0).sum(), is_told_Q)
    return loss, _average(is_right_Q.sum().float(), is_told_Q)


def _average(total: Tensor, is_counted_Q: Tensor) -> Tensor:
    """Divide a sum by the mean number of counted rows per process.

    The mean of the results over processes, which is what gradients and metrics are, is then the average over
    all counted rows, however they are spread.
    """
    num_counted = sum_over_ranks(is_counted_Q.sum())
    return total * world_size() / num_counted.clamp(min=1)
