import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.features.tiny import SPEC, build_encoder
from unreel.data.catalog import Catalog
from unreel.errors import CatalogError
from unreel.evaluate.ranking import RankingConfig
from unreel.evaluate.shuffle_sensitivity import ShuffleSensitivity, evaluate_shuffle_sensitivity
from unreel.evaluate.shuffle_sensitivity_features import ClipShuffleConfig
from unreel.features.pixels import PixelBaseline
from unreel.features.pooling import Pooling
from unreel.features.reading import ReadConfig

READ = ReadConfig(clips_per_video=2, batch_size=8, num_workers=0)


class Blind:
    """Looks at each frame and at the mean over them; the order plays no role."""

    name, hash, spec, num_features, precision = "blind", "b", SPEC, 5, "float32"
    device = torch.device("cpu")

    def embed_clips(
        self, frames_BTHWC: Tensor | Sequence[Tensor], poolings: Sequence[Pooling] = ("average",)
    ) -> Mapping[Pooling, NDArray[np.float32]]:
        vectors = torch.cat([self.look(part.double()) for part in frames_BTHWC])
        return {"average": vectors[:, None].float().numpy()}

    def look(self, clips: Tensor) -> Tensor:
        color = clips.mean(dim=(1, 2, 3))
        spread = clips.std(dim=(1, 2, 3, 4))[:, None]
        return torch.cat([color, spread, torch.ones_like(spread)], dim=1)


@pytest.fixture(scope="module")
def catalog(corpus: Path) -> Catalog:
    return Catalog.load(corpus)


@pytest.fixture(scope="module")
def pixels(catalog: Catalog) -> ShuffleSensitivity:
    return evaluate_shuffle_sensitivity(PixelBaseline(SPEC), catalog, read=READ)


def test_a_network_that_is_blind_to_order_loses_nothing(catalog: Catalog) -> None:
    result = evaluate_shuffle_sensitivity(Blind(), catalog, read=READ)
    assert result.svm is not None
    assert result.retrieval is not None
    assert result.svm.shuffled == (result.svm.normal,) * 3
    assert result.retrieval.shuffled == (result.retrieval.normal,) * 3
    assert (result.svm.difference, result.retrieval.difference) == (0, 0)
    assert result.cosine == pytest.approx(1, abs=1e-6)
    assert result.relative_distance == pytest.approx(0, abs=1e-3)


def test_pixels_that_tell_speeds_apart_lose_it_all(pixels: ShuffleSensitivity) -> None:
    """The classes of the corpus are speeds of a square: in random order, nobody could tell them."""
    assert pixels.svm is not None
    assert pixels.svm.normal == 1
    assert pixels.svm.mean_shuffled <= 0.5
    assert pixels.svm.difference >= 0.5
    assert pixels.cosine < 0.5
    assert pixels.relative_distance is not None
    assert pixels.relative_distance > 0.5


def test_the_result_says_what_was_measured(pixels: ShuffleSensitivity, catalog: Catalog) -> None:
    assert (pixels.videos, pixels.clips, pixels.repeating_clips, pixels.rejected) == (3, 6, 0, [])
    assert pixels.left_out == {}
    values = json.loads(json.dumps(pixels.to_json()))
    assert values["protocol"] == "shuffle-sensitivity"
    assert values["settings"]["shuffle"] == {
        "level": "frames",
        "group_size": 2,
        "num_shuffles": 3,
        "seed": 0,
    }
    assert (values["settings"]["query_split"], values["settings"]["gallery_split"]) == ("test", "train")
    assert values["settings"]["catalog_hash"] == catalog.hash
    assert values["features"]["encoder"] == "pixels"
    assert values["features"]["clips_per_video"] == 2
    assert pixels.svm is not None
    assert values["svm"]["difference"] == pixels.svm.difference
    assert values["relative_distance"] == pixels.relative_distance


def test_two_measurements_agree_and_another_seed_does_not(
    pixels: ShuffleSensitivity, catalog: Catalog
) -> None:
    again = evaluate_shuffle_sensitivity(PixelBaseline(SPEC), catalog, read=READ)
    assert replace(again, seconds=0) == replace(pixels, seconds=0)
    other = evaluate_shuffle_sensitivity(
        PixelBaseline(SPEC), catalog, read=READ, shuffle=ClipShuffleConfig(seed=1)
    )
    assert other.cosine != pixels.cosine
    assert other.cosine_of_others == pixels.cosine_of_others


def test_videos_of_other_splits_take_no_part(catalog: Catalog) -> None:
    config = RankingConfig("label", "train", "test")
    result = evaluate_shuffle_sensitivity(PixelBaseline(SPEC), catalog, read=READ, config=config)
    assert result.svm is not None
    assert (result.videos, result.svm.queries, result.svm.gallery) == (9, 9, 3)
    alone = RankingConfig("label", "test", "test")
    seen: list[int] = []
    result = evaluate_shuffle_sensitivity(
        PixelBaseline(SPEC),
        catalog,
        read=READ,
        config=alone,
        progress=lambda done, total, note: seen.append(total),
    )
    assert set(seen) == {3}
    assert result.left_out == {"svm": "3 videos would be both learned from and tested; name two splits"}
    assert result.svm is None
    assert result.retrieval is not None


def test_unlabelled_videos_have_cosines_alone(catalog: Catalog) -> None:
    column = catalog.table.schema.get_field_index("label")
    bare = catalog.table.set_column(column, catalog.table.schema.field(column), [[""] * len(catalog)])
    result = evaluate_shuffle_sensitivity(
        build_encoder(), Catalog(bare, catalog.root), read=READ, config=RankingConfig(query_split="test")
    )
    assert (result.svm, result.retrieval) == (None, None)
    assert result.left_out.keys() == {"svm", "retrieval"}
    assert -1 <= result.cosine < 1
    assert result.to_json()["svm"] is None


def test_one_video_has_no_others_to_be_compared_with(catalog: Catalog) -> None:
    result = evaluate_shuffle_sensitivity(
        PixelBaseline(SPEC),
        catalog.select("test").take([0]),
        read=READ,
        config=RankingConfig("group", "", ""),
    )
    assert result.left_out.keys() == {"svm", "retrieval"}
    assert result.cosine_of_others is None
    assert result.relative_distance is None


def test_what_cannot_be_measured_is_refused(catalog: Catalog) -> None:
    frames = PixelBaseline(replace(SPEC, num_frames=1))
    with pytest.raises(ValueError, match="this network looks at single frames"):
        evaluate_shuffle_sensitivity(frames, catalog, read=READ)
    with pytest.raises(ValueError, match="is_centered must be False"):
        evaluate_shuffle_sensitivity(
            PixelBaseline(SPEC), catalog, config=RankingConfig(is_centered=True), read=READ
        )
    with pytest.raises(CatalogError, match="no split 'val'"):
        evaluate_shuffle_sensitivity(
            PixelBaseline(SPEC), catalog, config=RankingConfig(query_split="val"), read=READ
        )
    with pytest.raises(ValueError, match="max_rejected_fraction"):
        evaluate_shuffle_sensitivity(PixelBaseline(SPEC), catalog, read=READ, max_rejected_fraction=2)
