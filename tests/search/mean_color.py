"""An embedder without weights, and catalogs with other columns."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.features.tiny import SPEC
from unreel.data.catalog import Catalog
from unreel.features.input_spec import InputSpec
from unreel.features.pooling import Pooling


class MeanColor:
    """Embeds a clip as its mean red, green and blue; with pooling "frame" also those of its two halves.

    Attributes:
        num_clips: that were embedded so far, black ones left out.
    """

    def __init__(self, *, name: str = "mean color", hash: str = "c" * 16) -> None:
        self.name = name
        self.hash = hash
        self.spec: InputSpec = SPEC
        self.num_features = 3
        self.device = torch.device("cpu")
        self.precision = "float32"
        self.num_clips = 0

    def embed_clips(
        self, frames_BTHWC: Tensor | Sequence[Tensor], poolings: Sequence[Pooling] = ("average",)
    ) -> Mapping[Pooling, NDArray[np.float32]]:
        halves = []
        for clips in frames_BTHWC:
            for clip in clips.reshape(-1, *clips.shape[-4:]).float() / 255:
                halves.append(torch.stack([half.mean(dim=(0, 1, 2)) for half in clip.chunk(2)]))
                self.num_clips += bool(clip.sum() > 0)
        features_BRD = torch.stack(halves)
        features: dict[Pooling, Tensor] = {
            "average": features_BRD.mean(dim=1, keepdim=True),
            "frame": features_BRD,
        }
        return {pooling: features[pooling].numpy() for pooling in poolings}


def change_rows(catalog: Catalog, column: str, values: Mapping[int, Any]) -> Catalog:
    """Return a catalog with other values of a column in some rows."""
    table = catalog.table
    new = [values.get(row, value) for row, value in enumerate(table[column].to_pylist())]
    field = table.schema.field(column)
    table = table.set_column(table.schema.get_field_index(column), field, pa.array(new, field.type))
    return Catalog(table, catalog.root, path=catalog.path)
