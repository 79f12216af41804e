"""Ablate CACL on the sample videos: what do shuffle degree, contrast and transformer each add?

For every seed: other sample videos, stage one (`frame_moco.small`), `cacl.small` and its ablations; then how
often the nearest training video shows the same motion, or the same scene, and how well the shuffle degree of
the test videos is told. What is finished is not done again, so an interrupted ablation goes on when it is
called again.

    python benchmarks/cacl_ablation.py --out ablation --seeds 0 1 2
"""

import argparse
import json
import shlex
import sys
from pathlib import Path
from statistics import mean

from unreel.cli.main import run
from unreel.cli.terminal import print_table

VARIANTS = {
    "SDP": ["--method.pairs"],
    "V-MoCo": ["--method.pairs", "gq_gk", "--method.degree-weight", "0"],
    "SDP + V-MoCo": ["--method.pairs", "gq_gk"],
    "CACL": [],
    "CACL, one softmax": ["--method.positives", "joint"],
}
BASELINES = {"raw pixels": "pixels", "untrained": "untrained"}
TARGETS = {"motion": "label", "scene": "group"}


def do(*words: object) -> None:
    argv = [str(word) for word in words]
    print(f"\n$ unreel {shlex.join(argv)}", flush=True)
    if code := run(argv):
        sys.exit(code)


def prepare_seed(folder: Path, seed: int) -> None:
    """Make the videos and the frame network of a seed."""
    if not (folder / "catalog.parquet").exists():
        do("sample-data", folder / "samples", "--seed", seed)
        do("scan", folder / "samples" / "videos.csv", "--out", folder / "catalog.parquet")
    train(folder, "frames", "frame_moco.small", seed, [])


def train(folder: Path, name: str, recipe: str, seed: int, flags: list[str]) -> None:
    run_folder = folder / name
    if is_finished(run_folder):
        return
    if (run_folder / "recipe.json").exists():
        do("pretrain", "--resume", run_folder)
        return
    catalog = folder / "catalog.parquet"
    do("pretrain", recipe, "--run", run_folder, "--data.catalog", catalog, "--train.seed", seed, *flags)


def is_finished(run_folder: Path) -> bool:
    description = run_folder / "encoder" / "encoder.json"
    if not description.exists():
        return False
    made = json.loads(description.read_text())["provenance"]
    return bool(made["step"] == made["num_steps"])


def measure(folder: Path, encoder: Path, name: str, baseline: str) -> dict[str, float]:
    """Return recall@1 in percent by target."""
    catalog, table = folder / "catalog.parquet", folder / f"{name}.parquet"
    if not table.exists():
        do("extract", "--encoder", encoder, "--catalog", catalog, "--out", table, "--baseline", baseline)
    recalls = {}
    for target, column in TARGETS.items():
        out = folder / f"{name}.{target}.json"
        if not out.exists():
            do("evaluate", "retrieval", "--features", table, "--by", column, "--out", out)
        recalls[target] = 100 * json.loads(out.read_text())["levels"]["video"]["recall"]["1"]
    return recalls


def measure_degree(folder: Path, run_folder: Path) -> dict[str, float]:
    out = folder / f"{run_folder.name}.degree.json"
    if not out.exists():
        do("evaluate", "degree", "--run", run_folder, "--catalog", folder / "catalog.parquet", "--out", out)
    values = json.loads(out.read_text())
    return {"degree": 100 * values["accuracy"], "off by": values["mean_absolute_error"]}


def measure_seed(folder: Path, seed: int, variants: list[str]) -> dict[str, dict[str, float]]:
    prepare_seed(folder, seed)
    weights = ["--method.frame-weights", str(folder / "frames" / "encoder")]
    results = {}
    for title in variants:
        name = title.lower().replace(" + ", "_").replace(", ", "_").replace(" ", "_").replace("-", "")
        train(folder, name, "cacl.small", seed, [*weights, *VARIANTS[title]])
        encoder = folder / name / "encoder"
        for baseline, flag in BASELINES.items():
            results[baseline] = measure(folder, encoder, baseline.replace(" ", "_"), flag)
        results[title] = measure(folder, encoder, f"{name}_features", "none")
        if title != "V-MoCo":
            results[title] |= measure_degree(folder, folder / name)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("ablation"), help="folder for everything")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    options = parser.parse_args()
    by_seed = [measure_seed(options.out / f"seed{seed}", seed, options.variants) for seed in options.seeds]
    columns = ["motion", "scene", "degree", "off by"]
    rows = []
    for title in by_seed[0]:
        cells: list[object] = [title]
        for column in columns:
            values = [results[title][column] for results in by_seed if column in results.get(title, {})]
            each = " / ".join(f"{value:.1f}" for value in values)
            cells.append(f"{mean(values):.1f} ({each})" if values else "")
        rows.append(cells)
    print_table("\nRecall@1 and degree accuracy in percent: mean (per seed)", ["features", *columns], rows)


if __name__ == "__main__":
    main()
