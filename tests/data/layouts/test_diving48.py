import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.layouts.trees import add_videos, read, scan, write_tree
from unreel.errors import CatalogError

VOCABULARY = [["Back", "15som", "05Twis", "FREE"], ["Inward", "15som", "NoTwis", "PIKE"]]
TRAIN = [{"vid_name": "-mmq0PT-u8k_00155", "label": 0, "start_frame": 0, "end_frame": 48}]
TEST = [
    {"vid_name": "_8Vy3dlHg2w_00000", "label": 1, "start_frame": 0, "end_frame": 90},
    {"vid_name": "gone_gone00_00001", "label": 1, "start_frame": 0, "end_frame": 90},
]


def write_lists(folder: Path, **changes: Any) -> Path:
    lists = {"V2_train": TRAIN, "V2_test": TEST, "vocab": VOCABULARY} | changes
    return write_tree(folder, {f"Diving48_{name}.json": json.dumps(value) for name, value in lists.items()})


def test_the_data_set_as_it_is_unpacked_becomes_a_catalog(data: Path, clip: Path) -> None:
    add_videos(write_lists(data), ["rgb/-mmq0PT-u8k_00155.mp4", "rgb/_8Vy3dlHg2w_00000.mp4"], clip)
    catalog, summary, rejected = scan("diving48", data)
    assert list(zip(catalog.labels, catalog.splits, catalog.groups, strict=True)) == [
        ("Back+15som+05Twis+FREE", "train", "-mmq0PT-u8k"),
        ("Inward+15som+NoTwis+PIKE", "test", "_8Vy3dlHg2w"),
    ]
    assert list(rejected) == ["gone_gone00_00001.mp4"]
    assert summary.warnings[0] == (
        "the annotations name 1 videos for train, published, as far as is recalled, are 15027"
    )
    assert catalog.video(0).segments == ()


def test_the_vocabulary_is_needed_and_may_hold_plain_names(tmp_path: Path) -> None:
    add_videos(write_lists(tmp_path, vocab=["a", "b"]), ["-mmq0PT-u8k_00155.mp4"])
    assert [video.label for video in read("diving48", tmp_path).videos] == ["a"]
    (tmp_path / "Diving48_vocab.json").unlink()
    with pytest.raises(
        CatalogError, match=r"Diving48_vocab\.json: .* Diving48 page of the Statistical Visual"
    ):
        read("diving48", tmp_path)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"vid_name": "a", "label": 2},
            r"V2_test\.json, entry 1: label '2' is none of the 2 dives of Diving48_v",
        ),
        ({"vid_name": "a", "label": -1}, r"entry 1: label '-1' is none"),
        ({"vid_name": "a"}, r"entry 1: has no text or number 'label'"),
        ({"vid_name": "/a", "label": 0}, r"entry 1: '/a' is no name as the data set has them"),
    ],
)
def test_an_entry_that_makes_no_sense_is_refused(entry: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_lists(tmp_path, V2_test=[entry])
    with pytest.raises(ValueError, match=message):
        read("diving48", tmp_path)
