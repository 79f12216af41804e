"""Run many trainings and their measurements, several at a time; what is finished is not done again.

Every run has a folder; a training that was interrupted goes on, and a result that lies there is read.
"""

import argparse
import json
import multiprocessing
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import IO, Any

import torch

from unreel.cli.main import run
from unreel.cli.terminal import print_table


@dataclass(frozen=True)
class Features:
    """Features to be measured.

    Attributes:
        title: row of the table.
        encoder: folder of an encoder.
        baseline: "none" for the encoder itself, else what `unreel extract --baseline` knows.
        clips_per_video: vectors that a video's is the mean of.
    """

    title: str
    encoder: Path
    baseline: str = "none"
    clips_per_video: int = 30

    @property
    def name(self) -> str:
        """The title as the name of a folder."""
        return self.title.lower().replace("+", "and").replace(",", "").replace(" ", "_").replace("-", "")


def call(folder: Path, *words: object) -> None:
    """Run `unreel`; what it prints goes to a log in the folder.

    Raises:
        RuntimeError: it failed; the message has the end of what it printed.
    """
    line = f"unreel {shlex.join(map(str, words))}"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile() as output:
        with _into(output):
            code = run([str(word) for word in words])
        output.seek(0)
        text = output.read().decode(errors="replace")
    with (folder / "log.txt").open("a") as log:
        log.write(f"$ {line}\n{text}\n")
    print(f"{folder.name}: {line}", flush=True)
    if code:
        raise RuntimeError(f"{line} failed with {code}:\n{text[-2000:]}")


@contextmanager
def _into(output: IO[bytes]) -> Iterator[None]:
    """Send what is printed to a file, by whatever layer it is printed."""
    sys.stdout.flush()
    kept = [os.dup(number) for number in (1, 2)]
    try:
        for number in (1, 2):
            os.dup2(output.fileno(), number)
        yield
    finally:
        sys.stdout.flush()
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)


def make_samples(folder: Path, seed: int) -> Path:
    """Make the sample videos of a seed and return their catalog."""
    catalog = folder / "catalog.parquet"
    if not catalog.exists():
        call(folder, "sample-data", folder / "samples", "--seed", seed)
        call(folder, "scan", folder / "samples" / "videos.csv", "--out", catalog)
    return catalog


def train(run: Path, recipe: str, catalog: Path, seed: int, flags: Sequence[object]) -> Path:
    """Train, or go on with it, and return the folder of the encoder."""
    if not is_finished(run):
        if (run / "recipe.json").exists():
            call(run.parent, "pretrain", "--resume", run)
        else:
            words = ("--run", run, "--data.catalog", catalog, "--train.seed", seed)
            call(run.parent, "pretrain", recipe, *words, *flags)
    return run / "encoder"


def is_finished(run: Path) -> bool:
    """Tell whether a run has come to its last step."""
    description = run / "encoder" / "encoder.json"
    if not description.exists():
        return False
    made = json.loads(description.read_text())["provenance"]
    return bool(made["step"] == made["num_steps"])


def measure(folder: Path, features: Features, catalog: Path, targets: dict[str, str]) -> dict[str, float]:
    """Extract features and return recall@1 and the accuracy of a linear SVM in percent, by target.

    Args:
        folder: where tables and results lie.
        features: what is measured.
        catalog: of the videos.
        targets: column of the catalog by the word that the results are called after.
    """
    table = folder / f"{features.name}.parquet"
    if not table.exists():
        words = ("--encoder", features.encoder, "--catalog", catalog, "--out", table)
        options = ("--baseline", features.baseline, "--clips-per-video", features.clips_per_video)
        call(folder, "extract", *words, *options)
    results = {}
    for target, column in targets.items():
        recall = _evaluate(folder, table, "retrieval", column)
        results[f"{target} R@1"] = 100 * recall["levels"]["video"]["recall"]["1"]
        results[f"{target} SVM"] = 100 * _evaluate(folder, table, "svm", column)["levels"]["video"]["top1"]
    return results


