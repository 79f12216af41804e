"""The house rules of docs/design.md, enforced: direction of imports, names, sizes, mirrored tests."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "unreel"
TESTS = ROOT / "tests"

LEVELS = {
    **dict.fromkeys(("data", "augment", "models", "losses"), 1),
    **dict.fromkeys(("methods", "features"), 2),
    **dict.fromkeys(("train", "search"), 3),
    "evaluate": 4,
    "recipes": 5,
    "report": 6,
    "web": 7,
    "cli": 8,
}
GROUND = {"config", "distributed", "errors", "legible", "machine", "progress", "runs", "seeding"}
# The package itself (its version) is ground; `python -m unreel` is the command line.
ENTRY = {"__init__": 0, "__main__": 9}
TEXT_SUFFIXES = {".py", ".md", ".toml", ".txt", ".json", ""}
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "misc", "base"}

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)
MODULE_IDS = [str(path.relative_to(PACKAGE)) for path in MODULES]


def part_of(module: str) -> str:
    """Return the part, or the ground module, that a dotted name such as ``unreel.data.clips`` belongs to."""
    words = module.split(".")
    return words[1] if len(words) > 1 else "__init__"


def level_of(part: str) -> int:
    return LEVELS.get(part, ENTRY.get(part, 0))


def dotted_name(path: Path) -> str:
    words = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(words[:-1] if words[-1] == "__init__" else words)


def own_imports(tree: ast.AST) -> Iterator[str]:
    """Yield every module of unreel that is imported anywhere in a file, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] == "unreel")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "unreel":
            for name in node.names:
                # `from unreel import runs` names a module, `from unreel.runs import write_text` a thing.
                candidate = f"{node.module}.{name.name}"
                yield candidate if is_module(candidate) else str(node.module)


def is_module(name: str) -> bool:
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def find_violations(importer: str, tree: ast.AST) -> list[str]:
    """Return the imports of one file that point up, sideways, or from the ground into a part."""
    own_part = part_of(importer)
    wrong = []
    for imported in own_imports(tree):
        part = part_of(imported)
        if part == own_part:
            continue
        if level_of(part) >= max(level_of(own_part), 1):
            wrong.append(f"{importer} imports {imported}")
    return wrong


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    """Return the names on one cycle of a graph, in order, or nothing."""
    finished: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in finished:
            return []
        for target in sorted(graph.get(node, ())):
            if cycle := visit(target, [*path, node]):
                return cycle
        finished.add(node)
        return []

    return next((cycle for node in sorted(graph) if (cycle := visit(node, []))), [])


def shipped_files() -> list[Path]:
    folders = [
        path
        for name in ("src", "tests", "docs", "examples", "benchmarks")
        for path in (ROOT / name).rglob("*")
    ]
    files = [path for path in [*ROOT.iterdir(), *folders, ROOT / ".ci" / "run"] if path.is_file()]
    return [path for path in files if path.suffix in TEXT_SUFFIXES and not path.name.startswith(".coverage")]


def read_tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_every_part_and_ground_module_is_known() -> None:
    parts = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert parts <= LEVELS.keys()
    assert {path.stem for path in PACKAGE.glob("*.py")} == GROUND | ENTRY.keys()
    assert all((PACKAGE / part / "__init__.py").exists() for part in parts)


def test_parts_are_two_levels_deep() -> None:
    """The layouts of standard data sets, a file each, would crowd ``data`` and have a folder of their own."""
    deep = {path.parent.relative_to(PACKAGE) for path in MODULES if len(path.relative_to(PACKAGE).parts) > 2}
    assert deep == {Path("data/layouts")}
    assert all(len(path.parts) == 2 for path in deep)


@pytest.mark.parametrize("path", MODULES, ids=MODULE_IDS)
def test_imports_only_go_down(path: Path) -> None:
    assert find_violations(dotted_name(path), read_tree(path)) == []


@pytest.mark.parametrize(
    ("importer", "line"),
    [
        ("unreel.data.loader", "from unreel.augment.compose import ClipAugmentation"),
        ("unreel.data.loader", "import unreel.methods.moco"),
        ("unreel.methods.moco", "from unreel import features"),
        ("unreel.runs", "from unreel.data.clips import ClipPlan"),
        ("unreel.config", "def f():\n    from unreel.models import zoo"),
        ("unreel.search.exact", "from unreel.train.loop import train"),
    ],
)
def test_an_import_up_or_sideways_would_be_seen(importer: str, line: str) -> None:
    assert len(find_violations(importer, ast.parse(line))) == 1


