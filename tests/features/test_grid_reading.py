from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.features.tiny import SPEC, build_encoder
from tests.features.tiny_classifier import build_classifier
from unreel.data.catalog import Catalog
from unreel.data.decode import ClipDecoder
from unreel.errors import WeightsError
from unreel.features.encoder import Encoder
from unreel.features.grid_clips import GridSampling, cut_clips
from unreel.features.grid_reading import EmbeddedGrid, embed_grids, load_grid_classifier
from unreel.features.pixels import PixelBaseline
from unreel.features.reading import ReadConfig

GRID = GridSampling(6)  # of 20 frames: 3, 9, 15, a clip around each
READ = ReadConfig(batch_size=4, num_workers=0)


@pytest.fixture(scope="module")
def catalog(corpus: Path) -> Catalog:
    return Catalog.load(corpus).take([0, 1, 2, 3])


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return build_encoder()


@pytest.fixture(scope="module")
def whole(encoder: Encoder, catalog: Catalog) -> list[EmbeddedGrid]:
    return list(embed_grids(encoder, catalog, [range(4)], GRID, READ))


def is_same(left: list[EmbeddedGrid], right: list[EmbeddedGrid]) -> bool:
    return all(np.array_equal(a.vectors_ND, b.vectors_ND) for a, b in zip(left, right, strict=True))


def test_every_position_has_the_vector_of_its_clip(
    encoder: Encoder, catalog: Catalog, whole: list[EmbeddedGrid]
) -> None:
    assert [item.row for item in whole] == [0, 1, 2, 3]
    for item in whole:
        video = catalog.video(item.row)
        frames = cut_clips(np.array([3, 9, 15]), 20, SPEC)
        clips = torch.from_numpy(ClipDecoder(SPEC.frame_size).decode(video.path, video.index, frames))
        assert item.vectors_ND == pytest.approx(encoder.embed_clips(clips)["average"][:, 0], abs=1e-5)
        assert item.rejection is None


def test_neither_workers_nor_other_groups_change_a_bit(
    encoder: Encoder, catalog: Catalog, whole: list[EmbeddedGrid]
) -> None:
    workers = ReadConfig(batch_size=4, num_workers=2)
    assert is_same(list(embed_grids(encoder, catalog, [range(4)], GRID, workers)), whole)
    groups = list(embed_grids(encoder, catalog, [[0, 1], [2, 3]], GRID, READ))
    assert is_same(list(embed_grids(encoder, catalog, [[2, 3]], GRID, READ)), groups[2:])


def test_passes_have_one_shape_and_clips_of_long_videos_come_in_pieces(catalog: Catalog) -> None:
    """Every frame of 20: four videos make 80 clips; passes of 12 are 7, the last with 8 of them."""
    shapes = []

    class Counting(PixelBaseline):
        def embed_clips(self, frames_BTHWC: Any, poolings: Any = ("average",)) -> Any:
            shapes.append(sum(map(len, frames_BTHWC)))
            return super().embed_clips(frames_BTHWC, poolings)

    read = ReadConfig(batch_size=12, num_workers=0)
    found = list(embed_grids(Counting(SPEC), catalog, [range(4)], GridSampling(1), read))
    assert shapes == [12] * 7
    assert [len(item.vectors_ND) for item in found] == [20] * 4
    large = ReadConfig(batch_size=100, num_workers=0)
    assert is_same(list(embed_grids(PixelBaseline(SPEC), catalog, [range(4)], GridSampling(1), large)), found)


def test_a_video_that_fails_is_named_and_its_neighbours_stay(
    encoder: Encoder, catalog: Catalog, whole: list[EmbeddedGrid], tmp_path: Path
) -> None:
    for video in catalog:
        (tmp_path / video.path.name).write_bytes(
            b"no video" if video.path.name == "01.mp4" else video.path.read_bytes()
        )
    broken = Catalog(catalog.table, tmp_path)
    found = list(embed_grids(encoder, broken, [range(4)], GRID, READ))
    assert found[1].rejection is not None
    assert found[1].rejection.path.endswith("01.mp4")
    assert len(found[1].vectors_ND) == 0
    assert is_same([found[row] for row in (0, 2, 3)], [whole[row] for row in (0, 2, 3)])


def test_several_vectors_of_a_clip_are_averaged_and_nan_is_a_failure(catalog: Catalog) -> None:
    class Crops(PixelBaseline):
        def embed_clips(self, frames_BTHWC: Any, poolings: Any = ("average",)) -> Any:
            rows = np.tile(
                np.array([[[1.0, 5.0], [3.0, 6.0]]], np.float32), (sum(map(len, frames_BTHWC)), 1, 1)
            )
            return {"average": rows}

    found = list(embed_grids(Crops(SPEC), catalog, [[0]], GRID, READ))
    assert found[0].vectors_ND.tolist() == [[2.0, 5.5]] * 3

    class Broken(PixelBaseline):
        def embed_clips(self, frames_BTHWC: Any, poolings: Any = ("average",)) -> Any:
            return {"average": np.full((sum(map(len, frames_BTHWC)), 1, 2), np.nan, np.float32)}

    (item,) = embed_grids(Broken(SPEC), catalog, [[0]], GRID, READ)
    assert item.rejection is not None
    assert "NaN or infinity" in item.rejection.reason


@pytest.mark.parametrize("crops", ["center", "ten"])
def test_a_classifier_scores_the_center_whatever_its_tests_see(
    catalog: Catalog, tmp_path: Path, crops: str
) -> None:
    center = build_classifier()
    build_classifier(crops=crops).save(tmp_path / "tuned" / "classifier")
    loaded = load_grid_classifier(tmp_path / "tuned")
    assert (loaded.views.crops, loaded.views.clips, loaded.name) == ("center", 2, "tuned/classifier")
    assert loaded.hash == center.hash
    found = list(embed_grids(loaded, catalog, [range(4)], GRID, READ))
    assert is_same(found, list(embed_grids(center, catalog, [range(4)], GRID, READ)))
    with pytest.raises(WeightsError, match="classifier"):
        load_grid_classifier(tmp_path)
