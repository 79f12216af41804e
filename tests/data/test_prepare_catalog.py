from pathlib import Path

import pytest

from tests.data.numbered import describe_job, write_numbers
from tests.data.scan_samples import make_catalog
from unreel.data.catalog import Catalog
from unreel.data.catalog_table import CATALOG_SCHEMA
from unreel.data.prepare_catalog import build_catalog, check_originals, name_copy
from unreel.data.prepare_copy import copy_file
from unreel.data.prepare_memory import COPY_SCHEMA
from unreel.errors import CatalogError

ID = "0123456789abcdef"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.avi", f"videos/a-{ID}.mp4"),
        ("class 0/sub/a.b.avi", f"videos/class 0/sub/a.b-{ID}.mp4"),
        ("noending", f"videos/noending-{ID}.mp4"),
        ("/other/disk/a.avi", f"videos/elsewhere/a-{ID}.mp4"),
        ("../a.avi", f"videos/elsewhere/a-{ID}.mp4"),
        ("ä" * 100 + ".avi", f"videos/{'ä' * 80}-{ID}.mp4"),
        ("x" + "ä" * 100 + ".avi", f"videos/x{'ä' * 79}-{ID}.mp4"),  # no letter is cut in half
    ],
)
def test_a_copy_lies_in_a_folder_like_its_original(path: str, expected: str) -> None:
    assert name_copy(path, ID, ".mp4") == expected


def test_originals_that_differ_in_their_ending_have_copies_apart() -> None:
    catalog = make_catalog(["a.avi", "a.mp4", "A.mp4", "a"], Path("r"))
    names = {
        name_copy(path, name, ".mp4").lower()
        for path, name in zip(catalog.table["path"].to_pylist(), catalog.ids, strict=True)
    }
    assert len(names) == 4


@pytest.mark.parametrize("out", ["v", "v/c", "v/c/deeper", "v/c/new", ".", "l"])
def test_copies_are_kept_apart_from_originals(tmp_path: Path, out: str) -> None:
    (tmp_path / "v" / "c" / "deeper").mkdir(parents=True)
    (tmp_path / "l").symlink_to(tmp_path / "v" / "c")
    catalog = make_catalog(["c/0.mp4"], tmp_path / "v")
    with pytest.raises(CatalogError, match=r"originals lie in .*/v/c, and copies are kept apart from them"):
        check_originals(catalog, tmp_path / out)


@pytest.mark.parametrize("out", ["prepared", "v-prepared", "v/c2", "v/prepared"])
def test_other_folders_will_do(tmp_path: Path, out: str) -> None:
    check_originals(make_catalog(["c/0.mp4"], tmp_path / "v"), tmp_path / out)


def test_files_elsewhere_count_as_originals_too(tmp_path: Path) -> None:
    catalog = make_catalog(["c/0.mp4", str(tmp_path / "w" / "1.mp4")], tmp_path / "v")
    with pytest.raises(CatalogError, match=r"originals lie in .*/w,"):
        check_originals(catalog, tmp_path / "w" / "prepared")


def test_an_empty_catalog_and_ids_that_are_no_names_are_refused(tmp_path: Path) -> None:
    catalog = make_catalog(["0.mp4", "1.mp4"], tmp_path)
    with pytest.raises(CatalogError, match="the catalog holds no video"):
        check_originals(catalog.take([]), tmp_path / "p")
    with pytest.raises(CatalogError, match=f"holds the id {catalog.ids[1]} twice"):
        check_originals(catalog.take([0, 1, 1]), tmp_path / "p")
    place = catalog.table.schema.get_field_index("id")
    table = catalog.table.set_column(
        place, catalog.table.schema.field(place), [[catalog.ids[0], "x/../../1"]]
    )
    with pytest.raises(CatalogError, match=r"holds the id 'x/../../1', which is a path; scan again"):
        check_originals(Catalog(table, tmp_path), tmp_path / "p")


def test_the_new_catalog_has_the_old_names_and_the_new_files(tmp_path: Path) -> None:
    import pyarrow as pa

    path = write_numbers(tmp_path / "v" / "a.avi", 5, codec="mpeg4")
    segments = [[{"start_sec": 0.04, "end_sec": 0.12, "label": "jump"}]]
    catalog = make_catalog(
        ["a.avi"], tmp_path / "v", label=["x"], split=["train"], group=["g"], segments=segments
    )
    result = copy_file(describe_job(path, tmp_path / "p" / "c.mp4"))
    row = {
        "id": "not used",
        "original": str(path),
        **{f"original_{name}": 1 for name in ("bytes", "mtime_ns", "frames")},
        "path": "c.mp4",
        **{name: result[name] for name in ("bytes", "mtime_ns", "psnr")},
        **result["row"],
    }
    table = build_catalog(catalog, pa.Table.from_pylist([row], schema=COPY_SCHEMA))
    assert table.schema.equals(CATALOG_SCHEMA)
    video = Catalog(table, tmp_path / "p").video(0)
    old = catalog.video(0)
    assert (video.id, video.label, video.split, video.group) == (old.id, "x", "train", "g")
    assert video.segments == old.segments
    assert (video.path, video.frames, video.codec) == (tmp_path / "p" / "c.mp4", 5, "h264")
    assert video.num_bytes == (tmp_path / "p" / "c.mp4").stat().st_size
