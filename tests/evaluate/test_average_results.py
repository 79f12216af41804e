import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluate.test_svm import build_table
from unreel.errors import FeaturesError
from unreel.evaluate.average_results import average_results
from unreel.evaluate.knn import evaluate_knn
from unreel.evaluate.retrieval import evaluate_retrieval
from unreel.evaluate.svm import evaluate_svm


def write(folder: Path, name: str, values: Any) -> Path:
    (folder / name).write_text(json.dumps(values))
    return folder / name


def make(
    catalog: str = "a", *, protocol: str = "svm", split: str = "test", settings: Any = None, **numbers: Any
) -> dict[str, Any]:
    """Return a result as `evaluate` would write it."""
    return {
        "protocol": protocol,
        "settings": {"by": "label", "query_split": split, "gallery_split": "train", **(settings or {})},
        "features": {"catalog_hash": catalog, "dimension": 512},
        "levels": {"video": numbers},
        "seconds": 3.0,
    }


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    found = (
        make("a", top1=0.5, queries=10, top5=None, accuracy_by_class={"x": 0.25}),
        make("b", top1=0.75, queries=12, top5=0.5, accuracy_by_class={"x": 0.75, "y": 1.0}),
        make("c", top1=1.0, queries=14, top5=0.5, accuracy_by_class={"x": 0.5}),
    )
    return [write(tmp_path, f"{number}.json", values) for number, values in enumerate(found)]


def test_shared_numbers_have_mean_and_deviation(three: list[Path]) -> None:
    result = average_results(three)
    # Differences from the mean: -1/4, 0, 1/4; root of (1/16 + 1/16) / 2 = 1/4.
    top1 = result.numbers["video.top1"]
    assert (top1.mean, top1.deviation, top1.values, top1.is_share) == (0.75, 0.25, (0.5, 0.75, 1.0), True)
    queries = result.numbers["video.queries"]
    assert (queries.mean, queries.deviation, queries.is_share) == (12, 2, False)
    assert result.numbers["video.accuracy_by_class.x"].mean == 0.5
    assert list(result.numbers) == ["video.top1", "video.queries", "video.accuracy_by_class.x"]
    assert result.left_out == ["video.accuracy_by_class.y", "video.top5"]
    assert list(result.headline) == ["video.top1"]
    assert result.protocol == "svm"
    assert result.sources == list(map(str, three))
    assert result.splits[1] == {"catalog_hash": "b", "query_split": "test", "gallery_split": "train"}
    assert result.differences == []


def test_the_result_is_plain_json(three: list[Path]) -> None:
    values = json.loads(json.dumps(average_results(three[:2]).to_json()))
    assert values["protocol"] == "average"
    assert values["averaged_protocol"] == "svm"
    assert values["numbers"]["video.top1"] == {
        "mean": 0.625,
        "deviation": pytest.approx(0.125 * 2**0.5),
        "values": [0.5, 0.75],
        "is_share": True,
    }


@pytest.mark.parametrize("evaluate", [evaluate_svm, evaluate_knn, evaluate_retrieval])
def test_results_as_they_are_written_can_be_averaged(tmp_path: Path, evaluate: Any) -> None:
    paths, found = [], []
    for seed in range(3):
        values = evaluate(build_table(seed)).to_json()
        values["features"]["catalog_hash"] = str(seed)
        found.append(json.loads(json.dumps(values)))
        paths.append(write(tmp_path, f"{seed}.json", values))
    result = average_results(paths)
    name, leaf = {
        "svm": ("video.top1", lambda level: level["top1"]),
        "knn": ("video.weighted.5", lambda level: level["weighted"]["5"]),
        "retrieval": ("video.recall.5", lambda level: level["recall"]["5"]),
    }[result.protocol]
    numbers = [leaf(values["levels"]["video"]) for values in found]
    assert result.numbers[name].values == tuple(numbers)
    assert result.numbers[name].mean == pytest.approx(np.mean(numbers))
    assert result.numbers[name].deviation == pytest.approx(np.std(numbers) * 1.5**0.5)
    assert "video.cost" not in result.headline