@pytest.mark.parametrize(
    ("importer", "line"),
    [
        ("unreel.data.loader", "from unreel.data.clips import ClipPlan"),
        ("unreel.data.loader", "from unreel import seeding, __version__"),
        ("unreel.runs", "from unreel import __version__"),
        ("unreel.cli.scan", "from unreel.data.scan import scan_videos"),
        ("unreel.train.loop", "import numpy"),
    ],
)
def test_an_import_down_or_within_is_allowed(importer: str, line: str) -> None:
    assert find_violations(importer, ast.parse(line)) == []


@pytest.mark.parametrize("path", MODULES, ids=MODULE_IDS)
def test_no_import_is_relative(path: Path) -> None:
    relative = [
        node.lineno for node in ast.walk(read_tree(path)) if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def test_no_import_cycle() -> None:
    graph = {dotted_name(path): set(own_imports(read_tree(path))) - {dotted_name(path)} for path in MODULES}
    assert find_cycle(graph) == []


def test_an_import_cycle_would_be_seen() -> None:
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert find_cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_names_say_what_is_inside() -> None:
    assert [path for path in MODULES if {path.stem, path.parent.name} & FORBIDDEN_NAMES] == []


def test_files_are_short() -> None:
    lengths = sorted(len(path.read_text().splitlines()) for path in MODULES)
    too_long = [str(path) for path in MODULES if len(path.read_text().splitlines()) > 300]
    assert too_long == []
    assert lengths[len(lengths) // 2] < 130


def test_every_module_has_its_test_module() -> None:
    missing = [
        str(expected.relative_to(ROOT))
        for path in MODULES
        if path.stem not in ENTRY
        for expected in [TESTS / path.relative_to(PACKAGE).parent / f"test_{path.stem}.py"]
        if not expected.exists()
    ]
    assert missing == []


def test_there_is_at_least_as_much_test_as_code() -> None:
    code = sum(len(path.read_text().splitlines()) for path in MODULES)
    tests = sum(len(path.read_text().splitlines()) for path in TESTS.rglob("*.py"))
    assert tests >= code


def public_definitions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node


@pytest.mark.parametrize("path", MODULES, ids=MODULE_IDS)
def test_modules_and_what_they_offer_are_documented(path: Path) -> None:
    tree = read_tree(path)
    assert ast.get_docstring(tree)
    assert [node.name for node in public_definitions(tree) if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("path", MODULES, ids=MODULE_IDS)
def test_a_function_that_refuses_says_so(path: Path) -> None:
    """A public function with a `raise` of its own has a `Raises` section."""
    silent = []
    for node in public_definitions(read_tree(path)):
        if isinstance(node, ast.FunctionDef) and raises_by_itself(node):
            silent += [] if "Raises:" in (ast.get_docstring(node) or "") else [node.name]
    assert silent == []


def raises_by_itself(function: ast.FunctionDef) -> bool:
    """Whether a function names an exception that it raises; a bare ``raise`` only passes one on."""
    return any(isinstance(node, ast.Raise) and node.exc is not None for node in ast.walk(function))


def test_the_project_speaks_of_itself_alone() -> None:
    """No paths of one machine, no package hosts, no unfinished business in what is shipped."""
    machine_paths = ["/" + "work/", "/" + "tmp/", "/" + "home/", "/" + "opt/", "/" + "root/"]
    hosts = [
        "pypi" + ".org",
        "python" + "hosted",
        "download." + "pytorch",
        "conda" + "-forge",
        "--" + "index-url",
    ]
    unfinished = ["TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error", "METH" + "ODS "]
    pattern = re.compile("|".join(map(re.escape, machine_paths + hosts + unfinished)))
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in shipped_files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert found == []


def test_nothing_is_skipped() -> None:
    pattern = re.compile(r"pytest\.(skip|xfail|importorskip)\(|mark\.(skip|skipif|xfail)\b")
    found = [
        str(path)
        for path in TESTS.rglob("*.py")
        if path != Path(__file__) and pattern.search(path.read_text())
    ]
    assert found == []


def test_no_binary_and_no_large_file_is_kept() -> None:
    """Videos for tests are made, not shipped; small pictures for the documentation are."""
    folders = [
        path
        for name in ("src", "tests", "docs", "examples", "benchmarks")
        for path in (ROOT / name).rglob("*")
    ]
    files = [path for path in folders if path.is_file() and "__pycache__" not in path.parts]
    pictures = [path for path in files if path.parent == ROOT / "docs" / "images" and path.suffix == ".png"]
    assert [str(path) for path in pictures if path.stat().st_size > 150_000] == []
    others = set(files) - set(pictures)
    assert [str(path) for path in others if path.stat().st_size > 500_000 or b"\0" in path.read_bytes()] == []
