from pathlib import Path
from typing import Any

import pytest

from tests.report.run_folders import HASH, PNG, write_export, write_json
from unreel.report.run_files import (
    find_figures,
    find_method,
    find_num_steps,
    read_export,
    read_provenance,
    read_rejections,
)


def test_what_was_exported_is_read_with_its_hash(tmp_path: Path) -> None:
    write_export(tmp_path, "localizer")
    told: list[str] = []
    assert read_export(tmp_path / "localizer", told.append)["hash"] == HASH
    assert read_export(tmp_path / "encoder", told.append) == {}
    assert told == []


@pytest.mark.parametrize("content", ["{", "[]", '{"hash": 3}', "{}"])
def test_a_damaged_export_is_named_and_counts_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "encoder.json").write_text(content)
    told: list[str] = []
    assert read_export(tmp_path / "encoder", told.append) == {}
    assert len(told) == 1
    assert "encoder.json" in told[0]


def test_every_part_of_a_run_says_where_it_comes_from(tmp_path: Path) -> None:
    write_json(tmp_path / "provenance.json", {"parts": [{"first_step": 0}, 7, {"first_step": 5}]})
    told: list[str] = []
    assert read_provenance(tmp_path, told.append) == ({"first_step": 0}, {"first_step": 5})
    assert told == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not there"),
        ("[]", "cannot be read"),
        ("{}", "cannot be read"),
        ('{"parts": 3}', "cannot be"),
    ],
)
def test_an_origin_that_cannot_be_read_is_named(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "provenance.json").write_text(content)
    told: list[str] = []
    assert read_provenance(tmp_path, told.append) == ()
    assert message in told[0]


def test_videos_that_were_not_used_are_counted_by_reason(tmp_path: Path) -> None:
    (tmp_path / "rejected.csv").write_text(
        "path,kind,reason\n"
        "a.mp4,failed,the file is empty (0 bytes)\n"
        "b.mp4,left out,has 12 frames and 16 are needed\n"
        "c.mp4,left out,has 9 frames and 16 are needed\n"
        "d.mp4,unheard of,x\n"
    )
    assert read_rejections(tmp_path, print) == {
        "failed": {"the file is empty (# bytes)": 1},
        "left out": {"has # frames and # are needed": 2},
    }


def test_without_a_list_no_video_was_left_out(tmp_path: Path) -> None:
    assert read_rejections(tmp_path, print) == {"failed": {}, "left out": {}}


def test_a_damaged_list_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    (tmp_path / "rejected.csv").write_bytes(b"path,kind,reason\n\xff,failed,\xff\nshort\n" + b"x" * 200_000)
    told: list[str] = []
    assert read_rejections(tmp_path, told.append)["failed"] == {"\ufffd": 1}
    assert "rejected.csv cannot be read" in told[0]


@pytest.mark.parametrize(
    ("recipe", "method"),
    [
        ("cacl.small", "cacl"),
        ("vclr_clips.paper", "vclrclips"),
        ("frame_moco.ucf101", "moco"),
        ("finetune.linear", "supervised"),
        ("finetune_vclr.ucf101_tsn", "supervised"),
        ("bmn.small", "localization"),
        ("my.module:recipe", ""),
    ],
)
def test_before_anything_is_exported_the_recipe_says_what_is_trained(recipe: str, method: str) -> None:
    assert find_method(recipe, {}) == method


def test_what_was_exported_says_it_better() -> None:
    exported: dict[str, dict[str, Any]] = {"encoder": {"provenance": {"method": "SCVRL"}}}
    assert find_method("my.module:recipe", exported) == "scvrl"
    assert find_method("cacl.small", {"encoder": {"provenance": "damaged"}}) == "cacl"


def test_the_number_of_steps_is_that_of_the_export_or_of_the_settings() -> None:
    exported = {"encoder": {"provenance": {"num_steps": 30}}}
    assert find_num_steps({"train": {"steps": 20}}, {}, exported) == 30
    assert find_num_steps({"train": {"steps": 20, "epochs": 100}}, {}, {}) == 20


def test_epochs_become_steps_as_soon_as_there_is_a_line_of_numbers() -> None:
    """4 steps were 0.5 epochs, so 3 epochs are 24 steps."""
    settings = {"train": {"steps": 0, "epochs": 3}}
    assert find_num_steps(settings, {"step": [4.0], "epoch": [0.5]}, {}) == 24
    assert find_num_steps(settings, {}, {}) is None


@pytest.mark.parametrize(
    "settings", [{}, {"train": 3}, {"train": {"steps": "many"}}, {"train": {"steps": -1}}]
)
def test_settings_that_make_no_sense_leave_it_open(settings: dict[str, Any]) -> None:
    assert find_num_steps(settings, {"step": [4.0], "epoch": [0.0]}, {}) is None
    assert find_num_steps({"train": {"epochs": 1e18}}, {"step": [4.0], "epoch": [1e-300]}, {}) is None


def test_pictures_lie_in_the_run_folder_and_in_figures(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.svg", "notes.txt", "figures/c.png", "figures/deeper/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(PNG)
    (tmp_path / "folder.png").mkdir()
    found = [str(path.relative_to(tmp_path)) for path in find_figures(tmp_path)]
    assert found == ["a.svg", "b.PNG", "figures/c.png"]
