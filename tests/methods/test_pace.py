import math
import multiprocessing
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.methods.test_pace_views import make_paced_batch
from unreel.augment.compose import ClipAugmentation
from unreel.data.batch import VideoBatch
from unreel.data.pace_clips import NO_PACE, PaceClips
from unreel.distributed import gather_rows, read_rank, start_process_group, stop_process_group
from unreel.methods.pace import Pace, classify_paces, contrast_clips
from unreel.methods.pace_views import PaceViews
from unreel.models.c3d import C3DConfig
from unreel.models.r2d3d import R2D3DConfig
from unreel.models.r3d_50 import R3D50Config
from unreel.models.r3d_plus1 import R3DPlus1Config
from unreel.models.resnet2d import ResNetConfig
from unreel.models.resnet3d import R2Plus1DConfig, R3DConfig
from unreel.models.s3d import S3DConfig
from unreel.models.zoo import BackboneConfig
from unreel.seeding import build_generator, derive_key

CONFIG = Pace.Config(
    clips=PaceClips(num_frames=4),
    augmentation=ClipAugmentation(size_px=16, blur_prob=0.0),
    backbone=R3DConfig(depth=10, width=0.125),
    embedding_dim=8,
    hidden_dim=8,
)


def build(config: Pace.Config = CONFIG) -> Pace:
    torch.manual_seed(0)
    return config.build().train()


def masks(
    positives: list[set[int]], negatives: list[set[int]], keys: int
) -> tuple[torch.Tensor, torch.Tensor]:
    is_positive, is_negative = (
        torch.tensor([[key in chosen for key in range(keys)] for chosen in kind])
        for kind in (positives, negatives)
    )
    return is_positive, is_negative


def test_the_defaults_are_those_that_the_recipes_describe() -> None:
    config = Pace.Config()
    assert (config.pace_weight, config.contrast_weight, config.positives) == (1.0, 0.1, "context")
    assert (config.clips.count, config.clips.num_frames, config.clips.paces) == (2, 16, (1, 2, 3, 4))
    augmentation = config.augmentation
    strengths = (augmentation.brightness, augmentation.contrast, augmentation.saturation, augmentation.hue)
    assert strengths == (0.8, 0.8, 0.8, 0.2)
    assert (augmentation.crop, augmentation.size_px, augmentation.flip_prob) == ("random", 112, 0.5)
    probs = (augmentation.jitter_prob, augmentation.grayscale_prob, augmentation.blur_prob)
    assert probs == (0.8, 0.0, 0.0)
    assert config.backbone == R2Plus1DConfig(depth=10)


@given(
    queries=st.integers(1, 4),
    extra_keys=st.integers(0, 3),
    dim=st.integers(1, 4),
    temperature=st.floats(0.1, 2.0),
    similarity=st.sampled_from(["cosine", "dot"]),
    seed=st.integers(0, 1000),
)
def test_the_contrast_is_the_average_pair_of_the_average_clip(
    queries: int,
    extra_keys: int,
    dim: int,
    temperature: float,
    similarity: Literal["cosine", "dot"],
    seed: int,
) -> None:
    rng = build_generator("pairs", seed)
    num_keys = queries + extra_keys
    query, key = rng.normal(size=(queries, dim)).tolist(), rng.normal(size=(num_keys, dim)).tolist()
    kind = rng.integers(0, 3, size=(queries, num_keys)).tolist()  # neither, positive, negative
    per_clip, num_right = [], 0
    for q, row in enumerate(kind):
        scores = []
        for g in range(num_keys):
            score = sum(a * b for a, b in zip(query[q], key[g], strict=True))
            if similarity == "cosine":
                score /= math.hypot(*query[q]) * math.hypot(*key[g])
            scores.append(score / temperature)
        negative = sum(math.exp(scores[g]) for g in range(num_keys) if row[g] == 2)
        pairs = [math.log(1 + negative / math.exp(scores[g])) for g in range(num_keys) if row[g] == 1]
        if pairs and negative:
            per_clip.append(sum(pairs) / len(pairs))
            best = max((g for g in range(num_keys) if row[g]), key=lambda g: scores[g])
            num_right += row[best] == 1
    loss, accuracy = contrast_clips(
        torch.tensor(query),
        torch.tensor(key),
        torch.tensor(kind) == 1,
        torch.tensor(kind) == 2,
        temperature=temperature,
        similarity=similarity,
    )
    expected = sum(per_clip) / len(per_clip) if per_clip else 0.0
    assert loss.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)
    # Keys of one dimension are all alike or opposite: ties have no nearest.
    if dim > 1:
        assert accuracy.item() == pytest.approx(num_right / max(len(per_clip), 1), abs=1e-6)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_a_contrast_of_equals_is_the_logarithm_of_the_choice(similarity: Literal["cosine", "dot"]) -> None:
    """Three videos of two clips: the twin among four clips of others, log 5."""
    alike = torch.ones(6, 3)
    twins = [{row ^ 1} for row in range(6)]
    others = [set(range(6)) - {row, row ^ 1} for row in range(6)]
    loss, _ = contrast_clips(alike, alike, *masks(twins, others, 6), temperature=0.1, similarity=similarity)
    assert loss.item() == pytest.approx(math.log(5), rel=1e-6)


