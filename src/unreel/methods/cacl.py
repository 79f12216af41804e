"""Cross-architecture contrast: a 3D CNN and a video transformer find each other's view of a clip.

Both see every clip beside a shuffled copy; the CNN also tells how far the copy is from the clip.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from unreel.augment.shuffle import sample_shuffles
from unreel.augment.shuffle_degree import count_degree_classes, degree_to_class
from unreel.data.batch import VideoBatch
from unreel.distributed import gather_rows
from unreel.losses.contrastive import retrieval_accuracy
from unreel.losses.cross_architecture import cross_architecture_loss, pair_similarities
from unreel.methods.cacl_settings import RANDOM_FRAMES, UNNORMALIZED, CACLSettings
from unreel.methods.method import Method, StepOutput
from unreel.models.backbone import Backbone
from unreel.models.batch_norm import forward_shuffled
from unreel.models.frame_transformer import FrameTransformer
from unreel.models.frozen_frames import FrozenFrames
from unreel.models.momentum import MomentumEncoder
from unreel.models.queue import KeyQueue
from unreel.models.shuffle_pair import NUM_COPIES, DegreeHead, PairEncoder, pair_clips, pair_frames
from unreel.models.weight_matching import LoadReport
from unreel.models.weights import load_backbone_weights, read_normalization
from unreel.models.zoo import build_backbone

# B batch, C channels, T frames, H W pixels, D features, E embedding, P positive pairs, K negatives

_KEYS = ("gk", "tk")


@dataclass(frozen=True)
class CACLViews:
    """Two augmented clips of each video and how both are shuffled.

    Attributes:
        query_BCTHW: what the online networks see, without its shuffled copy.
        key_BCTHW: what the momentum encoders see; None when nothing is contrasted.
        order_BT: int64, frame of the clip that the copy shows at each position.
        degree_class_B: int64, class of the edit distance between clip and copy.
        owners_B: row of each video in the catalog.
    """

    query_BCTHW: Tensor
    key_BCTHW: Tensor | None
    order_BT: Tensor
    degree_class_B: Tensor
    owners_B: Tensor


class CACL(Method):
    """Contrast across architectures and shuffle-degree prediction, each with a weight of its own.

    Reference: CACL, eq. 1 to 6; which rows of its Tables 1 and 2 are which settings is in docs/methods.md.
    """

    @dataclass(frozen=True)
    class Config(CACLSettings):
        """Settings of `CACL`; the defaults are the paper's."""

        def build(self) -> "CACL":
            """Build the method with fresh weights from torch's global generator."""
            return CACL(self)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        num_frames = config.clips.num_frames
        self.cnn = PairEncoder(
            build_backbone(config.backbone), config.embedding_dim, hidden_dim=config.hidden_dim
        )
        self._pending: list[tuple[list[Tensor], Tensor]] = []
        if config.degree_weight:
            self.degree_head = DegreeHead(
                self.cnn.num_features,
                count_degree_classes(num_frames),
                hidden_dim=config.degree_hidden_dim,
                dropout_prob=config.degree_dropout_prob,
            )
        if config.has_transformer:
            self.frames = FrozenFrames(
                config.frame_network.build(),
                view_mean=config.augmentation.mean,
                view_std=config.augmentation.std,
                mean=config.frame_mean,
                std=config.frame_std,
            )
            self.transformer = FrameTransformer(
                config.transformer,
                num_features=self.frames.num_features,
                num_tokens=NUM_COPIES * num_frames,
                embedding_dim=config.embedding_dim,
            )
            self.key_transformer = MomentumEncoder(self.transformer)
            # Without Tq in a pair nothing ever reaches the transformer; it stays as it was drawn.
            self.transformer.requires_grad_(any("tq" in pair for pair in config.pairs))
        if config.has_contrast:
            self.key_cnn = MomentumEncoder(self.cnn)
            if config.queue_length:
                self.queue = KeyQueue(config.queue_length, config.embedding_dim)
        else:
            self.cnn.head.requires_grad_(False)

    @property
    def backbone(self) -> Backbone:
        """The 3D CNN."""
        return self.cnn.backbone

    def load_initial_weights(self) -> dict[str, LoadReport]:
        """Load the frame network.

        Raises:
            ValueError: no weights are named, or they want pixels that are normalised in another way.
            WeightsError: the file cannot be read or does not fill all of ``frame_network``.
        """
        weights = self.config.frame_weights
        if not self.config.has_transformer or str(weights) == RANDOM_FRAMES:
            return {}
        if weights == Path():
            raise ValueError(
                "method.frame_weights is missing: the transformer needs a trained frame network. Train one "
                "on the same videos (`unreel pretrain frame_moco.ucf101 --run runs/frames ...`; "
                "frame_moco.small goes with cacl.small), then give --method.frame_weights "
                "runs/frames/encoder, or the file of a MoCo or torchvision ResNet; the word "
                f'"{RANDOM_FRAMES}" leaves the network random'
            )
        expected = (self.config.frame_mean, self.config.frame_std)
        trained = read_normalization(weights)
        if trained not in (None, expected) and expected != UNNORMALIZED:
            raise ValueError(
                f"method.frame_mean and method.frame_std are {expected}, but {weights} was trained with "
                f"{trained}; give it these (mean 0 and std 1 leave its pixels as they are, on purpose)"
            )
        return {"frame_network": load_backbone_weights(self.frames.backbone, weights, min_share=1.0)}

    def make_views(self, batch: VideoBatch) -> CACLViews:
        """Augment the first clip to the query and the last one to the key; draw one shuffle for both."""
        config, device = self.config, batch.frames_BNTHWC.device
        shuffles = sample_shuffles(config.clips.num_frames, batch.generator("shuffle"), config.shuffle)
        query_BCTHW = config.augmentation.apply(
            batch.frames_BNTHWC[:, 0], batch.generator("query"), sizes_B2=batch.sizes_B2
        )
        key_BCTHW = None
        if config.has_contrast:
            key_BCTHW = config.augmentation.apply(
                batch.frames_BNTHWC[:, -1], batch.generator("key"), sizes_B2=batch.sizes_B2
            )
        return CACLViews(
            query_BCTHW=query_BCTHW,
            key_BCTHW=key_BCTHW,
            order_BT=torch.from_numpy(shuffles.order_BT).to(device, non_blocking=True),
            degree_class_B=torch.from_numpy(degree_to_class(shuffles.degree_B)).to(device, non_blocking=True),
            owners_B=batch.video_index_B,
        )

    def forward(self, views: CACLViews) -> StepOutput:
        """Compute the weighted sum of eq. 4 and eq. 6."""
        features_BD = self.cnn.extract_features(pair_clips(views.query_BCTHW, views.order_BT))
        losses, terms = [], dict[str, Tensor]()
        if self.config.has_contrast:
            embeddings = self._embed_query(features_BD, views) | self._embed_key(views)
            contrast = self._contrast(embeddings, views.owners_B)
            keys = [embeddings[name] for name in _KEYS if name in embeddings]
            self._pending.append((keys, views.owners_B))
            losses.append(self.config.contrast_weight * contrast)
            terms |= {"contrast": contrast.detach(), **self._describe(embeddings)}
        if self.config.degree_weight:
            logits_BN = self.degree_head(features_BD)
            degree = F.cross_entropy(logits_BN, views.degree_class_B)
            is_right_B = logits_BN.detach().argmax(dim=1) == views.degree_class_B
            losses.append(self.config.degree_weight * degree)
            terms |= {"degree": degree.detach(), "degree_accuracy": is_right_B.float().mean()}
        return StepOutput(torch.stack(losses).sum(), terms)

    def _embed_query(self, features_BD: Tensor, views: CACLViews) -> dict[str, Tensor]:
        embeddings = {"gq": self.cnn.head(features_BD)}
        if self.config.has_transformer and any("tq" in pair for pair in self.config.pairs):
            embeddings["tq"] = self.transformer(self._frame_tokens(views.query_BCTHW, views.order_BT))
        return embeddings

    @torch.no_grad()
    def _embed_key(self, views: CACLViews) -> dict[str, Tensor]:
        assert views.key_BCTHW is not None
        is_swapped = self.config.swap_key_order

        def embed_pairs(clips_BCTHW: Tensor, order_BT: Tensor) -> Tensor:
            embedding_BE: Tensor = self.key_cnn(pair_clips(clips_BCTHW, order_BT, is_swapped=is_swapped))
            return embedding_BE

        group_size = self.config.shuffle_bn_group if self.training else 0
        key_BE = forward_shuffled(embed_pairs, views.key_BCTHW, views.order_BT, group_size=group_size)
        embeddings = {"gk": key_BE}
        if self.config.has_transformer:
            tokens_BTD = self._frame_tokens(views.key_BCTHW, views.order_BT, is_swapped=is_swapped)
            embeddings["tk"] = self.key_transformer(tokens_BTD)
        return embeddings

    def _frame_tokens(self, clips_BCTHW: Tensor, order_BT: Tensor, *, is_swapped: bool = False) -> Tensor:
        """Run the frozen network once over the clip; the shuffled copy's features are the same, permuted."""
        return pair_frames(self.frames(clips_BCTHW), order_BT, is_swapped=is_swapped).flatten(1, 2)

    def _contrast(self, embeddings: Mapping[str, Tensor], owners_B: Tensor) -> Tensor:
        negatives_KE, excluded_BK = self._negatives(embeddings, owners_B)
        return cross_architecture_loss(
            embeddings,
            negatives_KE,
            self.config.pairs,
            temperature=self.config.temperature,
            form=self.config.positives,
            excluded_BK=excluded_BK,
        )

    def _negatives(self, embeddings: Mapping[str, Tensor], owners_B: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the keys that ``gq`` is contrasted with, and which of them are of the row's own video.

        Raises:
            ValueError: there is neither a queue nor another video.
        """
        if self.config.queue_length:
            is_excluding = self.config.exclude_own_keys
            return self.queue.keys_KD, self.queue.excluded(owners_B) if is_excluding else None
        keys = [gather_rows(embeddings[name]) for name in _KEYS if name in embeddings]
        owners_G = gather_rows(owners_B).repeat(len(keys))
        if len(keys[0]) < 2:
            raise ValueError(
                "method.queue_length = 0 takes the other videos of a part of the batch as negatives, and "
                "there is none; lower train.accumulate, raise train.batch_size or use a queue"
            )
        return torch.cat(keys), owners_B[:, None] == owners_G[None, :]

    @torch.no_grad()
    def _describe(self, embeddings: Mapping[str, Tensor]) -> dict[str, Tensor]:
        similarities = pair_similarities(embeddings, self.config.pairs)
        accuracies = {"batch_accuracy": retrieval_accuracy(embeddings["gq"], embeddings["gk"])}
        if "tq" in embeddings:
            accuracies["transformer_accuracy"] = retrieval_accuracy(embeddings["tq"], embeddings["tk"])
        return {
            **{f"similarity_{pair}": value_B.mean() for pair, value_B in similarities.items()},
            **accuracies,
        }

    @torch.no_grad()
    def embed(self, views: CACLViews) -> dict[str, Tensor]:
        """Return ``gq`` and ``gk``, and with a transformer ``tk`` and, if a pair has it, ``tq``.

        Queue and momentum encoders stay as they are; in evaluation mode nothing at all changes.
        """
        features_BD = self.cnn.extract_features(pair_clips(views.query_BCTHW, views.order_BT))
        return self._embed_query(features_BD, views) | self._embed_key(views)

    @torch.no_grad()
    def predict_degree(self, views: CACLViews) -> Tensor:
        """Return the logits of the shuffle degree, shape (B, number of classes)."""
        pairs_B2CTHW = pair_clips(views.query_BCTHW, views.order_BT)
        logits_BN: Tensor = self.degree_head(self.cnn.extract_features(pairs_B2CTHW))
        return logits_BN

    @torch.no_grad()
    def attention(self, views: CACLViews, *, block: int) -> Tensor:
        """Return the attention of a block of the transformer, shape (B, heads, 1 + 2 T, 1 + 2 T)."""
        tokens_BTD = self._frame_tokens(views.query_BCTHW, views.order_BT)
        return self.transformer.attention(tokens_BTD, block=block)

    def after_step(self, progress: float) -> None:
        """Move the momentum encoders and store the keys of the step, the CNN's first."""
        config = self.config
        if not config.has_contrast:
            return
        self.key_cnn.follow(self.cnn, momentum=config.momentum)
        if config.has_transformer:
            self.key_transformer.follow(self.transformer, momentum=config.momentum)
        for keys, owners_B in self._pending:
            for keys_BE in keys if config.queue_length else ():
                self.queue.enqueue(keys_BE, owners_B)
        self._pending.clear()
