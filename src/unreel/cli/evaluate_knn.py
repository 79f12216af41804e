"""k-NN accuracy: the k nearest vote for the class of a query.

Each has one vote, or a vote weighs exp(similarity / temperature). Videos are compared by the mean of their
vectors, clips one by one; nearness is cosine similarity.
"""

from dataclasses import dataclass
from pathlib import Path

from unreel.cli.evaluate_output import (
    ComparisonArguments,
    check_output,
    close,
    count_vectors,
    deliver,
    percent,
    warn_of_collapse,
    warn_of_ks,
)
from unreel.cli.terminal import parse_arguments, print_table
from unreel.evaluate.knn import DEFAULT_KS, evaluate_knn
from unreel.features.table import FeatureTable


@dataclass(frozen=True, kw_only=True)
class Arguments(ComparisonArguments):
    """What to measure."""

    features: Path
    """Table that `unreel extract` wrote."""
    ks: tuple[int, ...] = DEFAULT_KS
    """Numbers of neighbours."""
    temperature: float = 0.07
    """Of the weighted vote."""


def main(argv: list[str]) -> None:
    """Run the protocol."""
    arguments = parse_arguments(
        Arguments,
        argv,
        command="evaluate knn",
        description=__doc__ or "",
        example="unreel evaluate knn --features features.parquet --out knn.json",
    )
    check_output(arguments, {"--features": arguments.features})
    table = FeatureTable.load(arguments.features)
    warn_of_collapse(table)
    result = evaluate_knn(
        table,
        ks=arguments.ks,
        temperature=arguments.temperature,
        config=arguments.config,
    )
    values = result.to_json()
    if not deliver(values, arguments):
        return
    rows: dict[str, object] = {
        "features": f"{result.features['encoder']}, {arguments.features}",
        "pooling": result.features["pooling"],
    }
    for level, measured in result.levels.items():
        print_table(
            f"k-NN, {level} level",
            ["k", "one vote each %", "weighted %"],
            [[k, percent(measured.majority[k]), percent(measured.weighted[k])] for k in measured.majority],
        )
        warn_of_ks(measured.impossible_ks, measured.gallery)
        rows[f"{level} level"] = count_vectors(
            measured.queries, measured.gallery, measured.without_target, arguments.by
        )
    close(values, arguments, rows, [f"unreel evaluate retrieval --features {arguments.features}"])
