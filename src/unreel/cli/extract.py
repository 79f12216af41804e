"""Turn the videos of a catalog into vectors with a trained encoder, or with a baseline to compare it with.

An extraction that was cut off goes on where it stopped when the same command is given again. With
--engine ray the machines of a Ray cluster share the work; all must see the videos, and the folder of --out,
under the same path.
"""

import dataclasses
import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unreel.cli.output_files import check_outputs
from unreel.cli.terminal import ProgressBar, format_duration, parse_arguments, print_summary
from unreel.data.catalog import Catalog
from unreel.features.encoder import Encoder, Precision, choose_device
from unreel.features.extract import ExtractSummary, extract_features
from unreel.features.pixels import PixelBaseline
from unreel.features.pooling import Pooling
from unreel.features.ray_cluster import ClusterConfig
from unreel.features.ray_extract import RayPartMaker
from unreel.features.reading import ClipEmbedder, ReadConfig

_OF_ONE_EXTRACTION = {"out", "baseline", "seed", "restart", "json"}
"""Flags that a comparison does not repeat."""

_EXAMPLE = """unreel extract --encoder runs/ccl/encoder --catalog catalog.parquet --out features.parquet
  unreel extract --encoder runs/ccl/encoder --catalog catalog.parquet --baseline untrained --out
  untrained.parquet"""


@dataclass(frozen=True)
class Arguments:
    """What to embed, with what, and where to."""

    encoder: Path
    """Folder `encoder` of a run."""
    catalog: Path
    """Catalog that `unreel scan` wrote."""
    out: Path = Path("features.parquet")
    """Table to write; an older one is replaced."""
    root: Path | None = None
    """Where the videos are now, when their folder was moved after the scan."""
    baseline: Literal["none", "untrained", "pixels"] = "none"
    """Instead of the encoder, measure the same network with fresh weights, or the raw pixels of the same
    clips."""
    seed: int = 0
    """Of the fresh weights of `--baseline untrained`."""
    split: str = ""
    """Part of the catalog to embed; all of it by default."""
    clips_per_video: int = 10
    """Clips spread evenly over each video; frames from the first to the last, when a clip is one frame."""
    pooling: Pooling = "average"
    """`average` gives one vector per clip, `frame` one per time position of it, `conv5_max` one long vector
    per clip: the last map at half its height and width, by which CACL retrieves."""
    device: str = "auto"
    """Where the network runs: auto, cpu, cuda, cuda:1, ..."""
    precision: Precision = "float32"
    """Arithmetic of the network; vectors are float32 either way."""
    batch_size: int = 32
    """Clips per pass of the network, rounded down to whole videos."""
    num_workers: int = -1
    """Processes that decode; -1 takes one per core, 0 decodes in the main process."""
    decode_time_limit_sec: float = 30.0
    """Time after which a video counts as unreadable; 0 sets no limit."""
    max_rejected_fraction: float = 0.05
    """Share of the videos that may fail; they are listed beside the table."""
    engine: Literal["local", "ray"] = "local"
    """`local` computes here; `ray` on all machines of a Ray cluster (`pip install 'unreel[scale]'`), to the
    same vectors."""
    ray_address: str = ""
    """HOST:PORT of the cluster's head, or auto; by default the cluster of this machine, else this machine."""
    num_actors: int = 0
    """Processes with an encoder each, of `--engine ray`; 0 takes as many as fit."""
    cores_per_actor: int = 0
    """Cores of each; 0 shares those of a machine out among its GPUs, or gives all to one process."""
    gpus_per_actor: float = -1
    """GPUs of each, or a share of one; -1 takes one where the cluster has any."""
    restart: bool = False
    """Throw away what an interrupted extraction has done."""
    json: bool = False
    """Print the summary as JSON on the standard output."""


