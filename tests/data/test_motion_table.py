from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.motion_tables import CONFIG, make_table
from tests.data.scan_samples import make_catalog
from unreel.data.catalog import Catalog
from unreel.data.clips import RandomClips
from unreel.data.motion_flow import MotionConfig
from unreel.data.motion_table import (
    MOTION_SCHEMA,
    MotionRows,
    MotionTable,
    attach_motion,
    describe_unmeasured,
    name_table,
)
from unreel.data.targeted_clips import TargetedClips
from unreel.errors import CatalogError

PATHS = ["a.mp4", "b.mp4", "c.mp4"]
MOTION = {"a.mp4": [1.0, 2.5], "b.mp4": None, "c.mp4": [0.125]}


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    make_catalog(PATHS, tmp_path).save(tmp_path / "my.parquet")
    return Catalog.load(tmp_path / "my.parquet")


@pytest.fixture
def table(catalog: Catalog, tmp_path: Path) -> MotionTable:
    made = make_table(catalog, MOTION)
    made.save(tmp_path / "my.motion.parquet")
    return made


def motions(catalog: Catalog) -> list[list[float] | None]:
    return [None if video.motion is None else video.motion.tolist() for video in catalog]


def test_what_is_saved_is_loaded(catalog: Catalog, table: MotionTable, tmp_path: Path) -> None:
    loaded = MotionTable.load(tmp_path / "my.motion.parquet")
    assert loaded.rows.equals(table.rows)
    assert loaded.config == CONFIG
    assert loaded.window_sec == 1.0
    found = loaded.find(catalog.ids[0])
    assert found is not None
    assert found.dtype == np.float32
    assert found.tolist() == [1.0, 2.5]
    assert loaded.find(catalog.ids[1]) is None
    with pytest.raises(CatalogError, match="the video 0123 is not in the table of motion"):
        loaded.find("0123")


def test_the_table_lies_beside_its_catalog() -> None:
    assert name_table(Path("x/catalog.parquet")) == Path("x/catalog.motion.parquet")
    assert name_table(Path("x/my.videos.parquet")) == Path("x/my.videos.motion.parquet")


