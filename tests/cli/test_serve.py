import importlib.util
from pathlib import Path
from typing import Any

import pytest

from tests.web.served import Served, make_served
from unreel.cli import serve as command
from unreel.cli.main import run
from unreel.cli.serve import Arguments, build_settings
from unreel.web.settings import ServeSettings

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def served(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Served:
    return make_served(corpus, tmp_path_factory.mktemp("served"))


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch) -> list[ServeSettings]:
    """Let the command do all but listen."""
    seen: list[ServeSettings] = []

    def serve(settings: ServeSettings, *, on_start: Any) -> None:
        from unreel.web.context import WebContext

        context = WebContext(settings)
        try:
            seen.append(settings)
            on_start("http://127.0.0.1:8420", context)
        finally:
            context.close()
        raise KeyboardInterrupt

    monkeypatch.setattr("unreel.web.server.serve", serve)
    return seen


def test_what_is_served_is_said_with_its_address(
    served: Served, announced: list[ServeSettings], capsys: Capture
) -> None:
    assert run(["serve", "--index", str(served.index), "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert "12 videos, 24 vectors" in out
    assert "http://127.0.0.1:8420\n" in out
    assert "this machine only" in out
    assert "untrained, seed 0" not in capsys.readouterr().err
    assert announced[0].token == ""
    assert "Stopped" in out


def test_a_mirror_is_searched_where_one_is_named(served: Served, announced: list[ServeSettings]) -> None:
    assert run(["serve", "--index", str(served.index), "--device", "cpu", "--qdrant", ":memory:"]) == 0
    assert run(["serve", "--index", str(served.index), "--device", "cpu"]) == 0
    assert [settings.qdrant for settings in announced] == [":memory:", ""]


def test_for_other_machines_a_token_is_made_and_printed_once(
    served: Served, announced: list[ServeSettings], capsys: Capture
) -> None:
    assert run(["serve", "--index", str(served.index), "--host", "0.0.0.0", "--device", "cpu"]) == 0
    captured = capsys.readouterr()
    token = announced[0].token
    assert len(token) >= 32
    assert captured.out.count(token) == 1
    assert f"/?token={token}" in captured.out
    assert token not in captured.err


def test_two_servers_have_two_tokens(served: Served) -> None:
    tokens = {build_settings(Arguments(served.index, host="0.0.0.0")).token for _ in range(2)}
    assert len(tokens) == 2


def test_the_browser_is_opened_when_asked_for(
    served: Served, announced: list[ServeSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(command.webbrowser, "open", opened.append)
    words = ["serve", "--index", str(served.index), "--device", "cpu", "--token", "a-token-of-my-own-1"]
    assert run(words) == 0
    assert opened == []
    assert run([*words, "--open"]) == 0
    assert opened == ["http://127.0.0.1:8420/?token=a-token-of-my-own-1"]


def test_every_flag_arrives(served: Served, tmp_path: Path) -> None:
    settings = build_settings(
        Arguments(
            served.index,
            encoder=served.encoder,
            runs=tmp_path,
            host="::1",
            port=99,
            allowed_hosts=("a.example",),
            device="cpu",
            max_upload_mb=7,
            max_query_sec=8.0,
            conversion_cache_mb=9,
        )
    )
    assert (settings.index, settings.encoder, settings.runs) == (served.index, served.encoder, tmp_path)
    assert (settings.host, settings.port, settings.allowed_hosts) == ("::1", 99, ("a.example",))
    assert (settings.query.max_upload_mb, settings.query.max_sec) == (7, 8.0)
    assert (settings.conversion.cache_mb, settings.device) == (9, "cpu")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--index", "absent.index"], 1, "absent.index"),
        (["--runs", "absent"], 1, "--runs absent is no folder"),
        (["--encoder", "absent"], 1, "absent holds no encoder"),
        (["--token", "short"], 2, "token must be 16 or more"),
        (["--port", "70000"], 2, "port must be between 0 and 65535"),
        (["--max-upload-mb", "0"], 2, "max_upload_mb must be above 0, got 0"),
        (["--host", "203.0.113.1"], 1, "cannot listen on 203.0.113.1"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_right_code(
    served: Served, capsys: Capture, words: list[str], code: int, message: str
) -> None:
    assert run(["serve", "--index", str(served.index), "--device", "cpu", "--port", "0", *words]) == code
    assert message in capsys.readouterr().err


def test_a_package_that_is_missing_is_named_with_the_extra(
    served: Served, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uvicorn" else real(name))
    assert run(["serve", "--index", str(served.index)]) == 1
    assert "needs uvicorn; `pip install unreel[web]`" in capsys.readouterr().err


def test_without_an_encoder_there_is_a_warning(
    served: Served, announced: list[ServeSettings], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unreel.web.context._load_encoder", lambda settings, info: (None, "it is gone"))
    assert run(["serve", "--index", str(served.index)]) == 0
    assert "files cannot be searched with: it is gone; give --encoder" in capsys.readouterr().err


def test_help_has_an_example(capsys: Capture) -> None:
    assert run(["serve", "--help"]) == 0
    assert "unreel serve --index videos.index" in capsys.readouterr().out
