"""Which command gives a run its first result."""

import shlex
from pathlib import Path

from unreel.report.run_record import RunRecord

_TRAINED_BY = {"supervised": "finetune", "localization": "localize train"}
"""Method -> command that trains it; all others are those of `unreel pretrain`."""


def suggest_commands(run: RunRecord) -> tuple[str, ...]:
    """Return the commands, in their order, by which a run gets a result that a report finds.

    Args:
        run: of any kind; one that has left nothing behind yet is to go on first.
    """
    if not run.exported:
        return (f"unreel {_TRAINED_BY.get(run.method, 'pretrain')} --resume {_quote(run.folder)}",)
    if "localizer" in run.exported:
        return (
            f"unreel localize propose --run {_quote(run.folder)} --features grid.parquet "
            "--out proposals.json",
            "unreel localize evaluate --proposals proposals.json --catalog segments.parquet "
            f"--out {_quote(run.folder / 'evaluations' / 'localization.json')}",
        )
    if "classifier" in run.exported:
        return (
            f"unreel evaluate recognition --model {_quote(run.folder)} --catalog catalog.parquet "
            f"--out {_quote(run.folder / 'evaluations' / 'recognition.json')}",
        )
    return (
        f"unreel extract --encoder {_quote(run.folder / 'encoder')} --catalog catalog.parquet "
        "--out features.parquet",
        "unreel evaluate retrieval --features features.parquet "
        f"--out {_quote(run.folder / 'evaluations' / 'retrieval.json')}",
    )


def _quote(path: Path) -> str:
    return shlex.quote(str(path))
