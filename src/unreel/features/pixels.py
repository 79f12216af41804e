"""Raw pixels as features: what can be had without any network, the floor under every measurement."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unreel.augment.views import center_crop
from unreel.config import hash_config
from unreel.features.input_spec import InputSpec
from unreel.features.pooling import Pooling, check_poolings

# B clips, C channels, T frames, H W pixels, D features

_SIDE_PX = 8
_MAX_FRAMES = 8


class PixelBaseline:
    """Clips as vectors of their own pixels, to be used wherever an encoder is.

    A clip is cropped as for the encoder and averaged down to 8x8 pixels and at most 8 moments; the mean
    of each colour is taken away, so that the cosine of two vectors is the correlation of two clips and a
    dark picture does not resemble every dark picture. The order of frames counts: this compares clips,
    not sets of frames.

    Args:
        spec: which clips to compare, most often the one of the encoder to be measured against.
    """

    name = "pixels"
    precision = "float32"

    def __init__(self, spec: InputSpec) -> None:
        self.spec = spec
        self.device = torch.device("cpu")
        self._moments = min(spec.num_frames, _MAX_FRAMES)

    @property
    def hash(self) -> str:
        """Changes with the specification."""
        return f"pixels-{hash_config(self.spec)}"

    @property
    def num_features(self) -> int:
        """D, length of a vector."""
        return 3 * self._moments * _SIDE_PX**2

    def embed_clips(
        self, frames_BTHWC: Tensor | Sequence[Tensor], poolings: Sequence[Pooling] = ("average",)
    ) -> Mapping[Pooling, NDArray[np.float32]]:
        """Return an array of shape (B, 1, D), as an encoder would.

        Raises:
            ValueError: a pooling other than "average" is asked for.
        """
        check_poolings(poolings)
        if tuple(poolings) != ("average",):
            raise ValueError(
                f"the pixel baseline compares whole clips; use pooling average, not {list(poolings)}"
            )
        parts = [frames_BTHWC] if isinstance(frames_BTHWC, Tensor) else frames_BTHWC
        crops_BCTHW = torch.cat([center_crop(part, self.spec.crop_px) for part in parts])
        small_BCTHW = F.adaptive_avg_pool3d(crops_BCTHW, (self._moments, _SIDE_PX, _SIDE_PX))
        centered = small_BCTHW - small_BCTHW.mean(dim=(2, 3, 4), keepdim=True)
        return {"average": centered.flatten(1)[:, None].numpy()}
