"""What a person sees: flags with help, progress on the error stream, plain summaries, tables."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import tyro

from unreel.cli import terminal
from unreel.cli.terminal import (
    ProgressBar,
    format_duration,
    parse_arguments,
    print_error,
    print_summary,
    print_table,
    print_warning,
)

Capture = pytest.CaptureFixture[str]


@dataclass(frozen=True)
class Arguments:
    """Flags of a command for tests."""

    sources: tyro.conf.Positional[tuple[Path, ...]]
    """Folders to look through."""
    out: Path = Path("catalog.parquet")
    """Where to write."""
    json: bool = False
    """Print JSON."""


@dataclass(frozen=True)
class Optimizer:
    rate: float = 0.1
    """Step size."""
    is_nesterov: bool = False
    """Look ahead."""


@dataclass(frozen=True)
class Recipe:
    steps: int = 10
    """How long."""
    optimizer: Optimizer = field(default_factory=Optimizer)


def parse(*words: str) -> Arguments:
    return parse_arguments(
        Arguments, words, command="scan", description="Look for videos.\n", example="unreel scan videos/"
    )


def parse_recipe(*words: str) -> Recipe:
    default = Recipe(steps=20, optimizer=Optimizer(rate=0.5))
    return parse_arguments(
        Recipe, words, command="pretrain", description="Train.", example="unreel pretrain x", default=default
    )


def test_flags_become_a_dataclass() -> None:
    assert parse("a", "b", "--out", "x.parquet", "--json") == Arguments(
        (Path("a"), Path("b")), Path("x.parquet"), True
    )
    assert parse("a") == Arguments((Path("a"),))


def test_help_shows_description_example_and_every_flag(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stop:
        parse("--help")
    assert stop.value.code == 0
    out = capsys.readouterr().out
    for text in (
        "usage: unreel scan",
        "Look for videos.",
        "Example:\n  unreel scan videos/",
        "Folders to look through",
    ):
        assert text in out
    assert re.search(r"--out PATH +Where to write\. \(default: catalog\.parquet\)", out)


def test_an_indented_description_is_shown_flush_left(capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(
            Arguments, ["-h"], command="scan", description="First.\n\n        Second.\n    ", example="x"
        )
    assert "First.\n\nSecond.\n\nExample:" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["a", "--oot", "b"], ["a", "--out"], ["a", "--json", "--json=3"]])
def test_wrong_flags_exit_with_2_and_a_message(words: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(*words)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "unreel scan --help" in err


def test_a_misspelt_flag_gets_a_suggestion(capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        parse_recipe("--optimizer.rat", "1")
    assert "--optimizer.rate" in capsys.readouterr().err


def test_settings_start_from_the_recipe_and_nested_ones_have_dotted_flags() -> None:
    assert parse_recipe() == Recipe(20, Optimizer(0.5))
    assert parse_recipe("--optimizer.rate", "0.25", "--steps", "7") == Recipe(7, Optimizer(0.25))


def test_a_yes_or_no_setting_takes_its_value_as_a_word() -> None:
    assert parse_recipe("--optimizer.is-nesterov", "True").optimizer.is_nesterov


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.44, "0.4 s"),
        (9.96, "10.0 s"),
        (42.4, "42 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599, "59 min 59 s"),
        (7500, "2 h 5 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations_read_as_a_person_writes(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


class Clock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(terminal, "time", clock)
    return clock


def test_without_a_terminal_progress_is_a_plain_line_now_and_then(clock: Clock, capsys: Capture) -> None:
    with ProgressBar("Scanning", unit="videos") as progress:
        for done in range(101):
            progress(done, 100, "a[/b].mp4")
            clock.now += 0.5
    out, err = capsys.readouterr()
    assert out == ""
    # A line at once, one every ten seconds (20 videos), and one at the end.
    assert err.splitlines() == [
        "Scanning: 0/100 videos | a[/b].mp4",
        "Scanning: 20/100 videos (2.0/s, 40 s left) | a[/b].mp4",
        "Scanning: 40/100 videos (2.0/s, 30 s left) | a[/b].mp4",
        "Scanning: 60/100 videos (2.0/s, 20 s left) | a[/b].mp4",
        "Scanning: 80/100 videos (2.0/s, 10 s left) | a[/b].mp4",
        "Scanning: 100/100 videos (2.0/s) | a[/b].mp4",
    ]


def test_the_rate_counts_from_where_the_job_started(clock: Clock, capsys: Capture) -> None:
    """A resumed run starts at step 900 of 1000 and must not claim 900 steps in no time."""
    with ProgressBar("Training", unit="steps") as progress:
        progress(900, 1000, "")
        clock.now += 10
        progress(950, 1000, "")
    assert capsys.readouterr().err.splitlines()[-1] == "Training: 950/1000 steps (5.0/s, 10 s left)"


def test_another_part_of_a_job_starts_its_own_clock(clock: Clock, capsys: Capture) -> None:
    """Decoding into memory comes before training; its time must not slow the training's rate."""
    with ProgressBar("Training", unit="steps") as progress:
        progress(0, 300, "decoding into memory")
        clock.now += 100
        progress(300, 300, "decoding into memory")
        progress(0, 1000, "starting")
        clock.now += 10
        progress(50, 1000, "")
    assert capsys.readouterr().err.splitlines()[-1] == "Training: 50/1000 steps (5.0/s, 3 min 10 s left)"


