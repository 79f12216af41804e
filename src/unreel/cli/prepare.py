"""Make small copies of the videos of a catalog that are quick to train on, and a catalog of them.

Copies are H.264 with short groups of pictures, many times quicker to read clips from than most originals, or
raw pictures, which need no decoding at all. The new catalog has the ids, labels, splits, groups and segments
of the old one, and takes its place in every command. What is interrupted goes on from where it stopped.
"""

import dataclasses
import shlex
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro

from unreel.cli.evaluate_output import print_json
from unreel.cli.output_files import check_outputs
from unreel.cli.terminal import ProgressBar, format_duration, parse_arguments, print_summary, print_warning
from unreel.data.catalog import Catalog
from unreel.data.prepare import Estimate, PrepareConfig, PrepareSummary, prepare_videos
from unreel.data.prepare_estimate import format_bytes
from unreel.data.prepare_memory import CATALOG_FILE
from unreel.legible import make_legible

_REASONS_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to copy, and how."""

    catalog: Path
    """Catalog that `unreel scan` wrote."""
    root: Path | None = None
    """Where the videos are now, when their folder was moved after the scan."""
    out: Path
    """Folder to write. If it holds copies made in the same way, only what is new or has changed is copied."""
    how: tyro.conf.OmitArgPrefixes[PrepareConfig] = field(default_factory=PrepareConfig)
    """How copies are made."""
    verify: bool = False
    """Read every copy again, also those made before, and compare each picture with the original's."""
    num_workers: int = -1
    """Processes that copy; -1 starts one per core."""
    time_limit_sec: float = 0.0
    """A video that takes longer to read is rejected; 0 allows a minute and twenty times its length."""
    yes: bool = False
    """Go on without asking whether the copies may take so much room; asked is on a terminal only."""
    json: bool = False
    """Print the summary as JSON on the standard output."""


def main(argv: list[str]) -> None:
    """Run the command."""
    arguments = parse_arguments(
        Arguments,
        argv,
        command="prepare",
        description=__doc__ or "",
        example="unreel prepare --catalog catalog.parquet --out prepared/",
    )
    catalog = Catalog.load(arguments.catalog, root=arguments.root)
    check_outputs({"--out": arguments.out / CATALOG_FILE}, {"--catalog": arguments.catalog})
    bar = ProgressBar("Preparing", unit="s of video")
    is_asked = sys.stdin.isatty() and not arguments.yes
    with ExitStack() as stack:

        def confirm(estimate: Estimate) -> bool:
            is_wanted = ask(estimate, is_asked=is_asked)
            if is_wanted:
                stack.enter_context(bar)  # only now: a bar would be drawn over the question
            return is_wanted

        try:
            summary = prepare_videos(
                catalog,
                arguments.out,
                arguments.how,
                is_verified=arguments.verify,
                num_workers=arguments.num_workers,
                time_limit_sec=arguments.time_limit_sec,
                confirm=confirm,
                progress=bar,
            )
        except KeyboardInterrupt:
            print_warning("the copies made so far are kept; the same command goes on from there")
            raise
    if arguments.json:
        values: dict[str, Any] = {**dataclasses.asdict(summary), "config": dataclasses.asdict(arguments.how)}
        print_json({name: str(value) if isinstance(value, Path) else value for name, value in values.items()})
        return
    print_summary(
        f"Copies {summary.out}",
        describe_summary(summary),
        next_steps=(
            shlex.join(
                [
                    "unreel",
                    "pretrain",
                    "moco.small",
                    "--data.catalog",
                    str(summary.out),
                    "--run",
                    "runs/first",
                ]
            ),
        ),
    )


def ask(estimate: Estimate, *, is_asked: bool) -> bool:
    """Say what the copies will take, and ask whether they may."""
    text = estimate.describe()
    sys.stderr.write(f"{make_legible(text)}\n")
    if not is_asked:
        return True
    sys.stderr.write("Go on? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def describe_summary(summary: PrepareSummary) -> Mapping[str, str]:
    """Return the lines of the summary: name -> text."""
    reasons = list(summary.reasons.items())
    more = len(reasons) - _REASONS_SHOWN
    pace = summary.seconds_of_video / summary.seconds if summary.seconds else 0.0
    share = summary.copy_bytes / summary.original_bytes if summary.original_bytes else 0.0
    rows = {
        "videos": f"{summary.videos} = {summary.prepared} prepared + {summary.reused} unchanged + "
        f"{summary.rejected} rejected",
        "rejected": f"listed in {summary.rejected_path}" if summary.rejected else "",
        **{
            f"reason {place}": f"{count} x {reason}"
            for place, (reason, count) in enumerate(reasons[:_REASONS_SHOWN], start=1)
        },
        "more reasons": f"{more} more in the list" if more > 0 else "",
        "dropped": f"{summary.dropped} copies in the folder are of videos that the catalog lacks"
        if summary.dropped
        else "",
        "touched": f"{summary.touched} originals were written at another time than scanned, with the same "
        "size and timestamps; scan again if they were changed"
        if summary.touched
        else "",
        "verified": f"{summary.verified} copies, the least alike picture with {summary.least_psnr:.1f} dB"
        if summary.verified
        else "",
        "size": f"{format_bytes(summary.copy_bytes)}, {share:.2f} of the originals' "
        f"{format_bytes(summary.original_bytes)}",
        "video": f"{format_duration(summary.seconds_of_video)} read, {pace:.1f} s per second",
        "time": format_duration(summary.seconds),
    }
    return {name: text for name, text in rows.items() if text}
