import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.web.served import Served, open_client, run_server, send_raw, wait_for
from unreel.errors import UnreelError
from unreel.web import server
from unreel.web.server import format_address, open_socket, serve
from unreel.web.settings import QueryLimits
from unreel.web.video_files import OpenFile

BOUNDARY = "b"
HEAD = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'


def begin_upload(length: int) -> bytes:
    return (
        f"POST /api/queries HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n{HEAD}"
    ).encode()


@pytest.fixture(scope="module")
def address(served: Served) -> Iterator[str]:
    limits = QueryLimits(idle_time_limit_sec=0.5, upload_time_limit_sec=1.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "_SECONDS_FOR_HEADERS", 0.7)
        with run_server(served.settings(query=limits)) as address:
            yield address


def test_who_never_ends_the_headers_is_hung_up_on(address: str) -> None:
    for start in (b"", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "):
        started = time.monotonic()
        assert send_raw(address, start) == b""
        assert 0.5 < time.monotonic() - started < 5


def test_who_sends_a_letter_now_and_then_is_hung_up_on_too(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    started = time.monotonic()
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        try:
            while time.monotonic() - started < 5:
                connection.sendall(b"G")
                time.sleep(0.1)
        except OSError:  # the server has hung up
            pass
    assert time.monotonic() - started < 4


def test_a_connection_serves_several_requests_with_rests_between(address: str) -> None:
    with httpx.Client(base_url=address) as client:
        for _ in range(3):
            assert client.get("/api/status").status_code == 200
            time.sleep(0.3)


def test_an_answer_that_takes_longer_than_headers_may_is_given(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unreel.web.api_search.tell_status", lambda context: time.sleep(1.2) or {})
    assert httpx.get(f"{address}/api/status").status_code == 500  # an answer, if a strange one


def test_a_file_that_trickles_is_cut_off_and_others_are_served_meanwhile(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    started = time.monotonic()
    with socket.create_connection((host, int(port)), timeout=10) as slow:
        slow.sendall(begin_upload(100_000))
        slow.settimeout(0.1)
        answer, others = b"", []
        while not answer and time.monotonic() - started < 8:
            slow.sendall(b"x")
            others.append(httpx.get(f"{address}/api/status").status_code)
            with contextlib.suppress(TimeoutError):
                answer = slow.recv(65536)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert 1.4 < time.monotonic() - started < 5
    assert len(others) > 3
    assert set(others) == {200}


def test_a_file_that_stops_arriving_is_given_up(address: str) -> None:
    started = time.monotonic()
    assert send_raw(address, begin_upload(100_000)).startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - started < 5  # the connection has been closed, too


def test_who_leaves_in_the_middle_leaves_nothing_behind(address: str, served: Served) -> None:
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(begin_upload(100_000) + b"x" * 50_000)
        folder = served.index.with_name("videos.index.cache") / "uploads"
        wait_for(lambda: any(path.stat().st_size for path in folder.glob("*/tmp*")))
    wait_for(lambda: not list(folder.glob("*/tmp*")))


@pytest.mark.parametrize(
    "content",
    [
        b"\x16\x03\x01\x02\x00\x01" * 20,
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000,
        b"\r\n\r\nGET\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_in_the_same_form(address: str, content: bytes) -> None:
    head, _, body = send_raw(address, content).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-security-policy" in head.lower()
    assert json.loads(body)["error"]["code"] == "bad_request"


def test_a_connection_too_many_is_hung_up_on(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_MAX_CONNECTIONS", 3)
    with run_server(served.settings()) as address:
        host, port = address.removeprefix("http://").split(":")
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(socket.create_connection((host, int(port)), timeout=5))
            with pytest.raises((httpx.TransportError, OSError)):
                httpx.get(f"{address}/api/status")
        wait_for(lambda: is_up(address))


def test_a_request_after_the_answer_to_a_refused_upload_is_not_taken_for_one(address: str) -> None:
    """Bytes of a body that was not read must not become the next request of the connection."""
    hidden = b"GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n"
    request = (
        f"POST /api/nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(hidden)}\r\n"
        "Connection: close\r\n\r\n"
    ).encode()
    answer = send_raw(address, request + hidden)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(b"HTTP/1.1 404 ")


def test_a_port_that_is_taken_is_refused_by_name() -> None:
    with open_socket("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(UnreelError, match=rf"cannot listen on 127\.0\.0\.1 port {port}.*another --port"):
            open_socket("127.0.0.1", port)
    with pytest.raises(UnreelError, match=r"cannot listen on 203\.0\.113\.1 port 0"):
        open_socket("203.0.113.1", 0)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("localhost", "http://localhost:80"),
        ("::1", "http://[::1]:80"),
        ("0.0.0.0", "http://desk:80"),
        ("::", "http://desk:80"),
    ],
)
def test_the_address_is_one_that_a_browser_opens(
    monkeypatch: pytest.MonkeyPatch, host: str, expected: str
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "desk")
    assert format_address(host, 80) == expected


def test_a_failure_before_the_start_ends_what_was_started(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []

    def close(context: object) -> None:
        closed.append(context)

    monkeypatch.setattr("unreel.web.context.WebContext.close", close)
    with open_socket("127.0.0.1", 0) as taken, pytest.raises(UnreelError, match="cannot listen"):
        serve(served.settings(port=taken.getsockname()[1]))
    assert len(closed) == 1


def find_children(process: int) -> set[int]:
    text = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True, check=False
    ).stdout
    return {int(word) for word in text.split()}


@pytest.mark.parametrize(
    ("stop", "code"),
    [(signal.SIGINT, 0), pytest.param(signal.SIGTERM, -signal.SIGTERM, marks=pytest.mark.slow)],
)
def test_a_server_that_is_told_to_end_takes_its_processes_along(
    served: Served, tmp_path: Path, stop: signal.Signals, code: int
) -> None:
    words = ["--index", str(served.index), "--port", "0", "--device", "cpu"]
    log = tmp_path / "log"
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-m", "unreel", "serve", *words],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        ) as process,
    ):
        try:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, "")
            found = next(match for line in lines if (match := re.search(r"http://127\.0\.0\.1:\d+", line)))
            wait_for(lambda: is_up(found[0]))
            files = {"file": ("a.mp4", served.files[0].read_bytes())}
            assert httpx.post(f"{found[0]}/api/queries", files=files, timeout=30).status_code == 201
            children = find_children(process.pid)
            assert children
            process.send_signal(stop)
            assert process.wait(60) == code
        finally:
            process.kill()
    wait_for(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
    text = log.read_text()
    assert "POST /api/queries 201" in text
    assert "Traceback" not in text


def is_up(address: str) -> bool:
    try:
        return httpx.get(f"{address}/api/status").status_code == 200
    except httpx.TransportError:
        return False


def test_bytes_of_a_video_are_sent_as_fast_as_they_are_taken(served: Served) -> None:
    """A visitor that takes nothing keeps a connection, and nothing else."""
    with open_client(served.settings()) as client:
        host, port = str(client.base_url).rstrip("/").removeprefix("http://").split(":")
        request = f"GET /media/{served.video_ids[0]} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        idle = [socket.create_connection((host, int(port))) for _ in range(20)]
        for connection in idle:
            connection.sendall(request)
        assert client.get("/api/status").status_code == 200
        for connection in idle:
            connection.close()
        assert client.get("/api/status").status_code == 200


def test_who_takes_nothing_of_an_answer_loses_its_place(
    served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A page that was left with a paused video would hold one for ever, and enough of them all."""
    large = tmp_path / "large.mp4"
    large.write_bytes(bytes(32 << 20))
    monkeypatch.setattr(server, "_SECONDS_TO_TAKE", 0.5)
    monkeypatch.setattr(
        "unreel.web.media_routes.open_video",
        lambda video, root: OpenFile(large.open("rb", buffering=0), 32 << 20, 0),
    )
    with run_server(served.settings(max_requests=3)) as address, contextlib.ExitStack() as stack:
        host, port = address.removeprefix("http://").split(":")
        for _ in range(3):
            idle = stack.enter_context(socket.create_connection((host, int(port))))
            idle.sendall(f"GET /media/{served.video_ids[0]} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        wait_for(lambda: httpx.get(f"{address}/api/status").status_code == 503)
        wait_for(lambda: httpx.get(f"{address}/api/status").status_code == 200, 10)
        slow = httpx.stream("GET", f"{address}/media/{served.video_ids[0]}")
        with slow as answer:  # who takes a little now and then gets all of it
            total = 0
            for number, part in enumerate(answer.iter_raw(1 << 20)):
                total += len(part)
                time.sleep(0.1 if number < 12 else 0)
        assert total == 32 << 20


def test_a_length_told_in_two_ways_ends_the_connection(address: str) -> None:
    """A proxy that believes the other one would take the rest for the next visitor's request."""
    hidden = b"GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n"
    request = (
        b"POST /api/queries HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    )
    answer = send_raw(address, request + hidden)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"told in two ways" in answer
