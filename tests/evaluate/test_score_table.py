from pathlib import Path

import numpy as np
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from unreel.data.batch import Rejection
from unreel.data.catalog import Catalog
from unreel.evaluate.score_table import ScoreKind, ScoreTable, name_kind
from unreel.features.classify import ClassifiedVideo

SCORES = [[2.0, 1.0, 2.0], [-1.0, 3.0, 0.5]]


@pytest.fixture
def videos(corpus: Path) -> Catalog:
    return Catalog.load(corpus).take([0, 3, 5])


def build(videos: Catalog, kind: ScoreKind = "logit") -> ScoreTable:
    """Two videos with scores, and one that was rejected between them."""
    classified = [
        ClassifiedVideo(0, np.array(SCORES[0], dtype=np.float32)),
        ClassifiedVideo(1, np.empty(0, dtype=np.float32), Rejection("x.mp4", "damaged")),
        ClassifiedVideo(2, np.array(SCORES[1], dtype=np.float32)),
    ]
    return ScoreTable.build(videos, ("a", 'b "quoted", with comma', "path"), kind, classified)


def test_scores_and_reasons_lie_in_their_rows(videos: Catalog) -> None:
    table = build(videos)
    assert table.scores_VC[[0, 2]].tolist() == SCORES
    assert np.isnan(table.scores_VC[1]).all()
    assert (table.accepted, table.reasons) == ([0, 2], {1: "damaged"})


def test_of_equal_scores_the_first_class_comes_first(videos: Catalog) -> None:
    assert build(videos).rank(0, 3) == [("a", 2.0), ("path", 2.0), ('b "quoted", with comma', 1.0)]
    assert build(videos).rank(2, 1) == [('b "quoted", with comma', 3.0)]


def test_softmax_makes_probabilities_of_logits_alone(videos: Catalog) -> None:
    table = build(videos).to_probabilities()
    assert table.kind == "probability"
    # exp(2), exp(1), exp(2) are 7.389, 2.718, 7.389, together 17.496.
    np.testing.assert_allclose(table.scores_VC[0], [0.42232, 0.15536, 0.42232], atol=1e-5)
    np.testing.assert_allclose(table.scores_VC[[0, 2]].sum(axis=1), 1, rtol=1e-6)
    assert np.isnan(table.scores_VC[1]).all()
    for kind in ("score", "probability"):
        other = build(videos, kind)
        assert other.to_probabilities() is other


def test_large_logits_do_not_overflow(videos: Catalog) -> None:
    table = build(videos)
    table.scores_VC[0] = [1000, 0, -1000]
    assert table.to_probabilities().scores_VC[0].tolist() == [1, 0, 0]


@pytest.mark.parametrize("name", ["scores.csv", "scores.CSV", "scores.parquet"])
def test_files_have_a_column_per_class_whatever_it_is_called(
    videos: Catalog, tmp_path: Path, name: str
) -> None:
    build(videos).save(tmp_path / "new" / name)
    path = tmp_path / "new" / name
    found = pq.read_table(path) if name.endswith("parquet") else pa_csv.read_csv(path)
    assert found.column_names == [
        *("video_id", "path", "label", "prediction", "reason"),
        *("logit:a", 'logit:b "quoted", with comma', "logit:path"),
    ]
    rows = found.to_pylist()
    assert [row["path"] for row in rows] == ["00.mp4", "03.mp4", "05.mp4"]
    assert [row["label"] for row in rows] == ["speed0", "speed0", "speed2"]
    assert [row["prediction"] for row in rows] == ["a", "", 'b "quoted", with comma']
    assert [row["reason"] for row in rows] == ["", "damaged", ""]
    assert [row["logit:a"] for row in rows] == [2.0, None, -1.0]
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]


def test_kinds_follow_from_what_was_averaged() -> None:
    assert name_kind("logits") == "logit"
    assert name_kind("probabilities") == "probability"
