import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.losses.test_contrastive import scalar_info_nce
from tests.methods.batches import make_batch
from tests.methods.test_scvrl_keys import permute_pixels
from unreel.augment.compose import ClipAugmentation
from unreel.data.batch import VideoBatch
from unreel.data.clips import RandomClips
from unreel.methods.scvrl import SCVRL
from unreel.methods.scvrl_views import SCVRLViews
from unreel.models.c3d import C3DConfig
from unreel.models.mvit import MViTConfig
from unreel.models.queue import KeyQueue
from unreel.models.r2d3d import R2D3DConfig
from unreel.models.r3d_50 import R3D50Config
from unreel.models.r3d_plus1 import R3DPlus1Config
from unreel.models.resnet3d import R2Plus1DConfig, R3DConfig
from unreel.models.s3d import S3DConfig
from unreel.models.zoo import BackboneConfig

MVIT = MViTConfig(width=0.25, depths=(1, 1, 1, 1), num_frames=8, size_px=16)
R3D = R3DConfig(depth=10, width=0.125)
CONFIG = SCVRL.Config(
    clips=RandomClips(count=2, num_frames=8),
    augmentation=ClipAugmentation(size_px=16),
    backbone=MVIT,
    detection_weight=1.0,
    embedding_dim=8,
    hidden_dim=16,
    queue_length=24,
    shuffle_bn_group=0,
)
LOSSES = ("shuffled", "detection", "visual")


def only(*losses: str) -> dict[str, Any]:
    return {f"{name}_weight": float(name in losses) for name in LOSSES}


SUBSETS = [only(*names) for count in (1, 2, 3) for names in itertools.combinations(LOSSES, count)]


def build(**changes: Any) -> SCVRL:
    torch.manual_seed(0)
    return replace(CONFIG, **changes).build().train()


def batch_of(count: int = 4, **options: Any) -> VideoBatch:
    return make_batch(count, clips=2, frames=8, **options)


def views_of(method: SCVRL, count: int = 4, **options: Any) -> SCVRLViews:
    return method.make_views(batch_of(count, **options))


def queue_of(method: SCVRL) -> KeyQueue:
    assert method.visual is not None
    queue = method.visual.negatives.queue
    assert queue is not None
    return queue


def move_keys(method: SCVRL) -> None:
    """Make the momentum encoder another network than the online one, so that a mix-up shows."""
    with torch.no_grad():
        for weight in method.key_encoder.parameters():
            weight.add_(0.05 * torch.randn_like(weight))


def embed(network: Any, name: str, clip_CTHW: Tensor) -> list[float]:
    """Return the embedding of one clip, seen alone, as plain numbers."""
    with torch.no_grad():
        values: list[float] = network.project(name, network(clip_CTHW[None]))[0].tolist()
    return values


def scalar_losses(method: SCVRL, views: SCVRLViews, row: int) -> dict[str, float]:
    """The losses of one video, clip by clip, with the pixels themselves shuffled."""
    online, slow = method.online, method.key_encoder.network
    shuffled, visual = (("shared",) * 2) if method.config.shared_head else ("shuffled", "visual")
    assert views.anchor_BCTHW is not None
    assert views.positive_BCTHW is not None
    assert views.negative_order_BNG is not None
    assert views.key_BCTHW is not None
    assert views.question is not None
    assert method.detector is not None
    anchor, positive = views.anchor_BCTHW[row], views.positive_BCTHW[row]
    negatives = [
        embed(slow, shuffled, permute_pixels(positive, order)) for order in views.negative_order_BNG[row]
    ]
    order_loss = scalar_info_nce(
        embed(online, shuffled, anchor), embed(slow, shuffled, positive), negatives, 0.1
    )
    visual_loss = scalar_info_nce(
        embed(online, visual, anchor),
        embed(slow, visual, views.key_BCTHW[row]),
        queue_of(method).keys_KD.tolist(),
        0.1,
    )
    with torch.no_grad():
        logit = method.detector(online(views.question.clips_BCTHW[row][None])).item()
    answer = views.question.is_shuffled_B[row].item()
    prob = 1 / (1 + math.exp(-logit))
    return {
        "shuffled": order_loss,
        "visual": visual_loss,
        "detection": -math.log(prob if answer else 1 - prob),
    }


