"""Say what is in videos: the likeliest classes of a file, of all files of a folder, or of a catalog.

The classifier is that of a fine-tuned run, or a linear one that was fitted to the features of an encoder. A
localizer says where in a video something happens instead.
"""

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from unreel.cli.evaluate_output import print_json, warn_of_rejected
from unreel.cli.output_files import check_outputs, write_outputs
from unreel.cli.predict_segments import SourceArguments, find_segments, is_localizer
from unreel.cli.terminal import (
    ProgressBar,
    format_duration,
    parse_arguments,
    print_error,
    print_summary,
    print_table,
)
from unreel.cli.view_arguments import ViewArguments
from unreel.data.catalog_table import is_catalog
from unreel.evaluate.linear_classifier import LinearClassifier
from unreel.evaluate.linear_clips import LinearClips
from unreel.evaluate.predict import Predictions, predict_videos
from unreel.features.classifier import Classifier, ClipClassifier
from unreel.features.encoder import Encoder, choose_device
from unreel.runs import write_json

_EXAMPLE = """unreel predict video.mp4 --model runs/ucf
  unreel predict videos/ --model runs/ucf --top 3 --out predictions.csv
  unreel predict videos/ --encoder runs/ccl/encoder --classifier svm.safetensors
  unreel predict video.mp4 --model runs/bmn --encoder runs/ccl/encoder"""

_SUFFIXES = (".json", ".csv", ".parquet")
_VIDEOS_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Arguments(ViewArguments, SourceArguments):
    """What to classify, and by what."""

    model: Path | None = None
    """Folder of a fine-tuned run, or its folder `classifier`; or of a run of `unreel localize train`, with
    the encoder that it learned from as `--encoder`."""
    encoder: Path | None = None
    """Instead of a model: folder `encoder` of a run ..."""
    classifier: Path | None = None
    """... and the file (.safetensors) that `unreel evaluate svm --classifier` wrote for its features."""


def main(argv: list[str]) -> None:
    """Run the command; leave with 1 when no video could be used."""
    arguments = parse_arguments(
        Arguments, argv, command="predict", description=__doc__ or "", example=_EXAMPLE
    )
    num_videos = _find_segments(arguments) if _wants_segments(arguments) else _classify(arguments)
    if not num_videos:
        print_error("none of the videos can be used")
        sys.exit(1)


def _wants_segments(arguments: Arguments) -> bool:
    return arguments.model is not None and is_localizer(arguments.model)


def _find_segments(arguments: Arguments) -> int:
    """Run a localiser instead of a classifier and return how many videos could be used.

    Raises:
        ValueError: a flag is for classifiers alone.
    """
    assert arguments.model is not None
    if arguments.classifier is not None:
        raise ValueError(f"{arguments.model} finds stretches, not classes; leave --classifier out")
    _refuse_views(arguments, [field.name for field in dataclasses.fields(ViewArguments)])
    _check_files(arguments)
    return find_segments(arguments, arguments.model, arguments.encoder)


def _classify(arguments: Arguments) -> int:
    """Run a classifier, print and keep the answers, and return how many videos could be used."""
    _check(arguments)
    classifier = _open_classifier(arguments)
    with ProgressBar("Classifying", unit="videos") as progress:
        found = predict_videos(
            classifier,
            arguments.source,
            split=arguments.split,
            root=arguments.root,
            read=arguments.read,
            progress=progress,
        )
    warn_of_rejected(found.rejected)
    if arguments.json:
        print_json(found.to_json(arguments.top))
    else:
        _show(found, classifier, arguments)
    _keep(found, arguments.out)
    return found.num_videos


def _check(arguments: Arguments) -> None:
    """Refuse, before any work, what cannot be done.

    Raises:
        ValueError: the flags do not name one classifier, or a file or a number makes no sense.
    """
    is_linear = arguments.encoder is not None and arguments.classifier is not None
    is_mixed = arguments.model is not None and (arguments.encoder or arguments.classifier) is not None
    if is_mixed or (arguments.model is None and not is_linear):
        raise ValueError(
            "name one classifier: --model RUN, or --encoder RUN/encoder and --classifier FILE.safetensors "
            "together"
        )
    if arguments.out is not None and arguments.out.suffix.lower() not in _SUFFIXES:
        raise ValueError(f"--out {arguments.out} must end in {', '.join(_SUFFIXES)}")
    _check_files(arguments)