def test_recognition_has_its_numbers_at_the_top(tmp_path: Path) -> None:
    paths = []
    for catalog, top1 in (("a", 0.25), ("b", 0.75)):
        values = {
            "protocol": "recognition",
            "top1": top1,
            "rejected": [],
            "model": {"number": 3},
            "settings": {"split": "test", "catalog_hash": catalog, "views": {"clips": 10}},
            "seconds": 1.0,
        }
        paths.append(write(tmp_path, f"{catalog}.json", values))
    result = average_results(paths)
    assert {name: own.mean for name, own in result.numbers.items()} == {"top1": 0.5}
    assert result.splits[0] == {"catalog_hash": "a", "split": "test"}


def test_losses_and_settings_are_no_shares_but_classes_of_such_names_are(tmp_path: Path) -> None:
    level: dict[str, Any] = {"lr": 0.1, "cost": 1.0, "final_loss": 0.5, "relative_gradient": 0.1}
    level |= {"accuracy_by_class": {"lr": 0.5}, "top1": 0.5}
    paths = [write(tmp_path, name, make(name, **level)) for name in "ab"]
    result = average_results(paths)
    shares = [name for name, own in result.numbers.items() if own.is_share]
    assert shares == ["video.accuracy_by_class.lr", "video.top1"]


def test_other_settings_are_named(tmp_path: Path) -> None:
    first = write(tmp_path, "a", make("a", settings={"costs": [1.0]}, top1=0.5))
    second = write(tmp_path, "b", make("b", settings={"costs": [2.0], "views": {"clips": 3}}, top1=0.5))
    assert average_results([first, second]).differences == [
        f"costs is [1.0] in {first} and [2.0] in {second}",
        f"views.clips is None in {first} and 3 in {second}",
    ]


def test_two_splits_of_one_catalog_are_two_splits(tmp_path: Path) -> None:
    paths = [write(tmp_path, split, make("a", split=split, top1=0.5)) for split in ("test1", "test2")]
    assert average_results(paths).numbers["video.top1"].mean == 0.5


def test_what_cannot_be_averaged_is_refused(tmp_path: Path, three: list[Path]) -> None:
    with pytest.raises(ValueError, match="give two results or more, one per split, got 1"):
        average_results(three[:1])
    with pytest.raises(FeaturesError, match=r"0.json and .*0.json were measured on the same split .*'a', qu"):
        average_results([three[0], three[1], three[0]])
    knn = write(tmp_path, "knn.json", make("d", protocol="knn", top1=0.5))
    with pytest.raises(FeaturesError, match=r"0.json is a result of svm and .*knn.json one of knn"):
        average_results([three[0], knn])
    group = write(tmp_path, "group.json", make("d", settings={"by": "group"}, top1=0.5))
    with pytest.raises(FeaturesError, match=r"0.json tells the label and .*group.json the group"):
        average_results([three[0], group])
    other = write(tmp_path, "other.json", make("d", top3=0.5))
    with pytest.raises(FeaturesError, match="the 2 results have no number in common"):
        average_results([three[0], other])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read as a result"),
        ("{", "cannot be read as a result"),
        ("[]", "no result that can be averaged; give what .* of retrieval, knn, svm, linear, recognition"),
        ('{"protocol": "cycle"}', "no result that can be averaged"),
        ('{"protocol": "svm"}', "is damaged or not whole; write it again with `unreel evaluate svm --out`"),
        ('{"protocol": "svm", "settings": 3}', "is damaged or not whole"),
    ],
)
def test_files_that_are_no_results_are_refused_by_name(
    tmp_path: Path, three: list[Path], text: str | None, message: str
) -> None:
    path = tmp_path / "broken.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(FeaturesError, match=rf"broken\.json.*{message}"):
        average_results([three[0], path])


@pytest.mark.parametrize("value", [10**400, float("nan"), float("inf")])
def test_what_is_no_measured_number_is_not_averaged(tmp_path: Path, value: float) -> None:
    paths = [tmp_path / "1.json", tmp_path / "2.json"]
    for path, top1, split in zip(paths, (0.5, value), "ab", strict=True):
        values = {"protocol": "recognition", "top1": top1, "chance": 0.1, "settings": {"split": split}}
        path.write_text(json.dumps(values))
    found = average_results(paths)
    assert (sorted(found.numbers), found.left_out) == (["chance"], ["top1"])
