"""Compare methods on a small labelled corpus, such as J-HMDB: learn without labels, then measure.

Training starts from random weights, several seeds each. A suite has its networks, sizes and rows; beside
them stand raw pixels and the same network untrained.

    python benchmarks/small_corpus.py jhmdb/split1.csv --suite frames --out jhmdb --seeds 0 1 2 --at-once 4
    python benchmarks/small_corpus.py grid_words/videos.csv --suite words --out grid
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from experiments import (
    Features,
    add_options,
    call,
    measure,
    measure_shuffled,
    print_results,
    read_options,
    run_all,
    train,
)


@dataclass(frozen=True)
class Suite:
    """Methods that are compared with each other.

    Attributes:
        rows: recipe and its flags, by the title of the row.
        flags: of all rows.
        clips_per_video: vectors that a video's is the mean of.
        has_clips: whether the networks see clips, whose frames can be shuffled.
    """

    rows: dict[str, tuple[str, tuple[str, ...]]]
    flags: tuple[str, ...]
    clips_per_video: int
    has_clips: bool


# A few hundred videos make queues of the published lengths, and momentum encoders that slow, senseless.
SLOW_COPY = ("--method.momentum", "0.99", "--method.queue-length", "4096")
SUITES = {
    "frames": Suite(
        rows={
            "VCLR": ("vclr.ucf101", ()),
            "SeCo": ("seco.ucf101", ()),
            "VINCE": ("vince.kinetics400", ("--train.schedule.name", "cosine")),
        },
        flags=(
            *("--backbone", "resnet_18", "--method.initial-weights", "random", *SLOW_COPY),
            *("--data.height", "128", "--data.width", "0", "--method.augmentation.size-px", "112"),
            *("--train.batch-size", "64", "--train.epochs", "200"),
            *("--train.optimizer.lr", "0.05", "--train.optimizer.lr-per-videos", "0"),
            *("--train.schedule.warmup-epochs", "5"),
        ),
        clips_per_video=30,
        has_clips=False,
    ),
    "small frames": Suite(
        rows={"VCLR": ("vclr.small", ()), "SeCo": ("seco.small", ()), "VINCE": ("vince.small", ())},
        flags=("--train.steps", "600", "--method.augmentation.flip-prob", "0.5"),
        clips_per_video=30,
        has_clips=False,
    ),
    "shuffles": Suite(
        rows={"CVRL": ("cvrl.small", ()), "SCVRL": ("scvrl.small", ())},
        flags=("--method.clips.frame-stride", "1"),
        clips_per_video=2,
        has_clips=True,
    ),
    # The contrast with other videos, which the look of a mouth satisfies, weighs less.
    "words": Suite(
        rows={"CVRL": ("cvrl.small", ()), "SCVRL": ("scvrl.small", ("--method.visual-weight", "0.03"))},
        flags=("--method.clips.frame-stride", "1"),
        clips_per_video=2,
        has_clips=True,
    ),
}
BASELINES = {"raw pixels": "pixels", "untrained": "untrained"}
TARGETS = {"class": "label"}


def run_row(out: Path, suite: str, seed: int, title: str, flags: list[str]) -> dict[str, float]:
    """Train and measure a row of the table."""
    chosen, folder, catalog = SUITES[suite], out / f"seed{seed}", out / "catalog.parquet"
    recipe, own = chosen.rows[title]
    run = folder / Features(title, Path()).name
    encoder = train(run, recipe, catalog, seed, (*chosen.flags, *own, *flags))
    features = Features(title, encoder, clips_per_video=chosen.clips_per_video)
    return measure_row(out, suite, folder, features)


def measure_row(out: Path, suite: str, folder: Path, features: Features) -> dict[str, float]:
    """Measure recall and SVM, of networks of clips with shuffled frames too."""
    if SUITES[suite].has_clips:
        return measure_shuffled(folder, features, out / "catalog.parquet")
    return measure(folder, features, out / "catalog.parquet", TARGETS)


def measure_baseline(out: Path, suite: str, seed: int, title: str) -> dict[str, float]:
    """Measure pixels or fresh weights through the first encoder's input."""
    folder, chosen = out / f"seed{seed}", SUITES[suite]
    features = Features(title, min(folder.glob("*/encoder")), BASELINES[title], chosen.clips_per_video)
    return measure_row(out, suite, folder, features)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("videos", type=Path, help="list of videos with the columns path, label and split")
    parser.add_argument("--suite", choices=SUITES, default="frames")
    parser.add_argument("--methods", nargs="+", help="rows of the suite; all of them otherwise")
    add_options(parser, out="small_corpus")
    options = read_options(parser)
    out, suite = options.out, options.suite
    if not (out / "catalog.parquet").exists():
        call(out, "scan", options.videos, "--out", out / "catalog.parquet")
    titles = options.methods or list(SUITES[suite].rows)
    rows = [(out, suite, seed, title, options.flags) for seed in options.seeds for title in titles]
    found = run_all(run_row, rows, options)
    baselines = [(out, suite, seed, title) for title in BASELINES for seed in options.seeds]
    found = [*run_all(measure_baseline, baselines, options), *found]
    print_results(str(options.videos), [row[3] for row in (*baselines, *rows)], found)


if __name__ == "__main__":
    main()
