from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.search.caches import build_cache, draw_clustered, draw_random
from tests.search.small_indexes import build_store, build_video
from unreel.errors import SearchError
from unreel.search import tuning
from unreel.search.approximate import ApproximateEngine
from unreel.search.codes import Codes
from unreel.search.engine import ExactEngine
from unreel.search.index_store import IndexStore
from unreel.search.tuned_index import EXACT, FLAT, LISTS, TunedIndex, read_tuned
from unreel.search.tuning import choose_search, tune_index
from unreel.search.tuning_queries import draw_questions, measure_recall
from unreel.search.vector_cache import VectorCache

WANTED = TunedIndex(top_k=5, target_recall=0.9)


@pytest.fixture(scope="module")
def clustered() -> VectorCache:
    return build_cache(draw_clustered(4000, 32))


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let queries take what a test says, for these vectors are too few for the true times to tell."""

    def set_times(exact: float, flat: float, lists: float) -> None:
        def time_queries(engine: Any, _: object) -> float:
            if isinstance(engine, ExactEngine):
                return exact
            return lists if engine._codes.num_lists else flat

        monkeypatch.setattr(tuning, "time_queries", time_queries)

    return set_times


@pytest.mark.parametrize(("times", "kind"), [((9, 2, 1), LISTS), ((9, 1, 2), FLAT), ((1, 2, 3), EXACT)])
def test_the_fastest_way_is_chosen(
    clustered: VectorCache, set_clock: Callable[..., None], times: tuple[float, float, float], kind: str
) -> None:
    set_clock(*times)
    tuned, codes = choose_search(clustered, WANTED, num_queries=50)
    assert (tuned.kind, tuned.query_ms, tuned.exact_query_ms) == (kind, min(times), times[0])
    assert (codes is None) == (kind == EXACT)
    assert (tuned.num_probes > 0) == (tuned.num_lists > 0) == (kind == LISTS)


@pytest.mark.parametrize("times", [(9, 1, 2), (9, 2, 1)], ids=["flat", "lists"])
def test_what_is_reported_holds_for_other_queries(
    clustered: VectorCache, set_clock: Callable[..., None], times: tuple[float, float, float]
) -> None:
    set_clock(*times)
    tuned, codes = choose_search(clustered, WANTED, num_queries=100)
    assert codes is not None
    exact = ExactEngine(clustered.keys, clustered.vectors, clustered.scales)
    others = draw_questions(clustered, exact, 5, 300, seed=99)
    recall = measure_recall(ApproximateEngine(codes, clustered, tuned.effort), others)
    assert recall > 0.87
    assert tuned.recall_low - 0.02 < recall < tuned.recall_high + 0.02
    assert tuned.recall_low < tuned.index_recall_at_k < tuned.recall_high
    assert tuned.num_queries == 100
    assert tuned.num_bytes == codes.count_bytes()


def test_more_recall_takes_more_effort(clustered: VectorCache, set_clock: Callable[..., None]) -> None:
    set_clock(9, 1, 2)
    efforts = []
    for target in (0.5, 0.9, 0.99):
        tuned, _ = choose_search(clustered, replace(WANTED, target_recall=target), num_queries=50)
        assert tuned.index_recall_at_k >= target
        efforts.append(tuned.num_candidates)
    assert efforts[0] < efforts[1] < efforts[2] < len(clustered.keys) / 10


def test_vectors_without_structure_are_in_no_lists(
    set_clock: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Near ones lie anywhere, so most lists would have to be looked at: these codes are not even made."""
    set_clock(9, 2, 1)
    added: list[int] = []
    add = Codes.add
    monkeypatch.setattr(Codes, "add", lambda self, *rest: (added.append(self.num_lists), add(self, *rest)))
    tuned, _ = choose_search(build_cache(draw_random(4000, 64)), WANTED, num_queries=50)
    assert tuned.kind == FLAT
    assert added == [0]


def test_who_wants_every_neighbour_has_every_vector_compared(
    clustered: VectorCache, set_clock: Callable[..., None]
) -> None:
    """Two hundred queries that miss nothing say no more than that 98 % or more are found."""
    set_clock(9, 1, 1)
    wanted = replace(WANTED, target_recall=1.0)
    assert choose_search(clustered, wanted, num_queries=50) == (wanted, None)


def test_few_vectors_are_searched_exactly_without_more_ado(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "draw_questions", lambda *_: pytest.fail("queries were drawn"))
    tuned, codes = choose_search(build_cache(draw_random(1999, 4)), WANTED, num_queries=50)
    assert (tuned, codes) == (WANTED, None)


