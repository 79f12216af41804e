import asyncio
import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse, Response

from tests.web.served import call_app
from unreel.web import guard
from unreel.web.guard import ACCESS_LOG, Guard
from unreel.web.security import HEADERS
from unreel.web.settings import ServeSettings

TOKEN = "correct-horse-battery"


async def inner(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/fault":
        raise RuntimeError("a secret of the server")
    answer: Response = PlainTextResponse("hello")
    if scope["path"] == "/kept":
        answer.headers["Cache-Control"] = "private"
    await answer(scope, receive, send)


def build(**values: Any) -> Guard:
    return Guard(inner, ServeSettings(Path("videos.index"), **values))


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {}, 200),
        ("/", {"Host": "evil.example"}, 400),
        ("/", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("/fault", {}, 500),
    ],
)
def test_every_answer_carries_the_headers(path: str, headers: dict[str, str], status: int) -> None:
    told = call_app(build(), "GET", path, headers)
    assert told.status == status
    for name, value in HEADERS.items():
        assert told.headers[name.lower()] == value
    assert told.headers["cache-control"] == "no-store"


def test_what_may_be_kept_says_so_itself() -> None:
    assert call_app(build(), "GET", "/kept").headers["cache-control"] == "private"


def test_a_mistake_of_the_server_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "unreel.web.error"):
        told = call_app(build(), "GET", "/fault")
    assert json.loads(told.body)["error"]["code"] == "internal_error"
    assert b"secret" not in told.body
    assert "a secret of the server" in caplog.text


def test_without_the_token_nothing_is_answered_and_with_it_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guard, "SECONDS_OF_A_FAILURE", 0.05)
    app = build(token=TOKEN)
    for path in ("/", "/api/status", "/static/unreel.css", "/api/openapi.json", "/media/x", "/nothing"):
        told = call_app(app, "GET", path)
        assert told.status == 401
        assert b"hello" not in told.body
    assert call_app(app, "GET", "/", {"Authorization": f"Bearer {TOKEN}"}).body == b"hello"
    told = call_app(app, "GET", f"/?token={TOKEN}")
    assert told.status == 303
    cookie = told.headers["set-cookie"].split(";")[0]
    assert call_app(app, "GET", "/", {"Cookie": cookie}).body == b"hello"


def test_a_wrong_token_waits_for_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "SECONDS_OF_A_FAILURE", 0.2)
    app = build(token=TOKEN)
    for headers, address in (({"Authorization": "Bearer wrong"}, "/"), ({}, "/?token=wrong")):
        started = time.monotonic()
        assert call_app(app, "GET", address, headers).status == 401
        assert time.monotonic() - started >= 0.2


def test_another_site_cannot_even_try_a_token() -> None:
    app = build(token=TOKEN)
    told = call_app(app, "GET", "/", {"Host": "evil.example", "Authorization": f"Bearer {TOKEN}"})
    assert told.status == 400


def test_the_log_has_a_line_per_request_without_what_may_be_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = build(token=TOKEN)
    with caplog.at_level(logging.INFO, ACCESS_LOG.name):
        call_app(app, "GET", f"/?token={TOKEN}")
        call_app(app, "GET", "/api/search?query=SECRETID", {"Authorization": f"Bearer {TOKEN}"})
        call_app(app, "GET", "/a%0Ab%1b[31m%20c", {"Authorization": f"Bearer {TOKEN}"})
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert lines[0].startswith("127.0.0.1 GET / 303 0 B ")
    assert lines[1].startswith("127.0.0.1 GET /api/search 200 5 B ")
    assert lines[2].startswith("127.0.0.1 GET /a?b?[31m%20c 200 ")
    assert TOKEN not in caplog.text
    assert "SECRETID" not in caplog.text


def test_a_request_too_many_is_refused_and_says_when_to_come_again() -> None:
    release: list[asyncio.Event] = []

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await release[0].wait()
        await PlainTextResponse("done")(scope, receive, send)

    app = Guard(slow, ServeSettings(Path("videos.index"), max_requests=2))
    sent: list[list[Any]] = [[], [], []]
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }

    async def ask(number: int) -> None:
        async def send(message: Any) -> None:
            sent[number].append(message)

        async def receive() -> Any:
            return {"type": "http.request"}

        await app(scope, receive, send)

    async def run() -> None:
        release.append(asyncio.Event())
        first = [asyncio.create_task(ask(number)) for number in range(2)]
        await asyncio.sleep(0)
        await ask(2)
        release[0].set()
        await asyncio.gather(*first)
        sent.append([])
        await ask(3)

    asyncio.run(run())
    assert [messages[0]["status"] for messages in sent] == [200, 200, 503, 200]
    assert (b"retry-after", b"2") in sent[2][0]["headers"]


def test_there_is_no_other_protocol() -> None:
    sent = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(build()({"type": "websocket"}, None, send))  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1000}]
