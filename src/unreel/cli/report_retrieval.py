"""What an encoder finds: frames of a few queries, and of their nearest videos, by one or more encoders.

Of every video the first, the middle and the last frame are shown. Videos of the query's class have a green
frame, others a red one. Give two tables of features to set two encoders side by side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from unreel.cli.evaluate_output import print_json, warn_of_rejected
from unreel.cli.output_files import check_outputs, write_outputs
from unreel.cli.terminal import parse_arguments, print_summary, print_table, print_warning
from unreel.data.catalog import Catalog
from unreel.evaluate.ranking import RankingConfig, Target
from unreel.features.table import FeatureTable
from unreel.report.figures import check_figure_path
from unreel.report.retrieval import save_retrieval
from unreel.report.retrieval_view import RetrievalView, choose_queries, view_retrieval
from unreel.runs import write_json

_EXAMPLE = """unreel report retrieval --features scvrl.parquet --catalog catalog.parquet --out retrieval.png
  unreel report retrieval --features cvrl.parquet scvrl.parquet --catalog catalog.parquet --seed 3"""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to search for, in what, and where to draw it."""

    features: tuple[Path, ...]
    """Tables that `unreel extract` wrote, one per encoder, all of the same videos."""
    catalog: Path
    """Catalog that they were extracted from."""
    root: Path | None = None
    """Where the videos are now, when their folder was moved after the scan."""
    by: Target = "label"
    """What makes a neighbour right: `label`, the class, or `group` (scene, film, ...)."""
    query_split: str = "auto"
    """Split to choose queries from where none is named; `auto` takes test when there are test and train."""
    gallery_split: str = "auto"
    """Split that is searched; `auto` takes train as above, else all videos but the query."""
    queries: tuple[str, ...] = ()
    """Queries by id or by path as in the catalog."""
    num_queries: int = 4
    """Queries to choose where none is named, spread evenly over the split."""
    seed: int | None = None
    """Choose them at random instead."""
    num_neighbors: int = 3
    """Nearest videos to show."""
    out: Path = Path("retrieval.png")
    """Picture to write, .png or .svg; an older one is replaced."""
    data: Path | None = None
    """JSON file for the numbers behind the picture, with all settings."""
    json: bool = False
    """Print the numbers as JSON on the standard output."""
    decode_time_limit_sec: float = 30.0
    """Time after which a video counts as unreadable; 0 sets no limit."""


def main(argv: list[str]) -> None:
    """Draw the figure."""
    arguments = parse_arguments(
        Arguments, argv, command="report retrieval", description=__doc__ or "", example=_EXAMPLE
    )
    check_figure_path(arguments.out)
    check_outputs(
        {"--out": arguments.out, "--data": arguments.data},
        {"--features": arguments.features, "--catalog": arguments.catalog},
    )
    tables = [FeatureTable.load(path) for path in arguments.features]
    view = _look(tables, arguments)
    values = {
        **view.to_json(),
        "settings": {
            **view.settings,
            "features_paths": [str(path) for path in arguments.features],
            "queries": list(arguments.queries),
            "seed": arguments.seed,
        },
    }
    _warn(tables, view)
    if arguments.json:
        print_json(values)
    else:
        _report(view, arguments)
    write_outputs(
        {
            "--data": (arguments.data, partial(write_json, value=values)),
            "--out": (arguments.out, partial(save_retrieval, view)),
        }
    )


def _look(tables: Sequence[FeatureTable], arguments: Arguments) -> RetrievalView:
    catalog = Catalog.load(arguments.catalog, root=arguments.root)
    wanted = RankingConfig(arguments.by, arguments.query_split, arguments.gallery_split)
    config = RankingConfig(arguments.by, *wanted.resolve_splits(catalog.split_names))
    chosen = choose_queries(
        tables,
        catalog,
        config.query_split,
        names=arguments.queries,
        num_queries=arguments.num_queries,
        seed=arguments.seed,
    )
    return view_retrieval(
        tables,
        catalog,
        chosen,
        num_neighbors=arguments.num_neighbors,
        config=config,
        decode_time_limit_sec=arguments.decode_time_limit_sec,
    )


def _warn(tables: Sequence[FeatureTable], view: RetrievalView) -> None:
    warn_of_rejected(view.rejected)
    first = set(tables[0].video_ids)
    for table, name in zip(tables[1:], view.encoders[1:], strict=True):
        num_apart = len(first ^ set(table.video_ids))
        if num_apart:
            print_warning(
                f"{num_apart} videos are in one of the tables of {view.encoders[0]} and {name} only"
            )


def _report(view: RetrievalView, arguments: Arguments) -> None:
    rows = []
    for query, by_table in zip(view.queries, view.found, strict=True):
        for encoder, videos in zip(view.encoders, by_table, strict=True):
            found = ", ".join(f"{video.target or video.path} {video.score:.2f}" for video in videos)
            rows.append([query.path, query.target or "-", encoder, found])
    print_table("Nearest videos", ["query", arguments.by, "encoder", "found"], rows)
    known = [video for by_table in view.found for videos in by_table for video in videos]
    num_right = sum(video.is_right is True for video in known)
    print_summary(
        f"Figure {arguments.out}",
        {
            "queries": f"{len(view.queries)} videos",
            "searched": view.settings["gallery_split"] or "all videos but the query",
            "right": f"{num_right} of {len(known)} shown; green where the {arguments.by} is the query's",
            "numbers": arguments.data or "not kept; --data FILE.json keeps them",
        },
    )
