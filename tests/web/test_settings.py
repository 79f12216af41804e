from pathlib import Path
from typing import Any

import pytest

from unreel.web.settings import ConversionLimits, QueryLimits, ServeSettings, is_local

INDEX = Path("videos.index")
TOKEN = "a-token_that-is-long-enough"


def test_by_default_only_this_machine_is_served() -> None:
    settings = ServeSettings(INDEX)
    assert settings.host == "127.0.0.1"
    assert settings.token == ""
    assert is_local(settings.host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "localhost", "::1"])
def test_what_only_this_machine_reaches(host: str) -> None:
    assert is_local(host)
    ServeSettings(INDEX, host=host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org", "", "127.0.0.1.example.org"])
def test_every_other_address_asks_for_a_token(host: str) -> None:
    assert not is_local(host)
    with pytest.raises(ValueError, match="lets other machines connect; give a token"):
        ServeSettings(INDEX, host=host)
    assert ServeSettings(INDEX, host=host, token=TOKEN).token == TOKEN


@pytest.mark.parametrize(
    "token", ["short", "with a space in its middle", "ümlaute-sind-nicht-ascii", "a" * 15]
)
def test_a_token_is_long_and_plain(token: str) -> None:
    with pytest.raises(ValueError, match=r"token must be 16 or more letters.*leave --token out"):
        ServeSettings(INDEX, token=token)


def test_a_refused_token_is_not_shown() -> None:
    with pytest.raises(ValueError) as caught:
        ServeSettings(INDEX, token="my secret")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(ValueError, match=f"port must be between 0 and 65535, got {port}"):
        ServeSettings(INDEX, port=port)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (QueryLimits, {"max_upload_mb": 0}),
        (QueryLimits, {"max_sec": float("inf")}),
        (QueryLimits, {"max_sec": float("nan")}),
        (QueryLimits, {"max_waiting": -1}),
        (QueryLimits, {"decode_time_limit_sec": 0.0}),
        (QueryLimits, {"idle_time_limit_sec": -1.0}),
        (ConversionLimits, {"cache_mb": 0}),
        (ConversionLimits, {"height_px": -720}),
    ],
)
def test_a_limit_that_limits_nothing_is_refused(kind: Any, values: dict[str, Any]) -> None:
    (name,) = values
    with pytest.raises(ValueError, match=name):
        kind(**values)
