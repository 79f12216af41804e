import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.features.tiny import build_vectors
from unreel.errors import FeaturesError
from unreel.evaluate.retrieval import evaluate_retrieval
from unreel.features.export_results import read_results
from unreel.features.table_info import FeatureInfo

HASH = "0123456789abcdef"


def write(path: Path, **changes: Any) -> Path:
    values = {
        "protocol": "svm",
        "levels": {
            "video": {
                "queries": 12,
                "top1": 0.5,
                "recall": {"1": 0.25, "5": 0.75},
                "accuracy_by_class": {"swim": 1.0, "7": 0.5},
                "confusion": {"7": {"7": 1}},
                "lr": 0.1,
                "cost": 1.0,
                "trials": [{"cost": 0.1, "accuracy": 0.5}],
                "unconverged": [],
            }
        },
        "settings": {"query_split": "test"},
        "features": {
            "encoder_hash": HASH,
            "clips_per_video": 10,
            "sampling": "UniformClips",
            "pooling": "average",
            "catalog_hash": "c" * 16,
            "root": "/data/alice/videos",
        },
        "seconds": 3.5,
        **changes,
    }
    path.write_text(json.dumps(values))
    return path


def test_shares_become_rows_and_counts_do_not(tmp_path: Path) -> None:
    rows = read_results([write(tmp_path / "r.json")], HASH)
    assert [(row.protocol, row.level, row.measure, row.value) for row in rows] == [
        ("svm", "video", "top1", 0.5),
        ("svm", "video", "recall, k = 1", 0.25),
        ("svm", "video", "recall, k = 5", 0.75),
    ]


def test_a_row_says_how_the_features_were_made_and_not_where_they_lay(tmp_path: Path) -> None:
    row = read_results([write(tmp_path / "r.json")], HASH)[0]
    assert row.settings == (
        f"clips_per_video 10, sampling UniformClips, pooling average, catalog_hash {'c' * 16}"
    )
    assert "alice" not in str(row)


def test_several_files_follow_each_other(tmp_path: Path) -> None:
    paths = [write(tmp_path / "1.json"), write(tmp_path / "2.json", protocol="knn")]
    assert [row.protocol for row in read_results(paths, HASH)] == ["svm"] * 3 + ["knn"] * 3
    assert read_results([], HASH) == []


def test_a_result_without_levels_gives_its_own_shares(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(
        json.dumps({"protocol": "recognition", "classifier_hash": HASH, "top1": 0.5, "seconds": 2.0})
    )
    (row,) = read_results([path], HASH)
    assert (row.level, row.measure, row.value, row.settings) == ("", "top1", 0.5, "")


def test_a_result_of_another_model_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "r.json", features={"encoder_hash": "f" * 16})
    with pytest.raises(
        FeaturesError, match=r"r.json is a result of another model: .*ffff.*unreel evaluate svm"
    ):
        read_results([path], HASH)


def test_the_hash_of_the_videos_is_not_that_of_the_model(tmp_path: Path) -> None:
    path = write(tmp_path / "r.json", features={"encoder_hash": "f" * 16, "catalog_hash": HASH})
    with pytest.raises(FeaturesError, match="another model"):
        read_results([path], HASH)


@pytest.mark.parametrize("text", ["{", "[]", '{"protocol": 3}', "{}"])
def test_a_file_that_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(FeaturesError, match=r"r.json .*give a file that `unreel evaluate --out` wrote"):
        read_results([tmp_path / "r.json"], HASH)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeaturesError, match="cannot be read as a result"):
        read_results([tmp_path / "none.json"], HASH)


def test_a_real_result_is_read(tmp_path: Path) -> None:
    vectors = np.eye(6, 4, dtype=np.float32)
    info = FeatureInfo(encoder_hash=HASH, dimension=4)
    videos, labels = [f"v{n}" for n in range(6)], ["a", "b"] * 3
    result = evaluate_retrieval(build_vectors(vectors, videos, labels=labels, info=info), ks=(1, 2))
    (tmp_path / "r.json").write_text(json.dumps(result.to_json()))
    rows = read_results([tmp_path / "r.json"], HASH)
    assert {row.level for row in rows} == set(result.levels)
    assert "recall, k = 1" in {row.measure for row in rows}
    assert all(0 <= row.value <= 1 for row in rows)


def test_a_result_of_recognition_says_what_was_tested_and_how(tmp_path: Path) -> None:
    settings = {"split": "test", "views": {"clips": 10, "crops": "three", "width": 0}, "catalog_hash": "c1"}
    values = {"protocol": "recognition", "model": {"hash": HASH}, "queries": 12, "top1": 0.5}
    (tmp_path / "r.json").write_text(json.dumps({**values, "settings": settings}))
    (row,) = read_results([tmp_path / "r.json"], HASH)
    assert row.settings == "12 videos of test, clips 10, crops three, catalog_hash c1"
    (tmp_path / "r.json").write_text(json.dumps({**values, "settings": {**settings, "split": ""}}))
    (row,) = read_results([tmp_path / "r.json"], HASH)
    assert row.settings.startswith("12 videos of all videos, ")


def test_a_result_may_name_any_hash_of_the_model(tmp_path: Path) -> None:
    path = write(tmp_path / "r.json")
    assert read_results([path], "another", HASH) == read_results([path], HASH)
