"""The command ``unreel``: find the subcommand, run it, turn errors into messages and exit codes."""

import importlib
import os
import sys
from collections.abc import Sequence

from unreel import __version__
from unreel.errors import UnreelError
from unreel.legible import make_legible

COMMANDS = {
    "doctor": ("doctor", "say what this machine has, what is missing and how to get it"),
    "sample-data": ("sample_data", "make a small labelled set of videos to try everything on"),
    "scan": ("scan", "list the videos of a folder in a catalog, and what cannot be used"),
    "motion": ("motion", "measure where in the videos something moves, for methods that prefer that"),
    "prepare": ("prepare", "make small copies of videos that are quick to train on, and a catalog of them"),
    "recipes": ("recipes", "list the recipes, or show one with every number"),
    "pretrain": ("pretrain", "learn a representation from unlabelled video"),
    "extract": ("extract", "turn videos into vectors with a trained encoder"),
    "finetune": ("finetune", "learn the classes of labelled videos, from an encoder or from scratch"),
    "localize": ("localize", "find when something happens: vectors over time, training, proposals, recall"),
    "evaluate": ("evaluate", "measure what was learned: retrieval, k-NN, SVM, the tasks of CCL and of CACL"),
    "report": ("report", "draw figures of what a run has learned"),
    "paper": ("paper", "print the papers' tables, with your own numbers beside them"),
    "predict": ("predict", "say what is in a video, by a classifier that was fine-tuned or fitted"),
    "export": ("export", "hand a network or vectors to others: Hugging Face, torchvision, ONNX, NumPy"),
    "index": ("index", "keep the vectors of a collection in a file that is searched, and up to date"),
    "search": ("search", "find the videos most like a given one"),
    "serve": ("serve", "search a collection on a web page, by example; a JSON API besides"),
}
"""Command -> (module of this package, what it does). Modules are imported only when their command is run."""

EXIT_OK, EXIT_FAILURE, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code: 0 success, 1 failure, 2 wrong usage, 130 interrupted."""
    sys.exit(run(list(sys.argv[1:] if argv is None else argv)))


def run(argv: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    # Threads that wait for their next task sleep: spinning, they would take the cores from decoding workers.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        code = _dispatch(argv)
        sys.stdout.flush()
    except ModuleNotFoundError as error:
        if (error.name or "unreel").startswith("unreel"):
            raise
        _print(f"error: the package {error.name!r} is missing; `pip install {error.name}`", error=True)
        return EXIT_FAILURE
    except (SystemExit, KeyboardInterrupt, UnreelError, OSError, ValueError) as stop:
        return _explain(stop)
    return code


def _dispatch(argv: Sequence[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        _print(_help())
        return EXIT_OK if argv else EXIT_USAGE
    if argv[0] == "--version":
        _print(f"unreel {__version__}")
        return EXIT_OK
    if argv[0] not in COMMANDS:
        _print(f"error: no command {argv[0]!r}; the commands are: {', '.join(COMMANDS)}", error=True)
        return EXIT_USAGE
    module = importlib.import_module(f"unreel.cli.{COMMANDS[argv[0]][0]}")
    module.main(argv[1:])
    return EXIT_OK


def _explain(stop: BaseException) -> int:
    """Say why a command stopped and return the exit code; any other exception is a bug and shows itself."""
    if isinstance(stop, SystemExit):
        if isinstance(stop.code, str):
            _print(stop.code, error=True)
            return EXIT_FAILURE
        return stop.code or EXIT_OK
    if isinstance(stop, BrokenPipeError):
        # The reader, such as `head`, has seen enough; Python would complain again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE
    interrupted = isinstance(stop, KeyboardInterrupt)
    _print("interrupted" if interrupted else f"error: {stop}", error=True)
    if interrupted:
        return EXIT_INTERRUPTED
    return EXIT_USAGE if isinstance(stop, ValueError) else EXIT_FAILURE


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: unreel COMMAND ...",
            "",
            "Learn representations from unlabelled video and put them to use.",
            "",
            "commands, in the order of a first day:",
            *lines,
            "",
            "`unreel COMMAND --help` explains one; `unreel --version` prints the version.",
            "",
            "example:",
            "  unreel scan videos/ --out catalog.parquet",
            "  unreel pretrain moco.small --data.catalog catalog.parquet --run runs/first",
        ]
    )


def _print(text: str, *, error: bool = False) -> None:
    print(make_legible(text, keep_lines=True), file=sys.stderr if error else sys.stdout)
