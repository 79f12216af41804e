"""The step of VCLR and of SeCo as one would write it first: the other side of benchmarks/vclr_step.py.

Frames are augmented video by video on the CPU, and the networks run once for every view and every loss.
"""

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor

from unreel.data.batch import VideoBatch
from unreel.losses.frames import concat_for_order
from unreel.methods.frame_tasks import contrast_within_videos
from unreel.methods.frame_views import augment_frames
from unreel.methods.loss_weights import sum_losses
from unreel.methods.seco import SeCo
from unreel.methods.tuple_tasks import OrderQuestion, ask_for_order
from unreel.methods.vclr import VCLR
from unreel.models.batch_norm import forward_shuffled
from unreel.models.multi_head import project_keys

# B videos, P frames of a view, T frames of a plan, N frames of a tuple, C channels, H W pixels

Frames = VCLR | SeCo
Views = dict[str, Tensor]


def take_video(batch: VideoBatch, row: int) -> VideoBatch:
    names = ("frames_BNTHWC", "sizes_B2", "video_index_B", "frame_index_BNT", "labels_B", "keys_B")
    return dataclasses.replace(batch, **{name: getattr(batch, name)[row : row + 1] for name in names})


class PlainNetworks:
    """Run a backbone and a head over pictures, from the start every time that a loss asks."""

    def __init__(self, method: Frames) -> None:
        self._method = method

    def query(self, name: str, pictures_BPCHW: Tensor, *, is_average: bool = False) -> Tensor:
        """Return embeddings of the online network, (B, P, E), or one of the average, (B, E)."""
        clips = pictures_BPCHW.flatten(0, 1).unsqueeze(2)
        features_BPD = self._method.online(clips).unflatten(0, pictures_BPCHW.shape[:2])
        return self._method.online.project(name, features_BPD.float().mean(1) if is_average else features_BPD)

    @torch.no_grad()
    def key(self, name: str, pictures_BPCHW: Tensor, *, is_average: bool = False) -> Tensor:
        """Return embeddings of the momentum encoder, likewise."""
        method = self._method
        group_size = method.config.shuffle_bn_group if method.training else 0
        clips = pictures_BPCHW.flatten(0, 1).unsqueeze(2)
        features_XD = forward_shuffled(method.key_encoder, clips, group_size=group_size)
        features_BPD = features_XD.unflatten(0, pictures_BPCHW.shape[:2])
        return project_keys(
            method.key_encoder, name, features_BPD.float().mean(1) if is_average else features_BPD
        )


def make_plain_views(method: Frames, batch: VideoBatch) -> Views:
    """Augment video by video on the CPU, every view by itself."""
    videos = [take_video(batch, row) for row in range(len(batch))]

    def augment(frames_BPHWC: Tensor, purpose: str) -> Tensor:
        augmentation = method.config.augmentation
        views = [
            augment_frames(augmentation, video, frames_BPHWC[row : row + 1], purpose)
            for row, video in enumerate(videos)
        ]
        return torch.cat(views)

    rows, first_BTHWC = torch.arange(len(batch)), batch.frames_BNTHWC[:, 0]
    if isinstance(method, SeCo):
        frame_BT = batch.frame_index_BNT[:, 0]
        return {
            "query": augment(first_BTHWC[:, :1], "query"),
            "twin": augment(first_BTHWC[:, :1], "twin"),
            "others": augment(first_BTHWC[:, 1:], "others"),
            "answer": (frame_BT[:, 0] > frame_BT[:, 1]).long(),
        }
    num_segments = method.config.num_segments
    place_B = torch.from_numpy(batch.generator("query").bernoulli(0.5)).long() * (num_segments - 1)
    question = ask_for_order(batch, num_segments)
    anchor, positive = augment(first_BTHWC, "anchor"), augment(batch.frames_BNTHWC[:, 1], "positive")
    others_BP = torch.tensor([[place for place in range(num_segments) if place != own] for own in place_B])
    return {
        "query": anchor[rows, place_B][:, None],
        "twin": augment(first_BTHWC[rows, place_B][:, None], "twin"),
        "others": anchor[rows[:, None], others_BP],
        "anchor": anchor,
        "positive": positive,
        "shuffled anchor": anchor[rows[:, None], question.anchor_order_BN],
        "shuffled positive": positive[rows[:, None], question.positive_order_BN],
        "answer": question.answer_B,
    }


def run_plainly(method: Frames, views: Views, owners_B: Tensor) -> Tensor:
    networks, config = PlainNetworks(method), method.config

    def embed(name: str) -> tuple[Tensor, Tensor]:
        keys = [networks.key(name, views["twin"]), networks.key(name, views["others"])]
        return networks.query(name, views["query"])[:, 0], torch.cat(keys, dim=1)

    assert method.inter is not None
    results = {
        "inter": method.inter(*embed("inter"), owners_B),
        "intra": contrast_within_videos(
            *embed("intra"), temperature=config.temperature, form=config.intra_form
        ),
    }
    if isinstance(method, SeCo):
        assert method.order_classifier is not None
        sides = concat_for_order(
            networks.query("order", views["query"]), networks.key("order", views["others"])
        )
        loss = F.cross_entropy(method.order_classifier(sides), views["answer"])
        results["order"] = loss, loss.detach()
        return sum_losses(config, results).loss
    assert method.video is not None
    assert method.order is not None
    results["video"] = method.video(
        networks.query("video", views["anchor"], is_average=True),
        networks.key("video", views["positive"], is_average=True),
        owners_B,
    )
    as_shown_BN = torch.arange(method.config.num_segments, device=owners_B.device).expand(len(owners_B), -1)
    results["order"] = method.order(
        networks.query("order", views["shuffled anchor"]),
        networks.key("order", views["shuffled positive"]),
        OrderQuestion(as_shown_BN, as_shown_BN, views["answer"]),
    )
    return sum_losses(config, results).loss
