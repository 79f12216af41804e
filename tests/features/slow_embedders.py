"""Networks that take their time, or whose process is killed in the middle; they keep the name and hash."""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unreel.features.encoder import Encoder
from unreel.features.input_spec import InputSpec
from unreel.features.pooling import Pooling


class KilledEmbedder:
    """An encoder that kills its process, as `kill -9` would, in the second pass of so many parts.

    Args:
        encoder: gives the vectors.
        folder: for a file per kill, since no memory lives on.
        kills: how often.
        seconds: that every pass takes.
    """

    def __init__(self, encoder: Encoder, folder: Path, *, kills: int = 0, seconds: float = 0.0) -> None:
        self.name, self.hash, self.precision = encoder.name, encoder.hash, encoder.precision
        self.spec: InputSpec = encoder.spec
        self.num_features = encoder.num_features
        self.device = torch.device("cpu")
        self._encoder = encoder
        self._folder = folder
        self._kills = kills
        self._seconds = seconds
        self._maker = os.getpid()
        self._passes = 0

    def embed_clips(
        self, frames_BTHWC: Tensor | Sequence[Tensor], poolings: Sequence[Pooling] = ("average",)
    ) -> Mapping[Pooling, np.ndarray]:
        """Return the encoder's vectors, or do not return."""
        if os.getpid() != self._maker:
            time.sleep(self._seconds)
            self._passes += 1
            for number in range(self._kills if self._passes == 2 else 0):
                mark = self._folder / f"killed-{number}"
                if not mark.exists():
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
        return self._encoder.embed_clips(frames_BTHWC, poolings)
