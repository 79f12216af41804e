"""Sensitivity to the order of frames: test clips as they are, and with their frames in random order.

A linear SVM learns from clips as they are, and neighbours are looked for among clips as they are; only what
is tested is shuffled. Without labels, the similarity of clips to themselves shuffled remains.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unreel.cli.evaluate_output import (
    OutputArguments,
    check_output,
    deliver,
    keep,
    name_result,
    percent,
    warn_of_rejected,
)
from unreel.cli.terminal import (
    ProgressBar,
    format_duration,
    parse_arguments,
    print_summary,
    print_table,
    print_warning,
)
from unreel.data.catalog import Catalog
from unreel.evaluate.liblinear import SVMConfig
from unreel.evaluate.ranking import RankingConfig, Target
from unreel.evaluate.shuffle_sensitivity import ShuffleSensitivity, evaluate_shuffle_sensitivity
from unreel.evaluate.shuffle_sensitivity_features import ClipShuffleConfig
from unreel.evaluate.shuffle_sensitivity_scores import ShuffledScore
from unreel.features.encoder import Encoder, Precision, choose_device
from unreel.features.pixels import PixelBaseline
from unreel.features.reading import ClipEmbedder, ReadConfig

_TITLES = {"svm": "linear SVM", "retrieval": "recall@1"}


@dataclass(frozen=True, kw_only=True)
class Arguments(OutputArguments):
    """What to measure."""

    encoder: Path
    """Folder `encoder` of a run; of a network that sees clips."""
    catalog: Path
    """Catalog that `unreel scan` wrote."""
    root: Path | None = None
    """Where the videos are now, when their folder was moved after the scan."""
    baseline: Literal["none", "untrained", "pixels"] = "none"
    """Instead of the encoder, measure the same network with fresh weights, or the raw pixels of the same
    clips."""
    level: Literal["frames", "groups"] = "frames"
    """Permute single frames, or groups of neighbouring frames that stay together."""
    group_size: int = 2
    """Frames of a group, with `--level groups`."""
    num_shuffles: int = 3
    """Shuffles of every test clip; results are their mean."""
    seed: int = 0
    """Of the shuffles, and of the fresh weights of `--baseline untrained`."""
    by: Target = "label"
    """What is to be told: `label`, the class, or `group` (scene, film, ...)."""
    query_split: str = "auto"
    """Split that is tested; `auto` takes test when the videos have test and train, else all of them."""
    gallery_split: str = "auto"
    """Split that is learned from and searched; `auto` takes train as above."""
    costs: tuple[float, ...] = (1.0,)
    """Weight of the errors of the SVM (C); of several, the best in cross-validation is taken."""
    clips_per_video: int = 10
    """Clips spread evenly over each video, averaged."""
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
        command="evaluate shuffle-sensitivity",
        description=__doc__ or "",
        example="unreel evaluate shuffle-sensitivity --encoder runs/scvrl/encoder --catalog catalog.parquet "
        "--out shuffle.json",
    )
    check_output(arguments, {"--encoder": arguments.encoder, "--catalog": arguments.catalog})
    embedder = _choose_embedder(arguments)
    with ProgressBar("Embedding", unit="videos") as progress:
        result = evaluate_shuffle_sensitivity(
            embedder,
            Catalog.load(arguments.catalog, root=arguments.root),
            shuffle=ClipShuffleConfig(
                arguments.level, arguments.group_size, arguments.num_shuffles, arguments.seed
            ),
            read=ReadConfig(
                clips_per_video=arguments.clips_per_video,
                batch_size=arguments.batch_size,
                num_workers=arguments.num_workers,
            ),
            svm=SVMConfig(costs=arguments.costs),
            config=RankingConfig(arguments.by, arguments.query_split, arguments.gallery_split),
            max_rejected_fraction=arguments.max_rejected_fraction,
            progress=progress,
        )
    _warn(result)
    values = result.to_json()
    if deliver(values, arguments):
        _show(result, arguments)
        keep(values, arguments)


def _choose_embedder(arguments: Arguments) -> ClipEmbedder:
    encoder = Encoder.load(arguments.encoder)
    if arguments.baseline == "pixels":
        return PixelBaseline(encoder.spec)
    if arguments.baseline == "untrained":
        encoder = Encoder.untrained(encoder.config, seed=arguments.seed)
    return encoder.to(choose_device(arguments.device), precision=arguments.precision)


def _warn(result: ShuffleSensitivity) -> None:
    warn_of_rejected(result.rejected)
    for name, reason in result.left_out.items():
        print_warning(f"{_TITLES[name]}: left out, since {reason}")
    if result.svm is not None and result.svm.unconverged:
        print_warning(
            f"the solvers of {result.svm.unconverged} classes were stopped before they were done; extract "
            "features and use `unreel evaluate svm` to see which, and with which --tolerance they end"
        )
    if result.repeating_clips:
        print_warning(
            f"{result.repeating_clips} of {result.clips} test clips show a frame more than once, since their "
            "videos are short; less of them changes"
        )


def _show(result: ShuffleSensitivity, arguments: Arguments) -> None:
    scores = {"svm": result.svm, "retrieval": result.retrieval}
    rows = [_row(_TITLES[name], score) for name, score in scores.items() if score is not None]
    unit = "frames" if arguments.level == "frames" else f"groups of {arguments.group_size} frames"
    if rows:
        header = ["", "normal %", "shuffled %", "difference", "deviation", "chance %"]
        print_table(f"Test clips as they are and with {unit} shuffled", header, rows)
    others = result.cosine_of_others
    relative = result.relative_distance
    settings = result.settings
    print_summary(
        name_result(arguments),
        {
            "encoder": f"{result.features['encoder']} ({result.features['encoder_hash']})",
            "tested": f"{result.videos} videos of {settings['query_split'] or 'all'}, {result.clips} clips",
            "learned from": settings["gallery_split"] or "all videos but the query's own",
            "shuffles": f"{arguments.num_shuffles} of {unit}, seed {arguments.seed}",
            "cosine to itself shuffled": f"{result.cosine:.4f}",
            "cosine to other videos": "one video only" if others is None else f"{others:.4f}",
            "distance, shuffled to others": "not known" if relative is None else f"{relative:.3f}",
            "rejected": f"{len(result.rejected)} videos",
            "time": format_duration(result.seconds),
        },
    )


def _row(title: str, score: ShuffledScore) -> list[object]:
    return [
        title,
        percent(score.normal),
        percent(score.mean_shuffled),
        percent(score.difference),
        percent(score.deviation),
        percent(score.chance),
    ]
