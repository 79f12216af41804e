import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.features.test_table import INFO, build_table
from unreel.errors import FeaturesError
from unreel.features.table import FeatureTable
from unreel.features.table_info import FeatureInfo, build_schema, read_info


def write_metadata(path: Path, text: str) -> None:
    """Write the table with other settings."""
    arrow = build_table().to_arrow().replace_schema_metadata({b"unreel.features": text})
    pq.write_table(arrow, path)


def read_metadata() -> dict[str, object]:
    values: dict[str, object] = json.loads(build_schema(INFO).metadata[b"unreel.features"])
    return values


def test_foreign_parquet_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "f.parquet")
    with pytest.raises(FeaturesError, match="is a Parquet file but no table of features"):
        FeatureTable.load(tmp_path / "f.parquet")


def test_another_version_is_refused(tmp_path: Path) -> None:
    schema = build_schema(INFO)
    values = json.loads(schema.metadata[b"unreel.features"])
    values["format_version"] = 2
    schema = schema.with_metadata({b"unreel.features": json.dumps(values)})
    pq.write_table(schema.empty_table(), tmp_path / "f.parquet")
    with pytest.raises(FeaturesError, match="format version 2 and this version of unreel reads 1"):
        FeatureTable.load(tmp_path / "f.parquet")


def test_columns_that_were_dropped_by_another_tool_are_missed(tmp_path: Path) -> None:
    build_table().save(tmp_path / "f.parquet")
    table = pq.read_table(tmp_path / "f.parquet").drop_columns(["label"])
    pq.write_table(table, tmp_path / "f.parquet")
    with pytest.raises(FeaturesError, match="has other columns than a table of features"):
        FeatureTable.load(tmp_path / "f.parquet")


def test_what_a_table_was_made_from_is_read_without_its_vectors(tmp_path: Path) -> None:
    build_table().save(tmp_path / "f.parquet")
    assert read_info(tmp_path / "f.parquet") == INFO


def test_a_table_from_before_its_rule_of_sampling_was_kept_is_read(tmp_path: Path) -> None:
    arrow = build_table().to_arrow()
    values = json.loads(arrow.schema.metadata[b"unreel.features"])
    del values["sampling"]
    old = arrow.replace_schema_metadata({b"unreel.features": json.dumps(values)})
    pq.write_table(old, tmp_path / "f.parquet")
    assert FeatureTable.load(tmp_path / "f.parquet").info == replace(INFO, sampling="")


def test_settings_that_differ_are_named_and_names_do_not_count() -> None:
    other = replace(INFO, clips_per_video=5, precision="bfloat16", encoder="copy", root="/elsewhere")
    assert INFO.find_differences(other) == [
        "clips_per_video: 2, not 5",
        "precision: 'float32', not 'bfloat16'",
    ]
    assert INFO.find_differences(replace(INFO, encoder="copy", root="/elsewhere")) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "settings that are damaged: Expecting"),
        ("[" * 100_000, "settings that are damaged: "),
        ("3", "settings that are damaged: "),
        ("[1, 2]", "settings that are damaged: "),
        ('"x"', "settings that are damaged: "),
        ("{}", "format version None and"),
        (json.dumps({"format_version": 10**400}), r"format version 10000+\.\.\.0+ and"),
    ],
    ids=["broken", "deep", "number", "list", "word", "empty", "huge"],
)
def test_settings_that_are_none_are_refused_with_the_file(tmp_path: Path, text: str, message: str) -> None:
    write_metadata(tmp_path / "f.parquet", text)
    with pytest.raises(FeaturesError, match=rf"f\.parquet has {message}.* extract it again"):
        FeatureTable.load(tmp_path / "f.parquet")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dimension": "2"}, "dimension must be int, got '2'"),
        ({"dimension": [2]}, "dimension must be int"),
        ({"encoder_hash": 3}, "encoder_hash must be str, got 3"),
        ({"sampling": None}, "sampling must be str, got None"),
        ({"dimension": 10**30}, "settings that are damaged"),
        ({"dimension": 3}, "other columns than a table of features"),
        ({"dimension": -1}, "other columns than a table of features"),
    ],
)
def test_settings_of_another_kind_are_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    write_metadata(tmp_path / "f.parquet", json.dumps({**read_metadata(), **changes}))
    with pytest.raises(FeaturesError, match=rf"f\.parquet has .*{message}.*; extract it again"):
        read_info(tmp_path / "f.parquet")


def test_vectors_of_any_length_are_no_table(tmp_path: Path) -> None:
    """A dimension of -1 is what Arrow calls a list of any length."""
    arrow = build_table().to_arrow()
    vectors = pa.array(arrow["vector"].to_pylist(), pa.list_(pa.float32(), -1))
    metadata = {b"unreel.features": json.dumps({**read_metadata(), "dimension": -1})}
    arrow = arrow.drop_columns(["vector"]).append_column("vector", vectors).replace_schema_metadata(metadata)
    pq.write_table(arrow, tmp_path / "f.parquet")
    with pytest.raises(FeaturesError, match="other columns than a table of features"):
        read_info(tmp_path / "f.parquet")


def test_settings_of_later_versions_are_passed_over(tmp_path: Path) -> None:
    write_metadata(tmp_path / "f.parquet", json.dumps({**read_metadata(), "colour": "red"}))
    assert read_info(tmp_path / "f.parquet") == INFO
    assert FeatureInfo("x").find_differences(FeatureInfo("y")) == ["encoder_hash: 'x', not 'y'"]
