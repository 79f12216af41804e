from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.features.localization_files import INFO, write_catalog, write_vectors
from tests.features.test_localizer import CONFIG, build_localizer
from tests.features.tiny import build_encoder
from unreel.data.catalog import Catalog
from unreel.errors import FeaturesError
from unreel.evaluate import localize
from unreel.evaluate.localize import count_proposals, localize_videos, propose_segments
from unreel.evaluate.proposals import propose
from unreel.features.grid_clips import GridSampling
from unreel.features.grid_extract import extract_grids
from unreel.features.grids import Grids, GridTable, build_grids
from unreel.features.localizer import Localizer
from unreel.features.reading import ReadConfig
from unreel.features.table import FeatureTable

READ = ReadConfig(batch_size=4, num_workers=0)


@pytest.fixture(scope="module")
def localizer() -> Localizer:
    return build_localizer(config=replace(CONFIG, network=replace(CONFIG.network, num_features=4)))


@pytest.fixture(scope="module")
def table(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> FeatureTable:
    folder = tmp_path_factory.mktemp("vectors")
    return FeatureTable.load(write_vectors(write_catalog(corpus, folder), folder / "grid.parquet"))


def test_every_video_gets_the_proposals_of_its_own_scores_in_seconds(
    localizer: Localizer, table: FeatureTable
) -> None:
    told: list[tuple[int, int, str]] = []
    proposals = propose_segments(localizer, table, top=7, progress=lambda *state: told.append(state))
    grids = build_grids(table, 6)
    assert [video.video_id for video in proposals] == grids.video_ids
    assert [video.path for video in proposals] == [f"{number:02d}.mp4" for number in range(12)]
    for place in (0, 11):
        scores = localizer.score(grids.features_VDT[place : place + 1])
        expected = propose(*(part[0].numpy() for part in scores), top=7)
        assert proposals[place].found.segments_K2 == pytest.approx(expected.segments_K2 * 8.0)
        assert proposals[place].found.scores_K == pytest.approx(expected.scores_K, rel=1e-5)
        assert proposals[place].seconds == 8.0
    assert told[-1] == (12, 12, "")
    assert count_proposals(proposals) == sum(len(video.found.scores_K) for video in proposals)
    assert max(len(video.found.scores_K) for video in proposals) <= 7


def test_a_video_does_not_depend_on_the_others(
    localizer: Localizer, table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = propose_segments(localizer, table)
    few = propose_segments(localizer, table, split="test")
    assert [video.path for video in few] == ["03.mp4", "07.mp4", "11.mp4"]
    for video in few:
        (same,) = [other for other in whole if other.path == video.path]
        assert video.found.scores_K == pytest.approx(same.found.scores_K, rel=1e-5)


def test_foreign_vectors_and_wrong_numbers_are_refused(localizer: Localizer, table: FeatureTable) -> None:
    other = FeatureTable(table._columns, table.vectors, replace(INFO, encoder_hash="0" * 16))
    with pytest.raises(FeaturesError, match="learned from vectors of tiny/encoder"):
        propose_segments(localizer, other)
    with pytest.raises(ValueError, match="top must be at least 1, got 0"):
        propose_segments(localizer, table, top=0)
    with pytest.raises(FeaturesError, match="no split 'dev'"):
        propose_segments(localizer, table, split="dev")


def test_videos_are_localized_as_from_a_table_of_their_vectors(corpus: Path, tmp_path: Path) -> None:
    encoder = build_encoder()
    network = replace(CONFIG.network, num_features=encoder.num_features, num_groups=1)
    config = replace(CONFIG, network=network, encoder_hash=encoder.hash, every_frames=5)
    localizer = build_localizer(config=config)
    catalog = Catalog.load(corpus).take([0, 1, 2])
    proposals, rejected = localize_videos(localizer, encoder, catalog, read=READ)
    assert rejected == []
    extract_grids(encoder, catalog, tmp_path / "g.parquet", grid=GridSampling(5), read=READ)
    expected = propose_segments(localizer, FeatureTable.load(tmp_path / "g.parquet"))
    for video, same in zip(proposals, expected, strict=True):
        assert video.path == same.path
        assert np.array_equal(video.found.segments_K2, same.found.segments_K2)
    with pytest.raises(FeaturesError, match="learned from vectors of"):
        localize_videos(localizer, build_encoder(seed=1), catalog, read=READ)


def test_the_vectors_of_a_few_videos_are_kept_at_a_time(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passes have one shape, so that nothing but memory depends on how many videos wait."""
    encoder = build_encoder()
    network = replace(CONFIG.network, num_features=encoder.num_features, num_groups=1)
    localizer = build_localizer(config=replace(CONFIG, network=network, encoder_hash=encoder.hash))
    catalog, told, sizes = Catalog.load(corpus).take(range(5)), [], []
    whole, _ = localize_videos(localizer, encoder, catalog, read=READ)
    monkeypatch.setattr(localize, "_BATCH_SIZE", 2)
    build = localize.build_grid_table
    monkeypatch.setattr(
        localize, "build_grid_table", lambda *given: sizes.append(len(given[0])) or build(*given)
    )
    found, _ = localize_videos(
        localizer, encoder, catalog, read=READ, progress=lambda *state: told.append(state)
    )
    assert sizes == [2, 2, 1]
    assert told == [(done, 5, "") for done in range(1, 6)]
    assert [video.path for video in found] == [video.path for video in whole]
    for video, same in zip(found, whole, strict=True):
        assert video.found.scores_K == pytest.approx(same.found.scores_K, rel=1e-5)
    with pytest.raises(ValueError, match="top must be at least 1, got 0"):
        localize_videos(localizer, encoder, catalog, read=READ, top=0)


def test_a_table_is_brought_to_positions_a_few_videos_at_a_time(
    localizer: Localizer, table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = propose_segments(localizer, table)
    sizes, build = [], GridTable.build

    def count(self: GridTable, videos: range, num_positions: int) -> Grids:
        sizes.append(len(videos))
        return build(self, videos, num_positions)

    monkeypatch.setattr(GridTable, "build", count)
    monkeypatch.setattr(localize, "_BATCH_SIZE", 5)
    found = propose_segments(localizer, table)
    assert sizes == [5, 5, 2]
    for video, same in zip(found, whole, strict=True):
        assert (video.path, video.seconds) == (same.path, same.seconds)
        assert video.found.scores_K == pytest.approx(same.found.scores_K, rel=1e-5)


def test_a_video_that_cannot_be_read_is_listed(corpus: Path, tmp_path: Path) -> None:
    encoder = build_encoder()
    network = replace(CONFIG.network, num_features=encoder.num_features, num_groups=1)
    localizer = build_localizer(config=replace(CONFIG, network=network, encoder_hash=encoder.hash))
    catalog = Catalog.load(corpus).take([0, 1])
    (tmp_path / "00.mp4").write_bytes(b"")
    (tmp_path / "01.mp4").write_bytes(catalog.video(1).path.read_bytes())
    proposals, rejected = localize_videos(localizer, encoder, Catalog(catalog.table, tmp_path), read=READ)
    assert [video.path for video in proposals] == ["01.mp4"]
    assert [Path(item.path).name for item in rejected] == ["00.mp4"]
