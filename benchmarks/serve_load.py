"""Visit `unreel serve` with many clients at once and see how long answers take, and what memory it costs.

Makes the sample videos, an index of them by an untrained encoder, starts the server and visits it as people
do: pages, searches, pictures, parts of videos, now and then a file to search with. An answer 429 is counted
as refused, any other failure ends the benchmark.

    python benchmarks/serve_load.py --clients 50 --seconds 60 --out benchmarks/results/serve.md
"""

import argparse
import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import httpx
from machine import describe_machine

from unreel.cli.main import run
from unreel.data.catalog import Catalog
from unreel.features.encoder import Encoder
from unreel.features.encoder_files import EncoderConfig
from unreel.features.input_spec import InputSpec
from unreel.models.resnet3d import R3DConfig

SPEC = InputSpec(num_frames=8, frame_stride=4, decode_height=128, decode_width=171, crop_px=112)
SHARES = {
    "page": 2,
    "search": 6,
    "clips": 2,
    "videos": 1,
    "filters": 1,
    "picture": 10,
    "range": 4,
    "upload": 1,
}
"""How often each is asked for."""


def prepare(folder: Path, num_videos: int) -> None:
    """Make videos, an encoder and an index."""
    if (folder / "videos.index").exists():
        return
    Encoder.untrained(EncoderConfig(R3DConfig(depth=18, width=0.5), SPEC)).save(folder / "encoder")
    catalog, index = folder / "catalog.parquet", folder / "videos.index"
    for words in (
        ["sample-data", folder / "samples", "--num-videos", num_videos],
        ["scan", folder / "samples" / "videos.csv", "--out", catalog],
        ["index", "--encoder", folder / "encoder", "--catalog", catalog, "--out", index, "--device", "cpu"],
    ):
        if code := run([str(word) for word in words]):
            sys.exit(code)


@contextlib.contextmanager
def start_server(folder: Path, port: int) -> Iterator[tuple[str, int]]:
    words = ["--index", str(folder / "videos.index"), "--port", str(port), "--device", "cpu"]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "unreel", "serve", *words], stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{address}/api/status")
                break
            time.sleep(0.2)
        yield address, process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


class Load:
    """What clients have seen."""

    def __init__(self, ids: list[str], content: bytes, end: float) -> None:
        self.ids, self.content, self.end = ids, content, end
        self.times: dict[str, list[float]] = defaultdict(list)
        self.refused: Counter[str] = Counter()

    async def visit(self, client: httpx.AsyncClient, number: int) -> None:
        """Be one client."""
        chance = random.Random(number)
        await asyncio.sleep(chance.random())
        while time.monotonic() < self.end:
            kind = chance.choices(list(SHARES), list(SHARES.values()))[0]
            started = time.monotonic()
            answer = await self.ask(client, kind, chance)
            if answer.status_code == 429:
                self.refused[kind] += 1
            elif answer.status_code >= 400:
                sys.exit(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}")
            else:
                self.times[kind].append(time.monotonic() - started)
            await asyncio.sleep(chance.uniform(0.2, 1.0))

    async def ask(self, client: httpx.AsyncClient, kind: str, chance: random.Random) -> httpx.Response:
        """Send one request."""
        name = chance.choice(self.ids)
        if kind == "upload":
            return await client.post("/api/queries", files={"file": ("query.mp4", self.content)})
        if kind == "range":
            start = chance.randrange(1000)
            return await client.get(f"/media/{name}", headers={"Range": f"bytes={start}-"})
        path = {
            "page": f"/?video={name}",
            "search": f"/api/search?video={name}",
            "clips": f"/api/search?video={name}&unit=clip",
            "videos": f"/api/videos?offset={chance.randrange(100)}",
            "filters": "/api/filters",
            "picture": f"/thumbnails/{name}?at_sec={chance.choice((0, 1, 2))}",
        }[kind]
        return await client.get(path)


async def visit_all(load: Load, address: str, num_clients: int) -> None:
    limits = httpx.Limits(max_connections=num_clients)
    async with httpx.AsyncClient(base_url=address, timeout=60, limits=limits) as client:
        await asyncio.gather(*(load.visit(client, number) for number in range(num_clients)))


def read_memory_mb(process: int) -> float:
    """Return the memory of a process and of those that it started, in MiB."""
    text = subprocess.run(["ps", "-eo", "pid=,ppid=,rss="], capture_output=True, text=True, check=True).stdout
    rows = [tuple(map(int, line.split())) for line in text.splitlines()]
    return sum(memory for own, parent, memory in rows if process in (own, parent)) / 1024


def tell(load: Load, seconds: float, num_clients: int, memory: list[float]) -> str:
    lines = [
        "# `unreel serve` under load",
        "",
        f"{num_clients} clients for {seconds:.0f} s, each with a rest of 0.2 to 1 s between requests; "
        "clients and server share one machine.",
        "",
        f"    python benchmarks/serve_load.py --clients {num_clients} --seconds {seconds:.0f} "
        f"--videos {len(load.ids)}",
        "",
        describe_machine("fastapi", "uvicorn", "torch", "av"),
        "",
        "| request | answers | refused (429) | p50 | p95 | p99 |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for kind in SHARES:
        times = sorted(load.times[kind])
        marks = [f"{1000 * times[int(part * (len(times) - 1))]:.0f} ms" for part in (0.5, 0.95, 0.99)]
        lines.append(f"| {kind} | {len(times)} | {load.refused[kind]} | {' | '.join(marks)} |")
    total = sum(map(len, load.times.values()))
    lines += [
        "",
        f"{total} answers, {total / seconds:.0f} per second; no failure but the refusals above.",
        f"Memory of the server and its processes: {memory[0]:.0f} MiB before, {memory[1]:.0f} MiB after.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--videos", type=int, default=200)
    parser.add_argument("--port", type=int, default=8499)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        prepare(folder, arguments.videos)
        catalog = Catalog.load(folder / "catalog.parquet")
        videos = [catalog.video(row) for row in range(len(catalog))]
        with start_server(folder, arguments.port) as (address, process):
            content = videos[0].path.read_bytes()
            # Every process has been started once before the memory is read.
            httpx.post(f"{address}/api/queries", files={"file": ("a.mp4", content)}, timeout=60)
            httpx.get(f"{address}/?video={videos[0].id}", timeout=60)
            httpx.get(f"{address}/thumbnails/{videos[0].id}", timeout=60)
            memory = [read_memory_mb(process)]
            end = time.monotonic() + arguments.seconds
            load = Load([video.id for video in videos], content, end)
            asyncio.run(visit_all(load, address, arguments.clients))
            memory.append(read_memory_mb(process))
    text = tell(load, arguments.seconds, arguments.clients, memory)
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
