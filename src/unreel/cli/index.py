"""Keep the vectors of a collection in one file that `unreel search` and `unreel serve` read.

Given again, the command embeds what is new or has changed, and nothing else. It can be killed at any moment.
"""

import dataclasses
import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from unreel.cli.index_jobs import (
    Tuning,
    describe_tuned,
    mirror,
    move,
    print_status,
    remove_videos,
    tune,
    tune_when_large,
)
from unreel.cli.index_watch import run_watch
from unreel.cli.output_files import check_outputs
from unreel.cli.terminal import ProgressBar, format_duration, parse_arguments, print_summary
from unreel.data.catalog import Catalog
from unreel.data.listing import FolderLabels
from unreel.features.encoder import Encoder, Precision, choose_device
from unreel.features.pooling import Pooling
from unreel.features.reading import ReadConfig
from unreel.features.table import FeatureTable
from unreel.search.index_features import index_features
from unreel.search.index_info import IndexInfo
from unreel.search.indexing import IndexSummary, update_index
from unreel.search.search_index import check_encoder
from unreel.search.tuned_index import TunedIndex
from unreel.search.watch import WatchConfig

_EXAMPLE = """unreel index --encoder runs/ccl/encoder --catalog catalog.parquet --out videos.index
  unreel index --features features.parquet --catalog catalog.parquet --out videos.index
  unreel index --encoder runs/ccl/encoder --watch videos/ --out videos.index
  unreel index --remove holiday/beach.mp4 --out videos.index
  unreel index --tune --target-recall 0.98 --out videos.index
  unreel index --status --out videos.index"""


@dataclass(frozen=True)
class Arguments:
    """What goes into the index, or out of it."""

    out: Path = Path("videos.index")
    """The index; it is made when there is none."""
    catalog: Path | None = None
    """Catalog whose videos are to be in the index; with `--features`, the one that was extracted."""
    encoder: Path | None = None
    """Folder `encoder` of a run, which embeds the videos."""
    features: Path | None = None
    """Table of `unreel extract`, whose vectors are taken as they are."""
    watch: Path | None = None
    """Folder to watch until Ctrl-C: videos that arrive are embedded, those that leave are dropped."""
    labels: FolderLabels = "none"
    """With `--watch`, `from-folders` labels a video with the name of its folder."""
    interval_sec: float = 5.0
    """With `--watch`, time between two looks at the folder."""
    settle_sec: float = 5.0
    """With `--watch`, a file is whole when its size and time of writing have stayed the same for so long."""
    once: bool = False
    """With `--watch`, bring the index in line with the folder and end."""
    allow_empty: bool = False
    """With `--watch`, drop videos even when all are gone at once, as when a disk is not mounted."""
    prune: bool = False
    """Drop what is in the index but not in the catalog or table, or not in its `--split`."""
    remove: tuple[str, ...] = ()
    """Ids, or paths as in the catalog, of videos to drop."""
    status: bool = False
    """Say what is in the index, and change nothing."""
    tune: bool = False
    """Choose the fastest way of search that finds enough, and say what it finds. Done by itself when an index
    grows beyond `--exact-below`."""
    target_recall: float = 0.95
    """Share of the true nearest neighbours that search is to find; 1 always compares with every vector."""
    recall_k: int = 10
    """Neighbours per query by which that share is measured."""
    exact_below: int = 200_000
    """Up to so many vectors search compares with every one, unless `--tune` is given."""
    qdrant: str = ""
    """Mirror the index there: address of a Qdrant server, or a folder for a trial."""
    root: Path | None = None
    """Where the videos are now, when their folder was moved. Alone, it is noted in the index."""
    split: str = ""
    """Part of the catalog to embed; all of it by default."""
    clips_per_video: int = 10
    """Clips spread evenly over each video, each found by itself with `unreel search --unit clip`."""
    pooling: Pooling = "average"
    """`average` gives one vector per clip, `frame` one per time position of it, `conv5_max` one long vector
    per clip."""
    device: str = "auto"
    """Where the network runs: auto, cpu, cuda, cuda:1, ..."""
    precision: Precision = "float32"
    """Arithmetic of the network; vectors are float32 either way."""
    batch_size: int = 32
    """Clips per pass of the network, rounded down to whole videos."""
    num_workers: int = -1
    """Processes that decode; -1 takes one per core, 0 decodes in the main process."""
    decode_time_limit_sec: float = 30.0
    """Time after which a video counts as unreadable; 0 sets no limit."""
    json: bool = False
    """Print the summary as JSON on the standard output."""