def measure_shuffled(folder: Path, features: Features, catalog: Path) -> dict[str, float]:
    """Return recall@1 and the accuracy of a linear SVM in percent, and what of both shuffling takes away.

    Also how far a clip is from itself shuffled, in percent of its distance to clips of other videos.
    """
    out = folder / f"{features.name}.shuffled.json"
    if not out.exists():
        words = ("--encoder", features.encoder, "--catalog", catalog, "--out", out)
        options = ("--baseline", features.baseline, "--clips-per-video", features.clips_per_video)
        call(folder, "evaluate", "shuffle-sensitivity", *words, *options)
    values = json.loads(out.read_text())
    results = {}
    for word, name in (("R@1", "retrieval"), ("SVM", "svm")):
        results[word] = 100 * values[name]["normal"]
        results[f"{word} lost"] = 100 * (values[name]["normal"] - mean(values[name]["shuffled"]))
    return results | {"shuffles apart": 100 * (values["relative_distance"] or 0.0)}


def _evaluate(folder: Path, table: Path, protocol: str, column: str) -> Any:  # noqa: ANN401 (JSON)
    out = folder / f"{table.stem}.{protocol}.{column}.json"
    if not out.exists():
        call(folder, "evaluate", protocol, "--features", table, "--by", column, "--out", out)
    return json.loads(out.read_text())


def add_options(parser: argparse.ArgumentParser, *, out: str) -> None:
    """Add what all comparisons can be told."""
    parser.add_argument("--out", type=Path, default=Path(out), help="folder for everything")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--at-once", type=int, default=1, help="trainings that run side by side")
    parser.add_argument("--stop-after-sec", type=float, default=0.0, help="show what is there by then")
    parser.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="further ones for pretrain")


def read_options(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line; the time limit becomes the moment ``stop_at``."""
    options = parser.parse_args()
    limit = options.stop_after_sec or float("inf")
    options.stop_at = time.monotonic() + limit
    return options


def run_all(
    job: Callable[..., Any], calls: Sequence[tuple[Any, ...]], options: argparse.Namespace
) -> list[Any]:
    """Call a function with each tuple of arguments, some at a time in processes of their own.

    Returns:
        What the calls return, in order; ``{}`` for a call that was not done in time. A failure ends all.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(options.at_once, mp_context=context, initializer=_take_one_core)
    pending = [pool.submit(job, *arguments) for arguments in calls]
    left = max(0.0, options.stop_at - time.monotonic())
    done, late = wait(pending, None if left == float("inf") else left, FIRST_EXCEPTION)
    workers = list(pool._processes.values())
    pool.shutdown(wait=False, cancel_futures=True)
    if late:
        for worker in workers:
            worker.kill()
    return [each.result() if each in done else {} for each in pending]


def _take_one_core() -> None:
    torch.set_num_threads(1)


def print_results(title: str, names: Sequence[str], found: Sequence[dict[str, float]]) -> None:
    """Print mean, standard deviation and each seed: a row per name, a column per measure, all in percent.

    Args:
        title: of the table.
        names: the row that each result belongs to.
        found: results; empty ones are not counted.
    """
    results: dict[str, list[dict[str, float]]] = {}
    for name, values in zip(names, found, strict=True):
        results.setdefault(name, []).append(values)
    columns = list(dict.fromkeys(column for values in found for column in values))
    rows = []
    for name, by_seed in results.items():
        cells: list[object] = [name]
        for column in columns:
            values = [values[column] for values in by_seed if column in values]
            spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
            each = " / ".join(f"{value:.1f}" for value in values)
            cells.append(f"{mean(values):.1f}{spread} ({each})" if values else "")
        rows.append(cells)
    print_table(f"\n{title}: percent, mean ± deviation over seeds (each)", ["features", *columns], rows)
    print("\n| features | " + " | ".join(columns) + " |")
    print("|---|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
