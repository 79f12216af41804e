import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.losses.test_contrastive import cosine
from tests.methods.batches import make_batch
from tests.models.test_head_weights import moco_file
from unreel.augment.compose import ClipAugmentation
from unreel.data.batch import VideoBatch
from unreel.data.segments import SegmentPairs
from unreel.errors import WeightsError
from unreel.methods.vclr import VCLR, VCLRViews
from unreel.models.heads import ProjectionHead
from unreel.models.resnet2d import ResNetConfig

CONFIG = VCLR.Config(
    augmentation=ClipAugmentation(size_px=32),
    backbone=ResNetConfig(depth=18, width=0.125),
    initial_weights=Path("random"),
    embedding_dim=8,
    hidden_dim=16,
    queue_length=24,
    shuffle_bn_group=0,
)
LOSSES = ("inter", "intra", "video", "order")


def only(*losses: str) -> dict[str, Any]:
    return {f"{name}_weight": float(name in losses) for name in LOSSES}


SUBSETS = [only(*names) for count in range(1, 5) for names in itertools.combinations(LOSSES, count)]


def build(**changes: Any) -> VCLR:
    torch.manual_seed(0)
    return replace(CONFIG, **changes).build().train()


def batch_of(count: int = 4, *, frames: int = 3, clips: int = 2, **options: Any) -> VideoBatch:
    return make_batch(count, clips=clips, frames=frames, size=36, **options)


def views_of(method: VCLR, count: int = 4, **options: Any) -> VCLRViews:
    return method.make_views(batch_of(count, frames=method.config.num_segments, **options))


def embed(network: Any, name: str, frame_CHW: Tensor) -> list[float]:
    """Return the embedding of one frame alone, as plain numbers."""
    with torch.no_grad():
        return network.project(name, network(frame_CHW[None, :, None]))[0].tolist()


def embed_mean(network: Any, frames_NCHW: Tensor) -> list[float]:
    with torch.no_grad():
        features = torch.stack([network(frame[None, :, None])[0] for frame in frames_NCHW])
        return network.project("video", (sum(features) / len(features))[None])[0].tolist()


def unit(values: list[float]) -> list[float]:
    length = math.sqrt(sum(value * value for value in values))
    return [value / length for value in values]


def info_nce(query: list[float], key: list[float], others: list[list[float]]) -> float:
    """VCLR's equation 1 with tau = 0.1."""
    pull = math.exp(cosine(query, key) / 0.1)
    return -math.log(pull / (pull + sum(math.exp(cosine(query, other) / 0.1) for other in others)))


def scalar_losses(method: VCLR, views: VCLRViews, row: int) -> dict[str, float]:
    """Equations 2 to 10 of one video, frame by frame."""
    online, slow = method.online, method.key_encoder.network
    anchor, positive = views.anchor_BNCHW[row], views.positive_BNCHW
    assert positive is not None
    assert views.twin_BCHW is not None
    assert views.order is not None
    place = int(views.query_place_B[row])
    keys = [views.twin_BCHW[row], *(frame for n, frame in enumerate(anchor) if n != place)]
    query = embed(online, "inter", anchor[place])
    queue = method.inter.negatives.queue.keys_KD.tolist()
    inter = [info_nce(query, embed(slow, "inter", key), queue) for key in keys]
    query = embed(online, "intra", anchor[place])
    own, *others = (embed(slow, "intra", key) for key in keys)
    intra = [info_nce(query, own, [other]) for other in others]
    video = info_nce(
        embed_mean(online, anchor),
        embed_mean(slow, positive[row]),
        method.video.negatives.queue.keys_KD.tolist(),
    )
    joined: list[float] = []
    is_over_frames = method.config.official_order_norm
    for network, frames, order in (
        (online, anchor, views.order.anchor_order_BN[row]),
        (slow, positive[row], views.order.positive_order_BN[row]),
    ):
        # The frames themselves are shuffled here.
        embedded = [embed(network, "order", frames[n]) for n in order.tolist()]
        if is_over_frames:
            lengths = [
                math.sqrt(sum(value**2 for value in channel)) for channel in zip(*embedded, strict=True)
            ]
            joined += [value / length for row in embedded for value, length in zip(row, lengths, strict=True)]
        else:
            joined += [value for row in embedded for value in unit(row)]
    linear = method.order.classifier.layers[0]
    logits = [
        sum(w * x for w, x in zip(weights, joined, strict=True)) + bias
        for weights, bias in zip(linear.weight.tolist(), linear.bias.tolist(), strict=True)
    ]
    order = math.log(sum(math.exp(logit) for logit in logits)) - logits[int(views.order.answer_B[row])]
    return {"inter": sum(inter) / 3, "intra": sum(intra) / 2, "video": video, "order": order}


