import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.web.served import Told, call_app
from unreel.web.problems import Problem, add_problem_handlers
from unreel.web.settings import QueryLimits
from unreel.web.uploads import receive_form

MB = 1 << 20
BOUNDARY = "----boundary"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"
LIMITS = QueryLimits(max_upload_mb=1)


def part(name: str, content: bytes, *, file_name: str | None = None) -> bytes:
    disposition = f'form-data; name="{name}"' + (f'; filename="{file_name}"' if file_name is not None else "")
    return f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


def build(path: Path) -> FastAPI:
    app = FastAPI()
    add_problem_handlers(app)

    @app.post("/")
    async def post(request: Request) -> Any:
        form = await receive_form(request, path, LIMITS)
        return {"name": form.file_name, "bytes": form.num_bytes, "fields": form.fields}

    return app


def send(path: Path, body: bytes, headers: dict[str, str] | None = None) -> Told:
    return call_app(build(path), "POST", "/", {"Content-Type": TYPE} if headers is None else headers, body)


def read_code(told: Told) -> str:
    return str(json.loads(told.body)["error"]["code"])


def test_the_file_and_the_other_fields_arrive(tmp_path: Path) -> None:
    body = (
        part("start_sec", b"1.5") + part("file", b"a video", file_name="my video.mp4") + part("x", b"y") + END
    )
    told = send(tmp_path / "out", body)
    assert json.loads(told.body) == {
        "name": "my video.mp4",
        "bytes": 7,
        "fields": {"start_sec": "1.5", "x": "y"},
    }
    assert (tmp_path / "out").read_bytes() == b"a video"


@pytest.mark.parametrize(
    ("given_name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\\\Users\\\\me\\\\a.mp4", "a.mp4"),
        ("a\x1b[31m.mp4", "a?[31m.mp4"),
        ("", "video"),
        ("/", "video"),
        ("x" * 500, "x" * 120),
    ],
)
def test_a_file_name_is_for_showing_alone(tmp_path: Path, given_name: str, shown: str) -> None:
    told = send(tmp_path / "out", part("file", b"v", file_name=given_name) + END)
    assert json.loads(told.body)["name"] == shown
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_of_just_the_limit_arrives_and_one_byte_more_does_not(tmp_path: Path) -> None:
    assert send(tmp_path / "out", part("file", bytes(MB), file_name="a") + END).status == 200
    assert (tmp_path / "out").stat().st_size == MB
    told = send(tmp_path / "out", part("file", bytes(MB + 1), file_name="a") + END)
    assert (told.status, read_code(told)) == (413, "too_large")
    assert "1 MiB" in json.loads(told.body)["error"]["message"]


def test_what_a_visitor_says_of_the_size_is_not_trusted(tmp_path: Path) -> None:
    body = part("file", bytes(2 * MB), file_name="a") + END
    told = send(tmp_path / "out", body, {"Content-Type": TYPE, "Content-Length": "10"})
    assert told.status == 413
    honest = send(tmp_path / "out", b"", {"Content-Type": TYPE, "Content-Length": str(10 * MB)})
    assert honest.status == 413  # refused before a byte of it is read
    strange = send(
        tmp_path / "out",
        part("file", b"v", file_name="a") + END,
        {"Content-Type": TYPE, "Content-Length": "²"},
    )
    assert strange.status == 200


def test_other_fields_cannot_fill_the_memory(tmp_path: Path) -> None:
    body = b"".join(part(f"field{number}", bytes(5000)) for number in range(19))
    told = send(tmp_path / "out", body + part("file", b"v", file_name="a") + END)
    fields = json.loads(told.body)["fields"]
    assert len(fields) == 10
    assert max(len(value) for value in fields.values()) <= 5201


