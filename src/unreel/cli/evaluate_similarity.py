"""CACL's Table 3: the mean cosine of the embeddings that its pairs bring together.

G is the 3D CNN and T the video transformer; q is the query view and k the key view, embedded by the momentum
encoder. Needs the run, since an encoder is the query's 3D CNN alone. Nothing in the run changes.
"""

from dataclasses import dataclass

from unreel.cli.evaluate_output import deliver
from unreel.cli.evaluate_run import RunArguments, close_run, measure_run, next_command
from unreel.cli.terminal import parse_arguments, print_table
from unreel.evaluate.pair_similarity import evaluate_similarity


@dataclass(frozen=True, kw_only=True)
class Arguments(RunArguments):
    """What to measure."""


def main(argv: list[str]) -> None:
    """Run the protocol."""
    arguments = parse_arguments(
        Arguments,
        argv,
        command="evaluate similarity",
        description=__doc__ or "",
        example="unreel evaluate similarity --run runs/cacl --catalog catalog.parquet --out similarity.json",
    )
    result = measure_run(arguments, evaluate_similarity)
    values = result.to_json()
    if not deliver(values, arguments):
        return
    rows = [
        [
            f"{pair[0].upper()}{pair[1]}, {pair[3].upper()}{pair[4]}",
            pair_result.mean,
            pair_result.deviation,
            "-" if pair_result.others is None else pair_result.others,
            "yes" if pair_result.is_trained else "no",
        ]
        for pair, pair_result in result.pairs.items()
    ]
    print_table(
        "Cosine of the embeddings of one clip, and of different videos",
        ["pair", "mean", "deviation", "other videos", "trained"],
        rows,
    )
    next_step = next_command("evaluate degree", arguments)
    has_degree = values["settings"]["method"]["degree_weight"] > 0
    close_run(values, arguments, result.rejected, {}, [next_step] if has_degree else [])
