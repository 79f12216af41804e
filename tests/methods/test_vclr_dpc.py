import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.losses.test_contrastive import scalar_info_nce
from tests.methods.batches import make_batch
from unreel.augment.compose import ClipAugmentation
from unreel.data.batch import VideoBatch
from unreel.data.block_clips import BlockClips, BlocksAndSegmentClips
from unreel.methods.dpc import DPC
from unreel.methods.vclr_dpc import VCLRDPC, VCLRDPCViews
from unreel.models.mvit import MViTConfig
from unreel.models.r2d3d import R2D3DConfig
from unreel.models.zoo import BACKBONES, build_backbone

CONFIG = VCLRDPC.Config(
    clips=BlocksAndSegmentClips(num_blocks=4, num_segments=3, num_frames=2, frame_stride=1),
    augmentation=replace(VCLRDPC.Config().augmentation, size_px=32),
    backbone=R2D3DConfig(width=0.125),
    num_predicted=2,
    dropout_prob=0.0,
    embedding_dim=8,
    hidden_dim=16,
    queue_length=24,
    shuffle_bn_group=0,
)
LOSSES = ("dense", "video", "order")


def only(*losses: str) -> dict[str, Any]:
    return {f"{name}_weight": float(name in losses) for name in LOSSES}


SUBSETS = [names for count in (1, 2, 3) for names in itertools.combinations(LOSSES, count)]


def build(**changes: Any) -> VCLRDPC:
    torch.manual_seed(0)
    return replace(CONFIG, **changes).build().train()


def batch_of(count: int = 4, *, clips: int = 10, **options: Any) -> VideoBatch:
    return make_batch(count, clips=clips, frames=2, size=36, **options)


def views_of(method: VCLRDPC, count: int = 4, **options: Any) -> VCLRDPCViews:
    return method.make_views(batch_of(count, clips=method.config.clips.num_clips, **options))


def embed(network: Any, name: str, clips_NCTHW: Tensor) -> list[list[float]]:
    """Return the embeddings of clips, one by one."""
    with torch.no_grad():
        return [network.project(name, network(clip[None]))[0].tolist() for clip in clips_NCTHW]


def embed_mean(network: Any, clips_NCTHW: Tensor) -> list[float]:
    with torch.no_grad():
        features = sum(network(clip[None])[0] for clip in clips_NCTHW) / len(clips_NCTHW)
        return network.project("video", features[None])[0].tolist()


def unit(values: list[float]) -> list[float]:
    length = math.sqrt(sum(value * value for value in values))
    return [value / length for value in values]


def part(value: Tensor | None) -> Tensor:
    assert value is not None
    return value


def move_away(network: nn.Module) -> None:
    """Make the momentum encoder another network, so that a mix-up would show."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.02 * torch.randn_like(weight))


def test_video_and_order_are_worked_out_clip_by_clip() -> None:
    """In evaluation mode, where a clip's features do not depend on its batch."""
    method = build().eval()
    move_away(method.key_encoder)
    views = views_of(method)
    terms = method(views).terms
    online, slow = method.online, method.key_encoder.network
    queue = method.video_contrast.negatives.queue
    assert queue is not None
    assert views.question is not None
    linear = method.tuple_order.classifier.layers[0]
    video, order = 0.0, 0.0
    for row in range(4):
        anchor, positive = part(views.anchor_BNCTHW)[row], part(views.positive_BNCTHW)[row]
        query, key = embed_mean(online, anchor), embed_mean(slow, positive)
        video += scalar_info_nce(query, key, queue.keys_KD.tolist(), 0.1) / 4
        joined: list[float] = []
        for network, clips, places in (
            (online, anchor, views.question.anchor_order_BN[row]),
            (slow, positive, views.question.positive_order_BN[row]),
        ):
            for embedding in embed(network, "order", clips[places]):  # the clips themselves are shuffled here
                joined += unit(embedding)
        logits = (linear.weight @ torch.tensor(joined) + linear.bias).tolist()
        answer = int(views.question.answer_B[row])
        order += (math.log(sum(math.exp(logit) for logit in logits)) - logits[answer]) / 4
    assert terms["video"].item() == pytest.approx(video, rel=1e-4)
    assert terms["order"].item() == pytest.approx(order, rel=1e-4)


