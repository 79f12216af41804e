import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.losses.test_contrastive import cosine
from tests.methods.batches import make_batch
from tests.models.test_head_weights import moco_file
from unreel.augment.compose import ClipAugmentation
from unreel.data.batch import VideoBatch
from unreel.data.segments import OppositeHalves, SegmentPairs
from unreel.methods.seco import SeCo, SeCoViews
from unreel.models.resnet2d import ResNetConfig

CONFIG = SeCo.Config(
    augmentation=ClipAugmentation(size_px=32),
    backbone=ResNetConfig(depth=18, width=0.125),
    initial_weights=Path("random"),
    embedding_dim=8,
    hidden_dim=16,
    queue_length=24,
    shuffle_bn_group=0,
)
STILL = ClipAugmentation(
    crop="center", size_px=16, flip_prob=0.0, jitter_prob=0.0, grayscale_prob=0.0, blur_prob=0.0
)
LOSSES = ("inter", "intra", "order")


def only(*losses: str) -> dict[str, Any]:
    return {f"{name}_weight": float(name in losses) for name in LOSSES}


SUBSETS = [only(*names) for count in range(1, 4) for names in itertools.combinations(LOSSES, count)]


def build(**changes: Any) -> SeCo:
    torch.manual_seed(0)
    return replace(CONFIG, **changes).build().train()


def batch_of(count: int = 4, *, frames: int = 3, **options: Any) -> VideoBatch:
    """Half of the queries come before the others, half after."""
    batch = make_batch(count, frames=frames, size=36, **options)
    early, late = [5, *range(6, 5 + frames)], [5, *range(frames - 1)]
    plan = [[late if row % 2 else early] for row in range(count)]
    return replace(batch, frame_index_BNT=torch.tensor(plan))


def embed(network: Any, name: str, frame_CHW: Tensor) -> list[float]:
    with torch.no_grad():
        return network.project(name, network(frame_CHW[None, :, None]))[0].tolist()


def unit(values: list[float]) -> list[float]:
    length = math.sqrt(sum(value * value for value in values))
    return [value / length for value in values]


def scalar_losses(method: SeCo, views: SeCoViews, row: int) -> dict[str, float]:
    """The three losses of one video, frame by frame."""
    slow = method.key_encoder.network
    frames = [views.twin_BCHW[row], *views.others_BPCHW[row]]

    def pulls(name: str, keys: list[list[float]]) -> list[float]:
        query = embed(method.online, name, views.query_BCHW[row])
        return [math.exp(cosine(query, key) / 0.1) for key in keys]

    assert method.inter is not None
    assert method.inter.negatives.queue is not None
    push = sum(pulls("inter", method.inter.negatives.queue.keys_KD.tolist()))
    inter = [
        -math.log(pull / (pull + push))
        for pull in pulls("inter", [embed(slow, "inter", frame) for frame in frames])
    ]
    own, *others = pulls("intra", [embed(slow, "intra", frame) for frame in frames])
    intra = [-math.log(own / (own + other)) for other in others]
    shown = unit(embed(method.online, "order", views.query_BCHW[row]))
    for frame in views.others_BPCHW[row]:
        shown += unit(embed(slow, "order", frame))
    assert method.order_classifier is not None
    linear = method.order_classifier.layers[0]
    logits = [
        sum(w * x for w, x in zip(weights, shown, strict=True)) + bias
        for weights, bias in zip(linear.weight.tolist(), linear.bias.tolist(), strict=True)
    ]
    order = math.log(sum(math.exp(logit) for logit in logits)) - logits[row % 2]
    return {"inter": sum(inter) / len(inter), "intra": sum(intra) / len(intra), "order": order}


@pytest.mark.parametrize("num_others", [1, 2, 4])
def test_every_loss_is_its_equation_worked_out_frame_by_frame(num_others: int) -> None:
    """In evaluation mode, where a frame's features do not depend on its batch."""
    method = build(clips=OppositeHalves(num_others)).eval()
    with torch.no_grad():  # the momentum encoder is another network, so that a mix-up would show
        for weight in method.key_encoder.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    views = method.make_views(batch_of(frames=1 + num_others))
    output = method(views)
    rows = [scalar_losses(method, views, row) for row in range(4)]
    for name in LOSSES:
        expected = sum(row[name] for row in rows) / 4
        assert output.terms[name].item() == pytest.approx(expected, rel=1e-4), name
    assert output.loss.item() == pytest.approx(sum(sum(row.values()) for row in rows) / 4, rel=1e-4)


def test_the_query_comes_first_in_its_row_and_says_on_which_side_the_others_are() -> None:
    method = build(augmentation=STILL)
    batch = make_batch(2, frames=3)
    batch = replace(batch, frame_index_BNT=torch.tensor([[[2, 7, 9]], [[8, 1, 1]]]))
    views = method.make_views(batch)
    pictures = batch.frames_BNTHWC[:, 0, :, 2:18, 2:18].permute(0, 1, 4, 2, 3) / 255
    torch.testing.assert_close(views.query_BCHW, pictures[:, 0])
    torch.testing.assert_close(views.twin_BCHW, pictures[:, 0])
    torch.testing.assert_close(views.others_BPCHW, pictures[:, 1:])
    assert views.is_late_B.tolist() == [0, 1]


