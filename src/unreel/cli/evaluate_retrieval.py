"""Recall@k: the share of queries with at least one of their class among their k nearest.

Videos are compared by the mean of their vectors, clips one by one; nearness is cosine similarity.
"""

from dataclasses import dataclass
from pathlib import Path

from unreel.cli.evaluate_output import (
    ComparisonArguments,
    check_output,
    close,
    count_vectors,
    deliver,
    show_recall,
    warn_of_collapse,
    warn_of_ks,
)
from unreel.cli.terminal import parse_arguments
from unreel.evaluate.retrieval import DEFAULT_KS, evaluate_retrieval
from unreel.features.table import FeatureTable


@dataclass(frozen=True, kw_only=True)
class Arguments(ComparisonArguments):
    """What to measure."""

    features: Path
    """Table that `unreel extract` wrote."""
    ks: tuple[int, ...] = DEFAULT_KS
    """Numbers of neighbours."""


def main(argv: list[str]) -> None:
    """Run the protocol."""
    arguments = parse_arguments(
        Arguments,
        argv,
        command="evaluate retrieval",
        description=__doc__ or "",
        example="unreel evaluate retrieval --features features.parquet --out retrieval.json",
    )
    check_output(arguments, {"--features": arguments.features})
    table = FeatureTable.load(arguments.features)
    warn_of_collapse(table)
    result = evaluate_retrieval(table, ks=arguments.ks, config=arguments.config)
    values = result.to_json()
    if not deliver(values, arguments):
        return
    rows: dict[str, object] = {
        "features": f"{result.features['encoder']}, {arguments.features}",
        "pooling": result.features["pooling"],
    }
    for level, measured in result.levels.items():
        show_recall(f"Retrieval, {level} level", measured.recall, measured.chance)
        warn_of_ks(measured.impossible_ks, measured.gallery)
        rows[f"{level} level"] = count_vectors(
            measured.queries, measured.gallery, measured.without_target, arguments.by
        )
    close(values, arguments, rows, [f"unreel evaluate knn --features {arguments.features}"])
