"""Search an index for what a person asks for: a file, a stretch of one, or a video that is in the index."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from unreel.errors import SearchError
from unreel.features.encoder import Encoder
from unreel.features.pooling import Pooling
from unreel.search.filters import NO_FILTER, Filter
from unreel.search.hits import Hit
from unreel.search.index_info import IndexInfo
from unreel.search.index_schema import Unit
from unreel.search.indexing import find_video
from unreel.search.query import Query, embed_query, read_query_clips
from unreel.search.video_index import VideoIndex

# D features


@dataclass(frozen=True)
class Answer:
    """What a search found.

    Attributes:
        query: that was asked for.
        video_id: of the query, when it is a video of the index; else "".
        hits: best first.
    """

    query: Query
    video_id: str
    hits: tuple[Hit, ...]


def search_index(
    index: VideoIndex,
    query: Query,
    encoder: Encoder | None = None,
    *,
    top_k: int = 10,
    unit: Unit = "video",
    wanted: Filter = NO_FILTER,
) -> Answer:
    """Find what is most like a file, a stretch of one, or a video of the index.

    A query that names a file is embedded as the videos of the index were. Anything else is taken for the id
    or the path of a video in the index, whose vectors are used, and which is then not found itself.

    Args:
        index: what is searched.
        query: a file, or a video of the index; a stretch of it.
        encoder: the one that made the index; needed for files only.
        top_k: number of hits; fewer when fewer videos may be found.
        unit: whether whole videos or clips are compared.
        wanted: which videos may be found.

    Raises:
        SearchError: the index is damaged or of another encoder, or has no such video; or the query is a file
            and there is no encoder.
        ValueError: ``top_k`` is not positive.
        VideoError: the file is no video that decodes, or has no frame in the stretch.
    """
    if os.path.isfile(query.source):
        if encoder is None:
            raise SearchError(f"{query.source} is a file, and embedding it needs the encoder of the index")
        video_id, query_D = "", embed_query_file(query, encoder, index.store.info)
    else:
        video_id = _find_id(index, query)
        query_D = index.embed_stored(video_id, query.start_sec, query.end_sec)
    hits = index.search(query_D, top_k=top_k, unit=unit, wanted=wanted, exclude=video_id)
    return Answer(query, video_id, tuple(hits))


def embed_query_file(query: Query, encoder: Encoder, info: IndexInfo) -> NDArray[np.float32]:
    """Return the mean vector of a file, or of a stretch of it, made as those of an index were; length D.

    Raises:
        SearchError: the index was made by another encoder.
        VideoError: the file is no video that decodes, or has no frame in the stretch.
    """
    check_encoder(encoder, info)
    clips = read_query_clips(
        Path(query.source),
        encoder.spec,
        info.clips_per_video,
        start_sec=query.start_sec,
        end_sec=query.end_sec,
    )
    return np.asarray(embed_query(clips, encoder, cast(Pooling, info.pooling)).mean(axis=0))


def check_encoder(encoder: Encoder, info: IndexInfo) -> None:
    """Refuse an encoder other than that of an index.

    Raises:
        SearchError: the hashes differ.
    """
    if encoder.hash != info.encoder_hash:
        raise SearchError(
            f"the vectors were made by encoder {info.encoder!r} (hash {info.encoder_hash}), a query would be "
            f"embedded by {encoder.name!r} (hash {encoder.hash}); give the encoder that made the vectors, or "
            "make another index with this one"
        )


def _find_id(index: VideoIndex, query: Query) -> str:
    try:
        return find_video(index.store, query.source)
    except SearchError as error:
        raise SearchError(f"there is no file {query.source!r}, and {error}") from None
