"""A part of a catalog that is the same wherever and whenever it is chosen."""

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from unreel.data.catalog import Catalog
from unreel.errors import CatalogError
from unreel.seeding import derive_key


def choose_per_class(catalog: Catalog, count: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Return the rows of ``count`` videos of every class, ascending; of a smaller class all.

    Whether a video is among them depends on the seed and on its class: its neighbours in the catalog may come
    in any order. The choice for a smaller count is part of that for a larger one.

    Args:
        catalog: of labelled videos; those without a label are in no class.
        count: videos per class.
        seed: of the choice.

    Raises:
        ValueError: ``count`` is below 1.
        CatalogError: no video has a label.
    """
    if count < 1:
        raise ValueError(f"videos per class must be at least 1, got {count}; 0 in the settings takes all")
    rows_by_class: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for row, (label, video_id) in enumerate(zip(catalog.labels, catalog.ids, strict=True)):
        if label:
            rows_by_class[label].append((derive_key(seed, "subset", video_id), row))
    if not rows_by_class:
        raise CatalogError("no video has a label, so none can be chosen by class; scan a list with labels")
    chosen = [row for members in rows_by_class.values() for _, row in sorted(members)[:count]]
    return np.sort(np.array(chosen, dtype=np.int64))
