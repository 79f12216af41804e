"""In what an own result was come by otherwise than a paper's, setting by setting."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from unreel.legible import make_legible
from unreel.report.evaluation_files import Evaluation
from unreel.report.own_origin import Origin, count_classes, describe_input
from unreel.report.own_results import OwnRow
from unreel.report.paper_protocols import find_published, find_settings
from unreel.report.paper_tables import PaperTable
from unreel.report.result_values import as_list, as_mapping

_UNKNOWN = "not known"
_SILENT = "not stated"
_OF_RUNS = ("backbone", "pre-training", "frames", "input")
_WITH_ONE_ANSWER = ("svm", "linear", "finetune", "finetune tsm", "low-shot", "shuffle")
"""Tasks in which a guess among the classes is right as often as there is one of them."""


class Difference(NamedTuple):
    """A setting that differs, or of which one side is not known.

    Attributes:
        setting: what it is called.
        own: here.
        paper: there.
    """

    setting: str
    own: str
    paper: str


def compare_settings(
    table: PaperTable, evaluation: Evaluation, origin: Origin, row: OwnRow
) -> tuple[tuple[Difference, ...], tuple[str, ...]]:
    """Compare how an own number and those of a table were come by.

    Data sets are always among the differences: a result knows the hash of its catalog, not a data set's name.

    Args:
        table: of the paper.
        evaluation: the own result.
        origin: of what was tested.
        row: its numbers.

    Returns:
        What differs or is not known, and what agrees, in the order of a protocol.
    """
    paper = {**_list_of_table(table, row), **find_settings(table.paper, table.number, row.task)}
    own = {**_list_of_result(evaluation, row), **_list_of_origin(origin, evaluation)}
    if "splits averaged" in paper:
        own.setdefault("splits averaged", "1")
    differences, agreements = [], []
    for setting in dict.fromkeys([*own, *paper]):
        mine, theirs = own.get(setting, ""), paper.get(setting, "")
        if mine and mine in theirs.split(" or "):
            agreements.append(f"{setting}: {mine}")
        elif mine or theirs:
            needs_run = setting in _OF_RUNS and not origin.run
            unknown = f"{_UNKNOWN}: give the run that made it" if needs_run else _UNKNOWN
            differences.append(Difference(setting, mine or unknown, theirs or _SILENT))
    return tuple(differences), tuple(agreements)


def _list_of_table(table: PaperTable, row: OwnRow) -> dict[str, str]:
    datasets = _collect(table, "dataset")
    sizes = {name: size for name in datasets if (size := find_published(name)) is not None}
    guesses = {name: f"{100 / size.classes:.1f} %" for name, size in sizes.items()}
    return {
        "data set": " or ".join(datasets),
        "classes": _join_sizes({name: str(size.classes) for name, size in sizes.items()}),
        "tested on": _join_sizes({name: str(size.tested or "") for name, size in sizes.items()}),
        "learned from or searched": _join_sizes(
            {name: str(size.learned or "") for name, size in sizes.items()}
        ),
        "chance": _join_sizes(guesses) if row.task in _WITH_ONE_ANSWER else "",
        "protocol": " or ".join(_collect(table, "task")),
        "backbone": " or ".join(_collect(table, "backbone")),
        "pre-training": " or ".join(_collect(table, "pretrain")),
    }


def _join_sizes(sizes: Mapping[str, str]) -> str:
    """Write one number per data set, with the names where there are several."""
    known = {name: size for name, size in sizes.items() if size}
    if len(sizes) == 1:
        return "".join(known.values())
    return ", ".join(f"{name} {size}" for name, size in known.items())


def _collect(table: PaperTable, name: str) -> list[str]:
    texts = [table.shared.get(name, ""), *(row.fields.get(name, "") for row in table.rows)]
    return list(dict.fromkeys(text for text in texts if text and text != "-"))


def _list_of_result(evaluation: Evaluation, row: OwnRow) -> dict[str, str]:
    """Return what the file of a result says."""
    settings, measured = evaluation.settings, evaluation.measured
    level = f"{row.level}." if row.level else ""
    numbers = evaluation.numbers
    catalog = measured.get("catalog_hash") or settings.get("catalog_hash")
    found = {
        "data set": f"catalog {catalog}; a result does not know a data set's name" if catalog else "",
        "protocol": f"unreel evaluate {evaluation.protocol}",
        "classes": str(count_classes(evaluation) or ""),
        "tested on": _join_counts(_find_count(evaluation, row, "queries"), settings, "query_split"),
        "learned from or searched": _join_counts(
            _find_count(evaluation, row, "gallery"), settings, "gallery_split"
        ),
        "chance": _write_share(numbers, (f"{level}chance.1", f"{level}chance", "svm.chance")),
        "level": row.level,
        "pooling": measured.get("pooling"),
        "clips per video": measured.get("clips_per_video") or as_mapping(settings.get("views")).get("clips"),
        "splits averaged": evaluation.num_averaged if evaluation.num_averaged > 1 else "",
        "within the mean": ", ".join(map(str, as_list(settings.get("differences")))),
    }
    if settings.get("is_centered"):
        found["vectors"] = "less the mean of the gallery"
    if row.task == "shuffle":
        found["classifier"] = "linear SVM" if evaluation.protocol == "shuffle-sensitivity" else "linear layer"
    return {name: make_legible(str(value)) for name, value in found.items() if value}


def _find_count(evaluation: Evaluation, row: OwnRow, name: str) -> int:
    places = (f"{row.level}.{name}", f"tasks.{row.task}.{name}", f"svm.{name}", name)
    return next((int(evaluation.numbers[place]) for place in places if place in evaluation.numbers), 0)


def _join_counts(count: int, settings: Mapping[str, Any], split: str) -> str:
    if not count:
        return ""
    name = settings.get(split) if split in settings else settings.get("split")
    return f"{count} of split {name}" if name else f"{count}, no split"


def _write_share(numbers: Mapping[str, float], names: tuple[str, ...]) -> str:
    share = next((numbers[name] for name in names if name in numbers), None)
    return "" if share is None else f"{100 * share:.1f} %"


def _list_of_origin(origin: Origin, evaluation: Evaluation) -> dict[str, str]:
    frames, size = describe_input(as_mapping(evaluation.settings).get("input"))
    return {
        "backbone": origin.backbone,
        "pre-training": origin.pretrain,
        "frames": frames or origin.frames,
        "input": size or origin.size,
    }
