import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.errors import SearchError
from unreel.features.table_info import FeatureInfo
from unreel.search.index_info import IndexInfo

INFO = IndexInfo(
    encoder_hash="a" * 16,
    encoder="ccl",
    encoder_folder="/runs/ccl/encoder",
    pooling="average",
    dimension=512,
    clips_per_video=10,
    sampling="UniformClips",
    precision="float32",
    root="/videos",
)


def test_what_a_table_says_of_its_vectors_is_taken_over() -> None:
    features = FeatureInfo(
        encoder_hash="b" * 16,
        encoder="moco",
        pooling="frame",
        dimension=64,
        clips_per_video=3,
        sampling="UniformClips",
        batch_size=32,
        precision="bfloat16",
        catalog_hash="c" * 16,
        split="train",
        root="/videos",
    )
    assert IndexInfo.from_features(features, encoder_folder="/runs/moco") == IndexInfo(
        encoder_hash="b" * 16,
        encoder="moco",
        encoder_folder="/runs/moco",
        pooling="frame",
        dimension=64,
        clips_per_video=3,
        sampling="UniformClips",
        precision="bfloat16",
        root="/videos",
    )
    assert IndexInfo.from_features(features).encoder_folder == ""


def test_vectors_of_another_encoder_are_refused_and_both_are_named() -> None:
    other = dataclasses.replace(INFO, encoder="moco", encoder_hash="b" * 16)
    message = r"v\.index holds vectors of encoder 'ccl' \(hash a{16}\), these are of 'moco' \(hash b{16}\)"
    with pytest.raises(SearchError, match=message):
        INFO.check_same_vectors(other, "v.index")


@pytest.mark.parametrize(
    ("name", "value", "own"),
    [
        ("pooling", "frame", "average"),
        ("dimension", 64, "512"),
        ("clips_per_video", 3, "10"),
        ("sampling", "FramePerPart", "UniformClips"),
        ("precision", "bfloat16", "float32"),
        ("root", "/elsewhere", "/videos"),
    ],
)
def test_vectors_made_in_another_way_are_refused_by_the_name_of_what_differs(
    name: str, value: object, own: str
) -> None:
    other = dataclasses.replace(INFO, **{name: value})
    with pytest.raises(SearchError, match=f"v.index was made with {name} '?{own}'?, this is {value!r}; give"):
        INFO.check_same_vectors(other, "v.index")


def test_the_name_and_the_folder_of_an_encoder_do_not_count() -> None:
    INFO.check_same_vectors(dataclasses.replace(INFO, encoder="copy", encoder_folder=""), "v.index")


@given(st.text(), st.integers(1, 2**31), st.text())
def test_the_text_in_the_file_gives_the_same_again(encoder: str, dimension: int, root: str) -> None:
    info = dataclasses.replace(INFO, encoder=encoder, dimension=dimension, root=root)
    assert IndexInfo.from_json(info.to_json()) == info


def test_the_text_is_the_same_for_the_same() -> None:
    assert json.loads(INFO.to_json())["encoder_folder"] == "/runs/ccl/encoder"
    assert list(json.loads(INFO.to_json())) == sorted(json.loads(INFO.to_json()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "settings must be a JSON object, got list"),
        ("{", "Expecting property name"),
        ('{"encoder_hash": "a", "colour": 3}', "colour"),
        ('{"encoder_hash": "a", "dimension": "many"}', "dimension"),
        ('{"encoder_hash": "a", "dimension": 0}', "dimension must be at least 1, got 0"),
        ('{"encoder_hash": "a", "dimension": -4}', "dimension must be at least 1, got -4"),
    ],
)
def test_what_no_index_has_written_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        IndexInfo.from_json(text)
