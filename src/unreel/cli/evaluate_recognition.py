"""Recognition: does a fine-tuned classifier tell the class of videos that it has not seen?

Every labelled video of the split is shown once, by all views that the classifier was made to be tested by;
flags change these. Videos that cannot be read are named and have no part in the accuracies; a line of its own
counts them as wrong. Under `torchrun` the processes share the videos.
"""

import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from unreel.cli.evaluate_output import (
    OutputArguments,
    name_result,
    percent,
    print_json,
    show_accuracy,
    warn_of_rejected,
)
from unreel.cli.output_files import check_outputs, write_outputs
from unreel.cli.terminal import (
    ProgressBar,
    format_duration,
    parse_arguments,
    print_summary,
    print_warning,
)
from unreel.cli.view_arguments import ViewArguments
from unreel.data.catalog import Catalog
from unreel.distributed import read_rank, start_process_group, stop_process_group
from unreel.evaluate.recognition import RecognitionResult, evaluate_recognition
from unreel.features.classifier import Classifier
from unreel.features.classify import fit_batch_size
from unreel.features.encoder import Precision
from unreel.features.reading import ReadConfig
from unreel.progress import ignore_progress
from unreel.runs import write_json
from unreel.train.setup import choose_device

_NAMES_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Arguments(ViewArguments, OutputArguments):
    """What to measure."""

    model: Path
    """Folder of a fine-tuned run, or its folder `classifier`."""
    catalog: Path
    """Catalog that `unreel scan` wrote."""
    root: Path | None = None
    """Where the videos are now, when their folder was moved after the scan."""
    split: str = "auto"
    """Split that is tested; `auto` takes the first of test, val and validation that has labels, else all
    videos; "" takes all."""
    scores: Path | None = None
    """File (.parquet or .csv) for the scores of every video, a column per class."""
    device: str = "auto"
    """Where the network runs: auto, cpu, cuda, cuda:1, ..."""
    precision: Precision = "float32"
    """Arithmetic of the network; that of the scores is float32."""
    batch_size: int = 0
    """Clips per pass of the network, rounded down to whole videos; 0 takes 32 of 16 x 112 x 112 pixels, fewer
    larger ones."""
    num_workers: int = -1
    """Processes that decode; -1 takes one per core, 0 decodes in the main process."""
    max_rejected_fraction: float = 0.05
    """Share of the videos that may fail."""


def main(argv: list[str]) -> None:
    """Run the protocol.

    Raises:
        ValueError: the scores would go to no table.
    """
    arguments = parse_arguments(
        Arguments,
        argv,
        command="evaluate recognition",
        description=__doc__ or "",
        example="unreel evaluate recognition --model runs/ucf --catalog catalog.parquet --out top1.json",
    )
    if arguments.scores is not None and arguments.scores.suffix.lower() not in (".parquet", ".csv"):
        raise ValueError(f"--scores must end in .parquet or .csv, got {arguments.scores}")
    check_outputs(
        {"--out": arguments.out, "--scores": arguments.scores},
        {"--model": arguments.model, "--catalog": arguments.catalog},
    )
    rank = read_rank()
    device = choose_device(arguments.device, rank)
    classifier = arguments.apply(Classifier.load(arguments.model)).to(device, precision=arguments.precision)
    start_process_group(rank, device)
    try:
        with ProgressBar("Classifying", unit="videos") as progress:
            result = evaluate_recognition(
                classifier,
                Catalog.load(arguments.catalog, root=arguments.root),
                split=arguments.split,
                read=ReadConfig(
                    batch_size=arguments.batch_size or fit_batch_size(classifier.spec),
                    num_workers=arguments.num_workers,
                ),
                max_rejected_fraction=arguments.max_rejected_fraction,
                progress=progress if rank.is_main else ignore_progress,
            )
    finally:
        stop_process_group()
    if rank.is_main:
        _report(result, classifier, arguments)


def _report(result: RecognitionResult, classifier: Classifier, arguments: Arguments) -> None:
    warn_of_result(result)
    if arguments.json:
        print_json(result.to_json())
    else:
        _show(result, classifier, arguments)
    write_outputs(
        {
            "--out": (arguments.out, partial(write_json, value=result.to_json())),
            "--scores": (arguments.scores, result.scores.save),
        }
    )


def warn_of_result(result: RecognitionResult) -> None:
    """Name the videos that failed, and the labels that the classifier does not know."""
    warn_of_rejected(result.rejected)
    if result.is_training:
        print_warning(
            "these are the videos that the classifier learned from; how it does on others is not measured: "
            "test another split or catalog"
        )
    unknown = result.accuracy.unknown_classes
    if unknown:
        more = f" and {len(unknown) - _NAMES_SHOWN} more" if len(unknown) > _NAMES_SHOWN else ""
        print_warning(
            f"the classifier does not know the label {', '.join(unknown[:_NAMES_SHOWN])}{more}: "
            f"{result.accuracy.unknown} of its videos count as wrong"
        )


def _show(result: RecognitionResult, classifier: Classifier, arguments: Arguments) -> None:
    show_accuracy(f"Recognition, {classifier.views.describe()}", result.accuracy)
    split = result.settings["split"] or "all videos"
    left_out = f"; {result.without_label} have no label and are left out" if result.without_label else ""
    rows: dict[str, object] = {
        "model": f"{classifier.name} ({classifier.hash})",
        "tested on": f"{result.accuracy.queries} videos of {split}{left_out}",
        "classes": result.accuracy.classes,
        "views": classifier.views.describe(),
    }
    if result.rejected:
        rows["rejected"] = (
            f"{len(result.rejected)} of {result.videos} videos; counted as wrong, top 1 is "
            f"{percent(result.top1_of_all)} %"
        )
    if arguments.scores is not None:
        rows["scores"] = arguments.scores
    rows["time"] = format_duration(result.seconds)
    model = shlex.quote(str(arguments.model))
    print_summary(name_result(arguments), rows, next_steps=[f"unreel predict --model {model} VIDEO"])
