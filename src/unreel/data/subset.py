"""A part of a catalog that is the same wherever and whenever it is chosen."""

import math
from collections import defaultdict
from collections.abc import Sequence

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


def choose_fraction(
    labels: Sequence[str], ids: Sequence[str], fraction: float, *, seed: int = 0
) -> NDArray[np.int64]:
    """Return the rows of a share of the videos of every class, ascending; of every class one video at least.

    Of a class of n videos, ``ceil(fraction * n)`` are chosen, by the same draw as in `choose_per_class`: the
    choice for a smaller share is part of that for a larger one, and neither order nor company matters.

    Args:
        labels: class of every row; rows without one are never chosen.
        ids: video of every row; rows of one video are chosen together.
        fraction: above 0, and at most 1, which takes all that have a label.
        seed: of the choice.

    Raises:
        ValueError: ``fraction`` is out of range.
        CatalogError: no video has a label.

    Reference: SCVRL, section 4.4 (low-shot learning).
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"the share of the videos of a class must be above 0 and at most 1, got {fraction}")
    rows_by_class: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row, (label, video_id) in enumerate(zip(labels, ids, strict=True)):
        if label:
            rows_by_class[label][video_id].append(row)
    if not rows_by_class:
        raise CatalogError("no video has a label, so none can be chosen by class; scan a list with labels")
    chosen: list[int] = []
    for members in rows_by_class.values():
        # 0.07 * 100 is a little more than 7 in floating point, and its ceiling must not be 8.
        count = math.ceil(round(fraction * len(members), 9))
        for video_id in sorted(members, key=lambda own: (derive_key(seed, "subset", own), own))[:count]:
            chosen += members[video_id]
    return np.sort(np.array(chosen, dtype=np.int64))
