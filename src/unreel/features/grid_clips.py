"""Where the clips of a temporal grid lie: one around every n-th frame, from start to end of a video."""

import dataclasses
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unreel.features.input_spec import InputSpec
from unreel.models.resnet2d import ResNetConfig

# N positions of the grid, T frames

_NAME = re.compile(r"CenteredClips\(every=([1-9]\d*)\)")


@dataclass(frozen=True)
class GridSampling:
    """A clip around the middle of every stretch of ``every_frames`` frames.

    Raises:
        ValueError: ``every_frames`` is not positive.
    """

    every_frames: int = 16
    """Distance between the middles of two clips, in frames of the video."""

    def __post_init__(self) -> None:
        if self.every_frames < 1:
            raise ValueError(f"every_frames must be at least 1, got {self.every_frames}")

    @property
    def name(self) -> str:
        """How a table of features names it, such as "CenteredClips(every=16)"."""
        return f"CenteredClips(every={self.every_frames})"

    @classmethod
    def from_name(cls, name: str) -> "GridSampling | None":
        """Return the sampling that a table names, None when it is no grid."""
        found = _NAME.fullmatch(name)
        return cls(int(found[1])) if found else None

    def find_centers(self, num_frames: int) -> NDArray[np.int64]:
        """Return the middle frames, such as 8, 24, 40, ... of every 16; of a shorter video its own middle."""
        centers_N = np.arange(self.every_frames // 2, num_frames, self.every_frames, dtype=np.int64)
        return centers_N if len(centers_N) else np.array([num_frames // 2], dtype=np.int64)

    def find_edges(self, num_frames: int) -> NDArray[np.int64]:
        """Return where the stretches begin, and the end of the last, N + 1 frame numbers from 0 on.

        The stretches cover the video without gap; the last reaches to its end.
        """
        starts_N = np.arange(len(self.find_centers(num_frames)), dtype=np.int64) * self.every_frames
        return np.append(starts_N, num_frames)


def choose_clip(spec: InputSpec, backbone: object = None) -> InputSpec:
    """Return what a network is fed at one position of a grid.

    It is the network's own clip; where that is a frame of every segment of the video, the frame itself, or,
    of a network that looks at neighbours, as many frames ``frame_stride`` apart.

    Args:
        spec: what the network is fed otherwise.
        backbone: its configuration, if it has one.

    Raises:
        ValueError: the clip covers whole videos, so that all positions would be the same.
    """
    if spec.sampling == "frame_per_part" and not spec.span_frames:
        raise ValueError(
            "the network takes clips that cover the whole video (input.span_frames = 0), which tell nothing "
            "of when something happens; take an encoder with clips of a certain length"
        )
    if spec.sampling != "segments":
        return spec
    is_alone = isinstance(backbone, ResNetConfig) and not backbone.temporal_shift
    return dataclasses.replace(spec, sampling="clip", num_frames=1 if is_alone else spec.num_frames)


def cut_clips(centers_N: NDArray[np.int64], num_frames: int, spec: InputSpec) -> NDArray[np.int64]:
    """Return the frames (N, T) of clips around the given ones; beyond the ends, the end is repeated.

    Args:
        centers_N: middle frames.
        num_frames: length of the video.
        spec: of the clip, as `choose_clip` returns it.
    """
    if spec.sampling == "frame_per_part":
        parts_T = (np.arange(spec.num_frames) + 0.5) * (spec.span_frames / spec.num_frames)
        offsets_T = np.floor(parts_T).astype(np.int64) - spec.span_frames // 2
    else:
        offsets_T = np.arange(spec.num_frames) * spec.frame_stride
        offsets_T = offsets_T - (spec.num_frames - 1) * spec.frame_stride // 2
    frames_NT: NDArray[np.int64] = np.clip(centers_N[:, None] + offsets_T, 0, num_frames - 1)
    return frames_NT
