"""Small encoders, and tables of features made without any video."""

import numpy as np

from unreel.features.encoder import Encoder
from unreel.features.encoder_files import EncoderConfig
from unreel.features.input_spec import InputSpec
from unreel.features.table import FeatureTable
from unreel.features.table_info import FeatureInfo
from unreel.models.r3d_plus1 import R3DPlus1Config
from unreel.models.resnet3d import R3DConfig

SPEC = InputSpec(num_frames=4, frame_stride=2, decode_height=24, decode_width=32, crop_px=16)
PARTS_SPEC = InputSpec(
    sampling="frame_per_part", num_frames=4, span_frames=16, decode_height=24, decode_width=32, crop_px=16
)


def build_encoder(*, seed: int = 0) -> Encoder:
    """Return a 3D network of one block per stage, which leaves one time position of four frames."""
    return Encoder.untrained(EncoderConfig(R3DConfig(depth=10, width=0.0625), SPEC), seed=seed)


def build_frame_encoder(*, seed: int = 0) -> Encoder:
    """Return CCL's network, which keeps all time positions."""
    return Encoder.untrained(EncoderConfig(R3DPlus1Config(width=0.0625), PARTS_SPEC), seed=seed)


def build_vectors(
    vectors: list[list[float]] | np.ndarray,
    videos: list[str],
    *,
    labels: list[str] | None = None,
    splits: list[str] | None = None,
    groups: list[str] | None = None,
    info: FeatureInfo | None = None,
) -> FeatureTable:
    """Return a table with the given vectors; videos, labels, ... are named per row."""
    matrix = np.asarray(vectors, dtype=np.float32)
    count = len(matrix)
    seen: dict[str, int] = {}
    clips = []
    for video in videos:
        clips.append(seen.get(video, 0))
        seen[video] = clips[-1] + 1
    return FeatureTable.from_columns(
        info or FeatureInfo(encoder_hash="0" * 16, dimension=matrix.shape[1]),
        matrix,
        video_id=videos,
        path=[f"{video}.mp4" for video in videos],
        label=labels or [""] * count,
        split=splits or [""] * count,
        group=groups or [""] * count,
        clip_index=clips,
        frame_index=[4 * clip for clip in clips],
        start_sec=[float(clip) for clip in clips],
        end_sec=[clip + 1.5 for clip in clips],
    )
