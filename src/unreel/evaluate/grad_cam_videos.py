"""Look at some videos through an encoder: which places of which frames its features are made of."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.augment.views import center_crop
from unreel.config import config_to_dict
from unreel.data.batch import Rejection, VideoBatch
from unreel.data.catalog import Catalog
from unreel.data.loader import DataConfig
from unreel.data.sweep import sweep_batches
from unreel.errors import FeaturesError
from unreel.evaluate.grad_cam import locate, stretch_time
from unreel.evaluate.grad_cam_choice import choose_frames
from unreel.evaluate.grad_cam_target import Target
from unreel.features.encoder import Encoder
from unreel.progress import Progress, ignore_progress

# N clips of a video, F frames that are shown, X places of all clips, D features, T frames or time positions,
# C colors, H W pixels or positions


@dataclass(frozen=True, eq=False)
class VideoMaps:
    """Some frames of a video, and where in them a score comes from.

    Attributes:
        video_id: as in the catalog.
        path: as in the catalog, from its root.
        label: class, "" when unknown.
        target: class whose score is explained, "" for the direction of the feature itself.
        score: its mean over the clips.
        frames_F: numbers of the frames, in the order in which the network sees them.
        seconds_F: when they are shown.
        pictures_FHWC: uint8 RGB, what the network sees of them before colors are normalised.
        shares_FHW: float32 in [0, 1], one number per position of the last map. The largest of a clip is 1
            unless all are 0; every frame is a clip of its own where the network looks at single frames.
    """

    video_id: str
    path: str
    label: str
    target: str
    score: float
    frames_F: NDArray[np.int64]
    seconds_F: NDArray[np.float64]
    pictures_FHWC: NDArray[np.uint8]
    shares_FHW: NDArray[np.float32]

    @property
    def is_blank(self) -> list[bool]:
        """Frame by frame, whether nothing in it speaks for the score."""
        return [not shares_HW.any() for shares_HW in self.shares_FHW]

    def to_json(self) -> dict[str, Any]:
        """Return all but the pictures as plain values."""
        return {
            "id": self.video_id,
            "path": self.path,
            "label": self.label,
            "target": self.target,
            "score": self.score,
            "frames": self.frames_F.tolist(),
            "seconds": self.seconds_F.tolist(),
            "blank": self.is_blank,
            "maps": self.shares_FHW.tolist(),
        }


@dataclass(frozen=True, eq=False)
class GradCamResult:
    """What was seen.

    Attributes:
        videos: in the order of the catalog.
        encoder: its name.
        clip_frames: frames that the network sees at once.
        rejected: videos that could not be looked at, with the reason.
    """

    videos: tuple[VideoMaps, ...]
    encoder: str
    clip_frames: int
    rejected: tuple[Rejection, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "figure": "gradcam",
            "encoder": self.encoder,
            "clip_frames": self.clip_frames,
            "videos": [video.to_json() for video in self.videos],
            "rejected": [config_to_dict(item) for item in self.rejected],
        }


def look_at_videos(
    encoder: Encoder,
    catalog: Catalog,
    target: Target | None = None,
    *,
    num_frames: int = 6,
    batch_size: int = 16,
    num_workers: int = -1,
    decode_time_limit_sec: float = 30.0,
    progress: Progress = ignore_progress,
) -> GradCamResult:
    """Show for every video of a catalog where its features, or a class's score, come from.

    Frames are those of `choose_frames`, and only they are decoded; of a clip, ``num_frames`` are shown. What
    a short video would show twice is shown once.

    Args:
        encoder: its network is passed forwards once per clip, and not changed.
        catalog: few videos, such as those of `choose_videos`.
        target: what is explained, the direction of each feature itself by default; it is not checked here
            whether its classifier suits the encoder.
        num_frames: frames to show per video.
        batch_size: frames or clips per pass of the network.
        num_workers: processes that decode; -1 takes one per core, 0 decodes in this process.
        decode_time_limit_sec: time after which a video counts as unreadable; 0 sets no limit.
        progress: is told the number of videos done.

    Raises:
        CatalogError: the catalog is empty, or not one of its videos can be read.
        FeaturesError: the network gives NaN or infinity for all videos.
        ValueError: a number is out of range, or the backbone is in training mode.

    Reference: VCLR, figure 8.
    """
    spec = encoder.spec
    sampling = choose_frames(spec, num_frames)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if encoder.backbone.training:
        raise ValueError("the backbone is in training mode; call encoder.backbone.eval() before looking")
    batches = sweep_batches(
        catalog,
        sampling,
        DataConfig(
            height=spec.decode_height, width=spec.decode_width, decode_time_limit_sec=decode_time_limit_sec
        ),
        seed=0,
        batch_size=1,
        num_workers=num_workers,
    )
    videos: list[VideoMaps] = []
    rejected: list[Rejection] = []
    for batch in batches:
        rejected += batch.rejections
        map_NDTHW = _run_backbone(encoder, batch.frames_BNTHWC[0], batch_size)
        if torch.isfinite(map_NDTHW).all():
            shown = {"num_frames": num_frames, "crop_px": spec.crop_px}
            videos.append(_explain(batch, catalog, map_NDTHW, target or Target(), **shown))
        else:
            reason = "the network gave NaN or infinity; try precision float32, or another encoder"
            rejected.append(Rejection(str(catalog.video(int(batch.video_index_B[0])).path), reason))
        progress(len(videos) + len(rejected), len(catalog), f"{len(rejected)} rejected" if rejected else "")
    if not videos:
        raise FeaturesError(
            f"none of {len(catalog)} videos can be looked at; the first: {rejected[0].reason}"
        )
    return GradCamResult(tuple(videos), encoder.name, spec.num_frames, tuple(rejected))


@torch.no_grad()
def _run_backbone(encoder: Encoder, frames_NTHWC: Tensor, batch_size: int) -> Tensor:
    """Return the last maps of all clips of a video, float32 on the encoder's device."""
    spec, maps = encoder.spec, []
    for part in torch.split(frames_NTHWC, batch_size):
        clips_NCTHW = center_crop(part.to(encoder.device), spec.crop_px, mean=spec.mean, std=spec.std)
        with torch.autocast(encoder.device.type, torch.bfloat16, enabled=encoder.precision == "bfloat16"):
            maps.append(encoder.backbone.forward_map(clips_NCTHW).float())
    return torch.cat(maps)


