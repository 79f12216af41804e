"""Find the videos most like a given one."""

import dataclasses
import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from unreel.cli.terminal import parse_arguments, print_summary, print_table
from unreel.features.encoder import Encoder, choose_device
from unreel.features.table import FeatureTable
from unreel.search.query import search_videos


@dataclass(frozen=True)
class Arguments:
    """What to search for, and in what."""

    query: tyro.conf.Positional[Path]
    """A video file; it need not be in the catalog."""
    encoder: Path
    """The encoder that made the features."""
    features: Path
    """Table that `unreel extract` wrote."""
    top_k: int = 10
    """Number of videos to show."""
    device: str = "auto"
    """Where the network runs: auto, cpu, cuda, cuda:1, ..."""
    json: bool = False
    """Print the hits as JSON on the standard output."""


def main(argv: list[str]) -> None:
    """Run the command."""
    arguments = parse_arguments(
        Arguments,
        argv,
        command="search",
        description=__doc__ or "",
        example="unreel search query.mp4 --encoder runs/ccl/encoder --features features.parquet --top-k 5",
    )
    encoder = Encoder.load(arguments.encoder).to(choose_device(arguments.device))
    table = FeatureTable.load(arguments.features)
    hits = search_videos(arguments.query, encoder, table, top_k=arguments.top_k)
    if arguments.json:
        values = {
            "query": str(arguments.query),
            "root": table.info.root,
            "encoder_hash": encoder.hash,
            "hits": [dataclasses.asdict(hit) for hit in hits],
        }
        sys.stdout.write(json.dumps(values, indent=2, ensure_ascii=False) + "\n")
        return
    print_table(
        f"Videos most like {arguments.query}",
        ["rank", "score", "start", "label", "video"],
        [
            [rank, f"{hit.score:.4f}", f"{hit.start_sec:.2f} s", hit.label, hit.path]
            for rank, hit in enumerate(hits, start=1)
        ],
    )
    num_videos = len(set(table.video_ids))
    next_steps = []
    if (table.column("label") != "").any():
        features = shlex.quote(str(arguments.features))
        next_steps.append(f"unreel evaluate retrieval --features {features}    # how far to trust this")
    print_summary(
        "Search",
        {"searched": f"{num_videos} videos, {len(table)} vectors", "paths start from": table.info.root},
        next_steps=next_steps,
    )