@pytest.mark.parametrize("is_over_frames", [False, True])
def test_every_loss_is_its_equation_worked_out_frame_by_frame(is_over_frames: bool) -> None:
    """In evaluation mode, where a frame's features do not depend on its batch; both norms of the order."""
    method = build(official_order_norm=is_over_frames).eval()
    with torch.no_grad():  # the momentum encoder is another network, so that a mix-up would show
        for weight in method.key_encoder.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    views = views_of(method)
    assert len(set(views.query_place_B.tolist())) == 2
    output = method(views)
    rows = [scalar_losses(method, views, row) for row in range(4)]
    for name in LOSSES:
        expected = sum(row[name] for row in rows) / 4
        assert output.terms[name].item() == pytest.approx(expected, rel=1e-4), name
    total = sum(sum(row.values()) for row in rows) / 4
    assert output.loss.item() == pytest.approx(total, rel=1e-4)


def test_the_joint_form_has_all_other_frames_in_one_softmax() -> None:
    method, official = build(intra_form="joint").eval(), build().eval()
    views = views_of(method)
    with torch.no_grad():
        query, own, *others = (
            network.project("intra", network(frames.unsqueeze(2)))
            for network, frames in (
                (method.online, views.anchor_BNCHW[torch.arange(4), views.query_place_B]),
                (method.key_encoder.network, views.twin_BCHW),
                (method.key_encoder.network, views.anchor_BNCHW[torch.arange(4), 2 - views.query_place_B]),
                (method.key_encoder.network, views.anchor_BNCHW[:, 1]),
            )
        )
    expected = [
        info_nce(q, k, [first, second])
        for q, k, first, second in zip(
            query.tolist(), own.tolist(), others[0].tolist(), others[1].tolist(), strict=True
        )
    ]
    assert method(views).terms["intra"].item() == pytest.approx(sum(expected) / 4, rel=1e-4)
    assert official(views).terms["intra"].item() < method(views).terms["intra"].item()


def test_the_loss_is_the_weighted_sum_of_its_parts() -> None:
    weights = {"inter_weight": 0.5, "intra_weight": 2.0, "video_weight": 3.0, "order_weight": 0.25}
    output = build(**weights)(views_of(build()))
    expected = sum(weights[f"{name}_weight"] * output.terms[name] for name in LOSSES)
    assert output.loss.item() == pytest.approx(float(expected), rel=1e-6)
    assert set(output.terms) == {*LOSSES, *(f"{name}_accuracy" for name in LOSSES)}


@pytest.mark.parametrize(("form", "chance"), [("official", 0.6931), ("joint", 1.0986)])
def test_without_differences_every_loss_is_at_chance(form: Any, chance: float) -> None:
    """All embeddings and all keys are the same vector: log 131073, log 2 or 3, log 131073 and log 4."""
    method = build(queue_length=131_072, intra_form=form)
    with torch.no_grad():
        for head in (*method.online.heads.values(), *method.key_encoder.network.heads.values()):
            head.layers[-1].weight.zero_()
            head.layers[-1].bias.copy_(torch.eye(8)[0])
        for queue in (method.inter.negatives.queue, method.video.negatives.queue):
            queue.keys_KD.copy_(torch.eye(8)[0].expand(131_072, -1))
        for weight in method.order.parameters():
            weight.zero_()
    terms = method(views_of(method)).terms
    expected = {"inter": 11.7835, "intra": chance, "video": 11.7835, "order": 1.3863}
    assert {name: terms[name].item() for name in LOSSES} == pytest.approx(expected, abs=6e-5)


def test_the_full_network_has_the_published_sizes() -> None:
    """ResNet-50 23,508,032, four heads of 4,458,624, classifier 3,076: 41,345,604 weights that learn."""
    method = VCLR.Config().build()

    def count(part: torch.nn.Module) -> int:
        return sum(weight.numel() for weight in part.parameters())

    assert count(method.backbone) == 23_508_032
    assert [count(head) for head in method.online.heads.values()] == [4_458_624] * 4
    assert count(method.order) == 3_076
    assert sum(weight.numel() for weight in method.parameters() if weight.requires_grad) == 41_345_604
    assert count(method.key_encoder) == 41_345_604 - 3_076
    queues = [task.negatives.queue for task in (method.inter, method.video)]
    assert [queue.keys_KD.shape for queue in queues] == [(131_072, 128)] * 2


