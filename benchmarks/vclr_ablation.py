"""Ablate VCLR on the sample videos: each loss alone, all four, and one to five segments.

For every seed: other sample videos, `vclr.small` with some of its losses, its baselines `seco.small` and
`vince.small`; then how often the nearest training video shows the same motion, or the same scene, and how
often a linear SVM names them. A video is the mean of 30 frames.

    python benchmarks/vclr_ablation.py --out ablation --seeds 0 1 2 --at-once 2
"""

import argparse
from pathlib import Path

from experiments import (
    Features,
    add_options,
    make_samples,
    measure,
    print_results,
    read_options,
    run_all,
    train,
)

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


def run_variant(folder: Path, seed: int, title: str, flags: list[str]) -> dict[str, float]:
    """Train and measure a row of the table."""
    recipe, chosen = VARIANTS[title]
    catalog, name = folder / "catalog.parquet", Features(title, Path()).name
    encoder = train(folder / name, recipe, catalog, seed, [*chosen, *flags])
    return measure(folder, Features(title, encoder), catalog, TARGETS)


def measure_baseline(folder: Path, title: str) -> dict[str, float]:
    """Measure pixels or fresh weights through the first encoder's input."""
    encoder = min(folder.glob("*/encoder"))
    return measure(folder, Features(title, encoder, BASELINES[title]), folder / "catalog.parquet", TARGETS)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    add_options(parser, out="ablation")
    options = read_options(parser)
    folders = {seed: options.out / f"seed{seed}" for seed in options.seeds}
    run_all(make_samples, [(folder, seed) for seed, folder in folders.items()], options)
    rows = [
        (folder, seed, title, options.flags) for seed, folder in folders.items() for title in options.variants
    ]
    found = run_all(run_variant, rows, options)
    baselines = [(folder, title) for title in BASELINES for folder in folders.values()]
    found = [*run_all(measure_baseline, baselines, options), *found]
    names = [title for _, title in baselines] + [title for _, _, title, _ in rows]
    print_results("Recall@1 and accuracy of a linear SVM", names, found)


if __name__ == "__main__":
    main()
