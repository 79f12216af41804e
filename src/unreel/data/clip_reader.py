"""From a row of a catalog to decoded clips, and from clips to a batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from unreel.data.batch import Rejection, VideoBatch
from unreel.data.cache import FrameCache
from unreel.data.catalog import Catalog
from unreel.data.clips import ClipSampling
from unreel.data.decode import ClipDecoder
from unreel.data.device_frames import DeviceClips, stack_clips
from unreel.errors import VideoError
from unreel.seeding import build_generator, derive_key

# B videos, N clips, T frames, H W pixels, C channels


@dataclass(frozen=True)
class ReadVideo:
    """The clips of one video.

    Attributes:
        row: of the catalog.
        frames_NTHWC: uint8 RGB; only named when the frames live on a device.
        frame_index_NT: which frames of the video these are.
        label: number of the video's class among the catalog's `label_names`, -1 where it has none.
        key: for everything that is drawn later.
    """

    row: int
    frames_NTHWC: NDArray[np.uint8] | DeviceClips
    frame_index_NT: NDArray[np.int64]
    label: int
    key: int


class ClipReader:
    """Reads the clips of a video; which ones is a function of seed, pass and video.

    Args:
        catalog: the videos.
        clips: which frames of each.
        decoder: how they are read.
        seed: of the run.
        cache: decoded frames, if they are in memory.

    Raises:
        ValueError: the clips are chosen by motion, of which the catalog knows nothing.
    """

    def __init__(
        self,
        catalog: Catalog,
        clips: ClipSampling,
        decoder: ClipDecoder,
        *,
        seed: int,
        cache: FrameCache | None = None,
    ) -> None:
        if clips.needs_motion and catalog.motion is None:
            raise ValueError(
                f"{type(clips).__name__} chooses clips by motion, of which this catalog knows nothing; "
                "attach it with unreel.data.motion_table.attach_motion"
            )
        self._catalog = catalog
        self._clips = clips
        self._decoder = decoder
        self._seed = seed
        self._cache = cache
        self._class_numbers = {name: number for number, name in enumerate(catalog.label_names)}

    def read(self, row: int, epoch: int) -> ReadVideo | Rejection:
        """Read the video of a row as the pass ``epoch`` over the catalog sees it, or say why it cannot be."""
        video = self._catalog.video(row)
        plan = self._clips.sample_video(video, build_generator(self._seed, "clips", epoch, video.id))
        try:
            frames_NTHWC = self._cache.find(video.path, plan.frames_NT) if self._cache is not None else None
            if frames_NTHWC is None:
                frames_NTHWC = self._decoder.decode(video.path, video.index, plan.frames_NT)
        except VideoError as error:
            where = "" if error.frame_index is None else f" (frame {error.frame_index})"
            return Rejection(str(video.path), error.reason + where)
        return ReadVideo(
            row=row,
            frames_NTHWC=frames_NTHWC,
            frame_index_NT=plan.frames_NT,
            label=self._class_numbers.get(video.label, -1),
            key=derive_key(self._seed, "augment", epoch, video.id),
        )


def collate_videos(videos: Sequence[ReadVideo], rejections: Sequence[Rejection] = ()) -> VideoBatch:
    """Make one batch of some videos; the smaller ones are padded with zeros below and on the right.

    Args:
        videos: one or more, with as many clips and frames each.
        rejections: videos that failed on the way.
    """
    clips = [video.frames_NTHWC for video in videos]
    sizes_B2 = np.array([clip.shape[2:4] for clip in clips], dtype=np.int64)
    return VideoBatch(
        frames_BNTHWC=stack_clips(clips),
        sizes_B2=torch.from_numpy(sizes_B2),
        video_index_B=torch.tensor([video.row for video in videos]),
        frame_index_BNT=torch.from_numpy(np.stack([video.frame_index_NT for video in videos])),
        labels_B=torch.tensor([video.label for video in videos]),
        keys_B=torch.tensor([video.key for video in videos]),
        rejections=tuple(rejections),
    )