@pytest.mark.parametrize(
    ("changes", "online", "keys"),
    [
        ({}, 3, 6),  # three anchors; three positives, the twin, two other frames of the anchor
        (only("inter", "intra"), 1, 3),
        (only("video"), 3, 3),
        (only("order"), 3, 3),
        ({"clips": SegmentPairs(5)}, 5, 10),
    ],
)
def test_each_network_sees_every_frame_once(changes: dict[str, Any], online: int, keys: int) -> None:
    method = build(**changes)
    seen: dict[str, list[tuple[int, ...]]] = {"online": [], "keys": []}
    method.online.backbone.register_forward_hook(
        lambda _, inputs, __: seen["online"].append(tuple(inputs[0].shape))
    )
    method.key_encoder.network.backbone.register_forward_hook(
        lambda _, inputs, __: seen["keys"].append(tuple(inputs[0].shape))
    )
    method(views_of(method))
    assert seen == {"online": [(4 * online, 3, 1, 32, 32)], "keys": [(4 * keys, 3, 1, 32, 32)]}


@pytest.mark.parametrize(
    ("name", "is_reached"), [("inter", (True, False)), ("intra", (True, False)), ("video", (True, True))]
)
def test_frames_get_gradient_from_the_losses_that_look_at_them(
    name: str, is_reached: tuple[bool, bool]
) -> None:
    """Of the query and of the other frames of the anchor; keys of the same frames give none."""
    method = build(**only(name)).eval()
    views = views_of(method)
    for frames in (views.anchor_BNCHW, views.positive_BNCHW, views.twin_BCHW):
        if frames is not None:
            frames.requires_grad_()
    method(views).loss.backward()
    assert views.anchor_BNCHW.grad is not None
    reached_BN = views.anchor_BNCHW.grad.abs().sum(dim=(2, 3, 4)) > 0
    is_query_BN = torch.arange(3) == views.query_place_B[:, None]
    assert torch.equal(reached_BN, torch.where(is_query_BN, *is_reached))
    for frames in (views.positive_BNCHW, views.twin_BCHW):
        assert frames is None or frames.grad is None


def test_the_order_gives_gradient_to_the_anchor_tuple_and_the_classifier_alone() -> None:
    method = build(**only("order")).eval()
    views = views_of(method)
    assert views.positive_BNCHW is not None
    views.anchor_BNCHW.requires_grad_()
    views.positive_BNCHW.requires_grad_()
    method(views).loss.backward()
    assert views.anchor_BNCHW.grad is not None
    assert (views.anchor_BNCHW.grad.abs().sum(dim=(2, 3, 4)) > 0).all()
    assert views.positive_BNCHW.grad is None
    assert all(weight.grad is not None for weight in method.order.parameters())
    assert all(weight.grad is None for weight in method.key_encoder.parameters())


@pytest.mark.parametrize(
    "changes",
    [*SUBSETS, {"queue_length": 0}, {"official_order_norm": True}],
    ids=str,
)
def test_every_parameter_that_wants_gradient_gets_it(changes: dict[str, Any]) -> None:
    """Training with several processes waits for every gradient, so none may be missing."""
    method = build(**changes)
    method(views_of(method)).loss.backward()
    assert [n for n, p in method.named_parameters() if p.requires_grad and p.grad is None] == []
    assert not any(weight.requires_grad for weight in method.key_encoder.parameters())
    method.after_step(0.5)


@pytest.mark.parametrize(
    ("losses", "parts"),
    [
        (("inter",), {"inter"}),
        (("intra",), set()),
        (("video",), {"video"}),
        (("order",), {"order"}),
        (LOSSES, {"inter", "video", "order"}),
    ],
)
def test_a_loss_of_weight_0_has_neither_head_nor_queue(losses: tuple[str, ...], parts: set[str]) -> None:
    method = build(**only(*losses))
    assert tuple(method.online.heads) == tuple(method.key_encoder.network.heads) == losses
    assert {name for name, _ in method.named_children()} == {"online", "key_encoder", *parts}
    assert {name for name in method(views_of(method)).terms if "_" not in name} == set(losses)


