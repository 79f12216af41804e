"""What a localiser proposes, beside what is true, over the time of a few videos.

Every video is a strip: its segments above, its best proposals with their scores below.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from unreel.cli.evaluate_output import print_json
from unreel.cli.output_files import check_outputs, write_outputs
from unreel.cli.terminal import parse_arguments, print_summary
from unreel.data.catalog import Catalog
from unreel.evaluate.localization_result import choose_split
from unreel.evaluate.proposal_files import read_proposals
from unreel.report.figures import check_figure_path
from unreel.report.timeline import Timeline, build_timelines, save_timelines, timelines_to_json
from unreel.runs import write_json


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to draw, and where to."""

    proposals: Path
    """File that `unreel localize propose` wrote, or any in ActivityNet's form."""
    catalog: Path
    """Catalog with segments that `unreel scan` wrote."""
    split: str = "auto"
    """Split whose videos are shown; `auto` takes the first of test, val and validation that has segments,
    else all videos; "" takes all."""
    videos: tuple[str, ...] = ()
    """Videos to show, by path as in the catalog or by id; by default the first of the split."""
    num_videos: int = 4
    """How many these are at most."""
    top: int = 0
    """Proposals per video; 0 shows as many as the video has segments."""
    out: Path = Path("timeline.png")
    """Picture to write, .png or .svg; an older one is replaced."""
    data: Path | None = None
    """JSON file for the numbers behind the picture."""
    json: bool = False
    """Print the numbers as JSON on the standard output."""


def main(argv: list[str]) -> None:
    """Draw the figure."""
    arguments = parse_arguments(
        Arguments,
        argv,
        command="report timeline",
        description=__doc__ or "",
        example="unreel report timeline --proposals proposals.json --catalog segments.parquet",
    )
    check_figure_path(arguments.out)
    check_outputs(
        {"--out": arguments.out, "--data": arguments.data},
        {"--proposals": arguments.proposals, "--catalog": arguments.catalog},
    )
    catalog = Catalog.load(arguments.catalog)
    timelines = build_timelines(
        arguments.proposals,
        read_proposals(arguments.proposals),
        catalog.select("" if arguments.videos else choose_split(catalog, arguments.split)),
        videos=arguments.videos,
        num_videos=arguments.num_videos,
        top=arguments.top,
    )
    values = timelines_to_json(timelines)
    if arguments.json:
        print_json(values)
    else:
        _report(timelines, arguments)
    write_outputs(
        {
            "--data": (arguments.data, partial(write_json, value=values)),
            "--out": (arguments.out, partial(save_timelines, timelines)),
        }
    )


def _report(timelines: list[Timeline], arguments: Arguments) -> None:
    shown = sum(len(timeline.scores_K) for timeline in timelines)
    found = sum(int((timeline.iou_K >= 0.5).sum()) for timeline in timelines)
    print_summary(
        f"Figure {arguments.out}",
        {
            "videos": ", ".join(timeline.path for timeline in timelines),
            "segments": sum(len(timeline.truth_S2) for timeline in timelines),
            "proposals": f"{shown}, of which {found} cover a segment with a tIoU of 0.5 or more",
            "numbers": arguments.data or "not kept; --data FILE.json keeps them",
        },
    )
