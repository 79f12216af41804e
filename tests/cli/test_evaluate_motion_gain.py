import json
from pathlib import Path

import pytest

from tests.features.tiny import SPEC, build_encoder
from unreel.cli.main import run
from unreel.data.catalog import Catalog
from unreel.data.motion_table import MotionTable, name_table
from unreel.evaluate.motion_gain import compare_by_motion
from unreel.evaluate.motion_gain_results import ClassAccuracies
from unreel.features.extract import extract_features
from unreel.features.pixels import PixelBaseline
from unreel.features.reading import ReadConfig

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def folder(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hold features and results of a fresh network and of pixels; nobody writes into it."""
    folder = tmp_path_factory.mktemp("results")
    catalog, read = Catalog.load(corpus), ReadConfig(clips_per_video=2, num_workers=0)
    for name, embedder in (("first", build_encoder()), ("second", PixelBaseline(SPEC))):
        extract_features(embedder, catalog, folder / f"{name}.parquet", read=read)
        words = ["--features", str(folder / f"{name}.parquet"), "--json"]
        assert run(["evaluate", "svm", *words, "--out", str(folder / f"{name}.json")]) == 0
        assert run(["evaluate", "retrieval", *words, "--out", str(folder / f"{name}-retrieval.json")]) == 0
    return folder


def evaluate(folder: Path, catalog: Path, *words: str, kind: str = ".json") -> int:
    both = [str(folder / f"{name}{kind}") for name in ("first", "second")]
    return run(["evaluate", "motion-gain", *both, "--catalog", str(catalog), *words])


def expect(folder: Path, catalog: Path, kind: str = ".json", split: str = "", **changes: object) -> object:
    both = [
        ClassAccuracies.load(folder / f"{name}{kind}", **changes)  # type: ignore[arg-type]
        for name in ("first", "second")
    ]
    table = MotionTable.load(name_table(catalog))
    result = compare_by_motion(*both, Catalog.load(catalog), table, split=split)
    return json.loads(json.dumps(result.to_json()))


def test_the_result_is_shown_and_kept(folder: Path, corpus: Path, tmp_path: Path, capsys: Capture) -> None:
    capsys.readouterr()
    out = tmp_path / "gain.json"
    assert evaluate(folder, corpus, "--out", str(out)) == 0
    captured = capsys.readouterr()
    values = json.loads(out.read_text())
    assert values == expect(folder, corpus)
    lines = captured.out.splitlines()
    shown = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│ speed")]
    assert [row[0] for row in shown] == [own["name"] for own in values["classes"]]
    for row, own in zip(shown, values["classes"], strict=True):
        assert row[1:5] == [
            str(own["queries"]),
            *(f"{100 * own[name]:.1f}" for name in ("first", "second", "gain")),
        ]
        assert row[6] == f"{own['normalized_motion']:.2f}"
    assert "second            pixels, " in captured.out
    assert "classes           3, 3 with known motion" in captured.out
    assert f"mean gain         {100 * values['mean_gain']:.1f} points" in captured.out
    assert f"unreel report motion-gain {out} --out motion_gain.png" in captured.out
    assert "not shown" not in captured.out
    assert "warning" not in captured.err


def test_features_and_other_results_are_compared_too(folder: Path, corpus: Path, capsys: Capture) -> None:
    capsys.readouterr()
    assert evaluate(folder, corpus, "--json", kind=".parquet") == 0
    found, svm = json.loads(capsys.readouterr().out), expect(folder, corpus)
    assert found["classes"] == svm["classes"]  # type: ignore[index]
    words = ["--level", "clip", "--k", "5", "--split", "test", "--json"]
    assert evaluate(folder, corpus, *words, kind="-retrieval.json") == 0
    expected = expect(folder, corpus, "-retrieval.json", level="clip", k=5, split="test")
    assert json.loads(capsys.readouterr().out) == expected


def test_of_many_classes_both_ends_are_shown(folder: Path, corpus: Path, capsys: Capture) -> None:
    capsys.readouterr()
    assert evaluate(folder, corpus, "--num-shown", "1") == 0
    captured = capsys.readouterr()
    assert "1 in between are not shown" in captured.out
    assert sum(line.startswith("│ speed") for line in captured.out.splitlines()) == 2
    assert "unreel report" not in captured.out


def test_what_is_not_alike_or_not_known_is_announced(
    folder: Path, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    from tests.data.motion_tables import make_table

    motion = {f"{number:02d}.mp4": None if number % 3 == 0 else [1.0] for number in range(12)}
    make_table(Catalog.load(corpus), motion).save(tmp_path / "m.parquet")
    words = ["--features", str(folder / "second.parquet"), "--costs", "2", "--json"]
    assert run(["evaluate", "svm", *words, "--out", str(tmp_path / "other.json")]) == 0
    capsys.readouterr()
    both = [str(folder / "first.json"), str(tmp_path / "other.json")]
    needed = ["--catalog", str(corpus), "--motion", str(tmp_path / "m.parquet")]
    assert run(["evaluate", "motion-gain", *both, *needed]) == 0
    captured = capsys.readouterr()
    assert "the two were not measured alike: costs: [1.0], not [2.0]" in captured.err
    assert "the motion of 4 videos could not be measured" in captured.err
    assert "nothing is known of the motion of 1 classes, such as speed0" in captured.err
    assert "rank correlation  not defined" in captured.out
    row = next(line for line in captured.out.splitlines() if line.startswith("│ speed0"))
    assert row.count(" - ") == 2


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--motion", "absent.parquet"], 1, "absent.parquet: there is no table of motion"),
        (["--catalog", "absent.parquet"], 1, "absent.parquet"),
        (["--level", "clip"], 1, "has no level 'clip', only video"),
        (["--split", "val"], 1, "no split 'val'"),
        (["--num-shown", "0"], 2, "num_shown must be at least 1, got 0"),
        (["--out", "."], 2, "--out . is a folder"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_right_code(
    folder: Path, corpus: Path, capsys: Capture, words: list[str], code: int, message: str
) -> None:
    assert evaluate(folder, corpus, *words) == code
    assert message in capsys.readouterr().err


def test_results_of_two_protocols_are_refused(folder: Path, corpus: Path, capsys: Capture) -> None:
    both = [str(folder / "first.json"), str(folder / "second-retrieval.json")]
    assert run(["evaluate", "motion-gain", *both, "--catalog", str(corpus)]) == 1
    assert "protocol is 'svm' in" in capsys.readouterr().err
