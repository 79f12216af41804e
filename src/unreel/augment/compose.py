"""The augmentation of a clip: what may happen, how strongly, how often."""

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unreel.augment.blur import blur_radius, gaussian_taps
from unreel.augment.boxes import center_boxes, sample_random_boxes, sample_random_resized_boxes
from unreel.augment.color import ColorMap, compose_color, sample_color
from unreel.augment.inputs import check_frames
from unreel.augment.multi_scale import NumPlaces, sample_multi_scale_boxes
from unreel.augment.render import Resampler, render_clips
from unreel.augment.spatial import AxisMap
from unreel.config import ADDED_LATER
from unreel.seeding import RowGenerator

# B clips, T frames, H W pixels, C channels

Crop = Literal["random_resized", "random", "center", "multi_scale"]
"""Which part of a picture is kept; see `ClipAugmentation`."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of red, green and blue over ImageNet, on the scale [0, 1]."""
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Their standard deviation."""


@dataclass(frozen=True)
class ClipAugmentation:
    """Crop, resize, flip, blur, change colours and normalise; one draw per clip, all its frames alike.

    The order is crop and resize, flip, blur, then brightness, contrast, saturation and hue in an order
    drawn per clip, grayscale, clamp to [0, 1], normalise. The papers blur after the colours; a blur
    commutes with every linear change of colour, so the two orders differ only where a clamp or a hue shift
    acts. Contrast turns about the mean luma of the clip, not of each frame, so that a flash stays a flash.

    Raises:
        ValueError: a setting is outside its range.
    """

    crop: Crop = "random"
    """Which part of the picture is kept: a box of random area and aspect ratio, a square of ``size_px`` at a
    random place, the square in the middle, or a box of one of a few sizes at one of a few places (TSN). A
    picture smaller than the square is scaled up to it."""
    size_px: int = 112
    """Height and width of the result in pixels."""
    crop_area: tuple[float, float] = (0.2, 1.0)
    """Smallest and largest share of the picture that a ``random_resized`` crop keeps."""
    crop_aspect: tuple[float, float] = (0.75, 4.0 / 3.0)
    """Smallest and largest width divided by height of a ``random_resized`` crop."""
    crop_scales: tuple[float, ...] = field(default=(1.0, 0.875, 0.75, 0.66), metadata=ADDED_LATER)
    """Shares of the short side that height and width of a ``multi_scale`` crop may be, the largest first;
    the two are neighbours here, or the same."""
    crop_places: NumPlaces = field(default=5, metadata=ADDED_LATER)
    """Places that a ``multi_scale`` crop may have: corners and middle, or eight more between them."""
    flip_prob: float = 0.5
    """Probability of mirroring left and right."""
    jitter_prob: float = 0.8
    """Probability of changing brightness, contrast, saturation and hue."""
    brightness: float = 0.4
    """Brightness is multiplied by a factor between 1 minus and 1 plus this."""
    contrast: float = 0.4
    """Contrast is multiplied by a factor between 1 minus and 1 plus this."""
    saturation: float = 0.4
    """Saturation is multiplied by a factor between 1 minus and 1 plus this."""
    hue: float = 0.1
    """Hue is turned by at most this share of the colour circle, 0.5 being half of it."""
    grayscale_prob: float = 0.2
    """Probability of taking all colour away."""
    blur_prob: float = 0.5
    """Probability of a Gaussian blur."""
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    """Smallest and largest standard deviation of the blur, in pixels of the result."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Subtracted from red, green and blue on the scale [0, 1]."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Divides red, green and blue after the mean is subtracted."""

    @classmethod
    def only_crop(
        cls,
        size_px: int,
        *,
        mean: tuple[float, float, float] = (0.0, 0.0, 0.0),
        std: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> "ClipAugmentation":
        """Return an augmentation that cuts a square at a random place, normalises it and does nothing else.

        Args:
            size_px: side of the square.
            mean: subtracted from red, green and blue.
            std: divides them.
        """
        return cls(
            crop="random",
            size_px=size_px,
            flip_prob=0.0,
            jitter_prob=0.0,
            grayscale_prob=0.0,
            blur_prob=0.0,
            mean=mean,
            std=std,
        )

    def __post_init__(self) -> None:
        if self.crop not in get_args(Crop):
            raise ValueError(f"crop must be one of {get_args(Crop)}, got {self.crop!r}")
        bounds = (1.0, *self.crop_scales)
        if not self.crop_scales or not all(0.0 < small <= large for large, small in pairwise(bounds)):
            raise ValueError(
                "crop_scales must be shares of the short side, above 0 and at most 1, the largest first, got "
                f"{self.crop_scales}"
            )
        if self.crop_places not in get_args(NumPlaces):
            raise ValueError(f"crop_places must be 5 or 13, got {self.crop_places!r}")
        if self.size_px < 1:
            raise ValueError(f"size_px must be at least 1 pixel, got {self.size_px}")
        for name in ("flip_prob", "jitter_prob", "grayscale_prob", "blur_prob"):
            _check_between(name, getattr(self, name), 0.0, 1.0, "a probability")
        for name in ("brightness", "contrast", "saturation"):
            _check_between(name, getattr(self, name), 0.0, math.inf, "a strength; 0 turns it off")
        _check_between("hue", self.hue, 0.0, 0.5, "a share of the colour circle; 0 turns it off")
        _check_range("crop_area", self.crop_area, 1.0)
        _check_range("crop_aspect", self.crop_aspect, math.inf)
        _check_range("blur_sigma", self.blur_sigma, math.inf)
        if len(self.mean) != 3 or not all(math.isfinite(value) for value in self.mean):
            raise ValueError(f"mean must be three numbers, red, green and blue, got {self.mean}")
        if len(self.std) != 3 or not all(0.0 < value < math.inf for value in self.std):
            raise ValueError(f"std must be three positive numbers, red, green and blue, got {self.std}")

    def apply(
        self, frames_BTHWC: Tensor, generator: RowGenerator, *, sizes_B2: Tensor | None = None
    ) -> Tensor:
        """Augment a batch of clips on the device where it lies.

        What happens to a clip depends on its own stream alone, not on the rest of the batch, and each kind
        of change has a stream of its own: turning one off leaves the others as they were. The generator
        itself does not advance, so two views need two generators, such as ``generator.fork("query")`` and
        ``generator.fork("key")``.

        Args:
            frames_BTHWC: uint8 RGB; a single image is a clip with T = 1.
            generator: one stream per clip.
            sizes_B2: height and width of the part of each clip that is picture; everything below and right
                of it is padding and never seen. All of it is picture when None.

        Returns:
            Float32 (B, C, T, size_px, size_px), ``(x - mean) / std`` with x in [0, 1], without gradient.

        Raises:
            ValueError: the frames are not uint8 RGB clips, or streams or sizes do not fit them.
        """
        sizes = check_frames(frames_BTHWC, sizes_B2)
        if generator.num_rows != len(frames_BTHWC):
            raise ValueError(
                f"generator has {generator.num_rows} streams for {len(frames_BTHWC)} clips; "
                "give it one key per clip"
            )
        return render_clips(
            frames_BTHWC,
            self._sample_resampler(sizes, generator),
            self._sample_color(generator),
            mean=self.mean,
            std=self.std,
            size_px=self.size_px,
        )

    def _sample_resampler(self, sizes_B2: NDArray[np.int64], generator: RowGenerator) -> Resampler:
        top_B, left_B, height_B, width_B = self._sample_boxes(sizes_B2, generator.fork("crop")).T
        is_flipped_B = generator.fork("flip").bernoulli(self.flip_prob)
        blur = generator.fork("blur")
        is_blurred_B = blur.bernoulli(self.blur_prob)
        sigma_B = np.where(is_blurred_B, blur.uniform(*self.blur_sigma), 0.0)
        radius = blur_radius(self.blur_sigma[1], self.size_px)
        return Resampler(
            rows=AxisMap.stretch(top_B, height_B, self.size_px, np.zeros_like(is_flipped_B)),
            cols=AxisMap.stretch(left_B, width_B, self.size_px, is_flipped_B),
            size_px=self.size_px,
            taps_BK=gaussian_taps(sigma_B, radius) if is_blurred_B.any() else None,
        )

    def _sample_boxes(self, sizes_B2: NDArray[np.int64], generator: RowGenerator) -> NDArray[np.int64]:
        if self.crop == "random_resized":
            return sample_random_resized_boxes(
                sizes_B2, generator, area=self.crop_area, aspect=self.crop_aspect
            )
        if self.crop == "multi_scale":
            return sample_multi_scale_boxes(
                sizes_B2, generator, scales=self.crop_scales, num_places=self.crop_places
            )
        if self.crop == "random":
            return sample_random_boxes(sizes_B2, self.size_px, generator)
        return center_boxes(sizes_B2, self.size_px)

    def _sample_color(self, generator: RowGenerator) -> ColorMap:
        draws = sample_color(
            generator,
            jitter_prob=self.jitter_prob,
            brightness=self.brightness,
            contrast=self.contrast,
            saturation=self.saturation,
            hue=self.hue,
            grayscale_prob=self.grayscale_prob,
        )
        return compose_color(draws)


def _check_between(name: str, value: float, low: float, high: float, meaning: str) -> None:
    if not low <= value <= high or math.isinf(value):
        raise ValueError(f"{name} must lie in [{low:g}, {high:g}], got {value}; it is {meaning}")


def _check_range(name: str, limits: tuple[float, float], largest: float) -> None:
    if len(limits) != 2 or not 0.0 < limits[0] <= limits[1] <= largest or math.isinf(limits[1]):
        bound = "" if math.isinf(largest) else f" of at most {largest:g}"
        raise ValueError(f"{name} must be two positive numbers{bound}, the smaller first, got {limits}")
