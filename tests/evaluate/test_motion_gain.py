import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from tests.data.motion_tables import make_table
from unreel.data.catalog import Catalog
from unreel.data.motion_table import MotionTable
from unreel.errors import CatalogError, FeaturesError
from unreel.evaluate.motion_gain import (
    ClassGain,
    MotionGain,
    compare_by_motion,
    measure_class_motion,
    rank_correlation,
    rank_numbers,
)
from unreel.evaluate.motion_gain_results import ClassAccuracies
from unreel.runs import write_json

PATHS = [f"{number:02d}.mp4" for number in range(12)]


@pytest.fixture(scope="module")
def catalog(corpus: Path) -> Catalog:
    """Videos 0, 3, 6, 9 have the class speed0, and so on; 3, 7 and 11 are for testing."""
    return Catalog.load(corpus)


def make_motion(catalog: Catalog) -> MotionTable:
    """Video v moves by v in the middle, and wildly at its ends."""
    return make_table(catalog, {path: [0, number, 1000] for number, path in enumerate(PATHS)})


def make_accuracies(shares: dict[str, float] | None = None, **changes: object) -> ClassAccuracies:
    shares = shares or {"speed0": 0.5, "speed1": 0.5, "speed2": 0.5}
    fitting = {"protocol": "svm", "level": "video", "k": None, "by": "label"}
    fitting |= {"query_split": "test", "gallery_split": "train"}
    made = ClassAccuracies("a.json", "cvrl", shares, dict.fromkeys(shares, 2), fitting, {"cost": 1})
    return replace(made, **changes)  # type: ignore[arg-type]


def make_result(catalog: Catalog) -> MotionGain:
    second = make_accuracies({"speed0": 0.25, "speed1": 1.0, "speed2": 0.75}, encoder="scvrl")
    return compare_by_motion(make_accuracies(), second, catalog, make_motion(catalog))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_ranks_count_smaller_numbers_and_half_of_the_equal_ones(numbers: list[int]) -> None:
    expected = [
        sum(other < own for other in numbers) + (sum(other == own for other in numbers) + 1) / 2
        for own in numbers
    ]
    assert rank_numbers(numbers).tolist() == expected
    assert rank_numbers(numbers).tolist() == rankdata(numbers).tolist()


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(-1, 1)), min_size=2, max_size=12))
def test_the_correlation_is_spearmans(pairs: list[tuple[int, float]]) -> None:
    first, second = [float(a) for a, _ in pairs], [b for _, b in pairs]
    found = rank_correlation(first, second)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(spearmanr(first, second).statistic, abs=1e-9)
        assert rank_correlation(second, first) == pytest.approx(found)
        # Only the order counts.
        assert rank_correlation([a**3 for a in first], second) == pytest.approx(found)


def test_a_worked_correlation() -> None:
    """Ranks 1 2 3 4 and 2 1 4 3: 1 - 6 (1 + 1 + 1 + 1) / (4 * 15) = 0.6."""
    assert rank_correlation([1, 5, 6, 9], [3, 2, 8, 7]) == pytest.approx(0.6)
    assert rank_correlation([1.0], [2.0]) is None
    assert rank_correlation([], []) is None


def test_the_motion_of_a_class_is_the_median_of_its_videos_medians(catalog: Catalog) -> None:
    moved = measure_class_motion(catalog, make_motion(catalog), "label")
    assert moved == {"speed0": [0, 3, 6, 9], "speed1": [1, 4, 7, 10], "speed2": [2, 5, 8, 11]}
    assert measure_class_motion(catalog.select("test"), make_motion(catalog), "group") == {
        "3": [3],
        "7": [7],
        "11": [11],
    }


def test_videos_without_a_class_play_no_part(catalog: Catalog) -> None:
    column = catalog.table.schema.get_field_index("label")
    labels = [["" if row in (0, 1) else label for row, label in enumerate(catalog.labels)]]
    part = Catalog(catalog.table.set_column(column, catalog.table.schema.field(column), labels), catalog.root)
    moved = measure_class_motion(part, make_motion(catalog), "label")
    assert moved == {"speed0": [3, 6, 9], "speed1": [4, 7, 10], "speed2": [2, 5, 8, 11]}


def test_gains_are_sorted_beside_the_motion_of_the_class(catalog: Catalog) -> None:
    result = make_result(catalog)
    assert [own.name for own in result.classes] == ["speed1", "speed2", "speed0"]
    assert [own.gain for own in result.classes] == [0.5, 0.25, -0.25]
    # Medians of 1 4 7 10, of 2 5 8 11 and of 0 3 6 9; from least to most, they are evenly apart.
    assert [own.motion for own in result.classes] == [5.5, 6.5, 4.5]
    assert [own.normalized_motion for own in result.classes] == [0.5, 1.0, 0.0]
    assert [(own.measured, own.unmeasured, own.queries) for own in result.classes] == [(4, 0, 2)] * 3
    assert (result.first, result.second) == ("cvrl", "scvrl")
    assert result.mean_gain == pytest.approx(0.5 / 3)
    # Ranks of the gains 3 2 1, of the motion 2 3 1: 1 - 6 * 2 / (3 * 8) = 0.5.
    assert result.correlation == pytest.approx(0.5)
    assert result.differences == ()
    assert result.settings["motion"]["backend"] == "frame_difference"
    assert result.settings["catalog_hash"] == catalog.hash


