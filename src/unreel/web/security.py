"""Who may ask what: host names, tokens, other sites; and the headers that every answer carries."""

import hashlib
import hmac
import ipaddress
import socket
import time
from collections import deque
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, RedirectResponse, Response

from unreel.web.problems import Problem, answer_problem
from unreel.web.settings import ServeSettings, is_local

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "media-src 'self' blob:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; "
        "base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
"""On every answer, errors included."""

_HARMLESS = {"GET", "HEAD", "OPTIONS"}
_FAILURES_PER_MINUTE = 20
SECONDS_OF_A_FAILURE = 0.5
"""How long the answer to a wrong token is held back."""


def check_host(headers: Headers, settings: ServeSettings) -> None:
    """Refuse names that are not this server's: another site's name may have been made to point here.

    Raises:
        Problem: the `Host` of the request is missing or foreign.
    """
    host = split_host(headers.get("host", ""))
    if not _is_own_name(host, settings):
        raise Problem(
            400,
            "unknown_host",
            "this server is not known by the name in the address",
            "use the address that `unreel serve` printed, or start it with --allowed-hosts NAME",
        )


def check_framing(headers: Headers) -> None:
    """Refuse a body whose end is told in two ways: a proxy may believe the other one (RFC 9112, section 6.3).

    Raises:
        Problem: the request has both `Content-Length` and `Transfer-Encoding`.
    """
    if "content-length" in headers and "transfer-encoding" in headers:
        raise Problem(400, "bad_request", "the length of the request is told in two ways", "tell it in one")


def split_host(value: str) -> str:
    """Return the name of a `Host` header without its port, in small letters; "" when it is none."""
    if not set(value).isdisjoint("@/?#\\"):
        return ""
    try:
        return urlsplit(f"//{value}").hostname or ""
    except ValueError:
        return ""


def _is_own_name(host: str, settings: ServeSettings) -> bool:
    if not host:
        return False
    names = {"localhost", settings.host.lower(), *(name.lower() for name in settings.allowed_hosts)}
    if host in names:
        return True
    is_open = not is_local(settings.host)
    try:
        # Nobody can make a number point elsewhere.
        return ipaddress.ip_address(host).is_loopback or is_open
    except ValueError:
        own = socket.gethostname().lower()
        return is_open and host in (own, f"{own.partition('.')[0]}.local")


def check_site(method: str, headers: Headers) -> None:
    """Refuse what the page of another site sends in a visitor's name.

    Raises:
        Problem: the request comes from another site and is more than a link that was followed.
    """
    site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "")
    is_safe = method in _HARMLESS
    is_foreign = site not in ("same-origin", "none") and not (is_safe and mode == "navigate")
    if not is_safe and (origin := headers.get("origin")) is not None:
        is_foreign |= _split_origin(origin) != headers.get("host", "").lower()
    if is_foreign:
        raise Problem(
            403, "cross_site", "requests from other sites are refused", "use the page of this server"
        )


def _split_origin(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


class TokenGate:
    """Lets in who knows the token, by header or by cookie; with no token, everyone.

    Args:
        token: the secret; "" for none.
    """

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self._pass = hmac.new(self._token, b"unreel serve", hashlib.sha256).hexdigest()
        self.cookie_name = f"unreel_{hashlib.sha256(self._pass.encode()).hexdigest()[:8]}"
        self._failures: deque[float] = deque(maxlen=_FAILURES_PER_MINUTE)

    @property
    def is_open(self) -> bool:
        """Whether everyone is let in."""
        return not self._token

    def knows(self, headers: Headers) -> bool | None:
        """Whether a request proves that it knows the token; None when it does not even try."""
        if self.is_open:
            return True
        kind, _, given = headers.get("authorization", "").partition(" ")
        if given and kind.lower() == "bearer":
            return self._is_token(given.strip())
        cookie = _read_cookie(headers.get("cookie", ""), self.cookie_name)
        if cookie is None:
            return None
        return hmac.compare_digest(cookie.encode(), self._pass.encode())

    def exchange(self, path: str, query: str) -> Response | bool:
        """Turn the token in the address of the first page into a cookie.

        Returns:
            The redirection to the address without it, True where the address has no token, False where it
            is wrong.
        """
        pairs = parse_qsl(query, keep_blank_values=True)
        given = [value for name, value in pairs if name == "token"]
        if self.is_open or path != "/" or not given:
            return True
        if not self._is_token(given[0]):
            return False
        rest = urlencode([(name, value) for name, value in pairs if name != "token"])
        answer = RedirectResponse(f"/?{rest}" if rest else "/", status_code=303)
        answer.set_cookie(self.cookie_name, self._pass, httponly=True, samesite="strict", path="/")
        return answer

    def refuse(self, *, has_tried: bool) -> JSONResponse:
        """Return the answer to a visitor without a token, or with a wrong one; these are counted."""
        now = time.monotonic()
        if has_tried:
            is_flood = len(self._failures) == _FAILURES_PER_MINUTE and now - self._failures[0] < 60
            self._failures.append(now)
            if is_flood:
                text = "too many wrong tokens were sent"
                return answer_problem(
                    Problem(429, "too_many_failures", text, "wait a minute", retry_after_sec=60)
                )
        text = "the token is wrong" if has_tried else "this server asks for a token"
        remedy = "open the address with the token that `unreel serve` printed, or send it as a Bearer token"
        answer = answer_problem(Problem(401, "unauthorized", text, remedy))
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token)


def _read_cookie(header: str, name: str) -> str | None:
    try:
        morsel = SimpleCookie(header).get(name)
    except CookieError:
        return None
    return None if morsel is None else morsel.value
