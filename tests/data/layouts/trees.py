"""Data sets in small: files as their authors lay them out, with the real syntax of their annotations."""

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from unreel.data.catalog import Catalog
from unreel.data.layouts.annotation_files import AnnotationFiles
from unreel.data.layouts.layout import AnnotatedVideo
from unreel.data.layouts.names import DataSet, LaidOut, read_data_set
from unreel.data.scan import scan_videos
from unreel.data.scan_summary import ScanSummary


def write_tree(folder: Path, texts: Mapping[str, str]) -> Path:
    """Write text files, byte by byte as they are given."""
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return folder


def add_videos(folder: Path, names: Sequence[str], clip: Path | None = None) -> Path:
    """Put videos into a folder: links to ``clip``, or files that only have a name."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if clip is None:
            path.write_bytes(b"video")
        else:
            os.link(clip, path)
    return folder


def annotations_of(folder: Path) -> AnnotationFiles:
    return AnnotationFiles([folder], "the page of the data set")


def read(layout: str, folder: Path, split: str = "") -> LaidOut:
    return read_data_set(DataSet(layout, split), [folder], lambda _: None)  # type: ignore[arg-type]


def as_rows(videos: Sequence[AnnotatedVideo]) -> list[tuple[str, str, str, str]]:
    return [(video.name, video.label, video.split, video.group) for video in videos]


def scan(layout: str, folder: Path, split: str = "") -> tuple[Catalog, ScanSummary, dict[str, str]]:
    """Scan a data set for real; return the catalog, the summary and what was rejected."""
    out = folder.parent / "out" / "catalog.parquet"
    summary = scan_videos([folder], out, data_set=DataSet(layout, split))  # type: ignore[arg-type]
    with out.with_name("rejected.csv").open(encoding="utf-8", newline="") as file:
        rejected = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    catalog = Catalog.load(out)
    assert summary.scanned == len(catalog) + len(rejected)
    return catalog, summary, rejected
