"""Ablate VCLR on the sample videos: each loss alone, all four, and one to five segments.

For every seed: other sample videos, `vclr.small` with some of its losses, its baselines `seco.small` and
`vince.small`; then how often the nearest training video shows the same motion, or the same scene, and how
often a linear SVM names them. A video is the mean of 30 frames.

    python benchmarks/vclr_ablation.py --out ablation --seeds 0 1 2 --at-once 2
"""

import argparse
from functools import partial
from pathlib import Path

from experiments import Features, make_samples, measure, print_results, run_all, train

LOSSES = ("inter", "intra", "video", "order")


def only(*losses: str) -> list[str]:
    """Return the flags that leave out all other losses."""
    flags: list[str] = []
    for name in LOSSES:
        if name not in losses:
            flags += [f"--method.{name}-weight", "0"]
    return flags


def segments(count: int) -> list[str]:
    """Return the flags for a number of segments; one has neither other frames nor an order."""
    flags = ["--method.clips.num-segments", str(count)]
    return flags + (only("inter", "video") if count == 1 else [])


VARIANTS = {
    **{f"{name} alone": ("vclr.small", only(name)) for name in LOSSES},
    "inter + intra": ("vclr.small", only("inter", "intra")),
    "inter + intra + video": ("vclr.small", only("inter", "intra", "video")),
    "all four": ("vclr.small", []),
    **{f"{count} segments": ("vclr.small", segments(count)) for count in (1, 2, 4, 5)},
    "SeCo": ("seco.small", []),
    "VINCE": ("vince.small", []),
}
BASELINES = {"raw pixels": "pixels", "untrained": "untrained"}
TARGETS = {"motion": "label", "scene": "group"}


def run_variant(
    folder: Path, seed: int, title: str, flags: list[str], results: dict[tuple[str, int], dict[str, float]]
) -> None:
    recipe, chosen = VARIANTS[title]
    catalog, name = folder / "catalog.parquet", Features(title, Path()).name
    encoder = train(folder / name, recipe, catalog, seed, [*chosen, *flags])
    results[title, seed] = measure(folder, Features(title, encoder), catalog, TARGETS)


def run_baselines(folder: Path, seed: int, results: dict[tuple[str, int], dict[str, float]]) -> None:
    encoder = next(folder.glob("*/encoder"))
    for title, baseline in BASELINES.items():
        features = Features(title, encoder, baseline)
        results[title, seed] = measure(folder, features, folder / "catalog.parquet", TARGETS)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("ablation"), help="folder for everything")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--at-once", type=int, default=1, help="trainings that run side by side")
    parser.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="further ones for pretrain")
    options = parser.parse_args()
    folders = {seed: options.out / f"seed{seed}" for seed in options.seeds}
    results: dict[tuple[str, int], dict[str, float]] = {}
    run_all(
        [partial(make_samples, folder, seed) for seed, folder in folders.items()], at_once=options.at_once
    )
    run_all(
        [
            partial(run_variant, folder, seed, title, options.flags, results)
            for seed, folder in folders.items()
            for title in options.variants
        ],
        at_once=options.at_once,
    )
    run_all(
        [partial(run_baselines, folder, seed, results) for seed, folder in folders.items()],
        at_once=options.at_once,
    )
    print_results(
        "Recall@1 and accuracy of a linear SVM in percent: mean ± deviation (per seed)",
        {
            title: [results[title, seed] for seed in options.seeds]
            for title in (*BASELINES, *options.variants)
        },
    )


if __name__ == "__main__":
    main()
