"""Mean over splits: what several results of one protocol say together, such as those of three splits.

Give the files that `unreel evaluate PROTOCOL --out` wrote, one per split. Every number that all of them have
gets a mean and a standard deviation (n - 1 below the root).
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

from unreel.cli.evaluate_output import OutputArguments, check_output, deliver, keep, name_result, percent
from unreel.cli.terminal import parse_arguments, print_summary, print_table, print_warning
from unreel.evaluate.average_results import AveragedResult, average_results

_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Arguments(OutputArguments):
    """What to average."""

    results: tyro.conf.Positional[tuple[Path, ...]]
    """JSON files of one protocol, one per split."""


def main(argv: list[str]) -> None:
    """Average the results."""
    arguments = parse_arguments(
        Arguments,
        argv,
        command="evaluate average",
        description=__doc__ or "",
        example="unreel evaluate average split1.json split2.json split3.json --out mean.json",
    )
    check_output(arguments, {"the results": arguments.results})
    result = average_results(arguments.results)
    _warn(result)
    values = result.to_json()
    if deliver(values, arguments):
        _show(result, arguments)
        keep(values, arguments)


def _warn(result: AveragedResult) -> None:
    for difference in result.differences:
        print_warning(f"the results were not measured alike: {difference}")
    missing = [name for name in result.left_out if "by_class" not in name and "confusion" not in name]
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        print_warning(f"not all results have {', '.join(missing[:_SHOWN])}{more}; these are left out")


def _show(result: AveragedResult, arguments: Arguments) -> None:
    print_table(
        f"Mean of {len(result.sources)} results of {result.protocol}",
        ["number", "mean %", "deviation %", "each %"],
        [
            [name, percent(own.mean), percent(own.deviation), "  ".join(map(percent, own.values))]
            for name, own in result.headline.items()
        ],
    )
    rows: dict[str, object] = {
        source: " -> ".join(filter(None, (split.get("gallery_split"), split.get("query_split"))))
        or split.get("split")
        or "all videos"
        for source, split in zip(result.sources, result.splits, strict=True)
    }
    print_summary(name_result(arguments), {**rows, "numbers": f"{len(result.numbers)}, by class included"})
