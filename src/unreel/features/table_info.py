"""What a table of features was made from, and how its file is laid out."""

import dataclasses
import json
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from unreel.config import config_from_dict, config_to_dict
from unreel.errors import FeaturesError

FORMAT_VERSION = 1
_METADATA_KEY = b"unreel.features"
VECTOR = "vector"
"""Name of the column of vectors, the last one."""
COLUMNS = pa.schema(
    [
        ("video_id", pa.string()),
        ("path", pa.string()),
        ("label", pa.string()),
        ("split", pa.string()),
        ("group", pa.string()),
        ("clip_index", pa.int32()),
        ("frame_index", pa.int64()),
        ("start_sec", pa.float64()),
        ("end_sec", pa.float64()),
    ]
)
"""All others."""
_TEXT_COLUMNS = ["video_id", "path", "label", "split", "group"]


@dataclass(frozen=True)
class FeatureInfo:
    """What a table of features was made from, and how; kept in the file.

    Attributes:
        encoder_hash: of the encoder.
        encoder: its name, for messages.
        pooling: form of the features.
        dimension: D, length of a vector.
        clips_per_video: clips that were spread over each video.
        sampling: rule by which these were chosen, such as "UniformClips"; "" in tables of old.
        batch_size: clips per pass of the network.
        precision: arithmetic of the network.
        catalog_hash: of the videos that were asked for.
        split: of the catalog, "" for all.
        root: folder that the paths start from.
    """

    encoder_hash: str
    encoder: str = ""
    pooling: str = "average"
    dimension: int = 0
    clips_per_video: int = 1
    sampling: str = ""
    batch_size: int = 0
    precision: str = "float32"
    catalog_hash: str = ""
    split: str = ""
    root: str = ""

    def find_differences(self, other: "FeatureInfo") -> list[str]:
        """Return the settings in which two tables differ, as ``name: own, not other's``.

        The name of the encoder and the folder of the videos are no settings.
        """
        mine, theirs = config_to_dict(self), config_to_dict(other)
        settings = [name for name in mine if name not in ("encoder", "root")]
        return [
            f"{name}: {mine[name]!r}, not {theirs[name]!r}" for name in settings if mine[name] != theirs[name]
        ]


def build_schema(info: FeatureInfo) -> pa.Schema:
    """Return the columns of a table file with its metadata."""
    metadata = {"format_version": FORMAT_VERSION, **config_to_dict(info)}
    schema = COLUMNS.append(pa.field(VECTOR, pa.list_(pa.float32(), info.dimension)))
    return schema.with_metadata({_METADATA_KEY: json.dumps(metadata, sort_keys=True)})


def open_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Open a Parquet file for rows of features; the vectors are not compressed, since they hardly shrink."""
    return pq.ParquetWriter(
        path,
        schema,
        use_dictionary=_TEXT_COLUMNS,
        compression={name: "zstd" if name in COLUMNS.names else "none" for name in _leaf_names(schema)},
    )


def _leaf_names(schema: pa.Schema) -> list[str]:
    return [f"{VECTOR}.list.element" if name == VECTOR else name for name in schema.names]


def read_info(path: Path) -> FeatureInfo:
    """Read what a table was made from without reading its vectors.

    Raises:
        FeaturesError: the file is missing, damaged, or no table of features that this version knows.
    """
    if path.is_dir():
        raise FeaturesError(f"{path} is a folder; give the file that `unreel extract` wrote")
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise FeaturesError(
            f"{path} cannot be read as a table of features: {error}; run `unreel extract`, or for "
            "vectors over time `unreel localize features`"
        ) from error
    return _parse_info(path, schema)


def _parse_info(path: Path, schema: pa.Schema) -> FeatureInfo:
    text = (schema.metadata or {}).get(_METADATA_KEY)
    if text is None:
        raise FeaturesError(
            f"{path} is a Parquet file but no table of features; give the output of `unreel extract`"
        )
    try:
        values: dict[str, Any] = dict(json.loads(text))
    except (RecursionError, TypeError, ValueError) as error:
        raise FeaturesError(f"{path} has settings that are damaged: {error}; extract it again") from error
    version = values.get("format_version")
    if version != FORMAT_VERSION:
        raise FeaturesError(
            f"{path} has format version {reprlib.repr(version)} and this version of unreel reads "
            f"{FORMAT_VERSION}; extract it again"
        )
    known = {field.name for field in dataclasses.fields(FeatureInfo)}
    try:
        known_values = {name: value for name, value in values.items() if name in known}
        info = config_from_dict(FeatureInfo(encoder_hash=""), known_values)
        expected = build_schema(info)
    except (OverflowError, ValueError) as error:
        raise FeaturesError(f"{path} has settings that are damaged: {error}; extract it again") from error
    if info.dimension < 0 or not schema.equals(expected):
        raise FeaturesError(f"{path} has other columns than a table of features; extract it again")
    return info
