from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.features.localization_files import write_catalog
from unreel.data.catalog import Catalog
from unreel.data.catalog_table import SEGMENTS_TYPE
from unreel.errors import CatalogError, UnreelError
from unreel.evaluate.localization import measure_average_recall
from unreel.evaluate.localization_result import choose_split, evaluate_proposals
from unreel.evaluate.proposals import propose_uniformly
from unreel.evaluate.soft_nms import ScoredSegments

PATH = Path("p.json")


@pytest.fixture(scope="module")
def catalog(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return Catalog.load(write_catalog(corpus, tmp_path_factory.mktemp("catalog")))


def propose_truth(catalog: Catalog) -> dict[str, ScoredSegments]:
    """Return the segments themselves as proposals, by the names of the files."""
    return {
        video.path.stem: ScoredSegments(
            np.array([[segment.start_sec, segment.end_sec] for segment in video.segments]),
            np.ones(len(video.segments)),
        )
        for video in catalog
    }


def test_the_truth_finds_everything_and_random_stretches_little(catalog: Catalog) -> None:
    result = evaluate_proposals(PATH, propose_truth(catalog), catalog)
    assert result.split == "test"
    assert (result.measured.videos, result.measured.segments, result.measured.proposals) == (3, 6, 6)
    assert result.measured.average_recall(100) == 1.0
    assert (result.without_segments, result.without_proposals, result.unknown) == (0, [], [])
    videos = catalog.select("test")
    truth = [np.array([[s.start_sec, s.end_sec] for s in video.segments]) for video in videos]
    guesses = [propose_uniformly(video.id).segments_K2 * 8.0 for video in videos]
    assert result.uniform.auc == pytest.approx(measure_average_recall(truth, guesses).auc)
    assert result.uniform.auc < result.measured.auc
    values = result.to_json()
    assert values["proposals"]["average_recall"]["100"] == 1.0
    assert values["settings"]["split"] == "test"


def test_missing_and_unknown_videos_are_counted_by_name(catalog: Catalog) -> None:
    proposals = propose_truth(catalog)
    del proposals["07"]
    proposals["elsewhere"] = proposals["03"]
    result = evaluate_proposals(PATH, proposals, catalog)
    assert result.without_proposals == ["07.mp4"]
    assert result.unknown == ["elsewhere"]
    assert result.measured.average_recall(100) == pytest.approx(4 / 6)
    whole = evaluate_proposals(PATH, proposals, catalog, split="")
    assert whole.measured.videos == 12
    assert whole.without_proposals == ["07.mp4"]


def test_videos_without_segments_cannot_be_counted(corpus: Path, catalog: Catalog) -> None:
    plain = Catalog.load(corpus)
    with pytest.raises(CatalogError, match="none of the 12 videos of split '' has a segment"):
        evaluate_proposals(PATH, propose_truth(catalog), plain)
    row = [{"start_sec": 1.0, "end_sec": 2.0, "label": ""}]
    place = plain.table.schema.get_field_index("segments")
    segments = pa.array([[]] * 11 + [row], SEGMENTS_TYPE)
    one = Catalog(catalog.table.set_column(place, catalog.table.schema.field(place), segments), catalog.root)
    result = evaluate_proposals(PATH, propose_truth(catalog), one)
    assert (result.measured.videos, result.without_segments, result.split) == (1, 2, "test")


def test_proposals_of_other_videos_alone_are_refused(catalog: Catalog) -> None:
    proposals = {"00": propose_truth(catalog)["00"]}
    with pytest.raises(UnreelError, match=r"p.json has no proposal for any of the 3 videos of split 'test'"):
        evaluate_proposals(PATH, proposals, catalog)
    with pytest.raises(CatalogError, match="no split 'dev'"):
        evaluate_proposals(PATH, proposals, catalog, split="dev")


def test_the_split_is_one_with_segments(catalog: Catalog, corpus: Path) -> None:
    assert choose_split(catalog, "auto") == "test"
    assert choose_split(catalog, "train") == "train"
    assert choose_split(catalog, "") == ""
    assert choose_split(Catalog.load(corpus), "auto") == ""


def rename_split(catalog: Catalog, names: dict[str, str]) -> Catalog:
    place = catalog.table.schema.get_field_index("split")
    values = pa.array([names.get(name, name) for name in catalog.splits])
    return Catalog(catalog.table.set_column(place, catalog.table.schema.field(place), values), catalog.root)


@pytest.mark.parametrize("name", ["val", "validation"])
def test_the_videos_of_validation_count_where_those_of_test_have_no_segments(
    catalog: Catalog, name: str
) -> None:
    """As in ActivityNet and HACS, whose test videos nobody may look up."""
    segments = catalog.table["segments"].to_pylist()
    bare = [[] if split == "test" else own for split, own in zip(catalog.splits, segments, strict=True)]
    place = catalog.table.schema.get_field_index("segments")
    field = catalog.table.schema.field(place)
    hidden = Catalog(catalog.table.set_column(place, field, pa.array(bare, SEGMENTS_TYPE)), catalog.root)
    assert choose_split(hidden, "auto") == ""
    renamed = rename_split(hidden, {"train": name})
    assert choose_split(renamed, "auto") == name
    result = evaluate_proposals(PATH, propose_truth(renamed), renamed)
    assert (result.split, result.measured.videos, result.without_segments) == (name, 9, 0)
    assert choose_split(rename_split(catalog, {"train": name}), "auto") == "test"
    assert choose_split(rename_split(catalog, {"train": "validation", "test": "val"}), "auto") == "val"