def test_a_long_note_stays_on_its_line(capsys: Capture) -> None:
    with ProgressBar("Scanning", unit="videos") as progress:
        progress(1, 1, "x" * 300)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_on_a_terminal_progress_is_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with ProgressBar("Scanning", unit="videos") as progress:
        progress(1, 4, "a[/b].mp4")
        progress(4, 4, "a[/b].mp4")
    out, err = capsys.readouterr()
    assert out == ""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err)
    assert "Scanning" in plain
    assert "4/4" in plain
    assert "videos/s" in plain
    assert "a[/b].mp4" in plain


def test_an_error_passes_through_the_bar() -> None:
    def fail() -> None:
        with ProgressBar("Scanning", unit="videos"):
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()


def test_a_summary_is_aligned_and_says_what_comes_next(capsys: Capture) -> None:
    print_summary(
        "Scanned [a]", {"videos": 3, "rejected [/b]": "x[1].mp4"}, next_steps=["unreel recipes [c]"]
    )
    assert capsys.readouterr().out == (
        "Scanned [a]\n  videos         3\n  rejected [/b]  x[1].mp4\nNext:\n  unreel recipes [c]\n"
    )


def test_a_long_value_is_not_broken_so_that_it_can_be_copied(capsys: Capture) -> None:
    path = "folder/" * 40
    print_summary("Done", {"out": path})
    assert f"  out  {path}\n" in capsys.readouterr().out


def test_a_table_aligns_numbers_right_and_keeps_brackets(capsys: Capture) -> None:
    print_table("Recall", ["feature", "recall [@1]"], [["raw[/b]", 0.125], ["trained", 12]])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == "Recall"
    assert any(re.search(r"feature\s.*recall \[@1\]", line) for line in lines)
    assert any(re.search(r"raw\[/b\]\s+\S\s+0\.125 ", line) for line in lines)
    assert any(re.search(r"trained\s+\S\s+12 ", line) for line in lines)


def test_numbers_written_out_are_aligned_right_too(capsys: Capture) -> None:
    print_table("Recall", ["name of the feature", "a wide column"], [["trained", "54.1"], ["pixels", "9.0"]])
    lines = capsys.readouterr().out.splitlines()
    assert [line.rstrip("│ ")[-7:] for line in lines[4:6]] == ["   54.1", "    9.0"]


def test_a_long_title_stays_on_one_line(capsys: Capture) -> None:
    print_table("Retrieval by label: " + "10 queries, " * 12, ["k"], [[1]])
    assert capsys.readouterr().out.splitlines()[0].count("10 queries") == 12


def test_a_table_without_rows_is_a_header(capsys: Capture) -> None:
    print_table("Empty", ["a"], [])
    assert "a" in capsys.readouterr().out


def test_warnings_and_errors_go_to_the_error_stream(capsys: Capture) -> None:
    print_warning("little memory")
    print_error("no memory")
    assert capsys.readouterr() == ("", "warning: little memory\nerror: no memory\n")


def test_no_name_reaches_the_terminal_as_a_command(capsys: Capture) -> None:
    name = "a\x1b[2J\x9b1m\r\u202e.mp4"
    print_warning(f"{name}\nsecond line")
    print_error(name)
    print_summary(name, {"video": name, "other": Path(name)}, next_steps=[name])
    print_table(name, ["video"], [[name]])
    with ProgressBar("Scanning", unit="videos") as progress:
        progress(1, 1, name)
    out, err = capsys.readouterr()
    assert (out.count("a?[2J?1m??.mp4"), err.count("a?[2J?1m??.mp4")) == (6, 3)
    assert "second line" in err.splitlines()
    assert not {"\x1b", "\x9b", "\r", "\u202e"} & set(out + err)