def main(argv: list[str]) -> None:
    """Run the command."""
    arguments = parse_arguments(
        Arguments, argv, command="extract", description=__doc__ or "", example=_EXAMPLE
    )
    inputs = {"--encoder": arguments.encoder, "--catalog": arguments.catalog}
    check_outputs({"--out": arguments.out}, inputs)
    embedder = _choose_embedder(arguments)
    catalog = Catalog.load(arguments.catalog, root=arguments.root)
    with ProgressBar("Extracting", unit="videos") as progress:
        summary = extract_features(
            embedder,
            catalog,
            arguments.out,
            pooling=arguments.pooling,
            split=arguments.split,
            read=ReadConfig(
                clips_per_video=arguments.clips_per_video,
                batch_size=arguments.batch_size,
                num_workers=arguments.num_workers,
                decode_time_limit_sec=arguments.decode_time_limit_sec,
            ),
            max_rejected_fraction=arguments.max_rejected_fraction,
            is_restart=arguments.restart,
            make_parts=_choose_engine(arguments),
            progress=progress,
        )
    if arguments.json:
        values = dataclasses.asdict(summary)
        sys.stdout.write(json.dumps(values, indent=2, default=str, ensure_ascii=False) + "\n")
        return
    _report(summary, embedder, catalog, arguments)


def _choose_embedder(arguments: Arguments) -> ClipEmbedder:
    encoder = Encoder.load(arguments.encoder)
    if arguments.baseline == "pixels":
        return PixelBaseline(encoder.spec)
    if arguments.baseline == "untrained":
        encoder = Encoder.untrained(encoder.config, seed=arguments.seed)
    device = choose_device(arguments.device) if arguments.engine == "local" else "cpu"
    return encoder.to(device, precision=arguments.precision)


def _choose_engine(arguments: Arguments) -> RayPartMaker | None:
    if arguments.engine == "local":
        return None
    return RayPartMaker(
        ClusterConfig(
            address=arguments.ray_address,
            num_actors=arguments.num_actors,
            cores_per_actor=arguments.cores_per_actor,
            gpus_per_actor=arguments.gpus_per_actor,
            device=arguments.device,
        )
    )


def _report(summary: ExtractSummary, embedder: ClipEmbedder, catalog: Catalog, arguments: Arguments) -> None:
    rows: dict[str, object] = {
        "encoder": f"{embedder.name} ({embedder.hash})",
        "videos": f"{summary.videos} = {summary.embedded} embedded + {summary.rejected} rejected",
        "sampling": f"{arguments.clips_per_video} per video, {summary.sampling}",
        "pooling": arguments.pooling,
        "vectors": f"{summary.vectors} of {summary.dimension} numbers",
    }
    if summary.repeating:
        rows["short"] = f"{summary.repeating} videos, too short to be shown without repeating clips or frames"
    if summary.rejected_path is not None:
        rows["rejected"] = f"listed in {summary.rejected_path}"
    if summary.reused:
        rows["resumed"] = f"{summary.reused} videos had been done before"
    rows["time"] = format_duration(summary.seconds)
    next_steps = _name_next_steps(catalog.select(arguments.split), arguments)
    print_summary(f"Features {summary.out}", rows, next_steps=next_steps)


def _name_next_steps(videos: Catalog, arguments: Arguments) -> list[str]:
    """Return what these vectors are good for: what asks for labels, or for splits, only where there are."""
    features, encoder = shlex.quote(str(arguments.out)), shlex.quote(str(arguments.encoder))
    next_steps = []
    has_both = {"train", "test"} <= set(videos.split_names)
    asked, learned = (videos.select(name if has_both else "").label_names for name in ("test", "train"))
    if asked:
        next_steps.append(f"unreel evaluate retrieval --features {features} --out retrieval.json")
    if has_both and asked and len(learned) > 1:
        next_steps.append(f"unreel evaluate svm --features {features} --out svm.json")
    if arguments.baseline == "none":
        next_steps.append(f"unreel search VIDEO --encoder {encoder} --features {features}")
        next_steps.append(
            f"{_repeat(arguments)} --baseline untrained --out untrained.parquet    # to compare with"
        )
    return next_steps


def _repeat(arguments: Arguments) -> str:
    """Return the command again, without what says where to and by what else."""
    words = ["unreel", "extract"]
    for setting in dataclasses.fields(Arguments):
        value = getattr(arguments, setting.name)
        if setting.name not in _OF_ONE_EXTRACTION and value != setting.default:
            words += [f"--{setting.name.replace('_', '-')}", str(value)]
    return shlex.join(words)
