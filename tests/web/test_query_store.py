import numpy as np

from unreel.web.query_store import QueryStore, StoredQuery


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def add(store: QueryStore, name: str = "a.mp4") -> StoredQuery:
    return store.add(
        np.array([1.0, 2.0], dtype=np.float32),
        name=name,
        seconds=3.0,
        start_sec=None,
        end_sec=2.0,
        encoder_hash="abc",
    )


def test_what_was_added_is_found_by_its_id() -> None:
    store = QueryStore(10, 60.0)
    query = add(store)
    found = store.get(query.id)
    assert found is query
    assert (found.name, found.seconds, found.start_sec, found.end_sec) == ("a.mp4", 3.0, None, 2.0)
    assert found.vector_D.tolist() == [1.0, 2.0]
    assert store.get("other") is None


def test_ids_differ_and_are_long() -> None:
    store = QueryStore(100, 60.0)
    ids = {add(store).id for _ in range(100)}
    assert len(ids) == 100
    assert all(len(query_id) == 22 for query_id in ids)  # 16 random bytes


def test_queries_expire() -> None:
    clock = Clock()
    store = QueryStore(10, 60.0, clock=clock)
    first = add(store)
    clock.now += 59.9
    second = add(store)
    assert store.get(first.id) is first
    clock.now += 0.2
    assert store.get(first.id) is None
    assert store.get(second.id) is second
    assert len(store) == 1


def test_the_oldest_make_room() -> None:
    store = QueryStore(2, 60.0)
    queries = [add(store) for _ in range(3)]
    assert len(store) == 2
    assert store.get(queries[0].id) is None
    assert store.get(queries[2].id) is queries[2]
