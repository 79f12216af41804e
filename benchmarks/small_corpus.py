"""Compare the methods on a small labelled corpus, such as J-HMDB: learn without labels, then measure.

Training starts from random weights, several seeds each. The networks of single frames are measured on 30
frames of a video, the 3D networks on 10 clips, both beside raw pixels and the same network untrained.

    python benchmarks/small_corpus.py jhmdb/split1.csv --suite frames --seeds 0 1 2 --out jhmdb --at-once 4
"""

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from experiments import Features, call, measure, print_results, run_all, train

# Videos of 128 x 172 pixels; a few hundred of them make queues of the published lengths senseless.
DATA = ("--data.height", "128", "--data.width", "0", "--data.cache", "ram", "--train.batch-size", "64")
VIEWS = ("--method.augmentation.size-px", "112")
SLOW_COPY = ("--method.momentum", "0.99", "--method.queue-length", "4096")
FRAMES = (*DATA, *VIEWS, *SLOW_COPY, "--method.initial-weights", "random", "--backbone", "resnet_18")
RATE = ("--train.optimizer.lr", "0.05", "--train.schedule.warmup-epochs", "5")
CLIP = ("--method.clips.num-frames", "8")


@dataclass(frozen=True)
class Run:
    """A row of the table: a recipe and what is changed in it."""

    recipe: str
    flags: tuple[str, ...]


SUITES = {
    "frames": {
        "VCLR": Run("vclr.ucf101", (*FRAMES, *RATE)),
        "SeCo": Run("seco.ucf101", (*FRAMES, *RATE)),
        "VINCE": Run("vince.kinetics400", (*FRAMES, *RATE, "--train.schedule.name", "cosine")),
    },
}
CLIPS_PER_VIDEO = {"frames": 30, "clips": 10}
BASELINES = {"raw pixels": "pixels", "untrained": "untrained"}


def run_one(
    options: argparse.Namespace, seed: int, title: str, results: dict[tuple[str, int], dict[str, float]]
) -> None:
    run, folder = SUITES[options.suite][title], options.out / f"seed{seed}"
    catalog = options.out / "catalog.parquet"
    flags = (*run.flags, "--train.epochs", str(options.epochs), *options.flags)
    encoder = train(folder / Features(title, Path()).name, run.recipe, catalog, seed, flags)
    features = Features(title, encoder, clips_per_video=CLIPS_PER_VIDEO[options.suite])
    results[title, seed] = measure(folder, features, catalog, {"class": "label"})


def run_baselines(
    options: argparse.Namespace, seed: int, results: dict[tuple[str, int], dict[str, float]]
) -> None:
    folder = options.out / f"seed{seed}"
    encoder = next(path for path in sorted(folder.glob("*/encoder")))
    for title, baseline in BASELINES.items():
        features = Features(title, encoder, baseline, CLIPS_PER_VIDEO[options.suite])
        results[title, seed] = measure(folder, features, options.out / "catalog.parquet", {"class": "label"})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("videos", type=Path, help="list of videos with the columns path, label and split")
    parser.add_argument("--suite", choices=SUITES, default="frames")
    parser.add_argument("--methods", nargs="+", default=None, help="rows of the suite; all of them otherwise")
    parser.add_argument("--out", type=Path, default=Path("small_corpus"), help="folder for everything")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=1, help="trainings that run side by side")
    parser.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="further ones for pretrain")
    options = parser.parse_args()
    titles = options.methods or list(SUITES[options.suite])
    catalog = options.out / "catalog.parquet"
    if not catalog.exists():
        call(options.out, "scan", options.videos, "--out", catalog)
    results: dict[tuple[str, int], dict[str, float]] = {}
    jobs = [partial(run_one, options, seed, title, results) for seed in options.seeds for title in titles]
    run_all(jobs, at_once=options.at_once)
    baselines = [partial(run_baselines, options, seed, results) for seed in options.seeds]
    run_all(baselines, at_once=options.at_once)
    print_results(
        f"{options.videos}: recall@1 and accuracy of a linear SVM in percent, mean ± deviation (per seed)",
        {title: [results[title, seed] for seed in options.seeds] for title in (*BASELINES, *titles)},
    )


if __name__ == "__main__":
    main()
