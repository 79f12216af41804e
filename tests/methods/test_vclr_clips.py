import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.losses.test_contrastive import cosine
from tests.methods.batches import make_batch
from unreel.augment.compose import ClipAugmentation
from unreel.data.batch import VideoBatch
from unreel.data.clips import RandomClips
from unreel.data.segment_clips import ClipPairAndSegments, SegmentClips
from unreel.methods.moco import MoCo
from unreel.methods.vclr_clips import VCLRClips, VCLRClipsViews
from unreel.models.queue import KeyQueue
from unreel.models.r2d3d import R2D3DConfig
from unreel.models.r3d_50 import R3D50Config
from unreel.models.r3d_plus1 import R3DPlus1Config
from unreel.models.resnet3d import R2Plus1DConfig, R3DConfig
from unreel.models.s3d import S3DConfig
from unreel.models.zoo import BackboneConfig

CONFIG = VCLRClips.Config(
    clips=ClipPairAndSegments(3, num_frames=4),
    augmentation=ClipAugmentation(size_px=16),
    backbone=R3DConfig(depth=10, width=0.125),
    embedding_dim=8,
    hidden_dim=16,
    queue_length=24,
    shuffle_bn_group=0,
)
LOSSES = ("clip", "video", "order")
TEMPERATURES = {"clip": 0.07, "video": 0.1}


def only(*losses: str) -> dict[str, Any]:
    return {f"{name}_weight": float(name in losses) for name in LOSSES}


SUBSETS = [only(*names) for count in (1, 2, 3) for names in itertools.combinations(LOSSES, count)]


def build(**changes: Any) -> VCLRClips:
    torch.manual_seed(0)
    return replace(CONFIG, **changes).build().train()


def batch_of(method: VCLRClips, count: int = 4, **options: Any) -> VideoBatch:
    return make_batch(count, clips=method.config.clips.num_clips, frames=4, **options)


def views_of(method: VCLRClips, count: int = 4, **options: Any) -> VCLRClipsViews:
    return method.make_views(batch_of(method, count, **options))


def queue_of(method: VCLRClips, name: str) -> KeyQueue:
    queue = method.get_submodule(name).negatives.queue
    assert isinstance(queue, KeyQueue)
    return queue


def move_keys(method: VCLRClips) -> None:
    """Make the momentum encoder another network than the online one, so that a mix-up shows."""
    with torch.no_grad():
        for weight in method.key_encoder.parameters():
            weight.add_(0.02 * torch.randn_like(weight))


def embed(network: Any, name: str, *clips_CTHW: Tensor) -> list[float]:
    """Return the embedding of the average of some clips, each seen alone, as plain numbers."""
    with torch.no_grad():
        features = [network(clip[None])[0] for clip in clips_CTHW]
        mean = sum(features[1:], features[0]) / len(features)
        return network.project(name, mean[None])[0].tolist()


def unit(values: list[float]) -> list[float]:
    length = math.sqrt(sum(value * value for value in values))
    return [value / length for value in values]


def info_nce(query: list[float], key: list[float], others: list[list[float]], tau: float) -> float:
    pull = math.exp(cosine(query, key) / tau)
    return -math.log(pull / (pull + sum(math.exp(cosine(query, other) / tau) for other in others)))