def test_equal_gains_are_sorted_by_name_and_correlate_with_nothing(catalog: Catalog) -> None:
    result = compare_by_motion(make_accuracies(), make_accuracies(), catalog, make_motion(catalog))
    assert [own.name for own in result.classes] == ["speed0", "speed1", "speed2"]
    assert result.correlation is None


def test_motion_can_be_that_of_one_split(catalog: Catalog) -> None:
    result = compare_by_motion(
        make_accuracies(), make_accuracies(), catalog, make_motion(catalog), split="test"
    )
    # Test videos are 3 (speed0), 7 (speed1) and 11 (speed2).
    assert [own.motion for own in result.classes] == [3, 7, 11]
    assert result.settings["motion_split"] == "test"


def test_videos_that_could_not_be_measured_are_counted_and_play_no_part(catalog: Catalog) -> None:
    motion = {path: [float(number)] for number, path in enumerate(PATHS)}
    motion |= dict.fromkeys(["00.mp4", "02.mp4", "05.mp4", "08.mp4", "11.mp4"])  # type: ignore[arg-type]
    second = make_accuracies({"speed0": 0.25, "speed1": 1.0, "speed2": 0.75})
    result = compare_by_motion(make_accuracies(), second, catalog, make_table(catalog, motion))
    by_name = {own.name: own for own in result.classes}
    assert by_name["speed0"].motion == 6
    assert (by_name["speed0"].measured, by_name["speed0"].unmeasured) == (3, 1)
    assert by_name["speed2"].motion is by_name["speed2"].normalized_motion is None
    assert len(result.classes) == 3
    assert [own.name for own in result.with_motion] == ["speed1", "speed0"]
    # Of two classes, the one that gains more moves less: 5.5 against 6.
    assert result.correlation == pytest.approx(-1)


def test_equal_motion_is_no_motion_and_no_correlation(catalog: Catalog) -> None:
    table = make_table(catalog, {path: [3.0] for path in PATHS})
    second = make_accuracies({"speed0": 0.25, "speed1": 1.0, "speed2": 0.75})
    result = compare_by_motion(make_accuracies(), second, catalog, table)
    assert [own.normalized_motion for own in result.classes] == [0, 0, 0]
    assert result.correlation is None


def test_a_result_is_read_as_it_was_written(catalog: Catalog, tmp_path: Path) -> None:
    motion = {path: [float(number)] for number, path in enumerate(PATHS)}
    motion |= dict.fromkeys(PATHS[2::3])  # type: ignore[arg-type]
    second = make_accuracies({"speed0": 0.25, "speed1": 1.0, "speed2": 0.75}, settings={"cost": 2})
    result = compare_by_motion(make_accuracies(), second, catalog, make_table(catalog, motion))
    assert result.differences == ("cost: 1, not 2",)
    write_json(tmp_path / "g.json", result.to_json())
    values = json.loads((tmp_path / "g.json").read_text())
    assert values["correlation"] == result.correlation
    assert [own["gain"] for own in values["classes"]] == [0.5, 0.25, -0.25]
    assert MotionGain.load(tmp_path / "g.json") == result


def test_what_does_not_belong_together_is_refused(catalog: Catalog) -> None:
    table = make_motion(catalog)
    other = make_accuracies(queries_by_class={"speed0": 2, "speed1": 2, "speed2": 1})
    with pytest.raises(FeaturesError, match="measure both on the same videos"):
        compare_by_motion(make_accuracies(), other, catalog, table)
    new = make_accuracies({"jump": 0.5, "speed1": 0.5})
    with pytest.raises(CatalogError, match="the catalog has no video of 'jump'"):
        compare_by_motion(new, new, catalog, table)
    with pytest.raises(CatalogError, match="no split 'val'"):
        compare_by_motion(make_accuracies(), make_accuracies(), catalog, table, split="val")
    lacking = make_table(catalog, {path: [1.0] for path in PATHS[:-1]})
    with pytest.raises(CatalogError, match=r"lacks .*11.mp4, or the video has changed"):
        compare_by_motion(make_accuracies(), make_accuracies(), catalog, lacking)


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"protocol": "svm"}', '{"protocol": "motion-gain", "classes": [{"gain": 1, "name": 2}]}'],
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(FeaturesError, match="is no result of `unreel evaluate motion-gain`"):
        MotionGain.load(tmp_path / "x.json")
    with pytest.raises(FeaturesError, match="is no result of"):
        MotionGain.load(tmp_path / "absent.json")


def test_gain_is_the_second_less_the_first() -> None:
    assert ClassGain(first=0.75, second=0.5).gain == -0.25
    assert np.isclose(ClassGain(first=0.1, second=0.4).gain, 0.3)