def test_a_clip_without_partner_or_without_rival_is_left_out_and_keeps_gradients_finite() -> None:
    query = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    lonely = masks([set(), {0}, {3}, {2}], [{1, 2}, set(), {0, 1}, {0, 1}], 4)
    loss, _ = contrast_clips(query, query, *lonely, temperature=0.1)
    (gradient,) = torch.autograd.grad(loss, query)
    assert torch.isfinite(gradient).all()
    two = masks([set(), set(), {3}, {2}], [set(), set(), {0, 1}, {0, 1}], 4)
    assert loss.item() == pytest.approx(contrast_clips(query, query, *two, temperature=0.1)[0].item())
    nobody = masks([set()] * 4, [{1, 2}] * 4, 4)
    loss, accuracy = contrast_clips(query, query, *nobody, temperature=0.1)
    assert (loss.item(), accuracy.item()) == (0.0, 0.0)
    assert torch.equal(torch.autograd.grad(loss, query)[0], torch.zeros_like(query))


@given(rows=st.integers(1, 6), num_paces=st.integers(2, 5), seed=st.integers(0, 1000))
def test_the_pace_is_judged_over_clips_that_have_one(rows: int, num_paces: int, seed: int) -> None:
    rng = build_generator("paces", seed)
    logits = rng.normal(size=(rows, num_paces)).tolist()
    answers = rng.integers(-1, num_paces, size=rows).tolist()
    losses, rights = [], []
    for row, answer in zip(logits, answers, strict=True):
        if answer != NO_PACE:
            losses.append(math.log(sum(math.exp(score) for score in row)) - row[answer])
            rights.append(max(row) == row[answer])
    loss, accuracy = classify_paces(torch.tensor(logits), torch.tensor(answers))
    assert loss.item() == pytest.approx(sum(losses) / max(len(losses), 1), rel=1e-4, abs=1e-6)
    assert accuracy.item() == pytest.approx(sum(rights) / max(len(rights), 1))


def test_chance_is_the_logarithm_of_the_number_of_paces() -> None:
    loss, _ = classify_paces(torch.zeros(5, 4), torch.tensor([0, 1, 2, 3, NO_PACE]))
    assert loss.item() == pytest.approx(math.log(4))


def test_the_loss_is_the_weighted_sum_and_starts_near_chance() -> None:
    output = build()(build().make_views(make_paced_batch()))
    terms = output.terms
    assert set(terms) == {"pace", "pace_accuracy", "contrast", "contrast_accuracy", "labelled"}
    expected = terms["pace"] + 0.1 * terms["contrast"]
    assert output.loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert terms["pace"].item() == pytest.approx(math.log(4), abs=0.5)
    assert terms["labelled"].item() == 6 / 8
    assert not any(term.requires_grad for term in terms.values())


