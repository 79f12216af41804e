"""CCL's tasks: frames find their clip (A), clips their frames (B), and frames and clips their class (C).

Needs an encoder and a catalog, since frames and clips are embedded together.
"""

from dataclasses import dataclass
from pathlib import Path

from unreel.cli.evaluate_output import (
    ComparisonArguments,
    check_output,
    close,
    deliver,
    show_recall,
    warn_of_ks,
    warn_of_rejected,
)
from unreel.cli.terminal import ProgressBar, parse_arguments, print_warning
from unreel.data.catalog import Catalog
from unreel.evaluate.cycle_tasks import CLASS_KS, CYCLE_KS, evaluate_cycle
from unreel.features.encoder import Encoder, Precision, choose_device
from unreel.features.reading import ReadConfig

_TITLES = {
    "frame_to_video": "Task A, frame to clip",
    "video_to_frame": "Task B, clip to frame",
    "frame_to_frame": "Task C, frame to frame of its class",
    "video_to_video": "Task C, clip to clip of its class",
}


@dataclass(frozen=True, kw_only=True)
class Arguments(ComparisonArguments):
    """What to measure."""

    encoder: Path
    """Folder `encoder` of a run."""
    catalog: Path
    """Catalog that `unreel scan` wrote."""
    root: Path | None = None
    """Where the videos are now, when their folder was moved after the scan."""
    clips_per_video: int = 10
    """Clips spread evenly over each video."""
    cycle_ks: tuple[int, ...] = CYCLE_KS
    """Numbers of neighbours of tasks A and B."""
    ks: tuple[int, ...] = CLASS_KS
    """Numbers of neighbours of task C."""
    average: bool = False
    """Let task C compare videos, the mean over their clips, instead of clips."""
    device: str = "auto"
    """Where the network runs: auto, cpu, cuda, cuda:1, ..."""
    precision: Precision = "float32"
    """Arithmetic of the network."""
    batch_size: int = 32
    """Clips per pass of the network, rounded down to whole videos."""
    num_workers: int = -1
    """Processes that decode; -1 takes one per core, 0 decodes in the main process."""
    max_rejected_fraction: float = 0.05
    """Share of the videos that may fail."""


def main(argv: list[str]) -> None:
    """Run the protocol."""
    arguments = parse_arguments(
        Arguments,
        argv,
        command="evaluate cycle",
        description=__doc__ or "",
        example="unreel evaluate cycle --encoder runs/ccl/encoder --catalog catalog.parquet --out cycle.json",
    )
    check_output(arguments, {"--encoder": arguments.encoder, "--catalog": arguments.catalog})
    encoder = Encoder.load(arguments.encoder)
    with ProgressBar("Embedding", unit="videos") as progress:
        result = evaluate_cycle(
            encoder.to(choose_device(arguments.device), precision=arguments.precision),
            Catalog.load(arguments.catalog, root=arguments.root),
            read=ReadConfig(
                clips_per_video=arguments.clips_per_video,
                batch_size=arguments.batch_size,
                num_workers=arguments.num_workers,
            ),
            cycle_ks=arguments.cycle_ks,
            class_ks=arguments.ks,
            is_averaged=arguments.average,
            config=arguments.config,
            max_rejected_fraction=arguments.max_rejected_fraction,
            progress=progress,
        )
    warn_of_rejected(result.rejected)
    values = result.to_json()
    if not deliver(values, arguments):
        return
    rows: dict[str, object] = {
        "encoder": f"{encoder.name} ({encoder.hash})",
        "videos": f"{result.videos} used, {len(result.rejected)} rejected",
    }
    for name, title in _TITLES.items():
        measured = getattr(result, name)
        if measured is None:
            print_warning(f"{title}: left out, since no video has a {arguments.by}")
            continue
        show_recall(title, measured.recall, measured.chance)
        rows[title] = f"{measured.queries} queries, {measured.gallery} in the gallery"
        warn_of_ks(measured.impossible_ks, measured.gallery)
    if result.frames_per_clip == 1:
        print_warning("this network leaves one moment per clip, so frame and clip are the same to it")
    next_step = (
        f"unreel extract --encoder {arguments.encoder} --catalog {arguments.catalog} --out features.parquet"
    )
    close(values, arguments, rows, [next_step])
