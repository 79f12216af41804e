import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.features.test_encoder import random_clips
from tests.features.tiny import SPEC, build_encoder
from tests.features.tiny_classifier import CLASSES, CONFIG, build_classifier
from unreel.augment.evaluation_views import EvaluationViews
from unreel.augment.views import center_crop, ten_crops, three_crops
from unreel.errors import WeightsError
from unreel.features.classifier import Classifier, ClipClassifier, find_part
from unreel.features.classifier_files import ClassifierConfig
from unreel.features.input_spec import InputSpec
from unreel.models.c3d import C3DConfig
from unreel.models.classification_head import ClassificationHead
from unreel.models.mvit import MViTConfig
from unreel.models.r3d_plus1 import R3DPlus1Config
from unreel.models.resnet2d import ResNetConfig

TALL = InputSpec(sampling="segments", num_frames=3, decode_height=32, decode_width=0, crop_px=32)
ONE = EvaluationViews(clips=1)


def test_a_loaded_classifier_gives_the_same_scores(tmp_path: Path) -> None:
    classifier = build_classifier()
    classifier.provenance["training_counts"] = {"speed0": 4, "speed2": 1}
    classifier.save(tmp_path / "run" / "classifier")
    for folder in (tmp_path / "run", tmp_path / "run" / "classifier"):
        loaded = Classifier.load(folder)
        assert (loaded.hash, loaded.config, loaded.classes) == (classifier.hash, CONFIG, CLASSES)
        assert loaded.name == "run/classifier"
        assert loaded.training_counts == {"speed0": 4, "speed2": 1}
        clips = random_clips(3)
        np.testing.assert_array_equal(
            loaded.embed_clips(clips)["average"], classifier.embed_clips(clips)["average"]
        )
    assert not any(module.training for module in (loaded.backbone, loaded.head))


@pytest.mark.parametrize(
    "config",
    [
        ClassifierConfig(C3DConfig(width=0.125), replace(TALL, num_frames=8), ONE, CLASSES),
        ClassifierConfig(ResNetConfig(depth=18, width=0.125), TALL, ONE, CLASSES),
        ClassifierConfig(ResNetConfig(depth=18, width=0.125, temporal_shift=True), TALL, ONE, CLASSES),
        ClassifierConfig(R3DPlus1Config(width=0.0625), TALL, ONE, CLASSES),
        ClassifierConfig(
            MViTConfig(width=0.25, depths=(1, 1, 1, 1), size_px=32, num_frames=4),
            replace(TALL, sampling="clip", num_frames=4),
            ONE,
            CLASSES,
        ),
    ],
    ids=["c3d", "tsn", "tsm", "r3d_plus1", "mvit"],
)
def test_every_kind_of_network_can_classify_and_survives_the_files(
    tmp_path: Path, config: ClassifierConfig
) -> None:
    classifier = Classifier.untrained(config)
    classifier.save(tmp_path)
    loaded = Classifier.load(tmp_path)
    assert loaded.hash == classifier.hash
    frames = torch.randint(0, 256, (2, config.input.num_frames, 32, 40, 3), dtype=torch.uint8)
    found = loaded.embed_clips(frames)["average"]
    assert found.shape == (2, 1, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=2), 1, rtol=1e-5)
    # A network of frames averages their features, which is to average their scores.
    clips = center_crop(frames, 32)
    with torch.no_grad():
        features = loaded.backbone(clips)
        logits = features @ loaded.head.linear.weight.T + loaded.head.linear.bias
    np.testing.assert_allclose(found[:, 0], logits.softmax(1), rtol=1e-4, atol=1e-6)


