import importlib
import re

import pytest

from unreel.cli.localize import STEPS, main
from unreel.cli.main import COMMANDS, run


def test_the_steps_are_listed_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2
    text = capsys.readouterr().err
    places = [text.index(f"  {name} ") for name in STEPS]
    assert places == sorted(places)
    assert list(STEPS) == ["features", "train", "propose", "evaluate"]
    assert "`unreel localize STEP --help` explains one" in text


def test_an_unknown_step_is_refused_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["localize", "prpose"]) == 2
    assert "no step 'prpose'; the steps are: features, train, propose, evaluate" in capsys.readouterr().err


@pytest.mark.parametrize("step", STEPS)
def test_every_step_has_help_with_an_example(step: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["localize", step, "--help"]) == 0
    out = capsys.readouterr().out
    assert re.search(rf"example:\s+unreel localize {step}", out, flags=re.IGNORECASE)
    assert hasattr(importlib.import_module(f"unreel.cli.{STEPS[step][0]}"), "main")


def test_the_command_is_known() -> None:
    assert COMMANDS["localize"][0] == "localize"