def scalar_losses(method: VCLRClips, views: VCLRClipsViews, row: int) -> dict[str, float]:
    """The losses of one video, clip by clip."""
    online, slow = method.online, method.key_encoder.network
    (query, *anchor), (key, *positive) = views.online_BMCTHW[row], views.keys_BMCTHW[row]
    assert views.order is not None
    contrasts = {
        name: info_nce(
            embed(online, name, *seen),
            embed(slow, name, *kept),
            queue_of(method, name).keys_KD.tolist(),
            TEMPERATURES[name],
        )
        for name, seen, kept in (("clip", [query], [key]), ("video", anchor, positive))
    }
    joined: list[float] = []
    for network, clips, order in (
        (online, anchor, views.order.anchor_order_BN[row]),
        (slow, positive, views.order.positive_order_BN[row]),
    ):
        for n in order.tolist():  # the clips themselves are shuffled here
            joined += unit(embed(network, "order", clips[n]))
    assert method.order is not None
    linear = method.order.classifier.layers[0]
    logits = [
        sum(w * x for w, x in zip(weights, joined, strict=True)) + bias
        for weights, bias in zip(linear.weight.tolist(), linear.bias.tolist(), strict=True)
    ]
    order = math.log(sum(math.exp(logit) for logit in logits)) - logits[int(views.order.answer_B[row])]
    return {**contrasts, "order": order}


def test_every_loss_is_its_equation_worked_out_clip_by_clip() -> None:
    """In evaluation mode, where a clip's features do not depend on its batch."""
    method = build().eval()
    move_keys(method)
    views = views_of(method)
    assert views.order is not None
    assert len(set(views.order.answer_B.tolist())) > 1
    output = method(views)
    rows = [scalar_losses(method, views, row) for row in range(4)]
    for name in LOSSES:
        expected = sum(row[name] for row in rows) / 4
        assert output.terms[name].item() == pytest.approx(expected, rel=1e-4), name
    total = sum(sum(row.values()) for row in rows) / 4
    assert output.loss.item() == pytest.approx(total, rel=1e-4)


def test_the_loss_is_the_weighted_sum_of_its_parts() -> None:
    weights = {"clip_weight": 0.5, "video_weight": 3.0, "order_weight": 0.25}
    output = build(**weights)(views_of(build()))
    expected = sum(weights[f"{name}_weight"] * output.terms[name] for name in LOSSES)
    assert output.loss.item() == pytest.approx(float(expected), rel=1e-6)
    assert set(output.terms) == {*LOSSES, *(f"{name}_accuracy" for name in LOSSES)}


def test_without_differences_every_loss_is_at_chance() -> None:
    """All embeddings and all keys are the same vector: log 2049 = 7.6251 twice, and log 4 = 1.3863."""
    method = build(queue_length=2048)
    with torch.no_grad():
        for head in (*method.online.heads.values(), *method.key_encoder.network.heads.values()):
            head.layers[-1].weight.zero_()
            head.layers[-1].bias.copy_(torch.eye(8)[0])
        for name in ("clip", "video"):
            queue_of(method, name).keys_KD.copy_(torch.eye(8)[0].expand(2048, -1))
        assert method.order is not None
        for weight in method.order.parameters():
            weight.zero_()
    terms = method(views_of(method)).terms
    expected = {"clip": 7.6251, "video": 7.6251, "order": 1.3863}
    assert {name: terms[name].item() for name in LOSSES} == pytest.approx(expected, abs=6e-5)


def test_clips_alone_are_momentum_contrast() -> None:
    """The same weights, clips, keys and queue give the same loss, gradient and next keys as `MoCo`."""
    method = build(**only("clip"), clips=ClipPairAndSegments(0, num_frames=4), shuffle_bn_group=2)
    config = MoCo.Config(
        clips=RandomClips(count=2, num_frames=4),
        augmentation=CONFIG.augmentation,
        backbone=CONFIG.backbone,
        embedding_dim=8,
        hidden_dim=16,
        temperature=0.07,
        queue_length=24,
        shuffle_bn_group=2,
    )
    moco = config.build().train()
    for ours, theirs in (
        (method.online, moco.online),
        (method.key_encoder.network, moco.key_encoder.network),
    ):
        theirs.get_submodule("backbone").load_state_dict(ours.backbone.state_dict())
        theirs.get_submodule("head").load_state_dict(ours.heads["clip"].state_dict())
    moco.queue.load_state_dict(queue_of(method, "clip").state_dict())
    for step in range(2):
        losses = []
        for learner in (method, moco):
            torch.manual_seed(step)  # Shuffle-BN draws from it
            learner.zero_grad()
            output = learner(learner.make_views(batch_of(method, seed=step)))
            output.loss.backward()
            learner.after_step(0.5)
            losses.append(output.loss.item())
        # Heads run over the whole batch here and over Shuffle-BN's groups there: rounding differs.
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
        for mine, other in zip(method.online.parameters(), moco.online.parameters(), strict=True):
            torch.testing.assert_close(mine.grad, other.grad)
        torch.testing.assert_close(queue_of(method, "clip").keys_KD, moco.queue.keys_KD)


