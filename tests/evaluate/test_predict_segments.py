import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.features.test_localizer import CONFIG
from tests.features.test_reading import break_video
from tests.features.tiny import build_encoder
from unreel.data.catalog import Catalog
from unreel.errors import FeaturesError
from unreel.evaluate.localize import localize_videos
from unreel.evaluate.predict_segments import SegmentPredictions, predict_segments
from unreel.features.encoder import Encoder
from unreel.features.localizer import Localizer
from unreel.features.reading import ReadConfig
from unreel.models.bmn import BMN

READ = ReadConfig(batch_size=8, num_workers=0)


def build_localizer(encoder: Encoder) -> Localizer:
    """Return one that knows nothing but takes the vectors of an encoder."""
    network = replace(CONFIG.network, num_features=encoder.num_features)
    config = replace(CONFIG, network=network, encoder_hash=encoder.hash, encoder=encoder.name, every_frames=4)
    return Localizer(BMN(network).eval(), config, name="bmn/localizer")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return build_encoder()


@pytest.fixture(scope="module")
def localizer(encoder: Encoder) -> Localizer:
    return build_localizer(encoder)


def predict(localizer: Localizer, encoder: Encoder, source: Path, **settings: object) -> SegmentPredictions:
    return predict_segments(localizer, encoder, source, read=READ, **settings)  # type: ignore[arg-type]


def test_the_stretches_of_a_catalog_are_those_of_the_localizer(
    localizer: Localizer, encoder: Encoder, corpus: Path
) -> None:
    found = predict(localizer, encoder, corpus, split="test", top=3)
    expected, _ = localize_videos(localizer, encoder, Catalog.load(corpus).select("test"), read=READ, top=3)
    assert [video.path for video in found.videos] == ["03.mp4", "07.mp4", "11.mp4"]
    for own, other in zip(found.videos, expected, strict=True):
        np.testing.assert_array_equal(own.found.segments_K2, other.found.segments_K2)
        assert 1 <= len(own.found.scores_K) <= 3
    for row in found.list_rows():
        assert 0 <= row["start_sec"] < row["end_sec"] <= 20 / 25 + 1e-6


def test_json_has_the_stretches_of_every_video_the_best_first(
    localizer: Localizer, encoder: Encoder, corpus: Path, tmp_path: Path
) -> None:
    found = predict(localizer, encoder, corpus.parent / "04.mp4", top=4)
    found.save(tmp_path / "new" / "a.json")
    values = json.loads((tmp_path / "new" / "a.json").read_text())
    assert values == json.loads(json.dumps(found.to_json()))
    (video,) = values["videos"]
    assert video["path"] == "04.mp4"
    assert video.keys() == {"video_id", "path", "segments"}
    assert all(segment.keys() == {"start_sec", "end_sec", "score"} for segment in video["segments"])
    scores = [segment["score"] for segment in video["segments"]]
    assert scores == sorted(scores, reverse=True)
    assert values["model"]["encoder_hash"] == encoder.hash


def test_csv_has_a_row_per_stretch(
    localizer: Localizer, encoder: Encoder, corpus: Path, tmp_path: Path
) -> None:
    found = predict(localizer, encoder, corpus, split="test", top=2)
    found.save(tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [row["path"] for row in found.list_rows()]
    assert [float(row["score"]) for row in rows] == [row["score"] for row in found.list_rows()]


def test_videos_that_cannot_be_used_are_listed(
    localizer: Localizer, encoder: Encoder, corpus: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    found = predict(localizer, encoder, tmp_path / "text.mp4")
    assert found.videos == []
    assert [rejection.path for rejection in found.rejected] == ["text.mp4"]
    broken = break_video(corpus, tmp_path / "broken", "07.mp4")
    found = predict(
        localizer, encoder, tmp_path / "broken" / "catalog.parquet", root=broken.root, split="test"
    )
    assert [Path(rejection.path).name for rejection in found.rejected] == ["07.mp4"]
    assert [video.path for video in found.videos] == ["03.mp4", "11.mp4"]


def test_vectors_of_another_encoder_are_refused(localizer: Localizer, corpus: Path) -> None:
    with pytest.raises(FeaturesError, match="learned from vectors of"):
        predict(localizer, build_encoder(seed=5), corpus)
