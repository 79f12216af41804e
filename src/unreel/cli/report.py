"""Draw figures of what a run has learned."""

import importlib
import sys

FIGURES = {
    "attention": ("report_attention", "which frames CACL's transformer looks at, and in their shuffled copy"),
}
"""Figure -> (module of this package, what it shows). Modules are imported only when their figure is drawn."""


def main(argv: list[str]) -> None:
    """Draw one figure; without one, list them and leave with 2."""
    if argv and argv[0] in FIGURES:
        importlib.import_module(f"unreel.cli.{FIGURES[argv[0]][0]}").main(argv[1:])
        return
    is_help = bool(argv) and argv[0] in ("-h", "--help")
    stream = sys.stdout if is_help else sys.stderr
    if argv and not is_help:
        stream.write(f"error: no figure {argv[0]!r}; the figures are: {', '.join(FIGURES)}\n\n")
    stream.write(_help())
    sys.exit(0 if is_help else 2)


def _help() -> str:
    width = max(map(len, FIGURES))
    return "\n".join(
        [
            "usage: unreel report FIGURE ...",
            "",
            (__doc__ or "").strip(),
            "",
            "figures:",
            *(f"  {name:<{width}}  {text}" for name, (_, text) in FIGURES.items()),
            "",
            "`unreel report FIGURE --help` explains one.",
            "",
            "example:",
            "  unreel report attention --run runs/cacl --catalog catalog.parquet --out attention.png",
            "",
        ]
    )
