"""Cycle-contrastive learning: from a video to its nearest frame and back to the video."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from unreel.augment.compose import ClipAugmentation
from unreel.data.batch import VideoBatch
from unreel.data.clips import FramePerPart
from unreel.distributed import gather_rows, rank_index
from unreel.losses.contrastive import check_temperature
from unreel.losses.cycle import cycle_losses, frame_diversity_penalty, frame_video_mse
from unreel.methods.method import Method, MethodConfig, StepOutput
from unreel.models.backbone import Backbone
from unreel.models.heads import ProjectionHead
from unreel.models.r3d_plus1 import R3DPlus1Config
from unreel.models.zoo import BackboneConfig, build_backbone

# B batch, C channels, T frames, H W pixels, D features


class CCL(Method):
    """Videos and frames contrast each other through a cycle; no queue, no momentum encoder.

    Any backbone will do: one without frame features of its own gives the positions of its last map as frames.
    Its frames then know of each other, which the paper's network avoids.

    Reference: CCL, eq. 1 to 6.
    """

    @dataclass(frozen=True)
    class Config(MethodConfig):
        """Settings of `CCL`; the defaults are the paper's."""

        clips: FramePerPart = field(default_factory=FramePerPart)
        """One frame from each of L equal parts of a clip of M frames."""
        augmentation: ClipAugmentation = field(default_factory=lambda: ClipAugmentation.only_crop(112))
        """The paper crops at random and does nothing else."""
        backbone: BackboneConfig = field(default_factory=R3DPlus1Config)
        """The network that learns."""
        embedding_dim: int = 128
        """Length of the embedding."""
        hidden_dim: int = 256
        """Width of the hidden layer of the head that videos and frames share (decision L3)."""
        objective: Literal["cycle", "mse"] = "cycle"
        """The cycle of the paper, or its baseline, the squared distance of a video to its frames."""
        forward_weight: float = 0.2
        """w1, weight of the loss from video to frames; 0 switches it off."""
        backward_weight: float = 0.2
        """w2, weight of the loss from frame to videos; 0 switches it off."""
        penalty_weight: float = 0.4
        """w3, weight of the penalty for frames that look alike; 0 switches it off."""
        temperature: float = 1.0
        """tau, divides the similarities of both losses."""
        frame_temperature: float = 1.0
        """Of the soft choice of a frame (alpha); 1 as printed."""
        video_temperature: float = 1.0
        """Of the soft choice of a video (beta); 1 as printed."""
        penalty_rows: Literal["unit", "raw"] = "unit"
        """Whether the penalty sees frame embeddings of length one or as they are (decision L5)."""
        penalty_scale: Literal["sum", "mean"] = "sum"
        """Whether the penalty adds up or averages the L x L entries (decision L5)."""

        def __post_init__(self) -> None:
            """Refuse what cannot be trained.

            Raises:
                ValueError: a number is out of range.
            """
            if self.clips.count != 1:
                raise ValueError(
                    f"method.clips.count must be 1, got {self.clips.count}: CCL looks at one clip"
                )
            for temperature in (self.temperature, self.frame_temperature, self.video_temperature):
                check_temperature(temperature)
            if self.objective == "cycle" and not (self.forward_weight or self.backward_weight):
                raise ValueError(
                    "method.forward_weight and method.backward_weight are both 0, so nothing ties a video to "
                    "its frames; give one of them a positive weight"
                )

        @property
        def min_videos(self) -> int:
            """A cycle can go wrong among several videos only; the baseline takes each by itself."""
            return 2 if self.objective == "cycle" else 1

        def build(self) -> "CCL":
            """Build the method with fresh weights from torch's global generator."""
            return CCL(self)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self._backbone = build_backbone(config.backbone)
        self.head = ProjectionHead(
            self._backbone.num_features, config.embedding_dim, hidden_dim=config.hidden_dim
        )

    @property
    def backbone(self) -> Backbone:
        """The network that learns."""
        return self._backbone

    def make_views(self, batch: VideoBatch) -> Tensor:
        """Augment the clip of each video: shape (B, C, T, H, W)."""
        return self.config.augmentation.apply(
            batch.frames_BNTHWC[:, 0], batch.generator("clip"), sizes_B2=batch.sizes_B2
        )

    def forward(self, views: Tensor) -> StepOutput:
        """Compute eq. 6, or the baseline's loss."""
        frame_features_BTD, video_features_BD = self._backbone.forward_frames_and_video(views)
        frames_BTD, videos_BD = self.head(frame_features_BTD), self.head(video_features_BD)
        if self.config.objective == "mse":
            loss = frame_video_mse(videos_BD, frames_BTD)
            return StepOutput(loss, {"mse": loss.detach()})
        return self._cycle(videos_BD, frames_BTD)

    def _cycle(self, videos_BD: Tensor, frames_BTD: Tensor) -> StepOutput:
        config = self.config
        cycle = cycle_losses(
            videos_BD,
            gather_rows(videos_BD),
            gather_rows(frames_BTD),
            first_row=rank_index() * len(videos_BD),
            temperature=config.temperature,
            frame_temperature=config.frame_temperature,
            video_temperature=config.video_temperature,
        )
        penalty = frame_diversity_penalty(
            frames_BTD,
            is_normalized=config.penalty_rows == "unit",
            is_averaged=config.penalty_scale == "mean",
        )
        weighted = [
            (config.forward_weight, cycle.forward),
            (config.backward_weight, cycle.backward),
            (config.penalty_weight, penalty),
        ]
        loss = torch.stack([weight * term for weight, term in weighted if weight]).sum()
        return StepOutput(
            loss,
            {
                "forward": cycle.forward.detach(),
                "backward": cycle.backward.detach(),
                "penalty": penalty.detach(),
                "cycle_consistency": cycle.consistency,
            },
        )

    def after_step(self, progress: float) -> None:
        """Nothing follows a step: there is no queue and no momentum encoder."""
