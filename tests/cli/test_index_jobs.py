import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.search.caches import draw_clustered
from tests.search.small_indexes import build_store, build_video
from unreel.cli import index_jobs
from unreel.cli.index_jobs import Tuning, describe_tuned, tune_when_large
from unreel.cli.main import run
from unreel.errors import SearchError
from unreel.search import tuning
from unreel.search.index_store import IndexStore
from unreel.search.qdrant_engine import QdrantEngine
from unreel.search.tuned_index import FLAT, LISTS, TunedIndex, read_tuned
from unreel.search.video_index import VideoIndex

Capture = pytest.CaptureFixture[str]
VECTORS = draw_clustered(400, 32)


def add(store: IndexStore, rows: range) -> None:
    store.add([build_video(f"v{row:03}", VECTORS[row : row + 1], label=f"l{row % 2}") for row in rows])


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    store = build_store(tmp_path / "v.index", dimension=32)
    add(store, range(300))
    return store


def answer(capsys: Capture, *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert run(["index", *words, "--json"]) == 0
    values: dict[str, Any] = json.loads(capsys.readouterr().out)
    return values


def squeeze(text: str) -> str:
    return " ".join(text.split())


# Tuning


@pytest.fixture
def codes_win(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let three hundred vectors be as many as three hundred thousand: codes are faster than comparing all."""

    def time_by_kind(engine: Any, questions: object) -> float:
        return 9.0 if engine.name == "exact" else 1.0

    monkeypatch.setattr(tuning, "_MIN_ROWS", 100)
    monkeypatch.setattr(tuning, "_MAX_CANDIDATE_SHARE", 1.0)
    monkeypatch.setattr(tuning, "time_queries", time_by_kind)


@pytest.mark.usefixtures("codes_win")
def test_tuning_says_for_both_units_what_is_found_and_searches_so(store: IndexStore, capsys: Capture) -> None:
    words = ["--tune", "--target-recall", "0.9", "--recall-k", "5", "--out", str(store.path)]
    values = answer(capsys, *words)
    assert values.keys() == {"out", "tuned"}
    assert [found["unit"] for found in values["tuned"]] == ["video", "clip"]
    for found in values["tuned"]:
        assert (found["target_recall"], found["top_k"], found["num_rows"]) == (0.9, 5, 300)
        assert 0.9 <= found["index_recall_at_k"] <= 1
    index = VideoIndex.open(store.path)
    assert index.describe_engine("video").startswith("approximate (RaBitQ")
    assert index.describe_engine("clip").startswith("approximate (RaBitQ")
    assert run(["index", *words]) == 0
    out = squeeze(capsys.readouterr().out)
    assert "search by video" in out
    assert "index_recall_at_5" in out
    assert run(["index", "--status", "--out", str(store.path)]) == 0
    assert squeeze(capsys.readouterr().out).count("index_recall_at_5") == 2
    assert answer(capsys, "--status", "--out", str(store.path))["tuned"] == [
        {**found, "build_sec": pytest.approx(found["build_sec"], abs=9)} for found in values["tuned"]
    ]


def test_of_few_vectors_tuning_says_that_all_are_compared(store: IndexStore, capsys: Capture) -> None:
    assert run(["index", "--tune", "--out", str(store.path)]) == 0
    assert squeeze(capsys.readouterr().out).count("exact, all 300 vectors") == 2
    assert VideoIndex.open(store.path).describe_engine() == "exact"


def test_an_index_without_videos_is_not_tuned(tmp_path: Path, capsys: Capture) -> None:
    build_store(tmp_path / "v.index")
    assert run(["index", "--tune", "--out", str(tmp_path / "v.index")]) == 1
    assert "holds no videos; put some in" in squeeze(capsys.readouterr().err)


def test_what_tuning_found_is_said_in_a_line() -> None:
    flat = TunedIndex(
        kind=FLAT,
        num_candidates=70,
        top_k=10,
        index_recall_at_k=0.9625,
        recall_low=0.93,
        recall_high=0.98,
        num_queries=200,
        query_ms=1.25,
        exact_query_ms=20,
        build_sec=3,
        num_bytes=2_500_000,
    )
    text = describe_tuned(flat)
    assert text.startswith("RaBitQ, 70 candidates: index_recall_at_10 0.96")
    assert "(95 % interval 0.930 to 0.980; 200 queries); 1.25 ms a query, exact 20.00 ms" in text
    assert text.endswith("2.5 MB")
    lists = TunedIndex(kind=LISTS, num_lists=64, num_probes=7, num_candidates=70)
    assert describe_tuned(lists).startswith("IVF,RaBitQ, 7 of 64 lists, 70 candidates: ")


# Tuning by itself


@pytest.fixture
def tuned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Units in the order in which they were tuned."""
    units: list[str] = []
    tune = tuning.tune_index

    def note(out: Path, **settings: Any) -> TunedIndex:
        units.append(settings["unit"])
        return tune(out, **settings)

    monkeypatch.setattr(index_jobs, "tune_index", note)
    return units


def test_an_index_is_tuned_by_itself_once_when_it_is_large(store: IndexStore, tuned: list[str]) -> None:
    assert tune_when_large(store.path, Tuning(0.95, 10, exact_below=300)) == []
    found = tune_when_large(store.path, Tuning(0.95, 10, exact_below=299))
    assert [item.unit for item in found] == tuned == ["video", "clip"]
    assert read_tuned(store, "clip") == found[1]
    assert tune_when_large(store.path, Tuning(0.95, 10, exact_below=299)) == []
    assert len(tuned) == 2


def test_units_are_large_each_by_itself(store: IndexStore, tuned: list[str]) -> None:
    store.add([build_video("long", VECTORS[300:400])])
    tune_when_large(store.path, Tuning(0.95, 10, exact_below=350))
    assert tuned == ["clip"]


def test_another_target_or_much_growth_tunes_again(
    store: IndexStore, tuned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tune_when_large(store.path, Tuning(0.95, 10, 0))
    for count, wanted in ((4, Tuning(0.9, 10, 0)), (6, Tuning(0.9, 7, 0)), (6, Tuning(0.9, 7, 1000))):
        tune_when_large(store.path, wanted)
        assert len(tuned) == count
    monkeypatch.setattr(index_jobs, "_GROWTH", 1.2)
    add(store, range(300, 360))
    tune_when_large(store.path, Tuning(0.9, 7, 0))
    assert len(tuned) == 6  # 360 is 1.2 times 300
    add(store, range(360, 361))
    tune_when_large(store.path, Tuning(0.9, 7, 0))
    assert len(tuned) == 8


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (("--target-recall", "0"), "target_recall must be above 0 and at most 1, got 0"),
        (("--target-recall", "1.5"), "target_recall must be above 0 and at most 1, got 1.5"),
        (("--recall-k", "0"), "top_k must be at least 1, got 0"),
        (("--exact-below", "-1"), "exact_below must be 0 or more, got -1"),
    ],
)
@pytest.mark.parametrize("job", [("--tune",), ("--encoder", "absent", "--catalog", "absent")])
def test_a_target_that_cannot_be_is_refused_before_hours_of_embedding(
    tmp_path: Path, capsys: Capture, job: tuple[str, ...], wanted: tuple[str, str], message: str
) -> None:
    assert run(["index", *job, *wanted, "--out", str(tmp_path / "v.index")]) == 2
    assert message in squeeze(capsys.readouterr().err)


# A mirror in Qdrant


# The client leaves the file open by which it found that the folder is in use.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_mirror_gets_what_is_new_and_loses_what_is_gone(
    store: IndexStore, tmp_path: Path, capsys: Capture
) -> None:
    words = ["--qdrant", str(tmp_path / "qdrant"), "--out", str(store.path)]
    values = answer(capsys, *words)
    assert (values["out"], values["qdrant"]) == (str(store.path), str(tmp_path / "qdrant"))
    for unit in ("video", "clip"):
        name = f"unreel_{store.identity[:12]}_{unit}"
        assert values[unit] == {"collection": name, "added": 300, "removed": 0}
    store.remove(["v000", "v001"])
    add(store, range(300, 303))
    assert run(["index", *words]) == 0
    out = squeeze(capsys.readouterr().out)
    assert f"3 sent, 2 taken out, in collection unreel_{store.identity[:12]}_video" in out
    assert answer(capsys, *words)["clip"]["added"] == 0