def test_tsn_averages_the_scores_of_its_frames() -> None:
    config = ClassifierConfig(
        ResNetConfig(depth=18, width=0.125), TALL, replace(ONE, average="logits"), CLASSES
    )
    classifier = Classifier.untrained(config)
    frames = torch.randint(0, 256, (1, 3, 32, 40, 3), dtype=torch.uint8)
    together = classifier.embed_clips(frames)["average"][0, 0]
    alone = [classifier.embed_clips(frames[:, time : time + 1])["average"][0, 0] for time in range(3)]
    np.testing.assert_allclose(together, np.mean(alone, axis=0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("crops", "cut"), [("three", three_crops), ("ten", ten_crops)])
@pytest.mark.parametrize("average", ["logits", "probabilities"])
def test_every_crop_has_scores_of_its_own(crops: Any, cut: Any, average: Any) -> None:
    classifier = build_classifier(crops=crops, average=average)
    frames = random_clips(2)
    found = classifier.embed_clips(frames)["average"]
    clips_BRCTHW = cut(frames, SPEC.crop_px)
    assert found.shape == (2, clips_BRCTHW.shape[1], 3)
    for number in range(clips_BRCTHW.shape[1]):
        with torch.no_grad():
            logits = classifier.head(classifier.backbone(clips_BRCTHW[:, number]))
        expected = logits.softmax(1) if average == "probabilities" else logits
        np.testing.assert_allclose(found[:, number], expected, rtol=1e-4, atol=1e-5)
    assert len(np.unique(found[0].round(5), axis=0)) > 1


def test_tensors_of_several_sizes_are_one_batch() -> None:
    classifier = build_classifier(crops="three")
    wide, tall = random_clips(2), random_clips(1, height=40, width=20)
    together = classifier.embed_clips([wide, tall])["average"]
    alone = [classifier.embed_clips(part)["average"] for part in (wide, tall)]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-4, atol=1e-6)


def test_other_views_share_the_networks_and_change_the_hash() -> None:
    classifier = build_classifier().to("cpu", precision="bfloat16")
    other = classifier.with_views(replace(classifier.views, crops="three", crop_px=12))
    assert other.backbone is classifier.backbone
    assert other.head is classifier.head
    assert (other.views.crops, other.spec.crop_px, classifier.spec.crop_px) == ("three", 12, 16)
    assert other.precision == "bfloat16"
    assert other.hash != classifier.hash
    with pytest.raises(ValueError, match="does not fit"):
        classifier.with_views(EvaluationViews(crop_px=30))


def test_the_hash_changes_with_weights_and_classes() -> None:
    hashes = [build_classifier(seed=seed).hash for seed in (0, 0, 1)]
    hashes.append(build_classifier(config=replace(CONFIG, classes=("a", "b", "c"))).hash)
    changed = build_classifier()
    changed.head.linear.bias.data[0] += 1e-3
    assert hashes[0] == hashes[1]
    assert len({*hashes, changed.hash}) == 4


def test_bfloat16_is_near_and_its_scores_are_float32() -> None:
    classifier = build_classifier(average="logits")
    exact = classifier.embed_clips(random_clips(2))["average"]
    half = classifier.to("cpu", precision="bfloat16").embed_clips(random_clips(2))["average"]
    assert half.dtype == np.float32
    assert not np.array_equal(half, exact)
    np.testing.assert_allclose(half, exact, rtol=0.1, atol=0.1)


def test_a_classifier_is_a_clip_classifier_with_as_many_numbers_as_classes() -> None:
    classifier: ClipClassifier = build_classifier()
    assert (classifier.num_features, classifier.classes, classifier.spec) == (3, CLASSES, SPEC)
    assert build_classifier().training_counts is None


def test_a_network_in_training_mode_and_other_poolings_are_refused() -> None:
    classifier = build_classifier()
    with pytest.raises(ValueError, match=r"use pooling average, not \['frame'\]"):
        classifier.embed_clips(random_clips(1), ["frame"])
    classifier.head.train()
    with pytest.raises(ValueError, match=r"in training mode; call backbone.eval\(\) and head.eval\(\)"):
        classifier.embed_clips(random_clips(1))


