"""Few labels: learn from all videos without labels, then from a few with labels, then classify the others.

On sample videos, whose classes are motions. The table at the end says how many test videos a linear
classifier gets right, by the share of the labels that it saw and by the network whose vectors it reads.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from unreel.cli.terminal import ProgressBar, print_table
from unreel.data.catalog import Catalog
from unreel.data.sample_videos import make_sample_videos
from unreel.data.scan import scan_videos
from unreel.data.subset import choose_fraction
from unreel.evaluate.linear_classifier import LinearClassifier
from unreel.evaluate.linear_clips import LinearClips
from unreel.evaluate.linear_probe import evaluate_linear
from unreel.evaluate.predict import predict_videos
from unreel.features.encoder import Encoder
from unreel.features.extract import extract_features
from unreel.features.reading import ReadConfig
from unreel.features.table import FeatureTable
from unreel.recipes.moco import small
from unreel.train.pretrain import pretrain

SHARES = {"one per class": 0.001, "10 %": 0.1, "50 %": 0.5, "all": 1.0}


def main() -> None:
    options = parse_options()
    out, read = options.out, ReadConfig(clips_per_video=4)
    make_sample_videos(out / "samples", num_videos=options.videos)
    scan_videos([out / "samples" / "videos.csv"], out / "catalog.parquet")
    catalog = Catalog.load(out / "catalog.parquet")

    recipe, data = small(), replace(small().data, catalog=out / "catalog.parquet", split="train")
    recipe = replace(recipe, data=data, train=replace(recipe.train, steps=options.steps))
    with ProgressBar("Learning without labels", unit="steps") as progress:
        pretrain(recipe, out / "run", recipe_name="moco.small", progress=progress)

    trained = Encoder.load(out / "run" / "encoder")
    rows = []
    for name, encoder in (("fresh", Encoder.untrained(trained.config)), ("trained", trained)):
        extract_features(encoder, catalog, out / f"{name}.parquet", read=read)
        table = FeatureTable.load(out / f"{name}.parquet")
        learned = {share: learn(table, SHARES[share]) for share in SHARES}
        rows.append([name, *(f"{100 * top1:.1f}" for top1, _ in learned.values())])
    print_table("Test videos right, %, by labels seen", ["weights", *SHARES], rows)

    classifier = LinearClips(trained, learned["10 %"][1], clips=4)
    found = predict_videos(classifier, out / "catalog.parquet", split="test", read=read)
    for video in found.to_json()["videos"][:5]:
        print(video["path"], "shows", video["prediction"])


def learn(table: FeatureTable, share: float) -> tuple[float, LinearClassifier]:
    """Fit a linear classifier to a share of the training videos; return its accuracy on the test videos."""
    is_train = table.column("split") == "train"
    labels = np.where(is_train, table.column("label"), "")
    few = choose_fraction(list(labels), list(table.video_ids), share)
    kept = np.sort(np.concatenate([few, np.flatnonzero(~is_train)]))
    result = evaluate_linear(table.take(kept))
    return result.ranking.levels["video"].top1, result.classifier


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=400, help="sample videos to make")
    parser.add_argument("--steps", type=int, default=1000, help="of the training without labels")
    parser.add_argument(
        "--out", type=Path, default=Path("demo/few_labels"), help="folder for everything; new"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
