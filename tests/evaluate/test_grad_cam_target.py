from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.features.tiny import SPEC, build_encoder, build_frame_encoder
from unreel.errors import FeaturesError
from unreel.evaluate.grad_cam import score_own_direction
from unreel.evaluate.grad_cam_target import Target
from unreel.evaluate.linear_classifier import LinearClassifier
from unreel.features.encoder import Encoder
from unreel.features.encoder_files import EncoderConfig
from unreel.features.input_spec import InputSpec
from unreel.models.mvit import MViTConfig
from unreel.models.resnet3d import R3DConfig

CLASSES = ("jump", "run", "walk")


def build_classifier(
    num_features: int, *, encoder_hash: str = "0" * 16, pooling: str = "average", has_bias: bool = True
) -> LinearClassifier:
    rng = np.random.default_rng(0)
    return LinearClassifier(
        classes=CLASSES,
        weights_CD=rng.standard_normal((3, num_features)).astype(np.float32),
        bias_C=rng.standard_normal(3).astype(np.float32) if has_bias else None,
        encoder_hash=encoder_hash,
        pooling=pooling,
    )


def fitting(encoder: Encoder, *, pooling: str = "average") -> LinearClassifier:
    return build_classifier(encoder.num_features, encoder_hash=encoder.hash, pooling=pooling)


def draw_maps(num_clips: int, num_features: int, seed: int = 0) -> Tensor:
    values = np.random.default_rng(seed).standard_normal((num_clips, num_features, 2, 2, 3))
    return torch.from_numpy(values).float()


def score_by_hand(classifier: LinearClassifier, number: int, clip_DTHW: Tensor) -> float:
    feature = [sum(channel) / len(channel) for channel in clip_DTHW.flatten(1).double().tolist()]
    bias = 0.0 if classifier.bias_C is None else float(classifier.bias_C[number])
    weights = classifier.weights_CD[number].tolist()
    return bias + sum(weight * value for weight, value in zip(weights, feature, strict=True))


def test_without_classifier_it_is_the_direction_of_the_feature_itself() -> None:
    assert Target().choose(draw_maps(2, 4)) == ("", score_own_direction)
    Target().check(build_encoder())


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 50), st.booleans())
def test_the_class_of_a_video_is_the_one_with_the_highest_mean_score(
    num_clips: int, num_features: int, seed: int, has_bias: bool
) -> None:
    classifier = build_classifier(num_features, has_bias=has_bias)
    map_NDTHW = draw_maps(num_clips, num_features, seed)
    name, score = Target(classifier).choose(map_NDTHW)
    means = [
        sum(score_by_hand(classifier, number, clip) for clip in map_NDTHW) / num_clips for number in range(3)
    ]
    number = CLASSES.index(name)
    assert means[number] == pytest.approx(max(means), abs=1e-4)
    expected = [score_by_hand(classifier, number, clip) for clip in map_NDTHW]
    assert score(map_NDTHW).tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_that_is_named_is_taken_whatever_its_score(name: str) -> None:
    classifier = build_classifier(4)
    map_NDTHW = draw_maps(2, 4)
    found, score = Target(classifier, name).choose(map_NDTHW)
    assert found == name
    expected = [score_by_hand(classifier, CLASSES.index(name), clip) for clip in map_NDTHW]
    assert score(map_NDTHW).tolist() == pytest.approx(expected, abs=1e-5)


def test_a_max_pooled_map_is_scored_as_the_classifier_knows_it() -> None:
    map_NDTHW = draw_maps(3, 4)
    # 4 channels of 2 moments; of 2 x 3 places the last column is left out, so each moment gives one number.
    classifier = build_classifier(8, pooling="conv5_max")
    vectors = map_NDTHW[..., :2].amax(dim=(3, 4)).flatten(1).numpy()
    scores_NK = classifier.scores(vectors)
    name, score = Target(classifier).choose(map_NDTHW)
    assert name == CLASSES[scores_NK.mean(axis=0).argmax()]
    np.testing.assert_allclose(score(map_NDTHW).numpy(), scores_NK[:, CLASSES.index(name)], rtol=1e-5)


