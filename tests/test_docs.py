"""The documentation is true: its code blocks run, its links lead somewhere, every command is in it."""

import contextlib
import io
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from tests.evaluate.tiny_cacl import tiny, write_run
from unreel import __version__
from unreel.cli import evaluate, localize, report
from unreel.cli.main import COMMANDS, run
from unreel.data.sample_videos import make_sample_videos
from unreel.models.resnet2d import ResNet2D
from unreel.models.torchvision_names import to_torchvision

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
]
FIRST_PAGE = ROOT / "docs" / "quickstart.md"
GROUPS = {"evaluate": evaluate.PROTOCOLS, "localize": localize.STEPS, "report": report.FIGURES}
MEMBERS = [[command, name] for command, members in GROUPS.items() for name in members]

# ```language name, and above it perhaps a comment such as <!-- the test adds: pretrain --train.steps 2 -->
BLOCK = re.compile(
    r"(?:^<!-- the test adds: (?P<command>\S+) (?P<flags>.*?) -->\n)?"
    r"^```(?P<language>\w*)(?: (?P<name>\S+))?\n(?P<code>.*?)^```$",
    flags=re.MULTILINE | re.DOTALL,
)
LEFT_BY_FIRST_PAGE = ("catalog.parquet", "features.parquet")
KNOWN_LANGUAGES = {"console", "python", "text", "sh"}
# Heavy defaults are shortened everywhere: decoding in this process starts faster than workers do.
SHORTER = {
    "pretrain": ["--data.num-workers", "0"],
    "extract": ["--num-workers", "0", "--clips-per-video", "2"],
    "evaluate cycle": ["--num-workers", "0", "--clips-per-video", "2"],
    "evaluate similarity": ["--num-workers", "0"],
    "evaluate degree": ["--num-workers", "0", "--num-rounds", "2"],
    "evaluate shuffle-sensitivity": ["--num-workers", "0", "--clips-per-video", "2"],
    "sample-data": ["--num-workers", "1"],
    "scan": ["--num-workers", "1"],
}


@dataclass
class Block:
    """A piece of code in a page."""

    page: str
    language: str
    name: str
    code: str
    added: dict[str, list[str]] = field(default_factory=dict)


def read_blocks(page: Path) -> list[Block]:
    blocks = []
    for found in BLOCK.finditer(page.read_text(encoding="utf-8")):
        added = {found["command"]: shlex.split(found["flags"])} if found["command"] else {}
        blocks.append(Block(page.name, found["language"], found["name"] or "", found["code"], added))
    return blocks


def run_block(block: Block, names: dict[str, object]) -> None:
    """Do what a reader of the page would do; the current folder is the reader's."""
    if block.language == "console":
        for line in block.code.splitlines():
            run_command(line, block)
    elif block.language == "python" and block.name:
        Path(block.name).write_text(block.code, encoding="utf-8")
    elif block.language == "python":
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(block.code, block.page, "exec"), names)


def run_command(line: str, block: Block) -> None:
    assert line.startswith("$ "), (
        f"{block.page}: {line!r} is no command: console blocks hold `$ unreel ...` only"
    )
    words = shlex.split(line.removeprefix("$ "), comments=True)
    while "=" in words[0]:
        assert words.pop(0) == "PYTHONPATH=.", f"{block.page}: {line}"
    assert words.pop(0) == "unreel", f"{block.page}: {line}"
    short = next(
        (flags for name, flags in SHORTER.items() if words[: name.count(" ") + 1] == name.split()), []
    )
    added = block.added.get(words[0], [])
    is_whole = "--help" in words or "--resume" in words
    assert run(words if is_whole else [*words, *short, *added]) == 0, f"{block.page}: {line}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A reader's folder with videos in it, after the first page: what the other pages start from."""
    folder = tmp_path_factory.mktemp("reader")
    make_sample_videos(folder / "made", num_videos=20, num_frames=(16, 20), num_workers=1)
    for number, video in enumerate(sorted((folder / "made" / "videos").iterdir())):
        (folder / "videos" / f"class-{number % 2}").mkdir(parents=True, exist_ok=True)
        video.rename(folder / "videos" / f"class-{number % 2}" / video.name)
    (folder / "query.mp4").write_bytes(next((folder / "videos" / "class-0").iterdir()).read_bytes())
    torch.save(to_torchvision(ResNet2D(depth=18)), folder / "resnet18.pth")
    # A run of CACL, tiny and untrained, for the pages that look into one.
    write_run(folder / "runs" / "cacl", tiny(size_px=32))
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        names: dict[str, object] = {}
        for block in read_blocks(FIRST_PAGE):
            run_block(block, names)
        (folder / "first").mkdir()
        for name in LEFT_BY_FIRST_PAGE:
            shutil.copy(folder / name, folder / "first" / name)
        yield folder


