"""What a scan tells its user at the end."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

_EXTENSIONS_SHOWN = 6


@dataclass(frozen=True)
class ScanSummary:
    """What a scan did.

    Attributes:
        out: the catalog.
        rejected_path: the table of files that cannot be used, with reasons.
        scanned: files that were looked at, and folders that could not be; ``accepted + rejected``.
        accepted: rows of the catalog.
        rejected: rows of the table of rejected files.
        reused: files that have not changed since an earlier scan and were not read again.
        dropped: videos of the earlier catalog that are gone.
        duplicates: how often a file was reached again.
        other_files: extension -> number of files that are no videos by their name, most frequent first.
        reasons: why files were rejected -> how many, most frequent first; numbers in which they
            differ are written as N.
        frames: of all accepted videos.
        seconds_of_video: of all accepted videos.
        labels: number of classes.
        splits: split -> number of videos.
        segments: labelled stretches of all accepted videos.
        segment_labels: number of classes of these.
        notes: what is worth knowing.
        warnings: what should be mended.
        seconds: how long the scan took.
    """

    out: Path
    rejected_path: Path
    scanned: int
    accepted: int
    rejected: int
    reused: int
    dropped: int
    duplicates: int
    other_files: Mapping[str, int]
    reasons: Mapping[str, int]
    frames: int
    seconds_of_video: float
    labels: int
    splits: Mapping[str, int]
    segments: int
    segment_labels: int
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    seconds: float


def count_reasons(reasons: Iterable[str]) -> dict[str, int]:
    """Count reasons that differ in numbers alone as one, most frequent first; such numbers become ``N``."""
    alike: dict[str, Counter[str]] = {}
    for reason in reasons:
        alike.setdefault(re.sub(r"\b\d+(\.\d+)?\b", "N", reason), Counter())[reason] += 1
    counts = {next(iter(group)) if len(group) == 1 else key: group.total() for key, group in alike.items()}
    return dict(Counter(counts).most_common())


def note_oddities(table: pa.Table) -> list[str]:
    """Say what is odd about the accepted videos.

    Args:
        table: with the columns of a catalog.
    """
    notes = count_reasons(note for note in table["note"].to_pylist() if note)
    lines = [f"{_count(number, 'video')}: {note}" for note, number in notes.items()]
    num_stills = pc.sum(pc.equal(table["frames"], 1)).as_py()
    if num_stills:
        lines.append(f"{_count(num_stills, 'video')}: a single frame, perhaps a still picture")
    num_uneven = pc.sum(table["is_variable_frame_rate"]).as_py()
    if num_uneven:
        lines.append(f"{_count(num_uneven, 'video')}: frames unevenly apart in time")
    return lines


def describe_extensions(counts: Mapping[str, int]) -> str:
    """Write how many files have which ending: ``12 files (.jpg 10, .txt 2)``; "" for none."""
    if not counts:
        return ""
    ordered = Counter(counts).most_common()
    shown = [f"{name} {count}" for name, count in ordered[:_EXTENSIONS_SHOWN]]
    if len(ordered) > _EXTENSIONS_SHOWN:
        shown.append("...")
    return f"{_count(sum(counts.values()), 'file')} ({', '.join(shown)})"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
