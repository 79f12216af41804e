"""Which frames of a video make a clip: integers in, integers out.

Frames are numbered in the order they are shown, from 0. A clip of T frames with stride S spans
``(T - 1) * S + 1`` frames. A video shorter than what is asked for is never refused here; `ShortVideo` says
what is done instead, and ``data.min_frames`` keeps short videos out of a training set altogether.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from unreel.data.catalog import Video

# N clips, T frames

ShortVideo = Literal["shrink_stride", "loop", "repeat_last"]
"""What happens when a clip does not fit into its video.

``shrink_stride`` lowers the stride until the clip fits, down to 1, then repeats the last frame (A18);
``loop`` starts again at frame 0; ``repeat_last`` keeps the stride and repeats the last frame.
"""


@dataclass(frozen=True)
class ClipPlan:
    """The frames to decode.

    Attributes:
        frames_NT: int64, every number in [0, frames of the video).
    """

    frames_NT: NDArray[np.int64]

    @property
    def num_clips(self) -> int:
        """Number of clips."""
        return len(self.frames_NT)


@dataclass(frozen=True)
class ClipSampling(ABC):
    """A rule that turns the length of a video into a `ClipPlan`."""

    @property
    @abstractmethod
    def num_clips(self) -> int:
        """Number of clips of every plan."""

    @property
    def needs_motion(self) -> bool:
        """Whether videos must have been measured by `unreel motion`."""
        return False

    def sample_video(self, video: "Video", generator: np.random.Generator) -> ClipPlan:
        """Choose the frames of one video; most rules look at nothing but its length, as `sample` does."""
        return self.sample(video.frames, generator)

    @abstractmethod
    def sample(self, num_frames: int, generator: np.random.Generator) -> ClipPlan:
        """Choose the frames of one video.

        Args:
            num_frames: length of the video in frames.
            generator: the only source of chance; deterministic rules leave it alone.

        Raises:
            ValueError: the video has no frame.
        """


@dataclass(frozen=True)
class RandomClips(ClipSampling):
    """Clips that start anywhere, independently of each other.

    Reference: CACL, section 4.1; two clips of a video are the views of instance discrimination.
    """

    count: int = 2
    """Clips per video."""
    num_frames: int = 16
    """Frames per clip."""
    frame_stride: int = 2
    """Distance between two frames of a clip, in frames of the video."""
    reserved_frames: int = 0
    """Frames that must lie behind a start, when more than the clip spans (CACL's released code: 46)."""
    short_video: ShortVideo = "loop"
    """What to do when the clip does not fit."""

    def __post_init__(self) -> None:
        require_at_least(1, self, "count", "num_frames", "frame_stride")
        require_at_least(0, self, "reserved_frames")

    @property
    def num_clips(self) -> int:
        """Number of clips of every plan."""
        return self.count

    def sample(self, num_frames: int, generator: np.random.Generator) -> ClipPlan:
        """Draw the starts uniformly among those at which the clip fits."""
        stride = fit_stride(num_frames, self.num_frames, self.frame_stride, self.short_video)
        reserved = max(clip_span(self.num_frames, stride), min(self.reserved_frames, num_frames))
        last_start = max(0, num_frames - reserved)
        starts = generator.integers(0, last_start + 1, size=self.count)
        return ClipPlan(place_clips(starts, num_frames, self.num_frames, stride, self.short_video))


@dataclass(frozen=True)
class UniformClips(ClipSampling):
    """Clips spread evenly over the video, for testing.

    The starts are ``linspace(0, F - T * S, count)``, truncated, as in the released code of CACL; a single
    clip starts at frame 0. A video of fewer than ``T * S`` frames counts as short (decision A18).
    """

    count: int = 10
    """Clips per video."""
    num_frames: int = 16
    """Frames per clip."""
    frame_stride: int = 2
    """Distance between two frames of a clip, in frames of the video."""
    short_video: ShortVideo = "shrink_stride"
    """What to do when the clip does not fit."""

    def __post_init__(self) -> None:
        require_at_least(1, self, "count", "num_frames", "frame_stride")

    @property
    def num_clips(self) -> int:
        """Number of clips of every plan."""
        return self.count

    def sample(self, num_frames: int, generator: np.random.Generator) -> ClipPlan:
        """Return the same clips every time."""
        stride = fit_stride(num_frames, self.num_frames + 1, self.frame_stride, self.short_video, margin=1)
        last_start = max(0, num_frames - self.num_frames * stride)
        starts = _spread(last_start, self.count)
        return ClipPlan(place_clips(starts, num_frames, self.num_frames, stride, self.short_video))


@dataclass(frozen=True)
class FramePerPart(ClipSampling):
    """One frame from each of L equal parts of a clip of M frames.

    Training draws the clip and, within each part, the frame; testing spreads the clips evenly and takes the
    centres. Where a part holds no whole frame, the nearest frame is taken, so short videos repeat frames.

    Reference: CCL, sections 3.1 and 4.1; decision L4.
    """

    count: int = 1
    """Clips per video."""
    num_frames: int = 8
    """L, frames per clip."""
    span_frames: int = 64
    """M, frames of the video that a clip covers; 0 covers the whole video."""
    jitter: bool = True
    """Whether clips and frames are drawn at random (training) or centred (testing)."""

    def __post_init__(self) -> None:
        require_at_least(1, self, "count", "num_frames")
        require_at_least(0, self, "span_frames")

    @property
    def num_clips(self) -> int:
        """Number of clips of every plan."""
        return self.count

    def sample(self, num_frames: int, generator: np.random.Generator) -> ClipPlan:
        """Choose one frame of every part."""
        check_length(num_frames)
        span = min(self.span_frames or num_frames, num_frames)
        last_start = num_frames - span
        if self.jitter:
            starts = generator.integers(0, last_start + 1, size=self.count)
            within = generator.random((self.count, self.num_frames))
        else:
            starts = _spread(last_start, self.count)
            within = np.full((self.count, self.num_frames), 0.5)
        parts = (np.arange(self.num_frames) + within) * (span / self.num_frames)
        return ClipPlan(starts[:, None] + np.minimum(parts.astype(np.int64), span - 1))


@dataclass(frozen=True)
class GridFrames(ClipSampling):
    """Clips of one frame, drawn among frames 0, ``every``, 2 * ``every``, ... of the video.

    A video has ``ceil(F / every)`` of them. CACL's frame network learns from every 10th frame.
    """

    count: int = 1
    """Frames per video, drawn independently of each other."""
    every: int = 10
    """Distance between two frames that may be drawn."""

    def __post_init__(self) -> None:
        require_at_least(1, self, "count", "every")

    @property
    def num_clips(self) -> int:
        """Number of clips of every plan."""
        return self.count

    def sample(self, num_frames: int, generator: np.random.Generator) -> ClipPlan:
        """Draw uniformly."""
        check_length(num_frames)
        num_images = -(-num_frames // self.every)
        return ClipPlan(generator.integers(0, num_images, size=(self.count, 1)) * self.every)


@dataclass(frozen=True)
class WholeVideo(ClipSampling):
    """Every ``frame_stride``-th frame of the video as one clip, however long."""

    frame_stride: int = 1
    """Distance between two frames."""

    def __post_init__(self) -> None:
        require_at_least(1, self, "frame_stride")

    @property
    def num_clips(self) -> int:
        """One clip."""
        return 1

    def sample(self, num_frames: int, generator: np.random.Generator) -> ClipPlan:
        """Return the frames from 0 on."""
        check_length(num_frames)
        return ClipPlan(np.arange(0, num_frames, self.frame_stride, dtype=np.int64)[None, :])


def clip_span(num_frames: int, stride: int) -> int:
    """Count the frames of the video from the first to the last of a clip."""
    return (num_frames - 1) * stride + 1


def _spread(last_start: int, count: int) -> NDArray[np.int64]:
    """Return ``linspace(0, last_start, count)`` rounded down, without floating point."""
    return np.arange(count, dtype=np.int64) * last_start // max(count - 1, 1)


def require_at_least(minimum: int, sampling: ClipSampling, *names: str) -> None:
    """Refuse a rule with a number that is too small.

    Raises:
        ValueError: one of the named settings is below the minimum.
    """
    for name in names:
        if getattr(sampling, name) < minimum:
            raise ValueError(f"{name} must be at least {minimum}, got {getattr(sampling, name)}")


def check_length(num_frames: int) -> None:
    """Refuse a video without frames.

    Raises:
        ValueError: there is none.
    """
    if num_frames < 1:
        raise ValueError(
            f"num_frames must be at least 1, got {num_frames}: a video without frames has no clip"
        )


def fit_stride(
    video_frames: int, clip_frames: int, stride: int, short_video: ShortVideo, *, margin: int = 0
) -> int:
    """Lower the stride until the frames span no more than the video and ``margin`` frames behind it.

    Other rules for short videos keep the stride.

    Raises:
        ValueError: the video has no frame.
    """
    check_length(video_frames)
    if short_video != "shrink_stride":
        return stride
    while stride > 1 and clip_span(clip_frames, stride) > video_frames + margin:
        stride -= 1
    return stride


def place_clips(
    starts_N: NDArray[np.int64], video_frames: int, clip_frames: int, stride: int, short_video: ShortVideo
) -> NDArray[np.int64]:
    """Return the frames (N, T) of clips with these starts; one that leaves the video counts as short."""
    frames_NT: NDArray[np.int64] = (
        starts_N[:, None] + np.arange(clip_frames, dtype=np.int64)[None, :] * stride
    )
    return frames_NT % video_frames if short_video == "loop" else np.minimum(frames_NT, video_frames - 1)
