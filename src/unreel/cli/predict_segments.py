"""The part of `unreel predict` that finds stretches of time: for the runs of `unreel localize train`."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from unreel.cli.evaluate_output import print_json, warn_of_rejected
from unreel.cli.output_files import write_outputs
from unreel.cli.terminal import ProgressBar, format_duration, print_summary, print_table
from unreel.evaluate.predict_segments import SegmentPredictions, predict_segments
from unreel.features.classifier import Classifier, find_part
from unreel.features.classifier_files import CLASSIFIER_KIND
from unreel.features.encoder import Encoder, Precision, choose_device
from unreel.features.grid_reading import load_grid_classifier
from unreel.features.localizer import LOCALIZER_KIND, Localizer
from unreel.features.reading import ClipEmbedder, ReadConfig

_VIDEOS_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class SourceArguments:
    """What videos to look at, and where the answers go."""

    source: tyro.conf.Positional[Path]
    """A video file, a folder, a list of videos, or a catalog that `unreel scan` wrote."""
    top: int = 5
    """Number of classes, or of stretches, per video to show."""
    out: Path | None = None
    """File for the scores of all classes (.csv, .json or .parquet), or for the stretches (.csv or .json)."""
    json: bool = False
    """Print the best answers as JSON on the standard output."""
    split: str = ""
    """Part of a catalog; all of it by default."""
    root: Path | None = None
    """Where the videos of a catalog are now, when their folder was moved after the scan."""
    device: str = "auto"
    """Where the network runs: auto, cpu, cuda, cuda:1, ..."""
    precision: Precision = "float32"
    """Arithmetic of the network."""
    batch_size: int = 32
    """Clips per pass of the network, rounded down to whole videos."""
    num_workers: int = -1
    """Processes that decode; -1 takes one per core, 0 decodes in the main process."""

    @property
    def read(self) -> ReadConfig:
        """The library's form of the same."""
        return ReadConfig(batch_size=self.batch_size, num_workers=self.num_workers)


def is_localizer(model: Path) -> bool:
    """Whether a folder is that of a localiser, or of a run that has one."""
    file = LOCALIZER_KIND.description_file
    return (find_part(model, LOCALIZER_KIND.name, file) / file).exists()


def find_segments(arguments: SourceArguments, model: Path, encoder: Path | None) -> int:
    """Find stretches, print and keep them, and return how many videos could be used.

    Args:
        arguments: what videos, and where to.
        model: folder of the localiser, or of its run.
        encoder: folder of the encoder, or of the fine-tuned run, whose vectors it learned from.

    Raises:
        UnreelError: a folder or the source cannot be read, or the vectors are of another encoder.
        ValueError: there is no encoder, or the file cannot be written.
    """
    if encoder is None:
        raise ValueError(
            f"{model} finds stretches in the vectors of an encoder: give --encoder, the folder that "
            "`unreel localize features` was given, an encoder or a fine-tuned run"
        )
    if arguments.out is not None and arguments.out.suffix.lower() not in (".csv", ".json"):
        raise ValueError(f"--out {arguments.out} must end in .csv or .json, as stretches are written")
    device = choose_device(arguments.device)
    localizer = Localizer.load(model).to(device)
    embedder = _load_embedder(encoder).to(device, precision=arguments.precision)
    with ProgressBar("Looking", unit="videos") as progress:
        found = predict_segments(
            localizer,
            embedder,
            arguments.source,
            split=arguments.split,
            root=arguments.root,
            top=arguments.top,
            read=arguments.read,
            progress=progress,
        )
    warn_of_rejected(found.rejected)
    if arguments.json:
        print_json(found.to_json())
    else:
        _show(found, localizer, embedder, arguments)
    write_outputs({"--out": (arguments.out, found.save)})
    return len(found.videos)


def _load_embedder(folder: Path) -> Encoder | Classifier:
    file = CLASSIFIER_KIND.description_file
    is_classifier = (find_part(folder, CLASSIFIER_KIND.name, file) / file).exists()
    return load_grid_classifier(folder) if is_classifier else Encoder.load(folder)


def _show(
    found: SegmentPredictions, localizer: Localizer, embedder: ClipEmbedder, arguments: SourceArguments
) -> None:
    shown = SegmentPredictions(found.videos[:_VIDEOS_SHOWN], [], {}, found.root, 0)
    print_table(
        f"Where {localizer.name} sees something",
        ["video", "start s", "end s", "score"],
        [
            [row["path"], f"{row['start_sec']:.2f}", f"{row['end_sec']:.2f}", f"{row['score']:.3g}"]
            for row in shown.list_rows()
        ],
    )
    rows: dict[str, object] = {
        "videos": f"{len(found.videos)} looked at, {len(found.rejected)} rejected",
        "model": f"{localizer.name} ({localizer.hash}), vectors of {embedder.name}",
        "paths start from": found.root,
    }
    if len(found.videos) > _VIDEOS_SHOWN:
        rows["not shown"] = f"{len(found.videos) - _VIDEOS_SHOWN} more videos; --out FILE.csv has all"
    rows["time"] = format_duration(found.seconds)
    title = f"Segments {arguments.out}" if arguments.out else "Segments (--out FILE.csv keeps them)"
    print_summary(title, rows)
