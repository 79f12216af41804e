"""Measure how much the videos of a catalog move, second by second: what SCVRL chooses its clips by.

Every video is decoded once, in processes that are killed when a video hangs or crashes them. A second
measurement takes only what has changed, and an interrupted one goes on from where it stopped.
"""

import dataclasses
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro

from unreel.cli.evaluate_output import print_json
from unreel.cli.output_files import check_outputs
from unreel.cli.terminal import ProgressBar, format_duration, parse_arguments, print_summary, print_warning
from unreel.data.catalog import Catalog
from unreel.data.motion import MotionSummary, measure_motion
from unreel.data.motion_flow import MotionConfig
from unreel.data.motion_table import name_table

_REASONS_SHOWN = 5
_HARDLY = 0.95
"""When the draw is as uncertain as among this share of all windows, motion hardly plays a role."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to measure, and how."""

    catalog: Path
    """Catalog that `unreel scan` wrote."""
    root: Path | None = None
    """Where the videos are now, when their folder was moved after the scan."""
    out: Path | None = None
    """Table to write; by default beside the catalog, where training looks for it. If it exists, only what has
    changed since is measured."""
    rejected: Path | None = None
    """List of the videos that cannot be measured; by default beside the table."""
    how: tyro.conf.OmitArgPrefixes[MotionConfig] = field(default_factory=MotionConfig)
    """How motion is measured."""
    beta: float = 5.0
    """By which training divides motion; the summary says how many windows that leaves likely."""
    num_workers: int = -1
    """Processes that measure; -1 starts one per core."""
    time_limit_sec: float = 0.0
    """A video that takes longer is rejected; 0 allows a minute and ten times its length."""
    fresh: bool = False
    """Measure every video again."""
    json: bool = False
    """Print the summary as JSON on the standard output."""


def main(argv: list[str]) -> None:
    """Run the command."""
    arguments = parse_arguments(
        Arguments,
        argv,
        command="motion",
        description=__doc__ or "",
        example="unreel motion --catalog catalog.parquet",
    )
    catalog = Catalog.load(arguments.catalog, root=arguments.root)
    out = name_table(arguments.catalog) if arguments.out is None else arguments.out
    check_outputs({"--out": out, "--rejected": arguments.rejected}, {"--catalog": arguments.catalog})
    try:
        with ProgressBar("Measuring", unit="s of video") as progress:
            summary = measure_motion(
                catalog,
                out,
                arguments.how,
                rejected=arguments.rejected,
                num_workers=arguments.num_workers,
                time_limit_sec=arguments.time_limit_sec,
                is_fresh=arguments.fresh,
                beta=arguments.beta,
                progress=progress,
            )
    except KeyboardInterrupt:
        print_warning("what was measured so far is kept; the same command without --fresh goes on from there")
        raise
    values: dict[str, Any] = {**dataclasses.asdict(summary), "config": dataclasses.asdict(arguments.how)}
    if arguments.json:
        print_json({name: str(value) if isinstance(value, Path) else value for name, value in values.items()})
        return
    print_summary(
        f"Motion {summary.out}",
        describe_summary(summary),
        next_steps=_suggest(arguments),
    )
    sys.stdout.flush()


def _suggest(arguments: Arguments) -> tuple[str, str]:
    """Return what may come next: to look at the motion, and to train by it."""
    catalog, out = str(arguments.catalog), str(arguments.out)
    is_elsewhere = arguments.out is not None and arguments.out != name_table(arguments.catalog)
    look = ["unreel", "report", "motion", "--catalog", catalog]
    look += ["--root", str(arguments.root)] if arguments.root is not None else []
    look += ["--motion", out] if is_elsewhere else []
    train = ["unreel", "pretrain", "scvrl.kinetics400", "--data.catalog", catalog]
    train += ["--data.motion", out] if is_elsewhere else []
    train += ["--method.clips.beta", f"{arguments.beta:g}", "--run", "runs/scvrl"]
    return shlex.join([*look, "--out", "motion.png"]), shlex.join(train)


def describe_summary(summary: MotionSummary) -> Mapping[str, str]:
    """Return the lines of the summary: name -> text."""
    reasons = list(summary.reasons.items())
    more = len(reasons) - _REASONS_SHOWN
    is_even = summary.windows > 1 and summary.effective_windows > _HARDLY * summary.windows
    hardly = "; motion hardly plays a role, a smaller beta prefers it more" if is_even else ""
    pace = summary.seconds_of_video / summary.seconds if summary.seconds else 0.0
    rows = {
        "videos": f"{summary.videos} = {summary.measured} measured + {summary.reused} unchanged + "
        f"{summary.rejected} rejected",
        "rejected": f"listed in {summary.rejected_path}" if summary.rejected else "",
        **{
            f"reason {place}": f"{count} x {reason}"
            for place, (reason, count) in enumerate(reasons[:_REASONS_SHOWN], start=1)
        },
        "more reasons": f"{more} more in the list" if more > 0 else "",
        "dropped": f"{summary.dropped} of the earlier table are not in the catalog"
        if summary.dropped
        else "",
        "motion": "{:.3g} to {:.3g}, half of the windows {:.3g} to {:.3g}, median {:.3g}".format(
            *(summary.quantiles[place] for place in (0, 4, 1, 3, 2))
        ),
        "windows": f"{summary.windows:.1f} per video, as uncertain as {summary.effective_windows:.1f} "
        f"at beta {summary.beta:g}{hardly}",
        "video": f"{format_duration(summary.seconds_of_video)} measured, {pace:.1f} s per second",
        "time": format_duration(summary.seconds),
    }
    return {name: text for name, text in rows.items() if text}