@pytest.mark.parametrize(
    "changes",
    [{}, {"shared_head": True}, {"backbone": R3D}, {"backbone": C3DConfig(width=0.125)}],
    ids=["mvit", "shared head", "r3d", "c3d"],
)
def test_every_loss_is_its_equation_worked_out_clip_by_clip(changes: dict[str, Any]) -> None:
    """In evaluation mode, where a clip's features do not depend on its batch; cubes against pixels."""
    method = build(**changes).eval()
    move_keys(method)
    views = views_of(method)
    output = method(views)
    rows = [scalar_losses(method, views, row) for row in range(4)]
    for name in LOSSES:
        expected = sum(row[name] for row in rows) / 4
        assert output.terms[name].item() == pytest.approx(expected, rel=1e-3), name
    total = sum(sum(row.values()) for row in rows) / 4
    assert output.loss.item() == pytest.approx(total, rel=1e-3)


def test_permuted_cubes_give_the_loss_of_permuted_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    method = build(**only("shuffled"), clips=RandomClips(count=1, num_frames=8))
    move_keys(method)
    views = views_of(method)
    cubes = method(views).loss.item()
    monkeypatch.setattr("unreel.methods.scvrl_keys.sees_groups_apart", lambda *_: False)
    assert method(views).loss.item() == pytest.approx(cubes, rel=1e-5)


def test_the_loss_is_the_weighted_sum_of_its_parts() -> None:
    weights = {"shuffled_weight": 0.5, "detection_weight": 3.0, "visual_weight": 0.25}
    output = build(**weights)(views_of(build()))
    expected = sum(weights[f"{name}_weight"] * output.terms[name] for name in LOSSES)
    assert output.loss.item() == pytest.approx(float(expected), rel=1e-6)
    similarities = {"positive_similarity", "negative_similarity"}
    assert set(output.terms) == {*LOSSES, *(f"{name}_accuracy" for name in LOSSES), *similarities}


def test_without_differences_every_loss_is_at_chance() -> None:
    """All embeddings and all keys are one vector: log 13 = 2.5649, log 65537 = 11.0904, log 2 = 0.6931."""
    method = build(queue_length=65536)
    with torch.no_grad():
        for head in (*method.online.heads.values(), *method.key_encoder.network.heads.values()):
            head.layers[-1].weight.zero_()
            head.layers[-1].bias.copy_(torch.eye(8)[0])
        queue_of(method).keys_KD.copy_(torch.eye(8)[0].expand(65536, -1))
        assert method.detector is not None
        for weight in method.detector.parameters():
            weight.zero_()
    terms = method(views_of(method)).terms
    expected = {"shuffled": 2.5649, "visual": 11.0904, "detection": 0.6931}
    assert {name: terms[name].item() for name in LOSSES} == pytest.approx(expected, abs=6e-5)
    assert terms["shuffled_accuracy"] == 0.0
    assert terms["positive_similarity"] == terms["negative_similarity"] == pytest.approx(1.0)


