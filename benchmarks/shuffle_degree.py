"""Measure how many shuffles a second unreel draws and measures, against python-Levenshtein and RapidFuzz.

Task: permutations of 16 frames. First the edit distance to the true order alone, of the same permutations
for all. Then the paper's sampling: shuffle all frames until the degree is the one that was asked for, for the
degrees where that ends in useful time, against unreel's sampler for the same degree. Last, unreel's sampler
as training calls it, with its floor: what drawing and measuring as many candidates as the acceptance demands
costs in the largest blocks, where no call waits for Python.

All take turns in short rounds and the fastest round counts, in CPU time, on one core. In the paper's sampling
the peers' shuffles come from numpy in blocks and from one stream; unreel's depend on each clip's own stream.
Peers come with `pip install unreel[bench]`.

    OMP_NUM_THREADS=1 python benchmarks/shuffle_degree.py --quick
    OMP_NUM_THREADS=1 python benchmarks/shuffle_degree.py --write benchmarks/results/shuffle_degree.md
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import Levenshtein
import numpy as np
import rows
from machine import describe_machine
from rapidfuzz.distance import Levenshtein as RapidLevenshtein
from rapidfuzz.process import cdist

from unreel.augment.shuffle import ShuffleConfig, sample_shuffles, sample_shuffles_of_degree
from unreel.augment.shuffle_degree import measure_degrees, possible_degrees, shuffle_degree
from unreel.seeding import RowGenerator

NUM_FRAMES = 16
BATCHES = (64, 1024)
LARGE_BATCH = 4096
REJECTION_DEGREES = range(8, NUM_FRAMES + 1)
"""Where the paper's sampling ends in useful time."""
SHUFFLES_PER_CLIP = 1.3e12
"""How many shuffles the paper's sampling takes, on average over the 16 degrees, from exact counts."""
OURS = "unreel"
TRUE_ORDER = "".join(map(chr, range(NUM_FRAMES)))


def as_strings(orders: np.ndarray) -> list[str]:
    text = orders.astype(np.uint8).tobytes().decode("latin1")
    return [text[start : start + NUM_FRAMES] for start in range(0, len(text), NUM_FRAMES)]