def test_after_a_step_the_momentum_encoder_moves_by_a_thousandth() -> None:
    """Equation 12 to the digit: 0.999 key + 0.001 online, heads included."""
    method = build()
    before = [weight.clone() for weight in method.key_encoder.parameters()]
    with torch.no_grad():
        for weight in method.online.parameters():
            weight.add_(torch.randn_like(weight))
    method.after_step(0.5)
    online = list(method.online.parameters())
    for old, new, now in zip(before, method.key_encoder.parameters(), online, strict=True):
        torch.testing.assert_close(new.double(), 0.999 * old.double() + 0.001 * now.double())
    assert len(before) == len(online) == 60 + 16  # four heads of two layers behind the backbone's


def test_the_queues_take_three_frames_and_one_video_of_each_sample() -> None:
    method = build()
    before = method.inter.negatives.queue.keys_KD.clone(), method.video.negatives.queue.keys_KD.clone()
    views = views_of(method)
    method(views)
    # The loss of a step never sees its own keys.
    assert torch.equal(method.inter.negatives.queue.keys_KD, before[0])
    assert torch.equal(method.video.negatives.queue.keys_KD, before[1])
    method.after_step(0.5)
    assert method.inter.negatives.queue.position.item() == 12
    assert method.inter.negatives.queue.owners_K[:13].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, -1]
    assert method.video.negatives.queue.position.item() == 4
    assert method.video.negatives.queue.owners_K[:5].tolist() == [0, 1, 2, 3, -1]

    again = build()
    features = again._extract(views)
    expected = again.key_encoder.network.project("inter", features.keys_BPD).flatten(0, 1)
    torch.testing.assert_close(method.inter.negatives.queue.keys_KD[:12], F.normalize(expected, dim=1))
    expected = again.key_encoder.network.project("video", features.positive_BND.mean(dim=1))
    torch.testing.assert_close(method.video.negatives.queue.keys_KD[:4], F.normalize(expected, dim=1))


def test_every_part_of_an_accumulated_batch_enters_the_queues() -> None:
    method = build()
    for first_video in (0, 4):
        method(views_of(method, first_video=first_video))
    method.after_step(0.5)
    assert method.video.negatives.queue.owners_K[:8].tolist() == list(range(8))
    assert method.inter.negatives.queue.owners_K.tolist() == [video for video in range(8) for _ in range(3)]
    method.after_step(0.6)
    assert method.video.negatives.queue.position.item() == 8


@pytest.mark.parametrize("name", ["inter", "video"])
@pytest.mark.parametrize("is_excluding", [True, False])
def test_a_video_that_comes_round_again_is_not_its_own_negative(name: str, is_excluding: bool) -> None:
    length = {"inter": 12, "video": 4}[name]
    method = build(**only(name), queue_length=length, exclude_own_keys=is_excluding, momentum=1.0)
    views = replace(views_of(method), owners_B=torch.zeros(4, dtype=torch.long))
    method(views)
    method.after_step(0.5)
    assert (method(views).loss.item() == 0.0) is is_excluding


def test_without_queues_the_other_videos_of_the_batch_are_the_negatives() -> None:
    method = build(queue_length=0).eval()
    views = views_of(method)
    terms = method(views).terms
    assert method.inter.negatives.queue is None
    features = method._extract(views)
    slow = method.key_encoder.network
    frame_keys = slow.project("inter", features.keys_BPD).tolist()
    frame_queries = method.online.project("inter", features.query_BD).tolist()
    video_keys = slow.project("video", features.positive_BND.mean(dim=1)).tolist()
    video_queries = method.online.project("video", features.anchor_BND.mean(dim=1)).tolist()
    inter = video = 0.0
    for row in range(4):
        others = [key for other in range(4) if other != row for key in frame_keys[other]]
        inter += sum(info_nce(frame_queries[row], key, others) for key in frame_keys[row]) / 12
        others = [video_keys[other] for other in range(4) if other != row]
        video += info_nce(video_queries[row], video_keys[row], others) / 4
    assert terms["inter"].item() == pytest.approx(inter, rel=1e-4)
    assert terms["video"].item() == pytest.approx(video, rel=1e-4)
    method.after_step(0.5)


