"""What an encoder must be fed: which frames, how large, how normalised."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from unreel.augment.evaluation_views import EvaluationViews
from unreel.data.clips import ClipSampling, FramePerPart, ShortVideo, UniformClips, WholeVideo
from unreel.data.decode import FrameSize
from unreel.data.offset_clips import OffsetClips
from unreel.data.segments import SegmentFrames
from unreel.data.spaced_frames import SpacedFrames


@dataclass(frozen=True)
class InputSpec:
    """How clips are cut and prepared for an encoder; kept with its weights.

    Raises:
        ValueError: a number is out of range.
    """

    sampling: Literal["clip", "frame_per_part", "segments", "offset_clip"] = "clip"
    """"clip": frames a fixed stride apart; "frame_per_part": one frame from each equal part of a span
    (CCL); "segments": one frame from each equal segment of the video, a single clip (TSN); "offset_clip": a
    "clip" whose starts are multiples of one offset (SCVRL)."""
    num_frames: int = 16
    """Frames per clip."""
    frame_stride: int = 2
    """Distance between two frames of a "clip", in frames of the video."""
    span_frames: int = 64
    """Frames of the video that a "frame_per_part" clip covers; 0 covers the whole video."""
    short_video: ShortVideo = "shrink_stride"
    """What is done when a "clip" does not fit into its video."""
    decode_height: int = 128
    """Height to which frames are scaled, in pixels; with width 0, the length of the short side."""
    decode_width: int = 171
    """Width to which frames are scaled, in pixels; 0 keeps the aspect."""
    crop_px: int = 112
    """Side of the square that is cut from the middle."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Mean of red, green and blue, which is subtracted; pixels are in [0, 1]."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Standard deviation of red, green and blue, by which is divided."""

    def __post_init__(self) -> None:
        for name, lowest in (("num_frames", 1), ("frame_stride", 1), ("span_frames", 0), ("crop_px", 1)):
            if getattr(self, name) < lowest:
                raise ValueError(f"{name} must be at least {lowest}, got {getattr(self, name)}")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(
                f"mean and std need one number per color, std above 0; got {self.mean} and {self.std}"
            )

    @classmethod
    def from_training(
        cls,
        clips: ClipSampling,
        frame_size: FrameSize,
        crop_px: int,
        mean: tuple[float, float, float] = (0.0, 0.0, 0.0),
        std: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> "InputSpec":
        """Describe what a network saw in training.

        Args:
            clips: the rule by which training chose frames, with ``num_frames`` and ``frame_stride`` where it
                chooses clips of several. Its number of clips plays no role, nor does what random clips do in
                a short video: test clips shrink their stride there (decision A18).
            frame_size: size to which frames were decoded.
            crop_px: side of the crop that the network saw.
            mean: subtracted from every color.
            std: divides every color.

        Raises:
            ValueError: the rule takes clips of any length.
        """
        if isinstance(clips, WholeVideo):
            raise ValueError("an encoder takes clips of a certain length, got WholeVideo; take RandomClips")
        spec = cls(
            num_frames=getattr(clips, "num_frames", 1),
            frame_stride=getattr(clips, "frame_stride", 1),
            decode_height=frame_size.height,
            decode_width=frame_size.width,
            crop_px=crop_px,
            mean=mean,
            std=std,
        )
        if isinstance(clips, FramePerPart):
            return dataclasses.replace(spec, sampling="frame_per_part", span_frames=clips.span_frames)
        if isinstance(clips, UniformClips):
            return dataclasses.replace(spec, short_video=clips.short_video)
        return spec

    @property
    def frame_size(self) -> FrameSize:
        """Size to which frames are decoded."""
        return FrameSize(self.decode_height, self.decode_width)

    def build_sampling(self, clips_per_video: int) -> ClipSampling:
        """Return the rule that spreads clips evenly over a video, without chance.

        Where a clip is one frame, frames are spaced from the first to the last, whatever the other settings
        but "segments".

        Raises:
            ValueError: ``clips_per_video`` is not positive, or more than the one clip that segments make.
        """
        if clips_per_video < 1:
            raise ValueError(f"clips_per_video must be at least 1, got {clips_per_video}")
        if self.sampling == "segments":
            if clips_per_video != 1:
                raise ValueError(
                    f"clips_per_video must be 1 where a clip has a frame of every segment of the video, got "
                    f"{clips_per_video}; ask for more frames per clip instead"
                )
            return SegmentFrames(self.num_frames, jitter=False)
        if self.num_frames == 1:
            return SpacedFrames(clips_per_video)
        if self.sampling == "frame_per_part":
            return FramePerPart(clips_per_video, self.num_frames, self.span_frames, jitter=False)
        rule = OffsetClips if self.sampling == "offset_clip" else UniformClips
        return rule(clips_per_video, self.num_frames, self.frame_stride, self.short_video)

    def with_views(self, views: EvaluationViews) -> "InputSpec":
        """Return what a network must be fed to be tested by certain views; what they leave open stays.

        Raises:
            ValueError: other starts are asked for than the clips can have, or the crop is larger than frames.
        """
        sampling = self.sampling
        if views.starts == "offset" and sampling not in ("clip", "offset_clip"):
            raise ValueError(
                f'views.starts="offset" is for clips of a fixed stride, and this network takes {sampling!r}; '
                'use "even"'
            )
        if sampling in ("clip", "offset_clip"):
            sampling = "offset_clip" if views.starts == "offset" else "clip"
        height, width = (
            (views.height, views.width) if views.height else (self.decode_height, self.decode_width)
        )
        crop_px = views.crop_px or self.crop_px
        shortest = min(height, width or height)
        if (views.crop_px or views.height) and crop_px > shortest:
            raise ValueError(
                f"a crop of {crop_px} pixels does not fit into frames whose short side is {shortest}; give a "
                "smaller views.crop_px, or a larger views.height"
            )
        return dataclasses.replace(
            self,
            sampling=sampling,
            num_frames=views.num_frames or self.num_frames,
            decode_height=height,
            decode_width=width,
            crop_px=crop_px,
        )
