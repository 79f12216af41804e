"""How much one video moves over time, and which of its windows training would draw.

Above stand frames of the video, below them the motion of every window and its probability. `unreel motion`
must have measured the videos before.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from unreel.cli.evaluate_output import print_json
from unreel.cli.output_files import check_outputs, write_outputs
from unreel.cli.terminal import parse_arguments, print_summary
from unreel.config import config_to_dict
from unreel.data.catalog import Catalog
from unreel.data.motion_table import MotionTable, attach_motion, name_table
from unreel.data.motion_windows import check_beta
from unreel.data.targeted_clips import TargetedClips
from unreel.report.figures import check_figure_path
from unreel.report.motion import save_motion
from unreel.report.motion_view import MotionView, choose_video, view_motion
from unreel.runs import write_json


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to draw, and where to."""

    catalog: Path
    """Catalog that `unreel scan` wrote."""
    root: Path | None = None
    """Where the videos are now, when their folder was moved after the scan."""
    motion: Path | None = None
    """Table that `unreel motion` wrote; by default the one beside the catalog."""
    video: str = ""
    """Video to show, by id or by path as in the catalog; by default the one whose windows are drawn least
    alike."""
    beta: float = 5.0
    """By which motion is divided before the softmax; `inf` would take all windows alike."""
    num_frames: int = 16
    """Frames of a clip that is drawn."""
    frame_stride: int = 4
    """Distance between two frames of a clip, in frames of the video."""
    num_clips: int = 3
    """Clips to draw; their windows are marked."""
    num_pictures: int = 10
    """Most frames to show."""
    seed: int = 0
    """Of the clips that are drawn."""
    out: Path = Path("motion.png")
    """Picture to write, .png or .svg; an older one is replaced."""
    data: Path | None = None
    """JSON file for the numbers behind the picture, with all settings."""
    json: bool = False
    """Print the numbers as JSON on the standard output."""


def main(argv: list[str]) -> None:
    """Draw the figure."""
    arguments = parse_arguments(
        Arguments,
        argv,
        command="report motion",
        description=__doc__ or "",
        example="unreel report motion --catalog catalog.parquet --out motion.png",
    )
    check_figure_path(arguments.out)
    table = name_table(arguments.catalog) if arguments.motion is None else arguments.motion
    check_outputs(
        {"--out": arguments.out, "--data": arguments.data},
        {"--catalog": arguments.catalog, "--motion": table},
    )
    check_beta(arguments.beta)
    view = _look(arguments, table)
    values = view.to_json()
    if arguments.json:
        print_json(values)
    else:
        _report(view, arguments)
    write_outputs(
        {
            "--data": (arguments.data, partial(write_json, value=values)),
            "--out": (arguments.out, partial(save_motion, view)),
        }
    )


def _look(arguments: Arguments, path: Path) -> MotionView:
    catalog = Catalog.load(arguments.catalog, root=arguments.root)
    table = MotionTable.load(path)
    row = choose_video(catalog, table, arguments.video, arguments.beta)
    # A finite beta alone asks for motion, and motion is what is shown here, whatever beta.
    moving = attach_motion(catalog.take([row]), TargetedClips(), path)
    clips = TargetedClips(arguments.num_frames, arguments.frame_stride, arguments.beta)
    return view_motion(
        moving.video(0),
        str(catalog.table["path"][row].as_py()),
        clips,
        num_clips=arguments.num_clips,
        num_pictures=arguments.num_pictures,
        seed=arguments.seed,
        settings={
            "catalog_hash": catalog.hash,
            "seed": arguments.seed,
            "measured": config_to_dict(table.config),
            "clips": config_to_dict(clips),
        },
    )


def _report(view: MotionView, arguments: Arguments) -> None:
    likeliest = int(view.prob_C.argmax())
    measured = view.settings["measured"]
    print_summary(
        f"Figure {arguments.out}",
        {
            "video": f"{view.path} ({view.video_id})",
            "measured": f"{measured['backend']} at {measured['size']} pixels",
            "windows": f"{len(view.motion_C)}, as uncertain as {view.effective_windows:.1f} "
            f"at beta {view.beta:g}",
            "likeliest": f"from {view.edges_sec[likeliest]:.1f} s on, {100 * view.prob_C[likeliest]:.1f} %",
            "clips": f"{len(view.clips)} drawn, seed {arguments.seed}",
            "numbers": arguments.data or "not kept; --data FILE.json keeps them",
        },
    )