@pytest.mark.parametrize(
    ("changes", "clips"),
    [
        ({}, 4),
        (only("clip", "video"), 4),
        (only("clip"), 1),
        (only("video"), 3),
        (only("order"), 3),
        ({"clips": ClipPairAndSegments(5, num_frames=4)}, 6),
        (only("video", "order") | {"clips": SegmentClips(2, num_frames=4)}, 2),
    ],
)
def test_each_network_sees_every_clip_once_and_all_in_one_pass(changes: dict[str, Any], clips: int) -> None:
    method = build(**changes)
    seen: dict[str, list[tuple[int, ...]]] = {"online": [], "keys": []}
    for name, network in (("online", method.online), ("keys", method.key_encoder.network)):
        assert isinstance(network.backbone, nn.Module)
        network.backbone.register_forward_hook(
            lambda _, inputs, __, name=name: seen[name].append(tuple(inputs[0].shape))
        )
    method(views_of(method))
    assert seen == {"online": [(4 * clips, 3, 4, 16, 16)], "keys": [(4 * clips, 3, 4, 16, 16)]}


@pytest.mark.parametrize(
    ("name", "is_reached"),
    [
        ("clip", [True, False, False, False]),
        ("video", [False, True, True, True]),
        ("order", [False, True, True, True]),
    ],
)
def test_clips_get_gradient_from_the_losses_that_look_at_them(name: str, is_reached: list[bool]) -> None:
    """Keys give none; a loss touches its own head alone."""
    method = build().eval()
    views = views_of(method)
    views.online_BMCTHW.requires_grad_()
    views.keys_BMCTHW.requires_grad_()
    method.config = replace(method.config, **{f"{other}_weight": 0.0 for other in LOSSES if other != name})
    method(views).loss.backward()
    assert views.online_BMCTHW.grad is not None
    reached_BM = views.online_BMCTHW.grad.abs().sum(dim=(2, 3, 4, 5)) > 0
    assert torch.equal(reached_BM, torch.tensor(is_reached).expand(4, 4))
    assert views.keys_BMCTHW.grad is None
    assert all(weight.grad is None for weight in method.key_encoder.parameters())
    for head_name, head in method.online.heads.items():
        has_gradient = any(weight.grad is not None and weight.grad.any() for weight in head.parameters())
        assert has_gradient is (head_name == name), head_name
    assert method.order is not None
    assert all(
        (w.grad is not None and bool(w.grad.any())) is (name == "order") for w in method.order.parameters()
    )


@pytest.mark.parametrize("changes", [*SUBSETS, {"queue_length": 0}], ids=str)
def test_every_parameter_that_wants_gradient_gets_it(changes: dict[str, Any]) -> None:
    """Training with several processes waits for every gradient, so none may be missing."""
    method = build(**changes)
    method(views_of(method)).loss.backward()
    assert [n for n, p in method.named_parameters() if p.requires_grad and p.grad is None] == []
    assert not any(weight.requires_grad for weight in method.key_encoder.parameters())
    method.after_step(0.5)


@pytest.mark.parametrize("losses", [("clip",), ("video",), ("order",), LOSSES])
def test_a_loss_of_weight_0_has_neither_head_nor_queue(losses: tuple[str, ...]) -> None:
    method = build(**only(*losses))
    assert tuple(method.online.heads) == tuple(method.key_encoder.network.heads) == losses
    parts = {"clip": method.clip, "video": method.video, "order": method.order}
    assert {name for name, part in parts.items() if part is not None} == set(losses)
    assert {name for name in method(views_of(method)).terms if "_" not in name} == set(losses)


