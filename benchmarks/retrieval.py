"""Measure the retrieval evaluation against a plain argsort with numpy.

Task: recall@1, 5, 10, 20 and 50 of queries against a gallery by cosine similarity, videos of random vectors
with 512 numbers around the centres of 100 classes, one vector each. The plain way normalises, computes all
similarities, sorts every row as a whole and looks the classes up; both must find the same recall. Floor: the
similarities alone, at the rate of a large matrix product. One thread works and its own seconds count; the
ways take turns and the fastest round counts.

    OMP_NUM_THREADS=1 python benchmarks/retrieval.py --quick
    OMP_NUM_THREADS=1 python benchmarks/retrieval.py --write benchmarks/results/retrieval.md
"""

import argparse
import time
from pathlib import Path

import numpy as np
import rows
import torch
from machine import describe_machine
from numpy.typing import NDArray
from scvrl_step_runs import measure_rate

from unreel.evaluate.retrieval import DEFAULT_KS, evaluate_retrieval
from unreel.features.table import FeatureTable
from unreel.features.table_info import FeatureInfo

# Q queries, G gallery, D features

DIMENSION, NUM_CLASSES = 512, 100


def draw_table(num_queries: int, num_gallery: int) -> FeatureTable:
    rng = np.random.default_rng(0)
    number = num_queries + num_gallery
    class_N = rng.integers(0, NUM_CLASSES, number)
    centers = rng.standard_normal((NUM_CLASSES, DIMENSION), dtype=np.float32)
    vectors = rng.standard_normal((number, DIMENSION), dtype=np.float32) + 0.1 * centers[class_N]
    names = [f"{row:08}" for row in range(number)]
    return FeatureTable.from_columns(
        FeatureInfo("0" * 16, dimension=DIMENSION),
        vectors,
        video_id=names,
        path=names,
        label=[f"class {each}" for each in class_N],
        split=["test"] * num_queries + ["train"] * num_gallery,
        group=[""] * number,
        clip_index=np.zeros(number, np.int32),
        frame_index=np.zeros(number, np.int64),
        start_sec=np.zeros(number),
        end_sec=np.ones(number),
    )


def evaluate_ours(table: FeatureTable) -> list[float]:
    result = evaluate_retrieval(table, levels=["video"])
    return [result.levels["video"].recall[k] for k in DEFAULT_KS]


def evaluate_plainly(table: FeatureTable) -> list[float]:
    """Sort the whole gallery for every query."""
    is_query = table.column("split") == "test"
    label_N = table.column("label").astype(str)
    vectors = table.vectors / np.linalg.norm(table.vectors, axis=1, keepdims=True)
    scores_QG = vectors[is_query] @ vectors[~is_query].T
    order_QG: NDArray[np.int64] = np.argsort(-scores_QG, axis=1)
    is_right = label_N[~is_query][order_QG[:, : max(DEFAULT_KS)]] == label_N[is_query][:, None]
    return [float(is_right[:, :k].any(axis=1).mean()) for k in DEFAULT_KS]


WAYS = {"unreel": evaluate_ours, "numpy, argsort": evaluate_plainly}


def measure(table: FeatureTable, rounds: int) -> dict[str, float]:
    """Return the CPU seconds of each way's fastest round, after a check that both find the same."""
    found = {name: way(table) for name, way in WAYS.items()}
    ours, plain = found.values()
    assert np.allclose(ours, plain, atol=2e-3), found  # ties and rounding may differ
    best = dict.fromkeys(WAYS, float("inf"))
    for _ in range(rounds):
        for name, way in WAYS.items():
            started = time.process_time()
            way(table)
            best[name] = min(best[name], time.process_time() - started)
    return best


def report(num_queries: int, num_gallery: int, rounds: int) -> str:
    table = draw_table(num_queries, num_gallery)
    best = measure(table, rounds)
    rate = measure_rate(torch.device("cpu"), torch.float32)
    floor_sec = 2.0 * num_queries * num_gallery * DIMENSION / rate
    ours_sec, plain_sec = best.values()
    largest = rows.profile_calls(lambda: evaluate_ours(table))
    rows.note(
        rows.Row(
            f"retrieval evaluation, {num_queries:,} queries in {num_gallery:,}",
            "queries per CPU-second",
            num_queries / ours_sec,
            peer=f"{rows.name_package('numpy')}, argsort",
            theirs=num_queries / plain_sec,
            floor="the similarities at the matrix rate",
            floor_rate=num_queries / floor_sec,
            bound=largest,
        )
    )
    lines = ["| way | CPU seconds | queries per CPU-second | times the floor |", "|---|---:|---:|---:|"]
    lines += [
        f"| {name} | {seconds:.2f} | {num_queries / seconds:,.0f} | {seconds / floor_sec:.1f} |"
        for name, seconds in best.items()
    ]
    sizes = f"{num_queries:,} queries, a gallery of {num_gallery:,}. Floor: {floor_sec:.2f} s."
    return "\n".join([sizes, "", *lines, "", f"What takes unreel's time: {largest}."])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one round: some seconds")
    parser.add_argument("--write", type=Path, help="also write the report to this Markdown file")
    rows.add_option(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table = report(3783, 9537, 1 if arguments.quick else 4)  # as many as UCF-101 has, split 1
    title = "# The retrieval evaluation\n\n" + " ".join((__doc__ or "").split("\n\n")[1].split())
    text = "\n\n".join([title, describe_machine("numpy", "torch"), table])
    print(text)
    if arguments.write:
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        arguments.write.write_text(text + "\n", encoding="utf-8")
    rows.save(arguments.rows_to)


if __name__ == "__main__":
    main()