def test_losses_are_float32_under_autocast() -> None:
    method = build()
    views = method.make_views(make_paced_batch())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = method(views)
    assert {output.loss.dtype, *(term.dtype for term in output.terms.values())} == {torch.float32}
    assert output.loss.item() == pytest.approx(build()(views).loss.item(), rel=0.1)
    embedding = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    pairs = masks([{1}, {0}, {3}, {2}], [{2, 3}, {2, 3}, {0, 1}, {0, 1}], 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded, _ = contrast_clips(embedding, embedding, *pairs, temperature=0.1)
    exact, _ = contrast_clips(embedding.float(), embedding.float(), *pairs, temperature=0.1)
    assert rounded.item() == exact.item()


def contrast_of(
    method: Pace, views: PaceViews, positives: list[set[int]], negatives: list[set[int]]
) -> float:
    embedding = method.heads["contrast"](method.backbone(views.clips_QCTHW))
    pairs = masks(positives, negatives, len(embedding))
    return contrast_clips(embedding, embedding, *pairs, temperature=0.1)[0].item()


def test_same_context_contrasts_clips_of_a_video_with_all_others_stills_too() -> None:
    views = build().make_views(make_paced_batch())
    twins = [{row ^ 1} for row in range(8)]
    others = [set(range(8)) - {row, row ^ 1} for row in range(8)]
    assert build()(views).terms["contrast"].item() == pytest.approx(
        contrast_of(build(), views, twins, others), rel=1e-5
    )


def test_same_pace_contrasts_clips_of_a_pace_with_those_of_others_without_stills() -> None:
    config = replace(CONFIG, positives="pace")
    views = build(config).make_views(make_paced_batch())
    # The classes are 0 3 | 3 0 | 1 2 | still still; clips 4 and 5 have no partner.
    positives = [{3}, {2}, {1}, {0}, set(), set(), set(), set()]
    negatives = [{1, 2, 4, 5}, {0, 3, 4, 5}, {0, 3, 4, 5}, {1, 2, 4, 5}, *([set()] * 4)]
    assert build(config)(views).terms["contrast"].item() == pytest.approx(
        contrast_of(build(config), views, positives, negatives), rel=1e-5
    )


def test_settings_of_the_contrast_reach_it() -> None:
    views = build().make_views(make_paced_batch())
    plain = build()(views).terms["contrast"].item()
    for change in ({"temperature": 1.0}, {"similarity": "dot"}, {"positives": "pace"}):
        assert build(replace(CONFIG, **change))(views).terms["contrast"].item() != pytest.approx(
            plain, rel=1e-3
        )
    colors = build(replace(CONFIG, color_draws="frame")).make_views(make_paced_batch())
    assert not torch.equal(colors.clips_QCTHW, views.clips_QCTHW)


@pytest.mark.parametrize(
    ("changes", "head"),
    [({"contrast_weight": 0.0}, "pace"), ({"pace_weight": 0.0}, "contrast")],
)
def test_each_loss_can_be_switched_off_with_its_head(changes: dict[str, float], head: str) -> None:
    method = build(replace(CONFIG, **changes))
    output = method(method.make_views(make_paced_batch()))
    assert list(method.heads) == [head]
    assert set(output.terms) == {head, f"{head}_accuracy", "labelled"}
    output.loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in method.parameters())


def test_gradient_reaches_every_weight_and_each_head_from_its_loss_alone() -> None:
    method = build()
    views = method.make_views(make_paced_batch())
    method(views).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in method.parameters())
    shared = {name: p.grad for name, p in method.heads.named_parameters()}
    alone = build(replace(CONFIG, contrast_weight=0.0))
    alone.load_state_dict(method.state_dict(), strict=False)
    alone(views).loss.backward()
    for name, parameter in alone.heads.named_parameters():
        torch.testing.assert_close(parameter.grad, shared[name])


def test_a_batch_of_stills_teaches_no_pace() -> None:
    batch = make_paced_batch()
    method = build(replace(CONFIG, contrast_weight=0.0))
    stills = replace(batch, frame_index_BNT=torch.zeros_like(batch.frame_index_BNT))
    output = method(method.make_views(stills))
    assert (output.loss.item(), output.terms["labelled"].item()) == (0.0, 0.0)
    output.loss.backward()
    assert all(p.grad is None or not p.grad.any() for p in method.parameters())


@pytest.mark.parametrize(
    "backbone",
    [
        C3DConfig(width=0.125),
        R2Plus1DConfig(depth=10, width=0.125),
        R3DPlus1Config(width=0.125),
        S3DConfig(width=0.125),
        R3D50Config(width=0.125),
        R2D3DConfig(width=0.125),
    ],
    ids=lambda config: config.architecture,
)
def test_any_network_that_sees_clips_learns(backbone: BackboneConfig) -> None:
    augmentation = replace(CONFIG.augmentation, size_px=32)
    config = replace(CONFIG, backbone=backbone, augmentation=augmentation, clips=PaceClips(num_frames=16))
    method = build(config)
    views = method.make_views(make_paced_batch(frames=16))
    output = method(views)
    output.loss.backward()
    assert torch.isfinite(output.loss)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in method.backbone.parameters())


def test_networks_of_single_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="must see clips, got ResNetConfig: single frames have no pace"):
        replace(CONFIG, backbone=ResNetConfig())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pace_weight": 0.0, "contrast_weight": 0.0}, "nothing is learned"),
        ({"pace_weight": -1.0}, r"method.pace_weight must be 0 or a positive number, got -1"),
        ({"contrast_weight": math.inf}, r"method.contrast_weight must be 0 or a positive number, got inf"),
        ({"temperature": 0.0}, "temperature must be positive, got 0"),
        ({"clips": PaceClips(count=1)}, r"method.clips.count must be at least 2, got 1: clips of one video"),
    ],
)
def test_settings_that_teach_nothing_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **changes)


