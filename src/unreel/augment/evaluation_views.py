"""How a video is shown to a network that is tested: how many clips, which crops, what is averaged."""

from dataclasses import dataclass
from typing import Literal

from unreel.augment.views import CropLayout

Average = Literal["logits", "probabilities"]
"""What is averaged over the views of a video: scores as they are, or what softmax makes of each view's."""

Starts = Literal["even", "offset"]
"""Where clips start: "even" spaces them from the first that fits to the last; "offset" by one and the same
whole number of frames, as SCVRL's tests do."""


_MOST_CLIPS, _MOST_FRAMES, _LARGEST_PX = 1000, 10_000, 8192
"""Beyond these a file is damaged or a number mistyped: a single video would fill the memory."""


@dataclass(frozen=True)
class EvaluationViews:
    """The views of a test video; 0 leaves a size as it was in training.

    Raises:
        ValueError: a number is out of range.
    """

    clips: int = 10
    """Clips per video; 1 where a clip has a frame of every segment of the video."""
    num_frames: int = 0
    """Frames per clip."""
    crops: CropLayout = "center"
    """Crops of every clip: the center; three along the long side; or ten: corners and center, each mirrored
    too."""
    crop_px: int = 0
    """Side of the crops, in pixels."""
    height: int = 0
    """Height to which frames are scaled, in pixels; with width 0, the length of the short side."""
    width: int = 0
    """Width to which frames are scaled, in pixels; 0 keeps the aspect where there is a height."""
    average: Average = "probabilities"
    """What is averaged over clips and crops: logits, or probabilities after softmax."""
    starts: Starts = "even"
    """Where clips of a fixed stride start: evenly spaced, or at multiples of one offset (SCVRL)."""

    def __post_init__(self) -> None:
        if not 1 <= self.clips <= _MOST_CLIPS:
            raise ValueError(f"views.clips must be between 1 and {_MOST_CLIPS}, got {self.clips}")
        for name, most in (
            ("num_frames", _MOST_FRAMES),
            ("crop_px", _LARGEST_PX),
            ("height", _LARGEST_PX),
            ("width", _LARGEST_PX),
        ):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(
                    f"views.{name} must not be negative and at most {most}, got {getattr(self, name)}; 0 is "
                    "as in training"
                )
        if self.width and not self.height:
            raise ValueError(f"views.width={self.width} needs views.height, or leave both 0 as in training")

    @property
    def num_crops(self) -> int:
        """R, crops per clip."""
        return {"center": 1, "three": 3, "ten": 10}[self.crops]

    def describe(self) -> str:
        """Say it in words, such as ``10 clips x 3 crops, probabilities averaged``."""
        clips = "1 clip" if self.clips == 1 else f"{self.clips} clips"
        crops = "center crop" if self.crops == "center" else f"{self.num_crops} crops"
        return f"{clips} x {crops}, {self.average} averaged"
