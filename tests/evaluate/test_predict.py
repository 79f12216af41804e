import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluate.test_linear_clips import build_linear
from tests.features.test_reading import break_video
from tests.features.tiny import build_encoder
from tests.features.tiny_classifier import build_classifier
from unreel.data.catalog import Catalog
from unreel.errors import CatalogError
from unreel.evaluate.linear_clips import LinearClips
from unreel.evaluate.predict import Predictions, predict_videos
from unreel.features.classifier import Classifier
from unreel.features.classify import classify_videos
from unreel.features.reading import ReadConfig

READ = ReadConfig(batch_size=8, num_workers=0)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return build_classifier()


@pytest.fixture(scope="module")
def expected(classifier: Classifier, corpus: Path) -> np.ndarray:
    videos = classify_videos(classifier, Catalog.load(corpus), range(12), READ)
    return np.stack([video.scores_C for video in videos])


@pytest.fixture
def folder(corpus: Path, tmp_path: Path) -> Path:
    """Two videos, a file that is none, and one that is no video by its name."""
    folder = tmp_path / "videos"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(corpus.parent / "02.mp4", folder / "a.mp4")
    shutil.copy(corpus.parent / "01.mp4", folder / "deep" / "b.mp4")
    (folder / "text.mp4").write_text("no video")
    (folder / "notes.txt.bak").write_text("notes")
    return folder


def predict(classifier: Any, source: Path, **settings: Any) -> Predictions:
    return predict_videos(classifier, source, read=READ, **settings)


def test_a_catalog_is_classified_in_order(classifier: Classifier, corpus: Path, expected: np.ndarray) -> None:
    found = predict(classifier, corpus)
    np.testing.assert_array_equal(found.scores.scores_VC, expected)
    assert (found.num_videos, found.rejected, found.scores.kind) == (12, [], "probability")
    assert predict(classifier, corpus, split="test").num_videos == 3


def test_a_single_file_needs_no_catalog(classifier: Classifier, corpus: Path, expected: np.ndarray) -> None:
    found = predict(classifier, corpus.parent / "04.mp4")
    assert found.num_videos == 1
    # Another pass has another content, but the same shape.
    np.testing.assert_allclose(found.scores.scores_VC[0], expected[4], rtol=1e-5)
    assert sorted(corpus.parent.glob("*.parquet*")) == sorted(
        path for path in corpus.parent.iterdir() if ".parquet" in path.name
    )


def test_a_folder_is_classified_and_what_is_no_video_is_listed(
    classifier: Classifier, folder: Path, expected: np.ndarray
) -> None:
    before = sorted(folder.rglob("*"))
    found = predict(classifier, folder)
    np.testing.assert_allclose(found.scores.scores_VC, expected[[2, 1]], rtol=1e-5)
    assert found.scores.videos.table["path"].to_pylist() == ["a.mp4", "deep/b.mp4"]
    assert [(rejection.path, bool(rejection.reason)) for rejection in found.rejected] == [("text.mp4", True)]
    assert sorted(folder.rglob("*")) == before


def test_when_nothing_can_be_used_all_is_listed(classifier: Classifier, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    found = predict(classifier, tmp_path / "text.mp4")
    assert found.num_videos == 0
    assert [rejection.path for rejection in found.rejected] == ["text.mp4"]
    assert found.to_json()["videos"] == []


def test_a_video_that_broke_after_the_scan_has_a_reason(
    classifier: Classifier, corpus: Path, tmp_path: Path
) -> None:
    broken = break_video(corpus, tmp_path / "broken", "05.mp4")
    found = predict(classifier, tmp_path / "broken" / "catalog.parquet", root=broken.root)
    assert (found.num_videos, len(found.rejected)) == (11, 1)
    assert found.rejected[0].path.endswith("05.mp4")


def test_logits_become_probabilities(corpus: Path) -> None:
    classifier = build_classifier(average="logits")
    logits = [video.scores_C for video in classify_videos(classifier, Catalog.load(corpus), range(4), READ)]
    found = predict(classifier, corpus, split="")
    assert found.scores.kind == "probability"
    for row, own in enumerate(logits):
        weights = [np.exp(value) for value in own.astype(float)]
        np.testing.assert_allclose(
            found.scores.scores_VC[row], [weight / sum(weights) for weight in weights], rtol=1e-5
        )


def test_a_linear_classifier_gives_scores_and_no_probabilities(corpus: Path) -> None:
    encoder = build_encoder()
    found = predict(LinearClips(encoder, build_linear(encoder), clips=2), corpus)
    assert found.scores.kind == "score"
    assert found.scores.classes == ("left", "right")
    assert not np.allclose(found.scores.scores_VC.sum(axis=1), 1)


def test_json_has_the_likeliest_classes_first(classifier: Classifier, corpus: Path) -> None:
    found = predict(classifier, corpus)
    values = json.loads(json.dumps(found.to_json(top=2)))
    assert values["kind"] == "probability"
    assert values["classes"] == ["speed0", "speed1", "speed2"]
    assert values["model"]["hash"] == classifier.hash
    assert values["model"]["views"]["clips"] == 2
    assert values["root"] == str(corpus.parent)
    for row, video in enumerate(values["videos"]):
        assert video["path"] == f"{row:02d}.mp4"
        shares = list(video["scores"].values())
        assert len(shares) == 2
        assert shares == sorted(shares, reverse=True)
        assert video["prediction"] == next(iter(video["scores"]))
    assert len(found.to_json()["videos"][0]["scores"]) == 3


def test_what_cannot_be_classified_is_refused(
    classifier: Classifier, corpus: Path, tmp_path: Path, folder: Path
) -> None:
    with pytest.raises(CatalogError, match="there is no such folder, list or video"):
        predict(classifier, tmp_path / "absent.mp4")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CatalogError, match="no video"):
        predict(classifier, tmp_path / "empty")
    with pytest.raises(CatalogError, match="no split 'val'"):
        predict(classifier, corpus, split="val")
    with pytest.raises(ValueError, match=r"--split and --root are for catalogs, and .* is none"):
        predict(classifier, folder, split="test")
    with pytest.raises(ValueError, match="--split and --root are for catalogs"):
        predict(classifier, folder, root=tmp_path)