def test_a_head_needs_a_score_per_class() -> None:
    classifier = build_classifier()
    head = ClassificationHead(classifier.backbone.num_features, 4)
    with pytest.raises(ValueError, match="the head gives 4 scores and there are 3 classes"):
        Classifier(classifier.backbone, head, CONFIG)


def change_description(folder: Path, **changes: object) -> None:
    path = folder / "classifier.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_damaged_and_mismatched_files_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"holds no classifier \(no classifier.json\)"):
        Classifier.load(tmp_path)
    build_classifier().save(tmp_path)
    change_description(tmp_path, classes=["speed0", "speed2", "speed1"])
    with pytest.raises(WeightsError, match="do not belong together or are damaged"):
        Classifier.load(tmp_path)
    change_description(tmp_path, classes=["speed0", "speed2"])
    with pytest.raises(WeightsError, match=r"head.linear.bias has shape \(3,\) instead of \(2,\)"):
        Classifier.load(tmp_path)
    change_description(tmp_path, classes=[])
    with pytest.raises(WeightsError, match="cannot be built: num_features and num_classes"):
        Classifier.load(tmp_path)
    change_description(tmp_path, classes=["a", "a"])
    with pytest.raises(WeightsError, match="classes must be different names"):
        Classifier.load(tmp_path)


def test_an_encoder_in_place_of_a_classifier_is_refused_with_what_makes_one_of_it(tmp_path: Path) -> None:
    build_encoder().save(tmp_path / "encoder")
    for folder in (tmp_path, tmp_path / "encoder"):
        with pytest.raises(WeightsError, match="has an encoder and no classifier; `unreel finetune` makes"):
            Classifier.load(folder)
    build_classifier().save(tmp_path / "classifier")
    assert Classifier.load(tmp_path).classes == CLASSES


def test_the_weights_of_an_encoder_are_not_those_of_a_classifier(tmp_path: Path) -> None:
    build_classifier().save(tmp_path)
    build_encoder().save(tmp_path / "other")
    (tmp_path / "model.safetensors").write_bytes((tmp_path / "other" / "model.safetensors").read_bytes())
    with pytest.raises(WeightsError, match=r"does not fit the network of classifier\.json"):
        Classifier.load(tmp_path)


def test_building_leaves_torchs_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    build_classifier()
    assert torch.equal(torch.rand(1), expected)


def test_a_part_of_a_run_is_found_and_anything_else_is_passed_on(tmp_path: Path) -> None:
    (tmp_path / "thing").mkdir()
    assert find_part(tmp_path, "thing", "thing.json") == tmp_path
    (tmp_path / "thing" / "thing.json").write_text("{}")
    assert find_part(tmp_path, "thing", "thing.json") == tmp_path / "thing"
    assert find_part(tmp_path / "thing", "thing", "thing.json") == tmp_path / "thing"


@pytest.mark.parametrize("counts", ["x", -1, True, [1], {"a": None}, {"a": float("inf")}, {"a": 10**400}, {}])
def test_counts_of_training_that_are_none_are_not_believed(counts: object) -> None:
    classifier = build_classifier()
    classifier.provenance["training_counts"] = counts
    assert classifier.training_counts is None


@pytest.mark.parametrize("width", [1e308, 10**400, 1e12, 1000.0])
def test_a_network_of_senseless_size_is_refused(tmp_path: Path, width: float) -> None:
    build_classifier().save(tmp_path)
    path = tmp_path / "classifier.json"
    values = json.loads(path.read_text())
    values["backbone"]["width"] = width
    path.write_text(json.dumps(values))
    with pytest.raises(WeightsError, match=r"cannot be built|larger than any number|does not fit"):
        Classifier.load(tmp_path)


def test_the_hash_of_the_network_is_that_of_any_views() -> None:
    classifier = build_classifier()
    other = classifier.with_views(replace(classifier.views, clips=classifier.views.clips + 1))
    assert other.hash != classifier.hash
    assert other.network_hash == classifier.network_hash
    assert Classifier.untrained(classifier.config, seed=9).network_hash != classifier.network_hash
