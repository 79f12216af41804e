import contextlib
import hashlib
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.responses import Response

from unreel.web import security
from unreel.web.problems import Problem
from unreel.web.security import HEADERS, TokenGate, check_host, check_site, split_host
from unreel.web.settings import ServeSettings

TOKEN = "correct-horse-battery"
LOCAL = ServeSettings(Path("videos.index"))
OPEN = ServeSettings(Path("videos.index"), host="0.0.0.0", token=TOKEN, allowed_hosts=("Videos.Example.org",))


def is_known(host: str, settings: ServeSettings) -> bool:
    with contextlib.suppress(Problem):
        check_host(Headers({"host": host}), settings)
        return True
    return False


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8420", "LOCALHOST:1", "127.0.0.1:9", "127.0.0.2", "[::1]:8420"]
)
def test_this_machine_is_known_by_its_own_names(host: str) -> None:
    assert is_known(host, LOCAL)
    assert is_known(host, OPEN)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8420",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "192.168.1.7",
        "[::1",
        "local host",
        "@127.0.0.1@evil.example",
        "evil.example@127.0.0.1",
        "127.0.0.1#.evil.example",
        "127.0.0.1/evil.example",
        "[fe80::1%25eth0]",
    ],
)
def test_a_server_of_this_machine_alone_knows_no_other_name(host: str) -> None:
    """The name of another site may have been made to lead here, so that its page could read what it likes."""
    assert not is_known(host, LOCAL)


def test_an_open_server_is_known_by_its_numbers_its_name_and_the_names_it_was_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(security.socket, "gethostname", lambda: "Desk.example.net")
    for host in ("192.168.1.7:8420", "[2001:db8::1]", "desk.example.net", "desk.local", "videos.example.org"):
        assert is_known(host, OPEN)
    for host in ("example.net", "evil.example", "example.org"):
        assert not is_known(host, OPEN)


def test_a_request_without_a_host_is_refused() -> None:
    with pytest.raises(Problem, match="not known by the name"):
        check_host(Headers({}), LOCAL)


@pytest.mark.parametrize(
    ("value", "expected"), [("a.b:80", "a.b"), ("[::1]:80", "::1"), ("", ""), ("[::1", ""), ("A", "a")]
)
def test_a_host_is_told_from_its_port(value: str, expected: str) -> None:
    assert split_host(value) == expected


def is_let_through(method: str, **headers: str) -> bool:
    values = {name.replace("_", "-"): value for name, value in headers.items()}
    with contextlib.suppress(Problem):
        check_site(method, Headers({"host": "localhost:8420", **values}))
        return True
    return False


def test_refusals_have_codes() -> None:
    with pytest.raises(Problem) as caught:
        check_host(Headers({"host": "evil.example"}), LOCAL)
    assert (caught.value.status, caught.value.code) == (400, "unknown_host")
    with pytest.raises(Problem) as caught:
        check_site("POST", Headers({"sec-fetch-site": "cross-site"}))
    assert (caught.value.status, caught.value.code) == (403, "cross_site")


def test_the_own_page_and_programs_may_send() -> None:
    assert is_let_through("POST")
    assert is_let_through("POST", origin="http://localhost:8420", sec_fetch_site="same-origin")
    assert is_let_through("POST", origin="http://LOCALHOST:8420")
    assert is_let_through("GET", sec_fetch_site="same-origin", sec_fetch_mode="cors")
    assert is_let_through("GET", sec_fetch_site="none", sec_fetch_mode="navigate")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://localhost:9999"},
        {"origin": "http://[::1"},
        {"origin": "http://localhost:8420.evil.example"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"},
        {"origin": "http://localhost:8420", "sec_fetch_site": "cross-site"},
    ],
)
def test_pages_of_other_sites_may_not_send(headers: dict[str, str]) -> None:
    assert not is_let_through("POST", **headers)
    assert not is_let_through("DELETE", **headers)


def test_other_sites_may_link_here_but_not_embed() -> None:
    assert is_let_through("GET", sec_fetch_site="cross-site", sec_fetch_mode="navigate")
    for mode in ("no-cors", "cors", ""):
        assert not is_let_through("GET", sec_fetch_site="cross-site", sec_fetch_mode=mode)


