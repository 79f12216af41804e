"""The settings of SCVRL: which losses, over which clips of a video, in which network."""

from dataclasses import dataclass, field

from unreel.augment.compose import ClipAugmentation
from unreel.augment.group_shuffle import check_group_orders
from unreel.data.clips import ClipSampling
from unreel.data.targeted_clips import TargetedClips
from unreel.losses.contrastive import check_temperature
from unreel.methods.loss_weights import check_loss_weights, choose_losses
from unreel.methods.method import MethodConfig
from unreel.models.momentum import check_momentum
from unreel.models.mvit import MViTConfig
from unreel.models.resnet2d import ResNetConfig
from unreel.models.zoo import BackboneConfig

LOSSES = ("shuffled", "detection", "visual")
CONTRASTS = ("shuffled", "visual")


def build_augmentation() -> ClipAugmentation:
    """Return how SCVRL and CVRL make a view; what the paper leaves open is CVRL's (decision S9)."""
    return ClipAugmentation(
        crop="random_resized",
        size_px=224,
        crop_area=(0.3, 1.0),
        crop_aspect=(0.5, 2.0),
        hue=0.0,
        mean=(0.45,) * 3,
        std=(0.225,) * 3,
    )


@dataclass(frozen=True)
class SCVRLSettings(MethodConfig):
    """Everything that may be chosen about SCVRL; the defaults are the paper's."""

    clips: ClipSampling = field(default_factory=TargetedClips)
    """Two clips of a video: the first is contrasted with its own shuffles and with the second; any rule with
    two clips of one length will do, or with one where nothing is contrasted with the second."""
    augmentation: ClipAugmentation = field(default_factory=build_augmentation)
    """How each of the three views is made of its clip, all frames alike (decision E1)."""
    backbone: BackboneConfig = field(default_factory=MViTConfig)
    """The network that learns; any that sees several frames at once."""
    shuffled_weight: float = 1.0
    """Weight of the contrast with shuffles, L_T in section 3.2; 0 leaves it out."""
    detection_weight: float = 0.0
    """Weight of telling whether a clip is shuffled, which Table 8c has in place of the contrast with
    shuffles; 0 leaves it out."""
    visual_weight: float = 1.0
    """lambda, weight of the contrast with other videos, eq. 3; 0 leaves it out."""
    num_negatives: int = 12
    """N, shuffles of a clip that it is contrasted with; all different (decision S8)."""
    group_frames: int = 2
    """Frames that stay together when a clip is shuffled."""
    shared_head: bool = False
    """Whether both contrasts share one head, as in a row of Table 8b."""
    embedding_dim: int = 128
    """Length of the embeddings."""
    hidden_dim: int = 2048
    """Width of the hidden layer of every head; 0 makes them linear."""
    shuffled_temperature: float = 0.1
    """Divides the cosines of a clip and its shuffles."""
    visual_temperature: float = 0.1
    """Divides the cosines of videos."""
    queue_length: int = 65536
    """K, keys of other videos; 0 takes the keys of the batch's other videos."""
    momentum: float = 0.999
    """Share of itself that the momentum encoder keeps in a step (decision S1)."""
    exclude_own_keys: bool = True
    """Whether earlier keys of a video are left out of its negatives."""
    shuffle_bn_group: int = 32
    """Clips in order of time that a key network with batch normalisation normalises together on one device;
    0 turns Shuffle-BN off everywhere. Shuffled clips take its running statistics (decision S19)."""
    key_chunk: int = 0
    """Clips that the key network sees at once; less takes less memory and changes nothing but rounding. 0
    takes what fits into half of the free memory of a GPU, and 16 on the CPU."""

    @property
    def losses(self) -> tuple[str, ...]:
        """Names of the losses that are not left out."""
        return choose_losses(self, LOSSES)

    @property
    def contrasts(self) -> tuple[str, ...]:
        """Names of the losses that need keys."""
        return choose_losses(self, CONTRASTS)

    @property
    def is_about_order(self) -> bool:
        """Whether a loss shuffles clips."""
        return bool(choose_losses(self, ("shuffled", "detection")))

    @property
    def num_frames(self) -> int:
        """Frames per clip."""
        return int(getattr(self.clips, "num_frames", 0))

    @property
    def num_groups(self) -> int:
        """G, groups of frames of a clip."""
        return self.num_frames // self.group_frames

    @property
    def has_aligned_cubes(self) -> bool:
        """Whether the first layer sees every group of frames apart, so that no seam can be seen."""
        config = self.backbone
        return isinstance(config, MViTConfig) and config.temporal_kernel == 2 and self.group_frames % 2 == 0

    @property
    def min_videos(self) -> int:
        """Two where the batch's other videos are the negatives."""
        return 2 if self.visual_weight and not self.queue_length else 1

    def cautions(self) -> tuple[str, ...]:
        """Warn of seams that the network sees, and of clips that are decoded for nothing."""
        cautions = []
        if self.is_about_order and not self.has_aligned_cubes:
            cautions.append(
                f"the first kernel over time of {self.backbone.architecture} lies across the seams of a clip "
                f"shuffled in groups of {self.group_frames}, so it may tell shuffles by the seams instead of "
                "the motion (SCVRL's Table 8e); only mvit with temporal_kernel 2 and groups of even length "
                "does not see them"
            )
        if self.clips.num_clips > 1 and not self.visual_weight:
            cautions.append(
                "the second clip of every video is decoded for nothing, as no loss looks at it; a recipe "
                "with clips=RandomClips(count=1, ...) leaves it out"
            )
        return tuple(cautions)

    def __post_init__(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            ValueError: a number is out of range, or clips or backbone do not suit the losses.
        """
        check_loss_weights(self, LOSSES)
        check_temperature(self.shuffled_temperature)
        check_temperature(self.visual_temperature)
        check_momentum(self.momentum)
        for name in ("queue_length", "shuffle_bn_group", "key_chunk"):
            if getattr(self, name) < 0:
                raise ValueError(f"method.{name} must not be negative, got {getattr(self, name)}")
        check_pair(self.clips, num_clips=2 if self.visual_weight else 1)
        if self.is_about_order:
            self._check_shuffles()

    def _check_shuffles(self) -> None:
        if isinstance(self.backbone, ResNetConfig):
            raise ValueError(
                "method.backbone must see several frames at once, got ResNetConfig: a shuffled clip is the "
                "same to it; take mvit or a 3D network, or method.shuffled_weight = 0"
            )
        if self.group_frames < 1 or self.num_frames % self.group_frames:
            raise ValueError(
                f"method.group_frames must divide the {self.num_frames} frames of a clip, got "
                f"{self.group_frames}"
            )
        check_group_orders(self.num_groups, self.num_negatives)


def check_pair(clips: ClipSampling, *, num_clips: int = 2) -> None:
    """Refuse clips that make no pair.

    Args:
        clips: the rule.
        num_clips: fewest clips that are needed; two are the most.

    Raises:
        ValueError: there are fewer or more, or they have no common length.
    """
    if not num_clips <= clips.num_clips <= 2 or not isinstance(getattr(clips, "num_frames", None), int):
        raise ValueError(
            f"method.clips must give {'two clips' if num_clips == 2 else 'one clip or two'} of one length, "
            f"such as TargetedClips, IntervalPairs or RandomClips(count={num_clips}); got {clips}"
        )
