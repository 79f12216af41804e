"""MoCo: two augmented clips of a video find each other among clips of other videos; or two views of an image.

With a queue, keys come from a momentum encoder and negatives from the queue (V-MoCo, the contrastive half of
CACL). With ``queue_length = 0`` both views go through the one network and contrast each other inside the
batch, both ways: what suits small corpora and few steps. Single frames as clips make it MoCo on images,
whose network CACL's transformer looks through.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from unreel.augment.compose import ClipAugmentation
from unreel.data.batch import VideoBatch
from unreel.data.clips import ClipSampling, GridFrames, RandomClips
from unreel.distributed import gather_rows, rank_index
from unreel.losses.contrastive import (
    check_temperature,
    in_batch_info_nce,
    info_nce,
    normalize,
    retrieval_accuracy,
)
from unreel.methods.method import Method, MethodConfig, StepOutput
from unreel.models.backbone import Backbone
from unreel.models.batch_norm import forward_shuffled
from unreel.models.heads import ProjectionHead
from unreel.models.momentum import MomentumEncoder
from unreel.models.queue import KeyQueue
from unreel.models.resnet3d import R2Plus1DConfig
from unreel.models.zoo import BackboneConfig, build_backbone

# B batch, C channels, T frames, H W pixels, D features, K negatives

_MAX_FRAMES = 1 << 32  # no video has more


@dataclass(frozen=True)
class MoCoViews:
    """Two augmented clips of each video, and the number of the instance that they show."""

    query_BCTHW: Tensor
    key_BCTHW: Tensor
    owners_B: Tensor


class MoCo(Method):
    """Instance discrimination on clips.

    Reference: He et al., 2020; CACL, eq. 1 (row V-MoCo of its Table 1).
    """

    @dataclass(frozen=True)
    class Config(MethodConfig):
        """Settings of `MoCo`; the defaults are those of CACL's V-MoCo."""

        clips: ClipSampling = field(
            default_factory=lambda: RandomClips(count=1, num_frames=16, frame_stride=2, reserved_frames=46)
        )
        """Random clips or grid frames. One clip makes both views of it; two clips make one view each."""
        augmentation: ClipAugmentation = field(default_factory=ClipAugmentation)
        """How each view is made of its clip."""
        backbone: BackboneConfig = field(default_factory=R2Plus1DConfig)
        """The network that learns."""
        embedding_dim: int = 128
        """Length of the embedding."""
        hidden_dim: int = 0
        """Width of the head's hidden layer; 0 is a linear head."""
        temperature: float = 0.07
        """Divides the cosine similarities."""
        queue_length: int = 6400
        """K, keys in the queue; 0 contrasts inside the batch, both ways, without momentum encoder."""
        momentum: float = 0.999
        """Share of itself that the momentum encoder keeps in a step."""
        instance: Literal["video", "frame"] = "video"
        """What is told apart: videos, or clips that begin at different frames, even of one video."""
        exclude_own_keys: bool = True
        """Whether earlier keys of an instance are left out of its negatives; the released code keeps them."""
        shuffle_bn_group: int = 8
        """Clips that the key network normalises together on one device; 0 turns Shuffle-BN off everywhere."""

        def __post_init__(self) -> None:
            """Refuse what cannot be trained.

            Raises:
                ValueError: a number is out of range.
            """
            _check_clips(self.clips, self.instance)
            check_temperature(self.temperature)
            if not 0.0 <= self.momentum <= 1.0:
                raise ValueError(f"method.momentum must lie in [0, 1], got {self.momentum}; MoCo uses 0.999")
            if self.queue_length < 0 or self.shuffle_bn_group < 0:
                raise ValueError(
                    "method.queue_length and method.shuffle_bn_group must not be negative, got "
                    f"{self.queue_length} and {self.shuffle_bn_group}"
                )

        @property
        def min_videos(self) -> int:
            """Two where the batch's other videos are the negatives."""
            return 1 if self.queue_length else 2

        def build(self) -> "MoCo":
            """Build the method with fresh weights from torch's global generator."""
            return MoCo(self)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        backbone = build_backbone(config.backbone)
        head = ProjectionHead(backbone.num_features, config.embedding_dim, hidden_dim=config.hidden_dim)
        self.online = nn.Sequential()
        self.online.add_module("backbone", backbone)
        self.online.add_module("head", head)
        self._pending: list[tuple[Tensor, Tensor]] = []
        if config.queue_length:
            self.key_encoder = MomentumEncoder(self.online)
            self.queue = KeyQueue(config.queue_length, config.embedding_dim)

    @property
    def backbone(self) -> Backbone:
        """The network that learns."""
        backbone = self.online.get_submodule("backbone")
        assert isinstance(backbone, Backbone)
        return backbone

    def make_views(self, batch: VideoBatch) -> MoCoViews:
        """Augment the first clip to the query and the last one to the key, independently."""
        augmentation = self.config.augmentation
        query_BTHWC, key_BTHWC = batch.frames_BNTHWC[:, 0], batch.frames_BNTHWC[:, -1]
        return MoCoViews(
            query_BCTHW=augmentation.apply(query_BTHWC, batch.generator("query"), sizes_B2=batch.sizes_B2),
            key_BCTHW=augmentation.apply(key_BTHWC, batch.generator("key"), sizes_B2=batch.sizes_B2),
            owners_B=self._number_instances(batch),
        )

    def _number_instances(self, batch: VideoBatch) -> Tensor:
        videos_B = batch.video_index_B
        if self.config.instance == "video":
            return videos_B
        frames_B = batch.frame_index_BNT[:, 0, 0].contiguous().to(videos_B.device, non_blocking=True)
        return videos_B * _MAX_FRAMES + frames_B

    def forward(self, views: MoCoViews) -> StepOutput:
        """Contrast queries and keys."""
        return (
            self._contrast_with_queue(views) if self.config.queue_length else self._contrast_in_batch(views)
        )

    def _contrast_with_queue(self, views: MoCoViews) -> StepOutput:
        query_BD = self.online(views.query_BCTHW)
        with torch.no_grad():
            key_BD = forward_shuffled(
                self.key_encoder, views.key_BCTHW, group_size=self.config.shuffle_bn_group
            )
        excluded_BK = self.queue.excluded(views.owners_B) if self.config.exclude_own_keys else None
        loss = info_nce(
            query_BD,
            key_BD,
            self.queue.keys_KD,
            temperature=self.config.temperature,
            excluded_BK=excluded_BK,
        )
        self._pending.append((key_BD.detach(), views.owners_B))
        return StepOutput(loss, self._terms(loss, query_BD, key_BD))

    def _contrast_in_batch(self, views: MoCoViews) -> StepOutput:
        both = self.online(torch.cat([views.query_BCTHW, views.key_BCTHW]))
        query_BD, key_BD = both.chunk(2)
        first_row = rank_index() * len(query_BD)
        temperature = self.config.temperature
        loss = 0.5 * (
            in_batch_info_nce(query_BD, gather_rows(key_BD), first_row=first_row, temperature=temperature)
            + in_batch_info_nce(key_BD, gather_rows(query_BD), first_row=first_row, temperature=temperature)
        )
        return StepOutput(loss, self._terms(loss, query_BD, key_BD))

    def _terms(self, loss: Tensor, query_BD: Tensor, key_BD: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            similarity_B = (normalize(query_BD) * normalize(key_BD)).sum(dim=1)
        return {
            "contrast": loss.detach(),
            "positive_similarity": similarity_B.mean(),
            "batch_accuracy": retrieval_accuracy(query_BD, key_BD),
        }

    def after_step(self, progress: float) -> None:
        """Move the momentum encoder and store the keys of the step."""
        if self.config.queue_length:
            self.key_encoder.follow(self.online, momentum=self.config.momentum)
            for keys_BD, owners_B in self._pending:
                self.queue.enqueue(keys_BD, owners_B)
            self._pending.clear()


def _check_clips(clips: ClipSampling, instance: str) -> None:
    if not isinstance(clips, (RandomClips, GridFrames)):
        raise ValueError(f"method.clips must be RandomClips or GridFrames, got {type(clips).__name__}")
    if clips.count not in (1, 2):
        raise ValueError(f"method.clips.count must be 1 or 2, got {clips.count}: two views are made")
    if instance == "frame" and clips.count != 1:
        raise ValueError(
            f"method.clips.count must be 1 where method.instance is 'frame', got {clips.count}: two clips "
            "of a video begin at two frames"
        )