@pytest.mark.parametrize("is_training", [True, False])
def test_without_tuples_it_is_dpc_to_the_bit(is_training: bool) -> None:
    """The same seed gives the same weights, views and loss."""
    method = build(**only("dense"), dropout_prob=0.1).train(is_training)
    torch.manual_seed(0)
    baseline = DPC.Config(
        clips=BlockClips(4, 2, 1),
        augmentation=CONFIG.augmentation,
        backbone=CONFIG.backbone,
        num_predicted=2,
    )
    dpc = baseline.build().train(is_training)
    batch = batch_of()
    blocks = replace(batch, frames_BNTHWC=batch.frames_BNTHWC[:, :4])
    torch.manual_seed(1)
    expected = dpc(dpc.make_views(blocks))
    torch.manual_seed(1)
    output = method(method.make_views(batch))
    assert output.loss.item() == expected.loss.item()
    assert {name: value.item() for name, value in output.terms.items()} == {
        name: value.item() for name, value in expected.terms.items()
    }


def test_the_prediction_is_that_of_dpc_beside_the_other_losses_too() -> None:
    """In evaluation mode; in training the clips of the tuples share the batch statistics."""
    method, alone = build().eval(), build(**only("dense")).eval()
    batch = batch_of()
    both = method(method.make_views(batch)).terms["dense"].item()
    assert both == pytest.approx(alone(alone.make_views(batch)).loss.item(), rel=1e-5)


def test_the_loss_is_the_weighted_sum_of_the_terms() -> None:
    method = build(dense_weight=0.5, video_weight=2.0, order_weight=3.0)
    output = method(views_of(method))
    terms = output.terms
    expected = 0.5 * terms["dense"] + 2.0 * terms["video"] + 3.0 * terms["order"]
    assert output.loss.item() == pytest.approx(expected.item(), rel=1e-6)
    accuracies = {f"{name}_accuracy" for name in LOSSES}
    assert set(terms) == {*LOSSES, *accuracies, "right_video", "right_step", "right_place"}


@pytest.mark.parametrize("losses", SUBSETS, ids="+".join)
def test_every_set_of_losses_builds_sees_and_computes_only_what_it_needs(losses: tuple[str, ...]) -> None:
    method = build(**only(*losses))
    has_tuples = len(losses) > ("dense" in losses)
    assert hasattr(method, "dense") == ("dense" in losses)
    assert hasattr(method, "key_encoder") == has_tuples
    assert hasattr(method, "video_contrast") == ("video" in losses)
    assert hasattr(method, "tuple_order") == ("order" in losses)
    assert tuple(method.online.heads) == tuple(name for name in losses if name != "dense")
    views = views_of(method)
    assert (views.blocks_BNCTHW is not None) == ("dense" in losses)
    assert (views.anchor_BNCTHW is not None) == (views.positive_BNCTHW is not None) == has_tuples
    assert (views.question is not None) == ("order" in losses)
    output = method(views)
    output.loss.backward()
    assert {name for name in output.terms if name in LOSSES} == set(losses)
    for name, parameter in method.named_parameters():
        assert (parameter.grad is not None) == (not name.startswith("key_encoder")), name
    method.after_step(0.5)


def test_each_network_runs_once_over_all_it_is_asked_about() -> None:
    """4 videos: 4 blocks and 3 anchors each, 28 clips, and 12 positives for the momentum encoder."""
    method = build()
    passes: list[tuple[str, int]] = []
    for name, network in (("online", method.backbone), ("slow", method.key_encoder.network.backbone)):
        network.stem.register_forward_pre_hook(
            lambda _module, inputs, name=name: passes.append((name, len(inputs[0])))
        )
    method(views_of(method))
    assert passes == [("online", 28), ("slow", 12)]


