"""Video-level contrastive learning: frames from all over a video, four tasks, one network.

SeCo is the same network with the tasks of single frames alone and another question of order.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unreel.data.batch import VideoBatch
from unreel.distributed import gather_rows, world_size
from unreel.losses.contrastive import info_nce, retrieval_accuracy
from unreel.losses.frames import OrderNorm, concat_for_order, inter_frame_loss, intra_frame_loss
from unreel.methods.method import Method, StepOutput
from unreel.methods.vclr_settings import VCLRSettings
from unreel.methods.vclr_views import VCLRViews, make_vclr_views
from unreel.models.backbone import Backbone
from unreel.models.batch_norm import forward_shuffled
from unreel.models.head_weights import load_head_weights
from unreel.models.heads import ProjectionHead
from unreel.models.momentum import MomentumEncoder
from unreel.models.multi_head import MultiHeadEncoder
from unreel.models.queue import KeyQueue
from unreel.models.weight_matching import LoadReport
from unreel.models.weights import load_backbone_weights
from unreel.models.zoo import build_backbone

# B batch, N frames of a tuple, P other frames, C channels, H W pixels, D features, E embedding, K negatives

NUM_TUPLE_CLASSES = 4
"""Neither tuple is shuffled, the anchor, the positive, both."""

NUM_QUERY_CLASSES = 2
"""The query comes before the other frames, or after."""


@dataclass(frozen=True)
class _Features:
    """What the backbones make of the frames: the online network of anchor and query, the slow one of others.

    Where no loss needs them, the anchor is the query alone, and the others have no frames.
    """

    anchor_BND: Tensor
    query_BD: Tensor
    positive_BND: Tensor
    twin_B1D: Tensor
    others_BPD: Tensor


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
        if "order" in config.losses:
            is_query = config.order_task == "query"
            num_embeddings = config.num_frames * (1 if is_query else 2)
            num_classes = NUM_QUERY_CLASSES if is_query else NUM_TUPLE_CLASSES
            self.order_classifier = ProjectionHead(num_embeddings * config.embedding_dim, num_classes)
        if config.queue_length and "inter" in config.losses:
            self.frame_queue = KeyQueue(config.queue_length, config.embedding_dim)
        if config.queue_length and "video" in config.losses:
            self.video_queue = KeyQueue(config.queue_length, config.embedding_dim)
        self._pending: list[tuple[str, Tensor, Tensor]] = []

    @property
    def backbone(self) -> Backbone:
        """The network that sees single frames."""
        return self.online.backbone

    def load_initial_weights(self) -> dict[str, LoadReport]:
        """Load backbone and heads; the momentum encoder starts from the same.

        Raises:
            WeightsError: the file cannot be read or does not fit the backbone.
        """
        path = self.config.initial_weights
        if not self.config.has_initial_weights:
            return {}
        backbone = load_backbone_weights(self.online.backbone, path)
        heads = load_head_weights(self.online.heads, path, backbone=backbone)
        self.key_encoder.network.load_state_dict(self.online.state_dict())
        return {"backbone": backbone, "heads": heads}

    def make_views(self, batch: VideoBatch) -> VCLRViews:
        """Augment every frame by itself, and the query's frame a second time; draw the orders."""
        return make_vclr_views(self.config, batch)

    def forward(self, views: VCLRViews) -> StepOutput:
        """Compute the weighted sum of the losses, eq. 11."""
        features = self._extract(views)
        tasks: dict[str, Callable[[_Features, VCLRViews], tuple[Tensor, Tensor]]] = {
            "inter": self._contrast_frames,
            "intra": self._contrast_within_videos,
            "video": self._contrast_videos,
            "order": self._judge_order,
        }
        losses, terms = [], dict[str, Tensor]()
        for name in self.config.losses:
            loss, accuracy = tasks[name](features, views)
            losses.append(getattr(self.config, f"{name}_weight") * loss)
            terms |= {name: loss.detach(), f"{name}_accuracy": accuracy}
        return StepOutput(torch.stack(losses).sum(), terms)

    def _extract(self, views: VCLRViews) -> _Features:
        """Run each network once, over all frames that it is asked about."""
        rows_B1 = torch.arange(len(views.owners_B), device=views.owners_B.device)[:, None]
        place_B1 = views.query_place_B[:, None]
        if self.config.has_tuples:
            anchor_BND = _run_frames(self.online, views.anchor_BNCHW)
            query_BD = anchor_BND[rows_B1, place_B1].squeeze(1)
        else:
            anchor_BND = _run_frames(self.online, views.anchor_BNCHW[rows_B1, place_B1])
            query_BD = anchor_BND.squeeze(1)

        places_P = torch.arange(self.config.num_frames - 1, device=place_B1.device)
        others_BPCHW = views.anchor_BNCHW[rows_B1, places_P + (places_P >= place_B1)]
        empty_B0CHW = others_BPCHW[:, :0]
        parts = [
            empty_B0CHW if views.positive_BNCHW is None else views.positive_BNCHW,
            empty_B0CHW if views.twin_BCHW is None else views.twin_BCHW[:, None],
            others_BPCHW if self.config.has_others else empty_B0CHW,
        ]
        group_size = self.config.shuffle_bn_group if self.training else 0
        with torch.no_grad():
            keys_BMD = _run_frames(
                lambda frames_FCHW: forward_shuffled(self.key_encoder, frames_FCHW, group_size=group_size),
                torch.cat(parts, dim=1),
            )
        keys = torch.split(keys_BMD, [part.shape[1] for part in parts], dim=1)
        return _Features(anchor_BND, query_BD, *keys)

    @torch.no_grad()
    def _project_keys(self, name: str, features_BXD: Tensor) -> Tensor:
        network = self.key_encoder.network
        assert isinstance(network, MultiHeadEncoder)
        return network.project(name, features_BXD)

    def _contrast_frames(self, features: _Features, views: VCLRViews) -> tuple[Tensor, Tensor]:
        """Compute eq. 2: the query, and as keys the query's frame again and the other frames."""
        query_BE = self.online.project("inter", features.query_BD)
        keys_BPE = self._project_keys("inter", torch.cat([features.twin_B1D, features.others_BPD], dim=1))
        owners_F = views.owners_B.repeat_interleave(keys_BPE.shape[1])
        negatives_KE, excluded_BK = self._negatives(
            "frame_queue", keys_BPE.flatten(0, 1), owners_F, views.owners_B
        )
        loss = inter_frame_loss(
            query_BE, keys_BPE, negatives_KE, temperature=self.config.temperature, excluded_BK=excluded_BK
        )
        return loss, retrieval_accuracy(query_BE, keys_BPE[:, 0])

    def _contrast_within_videos(self, features: _Features, views: VCLRViews) -> tuple[Tensor, Tensor]:
        """Compute eq. 3: the query's frame again, against the other frames of the video."""
        query_BE = self.online.project("intra", features.query_BD)
        key_BE = self._project_keys("intra", features.twin_B1D).squeeze(1)
        others_BPE = self._project_keys("intra", features.others_BPD)
        loss = intra_frame_loss(
            query_BE, key_BE, others_BPE, temperature=self.config.temperature, form=self.config.intra_form
        )
        with torch.no_grad():
            own_B = F.cosine_similarity(query_BE, key_BE, dim=1)
            other_BP = F.cosine_similarity(query_BE[:, None], others_BPE, dim=2)
            return loss, (own_B > other_BP.amax(dim=1)).float().mean()

    def _contrast_videos(self, features: _Features, views: VCLRViews) -> tuple[Tensor, Tensor]:
        """Compute eq. 4 to 6: the average over one tuple and that over the other."""
        query_BE = self.online.project("video", features.anchor_BND.float().mean(dim=1))
        key_BE = self._project_keys("video", features.positive_BND.float().mean(dim=1))
        negatives_KE, excluded_BK = self._negatives("video_queue", key_BE, views.owners_B, views.owners_B)
        loss = info_nce(
            query_BE,
            key_BE,
            negatives_KE,
            temperature=self.config.temperature,
            excluded_BK=excluded_BK,
        )
        return loss, retrieval_accuracy(query_BE, key_BE)

    def _judge_order(self, features: _Features, views: VCLRViews) -> tuple[Tensor, Tensor]:
        """Compute eq. 7 to 10; shuffling the embeddings is shuffling the frames, as each is seen alone."""
        if self.config.order_task == "query":
            query_BNE = self.online.project("order", features.query_BD[:, None])
            key_BNE = self._project_keys("order", features.others_BPD)
        else:
            assert views.anchor_order_BN is not None
            assert views.positive_order_BN is not None
            query_BNE = _reorder(self.online.project("order", features.anchor_BND), views.anchor_order_BN)
            key_BNE = _reorder(self._project_keys("order", features.positive_BND), views.positive_order_BN)
        norm: OrderNorm = "frames" if self.config.official_order_norm else "channels"
        logits_BX = self.order_classifier(concat_for_order(query_BNE, key_BNE, norm=norm))
        assert views.order_class_B is not None
        is_right_B = logits_BX.detach().argmax(dim=1) == views.order_class_B
        return F.cross_entropy(logits_BX, views.order_class_B), is_right_B.float().mean()

    def _negatives(
        self, queue_name: str, keys_XE: Tensor, key_owners_X: Tensor, owners_B: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return what a loss contrasts with, and which of it is of the row's own video; note the new keys.

        Raises:
            ValueError: there is neither a queue nor another video.
        """
        if self.config.queue_length:
            self._pending.append((queue_name, keys_XE, key_owners_X))
            queue = self.get_submodule(queue_name)
            assert isinstance(queue, KeyQueue)
            return queue.keys_KD, queue.excluded(owners_B) if self.config.exclude_own_keys else None
        if world_size() * len(owners_B) < 2:
            raise ValueError(
                "method.queue_length = 0 takes the other videos of a part of the batch as negatives, and "
                "there is none; lower train.accumulate, raise train.batch_size or use a queue"
            )
        return gather_rows(keys_XE), owners_B[:, None] == gather_rows(key_owners_X)[None, :]

    def after_step(self, progress: float) -> None:
        """Move the momentum encoder, eq. 12, and store the keys of the step."""
        self.key_encoder.follow(self.online, momentum=self.config.momentum)
        for queue_name, keys_XE, owners_X in self._pending:
            queue = self.get_submodule(queue_name)
            assert isinstance(queue, KeyQueue)
            queue.enqueue(keys_XE, owners_X)
        self._pending.clear()


def _run_frames(network: Callable[[Tensor], Tensor], frames_BNCHW: Tensor) -> Tensor:
    features_FD = network(frames_BNCHW.flatten(0, 1))
    return features_FD.reshape(*frames_BNCHW.shape[:2], -1)


def _reorder(embeddings_BNE: Tensor, order_BN: Tensor) -> Tensor:
    rows_B1 = torch.arange(len(order_BN), device=order_BN.device)[:, None]
    return embeddings_BNE[rows_B1, order_BN]
