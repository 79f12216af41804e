import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.scan_samples import make_catalog
from tests.data.worker_jobs import media_row
from unreel.data.catalog import Catalog
from unreel.data.prepare_config import PrepareConfig
from unreel.data.prepare_memory import (
    COPIES_FILE,
    COPY_SCHEMA,
    PARTIAL_FILE,
    SETTINGS_FILE,
    PartialCopies,
    check_folder,
    find_copies,
    recall,
    record_run,
    record_settings,
    save_copies,
)
from unreel.errors import CatalogError


def describe_copy(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": name,
        "original": f"/v/{name}",
        "original_bytes": 1000,
        "original_mtime_ns": 7,
        "original_frames": 4,
        "path": f"videos/{name}.mp4",
        "bytes": 3,
        "mtime_ns": 9,
        "psnr": None,
        **media_row(),
        **changes,
    }


def build_rows(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=COPY_SCHEMA)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return make_catalog([f"{number}.mp4" for number in range(4)], tmp_path / "v")


def test_the_last_word_on_a_copy_counts(tmp_path: Path) -> None:
    save_copies(tmp_path, build_rows(describe_copy("a"), describe_copy("b")))
    with PartialCopies(tmp_path) as partial:
        partial.add(describe_copy("a", bytes=5))
        partial.add(describe_copy("c"))
    with PartialCopies(tmp_path) as partial:
        partial.add(describe_copy("c", psnr=31.5))
    rows = recall(tmp_path)
    assert dict(zip(rows["id"].to_pylist(), rows["bytes"].to_pylist(), strict=True)) == {
        "a": 5,
        "b": 3,
        "c": 3,
    }
    assert rows["psnr"].to_pylist()[-1] == 31.5
    assert rows.schema.equals(COPY_SCHEMA)


def test_a_line_that_was_cut_short_is_forgotten_alone(tmp_path: Path) -> None:
    line = json.dumps(describe_copy("a"))
    for end in range(0, len(line), 7):
        (tmp_path / PARTIAL_FILE).write_text(f"{json.dumps(describe_copy('b'))}\n{line[:end]}")
        with PartialCopies(tmp_path) as partial:
            partial.add(describe_copy("c"))
        assert recall(tmp_path)["id"].to_pylist() == ["b", "c"]
    (tmp_path / PARTIAL_FILE).write_bytes(b'[1]\n"x"\n\xff\xfe\n{"id": 3}\n')
    assert len(recall(tmp_path)) == 0


def test_many_findings_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unreel.data.prepare_memory._ROWS_PER_BATCH", 3)
    with PartialCopies(tmp_path) as partial:
        for number in range(7):
            partial.add(describe_copy(str(number)))
    assert recall(tmp_path)["id"].to_pylist() == list("0123456")


def test_a_table_that_is_damaged_names_the_remedy(tmp_path: Path) -> None:
    (tmp_path / COPIES_FILE).write_bytes(b"nonsense")
    with pytest.raises(CatalogError, match=r"copies.parquet: cannot be read .*; remove it, and all copies"):
        recall(tmp_path)
    pq.write_table(pa.table({"x": [1]}), tmp_path / COPIES_FILE)
    with pytest.raises(CatalogError, match=r"copies.parquet: is no table of copies; remove it"):
        recall(tmp_path)


def test_a_copy_is_found_while_it_and_its_original_are_what_they_were(
    catalog: Catalog, tmp_path: Path
) -> None:
    first, second, third, fourth = catalog.ids
    rows = build_rows(
        describe_copy("another"),
        describe_copy(third, original_mtime_ns=8),
        describe_copy(second),
        describe_copy(fourth, bytes=4),
        describe_copy(first),
    )
    (tmp_path / "videos").mkdir()
    for name in catalog.ids:
        (tmp_path / f"videos/{name}.mp4").write_bytes(b"abc")
    assert find_copies(rows, catalog, tmp_path).tolist() == [4, 2, -1, -1]
    (tmp_path / f"videos/{second}.mp4").unlink()
    assert find_copies(rows, catalog, tmp_path).tolist() == [4, -1, -1, -1]
    (tmp_path / "mine.mp4").write_bytes(b"abc")
    for change in (
        {"original_bytes": 999},
        {"original_frames": 5},
        {"path": "mine.mp4"},
        {"path": "videos/../mine.mp4"},
        {"path": str(tmp_path / "mine.mp4")},
    ):
        assert find_copies(build_rows(describe_copy(first, **change)), catalog, tmp_path)[0] == -1
    assert find_copies(recall(tmp_path), catalog, tmp_path).tolist() == [-1] * 4


def test_settings_of_another_kind_are_refused_by_name(tmp_path: Path) -> None:
    check_folder(tmp_path / "new", PrepareConfig(), num_copies=0)
    record_settings(tmp_path, PrepareConfig(gop=12))
    check_folder(tmp_path, PrepareConfig(gop=12), num_copies=3)
    with pytest.raises(
        CatalogError, match=r"were made with gop 12 and not 16, crf 20 and not 25; ask for the"
    ):
        check_folder(tmp_path, PrepareConfig(crf=25), num_copies=3)
    check_folder(tmp_path, PrepareConfig(crf=25), num_copies=0)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(CatalogError, match=r"holds thesis.txt and no prepare.json, so it was not made by"):
        check_folder(tmp_path, PrepareConfig(), num_copies=0)
    assert [child.name for child in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 2, "settings": {}, "runs": []}', '{"version": 1, "settings": 3}']
)
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / SETTINGS_FILE).write_text(text)
    with pytest.raises(CatalogError, match=r"prepare.json: (cannot be read|is no record of copies)"):
        check_folder(tmp_path, PrepareConfig(), num_copies=1)


def test_every_run_is_recorded_with_what_made_it(tmp_path: Path, catalog: Catalog) -> None:
    record_settings(tmp_path, PrepareConfig())
    for prepared in (3, 1):
        record_run(tmp_path, PrepareConfig(), catalog, {"videos": 4, "prepared": prepared})
    record_settings(tmp_path, PrepareConfig())
    record = json.loads((tmp_path / SETTINGS_FILE).read_text())
    assert record["settings"]["short_side"] == 128
    assert [run["prepared"] for run in record["runs"]] == [3, 1]
    assert record["runs"][0]["catalog_hash"] == catalog.hash
    assert record["runs"][0]["provenance"]["packages"].keys() >= {"av", "numpy"}
    assert record["runs"][0]["options"]["tune"] == "fastdecode"


def test_two_processes_do_not_write_to_one_folder(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from unreel.data.prepare_memory import PartialCopies\n"
        f"with PartialCopies(Path({str(tmp_path)!r})):\n    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(CatalogError, match="another `unreel prepare` writes copies there"):
            PartialCopies(tmp_path)
        holder.kill()
    PartialCopies(tmp_path).__exit__()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CatalogError, match=r"file/prepare.partial: cannot be written .*choose another --out"):
        PartialCopies(tmp_path / "file")
