from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.data.catalog import Catalog
from unreel.data.subset import choose_fraction, choose_per_class
from unreel.errors import CatalogError


@pytest.fixture
def catalog(corpus: Path) -> Catalog:
    """Three classes of four videos."""
    return Catalog.load(corpus)


def ids(catalog: Catalog, count: int, *, seed: int = 0) -> set[str]:
    return {catalog.ids[row] for row in choose_per_class(catalog, count, seed=seed)}


def test_every_class_gives_as_many(catalog: Catalog) -> None:
    rows = choose_per_class(catalog, 3)
    assert sorted(catalog.labels[row] for row in rows) == ["speed0"] * 3 + ["speed1"] * 3 + ["speed2"] * 3
    assert (np.diff(rows) > 0).all()


def test_a_smaller_choice_is_part_of_a_larger_one(catalog: Catalog) -> None:
    assert ids(catalog, 1) < ids(catalog, 2) < ids(catalog, 3) < ids(catalog, 4) == set(catalog.ids)
    assert ids(catalog, 100) == set(catalog.ids)


def test_neither_the_order_nor_the_company_of_the_videos_matters(catalog: Catalog) -> None:
    backwards = catalog.take(np.arange(12)[::-1].copy())
    assert ids(backwards, 2) == ids(catalog, 2)
    one_class = catalog.take(np.array([row for row in range(12) if catalog.labels[row] == "speed1"]))
    assert ids(one_class, 2) < ids(catalog, 2)


def test_another_seed_chooses_others(catalog: Catalog) -> None:
    assert len({frozenset(ids(catalog, 2, seed=seed)) for seed in range(8)}) > 4


def test_without_labels_there_are_no_classes(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Catalog, "labels", [""] * 12)
    with pytest.raises(CatalogError, match="no video has a label"):
        choose_per_class(catalog, 2)
    with pytest.raises(ValueError, match="videos per class must be at least 1, got 0"):
        choose_per_class(catalog, 0)


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    fraction=st.floats(0.001, 1),
    larger=st.floats(0.001, 1),
    seed=st.integers(0, 50),
)
def test_a_share_of_every_class_is_nested_and_holds_one_at_least(
    sizes: list[int], fraction: float, larger: float, seed: int
) -> None:
    labels = [f"class {number}" for number, size in enumerate(sizes) for _ in range(size)]
    names = [f"video {number}" for number in range(len(labels))]
    fraction, larger = sorted((fraction, larger))
    small, large = (set(choose_fraction(labels, names, own, seed=seed)) for own in (fraction, larger))
    assert small <= large
    for number, size in enumerate(sizes):
        own = [row for row in small if labels[row] == f"class {number}"]
        assert 1 <= len(own) <= size
        assert fraction * size - 1e-6 <= len(own) < fraction * size + 1 + 1e-6


def test_shares_that_come_out_even_are_not_rounded_up() -> None:
    # 0.07 * 100 is 7.000000000000001 and 0.29 * 100 is 28.999999999999996.
    labels, names = ["a"] * 100, list(map(str, range(100)))
    assert [len(choose_fraction(labels, names, share)) for share in (0.01, 0.07, 0.29, 0.291, 1)] == [
        1,
        7,
        29,
        30,
        100,
    ]


def test_rows_of_a_video_stay_together_and_those_without_a_label_are_left_out() -> None:
    labels = ["a", "a", "b", "b", "a", "", "b"]
    names = ["1", "1", "2", "2", "3", "4", "5"]
    assert choose_fraction(labels, names, 1).tolist() == [0, 1, 2, 3, 4, 6]
    seen = {tuple(choose_fraction(labels, names, 0.5, seed=seed).tolist()) for seed in range(20)}
    assert seen == {(0, 1, 2, 3), (0, 1, 6), (2, 3, 4), (4, 6)}


def test_the_share_is_drawn_as_the_number_is(catalog: Catalog) -> None:
    for seed in range(4):
        half = choose_fraction(catalog.labels, catalog.ids, 0.5, seed=seed)
        assert half.tolist() == choose_per_class(catalog, 2, seed=seed).tolist()


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, float("nan")])
def test_shares_out_of_range_are_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match=f"must be above 0 and at most 1, got {fraction}"):
        choose_fraction(["a"], ["1"], fraction)
    with pytest.raises(CatalogError, match="no video has a label"):
        choose_fraction(["", ""], ["1", "2"], 0.5)