@pytest.mark.parametrize(
    "backbone",
    [
        S3DConfig(width=0.125),
        R3D50Config(width=0.125),
        R3DConfig(depth=18, width=0.125),
        R2Plus1DConfig(depth=10, width=0.125),
        R2D3DConfig(width=0.125),
        R3DPlus1Config(width=0.125),
    ],
    ids=lambda config: config.architecture,
)
def test_every_3d_network_fits(backbone: BackboneConfig) -> None:
    clips = ClipPairAndSegments(2, num_frames=8)
    method = build(backbone=backbone, clips=clips, augmentation=ClipAugmentation(size_px=32))
    output = method(method.make_views(make_batch(2, clips=6, frames=8, size=36)))
    output.loss.backward()
    assert torch.isfinite(output.loss)
    assert method.online.heads["clip"].layers[0].in_features == method.backbone.num_features


def test_s3d_has_the_sizes_of_coclr() -> None:
    """A head per loss of 1024 x 1024 + 1024 and 1024 x 128 + 128; four classes of 2 x 3 x 128 numbers."""
    method = VCLRClips.Config().build()

    def count(part: nn.Module) -> int:
        return sum(weight.numel() for weight in part.parameters())

    assert count(method.backbone) == 7_910_048
    assert [count(head) for head in method.online.heads.values()] == [1_049_600 + 131_200] * 3
    assert method.order is not None
    assert count(method.order) == 4 * 768 + 4
    assert queue_of(method, "clip").keys_KD.shape == queue_of(method, "video").keys_KD.shape == (2048, 128)


def test_after_a_step_the_momentum_encoder_moves_by_a_thousandth() -> None:
    method = build()
    before = [weight.clone() for weight in method.key_encoder.parameters()]
    with torch.no_grad():
        for weight in method.online.parameters():
            weight.add_(torch.randn_like(weight))
    method.after_step(0.5)
    online = method.online.parameters()
    for old, new, now in zip(before, method.key_encoder.parameters(), online, strict=True):
        torch.testing.assert_close(new.double(), 0.999 * old.double() + 0.001 * now.double())


def test_the_queues_take_one_clip_and_one_average_of_each_video() -> None:
    method = build()
    views = views_of(method)
    before = {name: queue_of(method, name).keys_KD.clone() for name in ("clip", "video")}
    method(views)
    for name, keys in before.items():  # the loss of a step never sees its own keys
        assert torch.equal(queue_of(method, name).keys_KD, keys)
    method.after_step(0.5)
    _, keys_BMD = build()._extract(views)
    slow = build().key_encoder.network
    for name, features in (("clip", keys_BMD[:, 0]), ("video", keys_BMD[:, 1:].mean(dim=1))):
        queue = queue_of(method, name)
        assert queue.owners_K[:5].tolist() == [0, 1, 2, 3, -1]
        torch.testing.assert_close(queue.keys_KD[:4], F.normalize(slow.project(name, features), dim=1))


def test_every_part_of_an_accumulated_batch_enters_the_queues() -> None:
    method = build()
    for first_video in (0, 4):
        method(views_of(method, first_video=first_video))
    method.after_step(0.5)
    for name in ("clip", "video"):
        assert queue_of(method, name).owners_K[:9].tolist() == [*range(8), -1]


@pytest.mark.parametrize("name", ["clip", "video"])
@pytest.mark.parametrize("is_excluding", [True, False])
def test_a_video_that_comes_round_again_is_not_its_own_negative(name: str, is_excluding: bool) -> None:
    method = build(**only(name), queue_length=4, exclude_own_keys=is_excluding, momentum=1.0)
    views = replace(views_of(method), owners_B=torch.zeros(4, dtype=torch.long))
    method(views)
    method.after_step(0.5)
    assert (method(views).loss.item() == 0.0) is is_excluding