@pytest.mark.parametrize("pooling", ["average", "frame"])
def test_a_classifier_of_this_encoder_is_accepted(pooling: str) -> None:
    encoder = build_encoder()
    Target(fitting(encoder, pooling=pooling)).check(encoder)


def test_a_classifier_of_another_encoder_is_refused_unless_that_is_allowed() -> None:
    encoder = build_encoder()
    target = Target(build_classifier(encoder.num_features))
    with pytest.raises(
        FeaturesError, match=rf"encoder 0{{16}}, and this is 'untrained.*' \({encoder.hash}\).*--other-enc"
    ):
        target.check(encoder)
    target.check(encoder, is_other_encoder_allowed=True)


@pytest.mark.parametrize("is_allowed", [False, True])
def test_a_classifier_of_vectors_of_another_length_is_refused(is_allowed: bool) -> None:
    encoder = build_encoder()
    target = Target(build_classifier(7, encoder_hash=encoder.hash))
    with pytest.raises(ValueError, match=rf"takes vectors of 7 numbers, .* gives {encoder.num_features} \("):
        target.check(encoder, is_other_encoder_allowed=is_allowed)


def test_frame_features_of_an_earlier_layer_are_refused() -> None:
    encoder = build_frame_encoder()
    message = "pooling frame, which this network does not read from the map that is shown; .* pooling average"
    with pytest.raises(ValueError, match=message):
        Target(fitting(encoder, pooling="frame")).check(encoder)
    Target(fitting(encoder)).check(encoder)


def test_class_tokens_are_refused_as_they_are_not_on_the_map() -> None:
    backbone = MViTConfig(width=0.125, depths=(1, 1, 1, 1), num_frames=4, size_px=32)
    encoder = Encoder(backbone.build().eval(), EncoderConfig(backbone, InputSpec(num_frames=4, crop_px=32)))
    with pytest.raises(ValueError, match=r"pooling average, .* not read from the map .* pooling frame"):
        Target(fitting(encoder)).check(encoder)
    Target(fitting(encoder, pooling="frame")).check(encoder)


def test_a_pooling_that_nobody_knows_or_that_does_not_suit_is_refused() -> None:
    encoder = build_encoder()
    with pytest.raises(ValueError, match=r"pooling must be one of .*, got 'median'"):
        Target(fitting(encoder, pooling="median")).check(encoder)
    with pytest.raises(ValueError, match="conv5_max halves the last map"):
        Target(fitting(encoder, pooling="conv5_max")).check(encoder)
    wide = Encoder.untrained(EncoderConfig(R3DConfig(depth=10, width=0.0625), replace(SPEC, crop_px=32)))
    length = 4 * wide.num_features
    with pytest.raises(ValueError, match=r"takes vectors of \d+ numbers, .* \(pooling conv5_max\)"):
        Target(build_classifier(length, encoder_hash=wide.hash, pooling="conv5_max")).check(wide)


def test_a_class_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"knows no class 'walking'; did you mean walk\?$"):
        Target(build_classifier(4), "walking")
    with pytest.raises(ValueError, match=r"knows no class 'zzz'; it knows jump, run, walk$"):
        Target(build_classifier(4), "zzz")
    with pytest.raises(ValueError, match="target class 'run' needs a classifier"):
        Target(None, "run")


def test_a_classifier_of_vectors_of_length_1_is_refused() -> None:
    weights = np.eye(2, dtype=np.float32)
    classifier = LinearClassifier(("a", "b"), weights, None, "", "average", is_l2_normalized=True)
    with pytest.raises(ValueError, match=r"weighs vectors of length 1, .* without --l2-normalize"):
        Target(classifier)