def _explain(
    batch: VideoBatch, catalog: Catalog, map_NDTHW: Tensor, target: Target, *, num_frames: int, crop_px: int
) -> VideoMaps:
    """Locate the target in the maps of one video, and show some of its frames, each once."""
    row = int(batch.video_index_B[0])
    video = catalog.video(row)
    name, score = target.choose(map_NDTHW)
    shares_NTHW, score_N = locate(map_NDTHW, score)
    frames_NTHWC, index_NT = batch.frames_BNTHWC[0], batch.frame_index_BNT[0].numpy()
    shares_FHW = stretch_time(shares_NTHW, index_NT.shape[1]).flatten(0, 1)
    places_F = _choose_places(index_NT.reshape(-1), num_frames)
    pictures_1CFHW = center_crop(frames_NTHWC.flatten(0, 1)[None, places_F], crop_px)
    frames_F = index_NT.reshape(-1)[places_F]
    return VideoMaps(
        video_id=video.id,
        path=catalog.table["path"][row].as_py(),
        label=video.label,
        target=name,
        score=float(score_N.mean()),
        frames_F=frames_F,
        seconds_F=video.index.timestamps_sec()[frames_F],
        pictures_FHWC=(pictures_1CFHW[0].permute(1, 2, 3, 0) * 255).round().byte().numpy(),
        shares_FHW=shares_FHW[torch.from_numpy(places_F)].cpu().numpy(),
    )


def _choose_places(index_X: NDArray[np.int64], num_frames: int) -> NDArray[np.int64]:
    """Return evenly spread places among those at which a frame comes first, both ends included."""
    first_X = np.sort(np.unique(index_X, return_index=True)[1])
    count = min(num_frames, len(first_X))
    places_F: NDArray[np.int64] = first_X[np.arange(count) * (len(first_X) - 1) // max(1, count - 1)]
    return places_F