def test_without_a_token_everyone_is_let_in() -> None:
    gate = TokenGate("")
    assert gate.is_open
    assert gate.knows(Headers({})) is True
    assert gate.exchange("/", "token=whatever") is True


def test_the_token_opens_as_a_header_and_nothing_else_does() -> None:
    gate = TokenGate(TOKEN)
    assert gate.knows(Headers({"authorization": f"Bearer {TOKEN}"})) is True
    assert gate.knows(Headers({"authorization": f"bearer  {TOKEN} "})) is True
    assert gate.knows(Headers({})) is None
    assert gate.knows(Headers({"authorization": TOKEN})) is None
    assert gate.knows(Headers({"authorization": f"Basic {TOKEN}"})) is None
    for wrong in (TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "ümlaut", ""):
        assert not gate.knows(Headers({"authorization": f"Bearer {wrong}"}))


def exchange(gate: TokenGate, query: str) -> Response:
    answer = gate.exchange("/", query)
    assert isinstance(answer, Response)
    return answer


def test_the_token_in_the_address_becomes_a_cookie_and_vanishes_from_the_address() -> None:
    gate = TokenGate(TOKEN)
    answer = exchange(gate, f"unit=clip&token={TOKEN}&label=a%20b")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/?unit=clip&label=a+b"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/" in cookie
    assert TOKEN not in cookie
    assert exchange(gate, f"token={TOKEN}").headers["location"] == "/"
    value = cookie.split(";")[0]
    assert gate.knows(Headers({"cookie": f"other=1; {value}"})) is True
    assert gate.knows(Headers({"cookie": value[:-1] + "0"})) in (False, True)
    assert gate.knows(Headers({"cookie": f"{gate.cookie_name}=wrong"})) is False
    assert gate.knows(Headers({"cookie": "other=1"})) is None
    assert TokenGate("another-long-token").knows(Headers({"cookie": value})) is None


def test_a_wrong_token_in_the_address_is_no_redirection() -> None:
    gate = TokenGate(TOKEN)
    assert gate.exchange("/", "token=wrong") is False
    assert gate.exchange("/", "unit=clip") is True
    assert gate.exchange("/api/status", f"token={TOKEN}") is True


def test_the_redirection_stays_on_this_server() -> None:
    answer = exchange(TokenGate(TOKEN), f"token={TOKEN}&x=//evil.example/")
    assert answer.headers["location"].startswith("/?x=")


def test_guessing_is_slowed_down(monkeypatch: pytest.MonkeyPatch) -> None:
    clock: Any = type("Clock", (), {"now": 1000.0})
    monkeypatch.setattr(security.time, "monotonic", lambda: clock.now)
    gate = TokenGate(TOKEN)
    answers = [gate.refuse(has_tried=True).status_code for _ in range(25)]
    assert answers == [401] * 20 + [429] * 5
    assert gate.refuse(has_tried=True).headers["retry-after"] == "60"
    assert gate.refuse(has_tried=False).status_code == 401  # who only lost the cookie is told what to do
    assert gate.knows(Headers({"authorization": f"Bearer {TOKEN}"})) is True
    clock.now += 61
    assert gate.refuse(has_tried=True).status_code == 401


def test_the_refusal_says_how_to_come_in() -> None:
    answer = TokenGate(TOKEN).refuse(has_tried=False)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert b"unreel serve" in bytes(answer.body)


def test_the_name_of_the_cookie_does_not_tell_the_token() -> None:
    """Servers on two ports of one machine share cookies, so each token has a name of its own."""
    names = {TokenGate(token).cookie_name for token in (TOKEN, "another-long-token")}
    assert len(names) == 2
    assert hashlib.sha256(TOKEN.encode()).hexdigest()[:8] not in "".join(names)


def test_nothing_runs_but_what_this_server_sends() -> None:
    policy = dict(part.strip().split(" ", 1) for part in HEADERS["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in HEADERS["Content-Security-Policy"]
    assert HEADERS["X-Content-Type-Options"] == "nosniff"
    assert HEADERS["Referrer-Policy"] == "no-referrer"
