"""Linear probe: one layer, trained by SGD on the features of a training split, measured on a test split.

The defaults are SCVRL's linear evaluation, as far as it is known. CoCLR's, by which VCLR's networks on clips
are compared, is `--l2-normalize --batch-norm --weight-decay 0.001 --schedule milestones`. For CCL's, which
learns from clips and averages their predictions, add `--level clip --average probabilities`.
"""

import math
import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

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
from unreel.evaluate.linear_probe import Average, LevelLinear, LinearResult, evaluate_linear
from unreel.evaluate.probe_training import LinearProbeConfig
from unreel.evaluate.ranking import Level, RankingConfig, Target
from unreel.features.table import FeatureTable
from unreel.runs import write_json

_NAMES_SHOWN = 5
_HARDLY_TRAINED = 0.25
"""Share of the first gradient beyond which a layer is far from the best fit."""


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
    """Learn from videos, by the mean of their vectors, or from clips one by one."""
    average: Average = "none"
    """At clip level: tell a video by the mean of its clips' logits or probabilities, or test each clip."""
    epochs: int = 100
    """Passes over the training vectors."""
    batch_size: int = 256
    """Vectors per step."""
    lrs: tuple[float, ...] = (0.1,)
    """Learning rate for a batch of 256; of several, the best in cross-validation over the training split."""
    num_folds: int = 5
    """Parts of the training split for that; groups, or else the clips of a video, stay together."""
    momentum: float = 0.9
    """Of SGD."""
    weight_decay: float = 0.0
    """Pull of all weights towards 0."""
    schedule: Literal["cosine", "milestones"] = "cosine"
    """The learning rate falls to 0 along half a cosine, or to a tenth at each milestone."""
    milestones: tuple[int, ...] = (60, 80)
    """Epochs at which it falls so."""
    l2_normalize: bool = False
    """Bring every vector to length 1 first."""
    batch_norm: bool = False
    """Normalise the numbers of a batch first; afterwards this is part of the weights."""
    seed: int = 0
    """Of the first weights and of the order of the vectors."""
    classifier: Path | None = None
    """File (.safetensors) for the weights, such as for `unreel predict`."""

    @property
    def probe(self) -> LinearProbeConfig:
        """The library's form of the same."""
        return LinearProbeConfig(
            epochs=self.epochs,
            batch_size=self.batch_size,
            lrs=self.lrs,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            schedule=self.schedule,
            milestones=self.milestones,
            is_l2_normalized=self.l2_normalize,
            has_batch_norm=self.batch_norm,
            seed=self.seed,
            num_folds=self.num_folds,
        )


def main(argv: list[str]) -> None:
    """Run the protocol."""
    arguments = parse_arguments(
        Arguments,
        argv,
        command="evaluate linear",
        description=__doc__ or "",
        example="unreel evaluate linear --features features.parquet --out linear.json",
    )
    check_outputs(
        {"--out": arguments.out, "--classifier": arguments.classifier}, {"--features": arguments.features}
    )
    probe = arguments.probe
    table = FeatureTable.load(arguments.features)
    with ProgressBar("Training", unit="epochs") as progress:
        result = evaluate_linear(
            table,
            level=arguments.level,
            average=arguments.average,
            probe=probe,
            config=RankingConfig(arguments.by, arguments.query_split, arguments.gallery_split),
            progress=progress,
        )
    measured = result.ranking.levels[arguments.level]
    _warn(measured, arguments)
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


def _warn(measured: LevelLinear, arguments: Arguments) -> None:
    if measured.unknown_classes:
        more = len(measured.unknown_classes) - _NAMES_SHOWN
        names = ", ".join(measured.unknown_classes[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
        print_warning(
            f"training has no {arguments.by} {names}: {measured.unknown} test vectors count as wrong"
        )
    for trial in measured.trials:
        if trial.diverged:
            print_warning(f"learning rate {trial.lr:g}: the loss ran over in {trial.diverged} folds")
    of_guess = math.log(measured.classes)
    if measured.final_loss > of_guess:
        print_warning(
            f"the loss ends at {measured.final_loss:.3g}, above the {of_guess:.3g} of a guess: the learning "
            "rate is too high; lower --lrs, or bring the vectors to length 1 (--l2-normalize)"
        )
    elif measured.relative_gradient > _HARDLY_TRAINED:
        print_warning(
            "the layer is far from the best fit to the training vectors: the gradient is still "
            f"{percent(measured.relative_gradient)} % of the first; raise --epochs or --lrs, lower "
            "--batch-size (more steps), or add --batch-norm"
        )


def _show(measured: LevelLinear, arguments: Arguments) -> None:
    if measured.trials:
        print_table(
            "Cross-validation over the training split",
            ["learning rate", "accuracy %"],
            [[f"{trial.lr:g}", percent(trial.accuracy)] for trial in measured.trials],
        )
    told = "" if arguments.average == "none" else f", videos by mean {arguments.average}"
    show_accuracy(f"Linear probe, {arguments.level} level{told}", measured)


def _close(result: LinearResult, measured: LevelLinear, arguments: Arguments) -> None:
    settings, features = result.ranking.settings, result.ranking.features
    tested = "vectors" if arguments.average == "none" else "videos"
    rows: dict[str, object] = {
        "learned from": f"{measured.gallery} vectors of {settings['gallery_split'] or 'all videos'}"
        + _count_left_out(measured.gallery_without_target, arguments.by),
        "tested on": f"{measured.queries} {tested} of {settings['query_split'] or 'all videos'}"
        + _count_left_out(measured.without_target, arguments.by),
        "classes": measured.classes,
        "features": f"{features['encoder']}, {arguments.features}",
        "pooling": features["pooling"],
        "training": f"{arguments.epochs} epochs of SGD, learning rate {measured.lr:g}",
        "ended at": f"loss {measured.final_loss:.3f}, {percent(measured.training_top1)} % of training right, "
        f"gradient {percent(measured.relative_gradient)} % of the first",
    }
    next_steps = [f"unreel evaluate svm --features {shlex.quote(str(arguments.features))}"]
    if arguments.classifier is not None:
        rows["classifier"] = arguments.classifier
        classifier = shlex.quote(str(arguments.classifier))
        next_steps.append(f"unreel predict VIDEO --encoder ENCODER --classifier {classifier}")
    rows["time"] = format_duration(result.ranking.seconds)
    print_summary(name_result(arguments), rows, next_steps=next_steps)


def _count_left_out(without_target: int, by: Target) -> str:
    return f"; {without_target} have no {by} and are left out" if without_target else ""
