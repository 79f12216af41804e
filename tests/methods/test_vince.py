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
from unreel.data.frame_pairs import RandomFramePairs
from unreel.data.segments import SegmentPairs
from unreel.methods.vince import HEAD, VINCE, VINCEViews
from unreel.models.resnet2d import ResNetConfig

CONFIG = VINCE.Config(
    augmentation=ClipAugmentation(size_px=32),
    backbone=ResNetConfig(depth=18, width=0.125),
    initial_weights=Path("random"),
    embedding_dim=8,
    hidden_dim=16,
    queue_length=24,
    shuffle_bn_group=0,
)


def build(**changes: Any) -> VINCE:
    torch.manual_seed(0)
    return replace(CONFIG, **changes).build().train()


def views_of(method: VINCE, count: int = 3, **options: Any) -> VINCEViews:
    assert isinstance(method.config.clips, RandomFramePairs)
    frames = method.config.clips.num_pairs
    return method.make_views(make_batch(count, clips=2, frames=frames, size=36, **options))


def embed(network: Any, frames_NCHW: Tensor) -> list[list[float]]:
    with torch.no_grad():
        return [network.project(HEAD, network(frame[None, :, None]))[0].tolist() for frame in frames_NCHW]


@pytest.mark.parametrize(("queue_length", "is_excluding"), [(24, True), (24, False), (0, True)])
def test_all_pairs_of_a_video_pull_and_all_other_videos_push(queue_length: int, is_excluding: bool) -> None:
    """Worked out pair by pair; the queue holds an earlier key of video 1."""
    method = build(clips=RandomFramePairs(2), queue_length=queue_length, exclude_own_keys=is_excluding).eval()
    with torch.no_grad():  # the momentum encoder is another network, so that a mix-up would show
        for weight in method.key_encoder.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    queue: list[tuple[int, list[float]]] = []
    if method.negatives.queue is not None:
        method.negatives.queue.owners_K[3] = 1
        queue = list(
            zip(
                method.negatives.queue.owners_K.tolist(), method.negatives.queue.keys_KD.tolist(), strict=True
            )
        )
    views = views_of(method)
    queries = [embed(method.online, frames) for frames in views.query_BNCHW]
    keys = [embed(method.key_encoder.network, frames) for frames in views.key_BNCHW]
    losses, nearest = [], []
    for video in range(3):
        pushing = [key for other in range(3) if other != video for key in keys[other]]
        pushing += [key for owner, key in queue if owner != video or not is_excluding]
        for query in queries[video]:
            push = sum(math.exp(cosine(query, key) / 0.07) for key in pushing)
            for key in keys[video]:
                pull = math.exp(cosine(query, key) / 0.07)
                losses.append(-math.log(pull / (pull + push)))
            similarity = [max(cosine(query, key) for key in keys[other]) for other in range(3)]
            nearest.append(max(similarity) == similarity[video])
    output = method(views)
    assert len(losses) == 3 * 2 * 2
    assert output.loss.item() == pytest.approx(sum(losses) / 12, rel=1e-4)
    assert output.terms["batch_accuracy"].item() == pytest.approx(sum(nearest) / 6)
    pulls = [cosine(q, k) for video in range(3) for q in queries[video] for k in keys[video]]
    assert output.terms["positive_similarity"].item() == pytest.approx(sum(pulls) / 12, rel=1e-4)


def test_without_differences_the_loss_is_at_chance() -> None:
    """The keys of two other videos, four each, and the whole queue: log(1 + 8 + 24)."""
    method = build()
    assert method.negatives.queue is not None
    with torch.no_grad():
        for head in (method.online.heads[HEAD], method.key_encoder.network.heads[HEAD]):
            head.layers[-1].weight.zero_()
            head.layers[-1].bias.copy_(torch.eye(8)[0])
        method.negatives.queue.keys_KD.copy_(torch.eye(8)[0].expand(24, -1))
    assert method(views_of(method)).loss.item() == pytest.approx(math.log(33), rel=1e-6)