def test_a_part_of_one_video_without_a_queue_is_refused() -> None:
    method = build(queue_length=0)
    with pytest.raises(ValueError, match=r"method.queue_length = 0 takes the other videos"):
        method(views_of(method, 1))


@pytest.mark.parametrize(("segments", "keys"), [(1, 1), (2, 2), (4, 4), (5, 5)])
def test_other_numbers_of_segments(segments: int, keys: int) -> None:
    """N frames in a tuple are N positives of the inter-frame loss: the query again and N - 1 others."""
    losses = LOSSES if segments > 1 else ("inter", "video")
    method = build(**only(*losses), clips=SegmentPairs(segments), queue_length=100)
    output = method(views_of(method))
    assert torch.isfinite(output.loss)
    method.after_step(0.5)
    assert method.inter.negatives.queue.position.item() == 4 * keys
    assert method.video.negatives.queue.position.item() == 4
    if segments > 1:
        assert method.order.classifier.layers[0].weight.shape == (4, 2 * segments * 8)


def test_with_one_other_frame_both_forms_of_the_intra_loss_are_the_same() -> None:
    one, two = (build(clips=SegmentPairs(2), intra_form=form) for form in ("official", "joint"))
    views = views_of(one)
    assert one(views).terms["intra"].item() == pytest.approx(two(views).terms["intra"].item(), rel=1e-6)


@pytest.mark.parametrize("losses", [("inter", "intra"), ("inter",)])
def test_without_a_positive_tuple_losses_of_frames_are_the_same(losses: tuple[str, ...]) -> None:
    alone = build(**only(*losses), clips=SegmentPairs(3, num_tuples=1))
    batch = batch_of()
    views = alone.make_views(replace(batch, frames_BNTHWC=batch.frames_BNTHWC[:, :1]))
    pair = build(**only(*losses))
    assert alone(views).loss.item() == pair(pair.make_views(batch)).loss.item()