def test_other_queries_that_find_too_little_raise_the_effort(
    clustered: VectorCache, set_clock: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(9, 1, 2)
    first, _ = choose_search(clustered, WANTED, num_queries=50)
    asked: list[tuple[list[int], int]] = []
    chosen_by: set[int] = set()
    choose = tuning._choose_candidates

    def note(codes: Codes, cache: VectorCache, questions: Any, *rest: Any) -> int:
        chosen_by.update(questions.keys_Q.tolist())
        return choose(codes, cache, questions, *rest)

    monkeypatch.setattr(tuning, "_choose_candidates", note)
    recalls = iter([0.85, 0.89, 0.93])

    def measure(engine: ApproximateEngine, questions: Any) -> float:
        asked.append((questions.keys_Q.tolist(), engine._effort.num_candidates))
        return next(recalls)

    monkeypatch.setattr(tuning, "measure_recall", measure)
    tuned, _ = choose_search(clustered, WANTED, num_queries=50)
    steps = [number for _, number in asked]
    assert steps == [first.num_candidates, -(-first.num_candidates * 3 // 2), tuned.num_candidates]
    assert tuned.num_candidates == -(-steps[1] * 3 // 2)
    assert tuned.index_recall_at_k == 0.93
    keys = [key for own, _ in asked for key in own]
    assert len(set(keys)) == len(keys) == 150
    assert len(chosen_by) == 50
    assert not chosen_by & set(keys)


def test_a_target_that_is_missed_in_the_end_is_reported_as_it_is(
    clustered: VectorCache, set_clock: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(9, 1, 2)
    monkeypatch.setattr(tuning, "measure_recall", lambda *_: 0.8)
    tuned, _ = choose_search(clustered, WANTED, num_queries=50)
    assert (tuned.kind, tuned.index_recall_at_k) == (FLAT, 0.8)


def test_search_that_its_effort_makes_slower_than_exact_is_exact(
    clustered: VectorCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of exact search, of both kinds at first, then of the one that was confirmed."""
    times = iter([5.0, 4.0, 6.0, 6.0, 6.0])
    monkeypatch.setattr(tuning, "time_queries", lambda *_: next(times))
    tuned, codes = choose_search(clustered, WANTED, num_queries=50)
    assert (tuned.kind, tuned.query_ms, tuned.index_recall_at_k, codes) == (EXACT, 5.0, 1.0, None)


def make_index(path: Path, num_videos: int = 2100) -> None:
    vectors = draw_clustered(num_videos, 16)
    build_store(
        path, [build_video(str(row), vectors[row : row + 1]) for row in range(num_videos)], dimension=16
    )


def test_an_index_is_tuned_and_what_was_chosen_is_kept(
    tmp_path: Path, set_clock: Callable[..., None]
) -> None:
    set_clock(9, 1, 2)
    path = tmp_path / "videos.index"
    make_index(path)
    told: list[int] = []
    tuned = tune_index(path, num_queries=30, progress=lambda done, total, note: told.append(done))
    assert read_tuned(IndexStore.open(path), "video") == tuned
    assert (tuned.kind, tuned.unit, tuned.num_rows, tuned.top_k) == (FLAT, "video", 2100, 10)
    assert told[-1] == 2100
    clips = tune_index(path, num_queries=30, unit="clip", target_recall=0.8, top_k=3)
    assert (clips.unit, clips.target_recall, clips.top_k) == ("clip", 0.8, 3)


def test_vectors_that_came_after_the_cache_are_tuned_for(tmp_path: Path) -> None:
    path = tmp_path / "videos.index"
    store = build_store(path, [build_video("a", [[1.0, 0.0]])])
    with store.read() as reader:
        VectorCache.build(store, "video", reader)
    store.add([build_video("b", [[0.0, 1.0]])])
    assert tune_index(path).num_rows == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target_recall": 0.0}, "target_recall must be above 0 and at most 1, got 0.0"),
        ({"target_recall": 1.01}, "target_recall must be above 0 and at most 1, got 1.01"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"num_queries": 9}, "num_queries must be at least 10 to tell one recall from another, got 9"),
        ({"unit": "frame"}, "unit must be 'video' or 'clip', got 'frame'"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tune_index(Path("missing.index"), **arguments)


def test_an_empty_index_is_refused(tmp_path: Path) -> None:
    build_store(tmp_path / "videos.index")
    with pytest.raises(SearchError, match="holds no videos; put some in with `unreel index` before"):
        tune_index(tmp_path / "videos.index")


def test_a_cache_folder_that_cannot_be_written_to_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_store(tmp_path / "videos.index", [build_video("a", [[1.0, 0.0]])])

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(tuning, "save_tuned", fail)
    with pytest.raises(
        SearchError, match=r"cannot write to .*videos.index.cache \(no space left\); make room"
    ):
        tune_index(tmp_path / "videos.index")