def test_every_frame_is_augmented_by_itself() -> None:
    batch = batch_of()
    same = replace(batch, frames_BNTHWC=batch.frames_BNTHWC[:1, :, :1].expand(4, 1, 3, -1, -1, -1))
    views = build().make_views(same)
    pictures = torch.cat([views.query_BCHW, views.twin_BCHW, views.others_BPCHW.flatten(0, 1)])
    assert len({picture.numpy().tobytes() for picture in pictures}) == len(pictures) == 16


@pytest.mark.parametrize("changes", [*SUBSETS, {"queue_length": 0}], ids=str)
def test_each_network_sees_every_frame_once_and_all_weights_get_gradient(changes: dict[str, Any]) -> None:
    """Training with several processes waits for every gradient, so none may be missing."""
    method = build(**changes)
    seen: dict[str, list[int]] = {"online": [], "keys": []}
    method.backbone.register_forward_hook(lambda _, x, __: seen["online"].append(len(x[0])))
    method.key_encoder.network.backbone.register_forward_hook(lambda _, x, __: seen["keys"].append(len(x[0])))
    output = method(method.make_views(batch_of()))
    assert seen == {"online": [4], "keys": [12]}
    output.loss.backward()
    assert [n for n, p in method.named_parameters() if p.requires_grad and p.grad is None] == []
    assert not any(weight.requires_grad for weight in method.key_encoder.parameters())
    assert tuple(method.online.heads) == method.config.losses
    method.after_step(0.5)


def test_after_a_step_keys_are_stored_and_the_momentum_encoder_has_moved() -> None:
    method = build()
    before = [weight.clone() for weight in method.key_encoder.parameters()]
    with torch.no_grad():
        for weight in method.online.parameters():
            weight.add_(1.0)
    method(method.make_views(batch_of()))
    method.after_step(0.5)
    for old, new in zip(before, method.key_encoder.parameters(), strict=True):
        torch.testing.assert_close(new - old, torch.full_like(new, 0.001), atol=1e-6, rtol=0)
    assert method.inter is not None
    assert method.inter.negatives.queue is not None
    assert method.inter.negatives.queue.owners_K[:13].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, -1]


def test_shuffle_bn_changes_what_the_keys_are_normalised_with() -> None:
    """The order of frames in the batch is all that differs; without training mode nothing does."""
    views = build().make_views(batch_of(8))
    plain, grouped = (build(shuffle_bn_group=group)(views).terms["inter"].item() for group in (0, 4))
    assert plain != pytest.approx(grouped, rel=1e-5)
    plain, grouped = (build(shuffle_bn_group=group).eval()(views).terms["inter"].item() for group in (0, 4))
    assert plain == pytest.approx(grouped, rel=1e-5)


def test_a_file_of_moco_v2_fills_backbone_and_heads_of_both_networks(tmp_path: Path) -> None:
    path, mlp = moco_file(tmp_path / "moco_v2.pth.tar")
    method = build(initial_weights=path)
    reports = method.load_initial_weights()
    assert {name: report.share_loaded for name, report in reports.items()} == {"backbone": 1.0, "heads": 1.0}
    slow = method.key_encoder.network.state_dict()
    assert all(torch.equal(value, slow[name]) for name, value in method.online.state_dict().items())
    assert torch.equal(slow["heads.order.layers.0.weight"], mlp["0.weight"])
    assert build().load_initial_weights() == {}


def test_other_kinds_of_frames_are_refused() -> None:
    with pytest.raises(ValueError, match=r"method.clips must be OppositeHalves, got SegmentPairs"):
        replace(CONFIG, clips=SegmentPairs(3))


@pytest.mark.parametrize("loss", LOSSES)
def test_two_videos_are_needed_only_where_videos_are_contrasted_without_a_queue(loss: str) -> None:
    config = replace(CONFIG, **only(loss))
    assert config.min_videos == 1
    assert replace(config, queue_length=0).min_videos == (2 if loss == "inter" else 1)


def test_the_defaults_are_those_of_the_released_code() -> None:
    config = SeCo.Config()
    assert config.clips == OppositeHalves(num_others=2)
    assert (config.queue_length, config.temperature, config.momentum) == (131_072, 0.1, 0.999)
    assert (config.losses, config.intra_form) == (LOSSES, "official")
    method = config.build()
    assert method.order_classifier is not None
    assert method.order_classifier.layers[0].weight.shape == (2, 3 * 128)


@pytest.mark.gpu
def test_a_step_on_a_gpu_agrees_with_the_cpu() -> None:
    """The same weights and videos; in half precision the losses agree to about two digits."""
    expected = build()(build().make_views(batch_of())).terms
    method = build().cuda()
    views = method.make_views(batch_of().to(torch.device("cuda")))
    with torch.autocast("cuda", torch.bfloat16):
        output = method(views)
    output.loss.backward()
    method.after_step(0.5)
    for name in LOSSES:
        assert output.terms[name].item() == pytest.approx(expected[name].item(), rel=0.1, abs=0.05)
