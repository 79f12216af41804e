"""Run every benchmark, each in a process of its own, and put all comparisons into one table.

A row is one comparison: what is done, how fast unreel does it, how fast a peer of a certain version does, how
many times as fast unreel is, what cannot be avoided and how many times as long unreel takes, and where to
read more. Rates count the seconds of the processor where the unit says so, and of the clock on a GPU. Under
the table, a line for every row that is neither ahead of its peer nor within twice its floor: what takes the
time.

    python benchmarks/all.py --quick
    python benchmarks/all.py --only views steps
    python benchmarks/all.py

A full run writes benchmarks/results/table.md; --quick, and a choice by --only, print it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from machine import describe_machine
from rows import Row, format_table, load

HERE = Path(__file__).parent
TABLE = HERE / "results" / "table.md"
PACKAGES = ("torch", "numpy", "av", "torchcodec", "decord2", "opencv-python-headless", "kornia", "faiss-cpu")
PEERS = ("usearch", "Levenshtein", "rapidfuzz", "scikit-learn")
LIMIT_SEC = 3600
"""Longest that one benchmark may take; a tenth of it with --quick."""


@dataclass(frozen=True)
class Job:
    """A benchmark and how it is run."""

    name: str
    is_quick: bool = True
    """Whether it takes part in --quick."""
    quick_options: tuple[str, ...] = ()
    """Further options with --quick."""
    is_single: bool = False
    """Whether torch, BLAS and OpenMP get one thread."""
    hands_rows: bool = True
    """Whether it compares with anyone; one that does not is run for its report."""


JOBS = (
    Job("decode", quick_options=("--clips-alone",), is_single=True),
    Job("prepared", is_single=True),
    Job("views", is_single=True),
    Job("cache", is_single=True),
    Job("cacl_step", quick_options=("--steps", "2")),
    Job("vclr_step", quick_options=("--steps", "2"), is_single=True),
    Job("scvrl_step", quick_options=("--steps", "2"), is_single=True),
    Job("steps", is_single=True),
    Job("extraction", is_single=True),
    Job("retrieval", is_single=True),
    Job("search", quick_options=("--kinds", "clustered")),
    Job("shuffle_degree", is_single=True),
    Job("motion", is_quick=False, is_single=True),
    Job("growth", is_quick=False, hands_rows=False),
)


def run_job(job: Job, folder: Path, *, quick: bool) -> list[Row]:
    """Run a benchmark to its end; one that fails leaves a row that says why."""
    out = folder / f"{job.name}.json"
    command = [sys.executable, str(HERE / f"{job.name}.py")]
    command += ["--rows-to", str(out)] if job.hands_rows else []
    command += ["--quick", *job.quick_options] if quick else []
    environment = dict(os.environ) | ({"OMP_NUM_THREADS": "1"} if job.is_single else {})
    try:
        done = subprocess.run(
            command,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=LIMIT_SEC / 10 if quick else LIMIT_SEC,
        )
    except subprocess.TimeoutExpired as error:
        return [*load(out), Row(job.name, "", float("nan"), missing=f"stopped after {error.timeout:.0f} s")]
    if done.returncode == 0:
        return load(out)
    sys.stderr.write(done.stderr)
    lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("USDT")]
    reason = lines[-1] if lines else f"exit status {done.returncode}"
    return [*load(out), Row(job.name, "", float("nan"), missing=reason[:150])]


def run_all(jobs: list[Job], *, quick: bool) -> str:
    """Run the jobs one after the other; return the table with its heading."""
    parts, times = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for job in jobs:
            print(f"\n===== {job.name}", flush=True)
            started = time.perf_counter()
            rows = run_job(job, Path(folder), quick=quick)
            times[job.name] = time.perf_counter() - started
            report = HERE / "results" / f"{job.name}.md"
            parts[f"[{job.name}]({report.name})" if report.exists() else f"`{job.name}.py`"] = rows
    took = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in times.items())
    about = " ".join((__doc__ or "").split("\n\n")[1].split())
    heading = f"# All comparisons{' (--quick)' if quick else ''}"
    machine = describe_machine(*PACKAGES, *PEERS)
    return "\n\n".join([heading, about, machine, format_table(parts), f"Time: {took}."])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small versions: within three minutes")
    parser.add_argument("--only", nargs="+", choices=[job.name for job in JOBS], help="these alone")
    arguments = parser.parse_args()
    chosen = [job for job in JOBS if (arguments.only is None or job.name in arguments.only)]
    if arguments.quick and arguments.only is None:
        chosen = [job for job in chosen if job.is_quick]
    text = run_all([job for job in chosen if (HERE / f"{job.name}.py").exists()], quick=arguments.quick)
    print(f"\n{text}")
    if not arguments.quick and arguments.only is None:
        TABLE.write_text(text + "\n", encoding="utf-8")
        print(f"\nWritten to {TABLE}.")


if __name__ == "__main__":
    main()
