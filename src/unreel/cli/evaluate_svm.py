"""Linear SVM: one per class against all others, learned from a training split, measured on a test split.

Vectors go in as they are: at video level the mean of a video's vectors, not normalised. There is no bias.
Of several costs, cross-validation over the training split chooses one.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from unreel.cli.evaluate_output import OutputArguments, name_result, percent, print_json, show_accuracy
from unreel.cli.output_files import check_outputs, write_outputs
from unreel.cli.terminal import (
    ProgressBar,
    format_duration,
    parse_arguments,
    print_summary,
    print_table,
    print_warning,
)
from unreel.evaluate.liblinear import SVMConfig
from unreel.evaluate.ranking import Level, RankingConfig, Target
from unreel.evaluate.svm import LevelSVM, SVMResult, evaluate_svm
from unreel.features.table import FeatureTable
from unreel.runs import write_json

_NAMES_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Arguments(OutputArguments):
    """What to measure."""

    features: Path
    """Table that `unreel extract` wrote."""
    by: Target = "label"
    """What is to be told: `label`, the class, or `group` (scene, film, ...)."""
    query_split: str = "auto"
    """Split that is tested; `auto` takes test, else val."""
    gallery_split: str = "auto"
    """Split that is learned from; `auto` takes train."""
    level: Level = "video"
    """Classify videos, by the mean of their vectors, or clips one by one."""
    costs: tuple[float, ...] = (1.0,)
    """Weight of the errors (C); of several, the best in cross-validation over the training split is taken."""
    num_folds: int = 5
    """Parts of the training split for that; groups, or else the clips of a video, stay together."""
    bias: bool = False
    """Add a feature that is always 1; the published numbers have none."""
    tolerance: float = 1e-4
    """Share of its first gradient at which a solver stops."""
    max_iterations: int = 1000
    """Steps after which a solver stops anyway; its class is then named."""
    num_workers: int = 1
    """Classes that are fitted at the same time; each takes 16 bytes per number of the training vectors."""
    classifier: Path | None = None
    """File (.safetensors) for the weights, such as for `unreel report gradcam`."""


def main(argv: list[str]) -> None:
    """Run the protocol."""
    arguments = parse_arguments(
        Arguments,
        argv,
        command="evaluate svm",
        description=__doc__ or "",
        example="unreel evaluate svm --features features.parquet --out svm.json",
    )
    check_outputs(
        {"--out": arguments.out, "--classifier": arguments.classifier}, {"--features": arguments.features}
    )
    svm = SVMConfig(
        costs=arguments.costs,
        has_bias=arguments.bias,
        tolerance=arguments.tolerance,
        max_iterations=arguments.max_iterations,
        num_folds=arguments.num_folds,
        num_workers=arguments.num_workers,
    )
    table = FeatureTable.load(arguments.features)
    with ProgressBar("Fitting", unit="classes") as progress:
        result = evaluate_svm(
            table,
            level=arguments.level,
            svm=svm,
            config=RankingConfig(arguments.by, arguments.query_split, arguments.gallery_split),
            progress=progress,
        )
    measured = result.ranking.levels[arguments.level]
    _warn(measured, arguments.by)
    if arguments.json:
        print_json(result.to_json())
    else:
        _show(measured, arguments)
        _close(result, measured, arguments)
    write_outputs(
        {
            "--out": (arguments.out, partial(write_json, value=result.to_json())),
            "--classifier": (arguments.classifier, result.classifier.save),
        }
    )


def _warn(measured: LevelSVM, by: Target) -> None:
    if measured.unknown_classes:
        print_warning(
            f"training has no {by} {_list(measured.unknown_classes)}: {measured.unknown} test vectors count "
            "as wrong"
        )
    if measured.unconverged:
        print_warning(
            f"the solvers of {len(measured.unconverged)} of {measured.classes} classes were stopped before "
            f"they were done ({_list(measured.unconverged)}); raise --max-iterations, or --tolerance"
        )
    for trial in measured.trials:
        if trial.unconverged:
            print_warning(
                f"cost {trial.cost:g}: {trial.unconverged} solvers of the cross-validation were stopped "
                "before they were done; raise --max-iterations, or --tolerance"
            )


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more


def _show(measured: LevelSVM, arguments: Arguments) -> None:
    if measured.trials:
        print_table(
            "Cross-validation over the training split",
            ["cost", "accuracy %"],
            [[f"{trial.cost:g}", percent(trial.accuracy)] for trial in measured.trials],
        )
    show_accuracy(f"Linear SVM, {arguments.level} level", measured)


def _close(result: SVMResult, measured: LevelSVM, arguments: Arguments) -> None:
    settings, features = result.ranking.settings, result.ranking.features
    rows: dict[str, object] = {
        "learned from": _count(
            measured.gallery, settings["gallery_split"], measured.gallery_without_target, arguments.by
        ),
        "tested on": _count(measured.queries, settings["query_split"], measured.without_target, arguments.by),
        "classes": measured.classes,
        "features": f"{features['encoder']}, {arguments.features}",
        "pooling": features["pooling"],
        "solver": f"liblinear, cost {measured.cost:g}, {'a' if arguments.bias else 'no'} bias, "
        f"{max(measured.iterations_by_class.values())} steps at most",
    }
    next_steps = [f"unreel evaluate retrieval --features {shlex.quote(str(arguments.features))}"]
    if arguments.classifier is not None:
        rows["classifier"] = arguments.classifier
        next_steps.append(
            "unreel report gradcam --encoder ENCODER --catalog CATALOG "
            f"--classifier {shlex.quote(str(arguments.classifier))}"
        )
    rows["time"] = format_duration(result.ranking.seconds)
    print_summary(name_result(arguments), rows, next_steps=next_steps)


def _count(vectors: int, split: str, without_target: int, by: Target) -> str:
    left_out = f"; {without_target} have no {by} and are left out" if without_target else ""
    return f"{vectors} vectors of {split or 'all videos'}{left_out}"
