from dataclasses import replace
from pathlib import Path

import pytest

from unreel.cli.run_arguments import (
    EXIT_BY_SIGNAL,
    RunWords,
    describe_run,
    parse_settings,
    read_run_words,
    with_backbone,
)
from unreel.models.resnet3d import R3DConfig
from unreel.models.zoo import BACKBONES
from unreel.recipes import moco
from unreel.train.run import TrainingSummary

FLAGS = {"--backbone": "", "--encoder": "random"}


def read(*words: str) -> RunWords:
    return read_run_words(words, command="learn", usage="usage: learn", flags=FLAGS)


def test_the_flags_of_the_command_are_taken_out_and_the_rest_is_for_the_recipe() -> None:
    words = read(
        "moco.small", "--train.steps", "3", "--run", "runs/a", "--backbone=c3d", "--method.temperature=0.1"
    )
    assert words == RunWords(
        recipe_name="moco.small",
        run=Path("runs/a"),
        flags={"--backbone": "c3d", "--encoder": "random"},
        settings=["--train.steps", "3", "--method.temperature=0.1"],
    )
    assert not words.is_resumed
    assert not words.is_help


def test_a_flag_may_be_given_nothing() -> None:
    for words in (["--encoder", ""], ["--encoder="]):
        assert read("moco.small", "--run", "a", *words).flags["--encoder"] == ""


def test_a_run_is_resumed_with_either_spelling() -> None:
    for words in (["--resume", "runs/a"], ["--resume=runs/a"]):
        found = read(*words)
        assert (found.run, found.is_resumed, found.recipe_name) == (Path("runs/a"), True, "")


def test_help_needs_no_run() -> None:
    for word in ("--help", "-h"):
        assert read("moco.small", word).is_help
    assert not read("moco.small", "--run", "a").is_help


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), (["-h"], 0), ([], 2), (["--resume", "-h"], 0)])
def test_the_usage_is_printed(words: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        read(*words)
    assert left.value.code == code
    assert capsys.readouterr().out == "usage: learn\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["moco.small"], "--run is missing: name a new folder"),
        (["moco.small", "--run="], "--run is missing"),
        (
            ["--run", "a", "moco.small"],
            r"the recipe comes first, got '--run': `unreel learn RECIPE --run RUN`",
        ),
        (["moco.small", "--run"], "--run needs a value"),
        (["moco.small", "--run", "a", "--encoder"], "--encoder needs a value"),
        (["--resume"], "`unreel learn --resume RUN` takes the run folder alone"),
        (["--resume", "a", "--encoder", "b"], "takes the run folder alone: it keeps its settings"),
    ],
)
def test_words_that_make_no_sense_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(*words)


def test_a_setting_can_be_looked_up_before_the_settings_are_parsed() -> None:
    words = read(
        *(
            "moco.small",
            "--run",
            "a",
            "--method.input-from",
            "encoder",
            "--method.views.clips=3",
            "--train.steps",
        )
    )
    assert words.find_setting("--method.input-from") == "encoder"
    assert words.find_setting("--method.views.clips") == "3"
    assert words.find_setting("--method.views") == ""
    assert words.find_setting("--train.steps") == ""
    assert read("moco.small", "--run", "a").find_setting("--train.steps") == ""
    twice = read("moco.small", "--run", "a", "--method.input_from", "encoder", "--method.input_from=recipe")
    assert twice.find_setting("--method.input-from") == "recipe"


def test_settings_are_laid_over_the_recipe() -> None:
    words = read("moco.small", "--run", "a", "--train.steps", "7", "--method.temperature", "0.5")
    recipe = parse_settings(moco.small(), words, command="learn", example="unreel learn")
    expected = replace(moco.small(), train=replace(moco.small().train, steps=7))
    assert recipe == replace(expected, method=replace(expected.method, temperature=0.5))


def test_the_help_has_the_words_of_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse_settings(
            moco.small(), read("moco.small", "--help"), command="learn X", example="unreel learn it"
        )
    assert left.value.code == 0
    out = capsys.readouterr().out
    assert "usage: unreel learn X" in out
    assert "unreel learn it" in out
    assert (moco.small.__doc__ or "").split(".")[0].split(",")[0] in out


def test_another_network_is_found_by_its_short_name() -> None:
    assert with_backbone(moco.small(), "") == moco.small()
    assert with_backbone(moco.small(), "r3d_10").method.backbone == R3DConfig(depth=10) == BACKBONES["r3d_10"]
    with pytest.raises(ValueError, match="no backbone is called 'r3d_11'; did you mean"):
        with_backbone(moco.small(), "r3d_11")


SUMMARY = TrainingSummary(
    run=Path("runs/a"),
    exported=Path("runs/a/encoder"),
    num_videos=9,
    first_step=0,
    steps=4,
    num_steps=6,
    num_failed=0,
    num_left_out=1,
    initial_weights={"frame_network": "w.pth: 100% of the weights loaded"},
    cautions=(),
    metrics={"step": 4, "epoch": 1.0, "loss": 0.123456, "lr": 1e-5},
    seconds=90.0,
    stopped_by="",
    is_main=True,
    has_labels=True,
)


def test_a_run_is_described_in_a_table() -> None:
    rows = describe_run(SUMMARY, moco.small())
    assert (rows["videos"], rows["left out by the settings"], rows["failed"]) == (9, 1, 0)
    assert rows["steps"] == "4 of 6"
    assert rows["frame network"] == "w.pth: 100% of the weights loaded"
    assert (rows["loss"], rows["lr"], rows["time"]) == ("0.1235", "1e-05", "1 min 30 s")
    assert "epoch" not in rows
    assert "step" not in rows
    again = describe_run(replace(SUMMARY, first_step=2, num_failed=3), moco.small())
    assert again["steps"] == "4 of 6 (resumed at 2)"
    assert again["failed"] == "3 (listed in runs/a/rejected.csv)"


def test_a_signal_has_its_exit_code() -> None:
    assert EXIT_BY_SIGNAL == {"SIGINT": 128 + 2, "SIGTERM": 128 + 15}
