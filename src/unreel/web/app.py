"""The application: routes, and what stands before them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.routing import APIRoute

from unreel import __version__
from unreel.web.api_runs import build_run_router
from unreel.web.api_search import build_search_router, describe_problems
from unreel.web.api_videos import build_video_router
from unreel.web.context import WebContext
from unreel.web.guard import Guard
from unreel.web.media_routes import build_media_router
from unreel.web.pages import add_pages
from unreel.web.problems import add_problem_handlers
from unreel.web.settings import ServeSettings

_DESCRIPTION = """Search a collection of videos by example. Everything that the pages show can be had as JSON.
Refusals have the form `{"error": {"code", "message", "remedy"}}`. A server that was started with a token asks
for `Authorization: Bearer TOKEN`."""


def create_app(settings: ServeSettings, *, context: WebContext | None = None) -> FastAPI:
    """Return the search page and its JSON API; leaving its lifespan closes the context.

    Args:
        settings: what is served, and to whom.
        context: what requests share, when it has been made already; it is found as ``app.state.context``.

    Raises:
        SearchError: the index is missing or damaged, or the given encoder is not the one that made it.
        UnreelError: the given encoder cannot be loaded.
    """
    shared = context or WebContext(settings)

    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            shared.close()

    app = FastAPI(
        title="unreel",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url="/api/openapi.json",
        # These load their scripts from another server.
        docs_url=None,
        redoc_url=None,
        lifespan=run,
        generate_unique_id_function=_name_operation,
        responses=describe_problems(422),
        redirect_slashes=False,
    )
    app.state.context = shared
    add_problem_handlers(app)
    for build in (build_search_router, build_video_router, build_run_router, build_media_router):
        app.include_router(build(shared))
    add_pages(app, shared)
    app.add_middleware(Guard, settings=settings)
    return app


def _name_operation(route: APIRoute) -> str:
    return route.name
