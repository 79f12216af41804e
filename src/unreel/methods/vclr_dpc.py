"""DPC with the global context of VCLR: blocks are predicted, clips from all over a video tell it apart."""

from dataclasses import dataclass

import torch
from torch import Tensor

from unreel.augment.frame_colors import augment_with_colors
from unreel.data.batch import VideoBatch
from unreel.methods.dpc_task import DensePrediction, check_map, describe_hits
from unreel.methods.dpc_views import augment_blocks
from unreel.methods.loss_weights import sum_losses
from unreel.methods.method import Method, StepOutput
from unreel.methods.tuple_tasks import OrderQuestion, TupleOrder, VideoContrast, ask_for_order
from unreel.methods.vclr_dpc_settings import VCLRDPCSettings
from unreel.models.backbone import Backbone
from unreel.models.batch_norm import forward_shuffled
from unreel.models.momentum import MomentumEncoder
from unreel.models.multi_head import MultiHeadEncoder, extract_each, project_keys
from unreel.models.zoo import build_backbone

# B videos, N blocks of a video or clips of a tuple, C channels, T frames, H W pixels, D features, E embedding


@dataclass(frozen=True)
class VCLRDPCViews:
    """The augmented blocks and clips of each video; None where no loss looks at them.

    Attributes:
        blocks_BNCTHW: blocks in order of time, all showing the same part of the picture.
        anchor_BNCTHW: clips of the anchor tuple in order of time, each augmented by itself.
        positive_BNCTHW: those of the positive tuple.
        question: in which order the tuples are shown.
        owners_B: row of each video in the catalog.
    """

    blocks_BNCTHW: Tensor | None
    anchor_BNCTHW: Tensor | None
    positive_BNCTHW: Tensor | None
    question: OrderQuestion | None
    owners_B: Tensor


class VCLRDPC(Method):
    """Dense prediction of blocks, contrast of whole videos, and the order of clips; one backbone for all.

    Reference: VCLR, sections 5.3 and A.3, Table 9.
    """

    @dataclass(frozen=True)
    class Config(VCLRDPCSettings):
        """Settings of `VCLRDPC`."""

        def build(self) -> "VCLRDPC":
            """Build the method with fresh weights from torch's global generator.

            Raises:
                ValueError: the features of the backbone are not the average of its map.
            """
            return VCLRDPC(self)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        backbone = build_backbone(config.backbone)
        check_map(backbone)
        if config.dense_weight:  # before the heads, so that it starts from the weights of DPC alone
            self.dense = DensePrediction(
                backbone.num_features,
                num_predicted=config.num_predicted,
                dropout_prob=config.dropout_prob,
            )
        self.online = MultiHeadEncoder(
            backbone, config.tuple_losses, config.embedding_dim, hidden_dim=config.hidden_dim
        )
        if config.tuple_losses:
            self.key_encoder = MomentumEncoder(self.online)
        if config.video_weight:
            self.video_contrast = VideoContrast(
                config.queue_length,
                config.embedding_dim,
                temperature=config.temperature,
                exclude_own=config.exclude_own_keys,
            )
        if config.order_weight:
            self.tuple_order = TupleOrder(config.clips.num_segments, config.embedding_dim)

    @property
    def backbone(self) -> Backbone:
        """The network that sees one block or clip."""
        return self.online.backbone

    def make_views(self, batch: VideoBatch) -> VCLRDPCViews:
        """Augment what the losses look at; draw the orders."""
        config = self.config
        num_blocks, num_clips = config.clips.num_blocks, config.clips.num_segments
        blocks = anchor = positive = None
        if config.dense_weight:
            blocks = augment_blocks(
                config.augmentation,
                batch.frames_BNTHWC[:, :num_blocks],
                batch.generator("blocks"),
                sizes_B2=batch.sizes_B2,
                color_draws=config.color_draws,
            )
        if config.tuple_losses:
            anchor, positive = (
                self._augment_clips(batch.frames_BNTHWC[:, first : first + num_clips], batch, purpose)
                for first, purpose in ((num_blocks, "anchor"), (num_blocks + num_clips, "positive"))
            )
        question = ask_for_order(batch, num_clips) if config.order_weight else None
        return VCLRDPCViews(blocks, anchor, positive, question, batch.video_index_B)

    def _augment_clips(self, clips_BNTHWC: Tensor, batch: VideoBatch, purpose: str) -> Tensor:
        num_clips = clips_BNTHWC.shape[1]
        clips_XCTHW = augment_with_colors(
            self.config.augmentation,
            clips_BNTHWC.flatten(0, 1),
            batch.generator(purpose).repeat(num_clips),
            sizes_B2=batch.sizes_B2.repeat_interleave(num_clips, dim=0),
            color_draws=self.config.color_draws,
        )
        return clips_XCTHW.reshape(len(batch), num_clips, *clips_XCTHW.shape[1:])

    def forward(self, views: VCLRDPCViews) -> StepOutput:
        """Run the network once over blocks and anchors, then compute the weighted sum of the losses."""
        parts = [part for part in (views.blocks_BNCTHW, views.anchor_BNCTHW) if part is not None]
        clips_BNCTHW = torch.cat(parts, dim=1)
        maps_XDTHW = self.backbone.forward_map(clips_BNCTHW.flatten(0, 1))
        maps_BNDTHW = maps_XDTHW.reshape(*clips_BNCTHW.shape[:2], *maps_XDTHW.shape[1:])
        num_blocks = self.config.clips.num_blocks if self.config.dense_weight else 0
        results: dict[str, tuple[Tensor, Tensor]] = {}
        hits: dict[str, Tensor] = {}
        if self.config.dense_weight:
            dense = self.dense(maps_BNDTHW[:, :num_blocks])
            results["dense"], hits = (dense.loss, dense.accuracy), describe_hits(dense)
        if self.config.tuple_losses:
            results |= self._compare_tuples(maps_BNDTHW[:, num_blocks:].mean(dim=(3, 4, 5)), views)
        output = sum_losses(self.config, results)
        return StepOutput(output.loss, output.terms | hits)

    def _compare_tuples(self, anchor_BND: Tensor, views: VCLRDPCViews) -> dict[str, tuple[Tensor, Tensor]]:
        """Return loss and accuracy of VCLR's tasks, its eq. 4 to 10."""
        assert views.positive_BNCTHW is not None
        group_size = self.config.shuffle_bn_group if self.training else 0
        with torch.no_grad():
            positive_BND = extract_each(
                lambda clips: forward_shuffled(self.key_encoder, clips, group_size=group_size),
                views.positive_BNCTHW,
            )
        results = {}
        if self.config.video_weight:
            query_BE = self.online.project("video", anchor_BND.float().mean(dim=1))
            key_BE = project_keys(self.key_encoder, "video", positive_BND.float().mean(dim=1))
            results["video"] = self.video_contrast(query_BE, key_BE, views.owners_B)
        if self.config.order_weight:
            query_BNE = self.online.project("order", anchor_BND)
            key_BNE = project_keys(self.key_encoder, "order", positive_BND)
            results["order"] = self.tuple_order(query_BNE, key_BNE, views.question)
        return results

    def after_step(self, progress: float) -> None:
        """Move the momentum encoder and store the keys of the step."""
        if self.config.tuple_losses:
            self.key_encoder.follow(self.online, momentum=self.config.momentum)
        if self.config.video_weight:
            self.video_contrast.store()
