"""Few labels: how well do classes become known from 1 % of the training videos, from 5 %, ... from all?

With --features an SVM or a linear layer learns from the features of frozen encoders. With --encoders all
layers are fine-tuned by a recipe, a run per encoder, share and seed; finished runs are not done again. Shares
are of every class, one video at least; smaller ones are parts of larger ones, and all encoders learn from the
same videos. The relative gain is that of the first encoder: (first - other) / first.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from unreel.cli.evaluate_output import OutputArguments, name_result, percent, print_json
from unreel.cli.output_files import check_outputs, write_outputs
from unreel.cli.terminal import (
    ProgressBar,
    format_duration,
    parse_arguments,
    print_summary,
    print_table,
    print_warning,
)
from unreel.evaluate.linear_probe import Average
from unreel.evaluate.low_shot import TEST_FACTS, LowShotConfig, LowShotPoint, LowShotResult, Metric
from unreel.evaluate.ranking import Level, RankingConfig, Target
from unreel.runs import write_json

_EXAMPLE = """unreel evaluate low-shot --features scvrl.parquet cvrl.parquet --out few.json --plot few.png
  unreel evaluate low-shot --encoders runs/scvrl/encoder runs/cvrl/encoder --recipe finetune.small \\
      --catalog catalog.parquet --runs runs/few --plot few.png"""


_METRICS = {
    "top1": "Accuracy",
    "mean_class": "Mean accuracy of the classes",
    "macro_f_measure": "Macro F-measure",
}


@dataclass(frozen=True, kw_only=True)
class Arguments(OutputArguments):
    """What to measure."""

    features: tuple[Path, ...] = ()
    """Tables that `unreel extract` wrote, of the same videos by every encoder; the first is compared with the
    others."""
    encoders: tuple[Path, ...] = ()
    """Instead of features: folders `encoder` of runs, to be fine-tuned; `random` takes random weights."""
    names: tuple[str, ...] = ()
    """Names for the encoders, in their order; by default those of files, or of the folders of runs."""
    fractions: tuple[float, ...] = (1.0, 5.0, 10.0, 25.0, 50.0, 100.0)
    """Shares of the labels, in percent."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the choice of videos, and of the training; every share is learned once per seed."""
    metric: Metric = "top1"
    """What is compared."""
    plot: Path | None = None
    """Picture of the curves, .png or .svg."""
    by: Target = "label"
    """Of features: what is to be told."""
    query_split: str = "auto"
    """Split that is tested; `auto` takes test, else val."""
    gallery_split: str = "auto"
    """Of features: split that is learned from; `auto` takes train."""
    learner: Literal["svm", "linear"] = "svm"
    """Of features: a linear SVM, or a linear layer by SGD, as in `unreel evaluate svm` and `linear`."""
    level: Level = "video"
    """Of features: learn from videos, by the mean of their vectors, or from clips one by one."""
    average: Average = "none"
    """Of a linear layer at clip level: what of a video's clips is averaged."""
    cost: float = 1.0
    """Of an SVM: weight of the errors."""
    epochs: int = 100
    """Of a linear layer."""
    lr: float = 0.1
    """Of a linear layer: learning rate for a batch of 256."""
    weight_decay: float = 0.0
    """Of a linear layer."""
    l2_normalize: bool = False
    """Of a linear layer: bring every vector to length 1 first."""
    batch_norm: bool = False
    """Of a linear layer: normalise the numbers of a batch first."""
    recipe: str = ""
    """Of encoders: recipe of fine-tuning, such as finetune.small."""
    catalog: Path | None = None
    """Of encoders: catalog that `unreel scan` wrote."""
    runs: Path | None = None
    """Of encoders: folder for the folders of the runs."""
    finetune_epochs: int = 0
    """Of encoders: passes over the videos of a share; 0 takes those of the recipe."""


