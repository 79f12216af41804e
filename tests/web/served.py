"""A small collection that is served: videos, an encoder, an index, and clients of it."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx

from tests.features.tiny import build_encoder
from unreel.data.catalog import Catalog
from unreel.features.reading import ReadConfig
from unreel.search.indexing import update_index
from unreel.web.app import create_app
from unreel.web.server import build_server
from unreel.web.settings import ServeSettings


@dataclass(frozen=True)
class Served:
    """Where everything is."""

    folder: Path
    catalog: Path
    encoder: Path
    index: Path
    video_ids: tuple[str, ...]
    files: tuple[Path, ...]

    def settings(self, **values: Any) -> ServeSettings:
        return replace(ServeSettings(index=self.index, encoder=self.encoder, device="cpu"), **values)


def make_served(corpus: Path, folder: Path) -> Served:
    """Index the corpus with an untrained encoder."""
    encoder = build_encoder()
    encoder.save(folder / "encoder")
    catalog = Catalog.load(corpus)
    read = ReadConfig(clips_per_video=2, num_workers=0)
    update_index(folder / "videos.index", catalog, encoder, encoder_folder=str(folder / "encoder"), read=read)
    videos = [catalog.video(row) for row in range(len(catalog))]
    return Served(
        folder,
        corpus,
        folder / "encoder",
        folder / "videos.index",
        tuple(video.id for video in videos),
        tuple(video.path for video in videos),
    )


@contextmanager
def open_client(settings: ServeSettings) -> Iterator[httpx.Client]:
    """Give a client of a server that runs for the time of the block."""
    with run_server(settings) as address, httpx.Client(base_url=address, timeout=30) as client:
        yield client


@contextmanager
def run_server(settings: ServeSettings) -> Iterator[str]:
    """Run a real server on a free port of this machine and give its address."""
    server, listener = build_server(create_app(settings), replace(settings, port=0))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def wait_for(condition: Any, seconds: float = 20.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def read_error(answer: Any) -> Mapping[str, str]:
    """Return the error of an answer, whose form is checked."""
    values = answer.json()
    assert values.keys() == {"error"}
    assert values["error"].keys() == {"code", "message", "remedy"}
    assert values["error"]["code"]
    assert values["error"]["message"]
    return values["error"]


@dataclass(frozen=True)
class Told:
    """What an application answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def call_app(
    app: Any, method: str, address: str, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> Told:
    """Ask an application directly, with no network in between."""
    path, _, query = address.partition("?")
    sent: list[Any] = []
    received = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        if received:
            return received.pop()
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [
            (name.lower().encode(), value.encode("latin-1"))
            for name, value in {"Host": "127.0.0.1:8420", **(headers or {})}.items()
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8420),
        "state": {},
    }
    asyncio.run(app(scope, receive, send))
    start = sent[0]
    told = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
    return Told(start["status"], told, b"".join(message.get("body", b"") for message in sent[1:]))


def send_raw(address: str, content: bytes, *, seconds: float = 10.0) -> bytes:
    """Send bytes that no client has tidied up, and return what comes until the server hangs up."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        connection.sendall(content)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)
