"""The settings of CACL: what is paired with what, how strongly, and the networks that see it."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, get_args

from unreel.augment.compose import IMAGENET_MEAN, IMAGENET_STD, ClipAugmentation
from unreel.augment.shuffle import ShuffleConfig
from unreel.augment.shuffle_degree import count_degree_classes
from unreel.data.clips import RandomClips
from unreel.losses.contrastive import PositiveForm, check_temperature
from unreel.losses.cross_architecture import Pair
from unreel.methods.method import MethodConfig
from unreel.models.c3d import C3DConfig
from unreel.models.frame_transformer import FrameTransformerConfig
from unreel.models.momentum import check_momentum
from unreel.models.resnet2d import ResNetConfig
from unreel.models.zoo import BackboneConfig

RANDOM_FRAMES = "random"
"""Stands for ``frame_weights`` where there are none."""

UNNORMALIZED = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
"""Mean and standard deviation that leave pixels as they are."""


@dataclass(frozen=True)
class CACLSettings(MethodConfig):
    """Everything that may be chosen about CACL; the defaults are the paper's."""

    clips: RandomClips = field(
        default_factory=lambda: RandomClips(count=1, num_frames=16, frame_stride=2, reserved_frames=46)
    )
    """One clip makes both views of it, as in the paper; two clips make one view each."""
    augmentation: ClipAugmentation = field(default_factory=ClipAugmentation)
    """How a view is made of its clip, the shuffled copy like the clip itself."""
    backbone: BackboneConfig = field(default_factory=C3DConfig)
    """The 3D CNN, which is what is exported."""
    shuffle: ShuffleConfig = field(default_factory=ShuffleConfig)
    """How the shuffled copy is drawn; both views share it."""
    pairs: tuple[Pair, ...] = get_args(Pair)
    """Positive pairs; Table 2 takes the first 1 to 4. Without pairs nothing is contrasted, and without
    the transformer's (t) there is no transformer."""
    positives: PositiveForm = "joint"
    """Whether the pairs share one softmax, as in eq. 4, or have one each (released code; decision A9)."""
    contrast_weight: float = 1.0
    """Weight of the contrastive loss, eq. 4."""
    degree_weight: float = 1.0
    """Weight of the shuffle-degree loss, eq. 6; 0 leaves it out, as the released script does (A3)."""
    embedding_dim: int = 128
    """Length of the embeddings of both networks."""
    hidden_dim: int = 0
    """Width of the hidden layer of the CNN's contrast head; 0 is a linear head."""
    temperature: float = 0.07
    """tau, divides the cosine similarities (decision A1)."""
    queue_length: int = 6400
    """K, keys of both networks in the queue; 0 takes the keys of the batch's other videos instead."""
    momentum: float = 0.999
    """Share of themselves that the momentum encoders keep in a step."""
    exclude_own_keys: bool = True
    """Whether earlier keys of a video are left out of its negatives; the released code keeps them."""
    shuffle_bn_group: int = 8
    """Videos that the key CNN normalises together on one device; 0 turns Shuffle-BN off everywhere."""
    swap_key_order: bool = False
    """Whether the key view has the shuffled copy first, as in the released code (decision A4)."""
    degree_hidden_dim: int = 512
    """Width of the hidden layer of the degree head."""
    degree_dropout_prob: float = 0.5
    """Probability of leaving out a hidden unit of the degree head in training."""
    transformer: FrameTransformerConfig = field(default_factory=FrameTransformerConfig)
    """The video transformer."""
    frame_network: ResNetConfig = field(default_factory=ResNetConfig)
    """The frozen network whose features of single frames the transformer sees."""
    frame_weights: Path = Path()
    """Its weights: the folder `encoder` of a frame_moco run, or a MoCo or torchvision file; the word
    "random" leaves them random."""
    frame_mean: tuple[float, float, float] = IMAGENET_MEAN
    """What the frame network wants subtracted from red, green and blue (decision A7)."""
    frame_std: tuple[float, float, float] = IMAGENET_STD
    """What the frame network wants red, green and blue divided by."""

    @property
    def has_contrast(self) -> bool:
        """Whether anything is contrasted."""
        return bool(self.pairs) and self.contrast_weight > 0

    @property
    def has_transformer(self) -> bool:
        """Whether a pair needs the transformer."""
        return self.has_contrast and any("t" in pair for pair in self.pairs)

    @property
    def min_videos(self) -> int:
        """Two where the batch's other videos are the negatives."""
        return 2 if self.has_contrast and not self.queue_length else 1

    def with_absolute_paths(self) -> Self:
        """Return the settings with ``frame_weights`` found from any folder."""
        if str(self.frame_weights) in (str(Path()), RANDOM_FRAMES):
            return self
        return dataclasses.replace(self, frame_weights=self.frame_weights.absolute())

    def __post_init__(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            ValueError: a number is out of range, or there is nothing to learn.
        """
        if self.clips.count not in (1, 2):
            raise ValueError(f"method.clips.count must be 1 or 2, got {self.clips.count}: two views are made")
        count_degree_classes(self.clips.num_frames)
        check_temperature(self.temperature)
        check_momentum(self.momentum)
        if not 0.0 <= self.degree_dropout_prob < 1.0:
            raise ValueError(f"method.degree_dropout_prob must lie in [0, 1), got {self.degree_dropout_prob}")
        for name in ("contrast_weight", "degree_weight", "queue_length", "shuffle_bn_group"):
            if getattr(self, name) < 0:
                raise ValueError(f"method.{name} must not be negative, got {getattr(self, name)}")
        if len(set(self.pairs)) < len(self.pairs):
            raise ValueError(f"method.pairs names a pair twice: {', '.join(self.pairs)}")
        if not (self.has_contrast or self.degree_weight):
            raise ValueError(
                "nothing is learned: give method.degree_weight, or method.pairs and "
                "method.contrast_weight, a value other than nothing"
            )
