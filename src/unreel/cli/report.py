"""Draw figures of what a run has learned."""

from unreel.cli.subcommands import CommandGroup

FIGURES = {
    "attention": ("report_attention", "which frames CACL's transformer looks at, and in their shuffled copy"),
    "gradcam": ("report_gradcam", "where in the frames of a few videos a network looks (Grad-CAM)"),
    "retrieval": ("report_retrieval", "what one or more encoders find: frames of queries and nearest videos"),
    "timeline": ("report_timeline", "what a localiser proposes, beside what is true, over a few videos"),
    "motion-gain": ("report_motion_gain", "what one encoder gains on another, class by class, over motion"),
    "motion": ("report_motion", "how much a video moves over time, and which windows training would draw"),
}
"""Figure -> (module of this package, what it shows). Modules are imported only when their figure is drawn."""


def main(argv: list[str]) -> None:
    """Draw one figure; without one, list them and leave with 2."""
    CommandGroup(
        name="report",
        description=__doc__ or "",
        kind="figure",
        members=FIGURES,
        example="unreel report attention --run runs/cacl --catalog catalog.parquet --out attention.png",
    ).run(argv)