def _check_files(arguments: Arguments) -> None:
    if arguments.top < 1:
        raise ValueError(f"--top must be at least 1, got {arguments.top}")
    is_file = arguments.source.is_file()
    check_outputs(
        {"--out": arguments.out},
        {
            "--model": arguments.model,
            "--encoder": arguments.encoder,
            "--classifier": arguments.classifier,
            "the video": arguments.source if is_file else None,
        },
    )


def _open_classifier(arguments: Arguments) -> ClipClassifier:
    device = choose_device(arguments.device)
    if arguments.model is not None:
        model = arguments.apply(Classifier.load(arguments.model))
        return model.to(device, precision=arguments.precision)
    assert arguments.encoder is not None
    assert arguments.classifier is not None
    _refuse_views(
        arguments, [field.name for field in dataclasses.fields(ViewArguments) if field.name != "clips"]
    )
    encoder = Encoder.load(arguments.encoder).to(device, precision=arguments.precision)
    linear = LinearClassifier.load(arguments.classifier)
    return LinearClips(encoder, linear, **({} if arguments.clips is None else {"clips": arguments.clips}))


def _refuse_views(arguments: Arguments, names: Sequence[str]) -> None:
    """Refuse flags that only the classifier of a fine-tuned run has a use for.

    Raises:
        ValueError: one of them is given.
    """
    if changed := [name for name in names if getattr(arguments, name) is not None]:
        raise ValueError(
            f"--{changed[0].replace('_', '-')} is for the classifier of a fine-tuned run; anything else "
            "takes features as they were extracted, so leave it out"
        )


def _show(found: Predictions, classifier: ClipClassifier, arguments: Arguments) -> None:
    table = found.scores
    paths = table.videos.table["path"].to_pylist()
    shown = table.accepted[:_VIDEOS_SHOWN]
    as_text = "{:.3f}" if table.kind == "probability" else "{:.4g}"
    print_table(
        f"What {classifier.name} sees",
        ["video", "rank", "class", table.kind],
        [
            [paths[row] if rank == 1 else "", rank, name, as_text.format(score)]
            for row in shown
            for rank, (name, score) in enumerate(table.rank(row, arguments.top), start=1)
        ],
    )
    rows: dict[str, object] = {
        "videos": f"{found.num_videos} classified, {len(found.rejected)} rejected",
        "model": f"{classifier.name} ({classifier.hash})",
        "views": classifier.views.describe()
        if table.kind == "probability"
        else f"{classifier.views.clips} clips",
        "paths start from": table.videos.root,
    }
    if table.kind == "score":
        rows["score"] = "larger for likelier classes, and no probability"
    if len(table.accepted) > len(shown):
        rows["not shown"] = f"{len(table.accepted) - len(shown)} more videos; --out FILE.csv has all"
    rows["time"] = format_duration(found.seconds)
    title = f"Predictions {arguments.out}" if arguments.out else "Predictions (--out FILE.csv keeps them)"
    print_summary(title, rows, next_steps=_name_next_steps(found, arguments))


def _name_next_steps(found: Predictions, arguments: Arguments) -> list[str]:
    """Return how far to trust this, where the videos have labels."""
    if arguments.model is None or not is_catalog(arguments.source) or not found.scores.videos.label_names:
        return []
    model, catalog = shlex.quote(str(arguments.model)), shlex.quote(str(arguments.source))
    return [f"unreel evaluate recognition --model {model} --catalog {catalog}    # how far to trust this"]


def _keep(found: Predictions, out: Path | None) -> None:
    if out is not None:
        is_json = out.suffix.lower() == ".json"
        save = partial(write_json, value=found.to_json()) if is_json else found.scores.save
        write_outputs({"--out": (out, save)})
