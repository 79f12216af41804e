"""The whole way in a few minutes on two cores: videos, catalog, pre-training, features, retrieval, search.

Runs the commands that you would run and closes with one table: how often the nearest video shows the same
motion, and the same scene, by raw pixels, by the network with fresh weights, and by the trained network. No
label reaches the training. Flags that this script does not know go to `unreel pretrain`.
"""

import argparse
import json
import shlex
import shutil
import sys
import time
from pathlib import Path

from unreel.cli.main import run
from unreel.cli.terminal import format_duration, print_summary, print_table
from unreel.data.catalog import Catalog

FEATURES = {"raw pixels": ["--baseline", "pixels"], "untrained": ["--baseline", "untrained"], "trained": []}
TARGETS = {"motion": "label", "scene": "group"}


def main() -> None:
    options, training_flags = parse_options()
    out, catalog, encoder = options.out, options.out / "catalog.parquet", options.out / "run" / "encoder"
    if (out / "run" / "recipe.json").exists():
        shutil.rmtree(out / "run")
    times, rows = dict[str, float](), list[list[str]]()

    def do(*words: object) -> None:
        argv = [str(word) for word in words]
        print(f"\n$ unreel {shlex.join(argv)}", flush=True)
        started = time.perf_counter()
        if code := run(argv):
            sys.exit(code)
        times[argv[0]] = times.get(argv[0], 0.0) + time.perf_counter() - started

    do("sample-data", out / "samples", "--num-videos", options.videos, "--seed", options.seed)
    do("scan", out / "samples" / "videos.csv", "--out", catalog)
    settings = ["--data.catalog", catalog, "--train.seed", options.seed, *training_flags]
    do("pretrain", options.recipe, "--run", out / "run", *settings)
    for name, flags in FEATURES.items():
        table = out / f"{name.replace(' ', '_')}.parquet"
        do("extract", "--encoder", encoder, "--catalog", catalog, "--out", table, *flags)
        for target, column in TARGETS.items():
            result = table.with_suffix(f".{target}.json")
            do("evaluate", "retrieval", "--features", table, "--by", column, "--out", result)
        rows.append([name, *(read_percent(table, target, "recall") for target in TARGETS)])
    rows.append(["chance", *(read_percent(table, target, "chance") for target in TARGETS)])
    query = Catalog.load(catalog).select("test").video(0).path
    do("search", query, "--encoder", encoder, "--features", table, "--top-k", 5)

    print_table("\nNearest video right (recall@1, %)", ["features", *TARGETS], rows)
    print_summary(
        f"Done in {format_duration(sum(times.values()))}",
        {stage: format_duration(seconds) for stage, seconds in times.items()},
        next_steps=[
            'make demo DEMO_ARGS="--seed 1 --train.steps 2000"    # other videos, longer training',
            "docs/quickstart.md    # the same with your own videos",
        ],
    )


def read_percent(table: Path, target: str, kind: str) -> str:
    result = json.loads(table.with_suffix(f".{target}.json").read_text())
    return f"{100 * result['levels']['video'][kind]['1']:.1f}"


def parse_options() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="moco.small", help="see `unreel recipes`")
    parser.add_argument("--seed", type=int, default=0, help="of the videos and of the training")
    parser.add_argument("--videos", type=int, default=400, help="sample videos to make")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for everything")
    return parser.parse_known_args()


if __name__ == "__main__":
    main()
