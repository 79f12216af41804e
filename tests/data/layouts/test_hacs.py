import json
from pathlib import Path

import pytest

from tests.data.layouts.trees import add_videos, read, scan, write_tree
from unreel.data.catalog import Segment
from unreel.data.layouts.hacs import HACS
from unreel.errors import CatalogError

DATABASE = {
    "--0edUL8zmA": {
        "annotations": [
            {"label": "Dodgeball", "segment": [0.0, 0.1]},
            {"label": "Dodgeball", "segment": [0.05, 0.15]},
        ],
        "subset": "training",
        "duration": "92.166667",
        "url": "https://www.youtube.com/watch?v=--0edUL8zmA",
    },
    "a2X2hz1G6i8": {"annotations": [], "subset": "testing", "duration": "1"},
}


def test_class_folders_become_a_catalog_with_segments_that_overlap(data: Path, clip: Path) -> None:
    write_tree(data, {"HACS_v1.1.1/HACS_segments_v1.1.1.json": json.dumps({"database": DATABASE})})
    add_videos(data, ["Dodgeball/v_--0edUL8zmA.mp4", "a2X2hz1G6i8.mp4"], clip)
    catalog, summary, rejected = scan("hacs", data)
    assert (catalog.labels, catalog.splits, rejected) == (["Dodgeball", ""], ["train", "test"], {})
    assert catalog.video(0).segments == (Segment(0.0, 0.1, "Dodgeball"), Segment(0.05, 0.15, "Dodgeball"))
    assert summary.warnings == (
        "the annotations name 1 videos for train, published are 37613",
        "the annotations name 1 videos for test, published are 5987",
        "the annotations name 1 classes, published are 200",
    )


def test_the_file_is_needed(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"HACS_segments_v1\.1\.1\.json or .*HACS_v1\.1\.1\.zip"):
        read("hacs", tmp_path)
    assert "HACS_v1.1.1.zip" in HACS.origin
