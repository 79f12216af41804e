import csv
from pathlib import Path

import pytest

from unreel.data.batch import Rejection
from unreel.errors import TrainingError
from unreel.train.rejected import RejectedVideos


def read(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_every_video_is_named_once_with_its_reason(tmp_path: Path) -> None:
    rejected = RejectedVideos(tmp_path / "rejected.csv", num_videos=100, max_fraction=0.05)
    rejected.leave_out([Rejection("short.mp4", "3 frames")])
    rejected.add([Rejection("a.mp4", "noise"), Rejection("b, c.mp4", "tail")])
    rejected.add([Rejection("a.mp4", "noise")])
    assert (rejected.num_failed, rejected.num_left_out) == (2, 1)
    assert read(tmp_path / "rejected.csv") == [
        ["path", "kind", "reason"],
        ["a.mp4", "failed", "noise"],
        ["b, c.mp4", "failed", "tail"],
        ["short.mp4", "left out", "3 frames"],
    ]


def test_a_resumed_run_remembers_what_failed(tmp_path: Path) -> None:
    path = tmp_path / "rejected.csv"
    RejectedVideos(path, num_videos=100, max_fraction=0.05).add([Rejection("a.mp4", "noise")])
    resumed = RejectedVideos(path, num_videos=100, max_fraction=0.05)
    resumed.add([Rejection("b.mp4", "tail")])
    assert resumed.num_failed == 2
    assert [row[0] for row in read(path)] == ["path", "a.mp4", "b.mp4"]


def test_the_run_stops_when_more_than_the_allowed_share_fails(tmp_path: Path) -> None:
    rejected = RejectedVideos(tmp_path / "rejected.csv", num_videos=40, max_fraction=0.05)
    rejected.add([Rejection("a.mp4", "noise"), Rejection("b.mp4", "noise")])  # 2 of 40 are 5 %
    with pytest.raises(
        TrainingError, match=r"3 of 40 videos .*data.max_rejected_fraction = 0.05 allows; last: c.mp4: tail"
    ):
        rejected.add([Rejection("c.mp4", "tail")])
    assert len(read(tmp_path / "rejected.csv")) == 4


def test_recording_lists_failures_without_judging_them(tmp_path: Path) -> None:
    rejected = RejectedVideos(tmp_path / "rejected.csv", num_videos=2, max_fraction=0.0)
    rejected.record([Rejection("a.mp4", "noise")])
    assert (rejected.num_failed, len(read(tmp_path / "rejected.csv"))) == (1, 2)


def test_left_out_videos_do_not_count_as_failures(tmp_path: Path) -> None:
    rejected = RejectedVideos(tmp_path / "rejected.csv", num_videos=10, max_fraction=0.0)
    rejected.leave_out([Rejection(f"{number}.mp4", "short") for number in range(9)])
    rejected.add([])
    assert rejected.num_failed == 0


def test_only_one_process_writes(tmp_path: Path) -> None:
    RejectedVideos(tmp_path / "r.csv", num_videos=9, max_fraction=1.0, is_writer=False).add(
        [Rejection("a", "b")]
    )
    assert not (tmp_path / "r.csv").exists()
