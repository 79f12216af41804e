"""Serve a page on which a collection of videos is searched by example, and its JSON API.

Only this machine can connect unless another --host is given; then visitors need the token that is printed.
"""

import importlib.util
import secrets
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unreel.cli.terminal import parse_arguments, print_summary, print_warning
from unreel.errors import UnreelError

if TYPE_CHECKING:
    from unreel.web.context import WebContext
    from unreel.web.settings import ServeSettings

_PACKAGES = ("fastapi", "uvicorn", "jinja2", "python_multipart")


@dataclass(frozen=True)
class Arguments:
    """What to serve, and to whom."""

    index: Path
    """File that `unreel index` wrote."""
    qdrant: str = ""
    """Search the mirror of the index there: address of a Qdrant server, or a folder; see `unreel index`."""
    encoder: Path | None = None
    """Folder of the encoder that made it; by default the one that the index names, if it is still there."""
    runs: Path | None = None
    """Folder of training runs to show."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets other machines connect."""
    port: int = 8420
    """Port to listen on; 0 takes any free one."""
    token: str = ""
    """What visitors must know; made when other machines may connect and none is given."""
    allowed_hosts: tuple[str, ...] = ()
    """Further names by which browsers call this server, such as that of a proxy before it."""
    device: str = "auto"
    """Where the network runs: auto, cpu, cuda, cuda:1, ..."""
    max_upload_mb: int = 256
    """Largest file that a visitor may search with, in MiB."""
    max_query_sec: float = 1800.0
    """Longest video that a visitor may search with."""
    conversion_cache_mb: int = 4096
    """Converted videos that are kept, in MiB."""
    open: bool = False
    """Open the page in a browser."""


def main(argv: list[str]) -> None:
    """Run the command.

    Raises:
        UnreelError: a package that it needs is missing.
    """
    arguments = parse_arguments(
        Arguments,
        argv,
        command="serve",
        description=__doc__ or "",
        example="unreel serve --index videos.index --runs runs/ --open",
    )
    if missing := [name for name in _PACKAGES if importlib.util.find_spec(name) is None]:
        raise UnreelError(f"`unreel serve` needs {', '.join(missing)}; `pip install unreel[web]`")
    from unreel.web.server import serve

    settings = build_settings(arguments)
    try:
        serve(settings, on_start=lambda address, context: _announce(address, context, arguments.open))
    except KeyboardInterrupt:
        print_summary("Stopped", {})


def build_settings(arguments: Arguments) -> "ServeSettings":
    """Return the settings of a server; a token is made where one is needed and none was given.

    Raises:
        UnreelError: there is no folder of runs.
        ValueError: a number makes no sense.
    """
    from unreel.web.settings import ConversionLimits, QueryLimits, ServeSettings, is_local

    if arguments.runs is not None and not arguments.runs.is_dir():
        raise UnreelError(f"--runs {arguments.runs} is no folder; give the folder that holds the runs")
    token = arguments.token
    if not token and not is_local(arguments.host):
        token = secrets.token_urlsafe(24)
    return ServeSettings(
        index=arguments.index,
        qdrant=arguments.qdrant,
        encoder=arguments.encoder,
        runs=arguments.runs,
        host=arguments.host,
        port=arguments.port,
        token=token,
        allowed_hosts=arguments.allowed_hosts,
        device=arguments.device,
        query=QueryLimits(max_upload_mb=arguments.max_upload_mb, max_sec=arguments.max_query_sec),
        conversion=ConversionLimits(cache_mb=arguments.conversion_cache_mb),
    )


def _announce(address: str, context: "WebContext", is_opened: bool) -> None:
    token = context.settings.token
    link = f"{address}/?token={token}" if token else address
    info = context.index().store.info
    with context.index().store.read() as reader:
        served = f"{reader.count_keys('video')} videos, {reader.count_keys('clip')} vectors"
    rows = {
        "index": f"{context.settings.index}: {served}",
        "encoder": f"{info.encoder} ({info.encoder_hash})",
        "runs": str(context.settings.runs or "none"),
        "visitors": "who knows the token" if token else "this machine only",
        "address": link,
        "end": "Ctrl-C",
    }
    print_summary("Serving", rows)
    if context.encoder is None:
        print_warning(f"files cannot be searched with: {context.encoder_note}; give --encoder")
    if context.folder_note:
        print_warning(context.folder_note)
    if is_opened:
        webbrowser.open(link)
