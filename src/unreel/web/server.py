"""Run the application: a socket, a server that loses patience with slow visitors, a clean end."""

import asyncio
import logging
import socket
import sys
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from unreel.errors import UnreelError
from unreel.web.app import create_app
from unreel.web.context import WebContext
from unreel.web.problems import Problem, answer_problem
from unreel.web.security import HEADERS
from unreel.web.settings import ServeSettings

_SECONDS_FOR_HEADERS = 15.0
_SECONDS_BETWEEN_REQUESTS = 20
_SECONDS_TO_TAKE = 60.0
"""Within these a visitor must take some of what is sent. A player that was left paused takes nothing and
would hold its place for ever; when it goes on, it asks for the rest."""
_SECONDS_TO_FINISH = 3
_LONGEST_HEADERS = 32768
_MAX_CONNECTIONS = 512
_LOGS = ("unreel.web.access", "unreel.web.error", "uvicorn.error")


class ImpatientProtocol(H11Protocol):
    """HTTP/1.1 that hangs up on who takes too long to say what is wanted, or to take it."""

    _patience: asyncio.TimerHandle | None = None
    _until_taken: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start to wait for a request."""
        super().connection_made(transport)
        if len(self.connections) > _MAX_CONNECTIONS:
            transport.abort()
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take what arrives; the wait ends with the last line of the headers, and not before."""
        super().data_received(data)
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if is_answering:
            self._stop_waiting()
        elif self._patience is None:
            self._wait()

    def on_response_complete(self) -> None:
        """Take what is left of a body that was refused, so that the visitor reads why, but not for long."""
        super().on_response_complete()
        if not self.transport.is_closing() and (self.cycle is None or self.cycle.response_complete):
            self._wait()

    def pause_writing(self) -> None:
        """Start to wait for the visitor, who has enough to take for now."""
        super().pause_writing()
        self._until_taken = self.loop.call_later(_SECONDS_TO_TAKE, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on; the visitor has taken most of it."""
        self._stop_waiting_for_taking()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, with the headers of every other answer."""
        problem = Problem(400, "bad_request", "this is no HTTP request", "use a browser")
        answer = answer_problem(problem)
        answer.headers.update({**HEADERS, "Connection": "close"})
        parts = (
            h11.Response(status_code=400, headers=answer.raw_headers, reason=b"Bad Request"),
            h11.Data(data=bytes(answer.body)),
            h11.EndOfMessage(),
        )
        self.transport.write(b"".join(self.conn.send(part) or b"" for part in parts))
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the visitor."""
        self._stop_waiting()
        self._stop_waiting_for_taking()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._stop_waiting()
        self._patience = self.loop.call_later(_SECONDS_FOR_HEADERS, self._hang_up)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _stop_waiting_for_taking(self) -> None:
        if self._until_taken is not None:
            self._until_taken.cancel()
            self._until_taken = None

    def _hang_up(self) -> None:
        self._patience = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


def open_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: address, or a name of one.
        port: 0 takes any free one.

    Raises:
        UnreelError: the address is not this machine's, or the port is taken.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server((str(address[0]), port), family=family, backlog=128)
    except OSError as error:
        raise UnreelError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; give another --port (0 takes "
            "any free one) or --host"
        ) from error
    # Connections inherit it; without, the second part of an answer waits 40 ms until the first is confirmed.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def build_server(app: FastAPI, settings: ServeSettings) -> tuple[uvicorn.Server, socket.socket]:
    """Return a server and the socket that it is to be run with.

    Raises:
        UnreelError: the address is not this machine's, or the port is taken.
    """
    listener = open_socket(settings.host, settings.port)
    config = uvicorn.Config(
        app,
        http=ImpatientProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=_SECONDS_BETWEEN_REQUESTS,
        timeout_graceful_shutdown=_SECONDS_TO_FINISH,
        h11_max_incomplete_event_size=_LONGEST_HEADERS,
    )
    return uvicorn.Server(config), listener


def serve(
    settings: ServeSettings, *, on_start: Callable[[str, WebContext], Any] = lambda address, context: None
) -> None:
    """Serve until the process is told to end, by Ctrl-C or SIGTERM; what it had started ends with it.

    Args:
        settings: what is served, and to whom.
        on_start: called with the address, without the token, and what is served, when visitors may come.

    Raises:
        SearchError: the index is missing or damaged, or the given encoder is not the one that made it.
        UnreelError: the given encoder cannot be loaded, or the port is taken.
    """
    context = WebContext(settings)
    try:
        server, listener = build_server(create_app(settings, context=context), settings)
        with listener:
            on_start(format_address(settings.host, listener.getsockname()[1]), context)
            _log_to_stderr()
            server.run(sockets=[listener])
    finally:
        context.close()


def format_address(host: str, port: int) -> str:
    """Return the address that a browser on this machine opens."""
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname() or "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    for name in _LOGS:
        log = logging.getLogger(name)
        log.handlers, log.propagate = [handler], False
        log.setLevel(logging.WARNING if name.startswith("uvicorn") else logging.INFO)
