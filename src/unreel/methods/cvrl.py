"""CVRL's contrast: two clips of a video find each other among clips of other videos, SCVRL's baseline.

It is SCVRL without shuffles, and their common parts are the same.
"""

from dataclasses import dataclass, field

from torch import Tensor

from unreel.augment.compose import ClipAugmentation
from unreel.data.batch import VideoBatch
from unreel.data.clips import ClipSampling
from unreel.data.interval_pairs import IntervalPairs
from unreel.losses.contrastive import check_temperature
from unreel.methods.method import Method, MethodConfig, StepOutput
from unreel.methods.scvrl_keys import extract_in_order
from unreel.methods.scvrl_settings import build_augmentation, check_pair
from unreel.methods.scvrl_views import ANCHOR_CLIP, KEY_CLIP, augment_clip
from unreel.methods.tuple_tasks import VideoContrast
from unreel.models.backbone import Backbone
from unreel.models.momentum import MomentumEncoder, check_momentum
from unreel.models.multi_head import MultiHeadEncoder, project_keys
from unreel.models.mvit import MViTConfig
from unreel.models.zoo import BackboneConfig, build_backbone

# B videos, C channels, T frames, H W pixels, D features, E embedding

_HEAD = "visual"


@dataclass(frozen=True)
class CVRLViews:
    """Two augmented clips of each video, and its row in the catalog."""

    anchor_BCTHW: Tensor
    key_BCTHW: Tensor
    owners_B: Tensor


class CVRL(Method):
    """Instance discrimination on two clips of a video, with SCVRL's momentum encoder and queue.

    Reference: Qian et al., 2021; SCVRL, section 3.3.
    """

    @dataclass(frozen=True)
    class Config(MethodConfig):
        """Settings of `CVRL`; the defaults are those that SCVRL compares itself with."""

        clips: ClipSampling = field(default_factory=IntervalPairs)
        """Two clips of a video, of one length."""
        augmentation: ClipAugmentation = field(default_factory=build_augmentation)
        """How each view is made of its clip, all frames alike (decision E1)."""
        backbone: BackboneConfig = field(default_factory=MViTConfig)
        """The network that learns."""
        embedding_dim: int = 128
        """Length of the embedding."""
        hidden_dim: int = 2048
        """Width of the head's hidden layer; 0 is a linear head."""
        temperature: float = 0.1
        """Divides the cosine similarities."""
        queue_length: int = 65536
        """K, keys of other videos; 0 takes the keys of the batch's other videos."""
        momentum: float = 0.999
        """Share of itself that the momentum encoder keeps in a step (decision S1)."""
        exclude_own_keys: bool = True
        """Whether earlier keys of a video are left out of its negatives."""
        shuffle_bn_group: int = 32
        """Clips that a key network with batch normalisation normalises together on one device; 0 turns
        Shuffle-BN off everywhere."""

        def __post_init__(self) -> None:
            """Refuse what cannot be trained.

            Raises:
                ValueError: a number is out of range, or the clips are no pair.
            """
            check_temperature(self.temperature)
            check_momentum(self.momentum)
            for name in ("queue_length", "shuffle_bn_group"):
                if getattr(self, name) < 0:
                    raise ValueError(f"method.{name} must not be negative, got {getattr(self, name)}")
            check_pair(self.clips)

        @property
        def min_videos(self) -> int:
            """Two where the batch's other videos are the negatives."""
            return 1 if self.queue_length else 2

        def build(self) -> "CVRL":
            """Build the method with fresh weights from torch's global generator."""
            return CVRL(self)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.online = MultiHeadEncoder(
            build_backbone(config.backbone), (_HEAD,), config.embedding_dim, hidden_dim=config.hidden_dim
        )
        self.key_encoder = MomentumEncoder(self.online)
        self.visual = VideoContrast(
            config.queue_length,
            config.embedding_dim,
            temperature=config.temperature,
            exclude_own=config.exclude_own_keys,
        )

    @property
    def backbone(self) -> Backbone:
        """The network that learns."""
        return self.online.backbone

    def make_views(self, batch: VideoBatch) -> CVRLViews:
        """Augment both clips, each by itself."""
        augmentation = self.config.augmentation
        return CVRLViews(
            anchor_BCTHW=augment_clip(augmentation, batch, ANCHOR_CLIP, "anchor"),
            key_BCTHW=augment_clip(augmentation, batch, KEY_CLIP, "key"),
            owners_B=batch.video_index_B,
        )

    def forward(self, views: CVRLViews) -> StepOutput:
        """Contrast anchors and keys."""
        query_BE = self.online.project(_HEAD, self.online(views.anchor_BCTHW))
        group_size = self.config.shuffle_bn_group
        key_BD = extract_in_order(self.key_encoder, views.key_BCTHW, group_size=group_size)
        key_BE = project_keys(self.key_encoder, _HEAD, key_BD)
        loss, accuracy = self.visual(query_BE, key_BE, views.owners_B)
        return StepOutput(loss, {"visual": loss.detach(), "visual_accuracy": accuracy})

    def after_step(self, progress: float) -> None:
        """Move the momentum encoder and store the keys of the step."""
        self.key_encoder.follow(self.online, momentum=self.config.momentum)
        self.visual.store()
