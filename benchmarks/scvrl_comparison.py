"""Compare SCVRL with CVRL on the sample videos: motions, scenes, and what shuffled frames cost.

For every seed: other sample videos, `cvrl.small` and `scvrl.small` and what makes the difference between
them; then how often the nearest training video shows the same motion, and a linear SVM names it, with the
frames of test clips in order and shuffled.

    python benchmarks/scvrl_comparison.py --out comparison --seeds 0 1 2 --at-once 2
"""

import argparse
from pathlib import Path

from experiments import (
    Features,
    add_options,
    make_samples,
    measure_shuffled,
    print_results,
    read_options,
    run_all,
    train,
)

VARIANTS = {
    "CVRL": ("cvrl.small", []),
    "SCVRL": ("scvrl.small", []),
    "shuffled contrast alone": ("scvrl.small", ["--method.visual-weight", "0"]),
    "CVRL + shuffle classifier": (
        "scvrl.small",
        ["--method.shuffled-weight", "0", "--method.detection-weight", "1"],
    ),
}
VARIANTS["shuffled contrast alone, MViT, no seams"] = (
    "scvrl.small",
    [
        *("--backbone", "mvit_small", "--method.group-frames", "2", "--method.visual-weight", "0"),
        *("--method.clips.num-frames", "16", "--method.clips.frame-stride", "2"),
        *("--data.height", "36", "--data.width", "36", "--method.augmentation.size-px", "32"),
        *("--method.backbone.size-px", "32", "--train.optimizer.lr", "0.0001", "--train.steps", "900"),
        *("--train.schedule.warmup-epochs", "10"),
    ],
)
BASELINES = {"raw pixels": "pixels", "untrained": "untrained"}


def run_variant(folder: Path, seed: int, title: str, flags: list[str]) -> dict[str, float]:
    """Train and measure a row of the table."""
    recipe, chosen = VARIANTS[title]
    catalog, name = folder / "catalog.parquet", Features(title, Path()).name
    encoder = train(folder / name, recipe, catalog, seed, [*chosen, *flags])
    return measure_shuffled(folder, Features(title, encoder, clips_per_video=5), catalog)


def measure_baseline(folder: Path, title: str) -> dict[str, float]:
    """Measure pixels or fresh weights through the first encoder's input."""
    features = Features(title, min(folder.glob("*/encoder")), BASELINES[title], clips_per_video=5)
    return measure_shuffled(folder, features, folder / "catalog.parquet")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=["CVRL", "SCVRL"])
    add_options(parser, out="comparison")
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
    print_results("Motion of the sample videos", names, found)


if __name__ == "__main__":
    main()
