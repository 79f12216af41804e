import dataclasses
import json
from pathlib import Path

import pytest
import torch

from tests.corpus import shrink_recipe
from unreel.augment.compose import ClipAugmentation
from unreel.cli.main import run
from unreel.config import config_from_dict, config_to_dict
from unreel.data.clips import GridFrames, RandomClips
from unreel.features.encoder import Encoder
from unreel.methods.moco import MoCo
from unreel.models.resnet2d import ResNet2D, ResNetConfig
from unreel.models.weights import load_backbone_weights
from unreel.recipes import frame_moco, moco
from unreel.recipes.find import load_run_recipe
from unreel.train.pretrain import pretrain
from unreel.train.recipe import Recipe

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def method_of(recipe: Recipe) -> MoCo.Config:
    assert isinstance(recipe.method, MoCo.Config)
    return recipe.method


def test_the_frame_stage_of_cacl_has_the_numbers_of_moco_v1() -> None:
    recipe = frame_moco.ucf101()
    method, train = method_of(recipe), recipe.train
    assert method.backbone == ResNetConfig(depth=50, width=1.0)
    assert method.clips == GridFrames(count=1, every=10)
    assert (method.embedding_dim, method.hidden_dim) == (128, 0)
    assert (method.queue_length, method.momentum, method.temperature) == (65536, 0.999, 0.07)
    assert (method.instance, method.exclude_own_keys, method.shuffle_bn_group) == ("frame", True, 32)
    assert (train.optimizer.name, train.optimizer.lr, train.optimizer.momentum) == ("sgd", 0.03, 0.9)
    assert (train.optimizer.weight_decay, train.batch_size) == (1e-4, 256)
    schedule = train.schedule
    assert (schedule.name, schedule.decay_at, schedule.decay_factor) == ("milestones", (0.6, 0.8), 0.1)
    assert train.steps * train.batch_size == 200 * 180_000
    assert (recipe.data.height, recipe.data.width) == (256, 0)


def test_the_frame_stage_of_cacl_augments_as_moco_v1() -> None:
    augmentation = method_of(frame_moco.ucf101()).augmentation
    assert (augmentation.crop, augmentation.size_px) == ("random_resized", 224)
    assert augmentation.crop_area == (0.2, 1.0)
    assert (augmentation.jitter_prob, augmentation.grayscale_prob) == (1.0, 0.2)
    strengths = (augmentation.brightness, augmentation.contrast, augmentation.saturation, augmentation.hue)
    assert strengths == (0.4, 0.4, 0.4, 0.4)
    assert (augmentation.flip_prob, augmentation.blur_prob) == (0.5, 0.0)
    assert (augmentation.mean, augmentation.std) == IMAGENET


def test_v2_differs_from_v1_in_head_temperature_augmentation_and_schedule_alone() -> None:
    first, second = (config_to_dict(recipe) for recipe in (frame_moco.ucf101(), frame_moco.ucf101_v2()))
    changed = {
        ("method", "hidden_dim"): 2048,
        ("method", "temperature"): 0.2,
        ("method", "augmentation", "jitter_prob"): 0.8,
        ("method", "augmentation", "hue"): 0.1,
        ("method", "augmentation", "blur_prob"): 0.5,
        ("train", "schedule", "name"): "cosine",
    }
    for (*groups, name), value in changed.items():
        place = first
        for group in groups:
            place = place[group]
        assert place[name] != value
        place[name] = value
    assert first == second


def test_the_small_recipe_tells_frames_apart_by_what_is_where() -> None:
    recipe = frame_moco.small()
    method = method_of(recipe)
    assert (method.instance, method.clips.num_clips) == ("frame", 1)
    assert method.augmentation == ClipAugmentation.only_crop(48, mean=IMAGENET[0], std=IMAGENET[1])
    assert method.backbone == ResNetConfig(depth=18, width=0.25)
    assert (recipe.data.height, recipe.data.width, recipe.data.cache) == (48, 64, "ram")


@pytest.fixture(scope="module")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the small recipe, shrunk to two steps."""
    folder = tmp_path_factory.mktemp("frames") / "run"
    pretrain(shrink_recipe(frame_moco.small(), corpus), folder, recipe_name="frame_moco.small")
    return folder


def test_the_encoder_of_a_run_fills_the_frame_network_of_the_next_stage(trained: Path) -> None:
    encoder = Encoder.load(trained / "encoder")
    assert (encoder.spec.num_frames, encoder.spec.mean, encoder.spec.std) == (1, *IMAGENET)
    network = ResNet2D(depth=18, width=0.125)
    report = load_backbone_weights(network, trained / "encoder")
    assert report.share_loaded == 1.0
    assert report.file == trained / "encoder" / "model.safetensors"
    expected = encoder.backbone.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())


def test_a_checkpoint_of_a_run_gives_the_trained_network_not_its_momentum_copy(trained: Path) -> None:
    (path,) = (trained / "checkpoints").iterdir()
    network = ResNet2D(depth=18, width=0.125)
    report = load_backbone_weights(network, path)
    assert report.prefix == "online.backbone."
    expected = Encoder.load(trained / "encoder").backbone.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())


def test_a_run_is_read_back_with_its_kind_of_clips(trained: Path) -> None:
    name, recipe = load_run_recipe(trained)
    assert name == "frame_moco.small"
    assert recipe.method.clips == frame_moco.small().method.clips


def test_runs_from_before_there_were_frames_are_still_read() -> None:
    recipe = moco.small()
    settings = json.loads(json.dumps(config_to_dict(recipe)))
    del settings["method"]["instance"], settings["train"]["schedule"]["decay_at"]
    assert set(settings["method"]["clips"]) == {field.name for field in dataclasses.fields(RandomClips)}
    assert config_from_dict(moco.small(), settings) == recipe


def test_clips_of_the_wrong_kind_are_refused_by_name() -> None:
    settings = {"method": {"clips": {"num_frames": 16}}}
    with pytest.raises(ValueError, match=r"unknown setting 'method.clips.num_frames'"):
        config_from_dict(frame_moco.small(), settings)


def test_the_grid_is_a_flag(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["pretrain", "frame_moco.small", "--run", str(tmp_path / "run"), "--data.catalog", str(corpus)]
    small = ["--method.augmentation.size-px", "16", "--method.backbone.width", "0.125", "--data.height", "18"]
    short = ["--data.width", "24", "--train.batch-size", "4", "--train.steps", "1"]
    changes = ["--method.clips.every", "5", "--train.schedule.decay-at", "0.25", "0.5"]
    assert run([*words, *small, *short, *changes]) == 0
    settings = json.loads((tmp_path / "run" / "recipe.json").read_text())["settings"]
    assert settings["method"]["clips"] == {"count": 1, "every": 5}
    assert settings["train"]["schedule"]["decay_at"] == [0.25, 0.5]
    capsys.readouterr()


def test_the_help_lists_the_settings_of_the_grid(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pretrain", "frame_moco.ucf101", "--help"]) == 0
    printed = capsys.readouterr().out
    for flag in ("--method.clips.every INT", "--method.clips.count INT", "--train.schedule.decay-at"):
        assert flag in printed
    assert "--method.clips.frame-stride" not in printed