def main(argv: list[str]) -> None:
    """Run the protocol."""
    arguments = parse_arguments(
        Arguments, argv, command="evaluate low-shot", description=__doc__ or "", example=_EXAMPLE
    )
    _check(arguments)
    low_shot = LowShotConfig(
        tuple(share / 100 for share in arguments.fractions), arguments.seeds, arguments.metric
    )
    names = arguments.names or _name_encoders(arguments)
    result = (
        _learn_from_features(arguments, names, low_shot)
        if arguments.features
        else _finetune(arguments, names, low_shot)
    )
    if arguments.json:
        print_json(result.to_json())
    else:
        _show(result, arguments)
    writers: dict[str, tuple[Path | None, Any]] = {
        "--out": (arguments.out, partial(write_json, value=result.to_json()))
    }
    if arguments.plot is not None:
        from unreel.report.low_shot import save_low_shot

        writers["--plot"] = (arguments.plot, partial(save_low_shot, result))
    write_outputs(writers)


def _check(arguments: Arguments) -> None:
    given = arguments.features or arguments.encoders
    if bool(arguments.features) == bool(arguments.encoders):
        raise ValueError("give either --features (frozen encoders) or --encoders (fine-tuned), one or more")
    if arguments.names and len(arguments.names) != len(given):
        raise ValueError(f"--names gives {len(arguments.names)} names for {len(given)} encoders")
    if arguments.encoders and not (arguments.recipe and arguments.catalog and arguments.runs):
        raise ValueError(
            "--encoders are fine-tuned, so --recipe, --catalog and --runs are needed too, such as --recipe "
            "finetune.small --catalog catalog.parquet --runs runs/lowshot"
        )
    if arguments.plot is not None:
        from unreel.report.figures import check_figure_path

        check_figure_path(arguments.plot)
    inputs = {
        "--features": arguments.features,
        "--encoders": arguments.encoders,
        "--catalog": arguments.catalog,
    }
    check_outputs({"--out": arguments.out, "--plot": arguments.plot}, inputs)


def _name_encoders(arguments: Arguments) -> tuple[str, ...]:
    """Name tables by their files and encoders by their runs."""
    if arguments.features:
        return tuple(path.stem for path in arguments.features)
    paths = [path.absolute() for path in arguments.encoders]
    return tuple(path.parent.name if path.name == "encoder" else path.name for path in paths)


def _learn_from_features(
    arguments: Arguments, names: tuple[str, ...], low_shot: LowShotConfig
) -> LowShotResult:
    from unreel.evaluate.liblinear import SVMConfig
    from unreel.evaluate.low_shot_features import FeatureLearning, evaluate_low_shot
    from unreel.evaluate.probe_training import LinearProbeConfig
    from unreel.features.table import FeatureTable

    _check_names(names)
    probe = LinearProbeConfig(
        epochs=arguments.epochs,
        lrs=(arguments.lr,),
        weight_decay=arguments.weight_decay,
        is_l2_normalized=arguments.l2_normalize,
        has_batch_norm=arguments.batch_norm,
    )
    learner = SVMConfig(costs=(arguments.cost,)) if arguments.learner == "svm" else probe
    learning = FeatureLearning(learner, arguments.level, arguments.average)
    tables = [FeatureTable.load(path) for path in arguments.features]
    with ProgressBar("Learning", unit="fits") as progress:
        return evaluate_low_shot(
            dict(zip(names, tables, strict=True)),
            learning,
            low_shot=low_shot,
            config=RankingConfig(arguments.by, arguments.query_split, arguments.gallery_split),
            progress=progress,
        )


def _check_names(names: tuple[str, ...]) -> None:
    if len(set(names)) < len(names):
        raise ValueError(f"two encoders have the same name in {', '.join(names)}; tell them apart by --names")


