"""Propose stretches of time in which something happens, for every video of a table of vectors.

The file has ActivityNet's form, with times in seconds, and is read by its programs.
"""

import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from unreel.cli.output_files import check_outputs, write_outputs
from unreel.cli.terminal import ProgressBar, parse_arguments, print_summary
from unreel.errors import FeaturesError
from unreel.evaluate.localize import count_proposals, propose_segments
from unreel.evaluate.proposal_files import VideoProposals, write_proposals
from unreel.features.encoder import choose_device
from unreel.features.grids import check_grid
from unreel.features.localizer import Localizer
from unreel.features.table import FeatureTable


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """By what, for which videos, and where to."""

    run: Path
    """Folder of a run of `unreel localize train`, or its folder `localizer`."""
    features: Path
    """Table that `unreel localize features` wrote, with the encoder that the run was trained with."""
    split: str = ""
    """Part of the table; all of it by default."""
    top: int = 100
    """Most proposals per video."""
    out: Path = Path("proposals.json")
    """JSON file to write; an older one is replaced."""
    device: str = "auto"
    """Where the network runs: auto, cpu, cuda, cuda:1, ..."""


def main(argv: list[str]) -> None:
    """Run the step."""
    arguments = parse_arguments(
        Arguments,
        argv,
        command="localize propose",
        description=__doc__ or "",
        example="unreel localize propose --run runs/bmn --features grid.parquet --out proposals.json",
    )
    check_outputs({"--out": arguments.out}, {"--run": arguments.run, "--features": arguments.features})
    localizer = Localizer.load(arguments.run).to(choose_device(arguments.device))
    table = FeatureTable.load(arguments.features)
    check_grid(arguments.features, table)
    if not len(table):
        _refuse_empty(arguments.features)
    with ProgressBar("Proposing", unit="videos") as progress:
        proposals = propose_segments(
            localizer, table, split=arguments.split, top=arguments.top, progress=progress
        )
    _report(proposals, localizer, arguments)
    details = f"vectors of {localizer.config.encoder} ({localizer.config.encoder_hash})"
    write_outputs({"--out": (arguments.out, partial(write_proposals, proposals=proposals, details=details))})


def _refuse_empty(features: Path) -> NoReturn:
    raise FeaturesError(f"{features} holds no video; run `unreel localize features` again")


def _report(proposals: list[VideoProposals], localizer: Localizer, arguments: Arguments) -> None:
    best = max(proposals, key=lambda video: float(video.found.scores_K[0]))
    start, end = best.found.segments_K2[0]
    proposed = shlex.quote(str(arguments.out))
    print_summary(
        f"Proposals {arguments.out}",
        {
            "localizer": f"{localizer.name} ({localizer.hash})",
            "videos": len(proposals),
            "proposals": f"{count_proposals(proposals)}, at most {arguments.top} per video",
            "surest": f"{start:.2f} to {end:.2f} s of {best.path}, score {best.found.scores_K[0]:.3g}",
        },
        next_steps=[
            f"unreel localize evaluate --proposals {proposed} --catalog CATALOG",
            f"unreel report timeline --proposals {proposed} --catalog CATALOG --out timeline.png",
        ],
    )
