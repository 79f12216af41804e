"""VINCE: any frame of a video finds any other frame of it, among frames of other videos."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from unreel.data.batch import VideoBatch
from unreel.data.clips import ClipSampling
from unreel.data.frame_pairs import RandomFramePairs
from unreel.distributed import gather_rows
from unreel.losses.contrastive import normalize
from unreel.losses.frames import inter_frame_loss
from unreel.methods.frame_settings import FrameSettings
from unreel.methods.frame_views import augment_frames
from unreel.methods.method import Method, StepOutput
from unreel.models.backbone import Backbone
from unreel.models.batch_norm import forward_shuffled
from unreel.models.head_weights import load_both_networks
from unreel.models.momentum import MomentumEncoder
from unreel.models.multi_head import MultiHeadEncoder, extract_each, project_keys
from unreel.models.negative_keys import NegativeKeys
from unreel.models.weight_matching import LoadReport
from unreel.models.zoo import build_backbone

# B batch, N frames of a video in each view, C channels, H W pixels, D features, E embedding, K negatives

HEAD = "frame"


@dataclass(frozen=True)
class VINCEViews:
    """Augmented frames of each video, other ones in either view."""

    query_BNCHW: Tensor
    key_BNCHW: Tensor
    owners_B: Tensor


class VINCE(Method):
    """Contrast of frames where every two frames of a video are a positive pair.

    With N queries and N keys of a video there are N x N pairs, each in a softmax of its own with all
    negatives: the keys of the batch's other videos and those in the queue.

    Reference: Gordon et al., Watching the World Go By, 2020, sections 3.2 and 3.3; the row "VINCE" of VCLR's
    tables.
    """

    @dataclass(frozen=True)
    class Config(FrameSettings):
        """Settings of `VINCE`.

        The defaults are those of its released code, but for the network, for the augmentation, which is
        VCLR's, and for `exclude_own_keys`, as that code keeps earlier keys of a video among its negatives.
        """

        clips: ClipSampling = field(default_factory=RandomFramePairs)
        """Frames of either view, from anywhere in the video."""
        embedding_dim: int = 64
        """Length of the embedding."""
        temperature: float = 0.07
        """tau, divides the cosine similarities."""
        queue_length: int = 65_536
        """K, keys in the queue; 0 leaves the keys of the batch's other videos as the only negatives."""

        def __post_init__(self) -> None:
            """Refuse what cannot be trained.

            Raises:
                ValueError: a number is out of range, or the frames are of another kind.
            """
            super().__post_init__()
            if not isinstance(self.clips, RandomFramePairs):
                raise ValueError(f"method.clips must be RandomFramePairs, got {type(self.clips).__name__}")

        def build(self) -> "VINCE":
            """Build the method with fresh weights from torch's global generator."""
            return VINCE(self)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.online = MultiHeadEncoder(
            build_backbone(config.backbone), (HEAD,), config.embedding_dim, hidden_dim=config.hidden_dim
        )
        self.key_encoder = MomentumEncoder(self.online)
        self.negatives = NegativeKeys(
            config.queue_length, config.embedding_dim, exclude_own=config.exclude_own_keys
        )

    @property
    def backbone(self) -> Backbone:
        """The network that sees single frames."""
        return self.online.backbone

    def load_initial_weights(self) -> dict[str, LoadReport]:
        """Load backbone and head; the momentum encoder starts from the same.

        Raises:
            WeightsError: the file cannot be read or does not fit the backbone.
        """
        if not self.config.has_initial_weights:
            return {}
        return load_both_networks(self.online, self.key_encoder, self.config.initial_weights)

    def make_views(self, batch: VideoBatch) -> VINCEViews:
        """Augment every frame by itself."""
        augmentation, frames_B2NHWC = self.config.augmentation, batch.frames_BNTHWC
        return VINCEViews(
            query_BNCHW=augment_frames(augmentation, batch, frames_B2NHWC[:, 0], "query"),
            key_BNCHW=augment_frames(augmentation, batch, frames_B2NHWC[:, 1], "key"),
            owners_B=batch.video_index_B,
        )

    def forward(self, views: VINCEViews) -> StepOutput:
        """Contrast every query with every key of its video."""
        query_BNE = self.online.project(HEAD, extract_each(self.online, views.query_BNCHW.unsqueeze(3)))
        group_size = self.config.shuffle_bn_group if self.training else 0
        with torch.no_grad():
            key_BND = extract_each(
                lambda frames: forward_shuffled(self.key_encoder, frames, group_size=group_size),
                views.key_BNCHW.unsqueeze(3),
            )
        key_BNE = project_keys(self.key_encoder, HEAD, key_BND)
        num_frames = query_BNE.shape[1]
        owners_X = views.owners_B.repeat_interleave(num_frames)
        negatives_KE, excluded_BK = self._negatives(key_BNE.flatten(0, 1), owners_X, views.owners_B)
        loss = inter_frame_loss(
            query_BNE.flatten(0, 1),
            key_BNE.repeat_interleave(num_frames, dim=0),
            negatives_KE,
            temperature=self.config.temperature,
            excluded_BK=excluded_BK.repeat_interleave(num_frames, dim=0),
        )
        return StepOutput(loss, {"contrast": loss.detach(), **_describe(query_BNE, key_BNE, owners_X)})

    def _negatives(self, keys_XE: Tensor, owners_X: Tensor, owners_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return the keys of this step and of the queue, and which are no negatives of a video."""
        negatives_KE, excluded_BK = self.negatives.take(keys_XE, owners_X, owners_B)
        if not self.config.queue_length:
            assert excluded_BK is not None
            return negatives_KE, excluded_BK
        keys_GE, owners_G = gather_rows(keys_XE), gather_rows(owners_X)
        excluded_BG = owners_B[:, None] == owners_G[None, :]
        if excluded_BK is None:
            excluded_BK = excluded_BG.new_zeros(len(owners_B), len(negatives_KE))
        return torch.cat([keys_GE, negatives_KE]), torch.cat([excluded_BG, excluded_BK], dim=1)

    def after_step(self, progress: float) -> None:
        """Move the momentum encoder and store the keys of the step."""
        self.key_encoder.follow(self.online, momentum=self.config.momentum)
        self.negatives.store()


@torch.no_grad()
def _describe(query_BNE: Tensor, key_BNE: Tensor, owners_X: Tensor) -> dict[str, Tensor]:
    """Return how alike frames of a video are, and how often the nearest key of a query is of its video."""
    query_BNE, key_BNE = normalize(query_BNE), normalize(key_BNE)
    similarity_BNN = query_BNE @ key_BNE.transpose(1, 2)
    nearest_X = (query_BNE.flatten(0, 1) @ key_BNE.flatten(0, 1).T).argmax(dim=1)
    return {
        "positive_similarity": similarity_BNN.mean(),
        "batch_accuracy": (owners_X[nearest_X] == owners_X).float().mean(),
    }