def test_one_clip_is_enough_without_a_contrast_of_videos() -> None:
    one = PaceClips(count=1, num_frames=4)
    for change in ({"contrast_weight": 0.0}, {"positives": "pace"}):
        method = build(replace(CONFIG, clips=one, **change))
        assert torch.isfinite(method(method.make_views(make_paced_batch(clips=1))).loss)
    assert (CONFIG.min_videos, replace(CONFIG, contrast_weight=0.0).min_videos) == (2, 1)


def test_nothing_changes_after_a_step() -> None:
    method = build()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    method.after_step(1.0)
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())


def make_moving_batch(step: int, rule: PaceClips, *, num_videos: int = 8) -> VideoBatch:
    """Return clips of bars that drift by one pixel per frame of the video; place and colour vary."""
    batch = make_paced_batch(clips=rule.count, frames=rule.num_frames)
    plans = [rule.sample(90, build_generator("drift", step, video)).frames_NT for video in range(num_videos)]
    index = torch.stack([torch.from_numpy(plan) for plan in plans])
    draws = build_generator("look", step)
    place = torch.from_numpy(draws.integers(0, 12, size=(num_videos, 1, 1, 1)))
    light = torch.from_numpy(draws.integers(120, 255, size=(num_videos, 1, 1, 1, 1, 3)))
    is_bar = ((torch.arange(20) - index[..., None] - place) % 12 < 6)[:, :, :, None, :, None]
    frames = (is_bar * light).expand(-1, -1, -1, 20, -1, -1).to(torch.uint8)
    return replace(
        batch,
        frames_BNTHWC=frames.contiguous(),
        sizes_B2=torch.full((num_videos, 2), 20),
        video_index_B=torch.arange(num_videos),
        frame_index_BNT=index,
        keys_B=torch.tensor([derive_key(step, video) for video in range(num_videos)]),
    )


def test_a_tiny_run_learns_to_tell_the_pace_of_clips_it_has_not_seen() -> None:
    rule = PaceClips(num_frames=6, starts="fitting")
    method = build(replace(CONFIG, clips=rule, augmentation=ClipAugmentation.only_crop(16)))
    optimizer = torch.optim.AdamW(method.parameters(), lr=3e-3)
    for step in range(60):
        optimizer.zero_grad()
        method(method.make_views(make_moving_batch(step, rule))).loss.backward()
        optimizer.step()
    with torch.no_grad():
        accuracies = [
            method(method.make_views(make_moving_batch(1000 + step, rule))).terms["pace_accuracy"].item()
            for step in range(4)
        ]
    assert sum(accuracies) / 4 > 0.8  # 0.25 by chance


def shared_rows() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return embeddings, scores and classes of eight clips; of the last four, two have no pace."""
    generator = torch.Generator().manual_seed(0)
    classes = torch.tensor([0, 1, 2, 0, NO_PACE, NO_PACE, 3, 1])
    return torch.randn(8, 5, generator=generator), torch.randn(8, 4, generator=generator), classes


def losses_of(rows: slice, positives: Literal["context", "pace"]) -> list[torch.Tensor]:
    """Return both losses and accuracies of some rows among all, and the gradients of the losses."""
    embedding, scores, classes = shared_rows()
    embedding, scores = embedding[rows].requires_grad_(), scores[rows].requires_grad_()
    views = PaceViews(torch.empty(0), classes[rows], torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])[rows])
    method = build(replace(CONFIG, positives=positives))
    results = [*classify_paces(scores, views.class_Q), *method._contrast(embedding, views)]
    (results[0] + results[2]).backward()
    assert embedding.grad is not None
    assert scores.grad is not None
    return [*(result.detach() for result in results), embedding.grad, scores.grad]


def compute_as(rank: int, port: int, out: Path) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    start_process_group(read_rank(), torch.device("cpu"))
    found = {}
    for positives in ("context", "pace"):
        parts = losses_of(slice(4 * rank, 4 * rank + 4), positives)  # type: ignore[arg-type]
        found[positives] = [gather_rows(part.reshape(1, -1) if part.ndim == 0 else part) for part in parts]
    if rank == 0:
        torch.save(found, out)
    stop_process_group()


def test_two_processes_compute_what_one_would(tmp_path: Path) -> None:
    """Losses average to that of all rows, though one half has four paces and the other two."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    arguments = (port, tmp_path / "found.pt")
    processes = [context.Process(target=compute_as, args=(rank, *arguments)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(100)
        assert process.exitcode == 0
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    for positives in ("context", "pace"):
        alone = losses_of(slice(0, 8), positives)  # type: ignore[arg-type]
        for part, whole in zip(found[positives][:4], alone[:4], strict=True):
            assert part.mean().item() == pytest.approx(whole.item(), rel=1e-5)
        for part, whole in zip(found[positives][4:], alone[4:], strict=True):
            torch.testing.assert_close(part / 2, whole)  # processes' gradients are averaged
