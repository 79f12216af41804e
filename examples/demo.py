"""The whole way in minutes on two cores: videos, catalog, pre-training, features, retrieval, index, report.

Closes with one table: how often the nearest video shows the same motion, and the same scene, by raw pixels,
by fresh weights and by the trained network. Flags that this script does not know go to `unreel pretrain`.
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
NEXT_STEPS = [
    "make serve    # the search page, with these videos; docs/quickstart.md: with your own",
    'make demo DEMO_ARGS="--seed 1 --train.steps 2000"    # other videos, longer training',
]


def main() -> None:
    options, training_flags = parse_options()
    out, catalog, index = options.out, options.out / "catalog.parquet", options.out / "videos.index"
    index.unlink(missing_ok=True)
    if (out / "run" / "recipe.json").exists():
        shutil.rmtree(out / "run")
    encoder = ["--encoder", out / "run" / "encoder"]
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
    flags = ["--run", out / "run", "--data.catalog", catalog, "--train.seed", options.seed]
    do("pretrain", options.recipe, *flags, *training_flags)
    for name, flags in FEATURES.items():
        table = out / f"{name.replace(' ', '_')}.parquet"
        do("extract", "--catalog", catalog, *encoder, "--out", table, *flags)
        for target, column in TARGETS.items():
            result = table.with_suffix(f".{target}.json")
            do("evaluate", "retrieval", "--features", table, "--by", column, "--out", result)
        rows.append([name, *(read_percent(table, target, "recall") for target in TARGETS)])
    rows.append(["chance", *(read_percent(table, target, "chance") for target in TARGETS)])
    do("index", "--features", table, "--catalog", catalog, *encoder, "--out", index)
    do("search", Catalog.load(catalog).select("test").video(0).path, "--index", index, "--top-k", 5)
    do("report", out / "run", "--results", *sorted(out.glob("*.json")), "--out", out / "report.html")

    print_table("Nearest video right (recall@1, %)", ["features", *TARGETS], rows)
    stages = {stage: format_duration(seconds) for stage, seconds in times.items()}
    print_summary(f"Done in {format_duration(sum(times.values()))}", stages, next_steps=NEXT_STEPS)


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
