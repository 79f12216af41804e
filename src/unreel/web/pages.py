"""The pages: what the API answers, written by the server, each state at an address that can be kept."""

import json
import mimetypes
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.staticfiles import StaticFiles

from unreel import __version__
from unreel.web.context import WebContext
from unreel.web.page_api import list_endpoints
from unreel.web.page_map import show_map
from unreel.web.page_runs import compare_runs, describe_run, list_runs
from unreel.web.page_search import show_search
from unreel.web.page_video import show_video_page
from unreel.web.problems import Problem

_FOLDER = Path(__file__).parent
_NAVIGATION = (("/", "Search"), ("/map", "Map"), ("/runs", "Runs"), ("/api", "API"))
_NOT_PAGES = ("/api/", "/media/", "/thumbnails/", "/static/")
_MOST_COMPARED = 8

Show = Callable[..., HTMLResponse]


class _PageFiles(StaticFiles):
    """Files that browsers may keep, as long as they ask whether these are still the newest."""

    def file_response(self, *args: Any, **values: Any) -> Response:  # noqa: ANN401 (as its parent has it)
        response = super().file_response(*args, **values)
        response.headers["Cache-Control"] = "no-cache"
        return response


def add_pages(app: FastAPI, context: WebContext) -> None:
    """Add the pages and their files to an application; what a page cannot show becomes a page, too.

    Args:
        app: with its API and its handlers of problems.
        context: what is served.
    """
    for suffix, kind in ((".css", "text/css"), (".js", "text/javascript"), (".svg", "image/svg+xml")):
        mimetypes.add_type(kind, suffix)  # the tables of some machines know them by other names, or not
    app.mount("/static", _PageFiles(directory=_FOLDER / "static"), name="static")
    show = partial(_render, _build_environment(), context)
    _add_collection_pages(app, context, show)
    _add_run_pages(app, context, show)

    @app.get("/api", include_in_schema=False)
    def api_page(request: Request) -> HTMLResponse:
        endpoints = list_endpoints(app.openapi())
        return show("api.html", {"page": "API", "endpoints": endpoints, "origin": str(request.base_url)[:-1]})

    for kind, answer in list(app.exception_handlers.items()):
        app.exception_handlers[kind] = _show_problems(answer, show)


def _add_collection_pages(app: FastAPI, context: WebContext, show: Show) -> None:
    @app.get("/", include_in_schema=False)
    def search_page(request: Request) -> HTMLResponse:
        view, status = show_search(context, request.query_params)
        return show("search.html", view, status)

    @app.get("/videos/{video_id}", include_in_schema=False)
    def video_page(request: Request, video_id: str) -> HTMLResponse:
        return show("video.html", show_video_page(context, video_id, request.query_params))

    @app.get("/map", include_in_schema=False)
    def map_page(request: Request) -> HTMLResponse:
        return show("map.html", show_map(context, request.query_params))


def _add_run_pages(app: FastAPI, context: WebContext, show: Show) -> None:
    @app.get("/runs", include_in_schema=False)
    def runs_page() -> HTMLResponse:
        folder = context.settings.runs
        reason = (
            f"There is no run in {folder} yet. A run is what training leaves behind:"
            if folder
            else "No folder of runs is shown. Start the server with one:"
        )
        command = "unreel recipes" if folder else f"unreel serve --index {context.settings.index} --runs runs"
        view = list_runs(context.runs.read_all())
        return show("runs.html", {"page": "Runs", "reason": reason, "command": command, **view})

    @app.get("/runs/{name:path}", include_in_schema=False)
    def run_page(name: str) -> HTMLResponse:
        return show("run.html", {"page": "Runs", **describe_run(name, context.runs.read(name))})

    @app.get("/compare", include_in_schema=False)
    def compare_page(request: Request) -> HTMLResponse:
        names = list(dict.fromkeys(request.query_params.getlist("run")))
        if not 2 <= len(names) <= _MOST_COMPARED:
            text = f"2 to {_MOST_COMPARED} runs can be compared, got {len(names)}"
            raise Problem(422, "invalid_parameter", text, "choose them in the list of runs")
        runs = [(name, context.runs.read(name)) for name in names]
        return show("run.html", {"page": "Runs", **compare_runs(runs)})


def _build_environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "clock": write_clock,
        "plain": write_plain,
        "name": lambda path: str(path).rpartition("/")[2] or path,
        "sentence": write_sentence,
    }
    environment.globals |= {
        # Another version is another address, whatever a browser has kept.
        "static": lambda name: f"/static/{name}?v={__version__}",
        "navigation": _NAVIGATION,
    }
    return environment


def _render(
    environment: Environment, context: WebContext, template: str, view: dict[str, Any], status: int = 200
) -> HTMLResponse:
    footer = f"unreel {__version__}, {context.name}"
    return HTMLResponse(environment.get_template(template).render(footer=footer, **view), status)


def _show_problems(answer: Callable[[Request, Any], Any], show: Show) -> Callable[..., Awaitable[Response]]:
    """Return a handler that tells a browser of a problem by a page, and anything else as before."""

    async def answer_in_kind(request: Request, error: Exception) -> Response:
        told: JSONResponse = await answer(request, error)
        is_page = "text/html" in request.headers.get("accept", "")
        if not is_page or request.url.path.startswith(_NOT_PAGES):
            return told
        text = json.loads(bytes(told.body))["error"]
        title = "Not found" if told.status_code == 404 else "This cannot be shown"
        page = show("error.html", {"page": "", "title": title, **text}, told.status_code)
        for name in ("retry-after", "allow"):
            if name in told.headers:
                page.headers[name] = told.headers[name]
        return page

    return answer_in_kind


def write_clock(seconds: float) -> str:
    """Return a time in a video as players write it, such as ``1:02:03`` or ``0:03.5``."""
    tenths = round(10 * max(0.0, float(seconds)))
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest // 10:02d}" + (f".{rest % 10}" if rest % 10 else "")
    return f"{hours}:{minutes:02d}:{text}" if hours else f"{minutes}:{text}"


def write_plain(seconds: float) -> str:
    """Return seconds as a field holds them, "" for 0, which stands for the start or the end of a video."""
    return f"{seconds:.2f}".rstrip("0").rstrip(".") if seconds else ""


def write_sentence(text: str) -> str:
    """Return a message with a capital letter and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) or not text else ".")