def test_the_terms_of_order_say_what_they_say() -> None:
    method = build(**only("shuffled", "visual")).eval()
    move_keys(method)
    views = views_of(method)
    terms = method(views).terms
    assert views.anchor_BCTHW is not None
    assert views.positive_BCTHW is not None
    assert views.negative_order_BNG is not None
    right, near, far = 0, 0.0, 0.0
    slow = method.key_encoder.network
    for anchor, positive, orders in zip(
        views.anchor_BCTHW, views.positive_BCTHW, views.negative_order_BNG, strict=True
    ):
        query = F.normalize(torch.tensor(embed(method.online, "shuffled", anchor)), dim=0)
        versions = [positive, *(permute_pixels(positive, order) for order in orders)]
        keys = [F.normalize(torch.tensor(embed(slow, "shuffled", clip)), dim=0) for clip in versions]
        cosines = [float(query @ key) for key in keys]
        right += cosines[0] > max(cosines[1:])
        near, far = near + cosines[0] / 4, far + sum(cosines[1:]) / 48
    assert terms["shuffled_accuracy"].item() == right / 4
    assert terms["positive_similarity"].item() == pytest.approx(near, abs=1e-4)
    assert terms["negative_similarity"].item() == pytest.approx(far, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "reached"),
    [("shuffled", {"anchor_BCTHW"}), ("visual", {"anchor_BCTHW"}), ("detection", {"question"})],
)
def test_gradient_goes_to_anchors_and_questions_and_never_to_keys(name: str, reached: set[str]) -> None:
    """A loss touches its own head alone."""
    method = build().eval()
    views = views_of(method)
    assert views.question is not None
    seen = {
        "anchor_BCTHW": views.anchor_BCTHW,
        "positive_BCTHW": views.positive_BCTHW,
        "key_BCTHW": views.key_BCTHW,
        "question": views.question.clips_BCTHW,
    }
    for clips in seen.values():
        assert clips is not None
        clips.requires_grad_()
    method.config = replace(method.config, **{f"{other}_weight": 0.0 for other in LOSSES if other != name})
    method(views).loss.backward()
    with_gradient = {n for n, clips in seen.items() if clips is not None and clips.grad is not None}
    assert {n for n in with_gradient if bool(seen[n].grad.any())} == reached  # type: ignore[union-attr]
    assert all(weight.grad is None for weight in method.key_encoder.parameters())
    assert method.detector is not None
    parts: dict[str, nn.Module] = {**method.online.heads, "detection": method.detector}
    for head_name, head in parts.items():
        has_gradient = any(weight.grad is not None and weight.grad.any() for weight in head.parameters())
        assert has_gradient is (head_name == name), head_name


@pytest.mark.parametrize("changes", [*SUBSETS, {"queue_length": 0}, {"shared_head": True}], ids=str)
def test_every_parameter_that_wants_gradient_gets_it(changes: dict[str, Any]) -> None:
    """Training with several processes waits for every gradient, so none may be missing."""
    method = build(**changes)
    method(views_of(method)).loss.backward()
    assert [n for n, p in method.named_parameters() if p.requires_grad and p.grad is None] == []
    method.after_step(0.5)


@pytest.mark.parametrize("losses", [("shuffled",), ("detection",), ("visual",), LOSSES])
def test_a_loss_of_weight_0_has_neither_head_nor_queue_nor_network(losses: tuple[str, ...]) -> None:
    method = build(**only(*losses))
    assert set(method.online.heads) == set(losses) - {"detection"}
    assert hasattr(method, "key_encoder") is (losses != ("detection",))
    assert (method.visual is not None) is ("visual" in losses)
    assert (method.detector is not None) is ("detection" in losses)
    output = method(views_of(method))
    assert {name for name in output.terms if "_" not in name} == set(losses)
    has_similarity = "positive_similarity" in output.terms
    assert has_similarity is ("shuffled" in losses)


def test_a_shared_head_has_the_weights_of_one() -> None:
    shared, apart = build(shared_head=True), build()
    assert list(shared.online.heads) == ["shared"]
    assert list(apart.online.heads) == ["shuffled", "visual"]
    alone = build(**only("detection"), shared_head=True)
    assert list(alone.online.heads) == []