def test_the_first_page_makes_what_it_promises(folder: Path) -> None:
    for name in (
        "catalog.parquet",
        "rejected.csv",
        "runs/first/encoder",
        "features.parquet",
        "retrieval.json",
    ):
        assert (folder / name).exists()


@pytest.mark.parametrize("page", [page for page in PAGES if page != FIRST_PAGE], ids=lambda page: page.name)
def test_the_code_blocks_of_a_page_run(page: Path, folder: Path) -> None:
    for name in LEFT_BY_FIRST_PAGE:
        shutil.copy(folder / "first" / name, folder / name)
    names: dict[str, object] = {}
    for number, block in enumerate(read_blocks(page)):
        code = block.code
        for run_folder in re.findall(r"pretrain .*--run (runs/\w+)", code):
            if Path(run_folder).exists():  # it is from the first page, say, and never overwritten
                code = code.replace(f"--run {run_folder}", f"--run {run_folder}-{page.stem}-{number}")
        run_block(Block(block.page, block.language, block.name, code, block.added), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_says_what_it_is(page: Path) -> None:
    blocks = read_blocks(page)
    assert page.read_text().count("```") == 2 * len(blocks)
    assert {block.language for block in blocks} <= KNOWN_LANGUAGES
    # `sh` is for what cannot run in a test: make, torchrun, a scheduler.
    for block in blocks:
        if block.language == "sh":
            assert re.search(r"^(make|torchrun|srun) ", block.code, flags=re.MULTILINE), block.code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.is_file(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors_of(linked), f"{page.name}: {target}"


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_can_be_reached_from_the_readme() -> None:
    links = re.findall(r"\]\((docs/[^)#]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert set(links) == {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented(command: str) -> None:
    assert f"| `unreel {command}" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("words", [[name] for name in COMMANDS] + MEMBERS)
def test_every_command_has_help_with_an_example(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words, "--help"]) == 0
    out = capsys.readouterr().out
    example = re.search(r"example:\s+unreel (\S+)", out, flags=re.IGNORECASE)
    assert example
    assert example[1] == words[0]


@pytest.mark.parametrize("words", MEMBERS, ids=" ".join)
def test_every_member_of_a_group_is_on_a_page(words: list[str]) -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert f"unreel {' '.join(words)}" in pages


def test_every_decision_that_the_code_refers_to_is_explained() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    used = set(
        re.findall(
            r"\b[AVSLE]\d{1,2}\b(?=[ ,.);]|$)", "\n".join(re.findall(r".*(?:decision|\(A\d).*", sources))
        )
    )
    explained = set(
        re.findall(r"^\| ([AVSLE]\d+) \|", (ROOT / "docs" / "methods.md").read_text(), flags=re.MULTILINE)
    )
    assert {"L5", "L11", "A18", "V1", "V8", "V18"} <= used
    assert used <= explained


def test_the_changelog_has_this_version() -> None:
    assert f"\n## {__version__} " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_ci_runs_what_the_readme_says() -> None:
    assert "make test " in (ROOT / "README.md").read_text(encoding="utf-8")
    commands = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if not line.startswith("#")]
    assert commands == ['cd "$(dirname "$0")/.." && exec make test']


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert len(text) > 11_000


def test_the_makefile_lists_its_targets() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)
    assert phony
    described = set(re.findall(r"^([a-z-]+):.*## ", makefile, flags=re.MULTILINE))
    assert described == set(phony[1].split())


def test_the_tests_run_on_this_python() -> None:
    assert sys.version_info >= (3, 11)