def test_a_server_that_is_not_there_is_named(store: IndexStore, capsys: Capture) -> None:
    assert run(["index", "--qdrant", "http://127.0.0.1:9", "--out", str(store.path)]) == 1
    assert "Qdrant at http://127.0.0.1:9 cannot be reached or refuses" in squeeze(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        (":memory:", ":memory: is gone when the command ends; give the address of a server, or a folder"),
        ("localhost:6333", "must be an address that begins with http:// or https://, a folder, or :memory:"),
    ],
)
def test_a_mirror_that_nobody_could_use_is_refused(
    store: IndexStore, capsys: Capture, location: str, message: str
) -> None:
    assert run(["index", "--qdrant", location, "--out", str(store.path)]) == 2
    assert message in squeeze(capsys.readouterr().err)
    assert not Path(location).exists()


def test_a_mirror_is_let_go_of_when_it_fails(store: IndexStore, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []

    def fail(engine: QdrantEngine, progress: object) -> None:
        raise SearchError("no room")

    monkeypatch.setattr(QdrantEngine, "sync", fail)
    monkeypatch.setattr(QdrantEngine, "close", lambda engine: closed.append(True))
    assert run(["index", "--qdrant", "https://example.com", "--out", str(store.path)]) == 1
    assert closed == [True]


# Videos that were moved


def test_a_folder_that_was_moved_is_noted(store: IndexStore, tmp_path: Path, capsys: Capture) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / "v007.mp4").write_bytes(b"a video")
    values = answer(capsys, "--root", str(moved), "--out", str(store.path))
    assert values == {"out": str(store.path), "before": str(tmp_path), "root": str(moved)}
    with IndexStore.open(store.path).read() as reader:
        video = reader.video("v007")
        assert video is not None
        assert video.file == moved / "v007.mp4"
    assert run(["index", "--root", str(moved), "--out", str(store.path)]) == 0
    assert f"paths start from {moved}" in squeeze(capsys.readouterr().out)


def test_a_folder_without_any_of_the_videos_is_refused(
    store: IndexStore, tmp_path: Path, capsys: Capture
) -> None:
    shutil.copytree(store.path.parent, tmp_path / "other", ignore=shutil.ignore_patterns("other"))
    assert run(["index", "--root", str(tmp_path / "other"), "--out", str(store.path)]) == 1
    assert "other holds none of the 300 videos of" in squeeze(capsys.readouterr().err)
    assert IndexStore.open(store.path).info.root == str(tmp_path)
