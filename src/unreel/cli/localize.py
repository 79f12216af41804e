"""Find when something happens: stretches of time in whole videos, learned from vectors over time."""

from unreel.cli.subcommands import CommandGroup

STEPS = {
    "features": ("localize_features", "turn videos into vectors over time, a clip around every n-th frame"),
    "train": ("localize_train", "learn from vectors and segments where segments start and end (BMN)"),
    "propose": ("localize_propose", "propose stretches of videos, as a file in ActivityNet's form"),
    "evaluate": ("localize_evaluate", "average recall of proposals: do they find the true segments?"),
}
"""Step -> (module of this package, what it does). Modules are imported only when their step is run."""


def main(argv: list[str]) -> None:
    """Run one step; without one, list them and leave with 2."""
    CommandGroup(
        name="localize",
        description=__doc__ or "",
        kind="step",
        members=STEPS,
        example="unreel localize features --encoder runs/a/encoder --catalog segments.parquet",
    ).run(argv)
