from pathlib import Path

import pytest

from tests.data.layouts.trees import add_videos, read, scan
from unreel.data.layouts.annotation_files import AnnotationFiles
from unreel.data.layouts.mmact import parse_path, read_mmact
from unreel.errors import CatalogError


def splits(folder: Path, split: str) -> dict[str, str]:
    videos = read("mmact", folder, split).videos
    return {str(Path(video.path).relative_to(folder)): video.split for video in videos}


def test_paths_become_a_catalog(data: Path, clip: Path) -> None:
    names = [
        "subject1/cam1/scene1/session1/carrying.mp4",
        "subject1/cam2/scene1/session1/carrying.mp4",
        "subject17/cam1/scene2/session3/Talking on phone_2.mp4",
        "untrimmed/cam1/subject1/scene1/session1/20181016-133948.mp4",
    ]
    add_videos(data, names, clip)
    catalog, summary, rejected = scan("mmact", data)
    assert list(zip(catalog.labels, catalog.splits, catalog.groups, strict=True)) == [
        ("carrying", "train", "subject1_scene1_session1"),
        ("carrying", "train", "subject1_scene1_session1"),
        ("talking_on_phone", "test", "subject17_scene2_session3"),
    ]
    assert rejected == {}
    assert summary.notes == (
        "videos on the disk that no annotation names, and which are left out: 1 (20181016-133948.mp4)",
    )
    assert summary.warnings == ("the annotations name 2 classes, published are 37",)


def test_sixteen_subjects_train_across_subjects(tmp_path: Path) -> None:
    names = [f"subject{number}/cam1/scene1/session1/walking.mp4" for number in (1, 16, 17, 20)]
    add_videos(tmp_path, names)
    expected = dict(zip(names, ["train", "train", "test", "test"], strict=True))
    assert splits(tmp_path, "cross-subject") == splits(tmp_path, "") == expected


@pytest.mark.parametrize(
    ("sessions", "train"),
    [
        ([1, 2, 3, 4, 5], [1, 2, 3, 4]),
        ([2, 3, 5], [2, 3]),
        ([7], [7]),
        (list(range(1, 12)), list(range(1, 9))),
    ],
)
def test_the_first_four_fifths_of_sessions_train_across_sessions(
    sessions: list[int], train: list[int], tmp_path: Path
) -> None:
    """Four fifths of 5, 3, 1 and 11 sessions are 4, 2.4, 0.8 and 8.8: rounded down, and 1 at least."""
    add_videos(tmp_path, [f"subject3/cam1/scene1/session{number}/walking.mp4" for number in sessions])
    found = splits(tmp_path, "cross-session")
    assert {path.split("/")[3] for path, split in found.items() if split == "train"} == {
        f"session{number}" for number in train
    }


def test_every_subject_has_sessions_of_its_own(tmp_path: Path) -> None:
    """Sessions of all scenes of a subject count together, those of others do not."""
    names = [f"subject1/cam1/scene{number % 2}/session{number}/a.mp4" for number in (1, 2, 3, 4, 5)]
    names += [f"subject2/cam1/scene1/session{number}/a.mp4" for number in (9, 10)]
    found = splits(add_videos(tmp_path, names), "cross-session")
    assert [found[name] for name in names] == ["train"] * 4 + ["test", "train", "test"]


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("/d/cam1/subject02/scene1/session1/picking_up.mp4", "picking_up"),
        ("/d/Subject_2/Camera1/Scene1/Session1/picking_up (3).mp4", "picking_up"),
        ("/d/subject2/scene1/session1/Standing-07.avi", "standing"),
        ("/d/subject2/session1/standing.avi", None),
        ("/d/subject2/scene1/session1/20181016.avi", None),
        ("/d/subject2x/scene1/session1/standing.avi", None),
    ],
)
def test_folders_stand_in_any_order_and_numbers_behind_a_class_do_not_count(
    path: str, label: str | None
) -> None:
    parsed = parse_path(path)
    assert (parsed and parsed[1]) == label
    if parsed is not None:
        assert parsed[0]["subject"] == 2


def test_videos_without_such_paths_are_no_mmact(tmp_path: Path) -> None:
    files = AnnotationFiles([tmp_path], "", ["/d/walking.mp4"])
    with pytest.raises(
        CatalogError, match=r"none of 1 videos has a path such as subject1/cam1/scene1/session1/"
    ):
        read_mmact(files, "cross-subject")