def test_a_form_that_is_large_but_for_its_file_is_refused_too(tmp_path: Path) -> None:
    body = part("other", bytes(2 * MB)) + part("file", b"v", file_name="a") + END
    assert send(tmp_path / "out", body).status == 413


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ({}, END, 415, "no_form"),
        ({"Content-Type": "application/json"}, b"{}", 415, "no_form"),
        ({"Content-Type": "multipart/form-data"}, END, 415, "no_form"),
        ({"Content-Type": f"multipart/form-data; boundary={'b' * 300}"}, END, 415, "no_form"),
        ({"Content-Type": TYPE}, b"", 400, "damaged_form"),
        ({"Content-Type": TYPE}, b"no form at all", 400, "damaged_form"),
        ({"Content-Type": TYPE}, part("file", b"half", file_name="a"), 400, "damaged_form"),
        ({"Content-Type": TYPE}, part("other", b"x") + END, 400, "no_file"),
        ({"Content-Type": TYPE}, part("file", b"text, no file") + END, 400, "no_file"),
        ({"Content-Type": TYPE}, part("file", b"", file_name="a") * 2 + END, 400, "several_files"),
        (
            {"Content-Type": TYPE},
            f"--{BOUNDARY}\r\nX: {'y' * 9000}\r\n\r\n".encode() + END,
            400,
            "damaged_form",
        ),
    ],
)
def test_what_is_no_form_with_one_file_is_refused(
    tmp_path: Path, headers: dict[str, str], body: bytes, status: int, code: str
) -> None:
    told = send(tmp_path / "out", body, headers)
    assert (told.status, read_code(told)) == (status, code)


@given(st.binary(max_size=300), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_whatever_break_it(tmp_path: Path, content: bytes, is_inside: bool) -> None:
    body = part("file", content, file_name="a") + content if is_inside else content
    assert send(tmp_path / "out", body).status in (200, 400)


class SlowRequest:
    """A request whose body comes piece by piece, with a rest before each."""

    def __init__(self, pieces: list[bytes], rest_sec: float) -> None:
        self.headers = {"content-type": TYPE}
        self._pieces, self._rest_sec = pieces, rest_sec

    async def stream(self) -> Any:
        for piece in self._pieces:
            await asyncio.sleep(self._rest_sec)
            yield piece


@pytest.mark.parametrize(
    ("limits", "rest_sec"),
    [
        (QueryLimits(idle_time_limit_sec=0.05), 0.5),
        (QueryLimits(upload_time_limit_sec=0.3, idle_time_limit_sec=10.0), 0.02),
    ],
    ids=["silent", "trickling"],
)
def test_who_is_too_slow_is_given_up(tmp_path: Path, limits: QueryLimits, rest_sec: float) -> None:
    body = part("file", bytes(300), file_name="a") + END
    request: Any = SlowRequest([body[place : place + 1] for place in range(len(body))], rest_sec)
    with pytest.raises(Problem, match="did not arrive in time") as caught:
        asyncio.run(asyncio.wait_for(receive_form(request, tmp_path / "out", limits), 5))
    assert caught.value.status == 408


def test_pieces_of_one_byte_are_put_together(tmp_path: Path) -> None:
    body = part("file", b"a video", file_name="a") + END
    request: Any = SlowRequest([body[place : place + 1] for place in range(len(body))], 0.0)
    form = asyncio.run(receive_form(request, tmp_path / "out", QueryLimits()))
    assert (form.num_bytes, (tmp_path / "out").read_bytes()) == (7, b"a video")


def test_a_form_of_very_many_fields_is_refused_early(tmp_path: Path) -> None:
    """Each takes longer to tell apart than to send, and all other visitors wait meanwhile."""
    told = send(tmp_path / "out", part("a", b"") * 21 + part("file", b"v", file_name="a") + END)
    assert (told.status, read_code(told)) == (400, "damaged_form")
    assert send(tmp_path / "out", part("a", b"") * 19 + part("file", b"v", file_name="a") + END).status == 200


def test_many_short_headers_are_as_bad_as_a_long_one(tmp_path: Path) -> None:
    headers = "".join(f"X{number}: {'y' * 1200}\r\n" for number in range(4))
    told = send(tmp_path / "out", f"--{BOUNDARY}\r\n{headers}\r\n".encode() + END)
    assert (told.status, read_code(told)) == (400, "damaged_form")
    assert "headers" in json.loads(told.body)["error"]["message"]