def _finetune(arguments: Arguments, names: tuple[str, ...], low_shot: LowShotConfig) -> LowShotResult:
    from unreel.data.catalog import Catalog
    from unreel.evaluate.low_shot_finetuned import finetune_low_shot
    from unreel.evaluate.recognition import evaluate_recognition, find_test_split
    from unreel.features.classifier import Classifier
    from unreel.features.classify import fit_batch_size
    from unreel.features.encoder import choose_device
    from unreel.features.reading import ReadConfig
    from unreel.recipes.find import find_recipe
    from unreel.train.finetune import finetune, start_from

    assert arguments.catalog is not None
    assert arguments.runs is not None
    _check_names(names)
    recipe = find_recipe(arguments.recipe)()
    recipe = replace(recipe, data=replace(recipe.data, catalog=arguments.catalog))
    if arguments.finetune_epochs:
        recipe = replace(recipe, train=replace(recipe.train, epochs=arguments.finetune_epochs, steps=0))
    catalog = Catalog.load(arguments.catalog)
    split = find_test_split(catalog) if arguments.query_split == "auto" else arguments.query_split

    def recognize(run: Path) -> dict[str, Any]:
        classifier = Classifier.load(run)
        classifier.to(choose_device(recipe.train.device))
        batch_size = fit_batch_size(classifier.spec)
        read = ReadConfig(batch_size=batch_size, num_workers=recipe.data.num_workers)
        return evaluate_recognition(classifier, catalog, split=split, read=read).to_json()

    with ProgressBar("Fine-tuning", unit="runs") as progress:
        return finetune_low_shot(
            {
                name: recipe if path == Path("random") else start_from(recipe, path)
                for name, path in zip(names, arguments.encoders, strict=True)
            },
            arguments.runs,
            recipe_name=arguments.recipe,
            finetune=finetune,
            recognize=recognize,
            tested={"split": split, "catalog_hash": catalog.hash},
            low_shot=low_shot,
            progress=progress,
            warn=print_warning,
        )


def _show(result: LowShotResult, arguments: Arguments) -> None:
    names = [curve.name for curve in result.curves]
    gains = result.relative_gains
    rows = []
    for place, point in enumerate(result.curves[0].points):
        counts = sorted(set(point.videos))
        rows.append(
            [
                f"{100 * point.fraction:g}",
                str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}",
                *(_write_point(curve.points[place]) for curve in result.curves),
                *(_write_gain(own[place]) for own in gains.values()),
            ]
        )
    header = ["labels %", "videos", *names, *(f"gain on {name} %" for name in gains)]
    seeds = f", mean and deviation of {len(arguments.seeds)} seeds" if len(arguments.seeds) > 1 else ""
    print_table(f"{_METRICS[arguments.metric]} %{seeds}", header, rows)
    settings = result.settings
    summary: dict[str, object] = {"learned by": settings["learner"], **_describe_test(settings)}
    summary |= dict(zip(names, arguments.features or arguments.encoders, strict=True))
    if arguments.runs is not None and arguments.encoders:
        summary["runs"] = arguments.runs
    if arguments.plot is not None:
        summary["plot"] = arguments.plot
    summary["time"] = format_duration(result.seconds)
    print_summary(name_result(arguments), summary, next_steps=_name_next(arguments))


def _describe_test(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return a line on the test; none where results of other versions do not say what it was."""
    if not settings.keys() >= set(TEST_FACTS):
        return {}
    things = "clips" if settings.get("level") == "clip" else "videos"
    return {
        "tested on": f"{settings['queries']:.0f} {things} of {settings['classes']:.0f} classes",
        "chance": f"{percent(settings['chance'])} % accuracy",
    }


def _name_next(arguments: Arguments) -> list[str]:
    if arguments.features:
        return [f"unreel evaluate {arguments.learner} --features {shlex.quote(str(arguments.features[0]))}"]
    return [f"unreel predict VIDEO --model {shlex.quote(str(arguments.runs))}/NAME/SHARE-percent-seed-SEED"]


def _write_point(point: LowShotPoint) -> str:
    """Write the mean, and the deviation where there are several seeds."""
    spread = f" +- {percent(point.deviation)}" if len(point.values) > 1 else ""
    return percent(point.mean) + spread


def _write_gain(gain: float | None) -> str:
    return "-" if gain is None else percent(gain)
