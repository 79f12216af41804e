from pathlib import Path

import pytest

from tests.data.motion_tables import CONFIG, make_table
from tests.data.scan_samples import make_catalog
from unreel.data.catalog import Catalog
from unreel.data.motion_flow import MotionConfig
from unreel.data.motion_memory import PartialMotion, find_measured, recall
from unreel.errors import CatalogError

PATHS = ["a.mp4", "b.mp4", "c.mp4"]


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return make_catalog(PATHS, tmp_path)


def write_partial(path: Path, catalog: Catalog, motion: dict[str, list[float]]) -> None:
    with PartialMotion(path, CONFIG) as partial:
        for row in make_table(catalog, motion).rows.to_pylist():
            partial.add(row)


def test_nothing_is_known_at_first(catalog: Catalog, tmp_path: Path) -> None:
    memory = recall(tmp_path / "m.parquet", tmp_path / "m.partial", CONFIG)
    assert len(memory.rows) == 0
    assert find_measured(memory, catalog).tolist() == [-1, -1, -1]


def test_the_table_and_what_came_after_it_are_known_and_the_last_counts(
    catalog: Catalog, tmp_path: Path
) -> None:
    out, partial = tmp_path / "m.parquet", tmp_path / "m.partial"
    make_table(catalog, {"a.mp4": [1.0], "b.mp4": [2.0]}).save(out)
    write_partial(partial, catalog, {"b.mp4": [3.0], "c.mp4": [4.0]})
    write_partial(partial, catalog, {"c.mp4": [5.0]})
    memory = recall(out, partial, CONFIG)
    rows = find_measured(memory, catalog)
    assert [memory.rows["motion"][row].as_py() for row in rows.tolist()] == [[1.0], [3.0], [5.0]]


def test_findings_that_began_anew_forget_the_table_whoever_goes_on(catalog: Catalog, tmp_path: Path) -> None:
    out, partial = tmp_path / "m.parquet", tmp_path / "m.partial"
    make_table(catalog, {"a.mp4": [1.0], "b.mp4": [2.0]}, MotionConfig(size=64)).save(out)
    write_partial(partial, catalog, {"a.mp4": [9.0]})
    with PartialMotion(partial, CONFIG, is_fresh=True) as findings:
        for row in make_table(catalog, {"b.mp4": [3.0]}).rows.to_pylist():
            findings.add(row)
    write_partial(partial, catalog, {"c.mp4": [4.0]})
    assert recall(out, partial, CONFIG).rows["motion"].to_pylist() == [[3.0], [4.0]]
    assert recall(out, partial, CONFIG, is_fresh=True).rows["motion"].to_pylist() == []


def test_damaged_lines_lose_nothing_else(catalog: Catalog, tmp_path: Path) -> None:
    partial = tmp_path / "m.partial"
    write_partial(partial, catalog, {"a.mp4": [1.0], "b.mp4": [2.0]})
    lines = partial.read_bytes().splitlines(keepends=True)
    lines[-1:] = [b"\xff\xfe" + lines[-1], b"7\n", b'{"id": "x"}\n']
    partial.write_bytes(b"".join(lines))
    memory = recall(tmp_path / "m.parquet", partial, CONFIG)
    assert memory.rows["motion"].to_pylist() == [[1.0]]


def test_two_processes_do_not_measure_for_one_table(catalog: Catalog, tmp_path: Path) -> None:
    partial = tmp_path / "m.partial"
    with PartialMotion(partial, CONFIG):
        before = partial.read_bytes()
        for is_fresh in (False, True):
            with pytest.raises(CatalogError, match="another `unreel motion` is measuring for the same table"):
                PartialMotion(partial, CONFIG, is_fresh=is_fresh)
        assert partial.read_bytes() == before
    write_partial(partial, catalog, {"a.mp4": [1.0]})


def test_a_line_that_was_cut_off_loses_nothing_else(catalog: Catalog, tmp_path: Path) -> None:
    partial = tmp_path / "m.partial"
    write_partial(partial, catalog, {"a.mp4": [1.0], "b.mp4": [2.0]})
    partial.write_text(partial.read_text()[:-20])
    write_partial(partial, catalog, {"c.mp4": [3.0]})
    memory = recall(tmp_path / "m.parquet", partial, CONFIG)
    assert (find_measured(memory, catalog) >= 0).tolist() == [True, False, True]


def test_failures_and_changed_files_are_measured_again(catalog: Catalog, tmp_path: Path) -> None:
    memory = make_table(catalog, {"a.mp4": None, "b.mp4": [1.0], "c.mp4": [2.0]})
    now = make_catalog(PATHS, tmp_path, mtime_ns=[7, 7, 9])
    assert find_measured(memory, now).tolist() == [-1, 1, -1]


def test_another_way_of_measuring_is_refused(catalog: Catalog, tmp_path: Path) -> None:
    out, partial = tmp_path / "m.parquet", tmp_path / "m.partial"
    wanted = MotionConfig(backend="frame_difference", size=64)
    make_table(catalog, {"a.mp4": [1.0]}).save(out)
    with pytest.raises(CatalogError, match=r"m.parquet: was measured with size 32 and not 64; .* --fresh"):
        recall(out, partial, wanted)
    out.unlink()
    write_partial(partial, catalog, {"a.mp4": [1.0]})
    with pytest.raises(CatalogError, match=r"m.partial: was measured with size 32 and not 64"):
        recall(out, partial, wanted)


def test_a_fresh_start_forgets_the_table_but_overwrites_nothing_else(
    catalog: Catalog, tmp_path: Path
) -> None:
    out, partial = tmp_path / "m.parquet", tmp_path / "m.partial"
    make_table(catalog, {"a.mp4": [1.0]}).save(out)
    memory = recall(out, partial, MotionConfig(), is_fresh=True)
    assert (len(memory.rows), memory.config) == (0, MotionConfig())
    catalog.save(out)
    with pytest.raises(CatalogError, match="is no table of motion"):
        recall(out, partial, CONFIG, is_fresh=True)


def test_a_folder_that_cannot_be_written_to_is_refused() -> None:
    with pytest.raises(CatalogError, match=r"cannot be written \(.*\); choose another --out"):
        PartialMotion(Path("/proc/m.partial"), CONFIG)
