"""What the vectors of an index were made by; vectors of anything else do not get in."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from unreel.config import config_from_dict, config_to_dict
from unreel.errors import SearchError
from unreel.features.table_info import FeatureInfo


@dataclass(frozen=True)
class IndexInfo:
    """What the vectors of an index were made by, and how; kept in its file.

    Attributes:
        encoder_hash: of the encoder.
        encoder: its name, for messages.
        encoder_folder: where it was when the index was made, absolute; "" when that is not known.
        pooling: form of the features.
        dimension: D, length of a vector.
        clips_per_video: clips that were spread over each video.
        sampling: rule by which these were chosen.
        precision: arithmetic of the network.
        root: folder that the paths start from.
    """

    encoder_hash: str
    encoder: str = ""
    encoder_folder: str = ""
    pooling: str = "average"
    dimension: int = 0
    clips_per_video: int = 1
    sampling: str = ""
    precision: str = "float32"
    root: str = ""

    @classmethod
    def from_features(cls, info: FeatureInfo, *, encoder_folder: str = "") -> "IndexInfo":
        """Describe the vectors of a table of features."""
        names = {field.name for field in dataclasses.fields(cls)} - {"encoder_folder"}
        shared = {name: getattr(info, name) for name in names}
        return cls(**shared, encoder_folder=encoder_folder)

    def check_same_vectors(self, other: "IndexInfo", index: str) -> None:
        """Refuse vectors that cannot be compared with those of this index.

        Args:
            other: what the other vectors were made by.
            index: what the message calls the index.

        Raises:
            SearchError: they are of another encoder, or made in another way.
        """
        if other.encoder_hash != self.encoder_hash:
            raise SearchError(
                f"{index} holds vectors of encoder {self.encoder!r} (hash {self.encoder_hash}), these are of "
                f"{other.encoder!r} (hash {other.encoder_hash}) and cannot be compared with them; use the "
                "encoder of the index, or make another index"
            )
        for name in ("pooling", "dimension", "clips_per_video", "sampling", "precision", "root"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise SearchError(
                    f"{index} was made with {name} {mine!r}, this is {theirs!r}; give the same {name}, or "
                    "make another index"
                )

    def to_json(self) -> str:
        """Return the text that the file keeps."""
        return json.dumps(config_to_dict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "IndexInfo":
        """Read what `to_json` wrote.

        Raises:
            ValueError: the text is something else.
        """
        values: Any = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError(f"settings must be a JSON object, got {type(values).__name__}")
        info = config_from_dict(cls(encoder_hash=""), values)
        if info.dimension < 1:
            raise ValueError(f"dimension must be at least 1, got {info.dimension}")
        return info
