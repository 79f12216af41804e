"""What stands before every request: checks, limits, headers, a line in the log."""

import asyncio
import logging
import time
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unreel.legible import make_legible
from unreel.web.problems import Problem, answer_problem
from unreel.web.security import (
    HEADERS,
    SECONDS_OF_A_FAILURE,
    TokenGate,
    check_framing,
    check_host,
    check_site,
)
from unreel.web.settings import ServeSettings

ACCESS_LOG = logging.getLogger("unreel.web.access")
"""A line per request: client, method, path, status, bytes, time. What stands behind the ``?`` of an address
may be a secret and is left out."""

_ERROR_LOG = logging.getLogger("unreel.web.error")
_LONGEST_PATH = 200


class Guard:
    """ASGI middleware; see the functions of `security`.

    Args:
        app: what is guarded.
        settings: who may come in.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings) -> None:
        self._app = app
        self._settings = settings
        self._gate = TokenGate(settings.token)
        self._num_open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application do it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        answer = _Answer(send)
        started = time.monotonic()
        self._num_open += 1
        try:
            await self._serve(scope, receive, answer)
        except Exception:
            _ERROR_LOG.exception("a request failed")
            if not answer.status:
                problem = Problem(500, "internal_error", "the server made a mistake", "tell its owner")
                await answer_problem(problem)(scope, receive, answer)
            else:
                raise
        finally:
            self._num_open -= 1
            _log(scope, answer, time.monotonic() - started)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = await self._refuse(scope)
        await (self._app if refusal is None else refusal)(scope, receive, send)

    async def _refuse(self, scope: Scope) -> Response | None:
        """Return the answer to a request that is not let in, or None."""
        headers = Headers(scope=scope)
        try:
            if self._num_open > self._settings.max_requests:
                raise Problem(503, "busy", "too many requests are open", "try again soon", retry_after_sec=2)
            check_framing(headers)
            check_host(headers, self._settings)
            check_site(scope["method"], headers)
        except Problem as problem:
            answer = answer_problem(problem)
            if problem.status == 400:  # what follows on this connection is not to be trusted either
                answer.headers["Connection"] = "close"
            return answer
        exchanged = self._gate.exchange(scope["path"], scope["query_string"].decode("latin-1"))
        if isinstance(exchanged, Response):
            return exchanged
        knows = self._gate.knows(headers) if exchanged else False
        if knows:
            return None
        answer = self._gate.refuse(has_tried=knows is not None)
        if knows is False and answer.status_code == 401:
            await asyncio.sleep(SECONDS_OF_A_FAILURE)
        return answer


class _Answer:
    """Adds the headers to what is sent, and remembers what the log says of it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self.num_bytes = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._add_headers(message)
        self.num_bytes += len(message.get("body", b""))
        await self._send(message)

    def _add_headers(self, message: MutableMapping[str, Any]) -> None:
        headers = MutableHeaders(scope=message)
        for name, value in HEADERS.items():
            headers[name] = value
        headers.setdefault("Cache-Control", "no-store")


def _log(scope: Scope, answer: _Answer, seconds: float) -> None:
    path = make_legible(scope["path"][:_LONGEST_PATH]).replace(" ", "%20")
    client = (scope.get("client") or ("-", 0))[0]
    ACCESS_LOG.info(
        "%s %s %s %d %d B %.0f ms",
        client,
        scope["method"],
        path,
        answer.status,
        answer.num_bytes,
        seconds * 1000,
    )
