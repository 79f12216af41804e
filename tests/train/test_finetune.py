"""Learning classes: the same weights however it is interrupted, right classes, refusals before training."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from tests.corpus import shrink_recipe
from tests.train.runs import is_same, load_weights
from unreel.augment.evaluation_views import EvaluationViews
from unreel.data.catalog import Catalog
from unreel.data.clips import FramePerPart, RandomClips, WholeVideo
from unreel.data.segments import SegmentFrames
from unreel.distributed import Rank
from unreel.errors import CatalogError, TrainingError, WeightsError
from unreel.evaluate.recognition import evaluate_recognition
from unreel.features.classifier import Classifier
from unreel.features.encoder import Encoder
from unreel.features.encoder_files import EncoderConfig
from unreel.features.input_spec import InputSpec
from unreel.features.reading import ReadConfig
from unreel.methods.supervised import Supervised
from unreel.models.c3d import C3DConfig
from unreel.models.mvit import MViTConfig
from unreel.models.resnet2d import ResNetConfig
from unreel.models.s3d import S3DConfig
from unreel.models.zoo import BACKBONES, BackboneConfig
from unreel.progress import ignore_progress
from unreel.recipes import finetune as recipes
from unreel.recipes import finetune_ccl, finetune_vclr, moco
from unreel.recipes.find import load_run_recipe
from unreel.train.finetune import (
    adopt_input,
    check_network,
    finetune,
    name_classes,
    start_from,
    with_weights,
)
from unreel.train.pretrain import pretrain
from unreel.train.recipe import Recipe
from unreel.train.sources import open_videos

NAME = "finetune.small"
C3D = C3DConfig(width=0.125)
SMALL_INPUT = InputSpec(num_frames=8, frame_stride=1, decode_height=18, decode_width=24, crop_px=16)


def build_recipe(catalog: Path, *, steps: int = 6, method: Any = None, **train: Any) -> Recipe:
    """Return the small recipe, shrunk, with dropout and clips of eight frames."""
    recipe = shrink_recipe(recipes.small(), catalog, steps=steps)
    settings = {"clips": RandomClips(1, 8, 1), "views": EvaluationViews(clips=2)} | (method or {})
    return replace(
        recipe,
        method=replace(recipe.method, **settings),
        data=replace(recipe.data, cache="none"),
        train=replace(recipe.train, **train),
    )


def method_of(recipe: Recipe) -> Supervised.Config:
    assert isinstance(recipe.method, Supervised.Config)
    return recipe.method


def write_encoder(
    folder: Path, backbone: BackboneConfig = C3D, spec: InputSpec = SMALL_INPUT, seed: int = 5
) -> Path:
    torch.manual_seed(seed)
    Encoder(backbone.build(), EncoderConfig(backbone, spec)).save(folder)
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoders") / "c3d")


@pytest.fixture(scope="module")
def finished(corpus: Path, encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run of six steps from an encoder."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    finetune(start_from(build_recipe(corpus), encoder), run, recipe_name=NAME)
    return run


def test_a_run_leaves_a_classifier_and_an_encoder(corpus: Path, encoder: Path, finished: Path) -> None:
    state = load_weights(finished)
    classifier, exported = Classifier.load(finished), Encoder.load(finished / "encoder")
    for name, value in exported.backbone.state_dict().items():
        assert torch.equal(value, state[f"network.{name}"])
        assert torch.equal(value, classifier.backbone.state_dict()[name])
    assert torch.equal(classifier.head.linear.weight, state["head.linear.weight"])
    assert classifier.classes == ("speed0", "speed1", "speed2")
    assert classifier.training_counts == {"speed0": 3, "speed1": 3, "speed2": 3}
    assert classifier.provenance["step"] == 6
    assert classifier.provenance["recipe"] == NAME
    assert classifier.config.input == replace(SMALL_INPUT, short_video="shrink_stride")
    assert classifier.views == EvaluationViews(clips=2)
    (part,) = json.loads((finished / "provenance.json").read_text())["parts"]
    assert part["initial_weights"]["backbone"]["share_loaded"] == 1.0
    assert part["cautions"] == []
    settings = json.loads((finished / "recipe.json").read_text())["settings"]["method"]
    assert settings["classes"] == ["speed0", "speed1", "speed2"]
    assert settings["initial_weights"] == str(encoder)
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert {"loss", "cross_entropy", "accuracy"} <= lines[-1].keys()


def test_an_interrupted_run_resumed_ends_with_the_weights_of_the_uninterrupted_one(
    corpus: Path, encoder: Path, finished: Path, tmp_path: Path
) -> None:
    """Dropout included, whose draws must be those of the step; and without the encoder."""
    run, own = tmp_path / "run", tmp_path / "encoder"
    shutil.copytree(encoder, own)

    def die(done: int, total: int, note: str) -> None:
        if done == 5 and "loss" in note:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        finetune(start_from(build_recipe(corpus), own), run, recipe_name=NAME, progress=die)
    shutil.rmtree(own)
    name, kept = load_run_recipe(run)
    assert method_of(kept).classes == ("speed0", "speed1", "speed2")
    assert method_of(kept).views == EvaluationViews(clips=2)
    summary = finetune(kept, run, recipe_name=name, is_resumed=True)
    assert (summary.first_step, summary.steps) == (4, 6)
    assert is_same(load_weights(run), load_weights(finished))
    assert Classifier.load(run).hash == Classifier.load(finished).hash


def test_dropout_matters_to_the_weights(corpus: Path, encoder: Path, finished: Path, tmp_path: Path) -> None:
    recipe = start_from(build_recipe(corpus, method={"dropout_prob": 0.0}), encoder)
    finetune(recipe, tmp_path / "run", recipe_name=NAME)
    assert not is_same(load_weights(tmp_path / "run"), load_weights(finished))


def test_a_resumed_run_cannot_change_classes_or_catalog(corpus: Path, finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    name, kept = load_run_recipe(run)
    other = replace(kept, method=replace(kept.method, classes=("a", "b", "c")))
    with pytest.raises(TrainingError, match="written with other settings"):
        finetune(other, run, recipe_name=name, is_resumed=True)
    fewer = replace(kept, data=replace(kept.data, videos_per_class=2))
    with pytest.raises(TrainingError, match="written with other settings"):
        finetune(fewer, run, recipe_name=name, is_resumed=True)


@pytest.mark.parametrize(
    ("kind", "backbone", "spec"),
    [
        (FramePerPart, C3D, replace(SMALL_INPUT, sampling="frame_per_part", span_frames=16)),
        (SegmentFrames, ResNetConfig(depth=18, width=0.125), replace(SMALL_INPUT, num_frames=1)),
    ],
)
def test_a_run_with_other_clips_than_its_recipe_is_resumed(
    corpus: Path, tmp_path: Path, kind: type, backbone: BackboneConfig, spec: InputSpec
) -> None:
    encoder = write_encoder(tmp_path / "encoder", backbone, spec)
    recipe = start_from(build_recipe(corpus, steps=1), encoder)
    assert isinstance(recipe.method.clips, kind)
    finetune(recipe, tmp_path / "run", recipe_name=NAME)
    name, kept = load_run_recipe(tmp_path / "run")
    assert kept.method.clips == recipe.method.clips
    assert finetune(kept, tmp_path / "run", recipe_name=name, is_resumed=True).first_step == 1


def test_a_frozen_network_is_exported_as_it_came(corpus: Path, encoder: Path, tmp_path: Path) -> None:
    method = {"is_frozen": True, "dropout_prob": 0.2}
    recipe = start_from(build_recipe(corpus, steps=4, method=method), encoder)
    finetune(recipe, tmp_path / "run", recipe_name=NAME)
    came, left = Encoder.load(encoder), Encoder.load(tmp_path / "run" / "encoder")
    assert is_same(came.backbone.state_dict(), left.backbone.state_dict())
    torch.manual_seed(0)
    untrained = replace(name_classes(recipe).method, initial_weights=Path("random")).build()
    moved = (
        load_weights(tmp_path / "run")["head.linear.weight"] - untrained.state_dict()["head.linear.weight"]
    )
    assert moved.norm() > 1e-3


def shuffle_catalog(corpus: Path, folder: Path, labels: list[str] | None = None) -> Path:
    """Copy the corpus with its rows in another order, or with other labels."""
    shutil.copytree(corpus.parent, folder)
    catalog = Catalog.load(folder / "catalog.parquet", root=folder)
    if labels is None:
        catalog = catalog.take(np.random.default_rng(3).permutation(len(catalog)))
    else:
        place = catalog.table.schema.get_field_index("label")
        column = catalog.table.schema.field("label")
        table = catalog.table.set_column(place, column, pa.array(labels, type=column.type))
        catalog = Catalog(table, catalog.root)
    catalog.save(folder / "catalog.parquet")
    return folder / "catalog.parquet"


def test_a_class_has_the_number_of_its_name_whatever_the_order_of_the_catalog(
    corpus: Path, tmp_path: Path
) -> None:
    shuffled = shuffle_catalog(corpus, tmp_path / "shuffled")
    recipe = name_classes(build_recipe(shuffled))
    classes = method_of(recipe).classes
    assert classes == ("speed0", "speed1", "speed2")
    source = open_videos(recipe, Rank(0, 1, 0))
    assert list(source.catalog.labels) != sorted(source.catalog.labels)
    batches = source.open(ignore_progress, torch.device("cpu"))
    method = recipe.method.build()
    for number in range(4):
        batch = batches[number]
        names = [classes[label] for label in method.make_views(batch).classes_B]
        assert names == [source.catalog.labels[row] for row in batch.video_index_B]


def test_a_tiny_run_learns_to_tell_speeds(corpus: Path, tmp_path: Path) -> None:
    recipe = build_recipe(corpus, steps=60, method={"dropout_prob": 0.0}, batch_size=8)
    augmentation = replace(recipe.method.augmentation, crop="center")
    recipe = replace(recipe, method=replace(recipe.method, augmentation=augmentation))
    recipe = replace(recipe, data=replace(recipe.data, cache="ram"))
    optimizer = replace(recipe.train.optimizer, lr=5e-3)
    recipe = replace(recipe, train=replace(recipe.train, optimizer=optimizer, checkpoint_every_steps=100))
    finetune(recipe, tmp_path / "run", recipe_name=NAME)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert np.mean([line["accuracy"] for line in lines[-10:]]) > 0.8  # chance is a third
    assert np.mean([line["loss"] for line in lines[-10:]]) < 0.5 * np.mean(
        [line["loss"] for line in lines[:10]]
    )
    classifier = Classifier.load(tmp_path / "run")
    read = ReadConfig(num_workers=0)
    seen = evaluate_recognition(classifier, Catalog.load(corpus), split="train", read=read)
    assert seen.accuracy.top1 > 0.7


# What is refused, before anything is trained.


def test_one_class_or_no_labels_are_refused(corpus: Path, tmp_path: Path) -> None:
    one = shuffle_catalog(corpus, tmp_path / "one", ["run"] * 12)
    with pytest.raises(CatalogError, match=r"all 9 training videos have the label 'run'; .* two classes"):
        finetune(build_recipe(one), tmp_path / "run", recipe_name=NAME)
    none = shuffle_catalog(corpus, tmp_path / "none", [""] * 12)
    with pytest.raises(CatalogError, match="none of the 9 videos has a label to learn"):
        finetune(build_recipe(none), tmp_path / "run", recipe_name=NAME)
    assert not (tmp_path / "run").exists()


def test_videos_without_label_are_left_out_and_listed(corpus: Path, tmp_path: Path) -> None:
    labels = ["", *Catalog.load(corpus).labels[1:]]
    some = shuffle_catalog(corpus, tmp_path / "some", labels)
    summary = finetune(build_recipe(some, steps=1), tmp_path / "run", recipe_name=NAME)
    assert (summary.num_videos, summary.num_left_out) == (8, 1)
    assert "has no label" in (tmp_path / "run" / "rejected.csv").read_text()


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("jump", "speed0", "speed1", "speed2"), r": 1 have no training video \(jump\); leave .* empty"),
        (("speed0", "speed2"), r": 1 are not named \(speed1\); leave"),
        (("a", "b"), r"2 have no training video \(a, b\), 3 are not named \(speed0, speed1, speed2\)"),
        (("speed1", "speed0", "speed2"), ": they must be in alphabetical order; leave method.classes empty"),
    ],
)
def test_classes_of_other_videos_are_refused(corpus: Path, classes: tuple[str, ...], message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        name_classes(build_recipe(corpus, method={"classes": classes}))
    kept = build_recipe(corpus, method={"classes": ("speed0", "speed1", "speed2")})
    assert name_classes(kept) == kept


def test_recipes_of_representations_are_refused_here_and_those_of_classes_there(
    corpus: Path, finished: Path, tmp_path: Path
) -> None:
    recipe = shrink_recipe(moco.small(), corpus)
    for use in (name_classes, lambda it: with_weights(it, Path("x")), lambda it: start_from(it, Path("x"))):
        with pytest.raises(ValueError, match=r"takes a recipe of Supervised, got .*Config; those of"):
            use(recipe)
    with pytest.raises(TrainingError, match=r"learns no classes; `unreel pretrain --resume"):
        finetune(recipe, tmp_path / "run", recipe_name="moco.small", is_resumed=True)
    with pytest.raises(ValueError, match=r"learns classes, .*: `unreel finetune finetune.small`"):
        pretrain(build_recipe(corpus), tmp_path / "run", recipe_name=NAME)
    name, kept = load_run_recipe(finished)
    with pytest.raises(ValueError, match=rf"`unreel finetune --resume {finished}`"):
        pretrain(kept, finished, recipe_name=name, is_resumed=True)


def with_classes(recipe: Recipe, **method: Any) -> Recipe:
    return replace(recipe, method=replace(recipe.method, classes=("a", "b"), **method))


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            {"backbone": S3DConfig(width=0.125)},
            r"\(s3d\) does not take the clips of training, 8 frames of 16 x",
        ),
        ({"clips": RandomClips(1, 4, 1)}, r"\(c3d\) .* training, 4 frames .*C3D needs clips of at least 8"),
        (
            {"views": EvaluationViews(num_frames=4)},
            r"the clips of testing, 4 frames .*Set method.views to what",
        ),
        ({"views": EvaluationViews(crop_px=17, height=16)}, "crop of 17 pixels does not fit"),
        ({"clips": SegmentFrames(8), "views": EvaluationViews(clips=2)}, "clips_per_video must be 1"),
        (
            {"clips": FramePerPart(1, 8), "views": EvaluationViews(starts="offset")},
            'views.starts="offset" is for clips of a fixed stride',
        ),
        ({"clips": WholeVideo()}, "takes clips of a certain length, got WholeVideo"),
        ({"dropout_prob": 1.0}, r"dropout_prob must be in \[0, 1\)"),
        ({"grouping": "tsm", "layer_lr_decay": 0.5}, "has factors of its own"),
        (
            {"backbone": S3DConfig(), "clips": RandomClips(1, 8, 1), "grouping": "cacl_official"},
            "last two stages",
        ),
        (
            {"backbone": ResNetConfig(depth=18, temporal_shift=True), "clips": SegmentFrames(1)},
            "temporal_shift needs clips of several frames",
        ),
    ],
)
def test_what_cannot_be_trained_or_tested_is_refused_at_once(
    corpus: Path, tmp_path: Path, method: dict[str, Any], message: str
) -> None:
    recipe = with_classes(build_recipe(corpus), **method)
    with pytest.raises(ValueError, match=message):
        check_network(recipe)
    with pytest.raises(ValueError, match=message):
        finetune(
            replace(recipe, method=replace(recipe.method, classes=())), tmp_path / "run", recipe_name=NAME
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", BACKBONES)
def test_every_network_passes_the_check_with_clips_that_it_takes(name: str) -> None:
    backbone = BACKBONES[name]
    size_px = getattr(backbone, "size_px", 112)
    method = replace(recipes.full().method, backbone=backbone, clips=RandomClips(1, 16, 2))
    augmentation = replace(method.augmentation, size_px=size_px)
    recipe = replace(recipes.full(), method=replace(method, augmentation=augmentation))
    check_network(with_classes(recipe))


def test_the_check_of_a_large_network_computes_nothing() -> None:
    state = torch.get_rng_state()
    check_network(with_classes(finetune_vclr.ucf101_s3d()))
    check_network(with_classes(finetune_vclr.activitynet_tsn()))
    assert torch.equal(torch.get_rng_state(), state)


# Starting from an encoder.


def test_the_network_of_the_encoder_is_taken_and_its_input_where_that_is_wanted(encoder: Path) -> None:
    recipe = recipes.full()
    started = start_from(recipe, encoder)
    method = method_of(started)
    assert method.backbone == C3D
    assert method.initial_weights == encoder
    assert method.clips == RandomClips(1, 8, 1)
    assert method.augmentation == replace(recipe.method.augmentation, size_px=16)
    assert (started.data.height, started.data.width) == (18, 24)
    assert started.train == recipe.train
    kept = start_from(finetune_ccl.paper(), encoder)
    assert kept.method.backbone == C3D
    assert kept.method.clips == finetune_ccl.paper().method.clips
    assert kept.data == finetune_ccl.paper().data


def test_a_run_stands_for_its_encoder(encoder: Path, tmp_path: Path) -> None:
    shutil.copytree(encoder, tmp_path / "run" / "encoder")
    assert (
        method_of(start_from(recipes.full(), tmp_path / "run")).initial_weights
        == tmp_path / "run" / "encoder"
    )
    with pytest.raises(WeightsError, match="nothing"):
        start_from(recipes.full(), tmp_path / "nothing")


def test_normalisation_comes_with_the_input(tmp_path: Path) -> None:
    spec = replace(SMALL_INPUT, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), decode_width=0)
    encoder = write_encoder(tmp_path / "encoder", spec=spec)
    recipe = start_from(recipes.linear(), encoder)
    assert (recipe.method.augmentation.mean, recipe.method.augmentation.std) == (spec.mean, spec.std)
    assert (recipe.data.height, recipe.data.width) == (18, 0)
    assert recipe.method.cautions() == ()


@pytest.mark.parametrize(
    ("spec", "clips", "views"),
    [
        (InputSpec(num_frames=16, frame_stride=4), RandomClips(1, 16, 4), EvaluationViews()),
        (
            InputSpec(sampling="frame_per_part", num_frames=8, span_frames=64),
            FramePerPart(1, 8, 64),
            EvaluationViews(),
        ),
        (InputSpec(sampling="segments", num_frames=8), SegmentFrames(8), EvaluationViews(clips=1)),
        (InputSpec(num_frames=1), SegmentFrames(3), EvaluationViews(clips=1, num_frames=25)),
        (
            InputSpec(sampling="segments", num_frames=1),
            SegmentFrames(3),
            EvaluationViews(clips=1, num_frames=25),
        ),
    ],
    ids=["clip", "frame_per_part", "segments", "single frames", "one segment"],
)
def test_clips_and_views_are_those_that_the_encoder_knows(
    spec: InputSpec, clips: object, views: EvaluationViews
) -> None:
    method = method_of(adopt_input(recipes.full(), EncoderConfig(ResNetConfig(), spec)))
    assert (method.clips, method.views) == (clips, views)


def test_frames_that_are_asked_for_in_testing_are_kept() -> None:
    recipe = recipes.full()
    recipe = replace(recipe, method=replace(recipe.method, views=EvaluationViews(num_frames=7)))
    adopted = adopt_input(recipe, EncoderConfig(ResNetConfig(), InputSpec(num_frames=1)))
    assert method_of(adopted).views == EvaluationViews(clips=1, num_frames=7)


def test_shift_and_drop_path_are_those_of_the_recipe(tmp_path: Path) -> None:
    frames = write_encoder(
        tmp_path / "frames", ResNetConfig(depth=18, width=0.125), replace(SMALL_INPUT, num_frames=1)
    )
    shifted = start_from(finetune_vclr.ssv2_tsm(), frames).method.backbone
    assert shifted == ResNetConfig(depth=18, width=0.125, temporal_shift=True, shift_divisor=8)
    mvit = MViTConfig(width=0.25, depths=(1, 1, 1, 1), size_px=64, num_frames=8)
    transformer = write_encoder(tmp_path / "mvit", mvit, replace(SMALL_INPUT, crop_px=64))
    recipe = recipes.full()
    dropping = replace(recipe, method=replace(recipe.method, backbone=MViTConfig(drop_path=0.2)))
    assert start_from(dropping, transformer).method.backbone == replace(mvit, drop_path=0.2)
    assert start_from(recipe, transformer).method.backbone == mvit


def test_a_file_of_weights_is_for_the_network_of_the_recipe(corpus: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    torch.save(C3D.build().state_dict(), tmp_path / "c3d.pth")
    recipe = with_weights(build_recipe(corpus, steps=1), tmp_path / "c3d.pth")
    assert recipe.method.backbone == C3D
    warnings: list[str] = []
    summary = finetune(recipe, tmp_path / "run", recipe_name=NAME, warn=warnings.append)
    assert "100% of the weights loaded" in summary.initial_weights["backbone"]
    assert [warning.partition("c3d.pth ")[2] for warning in warnings] == [
        "does not say what its network was fed, so clips, sizes and normalisation are those of the settings"
    ]
    wide = replace(recipe, method=replace(recipe.method, backbone=C3DConfig(width=0.25)))
    with pytest.raises(WeightsError, match="only 0% of the weights of C3D fit"):
        finetune(wide, tmp_path / "wide", recipe_name=NAME)
