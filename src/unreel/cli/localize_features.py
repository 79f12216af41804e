"""Turn the videos of a catalog into vectors over time: one for a clip around every n-th frame.

The vectors are those of an encoder, or the class scores of a fine-tuned classifier. An extraction that was
cut off goes on where it stopped when the same command is given again.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unreel.cli.output_files import check_outputs
from unreel.cli.terminal import ProgressBar, format_duration, parse_arguments, print_summary
from unreel.data.catalog import Catalog
from unreel.features.encoder import Encoder, Precision, choose_device
from unreel.features.extract import ExtractSummary
from unreel.features.grid_clips import GridSampling
from unreel.features.grid_extract import extract_grids
from unreel.features.grid_reading import load_grid_classifier
from unreel.features.pixels import PixelBaseline
from unreel.features.reading import ClipEmbedder, ReadConfig

_EXAMPLE = """unreel localize features --model runs/tsn --catalog segments.parquet --out grid.parquet
  unreel localize features --encoder runs/ccl/encoder --catalog segments.parquet --every-frames 4"""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to embed, with what, and where to."""

    encoder: Path | None = None
    """Folder `encoder` of a run ..."""
    model: Path | None = None
    """... or folder of a fine-tuned run, whose class scores of the center crop are the vectors."""
    catalog: Path
    """Catalog that `unreel scan` wrote."""
    out: Path = Path("grid.parquet")
    """Table to write; an older one is replaced."""
    every_frames: int = 16
    """Distance between the middles of two clips, in frames of the video; the first lies at half of it."""
    root: Path | None = None
    """Where the videos are now, when their folder was moved after the scan."""
    baseline: Literal["none", "untrained", "pixels"] = "none"
    """Instead of the encoder, take the same network with fresh weights, or the raw pixels of the same
    clips."""
    seed: int = 0
    """Of the fresh weights of `--baseline untrained`."""
    split: str = ""
    """Part of the catalog to embed; all of it by default."""
    device: str = "auto"
    """Where the network runs: auto, cpu, cuda, cuda:1, ..."""
    precision: Precision = "float32"
    """Arithmetic of the network; vectors are float32 either way."""
    batch_size: int = 32
    """Clips per pass of the network."""
    num_workers: int = -1
    """Processes that decode; -1 takes one per core, 0 decodes in the main process."""
    decode_time_limit_sec: float = 30.0
    """Time after which a video counts as unreadable; 0 sets no limit."""
    max_rejected_fraction: float = 0.05
    """Share of the videos that may fail; they are listed beside the table."""
    restart: bool = False
    """Throw away what an interrupted extraction has done."""


def main(argv: list[str]) -> None:
    """Run the step."""
    arguments = parse_arguments(
        Arguments, argv, command="localize features", description=__doc__ or "", example=_EXAMPLE
    )
    _check(arguments)
    grid = GridSampling(arguments.every_frames)
    embedder = _choose_embedder(arguments)
    catalog = Catalog.load(arguments.catalog, root=arguments.root)
    with ProgressBar("Extracting", unit="videos") as progress:
        summary = extract_grids(
            embedder,
            catalog,
            arguments.out,
            grid=grid,
            split=arguments.split,
            read=ReadConfig(
                batch_size=arguments.batch_size,
                num_workers=arguments.num_workers,
                decode_time_limit_sec=arguments.decode_time_limit_sec,
            ),
            max_rejected_fraction=arguments.max_rejected_fraction,
            is_restart=arguments.restart,
            progress=progress,
        )
    _report(summary, embedder, arguments)


def _check(arguments: Arguments) -> None:
    """Refuse, before any work, what cannot be done.

    Raises:
        ValueError: the flags do not name one network, or the table would replace what is read.
    """
    if (arguments.encoder is None) == (arguments.model is None):
        raise ValueError("name one network: --encoder RUN/encoder, or --model RUN of a fine-tuned classifier")
    if arguments.model is not None and arguments.baseline != "none":
        raise ValueError(f"--baseline {arguments.baseline} is for an encoder; give --encoder, not --model")
    inputs = {"--encoder": arguments.encoder, "--model": arguments.model, "--catalog": arguments.catalog}
    check_outputs({"--out": arguments.out}, inputs)


def _choose_embedder(arguments: Arguments) -> ClipEmbedder:
    device = choose_device(arguments.device)
    if arguments.model is not None:
        return load_grid_classifier(arguments.model).to(device, precision=arguments.precision)
    assert arguments.encoder is not None
    encoder = Encoder.load(arguments.encoder)
    if arguments.baseline == "pixels":
        return PixelBaseline(encoder.spec)
    if arguments.baseline == "untrained":
        encoder = Encoder.untrained(encoder.config, seed=arguments.seed)
    return encoder.to(device, precision=arguments.precision)


def _report(summary: ExtractSummary, embedder: ClipEmbedder, arguments: Arguments) -> None:
    rows: dict[str, object] = {
        "encoder": f"{embedder.name} ({embedder.hash})",
        "videos": f"{summary.videos} = {summary.embedded} embedded + {summary.rejected} rejected",
        "sampling": f"a clip around every {arguments.every_frames}th frame, {summary.sampling}",
        "vectors": f"{summary.vectors} of {summary.dimension} numbers",
    }
    if summary.repeating:
        rows["short"] = f"{summary.repeating} videos, of one position alone"
    if summary.rejected_path is not None:
        rows["rejected"] = f"listed in {summary.rejected_path}"
    if summary.reused:
        rows["resumed"] = f"{summary.reused} videos had been done before"
    rows["time"] = format_duration(summary.seconds)
    files = f"--data.features {shlex.quote(str(arguments.out))}"
    files += f" --data.catalog {shlex.quote(str(arguments.catalog))}"
    print_summary(
        f"Vectors over time {arguments.out}",
        rows,
        next_steps=[f"unreel localize train bmn.small {files} --run runs/bmn"],
    )
