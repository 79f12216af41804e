"""Send a file, or the part of it that was asked for (RFC 9110, section 14)."""

import re
from collections.abc import AsyncIterator
from typing import BinaryIO

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse

from unreel.web.problems import Problem, answer_problem
from unreel.web.video_files import OpenFile

_PIECE_BYTES = 1 << 18
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def parse_range(header: str, num_bytes: int) -> range | None:
    """Return the bytes that a `Range` header asks for; None for all of them.

    What is no range of bytes, or several at once, asks for all, as the standard allows.

    Args:
        header: such as ``"bytes=0-99"``, ``"bytes=100-"`` or ``"bytes=-100"``; "" when there is none.
        num_bytes: size of the file.

    Raises:
        ValueError: the range lies behind the end of the file.
    """
    found = _RANGE.fullmatch(header.replace(" ", ""))
    if (
        found is None
        or found.groups() == ("", "")
        or (found[1] and found[2] and int(found[2]) < int(found[1]))
    ):
        return None
    if found[1]:
        start, end = int(found[1]), min(int(found[2]) + 1 if found[2] else num_bytes, num_bytes)
    else:
        start, end = max(0, num_bytes - int(found[2])), num_bytes
    if start >= end:
        raise ValueError(f"range {header!r} lies behind the end of {num_bytes} bytes")
    return range(start, end)


def send_file(opened: OpenFile, media_type: str, method: str, headers: Headers) -> Response:
    """Return the answer that sends an open file, and closes it.

    Args:
        opened: the file.
        media_type: what it is.
        method: of the request, GET or HEAD.
        headers: of the request: `Range`, `If-Range` and `If-None-Match` count.
    """
    own = {"Accept-Ranges": "bytes", "ETag": opened.etag, "Cache-Control": "private, no-cache"}
    if opened.etag in headers.get("if-none-match", "").replace(" ", "").split(","):
        opened.file.close()
        return Response(status_code=304, headers=own)
    wanted = headers.get("range", "") if headers.get("if-range", opened.etag) == opened.etag else ""
    try:
        asked = parse_range(wanted, opened.num_bytes)
    except ValueError as error:
        opened.file.close()
        refusal = answer_problem(Problem(416, "bad_range", str(error), "ask for bytes that are there"))
        refusal.headers.update({**own, "Content-Range": f"bytes */{opened.num_bytes}"})
        return refusal
    part = range(opened.num_bytes) if asked is None else asked
    own["Content-Length"] = str(len(part))
    if asked is not None:
        own["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{opened.num_bytes}"
    status = 200 if asked is None else 206
    if method == "HEAD":
        opened.file.close()
        return Response(status_code=status, headers=own, media_type=media_type)
    return _FileResponse(opened.file, part, status, own, media_type)


class _FileResponse(StreamingResponse):
    """Closes its file, even when the visitor leaves before the first byte."""

    def __init__(
        self, file: BinaryIO, part: range, status: int, headers: dict[str, str], media_type: str
    ) -> None:
        super().__init__(_read(file, part), status, headers, media_type)
        self._file = file

    async def __call__(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        """Send the file."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()


async def _read(file: BinaryIO, part: range) -> AsyncIterator[bytes]:
    await to_thread.run_sync(file.seek, part.start)
    left = len(part)
    while left:
        piece = await to_thread.run_sync(file.read, min(left, _PIECE_BYTES))
        if not piece:  # the file was cut while it was sent; the visitor sees that bytes are missing
            return
        left -= len(piece)
        yield piece
