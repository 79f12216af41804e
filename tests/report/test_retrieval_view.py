import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.features.tiny import build_vectors
from unreel.data.catalog import Catalog
from unreel.data.decode import ClipDecoder, FrameSize
from unreel.errors import CatalogError, FeaturesError
from unreel.evaluate.ranking import RankingConfig
from unreel.features.table import FeatureTable
from unreel.features.table_info import FeatureInfo
from unreel.report.retrieval_view import RetrievalView, choose_queries, view_retrieval


@pytest.fixture(scope="module")
def catalog(corpus: Path) -> Catalog:
    """Videos 3, 7 and 11 are for testing; video v has the class speed(v mod 3)."""
    return Catalog.load(corpus)


def make_table(catalog: Catalog, seed: int = 0, *, rows: Any = None, clips: int = 2) -> FeatureTable:
    """Return random vectors of the videos of some rows, the clips of each near to each other."""
    rng = np.random.default_rng(seed)
    chosen = list(range(len(catalog)) if rows is None else rows)
    vectors = np.repeat(rng.normal(size=(len(chosen), 6)), clips, axis=0)
    vectors += 0.1 * rng.normal(size=vectors.shape)

    def spread(values: list[str]) -> list[str]:
        return [values[row] for row in chosen for _ in range(clips)]

    return build_vectors(
        vectors,
        spread(catalog.ids),
        labels=spread(catalog.labels),
        splits=spread(catalog.splits),
        groups=spread(catalog.groups),
        info=FeatureInfo(encoder_hash=f"{seed:016x}", encoder=f"encoder {seed}", dimension=6),
    )


def look(catalog: Catalog, *seeds: int, **changes: Any) -> RetrievalView:
    tables = [make_table(catalog, seed) for seed in seeds or (0,)]
    queries = changes.pop("queries", catalog.select("test"))
    return view_retrieval(tables, catalog, queries, **{"picture_px": 24, **changes})


def search_plainly(
    catalog: Catalog, table: FeatureTable, query: str, gallery: list[str]
) -> list[tuple[str, float]]:
    """Compare means of vectors in a loop; return ids and cosines, best first."""
    means = {
        video_id: np.mean(
            [v for v, own in zip(table.vectors, table.video_ids, strict=True) if own == video_id], axis=0
        )
        for video_id in catalog.ids
    }
    own = means[query]
    cosines = {
        video_id: float(own @ means[video_id] / np.linalg.norm(own) / np.linalg.norm(means[video_id]))
        for video_id in gallery
        if video_id != query
    }
    return sorted(cosines.items(), key=lambda item: -item[1])


@pytest.mark.parametrize(("query_split", "gallery_split"), [("test", "train"), ("", "")])
def test_neighbours_are_those_of_a_plain_loop(catalog: Catalog, query_split: str, gallery_split: str) -> None:
    config = RankingConfig("label", query_split, gallery_split)
    queries = catalog.select(query_split)
    view = look(catalog, 0, 1, queries=queries, config=config)
    gallery = catalog.select(gallery_split).ids
    label_of = dict(zip(catalog.ids, catalog.labels, strict=True))
    assert [query.video_id for query in view.queries] == queries.ids
    for query, by_table in zip(view.queries, view.found, strict=True):
        assert (query.score, query.is_right, query.target) == (None, None, label_of[query.video_id])
        for seed, videos in enumerate(by_table):
            expected = search_plainly(catalog, make_table(catalog, seed), query.video_id, gallery)[:3]
            assert [video.video_id for video in videos] == [video_id for video_id, _ in expected]
            assert [video.score for video in videos] == pytest.approx(
                [score for _, score in expected], abs=1e-5
            )
            for video in videos:
                assert video.is_right == (label_of[video.video_id] == query.target)
    rights = {video.is_right for by_table in view.found for videos in by_table for video in videos}
    assert rights == {True, False}


def test_pictures_are_the_first_middle_and_last_frame(catalog: Catalog) -> None:
    view = look(catalog, num_neighbors=1)
    for seen in (view.queries[0], view.found[0][0][0]):
        video = catalog.video(catalog.ids.index(seen.video_id))
        whole = ClipDecoder(FrameSize(24)).decode_all(video.path)
        assert len(whole) == 20
        assert seen.pictures_FHWC is not None
        np.testing.assert_array_equal(seen.pictures_FHWC, whole[[0, 9, 19]])
        assert seen.path == video.path.name


def test_groups_can_be_what_is_right(catalog: Catalog) -> None:
    view = look(catalog, config=RankingConfig("group"))
    assert [query.target for query in view.queries] == ["3", "7", "11"]
    assert not any(video.is_right for by_table in view.found for videos in by_table for video in videos)