@pytest.mark.parametrize("content", ["absent", "text", "catalog", "version", "columns"])
def test_other_files_are_refused(content: str, catalog: Catalog, table: MotionTable, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    metadata = pq.read_schema(tmp_path / "my.motion.parquet").metadata
    if content == "text":
        path.write_text("id,motion\n")
    elif content == "catalog":
        catalog.save(path)
    elif content == "version":
        changed = {**metadata, b"unreel.motion.version": b"0"}
        pq.write_table(table.rows.replace_schema_metadata(changed), path)
    elif content == "columns":
        pq.write_table(table.rows.select(["id", "motion"]).replace_schema_metadata(metadata), path)
    expected = {"absent": "there is no table of motion", "text": "cannot be read"}
    with pytest.raises(
        CatalogError, match=expected.get(content, "is no table of motion that this program reads")
    ):
        MotionTable.load(path)


def test_videos_are_found_by_id_and_only_if_the_file_is_the_same(
    catalog: Catalog, table: MotionTable
) -> None:
    assert table.find_rows(catalog).tolist() == [0, 1, 2]
    assert table.find_rows(catalog.take([2, 0])).tolist() == [2, 0]
    sizes = make_catalog(PATHS, catalog.root, bytes=[1000, 1001, 1000])
    assert table.find_rows(sizes).tolist() == [0, -1, 2]
    assert table.find_rows(make_catalog(PATHS, catalog.root, frames=9)).tolist() == [-1, -1, -1]
    touched = make_catalog(PATHS, catalog.root, mtime_ns=[7, 7, 8])
    assert table.find_rows(touched).tolist() == [0, 1, 2]
    assert table.find_rows(touched, is_strict=True).tolist() == [0, 1, -1]
    assert table.find_rows(make_catalog(["new.mp4", "c.mp4"], catalog.root)).tolist() == [2, -1]


def test_clips_by_motion_get_it_from_beside_the_catalog(catalog: Catalog, table: MotionTable) -> None:
    moving = attach_motion(catalog.take([2, 1]), TargetedClips())
    assert motions(moving) == [[0.125], None]
    assert moving.motion is not None
    assert moving.hash == catalog.take([2, 1]).hash


def test_the_hash_changes_with_every_number_and_with_the_way_of_measuring(
    catalog: Catalog, tmp_path: Path
) -> None:
    def hash_of(motion: dict[str, list[float] | None], config: MotionConfig = CONFIG) -> str:
        make_table(catalog, {"c.mp4": [9.0], **motion}, config).save(tmp_path / "x.parquet")
        moving = attach_motion(catalog.take([0, 1]), TargetedClips(), tmp_path / "x.parquet")
        assert moving.motion is not None
        return moving.motion.hash

    plain: dict[str, list[float] | None] = {"a.mp4": [1.0, 2.0], "b.mp4": [3.0]}
    others: list[dict[str, list[float] | None]] = [
        {"a.mp4": [1.0, 2.5], "b.mp4": [3.0]},
        {"a.mp4": [1.0], "b.mp4": [2.0, 3.0]},
        {"a.mp4": [1.0, 2.0, 3.0], "b.mp4": []},
        {"a.mp4": [1.0, 2.0, 3.0], "b.mp4": None},
    ]
    hashes = [hash_of(plain), *map(hash_of, others), hash_of(plain, MotionConfig(size=64))]
    assert len(set(hashes)) == 6
    # A video that is not in the catalog plays no role.
    assert hash_of({**plain, "c.mp4": [8.0]}) == hashes[0]


def test_clips_that_need_no_motion_need_no_table(catalog: Catalog) -> None:
    for clips in (RandomClips(), TargetedClips(beta=float("inf"))):
        assert attach_motion(catalog, clips) is catalog
        assert attach_motion(catalog, clips, Path("nowhere.parquet")) is catalog


def test_another_table_can_be_named(catalog: Catalog, tmp_path: Path) -> None:
    config = MotionConfig(size=64, window_sec=2.0)
    make_table(catalog, {**MOTION, "b.mp4": [7.0]}, config).save(tmp_path / "other.parquet")
    moving = attach_motion(catalog, TargetedClips(), tmp_path / "other.parquet")
    assert motions(moving) == [[1.0, 2.5], [7.0], [0.125]]
    assert moving.video(0).motion_window_sec == 2.0
    assert describe_unmeasured(moving) == ""


def test_a_missing_table_is_refused_with_the_command_that_makes_it(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(CatalogError) as refusal:
        attach_motion(catalog, TargetedClips())
    assert f"{tmp_path / 'my.motion.parquet'}: there is no table of motion" in str(refusal.value)
    assert f"`unreel motion --catalog {tmp_path / 'my.parquet'}`" in str(refusal.value)
    assert "--method.clips.beta inf" in str(refusal.value)
    with pytest.raises(CatalogError, match=r"my.parquet --out .*other.parquet`"):
        attach_motion(catalog, TargetedClips(), tmp_path / "other.parquet")


def test_videos_that_were_never_measured_are_refused(catalog: Catalog, tmp_path: Path) -> None:
    make_table(catalog, {"a.mp4": [1.0]}).save(tmp_path / "my.motion.parquet")
    with pytest.raises(
        CatalogError, match=r"lacks 2 of the 3 videos, .* such as .*b.mp4, .*`unreel motion --cat"
    ):
        attach_motion(catalog, TargetedClips())
    assert motions(attach_motion(catalog.take([0]), TargetedClips())) == [[1.0]]


def test_a_table_without_any_motion_is_refused(catalog: Catalog, tmp_path: Path) -> None:
    make_table(catalog, dict.fromkeys(PATHS)).save(tmp_path / "my.motion.parquet")
    with pytest.raises(CatalogError, match="not one of the 3 videos could be measured"):
        attach_motion(catalog, TargetedClips())


def test_videos_that_failed_are_counted(catalog: Catalog, table: MotionTable) -> None:
    moving = attach_motion(catalog, TargetedClips())
    assert describe_unmeasured(moving).startswith("the motion of 1 of the 3 videos could not be measured")
    assert describe_unmeasured(catalog) == ""


def test_a_million_videos_cost_what_their_numbers_take(tmp_path: Path) -> None:
    """The catalog keeps one Arrow column: four bytes per window and per video."""
    count = 2000
    catalog = make_catalog([f"{number:05d}.mp4" for number in range(count)], tmp_path)
    motion = {path: [0.5] * 10 for path in catalog.table["path"].to_pylist()}
    make_table(catalog, motion).save(tmp_path / "m.parquet")
    moving = attach_motion(catalog, TargetedClips(), tmp_path / "m.parquet")
    assert moving.motion is not None
    assert moving.motion.values.nbytes <= count * (10 * 4 + 4) + count
    assert moving.video(1999).motion is not None


def test_rows_are_packed_in_their_order() -> None:
    rows = MotionRows()
    for number in range(5000):
        values = {
            "id": str(number),
            "bytes": 1,
            "mtime_ns": 2,
            "frames": 3,
            "motion": [float(number)],
            "reason": "",
        }
        rows.append(values)
    built = rows.build()
    assert built.schema.equals(MOTION_SCHEMA)
    assert built["id"].to_pylist() == [str(number) for number in range(5000)]
    assert built["motion"][4999].as_py() == [4999.0]
    assert MotionRows().build().equals(pa.table({name: [] for name in MOTION_SCHEMA.names}, MOTION_SCHEMA))