def test_queries_learn_and_keys_do_not() -> None:
    method = build()
    views = views_of(method)
    views.query_BNCHW.requires_grad_()
    views.key_BNCHW.requires_grad_()
    seen: list[int] = []
    method.backbone.register_forward_hook(lambda _, x, __: seen.append(len(x[0])))
    method(views).loss.backward()
    assert seen == [12]
    assert views.query_BNCHW.grad is not None
    assert (views.query_BNCHW.grad.abs().sum(dim=(2, 3, 4)) > 0).all()
    assert views.key_BNCHW.grad is None
    assert [n for n, p in method.named_parameters() if p.requires_grad and p.grad is None] == []
    assert not any(weight.requires_grad for weight in method.key_encoder.parameters())


def test_after_a_step_all_keys_are_stored_and_the_momentum_encoder_has_moved() -> None:
    method = build()
    assert method.negatives.queue is not None
    before, keys = (
        [w.clone() for w in method.key_encoder.parameters()],
        method.negatives.queue.keys_KD.clone(),
    )
    with torch.no_grad():
        for weight in method.online.parameters():
            weight.add_(1.0)
    method(views_of(method))
    assert torch.equal(method.negatives.queue.keys_KD, keys)
    method.after_step(0.5)
    assert method.negatives.queue.owners_K[:13].tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [-1]
    for old, new in zip(before, method.key_encoder.parameters(), strict=True):
        torch.testing.assert_close(new - old, torch.full_like(new, 0.001), atol=1e-6, rtol=0)
    method.after_step(0.6)
    assert method.negatives.queue.position.item() == 12


def test_shuffle_bn_changes_what_the_keys_are_normalised_with() -> None:
    views = views_of(build(), 4)
    plain, grouped = (build(shuffle_bn_group=group)(views).loss.item() for group in (0, 8))
    assert plain != pytest.approx(grouped, rel=1e-5)
    plain, grouped = (build(shuffle_bn_group=group).eval()(views).loss.item() for group in (0, 8))
    assert plain == pytest.approx(grouped, rel=1e-5)


def test_a_file_of_moco_v2_fills_both_networks(tmp_path: Path) -> None:
    path, mlp = moco_file(tmp_path / "moco_v2.pth.tar")
    method = build(initial_weights=path)
    reports = method.load_initial_weights()
    assert {name: report.share_loaded for name, report in reports.items()} == {"backbone": 1.0, "heads": 1.0}
    slow = method.key_encoder.network.state_dict()
    assert all(torch.equal(value, slow[name]) for name, value in method.online.state_dict().items())
    assert torch.equal(slow[f"heads.{HEAD}.layers.0.weight"], mlp["0.weight"])
    assert build().load_initial_weights() == {}


def test_the_defaults_are_those_of_the_released_code() -> None:
    config = VINCE.Config()
    assert config.clips == RandomFramePairs(num_pairs=4)
    assert (config.queue_length, config.temperature, config.momentum) == (65_536, 0.07, 0.999)
    assert (config.embedding_dim, config.min_videos, replace(config, queue_length=0).min_videos) == (64, 1, 2)


def test_one_video_of_many_frames_is_nothing_to_contrast_without_a_queue() -> None:
    """Its eight keys are all its own; a loss of zero would look like success."""
    method = build(queue_length=0)
    with pytest.raises(ValueError, match=r"method.queue_length = 0 .* there is none"):
        method(views_of(method, 1))


def test_other_kinds_of_frames_are_refused() -> None:
    with pytest.raises(ValueError, match=r"method.clips must be RandomFramePairs, got SegmentPairs"):
        replace(CONFIG, clips=SegmentPairs(3))


def test_videos_are_told_apart_by_a_tiny_network() -> None:
    """Eight videos, each of one colour and some noise: 60 steps bring the loss well below chance."""
    still = ClipAugmentation.only_crop(32, mean=(0.5,) * 3, std=(0.25,) * 3)
    method = build(augmentation=still, queue_length=0, momentum=0.9, clips=RandomFramePairs(2))
    optimizer = torch.optim.AdamW(method.parameters(), lr=2e-3)
    colors = torch.randint(0, 220, (8, 1, 1, 1, 1, 3), generator=torch.Generator().manual_seed(1))
    for step in range(60):
        batch = make_batch(8, clips=2, frames=2, size=36, seed=step)
        batch = replace(batch, frames_BNTHWC=(colors + batch.frames_BNTHWC % 36).to(torch.uint8))
        output = method(method.make_views(batch))
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        method.after_step((step + 1) / 60)
    assert output.loss.item() < 0.4 * math.log(1 + 7 * 2)
    assert output.terms["batch_accuracy"].item() > 0.8