def test_shuffle_bn_leaves_the_queries_alone_and_deals_out_the_keys_in_groups() -> None:
    """4 videos of 6 key frames: 24 frames in random order, 8 of them normalised together."""
    views = views_of(build())
    plain, shuffled = build()._extract(views), build(shuffle_bn_group=8)
    assert views.positive_BNCHW is not None
    torch.manual_seed(5)
    features = shuffled._extract(views)
    torch.testing.assert_close(features.anchor_BND, plain.anchor_BND)
    torch.manual_seed(5)
    groups = torch.randperm(24).split(8)
    rows = torch.arange(4)
    others = [[n for n in range(3) if n != place] for place in views.query_place_B.tolist()]
    frames_BMCHW = torch.cat(
        [
            views.positive_BNCHW,
            views.twin_BCHW[:, None],
            views.anchor_BNCHW[rows[:, None], torch.tensor(others)],
        ],
        dim=1,
    )
    fresh = build().key_encoder
    found_XD = torch.cat([features.positive_BND, features.keys_BPD], dim=1).flatten(0, 1)
    for group in groups:
        assert len(set((group // 6).tolist())) > 1  # the company is of several videos
        torch.testing.assert_close(found_XD[group], fresh(frames_BMCHW.flatten(0, 1)[group].unsqueeze(2)))
    fixed = build().eval()._extract(views), build(shuffle_bn_group=8).eval()._extract(views)
    torch.testing.assert_close(fixed[0].positive_BND, fixed[1].positive_BND)


def test_half_precision_ends_before_embeddings_and_losses() -> None:
    method = build()
    views = views_of(method)
    with torch.autocast("cpu", torch.bfloat16):
        output = method(views)
    assert output.loss.dtype == torch.float32
    assert {value.dtype for value in output.terms.values()} == {torch.float32}
    noted = [*method.inter.negatives._noted, *method.video.negatives._noted]
    assert [keys.dtype for keys, _ in noted] == [torch.float32] * 2
    exact = build()(views)
    assert output.loss.item() == pytest.approx(exact.loss.item(), rel=0.05)


def test_a_file_of_moco_v2_fills_backbone_and_all_heads_of_both_networks(tmp_path: Path) -> None:
    path, mlp = moco_file(tmp_path / "moco_v2.pth.tar")
    method = build(initial_weights=path)
    with torch.no_grad():  # the copy would not follow by itself
        method.key_encoder.network.backbone.stem.norm.running_mean.add_(1.0)
    reports = method.load_initial_weights()
    assert {name: report.share_loaded for name, report in reports.items()} == {"backbone": 1.0, "heads": 1.0}
    assert reports["backbone"].prefix == "module.encoder_q."
    for network in (method.online, method.key_encoder.network):
        assert tuple(network.heads) == LOSSES
        for head in network.heads.values():
            assert isinstance(head, ProjectionHead)
            assert all(torch.equal(value, mlp[name]) for name, value in head.layers.state_dict().items())
    slow = method.key_encoder.network.state_dict()
    assert all(torch.equal(value, slow[name]) for name, value in method.online.state_dict().items())
    file = torch.load(path, weights_only=True)["state_dict"]
    assert torch.equal(method.backbone.stem.conv.weight, file["module.encoder_q.conv1.weight"])


def test_a_backbone_without_projection_leaves_the_heads_fresh_and_says_so(tmp_path: Path) -> None:
    method = build(initial_weights=moco_file(tmp_path / "resnet.pth", without="fc.")[0])
    reports = method.load_initial_weights()
    assert (reports["backbone"].share_loaded, reports["heads"].share_loaded) == (1.0, 0.0)
    fresh = build().online.heads["video"].state_dict()
    loaded = method.online.heads["video"].state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in fresh.items())


def test_random_weights_need_no_file_and_a_wrong_file_is_refused(tmp_path: Path) -> None:
    for meant in ("random", ""):
        assert build(initial_weights=Path(meant)).load_initial_weights() == {}
    with pytest.raises(WeightsError, match="no such file"):
        build(initial_weights=tmp_path / "none.pth").load_initial_weights()


def test_videos_are_told_apart_by_a_tiny_network() -> None:
    """Eight videos, each of one colour and some noise: 60 steps bring both contrasts well below chance."""
    still = ClipAugmentation.only_crop(32, mean=(0.5,) * 3, std=(0.25,) * 3)
    method = build(**only("inter", "video"), augmentation=still, queue_length=0, momentum=0.9)
    optimizer = torch.optim.AdamW(method.parameters(), lr=2e-3)
    colors = torch.randint(0, 220, (8, 1, 1, 1, 1, 3), generator=torch.Generator().manual_seed(1))
    first = last = math.inf
    for step in range(60):
        batch = batch_of(8, seed=step)
        drift = batch.frames_BNTHWC % 36  # a little noise
        batch = replace(batch, frames_BNTHWC=(colors + drift).to(torch.uint8))
        output = method(method.make_views(batch))
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        method.after_step((step + 1) / 60)
        first, last = min(first, math.inf if step else output.loss.item()), output.loss.item()
    # Chance is log 8 for the videos and log(1 + 7 * 3) for their frames: 5.17.
    assert last < 0.5 * (math.log(8) + math.log(22))
    assert last < first


@pytest.mark.gpu
def test_a_step_on_a_gpu_agrees_with_the_cpu() -> None:
    """The same weights and videos; in half precision the losses agree to about two digits."""
    expected = build()(views_of(build())).terms
    method = build().cuda()
    views = method.make_views(batch_of().to(torch.device("cuda")))
    with torch.autocast("cuda", torch.bfloat16):
        output = method(views)
    output.loss.backward()
    method.after_step(0.5)
    for name in LOSSES:
        assert output.terms[name].item() == pytest.approx(expected[name].item(), rel=0.1, abs=0.05)
    assert method.inter.negatives.queue.position.item() == 12


def test_the_order_of_frames_is_learned_where_it_can_be_seen() -> None:
    """Videos that brighten from segment to segment: from chance, log 4, to well below it."""
    still = ClipAugmentation.only_crop(32, mean=(0.5,) * 3, std=(0.25,) * 3)
    method = build(**only("order"), augmentation=still, momentum=0.9)
    optimizer = torch.optim.AdamW(method.parameters(), lr=2e-3)
    light = torch.tensor([20, 100, 180]).reshape(1, 1, 3, 1, 1, 1)
    losses = []
    for step in range(60):
        batch = batch_of(16, seed=step)
        batch = replace(batch, frames_BNTHWC=(light + batch.frames_BNTHWC % 36).to(torch.uint8))
        output = method(method.make_views(batch))
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        method.after_step((step + 1) / 60)
        losses.append(output.loss.item())
    assert sum(losses[-5:]) / 5 < 0.7 * math.log(4)
    assert output.terms["order_accuracy"].item() > 0.5
