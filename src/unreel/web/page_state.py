"""What the address of the search page asks for, and the addresses of what lies one step from it."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from unreel.search.filters import Filter
from unreel.web.problems import Problem, echo

PAGE_SIZE = 24
"""Videos on a page: rows of two, three, four and six are full."""
LARGEST_TOP_K = 10 * PAGE_SIZE
_FILTERS = ("labels", "splits", "groups", "min_sec", "max_sec", "path_prefix")
_NAMES = {"labels": "label", "splits": "split", "groups": "group"}
_MOST_VALUES = 100


@dataclass(frozen=True)
class SearchState:
    """One state of the search page; its address says all of it, so that it can be kept and shared.

    Attributes:
        video: id of the video of the collection that is searched with.
        query: id of the query that a file became.
        start_sec: where the stretch of the video starts that is searched with; None for its start.
        end_sec: where it ends; None for its end.
        unit: what is searched for.
        top_k: most hits.
        page: of the list of videos, from 1; hits are not paged.
        labels: of which a video needs one.
        splits: of which a video needs one.
        groups: of which a video needs one.
        min_sec: length that a video has at least.
        max_sec: length that a video has at most; None for any.
        path_prefix: how its path begins.
    """

    video: str = ""
    query: str = ""
    start_sec: float | None = None
    end_sec: float | None = None
    unit: Literal["video", "clip"] = "video"
    top_k: int = PAGE_SIZE
    page: int = 1
    labels: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    min_sec: float | None = None
    max_sec: float | None = None
    path_prefix: str = ""

    @classmethod
    def read(cls, params: QueryParams) -> Self:
        """Read an address; parameters without a value are as good as absent.

        Raises:
            Problem: a value makes no sense.
        """
        unit = params.get("unit", "").strip() or "video"
        if unit not in ("video", "clip"):
            raise Problem(422, "invalid_parameter", f"unit must be video or clip, got {echo(unit)}")
        query = params.get("query", "").strip()
        state = cls(
            video=params.get("video", "").strip(),
            query=query,
            # The stretch of a file was chosen when it was sent.
            start_sec=None if query else _read_seconds(params, "start_sec"),
            end_sec=None if query else _read_seconds(params, "end_sec"),
            unit=unit,  # type: ignore[arg-type]
            top_k=read_count(params, "top_k", PAGE_SIZE, LARGEST_TOP_K),
            page=read_count(params, "page", 1, 10**9),
            labels=_read_values(params, "label"),
            splits=_read_values(params, "split"),
            groups=_read_values(params, "group"),
            min_sec=_read_seconds(params, "min_sec"),
            max_sec=_read_seconds(params, "max_sec"),
            path_prefix=params.get("path_prefix", "").strip(),
        )
        for name, low, high in (
            ("sec", state.min_sec, state.max_sec),
            ("end", state.start_sec, state.end_sec),
        ):
            if low is not None and high is not None and low > high:
                what = ("min_sec", "max_sec") if name == "sec" else ("start_sec", "end_sec")
                raise Problem(
                    422,
                    "invalid_parameter",
                    f"{what[0]} must not be above {what[1]}, got {low:g} and {high:g}",
                )
        return state

    @property
    def filter(self) -> Filter:
        """Which videos may be found."""
        return Filter(
            labels=self.labels,
            splits=self.splits,
            groups=self.groups,
            min_sec=self.min_sec or 0.0,
            max_sec=math.inf if self.max_sec is None else self.max_sec,
            path_prefix=self.path_prefix,
        )

    @property
    def has_query(self) -> bool:
        """Whether something is searched with; else the videos of the collection are listed."""
        return bool(self.video or self.query)

    def change(self, **values: Any) -> str:  # noqa: ANN401 (of any field)
        """Return the address of the same state but for some values."""
        return dataclasses.replace(self, **values).address

    @property
    def address(self) -> str:
        """Where this state is found; what is at its default is left out."""
        pairs: list[tuple[str, str]] = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                name = _NAMES.get(field.name, field.name)
                values = value if isinstance(value, tuple) else (value,)
                pairs += [(name, f"{own:.10g}" if isinstance(own, float) else str(own)) for own in values]
        return f"/?{urlencode(pairs)}" if pairs else "/"

    @property
    def without_query(self) -> str:
        """The address that lists the videos instead."""
        return self.change(video="", query="", start_sec=None, end_sec=None, top_k=PAGE_SIZE, page=1)

    @property
    def without_filters(self) -> str:
        """The address where every video may be found."""
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        return self.change(**{name: defaults[name] for name in _FILTERS}, page=1)


def list_pages(number: int, total: int, address: str, *, size: int = PAGE_SIZE) -> dict[str, Any]:
    """Return the number of a page, the last one, and the addresses before and behind it, "" for none.

    Args:
        number: of the page, from 1.
        total: things in the list.
        address: of the list, to which ``page`` can be added.
        size: things on a page.
    """
    last = max(1, math.ceil(total / size))

    def at(page: int) -> str:
        if not 1 <= page <= last:
            return ""
        return address if page == 1 else f"{address}{'&' if '?' in address else '?'}page={page}"

    return {"number": number, "last": last, "previous": at(min(number, last + 1) - 1), "next": at(number + 1)}


def read_count(params: QueryParams, name: str, default: int, largest: int) -> int:
    """Read a number of a request: digits, from 1.

    Raises:
        Problem: it is none, or too large.
    """
    text = params.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:19]) <= largest and len(text) < 19):
        raise Problem(
            422, "invalid_parameter", f"{name} must be a number from 1 to {largest}, got {echo(text)}"
        )
    return int(text)


def _read_seconds(params: QueryParams, name: str) -> float | None:
    text = params.get(name, "").strip()
    if not text:
        return None
    try:
        seconds = float(text.replace(",", "."))
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise Problem(422, "invalid_parameter", f"{name} must be 0 or more seconds, got {echo(text)}")
    return seconds


def _read_values(params: QueryParams, name: str) -> tuple[str, ...]:
    values: Sequence[str] = [value for value in params.getlist(name) if value.strip()]
    if len(values) > _MOST_VALUES:
        raise Problem(
            422, "invalid_parameter", f"{name} may be given {_MOST_VALUES} times, got {len(values)}"
        )
    return tuple(dict.fromkeys(values))
