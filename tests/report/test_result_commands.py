import shlex
from pathlib import Path

import pytest

from tests.report.run_folders import write_export, write_run
from unreel.report.result_commands import suggest_commands
from unreel.report.run_record import read_run_record


def suggest(run: Path) -> tuple[str, ...]:
    return suggest_commands(read_run_record(run))


def test_an_encoder_is_extracted_and_its_result_goes_where_a_report_finds_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "my run")
    extract, evaluate = map(shlex.split, suggest(run))
    assert extract[:4] == ["unreel", "extract", "--encoder", str(run / "encoder")]
    assert evaluate[-1] == str(run / "evaluations" / "retrieval.json")


def test_a_classifier_is_tested_and_a_localiser_proposes(tmp_path: Path) -> None:
    tuned = write_run(tmp_path / "tuned", recipe="finetune.small", exported="")
    write_export(tuned, "classifier", method="Supervised")
    write_export(tuned, "encoder", method="Supervised")
    (command,) = suggest(tuned)
    assert command.startswith(f"unreel evaluate recognition --model {tuned} ")
    found = suggest(write_run(tmp_path / "bmn", recipe="bmn.small", exported="localizer"))
    assert [command.split()[1:3] for command in found] == [["localize", "propose"], ["localize", "evaluate"]]


@pytest.mark.parametrize(
    ("recipe", "command"),
    [("moco.small", "pretrain"), ("finetune.small", "finetune"), ("bmn.small", "localize train")],
)
def test_a_run_without_anything_to_measure_goes_on_first(tmp_path: Path, recipe: str, command: str) -> None:
    run = write_run(tmp_path / "run", recipe=recipe, exported="")
    assert suggest(run) == (f"unreel {command} --resume {run}",)