def draw_plain(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.permuted(np.tile(np.arange(NUM_FRAMES), (count, 1)), axis=1)


def time_in_turns(tasks: dict[str, Callable[[], int]], rounds: int, round_sec: float) -> dict[str, float]:
    """Return items per CPU-second of each task's fastest round; a task returns how many items it did."""
    best = dict.fromkeys(tasks, 0.0)
    for _ in range(rounds):
        for name, task in tasks.items():
            items, start = 0, time.process_time()
            while (spent := time.process_time() - start) < round_sec:
                items += task()
            best[name] = max(best[name], items / spent)
    return best


def build_distance_tasks(batch: int) -> dict[str, Callable[[], int]]:
    """Return a task for each way to the same distances, after a check that they are the same."""
    orders = draw_plain(np.random.default_rng(0), batch)
    strings = as_strings(orders)

    def loop(texts: list[str]) -> list[int]:
        return [Levenshtein.distance(TRUE_ORDER, text) for text in texts]

    def block(texts: list[str]) -> list[int]:
        distances: list[int] = cdist([TRUE_ORDER], texts, scorer=RapidLevenshtein.distance)[0].tolist()
        return distances

    peers: dict[str, Callable[[], list[int]]] = {
        OURS: lambda: shuffle_degree(orders).tolist(),
        "unreel, rows known to be permutations": lambda: measure_degrees(orders).tolist(),
        "python-Levenshtein, strings ready": lambda: loop(strings),
        "python-Levenshtein, from the array": lambda: loop(as_strings(orders)),
        "RapidFuzz cdist, strings ready": lambda: block(strings),
        "RapidFuzz cdist, from the array": lambda: block(as_strings(orders)),
    }
    answers = {name: peer() for name, peer in peers.items()}
    assert all(answer == answers[OURS] for answer in answers.values()), "the distances differ"
    return {name: lambda peer=peer: len(peer()) for name, peer in peers.items()}  # type: ignore[misc]


def note_row(what: str, package: str, rates: tuple[float, float], task: Callable[[], int]) -> None:
    """Hand over our rate and a peer's; ``task`` is what ours does, for a profile."""
    ours, theirs = rates
    bound = rows.profile_calls(task) if ours < theirs else ""
    rows.note(
        rows.Row(what, "per CPU-second", ours, peer=rows.name_package(package), theirs=theirs, bound=bound)
    )


def report_distances(rounds: int, round_sec: float) -> str:
    batches = (*BATCHES, LARGE_BATCH)
    rates = {batch: time_in_turns(build_distance_tasks(batch), rounds, round_sec) for batch in batches}
    lines = [
        "| million distances a CPU-second (the first row is faster by) | "
        + " | ".join(f"{batch} rows" for batch in batches)
        + " |",
        "|---|" + "---:|" * len(batches),
    ]
    for name, package in (
        ("python-Levenshtein, from the array", "Levenshtein"),
        ("RapidFuzz cdist, from the array", "rapidfuzz"),
    ):
        pair = rates[1024][OURS], rates[1024][name]
        note_row("edit distances, 1024 rows", package, pair, build_distance_tasks(1024)[OURS])
    for name in rates[BATCHES[0]]:
        cells = [f"{rates[b][name] / 1e6:.2f} ({rates[b][OURS] / rates[b][name]:.2f})" for b in batches]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(["## The distance alone", "", *lines])


def reject_one_by_one(degree: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Shuffle all frames until the degree is met, each candidate measured by python-Levenshtein."""
    while True:
        orders = draw_plain(rng, 1024)
        for row, text in enumerate(as_strings(orders)):
            if Levenshtein.distance(TRUE_ORDER, text) == degree:
                yield orders[row]


def reject_in_blocks(degree: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Shuffle all frames until the degree is met, a block of candidates measured by RapidFuzz at once."""
    while True:
        orders = draw_plain(rng, 1024)
        found = cdist([TRUE_ORDER], as_strings(orders), scorer=RapidLevenshtein.distance)[0]
        yield from orders[found == degree]


def build_sampling_tasks(degree: int) -> dict[str, Callable[[], int]]:
    """All tasks draw shuffles of one degree; whoever rejects hands over eight at a time."""

    def take(source: Iterator[np.ndarray]) -> Callable[[], int]:
        return lambda: len([next(source) for _ in range(8)])

    def draw(batch: int) -> Callable[[], int]:
        degrees, number = np.full(batch, degree), iter(range(10**9))
        return lambda: len(
            sample_shuffles_of_degree(
                NUM_FRAMES, degrees, RowGenerator(np.arange(batch) + next(number) * batch)
            )
        )

    rejecting = {
        "the paper's way, python-Levenshtein": take(reject_one_by_one(degree, np.random.default_rng(1))),
        "the paper's way, RapidFuzz": take(reject_in_blocks(degree, np.random.default_rng(1))),
    }
    return rejecting | {f"unreel, {batch} rows": draw(batch) for batch in BATCHES}


def report_rejection(rounds: int, round_sec: float) -> str:
    header, lines = "", []
    for degree in REJECTION_DEGREES:
        tasks = build_sampling_tasks(degree)
        rates = time_in_turns(tasks, rounds, round_sec)
        header = (
            "| degree | "
            + " | ".join(rates)
            + " | unreel, 64 rows, is faster than python-Levenshtein by | than RapidFuzz by |"
        )
        peers, ours = list(rates.values())[:2], rates[f"{OURS}, {BATCHES[0]} rows"]
        for package, rate in zip(("Levenshtein", "rapidfuzz"), peers, strict=True):
            task = tasks[f"{OURS}, {BATCHES[0]} rows"]
            note_row(f"shuffles of degree {degree}, {BATCHES[0]} rows", package, (ours, rate), task)
        cells = [f"{rate:,.0f}" for rate in rates.values()] + [f"{ours / peer:.2f}" for peer in peers]
        lines.append(f"| {degree} | " + " | ".join(cells) + " |")
    lines = [header, "|" + "---:|" * (header.count("|") - 1), *lines]
    return "\n".join(["## Shuffles of one degree a CPU-second", "", *lines])


def count_candidates_per_shuffle() -> float:
    """Return how many permutations of d random positions it takes for one of degree d, over all degrees."""
    rng, number = np.random.default_rng(2), 100_000
    needed = []
    for degree in possible_degrees(NUM_FRAMES):
        orders = np.tile(np.arange(NUM_FRAMES), (number, 1))
        # Any d positions: which they are matters, their names as frames do not, so sort a random choice.
        places = np.sort(draw_plain(rng, number)[:, :degree], axis=1)
        np.put_along_axis(orders, places, rng.permuted(places, axis=1), axis=1)
        needed.append(number / (measure_degrees(orders) == degree).sum())
    return float(np.mean(needed))


def report_training(rounds: int, round_sec: float) -> str:
    def draw(batch: int, config: ShuffleConfig) -> Callable[[], int]:
        number = iter(range(10**9))
        return lambda: len(
            sample_shuffles(
                NUM_FRAMES, RowGenerator(np.arange(batch) + next(number) * batch), config
            ).degree_B
        )

    configs = {
        "uniform_exact": ShuffleConfig(),
        "uniform_exact, 10 steps": ShuffleConfig(metropolis_steps=10),
        "official": ShuffleConfig(preset="official"),
        "plain": ShuffleConfig(preset="plain"),
    }
    tasks = {f"{name}|{batch}": draw(batch, config) for name, config in configs.items() for batch in BATCHES}
    floor_name = "one candidate"
    tasks[floor_name] = draw(LARGE_BATCH, configs["plain"])
    rates = time_in_turns(tasks, rounds, round_sec)
    needed = count_candidates_per_shuffle()
    floor = rates[floor_name] / needed
    for batch in BATCHES:
        rows.note(
            rows.Row(
                f"shuffles in training, all degrees, {batch} rows",
                "per CPU-second",
                rates[f"uniform_exact|{batch}"],
                floor=f"drawing and measuring {needed:.2f} candidates each in the largest blocks",
                floor_rate=floor,
                bound=rows.profile_calls(tasks[f"uniform_exact|{batch}"]),
            )
        )
    lines = ["| preset | " + " | ".join(f"{batch} rows" for batch in BATCHES) + " |", "|---|---:|---:|"]
    lines += [
        f"| {name} | " + " | ".join(f"{rates[f'{name}|{batch}']:,.0f}" for batch in BATCHES) + " |"
        for name in configs
    ]
    shares = [f"{rates[f'uniform_exact|{batch}'] / floor:.0%} with {batch} rows" for batch in BATCHES]
    return "\n".join(
        [
            "## Shuffles a CPU-second in training, all degrees as likely",
            "",
            *lines,
            "",
            f"Floor: {needed:.2f} candidates per shuffle on average, each drawn and measured at "
            f"{rates[floor_name]:,.0f} a second: {floor:,.0f} shuffles a second. uniform_exact reaches "
            f"{' and '.join(shares)}.",
            "",
            f"The paper's way takes {SHUFFLES_PER_CLIP:.1e} shuffles per clip on average over the degrees: "
            f"{SHUFFLES_PER_CLIP / rates[floor_name] / 86_400:.0f} days for one clip at that rate.",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: some ten seconds")
    parser.add_argument("--write", type=Path, help="also write the report to this Markdown file")
    rows.add_option(parser)
    arguments = parser.parse_args()
    rounds, round_sec = (2, 0.1) if arguments.quick else (5, 0.3)
    title = "# Shuffles and their degree\n\n" + "\n\n".join(
        " ".join(part.split()) for part in (__doc__ or "").split("\n\n")[1:3]
    )
    parts = [report(rounds, round_sec) for report in (report_distances, report_rejection, report_training)]
    report = "\n\n".join([title, describe_machine("numpy", "Levenshtein", "rapidfuzz"), *parts])
    print(report)
    if arguments.write:
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        arguments.write.write_text(report + "\n", encoding="utf-8")
    rows.save(arguments.rows_to)


if __name__ == "__main__":
    main()
