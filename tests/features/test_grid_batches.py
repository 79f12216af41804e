from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.features.localization_files import write_catalog, write_vectors
from unreel.data.boundary_labels import label_boundaries
from unreel.data.catalog import Catalog
from unreel.errors import CatalogError, FeaturesError
from unreel.features import grids
from unreel.features.grid_batches import GridBatches, GridData, GridSet, read_segments, select_grids
from unreel.features.grids import build_grids
from unreel.features.table import FeatureTable


@pytest.fixture(scope="module")
def data(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> GridData:
    folder = tmp_path_factory.mktemp("grids")
    catalog = write_catalog(corpus, folder)
    return GridData(write_vectors(catalog, folder / "grid.parquet"), catalog)


@pytest.fixture(scope="module")
def videos(data: GridData) -> GridSet:
    return select_grids(data, 10)


def with_segments(data: GridData, folder: Path, segments: list[list[tuple[float, float]]]) -> GridData:
    """Return the same videos with other segments."""
    import pyarrow as pa

    from unreel.data.catalog_table import SEGMENTS_TYPE

    catalog = Catalog.load(data.catalog)
    values = [[{"start_sec": s, "end_sec": e, "label": ""} for s, e in own] for own in segments]
    place = catalog.table.schema.get_field_index("segments")
    table = catalog.table.set_column(
        place, catalog.table.schema.field(place), pa.array(values, SEGMENTS_TYPE)
    )
    Catalog(table, catalog.root).save(folder / "other.parquet")
    return replace(data, catalog=folder / "other.parquet")


def test_vectors_and_segments_of_a_video_come_together(data: GridData, videos: GridSet) -> None:
    catalog = Catalog.load(data.catalog).select("train")
    assert videos.catalog.ids == catalog.ids
    assert videos.features_VDT.shape == (9, 4, 10)
    assert (videos.left_out, videos.cautions) == ([], ())
    table = FeatureTable.load(data.features)
    for row in (0, 5):
        own = table.take(np.flatnonzero(table.video_ids == catalog.ids[row]))
        assert np.array_equal(videos.features_VDT[row], build_grids(own, 10).features_VDT[0])
        expected = [[s.start_sec / 8, s.end_sec / 8] for s in catalog.video(row).segments]
        assert videos.segments[row] == pytest.approx(np.array(expected))
    assert len(select_grids(replace(data, split=""), 10).catalog) == 12
    assert len(select_grids(replace(data, split="test"), 10).catalog) == 3


def test_a_batch_holds_vectors_and_labels_of_its_videos(videos: GridSet) -> None:
    batches = GridBatches(videos, seed=0, batch_size=4)
    assert batches.batches_per_epoch == 2
    batch = batches[1]
    for place, row in enumerate(batch.video_index_B.tolist()):
        labels = label_boundaries(videos.segments[row], 10)
        assert np.array_equal(batch.features_BDT[place], videos.features_VDT[row])
        assert np.array_equal(batch.start_BT[place], labels.start_T)
        assert np.array_equal(batch.end_BT[place], labels.end_T)
        assert np.array_equal(batch.iou_BLT[place], labels.iou_LT)


def test_the_order_is_a_function_of_seed_and_epoch(videos: GridSet) -> None:
    def orders(seed: int) -> list[list[int]]:
        batches = GridBatches(videos, seed=seed, batch_size=4)
        return [batches[number].video_index_B.tolist() for number in range(4)]

    assert orders(0) == orders(0)
    assert orders(0) != orders(1)
    for first, second in (orders(0)[:2], orders(0)[2:]):
        assert len({*first, *second}) == 8
    assert orders(0)[:2] != orders(0)[2:]
    batches = GridBatches(videos, seed=0, batch_size=8)
    keys = [
        dict(zip(b.video_index_B.tolist(), b.keys_B.tolist(), strict=True)) for b in (batches[0], batches[1])
    ]
    both = keys[0].keys() & keys[1].keys()
    assert both
    assert all(keys[0][row] != keys[1][row] for row in both)


def test_processes_and_parts_share_a_batch(videos: GridSet) -> None:
    whole = GridBatches(videos, seed=3, batch_size=8)[0]
    parts = [
        GridBatches(videos, seed=3, batch_size=8, num_parts=2, rank=rank, world_size=2)[part]
        for part in range(2)
        for rank in range(2)
    ]
    assert torch.equal(torch.cat([part.video_index_B for part in parts]), whole.video_index_B)
    assert torch.equal(torch.cat([part.keys_B for part in parts]), whole.keys_B)
    assert torch.equal(torch.cat([part.features_BDT for part in parts]), whole.features_BDT)


def test_batches_that_cannot_be_are_refused(videos: GridSet) -> None:
    with pytest.raises(ValueError, match=r"train.batch_size is 10 but there are 9 videos"):
        GridBatches(videos, seed=0, batch_size=10)
    with pytest.raises(ValueError, match="cannot be shared evenly by 2 processes in 1 parts"):
        GridBatches(videos, seed=0, batch_size=5, world_size=2)


def test_videos_without_segments_are_left_out_and_named(data: GridData, tmp_path: Path) -> None:
    segments = [[(1.0, 2.0)]] * 12
    segments[0] = []
    segments[1] = [(9.0, 12.0), (7.0, 12.0)]
    segments[2] = [(8.0, 12.0)]
    found = select_grids(with_segments(data, tmp_path, segments), 10)
    assert [Path(item.path).name for item in found.left_out] == ["00.mp4", "02.mp4"]
    assert {item.reason for item in found.left_out} == {"no segment"}
    assert found.segments[0] == pytest.approx(np.array([[7 / 8, 1.0]]))
    assert found.cautions == ("2 segments lie outside their videos and are left out",)
    with pytest.raises(CatalogError, match=r"none of the 9 videos has a segment; scan a list with"):
        select_grids(with_segments(data, tmp_path, [[]] * 12), 10)


def test_videos_without_features_are_named_and_too_many_stop_it(data: GridData, tmp_path: Path) -> None:
    table = FeatureTable.load(data.features)
    missing = Catalog.load(data.catalog).ids[1]
    table.take(np.flatnonzero(table.video_ids != missing)).save(tmp_path / "few.parquet")
    few = replace(data, features=tmp_path / "few.parquet")
    with pytest.raises(
        FeaturesError, match=r"few.parquet has no vectors of 1 videos .*01.mp4.* holds 11 videos"
    ):
        select_grids(few, 10)
    found = select_grids(replace(few, max_rejected_fraction=0.2), 10)
    assert [(Path(item.path).name, item.reason) for item in found.left_out] == [("01.mp4", "no features")]
    assert len(found.catalog) == len(found.features_VDT) == len(found.segments) == 8


def test_only_videos_that_are_used_are_brought_to_positions(
    data: GridData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The raw table is large, and so are the grids: there is no grid of a video that is left out."""
    built = []
    resample = grids.resample
    monkeypatch.setattr(grids, "resample", lambda *given: built.append(given) or resample(*given))
    segments = [[(1.0, 2.0)] if row in (4, 9) else [] for row in range(12)]
    found = select_grids(with_segments(data, tmp_path, segments), 10)
    assert len(built) == 2
    assert found.features_VDT.base is None
    whole = build_grids(FeatureTable.load(data.features), 10)
    assert np.array_equal(found.features_VDT, whole.features_VDT[[4, 9]])


def test_segments_are_shares_of_their_video(data: GridData) -> None:
    catalog = Catalog.load(data.catalog)
    segments, outside = read_segments(catalog)
    assert outside == 0
    assert [len(own) for own in segments] == [1, 2] * 6
    assert all(((own >= 0) & (own <= 1)).all() for own in segments)


def test_an_unknown_split_is_refused_and_paths_become_absolute(data: GridData) -> None:
    with pytest.raises(CatalogError, match="no split 'dev'"):
        select_grids(replace(data, split="dev"), 10)
    absolute = GridData(Path("a"), Path("b")).with_absolute_paths()
    assert (absolute.features, absolute.catalog) == (Path("a").absolute(), Path("b").absolute())
