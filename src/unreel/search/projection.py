"""The videos of an index on a plane: alike videos lie close together."""

import heapq
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from unreel.runs import write_json
from unreel.search.index_reader import IndexReader
from unreel.search.index_store import IndexStore

# G videos, D features

Projection = Literal["pca", "tsne"]
MAX_POINTS = 3000
"""Videos on a map at most, chosen evenly."""
WORK = f"{__name__}:project_file"

_PRINCIPAL_AXES = 50
"""t-SNE starts from so many principal components, as its authors advise."""
_PERPLEXITY = 30.0


def project_vectors(
    vectors_GD: NDArray[np.float32], method: Projection, *, seed: int = 0
) -> NDArray[np.float64]:
    """Place vectors on a plane, shape (G, 2), each coordinate in [0, 1].

    Vectors are scaled to length 1 first, so that distance follows the cosine by which is searched. The longer
    side of the map spans [0, 1] and the other is centred, so both axes have one scale.

    Args:
        vectors_GD: at least one.
        method: ``"pca"``, the two directions in which they differ most; ``"tsne"``, t-SNE, which keeps
            neighbours together and says nothing by larger distances.
        seed: of t-SNE.

    Reference:
        van der Maaten and Hinton, Visualizing Data using t-SNE, JMLR 2008.

    Raises:
        ValueError: the method is unknown, or there are no vectors.
    """
    if method not in get_args(Projection):
        raise ValueError(f"method must be one of {', '.join(get_args(Projection))}, got {method!r}")
    if vectors_GD.ndim != 2 or not len(vectors_GD):
        raise ValueError(f"a map needs vectors, one at least, got shape {vectors_GD.shape}")
    lengths = np.linalg.norm(vectors_GD.astype(np.float64), axis=1, keepdims=True)
    unit_GD = np.divide(vectors_GD, lengths, out=np.zeros(vectors_GD.shape), where=lengths > 0)
    if method == "pca" or len(unit_GD) < 4:
        return _fit_into_square(_find_principal(unit_GD, 2))
    return _fit_into_square(_embed_neighbours(_find_principal(unit_GD, _PRINCIPAL_AXES), seed))


def _find_principal(unit_GD: NDArray[np.float64], num_axes: int) -> NDArray[np.float64]:
    """Return coordinates along the directions of largest variance, with zeros where there are fewer."""
    centred_GD = unit_GD - unit_GD.mean(axis=0)
    if len(centred_GD) < centred_GD.shape[1]:  # few long vectors: the other Gram matrix is the smaller one
        values_G, vectors_GG = np.linalg.eigh(centred_GD @ centred_GD.T)
        points_GA = (vectors_GG * np.sqrt(np.maximum(values_G, 0.0)))[:, ::-1][:, :num_axes]
    else:
        _, vectors_DD = np.linalg.eigh(centred_GD.T @ centred_GD)
        points_GA = centred_GD @ vectors_DD[:, ::-1][:, :num_axes]
    # An axis may point either way: the video farthest out decides, so that a map looks the same again.
    farthest_A = np.abs(points_GA).argmax(axis=0)
    signs_A = np.where(points_GA[farthest_A, range(points_GA.shape[1])] < 0, -1.0, 1.0)
    return np.pad(points_GA * signs_A, ((0, 0), (0, max(0, 2 - points_GA.shape[1]))))


def _embed_neighbours(points_GA: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    from sklearn.manifold import TSNE

    spread = points_GA[:, :2].std(axis=0).max()
    if spread == 0:
        return points_GA[:, :2]
    perplexity = min(_PERPLEXITY, (len(points_GA) - 1) / 3)
    model = TSNE(perplexity=perplexity, init=points_GA[:, :2] / spread * 1e-4, random_state=seed, n_jobs=1)
    return np.asarray(model.fit_transform(points_GA), dtype=np.float64)


def _fit_into_square(points_G2: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = points_G2.min(axis=0), points_G2.max(axis=0)
    side = float((high - low).max())
    if side == 0:
        return np.full_like(points_G2, 0.5)
    centred_G2: NDArray[np.float64] = (points_G2 - (low + high) / 2) / side + 0.5
    return centred_G2.clip(0.0, 1.0)


def project_index(reader: IndexReader, method: Projection) -> dict[str, Any]:
    """Place the videos of an index on a plane.

    Args:
        reader: of the index.
        method: see `project_vectors`.

    Returns:
        ``generation`` of the index, ``total``, and ``points``: id, x, y, label and path of each video shown.
    """
    total = reader.count_keys("video")
    keys = array("q")  # a million videos as objects would take a gigabyte

    def list_ids() -> Iterator[str]:
        for key, video_id, _ in reader.iterate_paths():
            keys.append(key)
            yield video_id

    chosen_keys = [keys[row] for row in choose_evenly(list_ids(), MAX_POINTS)]
    places = reader.locate("video", chosen_keys)
    chosen = [places[key][0] for key in chosen_keys]
    points_G2 = np.empty((0, 2))
    if chosen:
        points_G2 = project_vectors(reader.vectors("video", chosen_keys), method)
    points = [
        {"id": video.id, "x": round(x, 5), "y": round(y, 5), "label": video.label, "path": video.path}
        for video, (x, y) in zip(chosen, points_G2.tolist(), strict=True)
    ]
    return {"generation": reader.generation, "method": method, "total": total, "points": points}


def choose_evenly(ids: Iterable[str], count: int) -> list[int]:
    """Return the rows of at most ``count`` ids, ascending; which ones follows from the ids alone.

    A video that is added or removed changes little of the choice, so that a map stays recognisable.
    """
    ranks = ((zlib.crc32(video_id.encode("utf-8")), video_id, row) for row, video_id in enumerate(ids))
    return sorted(row for _, _, row in heapq.nsmallest(count, ranks))


def project_file(job: Mapping[str, Any]) -> dict[str, Any]:
    """Make a map of an index and write it to a file; for a process of its own.

    Args:
        job: ``index``, ``method`` and ``out``.

    Returns:
        ``shown``, the number of points.
    """
    with IndexStore.open(Path(job["index"])).read() as reader:
        values = project_index(reader, job["method"])
    write_json(Path(job["out"]), values)
    return {"shown": len(values["points"])}
