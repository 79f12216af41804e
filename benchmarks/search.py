"""Measure search among a million vectors: time, memory and recall, beside faiss and usearch.

Vectors have 512 numbers and length 1. Random ones point anywhere: no index can tell where near ones lie, the
hardest case there is. Clustered ones lie around a center for every hundred of them, with noise of half its
size. Queries are vectors of the set that are not to find themselves; single queries are asked one after the
other, a batch is a hundred. All use the same number of threads, and engines take turns, so that a busy
machine hurts all alike; CPU time is that of all threads, and what to compare there. faiss is measured as it
comes, and with its matrix product for batches switched on (distance_compute_blas_threshold 20). Resident
memory is that of a process of its own after some queries: what it holds itself, and after the plus the pages
of files that it has read and that the system may take back. HNSW takes long to build, so it gets a part of
the vectors.

    python benchmarks/search.py --quick
    taskset -c 0 python benchmarks/search.py --write benchmarks/results/search.md
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import rows
import torch
from machine import describe_machine
from numpy.typing import NDArray

from unreel.machine import count_cores
from unreel.search.approximate import ApproximateEngine
from unreel.search.codes import Codes
from unreel.search.engine import ExactEngine
from unreel.search.index_info import IndexInfo
from unreel.search.index_rows import NewVideo
from unreel.search.index_store import IndexStore
from unreel.search.tuned_index import TunedIndex
from unreel.search.tuning import choose_search
from unreel.search.tuning_queries import bound_recall, draw_questions, measure_recall
from unreel.search.vector_cache import CacheStamp, VectorCache

DIMENSION = 512
TOP_K = 10
BATCH = 100
KINDS = ("clustered", "random")
OURS, OURS_FAST, FAISS, FAISS_BLAS, USEARCH = (
    "unreel, exact",
    "unreel, tuned",
    "faiss IndexFlatIP",
    "faiss IndexFlatIP, product",
    "usearch, exact",
)
Search = Callable[[NDArray[np.float32]], Any]


@dataclass
class Times:
    """Milliseconds of every single query and of every batch, by the clock and of the processor."""

    single: list[float] = field(default_factory=list)
    batch: list[float] = field(default_factory=list)
    single_cpu: list[float] = field(default_factory=list)
    batch_cpu: list[float] = field(default_factory=list)


def draw_vectors(num_rows: int, kind: str) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((num_rows, DIMENSION), dtype=np.float32)
    if kind == "clustered":
        centers = rng.standard_normal((max(1, num_rows // 100), DIMENSION), dtype=np.float32)
        for start in range(0, num_rows, 50_000):
            block = vectors[start : start + 50_000]
            block *= 0.5
            block += centers[rng.integers(0, len(centers), len(block))]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def write_cache(path: Path, vectors: NDArray[np.float32]) -> VectorCache:
    """Write vectors as the cache of an index lays them out: a header, keys, scales and vectors."""
    with path.open("wb") as file:
        file.write(bytes(4096))
        file.write(np.arange(1, len(vectors) + 1, dtype="<i8").tobytes())
        file.write(np.ones(len(vectors), dtype="<f4").tobytes())
        vectors.tofile(file)
    return open_cache(path)


def open_cache(path: Path) -> VectorCache:
    num_rows = (path.stat().st_size - 4096) // (12 + 4 * DIMENSION)
    stamp = CacheStamp("benchmark", 0, "", num_rows, 0, num_rows, DIMENSION)
    return VectorCache(stamp, np.memmap(path, mode="r"), path)


def build_search(name: str, cache: VectorCache, folder: Path) -> Search:
    """Return what answers a matrix of queries by one of the engines."""
    if name == OURS:
        engine: Any = ExactEngine(cache.keys, cache.vectors, cache.scales)
        return lambda queries: engine.search(queries, TOP_K)
    if name == OURS_FAST:
        tuned = TunedIndex(**json.loads((folder / "tuned.json").read_text()))
        with (folder / "codes").open("rb") as file:
            codes = Codes.read(file, cache.keys, DIMENSION)
        assert codes is not None
        engine = ApproximateEngine(codes, cache, tuned.effort)
        return lambda queries: engine.search(queries, TOP_K)
    if name == USEARCH:
        from usearch.index import search

        # The lowest-level way in; it wants memory that may be written to, and reads it only.
        vectors = np.array(cache.vectors)
        return lambda queries: search(vectors, queries, TOP_K, exact=True, threads=count_cores())
    index = faiss.IndexFlatIP(DIMENSION)
    index.add(cache.vectors)

    def search_flat(queries: NDArray[np.float32]) -> Any:  # noqa: ANN401
        faiss.omp_set_num_threads(count_cores())
        faiss.cvar.distance_compute_blas_threshold = 20 if name == FAISS_BLAS else 128_000
        return index.search(queries, TOP_K)

    return search_flat


def measure_in_turns(
    searches: dict[str, Search], queries: NDArray[np.float32], num_single: int, num_batches: int
) -> dict[str, Times]:
    times = {name: Times() for name in searches}
    for number in range(num_single + num_batches):
        is_single = number < num_single
        asked = queries[number : number + 1] if is_single else queries[-BATCH:]
        for name, search in searches.items():
            if is_single and name == FAISS_BLAS:
                continue
            cpu, started = time.process_time(), time.perf_counter()
            search(asked)
            wall_ms, cpu_ms = 1000 * (time.perf_counter() - started), 1000 * (time.process_time() - cpu)
            own = times[name]
            (own.single if is_single else own.batch).append(wall_ms)
            (own.single_cpu if is_single else own.batch_cpu).append(cpu_ms)
    return times


def measure_memory(name: str, path: Path, folder: Path) -> str:
    """Return what a process of its own holds of memory after ten queries, in megabytes."""
    command = [sys.executable, __file__, "--child", name, "--folder", str(folder), "--vectors", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return result.stdout.strip().splitlines()[-1]


def report_own_memory(name: str, path: Path, folder: Path) -> None:
    def read_status() -> dict[str, int]:
        lines = Path("/proc/self/status").read_text().splitlines()
        return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith("Rss")}

    before = read_status()
    cache = open_cache(path)
    search = build_search(name, cache, folder)
    for row in range(10):
        search(np.array(cache.vectors[row : row + 1]))
    after = read_status()
    grown = [(after[key] - before[key]) / 1024 for key in ("RssAnon", "RssFile")]
    print(f"{grown[0]:.0f} + {grown[1]:.0f}")


def measure_bandwidth(vectors: NDArray[np.float32]) -> float:
    """Return the gigabytes a second at which all vectors are read once, the best of several."""
    numbers = torch.from_numpy(vectors)
    best = 0.0
    for _ in range(5):
        started = time.perf_counter()
        numbers.sum()
        best = max(best, vectors.nbytes / (time.perf_counter() - started) / 1e9)
    return best


def measure_read_ms(vectors: NDArray[np.float32]) -> float:
    """Return the milliseconds of the processor that reading all vectors once takes, the best of several."""
    numbers, best = torch.from_numpy(vectors), float("inf")
    for _ in range(5):
        started = time.process_time()
        numbers.sum()
        best = min(best, 1000 * (time.process_time() - started))
    return best


def format_row(name: str, times: Times, recall: str, memory: str, extra: str) -> str:
    columns = [
        (times.single_cpu, 50),
        (times.single, 50),
        (times.single, 95),
        (times.batch_cpu, 50),
        (times.batch, 50),
    ]
    cells = [f"{np.percentile(values, percent):.3g}" if values else "" for values, percent in columns]
    return f"| {name} | {' | '.join(cells)} | {recall} | {memory} | {extra} |"


def measure_hnsw(cache: VectorCache, num_rows: int) -> str:
    """Build HNSW of usearch over some of the vectors; return what it took."""
    from usearch.index import Index

    part = np.array(cache.vectors[:num_rows])
    index = Index(ndim=DIMENSION, metric="cos", dtype="f16")
    started = time.perf_counter()
    index.add(np.arange(num_rows), part, threads=count_cores())
    build_sec = time.perf_counter() - started
    truth = ExactEngine(cache.keys[:num_rows], part, cache.scales[:num_rows]).search(part[:200], TOP_K)[1] - 1
    times, found = [], []
    for row in range(200):
        started = time.perf_counter()
        matches = index.search(part[row], TOP_K)
        times.append(1000 * (time.perf_counter() - started))
        found.append(len(set(matches.keys.tolist()) & set(truth[row].tolist())) / TOP_K)
    return (
        f"usearch HNSW (f16, its defaults) over {num_rows:,} of these vectors: built in {build_sec:.0f} s, "
        f"{np.median(times):.2f} ms per query, index_recall_at_10 {np.mean(found):.3f} (queries find "
        "themselves)."
    )


def report_kind(folder: Path, kind: str, num_rows: int, *, quick: bool) -> str:
    """Measure all engines on one kind of vectors; return its part of the report."""
    vectors = draw_vectors(num_rows, kind)
    path = folder / "vectors"
    cache = write_cache(path, vectors)
    bandwidth, read_ms = measure_bandwidth(vectors), measure_read_ms(vectors)
    del vectors
    wanted = TunedIndex(num_rows=num_rows, top_k=TOP_K, target_recall=0.95)
    started = time.perf_counter()
    tuned, codes = choose_search(cache, wanted, num_queries=200)
    tuning_sec = time.perf_counter() - started
    names = [OURS, FAISS, FAISS_BLAS, USEARCH]
    if codes is not None:
        (folder / "tuned.json").write_text(json.dumps(asdict(tuned)))
        with (folder / "codes").open("wb") as file:
            codes.write(file)
        names.insert(1, OURS_FAST)
    exact = ExactEngine(cache.keys, cache.vectors, cache.scales)
    questions = draw_questions(cache, exact, TOP_K, 300, seed=1)
    searches = {name: build_search(name, cache, folder) for name in names}
    times = measure_in_turns(searches, questions.vectors_QD, 30, 3 if quick else 2)
    del searches
    recalls = dict.fromkeys(names, "1")
    if codes is not None:
        recall = measure_recall(ApproximateEngine(codes, cache, tuned.effort), questions)
        low, high = bound_recall(recall, len(questions.keys_Q))
        recalls[OURS_FAST] = f"{recall:.3f} ({low:.3f} to {high:.3f})"
    ours, theirs, product = (times[name] for name in (OURS, FAISS, FAISS_BLAS))
    num_mb = cache.vectors.nbytes / 1e6
    bound = rows.profile_calls(lambda: exact.search(questions.vectors_QD[-BATCH:], TOP_K))
    recall_text = recalls.get(OURS_FAST, "")
    note_rows(f"{num_rows:,} {kind} vectors", times, read_ms, recall_text, bound)
    lines = [
        f"## {num_rows:,} {kind} vectors",
        "",
        "| engine | one query: CPU ms | p50, ms | p95, ms | batch of 100: CPU ms | p50, ms "
        "| index_recall_at_10 | resident MB | size MB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(
            format_row(
                name,
                times[name],
                recalls[name],
                "" if name == FAISS_BLAS else measure_memory(name, path, folder),
                f"{num_mb:.0f}" + (f" + {tuned.num_bytes / 1e6:.0f}" if name == OURS_FAST else ""),
            )
            for name in names
        ),
        "",
        f"Tuning chose {tuned.kind}"
        + (f" ({tuned.num_probes} of {tuned.num_lists} lists)" if tuned.num_lists else "")
        + f", {tuned.num_candidates} candidates compared exactly, in {tuning_sec:.0f} s, "
        f"{tuned.build_sec:.0f} s of them for the codes that were chosen; index_recall_at_10 on queries that "
        f"had no part in it: {tuned.index_recall_at_k:.3f} ({tuned.recall_low:.3f} to "
        f"{tuned.recall_high:.3f}, {tuned.num_queries} queries).",
        "",
        f"Exact search against faiss IndexFlatIP, median CPU time of faiss over ours: one query "
        f"{np.median(theirs.single_cpu) / np.median(ours.single_cpu):.2f}, batch "
        f"{np.median(theirs.batch_cpu) / np.median(ours.batch_cpu):.2f} as faiss comes, "
        f"{np.median(product.batch_cpu) / np.median(ours.batch_cpu):.2f} with its matrix product. By "
        f"the clock: {np.median(theirs.single) / np.median(ours.single):.2f}, "
        f"{np.median(theirs.batch) / np.median(ours.batch):.2f}, "
        f"{np.median(product.batch) / np.median(ours.batch):.2f}. One query reads {num_mb:.0f} MB; the "
        f"best of five readings of all of it took {num_mb / bandwidth:.0f} ms ({bandwidth:.1f} GB/s), our "
        f"fastest query {min(ours.single):.0f} ms, that of faiss {min(theirs.single):.0f} ms.",
        "",
        measure_hnsw(cache, min(num_rows, 5_000 if quick else 20_000)),
    ]
    return "\n".join(lines)


def note_rows(what: str, times: dict[str, Times], read_ms: float, recall: str, bound: str) -> None:
    """Hand over median CPU times: exact search against the peers, tuned search against exact search."""
    packages = {FAISS: "faiss-cpu", FAISS_BLAS: "faiss-cpu", USEARCH: "usearch"}
    pairs = [(OURS, name) for name in packages if name in times]
    for name, other in [*pairs, *([(OURS_FAST, OURS)] if OURS_FAST in times else [])]:
        title = "exact search" if name == OURS else f"tuned search, recall {recall}"
        peer = f"{other} ({rows.name_package(packages[other])})" if other in packages else other
        for kind in ("single_cpu", "batch_cpu"):
            own_ms, their_ms = (getattr(times[each], kind) for each in (name, other))
            if not own_ms or not their_ms:
                continue
            is_read_once = name == OURS and kind == "single_cpu"
            queries = 1000.0 if kind == "single_cpu" else 1000.0 * BATCH
            rows.note(
                rows.Row(
                    f"{title}, {'one query' if kind == 'single_cpu' else 'a batch of 100'}, {what}",
                    "queries per CPU-second",
                    queries / float(np.median(own_ms)),
                    peer=peer,
                    theirs=queries / float(np.median(their_ms)),
                    floor="reading all vectors" if is_read_once else "",
                    floor_rate=queries / read_ms if is_read_once else float("nan"),
                    bound=bound if name == OURS else "",
                )
            )


def report_index(folder: Path, num_rows: int) -> str:
    """Put vectors into an index; return what that took."""
    vectors = draw_vectors(num_rows, "random")
    store = IndexStore.create(folder / "videos.index", IndexInfo("0" * 16, dimension=DIMENSION))
    zero, first = np.zeros(1), np.zeros(1, dtype=np.int64)
    started = time.perf_counter()
    for start in range(0, num_rows, 1000):
        rows = range(start, min(start + 1000, num_rows))
        videos = [(f"{row:08}", vectors[row : row + 1]) for row in rows]
        store.add(
            [
                NewVideo(name, name, 1.0, "", "", "", None, None, first, first, zero, zero + 1, matrix)
                for name, matrix in videos
            ]
        )
    index_sec = time.perf_counter() - started
    started = time.perf_counter()
    with store.read() as reader:
        cache = VectorCache.build(store, "video", reader)
    cache_sec = time.perf_counter() - started
    assert cache.path is not None
    index_mb, cache_mb = store.path.stat().st_size / 1e6, cache.path.stat().st_size / 1e6
    return (
        f"## The index itself\n\n{num_rows:,} videos of one vector each, 1,000 per step: put into SQLite in "
        f"{index_sec:.0f} s ({num_rows / index_sec:.0f} videos a second), {index_mb:.0f} MB (a vector of "
        f"each clip, and one of each video). Its cache of the videos' vectors: made in {cache_sec:.0f} s, "
        f"{cache_mb:.0f} MB."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="20,000 vectors: a minute")
    parser.add_argument("--rows", type=int, default=1_000_000, help="vectors of each kind")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="of vectors")
    parser.add_argument("--index-rows", type=int, default=1_000_000, help="videos that are put into an index")
    parser.add_argument("--write", type=Path, help="also write the report to this Markdown file")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--vectors", type=Path, help=argparse.SUPPRESS)
    rows.add_option(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(count_cores())
    if arguments.child:
        report_own_memory(arguments.child, arguments.vectors, arguments.folder)
        return
    num_rows, index_rows = (20_000, 5_000) if arguments.quick else (arguments.rows, arguments.index_rows)
    started = time.perf_counter()
    parts = []
    for kind in arguments.kinds:
        with tempfile.TemporaryDirectory() as folder:
            parts.append(report_kind(Path(folder), kind, num_rows, quick=arguments.quick))
            print(parts[-1], flush=True)
    with tempfile.TemporaryDirectory() as folder:
        parts.append(report_index(Path(folder), index_rows))
    title = "# Search\n\n" + " ".join((__doc__ or "").split("\n\n")[1].split())
    machine = describe_machine("faiss-cpu", "usearch", "torch", "numpy")
    took = f"The whole run took {(time.perf_counter() - started) / 60:.0f} minutes."
    report = "\n\n".join([title, f"{machine} Threads: {count_cores()}. {took}", *parts])
    print(report)
    if arguments.write:
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        arguments.write.write_text(report + "\n", encoding="utf-8")
    rows.save(arguments.rows_to)


if __name__ == "__main__":
    main()