@pytest.mark.parametrize(
    ("changes", "online", "keys"),
    [
        ({}, [4, 4], [4, 52]),
        (only("shuffled", "visual"), [4], [4, 52]),
        (only("shuffled", "visual") | {"key_chunk": 20}, [4], [4, 20, 20, 12]),
        (only("shuffled"), [4], [52]),
        (only("visual"), [4], [4]),
        (only("detection", "visual"), [4, 4], [4]),
        (only("detection"), [4], []),
        # Batch normalisation needs clips in order of time, whatever the losses are.
        (only("shuffled") | {"backbone": R3D}, [4], [4, 52]),
        (only("shuffled", "visual") | {"backbone": R3D, "shuffle_bn_group": 2}, [4], [2, 2, 52]),
    ],
    ids=str,
)
def test_each_network_sees_what_the_losses_need(
    changes: dict[str, Any], online: list[int], keys: list[int]
) -> None:
    method = build(**{"key_chunk": 100} | changes)
    seen: dict[str, list[int]] = {"online": [], "keys": []}
    networks = {"online": method.online}
    if method.config.contrasts:
        networks["keys"] = method.key_encoder.network  # type: ignore[assignment]
    for name, network in networks.items():
        last = network.backbone.get_submodule("norm" if method.config.has_aligned_cubes else "res5")
        last.register_forward_hook(lambda _, __, out, name=name: seen[name].append(len(out)))
    method(views_of(method))
    assert seen == {"online": online, "keys": keys}


@pytest.mark.parametrize(
    "backbone",
    [
        S3DConfig(width=0.125),
        R3D50Config(width=0.125),
        C3DConfig(width=0.125),
        R2Plus1DConfig(depth=10, width=0.125),
        R2D3DConfig(width=0.125),
        R3DPlus1Config(width=0.125),
        MViTConfig(width=0.125, depths=(1, 1, 1, 1), size_px=32, temporal_kernel=3, pooling="average"),
    ],
    ids=lambda config: config.architecture,
)
def test_every_network_over_time_fits(backbone: BackboneConfig) -> None:
    method = build(backbone=backbone, augmentation=ClipAugmentation(size_px=32))
    output = method(method.make_views(make_batch(2, clips=2, frames=8, size=36)))
    output.loss.backward()
    assert torch.isfinite(output.loss)
    assert method.online.heads["visual"].layers[0].in_features == method.backbone.num_features


@pytest.mark.parametrize("backbone", [MVIT, R3D], ids=lambda config: config.architecture)
def test_the_chunk_of_keys_changes_nothing_but_rounding(backbone: BackboneConfig) -> None:
    views = views_of(build(backbone=backbone))
    losses = [build(backbone=backbone, key_chunk=chunk)(views).loss.item() for chunk in (100, 7, 1)]
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-5)


def test_the_paper_has_its_sizes() -> None:
    """36,288,960 in the backbone; each head 768 x 2048 + 2048 and 2048 x 128 + 128 = 1,837,184."""
    method = SCVRL.Config().build()

    def count(part: nn.Module) -> int:
        return sum(weight.numel() for weight in part.parameters())

    assert count(method.backbone) == 36_288_960
    assert [count(head) for head in method.online.heads.values()] == [1_837_184] * 2
    assert count(method.key_encoder) == count(method.online) == 36_288_960 + 2 * 1_837_184
    assert queue_of(method).keys_KD.shape == (65536, 128)


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


def test_the_queue_takes_the_second_clip_of_each_video_and_no_shuffle() -> None:
    method = build()
    move_keys(method)
    views = views_of(method)
    before = queue_of(method).keys_KD.clone()
    slow = method.key_encoder.network
    assert views.key_BCTHW is not None
    keys = [F.normalize(torch.tensor(embed(slow, "visual", clip)), dim=0) for clip in views.key_BCTHW]
    method(views)
    assert torch.equal(queue_of(method).keys_KD, before)  # the loss of a step never sees its own keys
    method.after_step(0.5)
    assert queue_of(method).owners_K[:5].tolist() == [0, 1, 2, 3, -1]
    torch.testing.assert_close(queue_of(method).keys_KD[:4], torch.stack(keys), rtol=1e-4, atol=1e-5)
    assert torch.equal(queue_of(method).keys_KD[4:], before[4:])


def test_every_part_of_an_accumulated_batch_enters_the_queue() -> None:
    method = build()
    for first_video in (0, 4):
        method(views_of(method, first_video=first_video))
    method.after_step(0.5)
    assert queue_of(method).owners_K[:9].tolist() == [*range(8), -1]


