"""Vectors as a search holds them, without an index file."""

import numpy as np
from numpy.typing import NDArray

from unreel.search.exact import inverse_norms
from unreel.search.vector_cache import CacheStamp, VectorCache


def build_cache(vectors: NDArray[np.float32], keys: NDArray[np.int64] | None = None) -> VectorCache:
    """Return a cache in memory; keys are 1, 2, ... by default."""
    keys = np.arange(1, len(vectors) + 1) if keys is None else keys
    parts = (bytes(4096), keys.astype("<i8"), inverse_norms(vectors, "test"), vectors.astype("<f4"))
    stamp = CacheStamp("test", 0, "", int(keys.max(initial=0)), 0, len(vectors), vectors.shape[1])
    return VectorCache(stamp, b"".join(bytes(part) for part in parts), None)


def draw_random(num_rows: int, size: int, seed: int = 0) -> NDArray[np.float32]:
    """Return vectors of any direction and length."""
    return np.random.default_rng(seed).standard_normal((num_rows, size), dtype=np.float32)


def draw_clustered(num_rows: int, size: int, seed: int = 0) -> NDArray[np.float32]:
    """Return vectors around a center for every twenty of them."""
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((num_rows // 20, size), dtype=np.float32)
    return centers[rng.integers(0, len(centers), num_rows)] + 0.4 * draw_random(num_rows, size, seed + 1)