def main(argv: list[str]) -> None:
    """Run the command."""
    arguments = parse_arguments(Arguments, argv, command="index", description=__doc__ or "", example=_EXAMPLE)
    _check(arguments)
    out, is_json = arguments.out, arguments.json
    tuning = Tuning(arguments.target_recall, arguments.recall_k, arguments.exact_below)
    if arguments.status:
        print_status(out, is_json=is_json)
    elif arguments.remove:
        remove_videos(out, arguments.remove, is_json=is_json)
    elif arguments.watch:
        _watch(arguments)
    elif arguments.tune:
        tune(out, tuning, is_json=is_json)
    elif arguments.qdrant:
        mirror(out, arguments.qdrant, is_json=is_json)
    elif arguments.catalog or arguments.features:
        summary = _index_features(arguments) if arguments.features else _update(arguments)
        _report(summary, tune_when_large(out, tuning), arguments)
    else:
        assert arguments.root is not None
        move(out, arguments.root, is_json=is_json)


def _check(arguments: Arguments) -> None:
    jobs = {
        "--status": arguments.status,
        "--remove": bool(arguments.remove),
        "--features": arguments.features is not None,
        "--watch": arguments.watch is not None,
        "--tune": arguments.tune,
        "--qdrant": bool(arguments.qdrant),
        "--encoder": arguments.encoder is not None and not (arguments.features or arguments.watch),
    }
    asked = [name for name, is_asked in jobs.items() if is_asked]
    if len(asked) > 1:
        raise ValueError(f"{asked[0]} and {asked[1]} are two jobs; give one at a time")
    for job in ("--status", "--remove", "--tune", "--qdrant"):
        given = [
            name
            for name in ("catalog", "root", "split", "prune")
            if asked == [job] and getattr(arguments, name)
        ]
        if given:
            raise ValueError(f"{job} takes the index as it is; leave out --{given[0]}")
    if arguments.root is not None and asked and arguments.catalog is None and arguments.watch is None:
        raise ValueError("--root goes with --catalog, or alone; without a catalog paths stay as they are")
    is_moved = arguments.root is not None and not asked and arguments.catalog is None
    if not (asked or is_moved) or (asked == ["--encoder"] and arguments.catalog is None):
        raise ValueError(
            "say what to index: --encoder with --catalog or --watch embeds videos, --features takes the "
            "vectors of `unreel extract`; or give --remove, --tune, --qdrant, --root or --status"
        )
    _check_watch(arguments)
    inputs = {
        "--catalog": arguments.catalog,
        "--encoder": arguments.encoder,
        "--features": arguments.features,
    }
    check_outputs({"--out": arguments.out}, {name: path for name, path in inputs.items() if path is not None})


def _check_watch(arguments: Arguments) -> None:
    if arguments.watch is None:
        of_watching = ("labels", "interval_sec", "settle_sec", "once", "allow_empty")
        given = [name for name in of_watching if getattr(arguments, name) != getattr(Arguments, name)]
        if given:
            raise ValueError(
                f"--{given[0].replace('_', '-')} goes with --watch; leave it out, or watch a folder"
            )
        return
    if arguments.encoder is None:
        raise ValueError("--watch embeds what arrives; say with what, such as --encoder runs/ccl/encoder")
    others = ("catalog", "prune", "root", "split")
    given = [name for name in others if getattr(arguments, name) != getattr(Arguments, name)]
    if given:
        raise ValueError(f"--watch takes the folder as it is; leave out --{given[0]}")


