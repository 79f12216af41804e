import sys
import types

import pytest

from unreel.cli.subcommands import CommandGroup

GROUP = CommandGroup(
    name="cook",
    description="Make something to eat.",
    kind="meal",
    members={"soup": ("cook_soup", "hot and thin"), "bread": ("cook_bread", "dry and thick")},
    example="unreel cook soup --salt 1",
)


def test_a_member_gets_the_words_behind_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("unreel.cli.cook_soup")
    seen: list[list[str]] = []
    module.main = seen.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "unreel.cli.cook_soup", module)
    GROUP.run(["soup", "--salt", "1"])
    assert seen == [["--salt", "1"]]


@pytest.mark.parametrize("argv", [["-h"], ["--help"]])
def test_help_goes_to_the_standard_output(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        GROUP.run(argv)
    captured = capsys.readouterr()
    assert (left.value.code, captured.err) == (0, "")
    assert captured.out.splitlines() == [
        "usage: unreel cook MEAL ...",
        "",
        "Make something to eat.",
        "",
        "meals:",
        "  soup   hot and thin",
        "  bread  dry and thick",
        "",
        "`unreel cook MEAL --help` explains one.",
        "",
        "example:",
        "  unreel cook soup --salt 1",
    ]


@pytest.mark.parametrize(("argv", "first"), [([], "usage:"), (["soap"], "error: no meal 'soap'; ")])
def test_anything_else_is_wrong_usage(
    argv: list[str], first: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        GROUP.run(argv)
    captured = capsys.readouterr()
    assert (left.value.code, captured.out) == (2, "")
    assert captured.err.startswith(first)
    assert "  soup   hot and thin" in captured.err
