from pathlib import Path

import numpy as np
import pytest

from unreel.data.catalog import Catalog
from unreel.data.subset import choose_per_class
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
