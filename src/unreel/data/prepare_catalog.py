"""Where copies lie, where they must not, and the catalog of them."""

import os
from collections import Counter
from pathlib import Path, PurePosixPath

import pyarrow as pa

from unreel.data.catalog import Catalog
from unreel.data.catalog_table import CATALOG_SCHEMA
from unreel.data.prepare_memory import VIDEOS_FOLDER
from unreel.errors import CatalogError

_LONGEST_STEM_BYTES = 160
_ELSEWHERE = "elsewhere"
_OF_ORIGINALS = ("id", "label", "split", "group", "segments")


def name_copy(path: str, name: str, suffix: str) -> str:
    """Return where the copy of a video lies in the folder of copies: in a folder like its original's.

        class-0/0001.avi  ->  videos/class-0/0001-5d41402abc4b2a76.mp4

    The id keeps apart what the ending alone did.

    Args:
        path: of the original in its catalog; what lies outside of the catalog's folder is put together.
        name: its id.
        suffix: how names of copies end.
    """
    original = PurePosixPath(path)
    is_elsewhere = original.is_absolute() or ".." in original.parts
    folder = _ELSEWHERE if is_elsewhere else str(original.parent)
    stem = original.stem.encode()[:_LONGEST_STEM_BYTES].decode(errors="ignore")
    return str(PurePosixPath(VIDEOS_FOLDER, folder, f"{stem}-{name}{suffix}"))


def check_originals(catalog: Catalog, out: Path) -> None:
    """Refuse a catalog of which no copies can be made, or not there.

    Copies lie neither in a folder that holds an original, nor below one, nor above one: a scan would take
    them for originals.

    Args:
        catalog: the originals.
        out: the folder of copies.

    Raises:
        CatalogError: the catalog is empty, names an id twice or has one that is no part of a file's name, or
            originals are in the way.
    """
    if not len(catalog):
        raise CatalogError("the catalog holds no video; scan a folder that does")
    ids = catalog.ids
    if len(set(ids)) < len(ids):
        twice = next(name for name, count in Counter(ids).items() if count > 1)
        raise CatalogError(f"the catalog holds the id {twice} twice; scan again with --fresh")
    if wrong := next((name for name in ids if "/" in name), None):
        raise CatalogError(f"the catalog holds the id {wrong!r}, which is a path; scan again with --fresh")
    place = Path(os.path.realpath(out))
    above = {place, *place.parents}
    folders = {os.path.dirname(path) for path in catalog.table["path"].to_pylist()}
    for folder in sorted(folders):
        real = Path(os.path.realpath(catalog.root / folder))
        if real in above or place in real.parents:
            raise CatalogError(
                f"{out}: originals lie in {real}, and copies are kept apart from them; choose another --out"
            )


def build_catalog(originals: Catalog, copies: pa.Table) -> pa.Table:
    """Return the catalog of copies: what was known of the originals, and what the copies hold.

    Args:
        originals: the videos.
        copies: a row of `COPY_SCHEMA` for each, in the same order.
    """
    columns = [
        (originals.table if name in _OF_ORIGINALS else copies)[name].combine_chunks()
        for name in CATALOG_SCHEMA.names
    ]
    return pa.Table.from_arrays(columns, schema=CATALOG_SCHEMA)
