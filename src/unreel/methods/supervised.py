"""Learn the classes of labelled videos, from a pre-trained network or from scratch."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from unreel.augment.compose import ClipAugmentation
from unreel.augment.evaluation_views import EvaluationViews
from unreel.data.batch import VideoBatch
from unreel.data.clips import ClipSampling, RandomClips
from unreel.methods.method import Method, MethodConfig, ParameterGroup, StepOutput
from unreel.methods.weight_groups import Grouping, group_weights
from unreel.models.backbone import Backbone
from unreel.models.classification_head import ClassificationHead
from unreel.models.mvit import MViTConfig
from unreel.models.resnet3d import R2Plus1DConfig
from unreel.models.weight_matching import LoadReport
from unreel.models.weights import load_backbone_weights, read_normalization
from unreel.models.zoo import BackboneConfig, build_backbone

# B batch, C channels, T frames, H W pixels, D features, K classes

SCRATCH = Path("random")
"""Stands for fresh weights where a file of weights is asked for."""


@dataclass(frozen=True)
class SupervisedViews:
    """One augmented clip of each video, and the number of its class."""

    clips_BCTHW: Tensor
    classes_B: Tensor


class Supervised(Method):
    """Fine-tuning, or a linear probe where the backbone is frozen: cross-entropy over the classes.

    A frozen backbone stays in evaluation mode, takes no gradient and is left as it came.

    Reference: CACL, section 4.2; VCLR, section 4.3; SCVRL, section 4.1; CCL, section 4.1.
    """

    @dataclass(frozen=True)
    class Config(MethodConfig):
        """Settings of `Supervised`."""

        clips: ClipSampling = field(default_factory=lambda: RandomClips(count=1))
        """One clip of a video; SegmentFrames makes it a clip of one frame per segment (TSN, TSM)."""
        augmentation: ClipAugmentation = field(default_factory=ClipAugmentation)
        """How the clip is augmented, all frames alike."""
        backbone: BackboneConfig = field(default_factory=R2Plus1DConfig)
        """The network under the classifier."""
        initial_weights: Path = SCRATCH
        """Folder of an encoder, or a file of weights, that the backbone starts from; "random" takes fresh
        weights."""
        input_from: Literal["recipe", "encoder"] = "recipe"
        """Whether clips, sizes and normalisation are these settings, or those that the encoder was trained
        with."""
        classes: tuple[str, ...] = ()
        """Names of the classes; those of the videos to train on, which `unreel finetune` fills in."""
        is_frozen: bool = False
        """Whether the backbone keeps its weights, and only the classifier learns (linear probe)."""
        dropout_prob: float = 0.0
        """Probability of leaving out a feature before the classifier."""
        is_dropout_per_frame: bool = False
        """Whether every frame loses features of its own (TSM); else their mean does (TSN)."""
        init_std: float = 0.0
        """Standard deviation of the classifier's fresh weights; 0 draws them as torch does."""
        grouping: Grouping = "uniform"
        """How the learning rate differs from weight to weight: "uniform", "tsm", or "cacl_official"."""
        backbone_lr_factor: float = 1.0
        """Multiplies the learning rate of the backbone."""
        layer_lr_decay: float = 1.0
        """Multiplies the learning rate once for every layer between a weight and the classifier."""
        views: EvaluationViews = field(default_factory=EvaluationViews)
        """How videos are shown when they are tested or predicted."""
        test_split: str = "auto"
        """Split that is classified when training ends; "auto" takes the first of "test", "val" and
        "validation" that has labels, "" none."""

        def __post_init__(self) -> None:
            """Refuse what cannot be trained.

            Raises:
                ValueError: a number is out of range, or there is more than one clip.
            """
            if self.clips.num_clips != 1:
                raise ValueError(
                    f"method.clips must give one clip of a video, got {self.clips.num_clips}; set "
                    "method.clips.count to 1"
                )
            if len(set(self.classes)) < len(self.classes) or "" in self.classes:
                raise ValueError(f"method.classes must be different names, got {list(self.classes)}")
            for name in ("backbone_lr_factor", "layer_lr_decay"):
                if not 0 < getattr(self, name) <= 1:
                    raise ValueError(f"method.{name} must lie in (0, 1], got {getattr(self, name)}")
                if self.is_frozen and getattr(self, name) != 1:
                    raise ValueError(
                        f"method.{name} = {getattr(self, name)} is for a network that learns, and "
                        "method.is_frozen keeps it as it is; leave one of them out"
                    )

        @property
        def has_initial_weights(self) -> bool:
            """Whether the backbone starts from a file."""
            return self.initial_weights != SCRATCH

        @property
        def needs_labels(self) -> bool:
            """Always."""
            return True

        @property
        def min_videos(self) -> int:
            """Two where batch normalisation learns from the batch."""
            return 1 if self.is_frozen else 2

        def with_absolute_paths(self) -> Self:
            """Return the settings with the path of the weights absolute."""
            if not self.has_initial_weights:
                return self
            return replace(self, initial_weights=self.initial_weights.absolute())

        def cautions(self) -> tuple[str, ...]:
            """Warn of a network that learned nothing before, or that saw other pixels when it did."""
            if self.has_initial_weights:
                return tuple(self._compare_input())
            what = "a classifier on random features" if self.is_frozen else "training from scratch"
            return (f"no weights are given, so this is {what}; give --encoder to start from an encoder",)

        def _compare_input(self) -> Iterator[str]:
            """Say what the network was not made for."""
            weights, pixels = self.initial_weights, (self.augmentation.mean, self.augmentation.std)
            known = read_normalization(weights)
            if known is None and self.input_from == "encoder":
                yield (
                    f"{weights} does not say what its network was fed, so clips, sizes and normalisation are "
                    "those of the settings"
                )
            if known is not None and known != pixels:
                yield (
                    f"{weights} was trained on pixels of mean {known[0]} and std {known[1]}, and these "
                    f"settings have {pixels[0]} and {pixels[1]}; give --method.input-from encoder, or "
                    "--method.augmentation.mean and --method.augmentation.std"
                )
            if isinstance(self.backbone, MViTConfig) and self.backbone.size_px != self.augmentation.size_px:
                yield (
                    f"the network was made for crops of {self.backbone.size_px} pixels and gets "
                    f"{self.augmentation.size_px}: its position vectors are interpolated"
                )

        def build(self) -> "Supervised":
            """Build the method with fresh weights from torch's global generator.

            Raises:
                ValueError: there are fewer than two classes, or the network cannot be built or not used so.
            """
            return Supervised(self)

    def __init__(self, config: Config) -> None:
        super().__init__()
        if len(config.classes) < 2:
            raise ValueError(
                f"method.classes must be at least two names, got {list(config.classes)}; `unreel finetune` "
                "takes them from the labels of the training videos"
            )
        self.config = config
        self.network = build_backbone(config.backbone)
        if config.is_dropout_per_frame and not (
            self.network.average_is_of_map and self.network.frames_are_of_map
        ):
            raise ValueError(
                "method.is_dropout_per_frame is for networks whose features of a clip are the mean of those "
                f"of its frames, and those of {config.backbone.architecture} are not; leave it False"
            )
        self.head = ClassificationHead(
            self.network.num_features,
            len(config.classes),
            dropout_prob=config.dropout_prob,
            init_std=config.init_std,
            is_dropout_per_frame=config.is_dropout_per_frame,
        )
        if config.is_frozen:
            self.network.requires_grad_(False)

    @property
    def backbone(self) -> Backbone:
        """The network under the classifier."""
        return self.network

    def load_initial_weights(self) -> dict[str, LoadReport]:
        """Load the backbone.

        Raises:
            WeightsError: the file cannot be read or does not fit; a frozen backbone needs all its weights.
        """
        if not self.config.has_initial_weights:
            return {}
        min_share = 1.0 if self.config.is_frozen else 0.5
        path = self.config.initial_weights
        return {"backbone": load_backbone_weights(self.network, path, min_share=min_share)}

    def parameter_groups(self) -> list[ParameterGroup]:
        """Return the weights by how fast they move; those of a frozen backbone take no gradient."""
        return group_weights(
            self.network,
            self.head.linear,
            grouping=self.config.grouping,
            backbone_lr_factor=self.config.backbone_lr_factor,
            layer_lr_decay=self.config.layer_lr_decay,
        )

    def train(self, mode: bool = True) -> Self:
        """Switch dropout and batch statistics on or off; a frozen backbone always evaluates."""
        super().train(mode)
        if self.config.is_frozen:
            self.network.eval()
        return self

    def make_views(self, batch: VideoBatch) -> SupervisedViews:
        """Augment the clip of every video."""
        clips_BCTHW = self.config.augmentation.apply(
            batch.frames_BNTHWC[:, 0], batch.generator("view"), sizes_B2=batch.sizes_B2
        )
        return SupervisedViews(clips_BCTHW, batch.labels_B)

    def forward(self, views: SupervisedViews) -> StepOutput:
        """Compute the cross-entropy of the classes and the share of clips that are told right."""
        with torch.set_grad_enabled(not self.config.is_frozen and torch.is_grad_enabled()):
            features = self.extract(views.clips_BCTHW)
        logits_BK = self.head(features)
        loss = F.cross_entropy(logits_BK, views.classes_B)
        accuracy = (logits_BK.detach().argmax(dim=1) == views.classes_B).float().mean()
        return StepOutput(loss, {"cross_entropy": loss.detach(), "accuracy": accuracy})

    def extract(self, clips_BCTHW: Tensor) -> Tensor:
        """Return what the classifier sees: a vector per clip (B, D), or one per frame (B, T, D) for TSM."""
        if self.config.is_dropout_per_frame:
            return self.network.forward_frames_and_video(clips_BCTHW)[0]
        features_BD: Tensor = self.network(clips_BCTHW)
        return features_BD

    def after_step(self, progress: float) -> None:
        """Nothing follows a step."""