@pytest.mark.parametrize("is_excluding", [True, False])
def test_a_video_that_comes_round_again_is_not_its_own_negative(is_excluding: bool) -> None:
    method = build(**only("visual"), queue_length=4, exclude_own_keys=is_excluding, momentum=1.0)
    views = replace(views_of(method), owners_B=torch.zeros(4, dtype=torch.long))
    method(views)
    method.after_step(0.5)
    assert (method(views).loss.item() == 0.0) is is_excluding


def test_without_queue_the_other_videos_of_the_batch_are_the_negatives() -> None:
    method = build(queue_length=0).eval()
    move_keys(method)
    views = views_of(method)
    assert not [name for name in method.state_dict() if "queue" in name]
    assert views.anchor_BCTHW is not None
    assert views.key_BCTHW is not None
    queries = [embed(method.online, "visual", clip) for clip in views.anchor_BCTHW]
    keys = [embed(method.key_encoder.network, "visual", clip) for clip in views.key_BCTHW]
    expected = sum(
        scalar_info_nce(queries[row], keys[row], [key for n, key in enumerate(keys) if n != row], 0.1) / 4
        for row in range(4)
    )
    assert method(views).terms["visual"].item() == pytest.approx(expected, rel=1e-3)
    with pytest.raises(ValueError, match=r"method.queue_length = 0 takes the other videos"):
        method(views_of(method, 1))


def test_the_contrast_with_shuffles_has_no_need_of_other_videos() -> None:
    """A batch of one video, and the loss of each of four is what it is alone."""
    method = build(**only("shuffled"))
    together = method(views_of(method)).loss.item()
    views = views_of(method)
    alone = []
    for row in range(4):
        fields = ("anchor_BCTHW", "positive_BCTHW", "negative_order_BNG", "owners_B")
        one = replace(views, **{name: getattr(views, name)[row : row + 1] for name in fields})
        alone.append(method(one).loss.item())
    assert sum(alone) / 4 == pytest.approx(together, rel=1e-5)


def test_with_batch_normalisation_the_statistics_are_those_of_clips_in_order() -> None:
    """Without a second clip, the positives move them; in evaluation mode nothing does."""
    method = build(**only("shuffled"), backbone=R3D)
    other = build(**only("shuffled"), backbone=R3D)
    views = views_of(method)
    assert views.positive_BCTHW is not None
    method(views)
    other.key_encoder(views.positive_BCTHW)
    for mine, expected in zip(method.key_encoder.buffers(), other.key_encoder.buffers(), strict=True):
        torch.testing.assert_close(mine, expected)
    before = [buffer.clone() for buffer in method.buffers()]
    method.eval()(views)
    assert all(torch.equal(old, new) for old, new in zip(before, method.buffers(), strict=True))


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


def test_the_order_of_videos_that_brighten_is_learned_by_a_tiny_network() -> None:
    """Every video grows brighter: 30 steps bring the contrast with shuffles from log 13 = 2.56 below 2."""
    still = ClipAugmentation.only_crop(16, mean=(0.5,) * 3, std=(0.25,) * 3)
    method = build(
        **only("shuffled"),
        backbone=R3D,
        augmentation=still,
        group_frames=1,
        embedding_dim=16,
        hidden_dim=32,
        momentum=0.9,
    )
    optimizer = torch.optim.AdamW(method.parameters(), lr=2e-3)
    draw = torch.Generator().manual_seed(1)
    ramp = 14 * torch.arange(8).view(1, 1, 8, 1, 1, 1)
    losses = []
    for step in range(30):
        batch = batch_of(8, seed=step)
        levels = torch.randint(20, 120, (8, 1, 1, 1, 1, 3), generator=draw)
        noise = batch.frames_BNTHWC % 24
        batch = replace(batch, frames_BNTHWC=(levels + ramp + noise).to(torch.uint8))
        output = method(method.make_views(batch))
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        method.after_step((step + 1) / 30)
        losses.append(output.loss.item())
    assert sum(losses[-10:]) / 10 < 2.0


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
    assert queue_of(method).position.item() == 4
