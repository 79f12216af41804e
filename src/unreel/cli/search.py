"""Find the videos, or the moments, most like a given one.

The query is a video file, a stretch of one in seconds (`video.mp4@3.5-6.0`), or the id or path of a video
that is in the index.
"""

import dataclasses
import json
import os
import shlex
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from unreel.cli.terminal import parse_arguments, print_summary, print_table
from unreel.errors import SearchError
from unreel.features.encoder import Encoder, Precision, choose_device
from unreel.features.table import FeatureTable
from unreel.search.filters import Filter
from unreel.search.hits import Hit
from unreel.search.query import parse_query, search_videos
from unreel.search.search_index import Answer, search_index
from unreel.search.video_index import VideoIndex

_EXAMPLE = """unreel search query.mp4 --index videos.index --top-k 5
  unreel search match.mp4@62.5-66 --index videos.index --unit clip --label serve --min-sec 10
  unreel search query.mp4 --index videos.index --qdrant http://localhost:6333
  unreel search query.mp4 --encoder runs/ccl/encoder --features features.parquet"""


@dataclass(frozen=True)
class Arguments:
    """What to search for, and in what."""

    query: tyro.conf.Positional[str]
    """A video file, which need not be in the index; `FILE@START-END` for a stretch of it, in seconds; or the
    id or path of a video of the index."""
    index: Path | None = None
    """Index that `unreel index` wrote."""
    features: Path | None = None
    """Instead of an index, a table that `unreel extract` wrote."""
    qdrant: str = ""
    """Search the mirror of the index there: address of a Qdrant server, or a folder; see `unreel index`."""
    encoder: Path | None = None
    """The encoder that made the vectors; an index knows where it was."""
    top_k: int = 10
    """Number of videos to show."""
    unit: Literal["video", "clip"] = "video"
    """Whether whole videos are compared, or each of their clips by itself."""
    label: tuple[str, ...] = ()
    """Find videos of these classes only; `""` stands for none."""
    split: tuple[str, ...] = ()
    """Find videos of these splits only."""
    group: tuple[str, ...] = ()
    """Find videos of these groups only."""
    min_sec: float = 0.0
    """Find videos of at least this length only."""
    max_sec: float = float("inf")
    """Find videos of at most this length only."""
    path_prefix: str = ""
    """Find videos only whose path in the catalog begins like this."""
    device: str = "auto"
    """Where the network runs: auto, cpu, cuda, cuda:1, ..."""
    json: bool = False
    """Print the hits as JSON on the standard output."""


def main(argv: list[str]) -> None:
    """Run the command.

    Raises:
        ValueError: neither or both of an index and a table are given.
    """
    arguments = parse_arguments(
        Arguments, argv, command="search", description=__doc__ or "", example=_EXAMPLE
    )
    if (arguments.index is None) == (arguments.features is None):
        raise ValueError("say what to search: --index, or --features and --encoder")
    if arguments.features is not None and arguments.qdrant:
        raise ValueError("--qdrant holds a mirror of an index; give --index")
    if arguments.features is not None:
        _search_table(arguments, arguments.features)
    elif arguments.index is not None:
        _search_index(arguments, arguments.index)


def _search_index(arguments: Arguments, path: Path) -> None:
    with closing(VideoIndex.open(path, qdrant=arguments.qdrant)) as index:
        _answer(arguments, path, index)


def _answer(arguments: Arguments, path: Path, index: VideoIndex) -> None:
    query = parse_query(arguments.query)
    answer = search_index(
        index,
        query,
        _load_encoder(arguments, index) if os.path.isfile(query.source) else None,
        top_k=arguments.top_k,
        unit=arguments.unit,
        wanted=_read_filter(arguments),
    )
    if arguments.json:
        _print_json(arguments, answer.hits, index.store.info.root, index.store.info.encoder_hash)
        return
    _print_hits(arguments, answer.hits)
    with index.store.read() as reader:
        counts = f"{reader.count_keys('video')} videos, {reader.count_keys('clip')} vectors"
    engine = index.describe_engine(arguments.unit)
    next_steps = [f"unreel serve --index {shlex.quote(str(path))}    # look at them"]
    print_summary(
        "Search",
        {"searched": f"{counts}, {engine}", "query": _describe_query(answer)}
        | {"paths start from": index.store.info.root},
        next_steps=next_steps,
    )


def _describe_query(answer: Answer) -> str:
    query = answer.query
    stretch = "" if query.is_whole else f", from {query.start_sec:g} s to {query.end_sec:g} s"
    known = f" (video {answer.video_id} of the index)" if answer.video_id else ""
    return f"{query.source}{known}{stretch}"


def _load_encoder(arguments: Arguments, index: VideoIndex) -> Encoder:
    info = index.store.info
    folder = arguments.encoder or (Path(info.encoder_folder) if info.encoder_folder else None)
    if folder is None:
        raise SearchError(f"the index does not know where its encoder {info.encoder!r} is; give --encoder")
    if not folder.exists() and arguments.encoder is None:
        raise SearchError(f"the encoder of the index was in {folder} and is not there now; give --encoder")
    precision: Precision = "bfloat16" if info.precision == "bfloat16" else "float32"
    return Encoder.load(folder).to(choose_device(arguments.device), precision=precision)


def _read_filter(arguments: Arguments) -> Filter:
    return Filter(
        labels=arguments.label,
        splits=arguments.split,
        groups=arguments.group,
        min_sec=arguments.min_sec,
        max_sec=arguments.max_sec,
        path_prefix=arguments.path_prefix,
    )


def _search_table(arguments: Arguments, path: Path) -> None:
    if arguments.encoder is None:
        raise ValueError("--features needs --encoder, the encoder that made the table")
    if not _read_filter(arguments).is_empty or arguments.unit != "video":
        raise ValueError(
            "filters and --unit clip need an index; make one with `unreel index --features "
            f"{shlex.quote(str(path))} --out videos.index`"
        )
    query = parse_query(arguments.query)
    encoder = Encoder.load(arguments.encoder).to(choose_device(arguments.device))
    table = FeatureTable.load(path)
    hits = search_videos(query, encoder, table, top_k=arguments.top_k)
    if arguments.json:
        _print_json(arguments, hits, table.info.root, encoder.hash)
        return
    _print_hits(arguments, hits)
    features = shlex.quote(str(path))
    next_steps = [f"unreel index --features {features} --out videos.index    # moments, filters, a page"]
    if (table.column("label") != "").any():
        next_steps.append(f"unreel evaluate retrieval --features {features}    # how far to trust this")
    print_summary(
        "Search",
        {
            "searched": f"{len(set(table.video_ids))} videos, {len(table)} vectors",
            "paths start from": table.info.root,
        },
        next_steps=next_steps,
    )


def _print_json(
    arguments: Arguments, hits: tuple[Hit, ...] | list[Hit], root: str, encoder_hash: str
) -> None:
    values = {
        "query": arguments.query,
        "root": root,
        "encoder_hash": encoder_hash,
        "hits": [dataclasses.asdict(hit) for hit in hits],
    }
    sys.stdout.write(json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def _print_hits(arguments: Arguments, hits: tuple[Hit, ...] | list[Hit]) -> None:
    what = "Videos" if arguments.unit == "video" else "Moments"
    print_table(
        f"{what} most like {arguments.query}",
        ["rank", "score", "start", "label", "video"],
        [
            [rank, f"{hit.score:.4f}", f"{hit.start_sec:.2f} s", hit.label, hit.path]
            for rank, hit in enumerate(hits, start=1)
        ],
    )
