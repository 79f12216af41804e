import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.scan_samples import write_clip
from unreel.data import scan_probe
from unreel.data.catalog_table import MEDIA_SCHEMA, MediaRows
from unreel.data.frame_index import FrameIndex
from unreel.data.probe import probe_video
from unreel.data.scan_probe import build_row, probe_file
from unreel.errors import VideoError


def probe(path: Path, **changes: Any) -> dict[str, Any]:
    job = {"path": str(path), "check": "decode", "time_limit_sec": 20.0} | changes
    answer: dict[str, Any] = json.loads(json.dumps(probe_file(job)))
    return answer


def test_a_row_holds_all_that_the_catalog_wants_and_the_index_comes_back(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", 5)
    row = probe(path)["row"]
    assert set(row) == set(MEDIA_SCHEMA.names)
    assert (row["frames"], row["height"], row["width"], row["codec"]) == (5, 16, 16, "h264")
    rows = MediaRows()
    rows.append(row)
    stored = rows.build().to_pylist()[0]
    index, truth = FrameIndex.from_row(stored), probe_video(path).index
    assert index.pts.tolist() == truth.pts.tolist()
    assert index.key_frames.tolist() == truth.key_frames.tolist()
    assert index.time_base == truth.time_base


def test_the_check_is_passed_on_and_noted(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4")
    assert probe(path, check="packets")["row"]["check"] == "packets"
    assert build_row(probe_video(path), "decode")["check"] == "decode"


def test_a_file_that_is_no_video_is_rejected_for_good(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"this is no video, whatever its name says")
    answer = probe(path)
    assert answer["is_lasting"]
    assert answer["reason"]
    assert str(tmp_path) not in answer["reason"]


def test_a_file_that_vanished_is_tried_again(tmp_path: Path) -> None:
    assert probe(tmp_path / "gone.mp4") == {
        "reason": "file not found: it vanished after the folder was listed",
        "is_lasting": False,
    }


def test_a_file_that_may_not_be_opened_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_clip(tmp_path / "a.mp4")

    def refuse(*_: object, **__: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert probe(path) == {"reason": "cannot be opened: Permission denied", "is_lasting": False}


@pytest.mark.parametrize(
    ("cause", "limit", "is_lasting"),
    [
        (ValueError("damaged"), 20.0, True),
        (None, 20.0, True),
        (OSError(5, "Input/output error"), 20.0, False),
        (MemoryError(), 20.0, False),
        (None, 0.0, False),
    ],
)
def test_only_what_is_wrong_with_the_file_itself_lasts(
    cause: Exception | None, limit: float, is_lasting: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, **_: object) -> object:
        raise VideoError(str(path), "does not decode", frame_index=7) from cause

    monkeypatch.setattr(scan_probe, "probe_video", fail)
    path = write_clip(tmp_path / "a.mp4")
    assert probe(path, time_limit_sec=limit) == {
        "reason": "does not decode (frame 7)",
        "is_lasting": is_lasting,
    }
