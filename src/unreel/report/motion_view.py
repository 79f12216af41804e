"""What there is to see of one video's motion: windows, how likely each is, clips that were drawn, frames."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unreel.data.catalog import Catalog, Video
from unreel.data.decode import ClipDecoder, FrameSize
from unreel.data.motion_table import MotionTable
from unreel.data.motion_windows import count_effective_windows, split_windows, window_probabilities
from unreel.data.targeted_clips import TargetedClips
from unreel.errors import CatalogError
from unreel.seeding import build_generator

# C windows, P pictures, H W pixels


@dataclass(frozen=True)
class DrawnClip:
    """A clip A as training would draw it.

    Attributes:
        window: whose middle it lies on.
        start_sec: when its first frame is shown.
        end_sec: when its last frame is shown.
        frames: the clip.
    """

    window: int
    start_sec: float
    end_sec: float
    frames: tuple[int, ...]


@dataclass(frozen=True)
class MotionView:
    """The motion of one video.

    Attributes:
        path: as in the catalog.
        video_id: of the catalog.
        beta: by which motion is divided.
        edges_sec: when every window begins, and when the last one ends (C + 1).
        motion_C: how much every window moves.
        prob_C: how likely every window is drawn.
        clips: some that were drawn.
        picture_sec_P: when the pictures are shown.
        pictures_PHWC: a frame from the middle of some windows, of all if there are few.
        settings: how motion was measured and clips drawn.
    """

    path: str
    video_id: str
    beta: float
    edges_sec: NDArray[np.float64]
    motion_C: NDArray[np.float32]
    prob_C: NDArray[np.float64]
    clips: tuple[DrawnClip, ...]
    picture_sec_P: NDArray[np.float64]
    pictures_PHWC: NDArray[np.uint8]
    settings: dict[str, Any]

    @property
    def effective_windows(self) -> float:
        """How many equally likely windows would be as uncertain."""
        return count_effective_windows(self.prob_C)

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        return {
            "figure": "motion",
            "video": self.path,
            "id": self.video_id,
            "beta": self.beta,
            "edges_sec": self.edges_sec.tolist(),
            "motion": [float(f"{value:.6g}") for value in self.motion_C],
            "probabilities": self.prob_C.tolist(),
            "effective_windows": self.effective_windows,
            "clips": [
                {
                    "window": clip.window,
                    "start_sec": clip.start_sec,
                    "end_sec": clip.end_sec,
                    "frames": list(clip.frames),
                }
                for clip in self.clips
            ],
            "settings": self.settings,
        }


def view_motion(
    video: Video,
    path: str,
    clips: TargetedClips,
    *,
    num_clips: int = 3,
    num_pictures: int = 10,
    picture_px: int = 120,
    seed: int = 0,
    settings: dict[str, Any],
) -> MotionView:
    """Draw clips of a video by its motion, and decode a few frames of it.

    Args:
        video: with its motion.
        path: of the video, for the title.
        clips: how training draws them.
        num_clips: clips to draw.
        num_pictures: most frames to show.
        picture_px: height of the frames.
        seed: of the drawn clips.
        settings: what else the view depends on, to be kept with it.

    Raises:
        CatalogError: the motion of the video is not known, or not of these windows.
        VideoError: the video cannot be read.
        ValueError: a number is out of range.
    """
    for name, value, lowest in (("num_clips", num_clips, 0), ("num_pictures", num_pictures, 1)):
        if value < lowest:
            raise ValueError(f"{name} must be at least {lowest}, got {value}")
    if video.motion is None:
        raise CatalogError(
            f"{path}: the motion of this video could not be measured; the list of rejected videos says why"
        )
    bounds = split_windows(video.index, video.motion_window_sec)
    times_F = video.index.timestamps_sec()
    drawn = []
    for number in range(num_clips):
        window = clips.draw_window(video, bounds, build_generator(seed, "report motion", number))
        # The same stream again: a clip begins with the draw of its window.
        plan = clips.sample_video(video, build_generator(seed, "report motion", number))
        frames = plan.frames_NT[0]
        ends = float(times_F[frames.min()]), float(times_F[frames.max()])
        drawn.append(DrawnClip(window, *ends, tuple(frames.tolist())))
    num_windows = len(video.motion)
    chosen = np.unique(
        np.linspace(0, num_windows - 1, min(num_pictures, num_windows)).round().astype(np.int64)
    )
    middle_P = (bounds[chosen] + bounds[chosen + 1] - 1) // 2
    pictures = ClipDecoder(FrameSize(picture_px)).decode(video.path, video.index, middle_P[None, :])[0]
    return MotionView(
        path=path,
        video_id=video.id,
        beta=clips.beta,
        edges_sec=np.append(times_F[bounds[:-1]], video.seconds),
        motion_C=video.motion,
        prob_C=window_probabilities(video.motion, clips.beta),
        clips=tuple(drawn),
        picture_sec_P=times_F[middle_P],
        pictures_PHWC=pictures,
        settings=settings,
    )


def choose_video(catalog: Catalog, table: MotionTable, name: str, beta: float) -> int:
    """Return the row of a video: the named one, or the one whose windows are drawn least alike.

    Args:
        catalog: the videos.
        table: their motion.
        name: id, or path as in the catalog; "" leaves the choice to motion.
        beta: by which motion is divided.

    Raises:
        CatalogError: there is no such video, or the motion of none is known.
    """
    if name:
        paths = catalog.table["path"].to_pylist()
        for names in (catalog.ids, paths):
            if name in names:
                return names.index(name)
        raise CatalogError(f"the catalog has no video {name!r}; give its id, or its path as in the catalog")
    shares = {}
    for row, found in enumerate(table.find_rows(catalog).tolist()):
        values = table.rows["motion"][found].values if found >= 0 else None
        if values is not None:
            prob_C = window_probabilities(values.to_numpy(), beta)
            shares[row] = count_effective_windows(prob_C) / len(prob_C)
    if not shares:
        raise CatalogError("the motion of none of the videos is known; measure it with `unreel motion`")
    return min(shares, key=lambda row: shares[row])
