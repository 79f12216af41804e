"""Cross-entropy in plain numbers, what a frozen network keeps, which settings are refused."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.methods.batches import make_batch
from unreel.augment.compose import ClipAugmentation
from unreel.data.clips import RandomClips
from unreel.data.segments import SegmentFrames
from unreel.errors import WeightsError
from unreel.features.encoder import Encoder
from unreel.features.encoder_files import EncoderConfig
from unreel.features.input_spec import InputSpec
from unreel.methods.supervised import SCRATCH, Supervised, SupervisedViews
from unreel.models.c3d import C3DConfig
from unreel.models.mvit import MViTConfig
from unreel.models.r3d_plus1 import R3DPlus1Config
from unreel.models.resnet2d import ResNetConfig
from unreel.models.resnet3d import R3DConfig

CONFIG = Supervised.Config(
    clips=RandomClips(1, 8, 1),
    augmentation=ClipAugmentation.only_crop(16),
    backbone=C3DConfig(width=0.125),
    classes=("clap", "jump", "run"),
)


def build(seed: int = 0, **settings: Any) -> Supervised:
    torch.manual_seed(seed)
    return replace(CONFIG, **settings).build()


def random_views(batch: int = 5, frames: int = 8) -> SupervisedViews:
    generator = torch.Generator().manual_seed(1)
    clips = torch.randn((batch, 3, frames, 16, 16), generator=generator)
    return SupervisedViews(clips, torch.arange(batch) % 3)


def step(method: Supervised, views: SupervisedViews, lr: float = 0.1) -> Tensor:
    """One step of plain SGD; return the loss before it."""
    weights = [p for group in method.parameter_groups() for p in group.parameters if p.requires_grad]
    optimizer = torch.optim.SGD(weights, lr=lr)
    loss = method(views).loss
    torch.autograd.backward(loss)
    optimizer.step()
    return loss.detach()


def test_the_loss_is_the_cross_entropy_of_the_classes() -> None:
    method, views = build(init_std=2.0), random_views()  # batch statistics tell the clips apart
    output = method(views)
    with torch.no_grad():
        features = method.backbone(views.clips_BCTHW).tolist()
    weight, bias = method.head.linear.weight.tolist(), method.head.linear.bias.tolist()
    losses, num_right = [], 0
    for vector, own in zip(features, views.classes_B.tolist(), strict=True):
        logits = [
            sum(w * x for w, x in zip(row, vector, strict=True)) + b
            for row, b in zip(weight, bias, strict=True)
        ]
        losses.append(math.log(sum(math.exp(logit) for logit in logits)) - logits[own])
        num_right += logits.index(max(logits)) == own
    assert output.loss.item() == pytest.approx(sum(losses) / 5, rel=1e-5)
    assert output.terms["cross_entropy"].item() == pytest.approx(sum(losses) / 5, rel=1e-5)
    assert output.terms["accuracy"].item() == pytest.approx(num_right / 5)
    assert not any(term.requires_grad for term in output.terms.values())


def test_a_classifier_that_knows_nothing_loses_the_logarithm_of_the_classes() -> None:
    method = build()
    torch.nn.init.zeros_(method.head.linear.weight)
    torch.nn.init.zeros_(method.head.linear.bias)
    assert method(random_views()).loss.item() == pytest.approx(math.log(3), rel=1e-6)


def test_labels_belong_to_their_own_clips() -> None:
    method, views = build(init_std=2.0), random_views()
    order = torch.tensor([3, 0, 4, 2, 1])
    shuffled = SupervisedViews(views.clips_BCTHW[order], views.classes_B[order])
    assert method(shuffled).loss.item() == pytest.approx(method(views).loss.item(), rel=1e-5)
    crossed = SupervisedViews(views.clips_BCTHW[order], views.classes_B)
    assert abs(method(crossed).loss.item() - method(views).loss.item()) > 0.1


def test_views_are_the_augmented_clip_and_the_class() -> None:
    method, batch = build(), make_batch(4, clips=1, frames=8)
    views = method.make_views(batch)
    expected = CONFIG.augmentation.apply(batch.frames_BNTHWC[:, 0], batch.generator("view"))
    assert torch.equal(views.clips_BCTHW, expected)
    assert torch.equal(views.classes_B, batch.labels_B)
    assert views.clips_BCTHW.shape == (4, 3, 8, 16, 16)


@pytest.mark.parametrize("is_per_frame", [False, True])
def test_dropout_of_frames_or_of_their_mean(is_per_frame: bool) -> None:
    resnet = ResNetConfig(depth=18, width=0.125)
    method = build(
        backbone=resnet, clips=SegmentFrames(4), dropout_prob=0.5, is_dropout_per_frame=is_per_frame
    )
    seen: list[Tensor] = []
    method.head.register_forward_hook(lambda module, given, scores: seen.append(given[0]))
    views = random_views(frames=4)
    method(views)
    assert seen[0].shape == ((5, 4, method.backbone.num_features) if is_per_frame else (5, 64))
    # Without dropout both are the mean of the frames' scores.
    method.eval()
    with torch.no_grad():
        alone = [method.head(method.backbone(views.clips_BCTHW[:, :, time : time + 1])) for time in range(4)]
        mean = torch.stack(alone).mean(dim=0)
        expected = torch.nn.functional.cross_entropy(mean, views.classes_B)
        assert method(views).loss.item() == pytest.approx(expected.item(), rel=1e-4)


def test_one_step_moves_network_and_classifier_and_lowers_the_loss() -> None:
    method, views = build(), random_views()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    first = step(method, views)
    assert method(views).loss < first
    moved = {name for name, value in method.state_dict().items() if not torch.equal(value, before[name])}
    assert {"head.linear.weight", "head.linear.bias", "network.conv1.conv.weight"} <= moved


def test_a_frozen_network_keeps_weights_and_statistics_and_takes_no_gradient() -> None:
    method, views = build(is_frozen=True, dropout_prob=0.2), random_views()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    losses = []
    for _ in range(3):
        method.train()
        losses.append(step(method, views))
    assert not method.network.training
    assert method.head.training
    assert not any(module.training for module in method.network.modules())
    moved = {name for name, value in method.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"head.linear.weight", "head.linear.bias"}
    assert all(parameter.grad is None for parameter in method.network.parameters())
    assert not any(parameter.requires_grad for parameter in method.network.parameters())
    method.eval()
    assert not method.head.training
    assert not method(SupervisedViews(views.clips_BCTHW, views.classes_B)).loss.isnan()


def test_a_frozen_network_scores_a_clip_alike_in_any_batch() -> None:
    method, views = build(is_frozen=True).train(), random_views()
    together = method.extract(views.clips_BCTHW)
    torch.testing.assert_close(method.extract(views.clips_BCTHW[:1])[0], together[0], rtol=1e-4, atol=1e-5)
    learning = build().train()
    apart = learning.extract(views.clips_BCTHW[:2])[0] - learning.extract(views.clips_BCTHW)[0]
    assert apart.abs().max() > 1e-3


def test_the_scores_after_dropout_depend_on_the_draw_alone() -> None:
    method, views = build(dropout_prob=0.5, is_frozen=True), random_views()
    losses = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        losses.append(method(views).loss.item())
    assert losses[0] == losses[1] != losses[2]


def test_fresh_weights_of_the_classifier_have_the_deviation_asked_for() -> None:
    head = build(init_std=0.01, backbone=C3DConfig(width=0.5)).head.linear
    assert head.weight.std().item() == pytest.approx(0.01, rel=0.15)
    assert not head.bias.any()


def test_a_few_steps_learn_the_classes_by_heart() -> None:
    method, views = build(), random_views(6)
    for _ in range(25):
        step(method, views, lr=0.05)
    assert method(views).terms["accuracy"].item() == 1.0


def write_encoder(folder: Path, mean: float = 0.0, config: Any = CONFIG.backbone) -> Path:
    torch.manual_seed(9)
    Encoder(config.build(), EncoderConfig(config, InputSpec(mean=(mean,) * 3))).save(folder)
    return folder


@pytest.mark.parametrize("is_frozen", [False, True])
def test_the_network_starts_from_an_encoder(tmp_path: Path, is_frozen: bool) -> None:
    method = build(initial_weights=write_encoder(tmp_path / "encoder"), is_frozen=is_frozen)
    report = method.load_initial_weights()["backbone"]
    assert report.share_loaded == 1.0
    trained = Encoder.load(tmp_path / "encoder").backbone.state_dict()
    assert all(torch.equal(value, trained[name]) for name, value in method.backbone.state_dict().items())
    assert build().load_initial_weights() == {}


def test_a_network_of_another_width_is_refused(tmp_path: Path) -> None:
    method = build(initial_weights=write_encoder(tmp_path / "encoder"), backbone=C3DConfig(width=0.25))
    with pytest.raises(WeightsError, match=r"only 0% of the weights of C3D fit.* Choose the architecture"):
        method.load_initial_weights()


def test_a_frozen_network_needs_all_its_weights(tmp_path: Path) -> None:
    state = CONFIG.backbone.build().state_dict()
    torch.save({name: value for name, value in state.items() if "conv5b" not in name}, tmp_path / "most.pt")
    assert build(initial_weights=tmp_path / "most.pt").load_initial_weights()["backbone"].share_loaded < 1
    with pytest.raises(WeightsError, match="of the weights of C3D fit"):
        build(initial_weights=tmp_path / "most.pt", is_frozen=True).load_initial_weights()


def test_what_a_person_should_know_is_said(tmp_path: Path) -> None:
    (scratch,) = CONFIG.cautions()
    assert scratch == (
        "no weights are given, so this is training from scratch; give --encoder to start from an encoder"
    )
    assert "a classifier on random features" in replace(CONFIG, is_frozen=True).cautions()[0]
    same = replace(CONFIG, initial_weights=write_encoder(tmp_path / "same"))
    assert same.cautions() == ()
    (other,) = replace(CONFIG, initial_weights=write_encoder(tmp_path / "other", mean=0.5)).cautions()
    assert "other was trained on pixels of mean (0.5, 0.5, 0.5) and std (1.0, 1.0, 1.0)" in other
    assert "these settings have (0.0, 0.0, 0.0)" in other
    assert "--method.input-from encoder" in other
    bare = replace(CONFIG, initial_weights=tmp_path / "weights.pth")
    assert bare.cautions() == ()
    (unknown,) = replace(bare, input_from="encoder").cautions()
    assert "weights.pth does not say what its network was fed" in unknown


def test_a_transformer_that_gets_other_crops_is_told_of() -> None:
    mvit = MViTConfig(width=0.25, depths=(1, 1, 2, 2), size_px=64)
    config = replace(CONFIG, backbone=mvit, initial_weights=Path("file.pth"))
    (caution,) = config.cautions()
    assert "was made for crops of 64 pixels and gets 16" in caution
    assert replace(config, augmentation=ClipAugmentation.only_crop(64)).cautions() == ()


def test_paths_become_absolute_and_the_word_random_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert CONFIG.with_absolute_paths().initial_weights == SCRATCH
    assert not CONFIG.has_initial_weights
    config = replace(CONFIG, initial_weights=Path("a/encoder")).with_absolute_paths()
    assert config.initial_weights == tmp_path / "a" / "encoder"
    assert config.has_initial_weights


def test_labels_are_needed_and_two_videos_unless_nothing_is_normalised_anew() -> None:
    assert CONFIG.needs_labels
    assert (CONFIG.min_videos, replace(CONFIG, is_frozen=True).min_videos) == (2, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clips": RandomClips(2, 8, 1)}, "method.clips must give one clip of a video, got 2; set .* to 1"),
        ({"classes": ("run", "run")}, r"method.classes must be different names, got \['run', 'run'\]"),
        ({"classes": ("run", "")}, "method.classes must be different names"),
        ({"backbone_lr_factor": 0.0}, r"method.backbone_lr_factor must lie in \(0, 1\], got 0.0"),
        ({"backbone_lr_factor": 1.5}, "method.backbone_lr_factor must lie in .*, got 1.5"),
        ({"layer_lr_decay": -0.5}, "method.layer_lr_decay must lie in .*, got -0.5"),
        ({"layer_lr_decay": math.nan}, "method.layer_lr_decay must lie in .*, got nan"),
        ({"layer_lr_decay": 0.5, "is_frozen": True}, "layer_lr_decay = 0.5 is for a network that learns"),
        ({"backbone_lr_factor": 0.1, "is_frozen": True}, "backbone_lr_factor = 0.1 .* method.is_frozen"),
    ],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **change)


@pytest.mark.parametrize("classes", [(), ("run",)])
def test_one_class_or_none_cannot_be_built(classes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"method.classes must be at least two names, got .*unreel finetune"):
        build(classes=classes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dropout_prob": 1.0}, r"dropout_prob must be in \[0, 1\), got 1.0"),
        ({"init_std": -0.1}, "init_std must not be negative, got -0.1"),
    ],
)
def test_the_classifier_refuses_its_own_settings(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**change)


@pytest.mark.parametrize(
    "backbone", [R3DPlus1Config(width=0.125), MViTConfig(width=0.25, depths=(1, 1, 1, 1), size_px=32)]
)
def test_frames_that_are_not_what_the_clip_is_made_of_cannot_lose_features(backbone: Any) -> None:
    """They would be trained on one thing and tested by another: conv6, or the class token."""
    with pytest.raises(ValueError, match=rf"those of {backbone.architecture} are not; leave it False"):
        build(backbone=backbone, is_dropout_per_frame=True)


def test_a_step_is_followed_by_nothing_and_the_network_is_the_backbone() -> None:
    method = build(backbone=R3DConfig(depth=10, width=0.125))
    before = {name: value.clone() for name, value in method.state_dict().items()}
    method.after_step(0.5)
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
    assert method.backbone is method.network