def test_without_queues_the_other_videos_of_the_batch_are_the_negatives() -> None:
    method = build(queue_length=0).eval()
    move_keys(method)
    views = views_of(method)
    terms = method(views).terms
    assert not [name for name in method.state_dict() if "queue" in name]
    for name, clips in (("clip", slice(0, 1)), ("video", slice(1, 4))):
        queries = [embed(method.online, name, *row[clips]) for row in views.online_BMCTHW]
        keys = [embed(method.key_encoder.network, name, *row[clips]) for row in views.keys_BMCTHW]
        loss = 0.0
        for row in range(4):
            others = [key for other, key in enumerate(keys) if other != row]
            loss += info_nce(queries[row], keys[row], others, TEMPERATURES[name]) / 4
        assert terms[name].item() == pytest.approx(loss, rel=1e-4), name
    with pytest.raises(ValueError, match=r"method.queue_length = 0 takes the other videos"):
        method(views_of(method, 1))


def test_shuffle_bn_leaves_the_queries_alone_and_changes_the_keys() -> None:
    views = views_of(build())
    one, other = build()._extract(views), build(shuffle_bn_group=8)._extract(views)
    torch.testing.assert_close(one[0], other[0])
    assert not torch.allclose(one[1], other[1])
    fixed = build().eval()._extract(views)[1], build(shuffle_bn_group=8).eval()._extract(views)[1]
    torch.testing.assert_close(*fixed)


def test_half_precision_ends_before_embeddings_and_losses() -> None:
    method = build()
    views = views_of(method)
    with torch.autocast("cpu", torch.bfloat16):
        output = method(views)
    assert output.loss.dtype == torch.float32
    assert {value.dtype for value in output.terms.values()} == {torch.float32}
    output.loss.backward()
    method.after_step(0.5)
    assert output.loss.item() == pytest.approx(build()(views).loss.item(), rel=0.05)


def test_videos_are_told_apart_by_a_tiny_network() -> None:
    """Eight videos, each of one colour and some noise: 40 steps bring both contrasts well below log 8."""
    still = ClipAugmentation.only_crop(16, mean=(0.5,) * 3, std=(0.25,) * 3)
    method = build(**only("clip", "video"), augmentation=still, queue_length=0, momentum=0.9)
    optimizer = torch.optim.AdamW(method.parameters(), lr=2e-3)
    colors = torch.randint(0, 220, (8, 1, 1, 1, 1, 3), generator=torch.Generator().manual_seed(1))
    terms: dict[str, Tensor] = {}
    for step in range(40):
        batch = batch_of(method, 8, seed=step)
        drift = batch.frames_BNTHWC % 36  # a little noise
        batch = replace(batch, frames_BNTHWC=(colors + drift).to(torch.uint8))
        output = method(method.make_views(batch))
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        method.after_step((step + 1) / 40)
        terms = output.terms
    assert terms["clip"] < 0.5 * math.log(8)
    assert terms["video"] < 0.5 * math.log(8)
    assert terms["video_accuracy"] > 0.8


@pytest.mark.gpu
def test_a_step_on_a_gpu_agrees_with_the_cpu() -> None:
    """The same weights and videos in full precision; in half precision everything is finite."""
    expected = build()(views_of(build())).terms
    method = build().cuda()
    views = method.make_views(batch_of(method).to(torch.device("cuda")))
    output = method(views)
    for name in LOSSES:
        assert output.terms[name].item() == pytest.approx(expected[name].item(), rel=0.02, abs=0.01)
    with torch.autocast("cuda", torch.bfloat16):
        output = method(views)
    output.loss.backward()
    method.after_step(0.5)
    assert all(torch.isfinite(value) for value in output.terms.values())
    assert queue_of(method, "clip").position.item() == 8
