import math

import pytest

from unreel.report.result_values import (
    as_list,
    as_mapping,
    find_confusion,
    find_hashes,
    is_number,
    list_classes,
    list_numbers,
)


@pytest.mark.parametrize("value", [0, 1, -0.5, 1e18])
def test_what_was_measured_is_a_number(value: float) -> None:
    assert is_number(value)


@pytest.mark.parametrize("value", [True, None, "1", math.nan, math.inf, 1.1e18, 10**400, [1]])
def test_what_was_not_measured_is_none(value: object) -> None:
    assert not is_number(value)


def test_numbers_have_dotted_names_and_levels_lose_their_word() -> None:
    values = {
        "protocol": "retrieval",
        "seconds": 3.0,
        "levels": {"video": {"recall": {"1": 0.5, "5": 1}, "impossible_ks": [200]}},
        "tasks": {"a": {"recall": {"1": 0.25}}},
        "cosine": 0.5,
        "is_training": True,
    }
    assert list_numbers(values) == {
        "video.recall.1": 0.5,
        "video.recall.5": 1.0,
        "tasks.a.recall.1": 0.25,
        "cosine": 0.5,
    }


def test_single_classes_confusions_settings_and_what_was_measured_are_no_numbers_of_a_result() -> None:
    values = {
        "top1": 0.5,
        "accuracy_by_class": {"up": 1.0},
        "levels": {"clip": {"confusion": {"up": {"up": 3}}}},
        "settings": {"seed": 1},
        "features": {"dimension": 512},
        "model": {"parameters": 3},
    }
    assert list_numbers(values) == {"top1": 0.5}


def test_a_result_that_is_nested_without_end_or_endless_is_cut() -> None:
    deep: dict[str, object] = {"x": 1.0}
    for _ in range(300):
        deep = {"d": deep}
    assert list_numbers({"deep": deep, "near": 1.0}) == {"near": 1.0}
    assert len(list_numbers({str(number): 0.5 for number in range(5000)})) == 1000


def test_hashes_of_what_was_measured_are_found_and_those_of_catalogs_are_not() -> None:
    values = {
        "features": {"encoder_hash": "a", "catalog_hash": "c"},
        "model": {"hash": "b", "network_hash": "d", "other_hash": ""},
        "weights_hash": "e",
        "hash": 3,
    }
    assert list(find_hashes(values)) == ["a", "b", "d", "e"]


def test_a_confusion_is_found_in_the_result_or_in_its_first_level_that_has_one() -> None:
    counts = {"up": {"up": 2, "down": 1}}
    assert find_confusion({"confusion": counts}) == counts
    assert find_confusion({"levels": {"video": {}, "clip": {"confusion": counts}}}) == counts
    assert find_confusion({"levels": {"video": {"top1": 1.0}}}) is None


def test_the_rows_of_a_confusion_of_degrees_get_their_names() -> None:
    values = {"degrees": [0, 2], "confusion": [[3, 1], [0, 4]]}
    assert find_confusion(values) == {"0": {"0": 3, "2": 1}, "2": {"2": 4}}


def test_what_is_no_count_is_left_out_of_a_confusion() -> None:
    damaged = {"up": {"up": "two", "down": -1, "left": math.nan, "right": 1}, "down": None}
    assert find_confusion({"confusion": damaged}) == {"up": {"right": 1}, "down": {}}


def test_classes_that_were_only_told_come_last() -> None:
    assert list_classes({"b": {"z": 1, "a": 2}, "a": {"b": 1}}) == ("b", "a", "z")


def test_anything_else_counts_as_empty() -> None:
    assert as_mapping([1]) == {}
    assert as_mapping({"a": 1}) == {"a": 1}
    assert as_list({"a": 1}) == []
    assert as_list([1]) == [1]
