"""List the videos of folders or lists in a catalog; what cannot be used goes to rejected.csv with the reason.

Every file is decoded once, in processes that are killed when a file hangs or crashes them. A second scan
reads only what has changed, and an interrupted scan goes on from where it stopped.

A CSV list with the columns `start_sec` and `end_sec` labels stretches of videos, one per row. With --layout
the sources are the folders of a standard data set, and its official annotation files say what its videos
show; what they name and the disk lacks is listed with the rejected files.
"""

import dataclasses
import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from unreel.cli.output_files import check_outputs
from unreel.cli.terminal import ProgressBar, format_duration, parse_arguments, print_summary, print_warning
from unreel.data.layouts.names import DataSet, LayoutName
from unreel.data.listing import FolderLabels, ListSplits
from unreel.data.scan import scan_videos
from unreel.data.scan_summary import ScanSummary, describe_extensions
from unreel.data.video_lists import ListColumns

_REASONS_SHOWN = 5


@dataclass(frozen=True)
class Arguments:
    """What to scan, and how."""

    sources: tyro.conf.Positional[tuple[Path, ...]]
    """Folders, video files, `path label` lists (.txt, .list) and CSV lists with a column `path`."""
    out: Path = Path("catalog.parquet")
    """Catalog to write; if it exists, only what has changed since is read."""
    rejected: Path | None = None
    """Table of what cannot be used; by default rejected.csv beside the catalog."""
    root: Path | None = None
    """Folder that the paths in lists start from; by default each list's own folder."""
    labels: FolderLabels = "none"
    """`from-folders` labels a video with the name of its folder, where no list says otherwise."""
    splits: ListSplits = "none"
    """`from-lists` gives videos the name of their list, such as train.txt, as split."""
    label_column: str = "label"
    """Column of a CSV list that holds the label."""
    split_column: str = "split"
    """Column of a CSV list that holds the split."""
    group_column: str = "group"
    """Column of a CSV list that holds what a split must not tear apart, such as the film."""
    start_column: str = "start_sec"
    """Column of a CSV list that holds when a labelled stretch begins, in seconds."""
    end_column: str = "end_sec"
    """Column of a CSV list that holds when it ends."""
    layout: LayoutName = "none"
    """Standard data set that the sources are; labels, splits and segments come from its annotation files."""
    layout_split: str = ""
    """Which of its splits: 1, 2 or 3 of ucf101, hmdb51 and jhmdb (1 if not given); cross-subject (if not
    given) or cross-session of mmact."""
    annotations: Path | None = None
    """Folder of its annotation files; by default they are looked for in the sources, two folders deep."""
    check: Literal["decode", "packets"] = "decode"
    """`decode` reads every frame; `packets` is faster, trusts the packets and finds less damage."""
    num_workers: int = -1
    """Processes that read files; -1 starts one per core."""
    time_limit_sec: float = 60.0
    """A file that takes longer is rejected."""
    fresh: bool = False
    """Read every file again."""
    json: bool = False
    """Print the summary as JSON on the standard output."""


def main(argv: list[str]) -> None:
    """Run the command."""
    arguments = parse_arguments(
        Arguments,
        argv,
        command="scan",
        description=__doc__ or "",
        example="unreel scan videos/ --out catalog.parquet --labels from-folders",
    )
    sources = [source for source in arguments.sources if not source.is_dir()]
    check_outputs({"--out": arguments.out, "--rejected": arguments.rejected}, {"a source": sources})
    try:
        with ProgressBar("Scanning", unit="files") as progress:
            summary = scan_videos(
                arguments.sources,
                arguments.out,
                rejected=arguments.rejected,
                root=arguments.root,
                labels=arguments.labels,
                splits=arguments.splits,
                columns=ListColumns(
                    arguments.label_column,
                    arguments.split_column,
                    arguments.group_column,
                    arguments.start_column,
                    arguments.end_column,
                ),
                data_set=DataSet(arguments.layout, arguments.layout_split, arguments.annotations),
                check=arguments.check,
                num_workers=arguments.num_workers,
                time_limit_sec=arguments.time_limit_sec,
                is_fresh=arguments.fresh,
                progress=progress,
            )
    except KeyboardInterrupt:
        print_warning("what was read so far is kept; the same command without --fresh goes on from there")
        raise
    for warning in summary.warnings:
        print_warning(warning)
    if arguments.json:
        values = dataclasses.asdict(summary)
        sys.stdout.write(json.dumps(values, indent=2, default=str, ensure_ascii=False) + "\n")
        return
    print_summary(
        f"Catalog {summary.out}",
        describe_summary(summary),
        next_steps=_name_next(summary),
    )


def _name_next(summary: ScanSummary) -> tuple[str, ...]:
    catalog = shlex.quote(str(summary.out))
    if summary.segments:
        return (f"unreel localize features --encoder RUN/encoder --catalog {catalog} --out grid.parquet",)
    return ("unreel recipes", f"unreel pretrain moco.small --data.catalog {catalog} --run runs/first")


def describe_summary(summary: ScanSummary) -> Mapping[str, str]:
    """Return the lines of the summary: name -> text."""
    reasons = list(summary.reasons.items())
    more = len(reasons) - _REASONS_SHOWN
    splits = ", ".join(f"{name or 'none'} {count}" for name, count in summary.splits.items())
    without_labels = "none of whole videos" if summary.segments else "none"
    rows = {
        "scanned": f"{summary.scanned} = {summary.accepted} accepted + {summary.rejected} rejected",
        "rejected": f"listed in {summary.rejected_path}" if summary.rejected else "",
        **{
            f"reason {place}": f"{count} x {reason}"
            for place, (reason, count) in enumerate(reasons[:_REASONS_SHOWN], start=1)
        },
        "more reasons": f"{more} more in the list" if more > 0 else "",
        "not video by name": describe_extensions(summary.other_files),
        "unchanged": f"{summary.reused} not read again" if summary.reused else "",
        "dropped": f"{summary.dropped} of the earlier catalog are gone" if summary.dropped else "",
        "video": f"{format_duration(summary.seconds_of_video)}, {summary.frames} frames",
        "labels": f"{summary.labels} classes" if summary.labels else without_labels,
        "segments": f"{summary.segments} in {summary.segment_labels} classes" if summary.segments else "",
        "splits": splits if set(summary.splits) - {""} else "none",
        **{f"note {place}": note for place, note in enumerate(summary.notes, start=1)},
        "time": format_duration(summary.seconds),
    }
    return {name: text for name, text in rows.items() if text}