def test_without_a_class_nothing_is_right_or_wrong(catalog: Catalog) -> None:
    column = catalog.table.schema.get_field_index("label")
    labels = [["" if row == 3 else label for row, label in enumerate(catalog.labels)]]
    part = Catalog(catalog.table.set_column(column, catalog.table.schema.field(column), labels), catalog.root)
    view = view_retrieval([make_table(part)], part, part.select("test"))
    assert {video.is_right for video in view.found[0][0]} == {None}
    assert None not in {video.is_right for video in view.found[1][0]}


def test_the_numbers_are_plain_and_name_what_was_searched(catalog: Catalog) -> None:
    view = look(catalog, 0, 1)
    values = json.loads(json.dumps(view.to_json()))
    assert values["encoders"] == ["encoder 0", "encoder 1"]
    first = values["queries"][0]
    assert (first["id"], first["path"], first["target"]) == (catalog.ids[3], "03.mp4", "speed0")
    assert [[own["id"] for own in videos] for videos in first["found"]] == [
        [video.video_id for video in videos] for videos in view.found[0]
    ]
    assert first["found"][1][2]["score"] == view.found[0][1][2].score
    assert values["settings"]["gallery_split"] == "train"
    assert [info["encoder"] for info in values["settings"]["features"]] == ["encoder 0", "encoder 1"]
    assert values["settings"]["catalog_hash"] == catalog.hash


def test_a_video_that_cannot_be_read_is_named_once_and_has_no_pictures(
    catalog: Catalog, corpus: Path, tmp_path: Path
) -> None:
    shutil.copytree(corpus.parent, tmp_path / "copy")
    moved = Catalog.load(corpus, root=tmp_path / "copy")
    (tmp_path / "copy" / "03.mp4").unlink()
    config = RankingConfig("label", "", "")
    view = view_retrieval([make_table(catalog)] * 2, moved, moved, num_neighbors=10, config=config)
    assert [Path(item.path).name for item in view.rejected] == ["03.mp4"]
    assert [query.pictures_FHWC is None for query in view.queries] == [row == 3 for row in range(12)]


def test_queries_are_chosen_from_the_split_or_named_from_all(catalog: Catalog) -> None:
    tables = [make_table(catalog)]
    assert choose_queries(tables, catalog, "test", num_queries=2).ids == [catalog.ids[3], catalog.ids[11]]
    assert len(choose_queries(tables, catalog, "test", num_queries=9)) == 3
    by_seed = [choose_queries(tables, catalog, "", num_queries=4, seed=seed).ids for seed in (0, 0, 1)]
    assert by_seed[0] == by_seed[1] != by_seed[2]
    named = choose_queries(tables, catalog, "test", names=["05.mp4", catalog.ids[0]])
    assert named.ids == [catalog.ids[5], catalog.ids[0]]


def test_only_videos_that_all_tables_have_can_be_queries(catalog: Catalog) -> None:
    tables = [make_table(catalog, rows=range(8)), make_table(catalog, 1, rows=range(4, 12))]
    assert choose_queries(tables, catalog, "test").ids == [catalog.ids[7]]
    with pytest.raises(CatalogError, match=r"no video '00.mp4' among the 4"):
        choose_queries(tables, catalog, "", names=["00.mp4"])
    apart = [make_table(catalog, rows=range(4)), make_table(catalog, rows=range(4, 8))]
    with pytest.raises(CatalogError, match="no video of the catalog is in all tables"):
        choose_queries(apart, catalog, "")


def test_what_cannot_be_shown_is_refused(catalog: Catalog) -> None:
    with pytest.raises(ValueError, match="num_queries must lie between 1 and 32, got 33"):
        choose_queries([make_table(catalog)], catalog, "", num_queries=33)
    with pytest.raises(ValueError, match="num_neighbors must lie between 1 and 10, got 0"):
        look(catalog, num_neighbors=0)
    with pytest.raises(ValueError, match="number of tables must lie between 1 and 4, got 5"):
        look(catalog, *range(5))
    with pytest.raises(ValueError, match="is_centered must be False"):
        look(catalog, config=RankingConfig(is_centered=True))
    with pytest.raises(FeaturesError, match="num_neighbors is 10, and a query has only 9 videos to find"):
        look(catalog, num_neighbors=10)
    with pytest.raises(FeaturesError, match="no split 'val'"):
        look(catalog, config=RankingConfig(gallery_split="val"))
    without = [make_table(catalog, rows=range(6))]
    with pytest.raises(FeaturesError, match=f"encoder 0 lack the query {catalog.ids[7]}"):
        view_retrieval(without, catalog, catalog.select("test"))
    half = catalog.take(range(6))
    with pytest.raises(CatalogError, match="which was found; give that of the features"):
        view_retrieval([make_table(catalog)], half, half.select("test"), num_neighbors=9)
