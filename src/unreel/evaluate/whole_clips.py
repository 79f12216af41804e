"""Which videos are long enough to show a clip without repeating a frame."""

from dataclasses import dataclass

import numpy as np

from unreel.data.catalog import Catalog
from unreel.data.clips import ClipSampling, RandomClips
from unreel.errors import CatalogError


@dataclass(frozen=True)
class WholeClips:
    """The videos of a catalog that a clip fits into.

    Attributes:
        videos: these.
        min_frames: frames that a video needs.
        num_too_short: videos that have fewer and are left out.
    """

    videos: Catalog
    min_frames: int
    num_too_short: int


def keep_whole_clips(catalog: Catalog, clips: ClipSampling, *, min_frames: int = 1) -> WholeClips:
    """Leave out the videos that are shorter than a clip, or shorter than those that were trained on.

    A clip that does not fit starts again at frame 0 or repeats the last frame. The distance between two
    orders of its places then says little about the pictures that are shown, since equal ones may be swapped.

    Args:
        catalog: the videos.
        clips: how a clip is cut.
        min_frames: of the training (``data.min_frames``).

    Raises:
        CatalogError: no video is left.
    """
    needed = max(min_frames, count_frames(clips))
    frames = catalog.num_frames_array
    rows = np.flatnonzero(frames >= needed)
    if len(frames) and not len(rows):
        raise CatalogError(
            f"none of the {len(frames)} videos has the {needed} frames that this run needs (a clip, or "
            f"data.min_frames); the longest has {frames.max()}. Measure on longer videos"
        )
    return WholeClips(catalog.take(rows), needed, len(frames) - len(rows))


def count_frames(clips: ClipSampling) -> int:
    """Return the frames that a video needs so that every frame of a clip is another one; 1 if unknown."""
    if not isinstance(clips, RandomClips):
        return 1
    stride = 1 if clips.short_video == "shrink_stride" else clips.frame_stride
    return (clips.num_frames - 1) * stride + 1
