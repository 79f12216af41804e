"""Make a small set of videos to try everything on: a few scenes, eight motions, labelled and split."""

import shlex
from dataclasses import dataclass
from pathlib import Path

import tyro

from unreel.cli.terminal import ProgressBar, parse_arguments, print_summary
from unreel.data.sample_videos import make_sample_videos


@dataclass(frozen=True)
class Arguments:
    """Flags of ``unreel sample-data``."""

    out: tyro.conf.Positional[Path]
    """Folder for the videos and their table; new, empty, or filled by this command before."""
    num_videos: int = 400
    """How many videos to make."""
    seed: int = 0
    """Of everything random; the same seed gives the same videos."""
    num_workers: int = -1
    """Processes; -1 starts one per core."""


def main(argv: list[str]) -> None:
    """Make the sample videos."""
    arguments = parse_arguments(
        Arguments,
        argv,
        command="sample-data",
        description=__doc__ or "",
        example="unreel sample-data samples",
    )
    with ProgressBar("Making videos", unit="videos") as progress:
        summary = make_sample_videos(
            arguments.out,
            num_videos=arguments.num_videos,
            seed=arguments.seed,
            num_workers=arguments.num_workers,
            progress=progress,
        )
    print_summary(
        f"Sample videos in {arguments.out}",
        {
            "videos": f"{summary.num_train} to train on, {summary.num_test} to test on",
            "labels (motions)": ", ".join(summary.labels),
            "groups (scenes)": ", ".join(summary.groups),
            "frames": summary.num_frames,
            "size": f"{summary.num_bytes / 1e6:.1f} MB",
            "table": summary.table,
        },
        next_steps=[f"unreel scan {shlex.quote(str(summary.table))} --out catalog.parquet"],
    )
