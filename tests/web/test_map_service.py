from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.search.test_projection import build_index
from tests.web.served import wait_for
from unreel.search.index_store import IndexStore
from unreel.web.answers import MapAnswer
from unreel.web.killable import KillableWorker, WorkFailure
from unreel.web.map_service import MapService


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    return build_index(tmp_path / "videos.index", 6)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[MapService]:
    service = MapService(tmp_path / "maps")
    yield service
    service.close()


def get_when_done(service: MapService, store: IndexStore) -> MapAnswer:
    wait_for(lambda: service.get(store, "pca").state != "computing")
    return service.get(store, "pca")


def test_a_map_is_computed_in_the_background(service: MapService, store: IndexStore) -> None:
    first = service.get(store, "pca")
    assert (first.state, first.points, first.total) == ("computing", [], 6)
    found = get_when_done(service, store)
    assert (found.state, found.shown, found.total, found.method) == ("ready", 6, 6, "pca")
    assert [point.id for point in found.points] == [f"v{number}" for number in range(6)]


def test_a_map_outlives_the_server(
    service: MapService, store: IndexStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = get_when_done(service, store).points
    monkeypatch.setattr(KillableWorker, "ask", lambda *args: pytest.fail("computed again"))
    later = MapService(service._folder)
    assert later.get(store, "pca").points == points
    later.close()


def test_when_the_collection_changes_the_map_before_is_shown_meanwhile(
    service: MapService, store: IndexStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    get_when_done(service, store)
    store.remove(["v0"])
    stale = service.get(store, "pca")
    assert (stale.state, stale.shown, stale.total) == ("computing", 6, 5)
    fresh = get_when_done(service, store)
    assert (fresh.state, fresh.shown, fresh.total) == ("ready", 5, 5)


def test_a_failure_is_told_and_tried_again_for_the_next_state(
    service: MapService, store: IndexStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def fail(self: object, job: Any, limit: float) -> None:
        asked.append(job)
        raise WorkFailure("the process died")

    with monkeypatch.context() as patch:
        patch.setattr(KillableWorker, "ask", fail)
        found = get_when_done(service, store)
        assert (found.state, found.reason) == ("failed", "the process died")
        service.get(store, "pca")
        assert len(asked) == 1
    store.remove(["v0"])
    assert get_when_done(service, store).state == "ready"


def test_another_index_at_the_same_place_has_another_map(
    service: MapService, store: IndexStore, tmp_path: Path
) -> None:
    get_when_done(service, store)
    other = build_index(tmp_path / "other.index", 3)
    found = get_when_done(service, other)
    assert (found.state, found.shown) == ("ready", 3)


def test_a_damaged_map_is_made_again(service: MapService, store: IndexStore) -> None:
    get_when_done(service, store)
    for text in ("no JSON", "[]"):
        (path,) = service._folder.iterdir()
        path.write_text(text)
        later = MapService(service._folder)
        assert get_when_done(later, store).state == "ready"
        later.close()
