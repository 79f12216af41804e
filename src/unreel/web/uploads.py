"""Receive a form with one file, piece by piece, and give up on what is too large, too slow or no form."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from unreel.legible import make_legible
from unreel.web.problems import Problem
from unreel.web.settings import QueryLimits

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_LONGEST_FIELD = 200
_LONGEST_HEADERS = 4096
_LONGEST_NAME = 120
_MOST_PARTS = 20
_OVERHEAD_BYTES = 16384
"""What a form may add to the file: boundaries, headers, the other fields."""


@dataclass
class ReceivedForm:
    """A form that has arrived.

    Attributes:
        file_name: as the visitor calls the file, fit to be shown; "" when there was no file.
        num_bytes: of the file.
        fields: the other fields.
    """

    file_name: str = ""
    num_bytes: int = 0
    fields: dict[str, str] = field(default_factory=dict)


async def receive_form(request: Request, path: Path, limits: QueryLimits) -> ReceivedForm:
    """Write the field ``file`` of a multipart form to a path and return the rest.

    Raises:
        Problem: the file is larger than allowed (413), does not arrive in time (408), is missing, or the
            request is no such form (400, 415).
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= 200:
        raise Problem(
            415,
            "no_form",
            "the request is no multipart/form-data",
            "send the video as the field 'file' of one",
        )
    max_bytes = limits.max_upload_mb << 20
    if (
        (declared := request.headers.get("content-length", "")).isascii()
        and declared.isdigit()
        and len(declared) < 20
    ):
        _check_size(int(declared), max_bytes)
    with path.open("wb") as file:
        form = _Form(file, max_bytes)
        parser = MultipartParser(boundary, form.callbacks())
        total = 0
        try:
            async for piece in _read_in_time(request, limits):
                total += len(piece)
                _check_size(total, max_bytes)
                parser.write(piece)
            parser.finalize()
        except FormParserError as error:
            raise Problem(400, "damaged_form", "the form is damaged", "send it again") from error
    if not form.is_complete:
        raise Problem(400, "damaged_form", "the form ends too early", "send it again")
    if not form.has_file:
        raise Problem(400, "no_file", "the form has no field 'file' with a file", "choose a video")
    return form.received


def _check_size(num_bytes: int, max_bytes: int) -> None:
    if num_bytes > max_bytes + _OVERHEAD_BYTES:
        raise Problem(
            413,
            "too_large",
            f"the file is larger than the {max_bytes >> 20} MiB that are allowed",
            "send a shorter or smaller video",
        )


async def _read_in_time(request: Request, limits: QueryLimits) -> AsyncIterator[bytes]:
    pieces = aiter(request.stream())
    clock = asyncio.get_running_loop()
    end = clock.time() + limits.upload_time_limit_sec
    while True:
        patience = min(limits.idle_time_limit_sec, end - clock.time())
        try:
            piece = await asyncio.wait_for(anext(pieces), patience)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise Problem(
                408, "too_slow", "the file did not arrive in time", "send a smaller one, or by a faster line"
            ) from error
        except ClientDisconnect as error:
            raise Problem(400, "disconnected", "the visitor has left") from error
        yield piece


class _Form:
    """Takes what the parser finds: the file to disk, the rest to memory, little of it."""

    def __init__(self, file: IO[bytes], max_bytes: int) -> None:
        self.received = ReceivedForm()
        self.is_complete = self.has_file = False
        self._file, self._max_bytes = file, max_bytes
        self._header = self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._num_parts = self._header_bytes = 0
        self._field = ""
        self._is_file = False
        self._text = b""

    def callbacks(self) -> "MultipartCallbacks":
        """Return what the parser calls."""
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": self._add_header,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._add_data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _begin_part(self) -> None:
        self._num_parts += 1
        if self._num_parts > _MOST_PARTS:
            raise Problem(400, "damaged_form", "the form has too many fields", "send the file alone")
        self._headers, self._header_bytes = {}, 0
        self._field, self._is_file, self._text = "", False, b""

    def _add_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]
        self._check_headers(end - start)

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._check_headers(end - start)

    def _check_headers(self, num_bytes: int) -> None:
        self._header_bytes += num_bytes
        if self._header_bytes > _LONGEST_HEADERS:
            raise Problem(400, "damaged_form", "the form has headers that are too long", "send it again")

    def _end_header(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header = self._value = b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._field = options.get(b"name", b"").decode("utf-8", "replace")
        self._is_file = self._field == "file" and b"filename" in options
        if self._is_file:
            if self.has_file:
                raise Problem(400, "several_files", "the form has several files", "send one at a time")
            self.has_file = True
            name = options[b"filename"].decode("utf-8", "replace").replace("\\", "/")
            self.received.file_name = make_legible(os.path.basename(name))[:_LONGEST_NAME] or "video"

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self.received.num_bytes += end - start
            _check_size(self.received.num_bytes + _OVERHEAD_BYTES, self._max_bytes)
            self._file.write(data[start:end])
        elif len(self._text) <= _LONGEST_FIELD:
            self._text += data[start:end][: _LONGEST_FIELD + 1]

    def _end_part(self) -> None:
        if not self._is_file and len(self.received.fields) < 10:
            self.received.fields[self._field[:_LONGEST_FIELD]] = self._text.decode("utf-8", "replace")

    def _end(self) -> None:
        self.is_complete = True
