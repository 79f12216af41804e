import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.layouts.trees import add_videos, read, scan, write_tree
from unreel.errors import CatalogError

HOLDING = "Holding something next to something"
TRAIN = [
    {
        "id": "78687",
        "label": "holding potato next to vicks vaporub bottle",
        "template": "Holding [something] next to [something]",
        "placeholders": ["potato", "vicks vaporub bottle"],
    }
]
VAL = [
    {"id": "74225", "label": "spinning cube", "template": "Spinning [something]", "placeholders": ["cube"]}
]
TEST = [{"id": "1420"}, {"id": "99999"}]
LABELS = {HOLDING: "0", "Spinning something": "1"}


def write_lists(folder: Path, prefix: str = "something-something-v2-", **changes: Any) -> Path:
    lists = {"train": TRAIN, "validation": VAL, "test": TEST, "labels": LABELS} | changes
    texts = {
        f"labels/{prefix}{name}.json": json.dumps(value) for name, value in lists.items() if value is not None
    }
    return write_tree(folder, texts)


def test_the_data_set_as_it_is_unpacked_becomes_a_catalog(data: Path, clip: Path) -> None:
    names = [f"20bn-something-something-v2/{number}.webm" for number in (78687, 74225, 1420)]
    add_videos(write_lists(data), names, clip)
    catalog, summary, rejected = scan("something-v2", data)
    assert list(zip(catalog.labels, catalog.splits, strict=True)) == [
        ("", "test"),
        ("Spinning something", "val"),
        (HOLDING, "train"),
    ]
    assert rejected == {"99999.webm": "missing: the annotations name it for test, no file has this name"}
    assert summary.warnings[0] == "the annotations name 1 videos for train, published are 168913"
    assert "test: 1 of 2 missing, train: 0 of 1 missing, val: 0 of 1 missing)" in summary.warnings[-1]


def test_lists_with_short_names_and_without_test_are_read(tmp_path: Path) -> None:
    write_lists(tmp_path, "", test=None, labels=None)
    laid_out = read("something-v2", add_videos(tmp_path, ["78687.mp4", "74225.mp4"]))
    assert [video.label for video in laid_out.videos] == [HOLDING, "Spinning something"]
    assert laid_out.notes == ["no list was found of test, which is left out"]


def test_both_labelled_lists_are_needed(tmp_path: Path) -> None:
    write_lists(tmp_path, validation=None)
    message = r"something-something-v2-validation\.json or validation\.json: .*Something-Something V2 page"
    with pytest.raises(CatalogError, match=message):
        read("something-v2", tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": {"Spinning something": "1"}}, rf"v2-train\.json, entry 1: '{HOLDING}' is no class of"),
        ({"train": [{"id": "1"}]}, r"v2-train\.json, entry 1: has no text or number 'template'; download"),
        ({"test": [{"id": "1"}, {"name": "1"}]}, r"v2-test\.json, entry 2: has no text or number 'id'"),
        ({"train": {"id": "1"}}, r"v2-train\.json: expected a list, got dict"),
        ({"train": ["1"]}, r"v2-train\.json, entry 1: expected a dict, got str"),
        ({"test": [{"id": "../1"}]}, r"v2-test\.json, entry 1: '\.\./1' is no name as the data set has them"),
    ],
)
def test_lists_that_make_no_sense_are_refused_by_entry(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    write_lists(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        read("something-v2", tmp_path)


def test_broken_json_is_refused_with_its_place(tmp_path: Path) -> None:
    write_lists(tmp_path)
    write_tree(tmp_path, {"labels/something-something-v2-train.json": '[{"id": "1",]'})
    with pytest.raises(ValueError, match=r"v2-train\.json, line 1, column 13: is not JSON"):
        read("something-v2", tmp_path)
