"""Video-level contrastive learning: frames from all over a video, four tasks, one network."""

from dataclasses import dataclass

import torch
from torch import Tensor

from unreel.data.batch import VideoBatch
from unreel.losses.frames import OrderNorm
from unreel.methods.frame_tasks import FrameContrast, contrast_within_videos
from unreel.methods.loss_weights import sum_losses
from unreel.methods.method import Method, StepOutput
from unreel.methods.tuple_tasks import TupleOrder, VideoContrast
from unreel.methods.vclr_settings import VCLRSettings
from unreel.methods.vclr_views import VCLRViews, make_vclr_views
from unreel.models.backbone import Backbone
from unreel.models.batch_norm import forward_shuffled
from unreel.models.head_weights import load_both_networks
from unreel.models.momentum import MomentumEncoder
from unreel.models.multi_head import MultiHeadEncoder, extract_each, project_keys
from unreel.models.weight_matching import LoadReport
from unreel.models.zoo import build_backbone

# B batch, N frames of a tuple, P keys of a query, C channels, H W pixels, D features, E embedding


@dataclass(frozen=True)
class _Features:
    """What the backbones make of the frames.

    Where no loss needs them, the anchor is the query alone, and positive or keys have no frames.

    Attributes:
        anchor_BND: of the online network.
        query_BD: one of them.
        positive_BND: of the momentum encoder, as are the keys.
        keys_BPD: the query's frame in another augmentation, then the other frames of the anchor tuple.
    """

    anchor_BND: Tensor
    query_BD: Tensor
    positive_BND: Tensor
    keys_BPD: Tensor


class VCLR(Method):
    """Contrast of frames, of frames within a video and of whole videos, and the order of frames.

    Reference: VCLR, eq. 2 to 12; which rows of its Table 6 are which settings is in docs/methods.md.
    """

    @dataclass(frozen=True)
    class Config(VCLRSettings):
        """Settings of `VCLR`; the defaults are the paper's."""

        def build(self) -> "VCLR":
            """Build the method with fresh weights from torch's global generator."""
            return VCLR(self)

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
        queue = (config.queue_length, config.embedding_dim)
        temperature, exclude_own = config.temperature, config.exclude_own_keys
        self.inter = self.video = self.order = None
        if "inter" in config.losses:
            self.inter = FrameContrast(*queue, temperature=temperature, exclude_own=exclude_own)
        if "video" in config.losses:
            self.video = VideoContrast(*queue, temperature=temperature, exclude_own=exclude_own)
        if "order" in config.losses:
            norm: OrderNorm = "frames" if config.official_order_norm else "channels"
            self.order = TupleOrder(config.num_segments, config.embedding_dim, norm=norm)

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

    def make_views(self, batch: VideoBatch) -> VCLRViews:
        """Augment every frame by itself, and the query's frame a second time; draw the orders."""
        return make_vclr_views(self.config, batch)

    def forward(self, views: VCLRViews) -> StepOutput:
        """Compute the weighted sum of the losses, eq. 11."""
        features = self._extract(views)
        results: dict[str, tuple[Tensor, Tensor]] = {}
        if self.inter is not None:
            query_BE = self.online.project("inter", features.query_BD)
            keys_BPE = project_keys(self.key_encoder, "inter", features.keys_BPD)
            results["inter"] = self.inter(query_BE, keys_BPE, views.owners_B)
        if "intra" in self.config.losses:
            results["intra"] = contrast_within_videos(
                self.online.project("intra", features.query_BD),
                project_keys(self.key_encoder, "intra", features.keys_BPD),
                temperature=self.config.temperature,
                form=self.config.intra_form,
            )
        if self.video is not None:
            query_BE = self.online.project("video", features.anchor_BND.float().mean(dim=1))
            key_BE = project_keys(self.key_encoder, "video", features.positive_BND.float().mean(dim=1))
            results["video"] = self.video(query_BE, key_BE, views.owners_B)
        if self.order is not None:
            assert views.order is not None
            query_BNE = self.online.project("order", features.anchor_BND)
            key_BNE = project_keys(self.key_encoder, "order", features.positive_BND)
            results["order"] = self.order(query_BNE, key_BNE, views.order)
        return sum_losses(self.config, results)

    def _extract(self, views: VCLRViews) -> _Features:
        """Run each network once, over all frames that it is asked about."""
        rows_B1 = torch.arange(len(views.owners_B), device=views.owners_B.device)[:, None]
        place_B1 = views.query_place_B[:, None]
        frames_BNCHW = views.anchor_BNCHW if self.config.has_tuples else views.anchor_BNCHW[rows_B1, place_B1]
        anchor_BND = extract_each(self.online, frames_BNCHW.unsqueeze(3))
        query_BD = anchor_BND[rows_B1, place_B1].squeeze(1) if self.config.has_tuples else anchor_BND[:, 0]

        parts = []
        if views.positive_BNCHW is not None:
            parts.append(views.positive_BNCHW)
        if views.twin_BCHW is not None:
            places_P = torch.arange(self.config.num_segments - 1, device=place_B1.device)
            others_BPCHW = views.anchor_BNCHW[rows_B1, places_P + (places_P >= place_B1)]
            parts += [views.twin_BCHW[:, None], others_BPCHW]
        group_size = self.config.shuffle_bn_group if self.training else 0
        with torch.no_grad():
            keys_BMD = extract_each(
                lambda frames: forward_shuffled(self.key_encoder, frames, group_size=group_size),
                torch.cat(parts, dim=1).unsqueeze(3),
            )
        num_positives = 0 if views.positive_BNCHW is None else views.positive_BNCHW.shape[1]
        return _Features(anchor_BND, query_BD, keys_BMD[:, :num_positives], keys_BMD[:, num_positives:])

    def after_step(self, progress: float) -> None:
        """Move the momentum encoder, eq. 12, and store the keys of the step."""
        self.key_encoder.follow(self.online, momentum=self.config.momentum)
        for task in (self.inter, self.video):
            if task is not None:
                task.store()