def test_no_clip_is_augmented_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 4 videos: the blocks as one clip each, then 3 anchors and 3 positives each."""
    counts = []
    apply = ClipAugmentation.apply

    def count(self: ClipAugmentation, frames: Tensor, *args: Any, **options: Any) -> Tensor:
        counts.append(tuple(frames.shape[:2]))
        return apply(self, frames, *args, **options)

    monkeypatch.setattr(ClipAugmentation, "apply", count)
    views_of(build(color_draws="clip"))
    assert counts == [(4, 8), (12, 2), (12, 2)]


def test_rows_of_the_plan_go_where_they_belong_and_every_clip_is_augmented_by_itself() -> None:
    still = ClipAugmentation(
        crop="center", size_px=32, flip_prob=0.0, jitter_prob=0.0, grayscale_prob=0.0, blur_prob=0.0
    )
    batch = batch_of()
    views = build(augmentation=still).make_views(batch)
    expected = batch.frames_BNTHWC[:, :, :, 2:34, 2:34].permute(0, 1, 5, 2, 3, 4) / 255
    torch.testing.assert_close(part(views.blocks_BNCTHW), expected[:, :4])
    torch.testing.assert_close(part(views.anchor_BNCTHW), expected[:, 4:7])
    torch.testing.assert_close(part(views.positive_BNCTHW), expected[:, 7:10])
    assert views.owners_B.tolist() == [0, 1, 2, 3]
    same = replace(batch, frames_BNTHWC=batch.frames_BNTHWC[:1, :1, :1].expand(4, 10, 2, -1, -1, -1))
    views = build(color_draws="clip").make_views(same)
    clips = torch.cat([part(views.anchor_BNCTHW), part(views.positive_BNCTHW)], dim=1).flatten(0, 1)
    assert len({clip.numpy().tobytes() for clip in clips}) == 24
    assert torch.equal(clips[:, :, 0], clips[:, :, 1])


def test_keys_give_no_gradient_and_tuples_none_to_the_predictor() -> None:
    method = build(**only("dense", "video", "order"))
    views = views_of(method)
    blocks, anchor, positive = (
        part(value).clone().requires_grad_()
        for value in (views.blocks_BNCTHW, views.anchor_BNCTHW, views.positive_BNCTHW)
    )
    method.eval()  # batch statistics would tie blocks and anchors together
    views = replace(views, blocks_BNCTHW=blocks, anchor_BNCTHW=anchor, positive_BNCTHW=positive)
    method(views).loss.backward()
    assert positive.grad is None
    assert blocks.grad is not None
    assert blocks.grad.any()
    assert anchor.grad is not None
    assert (anchor.grad.abs().sum(dim=(0, 2, 3, 4, 5)) > 0).all()
    assert all(parameter.grad is None for parameter in method.key_encoder.parameters())


def test_keys_come_from_the_momentum_encoder() -> None:
    method = build().eval()
    views = views_of(method)
    before = method(views).terms
    move_away(method.key_encoder)
    after = method(views).terms
    assert before["dense"].item() == after["dense"].item()
    for name in ("video", "order"):
        assert before[name].item() != pytest.approx(after[name].item(), rel=1e-4)


def test_after_a_step_the_encoder_has_moved_and_the_keys_are_in_the_queue() -> None:
    """Equation 12 to the digit: 0.999 of the old weight and 0.001 of the new one."""
    method = build()
    views = views_of(method)
    method(views).loss.backward()
    queue = method.video_contrast.negatives.queue
    assert queue is not None
    assert queue.position.item() == 0
    old = [parameter.clone() for parameter in method.key_encoder.parameters()]
    with torch.no_grad():
        for parameter in method.online.parameters():
            parameter.sub_(parameter.grad if parameter.grad is not None else 0.0)
    method.after_step(0.5)
    assert queue.position.item() == 4
    moved = list(method.key_encoder.parameters())
    for new, before, online in zip(moved, old, method.online.parameters(), strict=True):
        torch.testing.assert_close(new, 0.999 * before + 0.001 * online, rtol=1e-5, atol=1e-7)


def test_parts_of_a_batch_all_reach_the_queue() -> None:
    method = build()
    for first in (0, 2):
        method(views_of(method, 2, first_video=first))
    method.after_step(0.5)
    queue = method.video_contrast.negatives.queue
    assert queue is not None
    assert queue.position.item() == 4


def test_without_a_queue_the_other_videos_are_the_negatives() -> None:
    """Four videos whose embeddings are all the same: log 4."""
    method = build(queue_length=0)
    for network in (method.online, method.key_encoder.network):
        last = network.heads["video"].layers[-1]
        with torch.no_grad():
            last.weight.zero_()
            last.bias.fill_(1.0)
    assert method(views_of(method)).terms["video"].item() == pytest.approx(math.log(4), rel=1e-6)


def test_heads_and_classifier_have_the_size_counted_by_hand() -> None:
    """Heads of 256 x 256 and 256 x 128 with biases; a classifier of 2 x 3 x 128 numbers for 4 answers."""
    with torch.device("meta"):
        method = VCLRDPC.Config().build()
    learned = sum(parameter.numel() for parameter in method.parameters() if parameter.requires_grad)
    head = 256 * 256 + 256 + 256 * 128 + 128
    classifier = 768 * 4 + 4
    assert (head, classifier) == (98_688, 3_076)
    assert learned == 14_583_104 + 2 * head + classifier == 14_783_556


def test_shuffle_bn_changes_the_keys_in_training_alone() -> None:
    plain, shuffled = build(), build(shuffle_bn_group=4)
    views = views_of(plain)
    assert plain(views).terms["dense"].item() == shuffled(views).terms["dense"].item()
    assert plain(views).terms["video"].item() != pytest.approx(
        shuffled(views).terms["video"].item(), rel=1e-5
    )
    plain, shuffled = build().eval(), build(shuffle_bn_group=4).eval()
    assert plain(views).loss.item() == pytest.approx(shuffled(views).loss.item(), rel=1e-6)


def test_half_precision_ends_before_embeddings_and_losses() -> None:
    method = build().eval()
    views = views_of(method)
    exact = method(views)
    with torch.autocast("cpu", torch.bfloat16):
        output = method(views)
    assert {value.dtype for value in (output.loss, *output.terms.values())} == {torch.float32}
    assert output.loss.item() == pytest.approx(exact.loss.item(), rel=0.05)


def test_videos_are_told_apart_by_a_tiny_network() -> None:
    """Eight videos, each of one colour and some noise, seen as tuples of clips: chance is log 8 = 2.08."""
    still = ClipAugmentation.only_crop(32, mean=(0.5,) * 3, std=(0.25,) * 3)
    clips = BlocksAndSegmentClips(num_blocks=0, num_segments=2, num_frames=1, frame_stride=1)
    settings: dict[str, Any] = {"augmentation": still, "queue_length": 0, "momentum": 0.9, "clips": clips}
    method = build(**only("video"), **settings)
    optimizer = torch.optim.AdamW(method.parameters(), lr=2e-3)
    colors = torch.randint(0, 220, (8, 1, 1, 1, 1, 3), generator=torch.Generator().manual_seed(1))
    loss = math.inf
    for step in range(30):
        batch = make_batch(8, clips=4, frames=1, size=36, seed=step)
        batch = replace(batch, frames_BNTHWC=(colors + batch.frames_BNTHWC % 36).to(torch.uint8))
        output = method(method.make_views(batch))
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        method.after_step((step + 1) / 30)
        loss = output.loss.item()
    assert loss < 0.5 * math.log(8)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_clip_has_the_same_features_in_both_networks_or_the_backbone_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = replace(BACKBONES[name], width=0.125)
    if isinstance(backbone, MViTConfig):
        backbone = replace(backbone, depths=(1, 1, 1, 1), size_px=32)
    if not build_backbone(backbone).average_is_of_map:
        with pytest.raises(ValueError, match=r"--method.backbone.pooling average"):
            build(backbone=backbone)
        return
    clips = BlocksAndSegmentClips(num_blocks=0, num_segments=2, num_frames=8, frame_stride=1)
    method = build(backbone=backbone, clips=clips, **only("video", "order")).eval()
    seen: list[Tensor] = []
    compare = method._compare_tuples
    monkeypatch.setattr(
        method, "_compare_tuples", lambda rows, views: seen.append(rows) or compare(rows, views)
    )
    views = method.make_views(make_batch(2, clips=4, frames=8, size=36))
    assert views.anchor_BNCTHW is not None
    with torch.no_grad():
        method(views)
        keys_XD = method.key_encoder(views.anchor_BNCTHW.flatten(0, 1))
    torch.testing.assert_close(seen[0].flatten(0, 1), keys_XD, rtol=1e-5, atol=1e-5)


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
