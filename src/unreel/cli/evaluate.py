"""Measure how good a representation is, without training anything."""

import importlib
import sys

PROTOCOLS = {
    "retrieval": ("evaluate_retrieval", "recall@k: does a query find its class among its k nearest?"),
    "knn": ("evaluate_knn", "k-NN accuracy: do the k nearest vote for the right class?"),
    "cycle": (
        "evaluate_cycle",
        "CCL's tasks: do frames find their clip, clips their frames, both their class?",
    ),
    "similarity": (
        "evaluate_similarity",
        "CACL's pairs: how near are the embeddings of two networks and two views?",
    ),
    "degree": (
        "evaluate_degree",
        "CACL's shuffle degree: how well is it told how far a clip was shuffled?",
    ),
}
"""Protocol -> (module of this package, what it asks). Modules are imported only when their protocol is
run."""


def main(argv: list[str]) -> None:
    """Run one protocol; without one, list them and leave with 2."""
    if argv and argv[0] in PROTOCOLS:
        importlib.import_module(f"unreel.cli.{PROTOCOLS[argv[0]][0]}").main(argv[1:])
        return
    is_help = bool(argv) and argv[0] in ("-h", "--help")
    stream = sys.stdout if is_help else sys.stderr
    if argv and not is_help:
        stream.write(f"error: no protocol {argv[0]!r}; the protocols are: {', '.join(PROTOCOLS)}\n\n")
    stream.write(_help())
    sys.exit(0 if is_help else 2)


def _help() -> str:
    width = max(map(len, PROTOCOLS))
    return "\n".join(
        [
            "usage: unreel evaluate PROTOCOL ...",
            "",
            (__doc__ or "").strip(),
            "",
            "protocols:",
            *(f"  {name:<{width}}  {text}" for name, (_, text) in PROTOCOLS.items()),
            "",
            "`unreel evaluate PROTOCOL --help` explains one.",
            "",
            "example:",
            "  unreel evaluate retrieval --features features.parquet --out retrieval.json",
            "",
        ]
    )