def _load_encoder(arguments: Arguments) -> Encoder:
    assert arguments.encoder is not None
    encoder = Encoder.load(arguments.encoder)
    return encoder.to(choose_device(arguments.device), precision=arguments.precision)


def _configure_reading(arguments: Arguments) -> ReadConfig:
    return ReadConfig(
        clips_per_video=arguments.clips_per_video,
        batch_size=arguments.batch_size,
        num_workers=arguments.num_workers,
        decode_time_limit_sec=arguments.decode_time_limit_sec,
    )


def _watch(arguments: Arguments) -> None:
    assert arguments.watch is not None
    assert arguments.encoder is not None
    config = WatchConfig(
        labels=arguments.labels,
        interval_sec=arguments.interval_sec,
        settle_sec=arguments.settle_sec,
        is_once=arguments.once,
        is_empty_allowed=arguments.allow_empty,
    )
    run_watch(
        arguments.watch,
        arguments.out,
        _load_encoder(arguments),
        encoder_folder=str(arguments.encoder.absolute()),
        pooling=arguments.pooling,
        read=_configure_reading(arguments),
        config=config,
        is_json=arguments.json,
    )


def _update(arguments: Arguments) -> IndexSummary:
    assert arguments.encoder is not None
    assert arguments.catalog is not None
    encoder = _load_encoder(arguments)
    with ProgressBar("Indexing", unit="videos") as progress:
        return update_index(
            arguments.out,
            Catalog.load(arguments.catalog, root=arguments.root),
            encoder,
            encoder_folder=str(arguments.encoder.absolute()),
            pooling=arguments.pooling,
            split=arguments.split,
            read=_configure_reading(arguments),
            is_pruned=arguments.prune,
            progress=progress,
        )


def _index_features(arguments: Arguments) -> IndexSummary:
    assert arguments.features is not None
    table = FeatureTable.load(arguments.features)
    if arguments.encoder is not None:
        check_encoder(Encoder.load(arguments.encoder), IndexInfo.from_features(table.info))
    catalog = Catalog.load(arguments.catalog, root=arguments.root) if arguments.catalog else None
    with ProgressBar("Indexing", unit="videos") as progress:
        return index_features(
            arguments.out,
            table.select(arguments.split),
            catalog=catalog,
            encoder_folder=str(arguments.encoder.absolute()) if arguments.encoder else "",
            is_pruned=arguments.prune,
            progress=progress,
        )


def _report(summary: IndexSummary, tuned: list[TunedIndex], arguments: Arguments) -> None:
    if arguments.json:
        values = {**dataclasses.asdict(summary), "tuned": [dataclasses.asdict(found) for found in tuned]}
        sys.stdout.write(json.dumps(values, indent=2, default=str, ensure_ascii=False) + "\n")
        return
    rows: dict[str, object] = {
        "videos": f"{summary.videos} = {summary.kept} kept + {summary.added} added + {summary.replaced} "
        f"replaced + {summary.rejected} rejected",
        "in the index": f"{summary.num_videos} videos, {summary.num_clips} vectors",
    }
    if summary.removed:
        rows["removed"] = f"{summary.removed} videos that are no longer wanted"
    if summary.relabelled:
        rows["relabelled"] = f"{summary.relabelled} videos have another label, split or group"
    rows |= {f"search by {found.unit}": describe_tuned(found) for found in tuned}
    rows["time"] = format_duration(summary.seconds)
    out = shlex.quote(str(arguments.out))
    next_steps = [f"unreel search VIDEO --index {out}", f"unreel serve --index {out}"]
    if summary.rejected:
        next_steps.insert(0, f"unreel index --status --out {out}    # why videos were rejected")
    print_summary(f"Index {summary.out}", rows, next_steps=next_steps)
