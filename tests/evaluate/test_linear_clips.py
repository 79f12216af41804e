from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.features.test_encoder import random_clips
from tests.features.tiny import build_encoder, build_frame_encoder
from unreel.data.catalog import Catalog
from unreel.errors import WeightsError
from unreel.evaluate.linear_classifier import LinearClassifier
from unreel.evaluate.linear_clips import LinearClips
from unreel.features.classifier import ClipClassifier
from unreel.features.classify import classify_videos
from unreel.features.encoder import Encoder
from unreel.features.pooling import Pooling
from unreel.features.reading import ReadConfig, embed_videos

READ = ReadConfig(clips_per_video=3, batch_size=12, num_workers=0)


def build_linear(encoder: Encoder, *, pooling: Pooling = "average", seed: int = 0) -> LinearClassifier:
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(2, encoder.num_features)).astype(np.float32)
    bias = rng.normal(size=2).astype(np.float32)
    return LinearClassifier(("left", "right"), weights, bias, encoder.hash, pooling)


def test_the_scores_of_a_video_are_those_of_its_mean_vector(corpus: Path) -> None:
    encoder, catalog = build_encoder(), Catalog.load(corpus)
    linear = build_linear(encoder)
    clips = LinearClips(encoder, linear, clips=3)
    found = list(classify_videos(clips, catalog, range(8), READ))
    vectors = [
        video.features["average"].mean(axis=(0, 1))
        for video in embed_videos(encoder, catalog, range(8), ["average"], READ)
    ]
    expected = linear.scores(np.stack(vectors))
    np.testing.assert_allclose(np.stack([video.scores_C for video in found]), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("pooling", "rows"), [("average", 1), ("frame", 4)])
def test_every_row_of_features_has_scores(pooling: Pooling, rows: int) -> None:
    encoder = build_frame_encoder()
    linear = build_linear(encoder, pooling=pooling)
    found = LinearClips(encoder, linear).embed_clips(random_clips(2))["average"]
    features = encoder.embed_clips(random_clips(2), [pooling])[pooling]
    assert found.shape == (2, rows, 2)
    for row in range(rows):
        np.testing.assert_allclose(found[:, row], linear.scores(features[:, row]), rtol=1e-5, atol=1e-6)


def test_vectors_of_length_one_are_those_of_single_clips() -> None:
    encoder = build_encoder()
    linear = replace(build_linear(encoder), bias_C=None, is_l2_normalized=True)
    found = LinearClips(encoder, linear).embed_clips(random_clips(2))["average"][:, 0]
    features = encoder.embed_clips(random_clips(2))["average"][:, 0]
    for clip in range(2):
        length = sum(float(value) ** 2 for value in features[clip]) ** 0.5
        np.testing.assert_allclose(found[clip], linear.weights_CD @ features[clip] / length, rtol=1e-4)


def test_it_is_a_clip_classifier() -> None:
    encoder = build_encoder().to("cpu", precision="bfloat16")
    clips: ClipClassifier = LinearClips(encoder, build_linear(encoder), clips=4)
    assert (clips.classes, clips.num_features, clips.views.clips) == (("left", "right"), 2, 4)
    assert (clips.hash, clips.spec, clips.device, clips.precision) == (
        encoder.hash,
        encoder.spec,
        encoder.device,
        "bfloat16",
    )
    assert "linear" in clips.name


def test_the_features_of_another_encoder_are_refused() -> None:
    linear = build_linear(build_encoder())
    with pytest.raises(WeightsError, match=f"fitted to features of encoder {linear.encoder_hash}, and this"):
        LinearClips(build_encoder(seed=1), linear)


def test_another_pooling_is_refused() -> None:
    encoder = build_encoder()
    with pytest.raises(ValueError, match="use pooling average"):
        LinearClips(encoder, build_linear(encoder)).embed_clips(random_clips(1), ["frame"])
