"""Find the six words in the sentences of GRID, from vectors over time: does a localiser learn to see them?

Every sentence has 75 frames of a mouth and six words of 1 to 21 frames, one after the other; before and after
them there is silence. 750 sentences are learned from, 250 are measured. A word is found by the picture of its
beginning and end, or known by its usual place: so beside random stretches stands what knows the places of
the words in all training sentences, and nothing of the video that is asked about.

    python benchmarks/grid_localization.py grid/labels.csv --encoder runs/words/encoder
"""

import argparse
import csv
import dataclasses
import json
import time
from pathlib import Path

import numpy as np
from machine import describe_machine

from unreel.data.catalog import Catalog
from unreel.data.scan import scan_videos
from unreel.evaluate.localization import AverageRecall, measure_average_recall
from unreel.evaluate.localization_result import evaluate_proposals
from unreel.evaluate.localize import propose_segments
from unreel.evaluate.proposal_files import read_proposals, write_proposals
from unreel.evaluate.soft_nms import measure_iou, suppress_softly
from unreel.features.encoder import Encoder
from unreel.features.grid_batches import GridData, read_segments
from unreel.features.grid_clips import GridSampling
from unreel.features.grid_extract import extract_grids
from unreel.features.localizer import Localizer
from unreel.features.pixels import PixelBaseline
from unreel.features.reading import ClipEmbedder, ReadConfig
from unreel.features.table import FeatureTable
from unreel.recipes.bmn import small
from unreel.train.localization import train_localizer

WORDS = ("command", "color", "prep", "letter", "digit", "adverb")
FPS = 25


def write_segments(labels: Path, out: Path) -> Path:
    """Write a list of all words with their times, and the catalog that it makes."""
    lines = []
    with labels.open(newline="") as file:
        for row in csv.DictReader(file):
            for word in WORDS:
                first, last = map(int, row[f"f_{word}"].split("-"))
                if last > first:
                    path = (labels.parent / row["path"]).absolute()
                    lines.append([path, first / FPS, last / FPS, word, row["split"]])
    with (out / "segments.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "start_sec", "end_sec", "label", "split"], *lines])
    scan_videos([out / "segments.csv"], out / "segments.parquet", num_workers=1)
    return out / "segments.parquet"


def measure_prior(catalog: Catalog) -> AverageRecall:
    """Propose the usual places of words in training sentences, in every test sentence the same."""
    train, test = (np.concatenate(read_segments(catalog.select(name))[0]) for name in ("train", "test"))
    candidates = np.unique(np.round(train, 4), axis=0)
    votes = np.maximum(measure_iou(candidates, train) - 0.5, 0).sum(axis=1)
    usual = suppress_softly(candidates, votes, top=100).segments_K2
    truth = read_segments(catalog.select("test"))[0]
    assert sum(map(len, truth)) == len(test)
    return measure_average_recall(truth, [usual] * len(truth))


def measure(
    embedder: ClipEmbedder, catalog_path: Path, out: Path, name: str, options: argparse.Namespace
) -> tuple[list[dict[str, object]], float]:
    """Return the results of all seeds, and how long all of it took."""
    started = time.perf_counter()
    catalog, features = Catalog.load(catalog_path), out / f"{name}.parquet"
    extract_grids(
        embedder, catalog, features, grid=GridSampling(options.every), read=ReadConfig(num_workers=1)
    )
    results = []
    for seed in range(options.seeds):
        recipe = small()
        network = dataclasses.replace(recipe.method.network, num_positions=options.positions)
        recipe = dataclasses.replace(
            recipe,
            method=dataclasses.replace(recipe.method, network=network),
            data=GridData(features=features, catalog=catalog_path),
            train=dataclasses.replace(
                recipe.train, epochs=options.epochs, seed=seed, checkpoint_every_steps=10**6
            ),
        )
        run = out / f"{name}-{seed}"
        train_localizer(recipe, run, recipe_name="bmn.small", is_resumed=(run / "recipe.json").exists())
        proposals = propose_segments(Localizer.load(run), FeatureTable.load(features), split="test")
        write_proposals(out / f"{name}-{seed}.json", proposals, details=name)
        read = read_proposals(out / f"{name}-{seed}.json")
        result = evaluate_proposals(out / f"{name}-{seed}.json", read, catalog).to_json()
        results.append(result)
        print(
            name,
            seed,
            json.dumps(result["proposals"]["average_recall"]),
            result["proposals"]["auc"],
            flush=True,
        )
    return results, time.perf_counter() - started


def show(name: str, rows: list[dict[str, float]], seconds: str) -> str:
    """Return a line of the table: means over seeds in percent, with deviations where there are several."""
    cells = []
    for key in ("1", "5", "10", "50", "100", "auc"):
        values = np.array([row[key] for row in rows])
        spread = f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
        cells.append(f"{values.mean():.1f}{spread}")
    return f"| {name} | {' | '.join(cells)} | {seconds} |"


def as_percent(recall: dict[str, float], auc: float) -> dict[str, float]:
    return {**{number: 100 * value for number, value in recall.items()}, "auc": auc}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("labels", type=Path, help="labels.csv, with the range of frames of every word")
    parser.add_argument("--encoder", type=Path, required=True, help="folder of an encoder")
    parser.add_argument("--every", type=int, default=2, help="distance between two vectors, in frames")
    parser.add_argument("--positions", type=int, default=50, help="of the grid; 50 are 1.5 frames each")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("grid_localization"), help="folder for all files")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    catalog_path = write_segments(options.labels, options.out)
    encoder = Encoder.load(options.encoder)
    embedders: dict[str, ClipEmbedder] = {
        "pixels": PixelBaseline(encoder.spec),
        "untrained": Encoder.untrained(encoder.config),
        "encoder": encoder,
    }
    prior = measure_prior(Catalog.load(catalog_path))
    shown = {str(number): prior.average_recall(number) for number in (1, 5, 10, 50, 100)}
    lines = [show("the usual places", [as_percent(shown, prior.auc)], "")]
    for name, embedder in embedders.items():
        results, seconds = measure(embedder, catalog_path, options.out, name, options)
        if len(lines) == 1:
            uniform = results[0]["uniform"]
            lines.insert(
                0, show("random stretches", [as_percent(uniform["average_recall"], uniform["auc"])], "")
            )
        rows = [as_percent(r["proposals"]["average_recall"], r["proposals"]["auc"]) for r in results]
        lines.append(show(f"BMN on {name}", rows, f"{seconds / 60:.1f} min"))
    print(describe_machine("torch", "numpy"))
    print("| proposals | AR@1 | AR@5 | AR@10 | AR@50 | AR@100 | AUC | time |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
