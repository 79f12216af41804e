"""SeCo: three frames of a video, contrasted with other videos, with each other, and put in order.

It is the baseline of VCLR, which adds what a whole video is.
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from unreel.data.batch import VideoBatch
from unreel.data.clips import ClipSampling
from unreel.data.segments import OppositeHalves
from unreel.losses.frames import IntraForm, concat_for_order
from unreel.methods.frame_settings import FrameSettings
from unreel.methods.frame_tasks import FrameContrast, contrast_within_videos
from unreel.methods.frame_views import augment_frames
from unreel.methods.loss_weights import check_loss_weights, choose_losses, sum_losses
from unreel.methods.method import Method, StepOutput
from unreel.models.backbone import Backbone
from unreel.models.batch_norm import forward_shuffled
from unreel.models.head_weights import load_both_networks
from unreel.models.heads import ProjectionHead
from unreel.models.momentum import MomentumEncoder
from unreel.models.multi_head import MultiHeadEncoder, extract_each, project_keys
from unreel.models.weight_matching import LoadReport
from unreel.models.zoo import build_backbone

# B batch, P frames beside the query, C channels, H W pixels, D features, E embedding

LOSSES = ("inter", "intra", "order")

NUM_SIDES = 2
"""The query comes before the other frames, or after."""


@dataclass(frozen=True)
class SeCoViews:
    """The augmented frames of each video.

    Attributes:
        query_BCHW: a frame from one half of the video.
        twin_BCHW: the same frame in another augmentation.
        others_BPCHW: frames from the other half, in order of time.
        is_late_B: int64, 1 where the query comes after the others.
        owners_B: row of each video in the catalog.
    """

    query_BCHW: Tensor
    twin_BCHW: Tensor
    others_BPCHW: Tensor
    is_late_B: Tensor
    owners_B: Tensor


class SeCo(Method):
    """Contrast of a frame with frames of other videos and of its own, and the side on which it stands.

    Reference: Yao et al., SeCo: Exploring Sequence Supervision, 2021, and its released code; the rows "SeCo"
    of VCLR's tables.
    """

    @dataclass(frozen=True)
    class Config(FrameSettings):
        """Settings of `SeCo`.

        The defaults are those of its released code, but for `exclude_own_keys`, as that code keeps earlier
        keys of a video among its negatives.
        """

        clips: ClipSampling = field(default_factory=OppositeHalves)
        """A query from one half of the video, other frames from the other half."""
        inter_weight: float = 1.0
        """Weight of the contrast with frames of other videos; 0 leaves it out."""
        intra_weight: float = 1.0
        """Weight of the contrast with other frames of the video; 0 leaves it out."""
        order_weight: float = 1.0
        """Weight of the task on which side of the other frames the query stands; 0 leaves it out."""
        intra_form: IntraForm = "official"
        """Whether other frames push one at a time (released code) or in one softmax (decision V2)."""

        @property
        def losses(self) -> tuple[str, ...]:
            """Names of the losses that are not left out; each has a head of its own."""
            return choose_losses(self, LOSSES)

        @property
        def min_videos(self) -> int:
            """Two where the batch's other videos are the negatives of a loss."""
            return super().min_videos if "inter" in self.losses else 1

        def __post_init__(self) -> None:
            """Refuse what cannot be trained.

            Raises:
                ValueError: a number is out of range, the frames are of another kind, or no loss is left.
            """
            super().__post_init__()
            check_loss_weights(self, LOSSES)
            if not isinstance(self.clips, OppositeHalves):
                raise ValueError(f"method.clips must be OppositeHalves, got {type(self.clips).__name__}")

        def build(self) -> "SeCo":
            """Build the method with fresh weights from torch's global generator."""
            return SeCo(self)

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
        self.inter = self.order_classifier = None
        if "inter" in config.losses:
            self.inter = FrameContrast(
                config.queue_length,
                config.embedding_dim,
                temperature=config.temperature,
                exclude_own=config.exclude_own_keys,
            )
        if "order" in config.losses:
            assert isinstance(config.clips, OppositeHalves)
            num_frames = 1 + config.clips.num_others
            self.order_classifier = ProjectionHead(num_frames * config.embedding_dim, NUM_SIDES)

    @property
    def backbone(self) -> Backbone:
        """The network that sees single frames."""
        return self.online.backbone

    def load_initial_weights(self) -> dict[str, LoadReport]:
        """Load backbone and heads; the momentum encoder starts from the same.

        Raises:
            WeightsError: the file cannot be read or does not fit the backbone.
        """
        if not self.config.has_initial_weights:
            return {}
        return load_both_networks(self.online, self.key_encoder, self.config.initial_weights)

    def make_views(self, batch: VideoBatch) -> SeCoViews:
        """Augment every frame by itself, and the query's frame a second time."""
        frames_BNHWC, frame_BN = batch.frames_BNTHWC[:, 0], batch.frame_index_BNT[:, 0]
        augmentation, query_B1HWC = self.config.augmentation, frames_BNHWC[:, :1]
        is_late_B = (frame_BN[:, 0] > frame_BN[:, 1]).long()
        return SeCoViews(
            query_BCHW=augment_frames(augmentation, batch, query_B1HWC, "query").squeeze(1),
            twin_BCHW=augment_frames(augmentation, batch, query_B1HWC, "twin").squeeze(1),
            others_BPCHW=augment_frames(augmentation, batch, frames_BNHWC[:, 1:], "others"),
            is_late_B=is_late_B.to(frames_BNHWC.device, non_blocking=True),
            owners_B=batch.video_index_B,
        )

    def forward(self, views: SeCoViews) -> StepOutput:
        """Compute the weighted sum of the losses; each network sees every frame once."""
        query_BD = self.online(views.query_BCHW.unsqueeze(2))
        frames_BMCHW = torch.cat([views.twin_BCHW[:, None], views.others_BPCHW], dim=1)
        group_size = self.config.shuffle_bn_group if self.training else 0
        with torch.no_grad():
            keys_BMD = extract_each(
                lambda frames: forward_shuffled(self.key_encoder, frames, group_size=group_size),
                frames_BMCHW.unsqueeze(3),
            )
        results: dict[str, tuple[Tensor, Tensor]] = {}
        if self.inter is not None:
            keys_BME = project_keys(self.key_encoder, "inter", keys_BMD)
            results["inter"] = self.inter(self.online.project("inter", query_BD), keys_BME, views.owners_B)
        if "intra" in self.config.losses:
            results["intra"] = contrast_within_videos(
                self.online.project("intra", query_BD),
                project_keys(self.key_encoder, "intra", keys_BMD),
                temperature=self.config.temperature,
                form=self.config.intra_form,
            )
        if self.order_classifier is not None:
            query_BE = self.online.project("order", query_BD)
            others_BPE = project_keys(self.key_encoder, "order", keys_BMD[:, 1:])
            logits_B2 = self.order_classifier(concat_for_order(query_BE[:, None], others_BPE))
            is_right_B = logits_B2.detach().argmax(dim=1) == views.is_late_B
            results["order"] = F.cross_entropy(logits_B2, views.is_late_B), is_right_B.float().mean()
        return sum_losses(self.config, results)

    def after_step(self, progress: float) -> None:
        """Move the momentum encoder and store the keys of the step."""
        self.key_encoder.follow(self.online, momentum=self.config.momentum)
        if self.inter is not None:
            self.inter.store()
