import io
import json
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.served import Told, call_app
from unreel.web.ranges import parse_range, send_file
from unreel.web.video_files import OpenFile

CONTENT = bytes(range(100))
HEADS = {"accept-ranges": "bytes"}


def ask(headers: dict[str, str], *, method: str = "GET") -> tuple[Told, Any]:
    from starlette.requests import Request

    file = io.BytesIO(CONTENT)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        opened = OpenFile(cast(Any, file), len(CONTENT), 17)
        answer = send_file(opened, "video/mp4", method, Request(scope).headers)
        await answer(scope, receive, send)

    return call_app(app, method, "/", headers), file


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=10-19", 10, 19),
        ("bytes=90-", 90, 99),
        ("bytes=90-1000", 90, 99),
        ("bytes=-5", 95, 99),
        ("bytes=-1000", 0, 99),
        ("bytes = 3 - 4", 3, 4),
    ],
)
def test_the_part_that_was_asked_for_is_sent(header: str, first: int, last: int) -> None:
    told, file = ask({"Range": header})
    assert told.status == 206
    assert told.body == CONTENT[first : last + 1]
    assert told.headers["content-range"] == f"bytes {first}-{last}/100"
    assert told.headers["content-length"] == str(last - first + 1)
    assert told.headers["content-type"] == "video/mp4"
    assert file.closed


@pytest.mark.parametrize(
    "header", ["", "bytes=", "bytes=-", "bytes=5-4", "bytes=0-1,4-5", "lines=0-1", "bytes=a-b", "bytes=0-1x"]
)
def test_what_is_no_single_range_gives_everything(header: str) -> None:
    told, file = ask({"Range": header} if header else {})
    assert (told.status, told.body) == (200, CONTENT)
    assert "content-range" not in told.headers
    assert told.headers["accept-ranges"] == "bytes"
    assert file.closed


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=500-600", "bytes=-0"])
def test_bytes_behind_the_end_are_refused_with_the_size(header: str) -> None:
    told, file = ask({"Range": header})
    assert told.status == 416
    assert told.headers["content-range"] == "bytes */100"
    assert json.loads(told.body)["error"]["code"] == "bad_range"
    assert file.closed


def test_head_tells_without_sending() -> None:
    told, file = ask({"Range": "bytes=0-9"}, method="HEAD")
    assert (told.status, told.body) == (206, b"")
    assert told.headers["content-length"] == "10"
    assert file.closed


def test_a_part_of_another_version_is_not_mixed_in() -> None:
    etag = ask({})[0].headers["etag"]
    assert ask({"Range": "bytes=0-9", "If-Range": etag})[0].status == 206
    told, _ = ask({"Range": "bytes=0-9", "If-Range": '"another"'})
    assert (told.status, told.body) == (200, CONTENT)


def test_who_has_it_already_gets_nothing() -> None:
    etag = ask({})[0].headers["etag"]
    told, file = ask({"If-None-Match": f'"x", {etag}'})
    assert (told.status, told.body) == (304, b"")
    assert file.closed
    assert ask({"If-None-Match": '"x"'})[0].status == 200


def test_the_tag_changes_with_the_file() -> None:
    tags = {OpenFile(cast(Any, None), size, time).etag for size in (1, 2) for time in (3, 4)}
    assert len(tags) == 4
    assert all(tag.startswith('"') for tag in tags)


@given(st.text(max_size=30), st.integers(0, 50))
def test_no_header_whatever_breaks_it(header: str, size: int) -> None:
    for text in (header, f"bytes={header}"):
        try:
            found = parse_range(text, size)
        except ValueError:
            continue
        assert found is None or 0 <= found.start < found.stop <= size


@given(st.integers(0, 99), st.integers(0, 99))
def test_a_range_is_what_a_slice_would_give(first: int, last: int) -> None:
    found = parse_range(f"bytes={first}-{last}", 100)
    assert found is None if last < first else found == range(first, last + 1)


def test_a_file_that_is_cut_while_it_is_sent_ends_early(tmp_path: Path) -> None:
    opened = OpenFile(cast(Any, io.BytesIO(CONTENT[:40])), 100, 0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        from starlette.datastructures import Headers

        await send_file(opened, "video/mp4", "GET", Headers())(scope, receive, send)

    assert call_app(app, "GET", "/").body == CONTENT[:40]
