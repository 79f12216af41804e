"""Brightness, contrast, saturation, hue and grayscale, drawn once per clip.

All but hue are linear: a pixel ``x`` becomes ``M x + A mean + t``, where ``mean`` is the mean colour of the
clip (contrast turns about its luma). Maps of this form compose to one of the same form, so whatever comes
before the hue shift is one 3 x 7 matrix and whatever comes after it another. Values are clamped to [0, 1]
before the hue shift and at the end, not after each operation.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.seeding import RowGenerator

# B clips, N pixels of all frames, 3 colours; F64 arrays live on the CPU

F64 = NDArray[np.float64]

LUMA = np.array([0.299, 0.587, 0.114])
"""Share of red, green and blue in the brightness that the eye sees (ITU-R BT.601)."""

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)


@dataclass(frozen=True)
class ColorDraws:
    """What happens to the colours of each clip.

    Attributes:
        factors_B3: brightness, contrast, saturation; 1 changes nothing.
        hue_B: shift in turns of the colour circle, in [-0.5, 0.5]; 0 changes nothing.
        order_B4: a permutation of `BRIGHTNESS`, `CONTRAST`, `SATURATION`, `HUE`.
        is_gray_B: whether colour is taken away in the end.
    """

    factors_B3: F64
    hue_B: F64
    order_B4: NDArray[np.int64]
    is_gray_B: NDArray[np.bool_]


@dataclass(frozen=True)
class ColorMap:
    """The maps of each clip, before and after its hue shift; for values in [0, 1].

    Attributes:
        before_B37: ``[M | A | t]``; the identity where there is no hue shift.
        hue_B: as in `ColorDraws`.
        after_B37: ``[M | A | t]``.
    """

    before_B37: F64
    hue_B: F64
    after_B37: F64

    @classmethod
    def identity(cls, num_clips: int) -> "ColorMap":
        """Return the maps that change nothing."""
        identity_B37 = np.tile(np.eye(3, 7), (num_clips, 1, 1))
        return cls(identity_B37, np.zeros(num_clips), identity_B37)

    def __getitem__(self, clips: slice) -> "ColorMap":
        return ColorMap(self.before_B37[clips], self.hue_B[clips], self.after_B37[clips])


def sample_color(
    generator: RowGenerator,
    *,
    jitter_prob: float,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
    grayscale_prob: float,
) -> ColorDraws:
    """Sample colour changes, each purpose from its own stream.

    Args:
        generator: one stream per clip.
        jitter_prob: probability that brightness, contrast, saturation and hue change at all.
        brightness: factors are uniform in ``[max(0, 1 - brightness), 1 + brightness]``.
        contrast: likewise.
        saturation: likewise.
        hue: shifts are uniform in ``[-hue, hue]`` turns.
        grayscale_prob: probability that colour is taken away.
    """
    is_jittered_B = generator.fork("jitter").bernoulli(jitter_prob)
    strengths = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
    factors = [
        generator.fork(name).uniform(max(0.0, 1.0 - width), 1.0 + width) for name, width in strengths.items()
    ]
    return ColorDraws(
        factors_B3=np.where(is_jittered_B[:, None], np.stack(factors, axis=1), 1.0),
        hue_B=np.where(is_jittered_B, generator.fork("hue").uniform(-hue, hue), 0.0),
        order_B4=generator.fork("jitter order").permutations(4),
        is_gray_B=generator.fork("grayscale").bernoulli(grayscale_prob),
    )


def compose_color(draws: ColorDraws) -> ColorMap:
    """Multiply each clip's operations, in its order, into the maps before and after the hue shift."""
    num_clips = len(draws.hue_B)
    identity_B37 = np.tile(np.eye(3, 7), (num_clips, 1, 1))
    before_B37, current_B37 = identity_B37, identity_B37
    for operation_B in draws.order_B4.T:
        is_split_B = (operation_B == HUE) & (draws.hue_B != 0)
        before_B37 = np.where(is_split_B[:, None, None], current_B37, before_B37)
        current_B37 = np.where(is_split_B[:, None, None], identity_B37, current_B37)
        current_B37 = follow_map(current_B37, *_operation(draws, operation_B))
    gray_B33 = _blend_with_luma(np.where(draws.is_gray_B, 0.0, 1.0))
    return ColorMap(before_B37, draws.hue_B, follow_map(current_B37, gray_B33, np.zeros_like(gray_B33)))


def _operation(draws: ColorDraws, operation_B: NDArray[np.int64]) -> tuple[F64, F64]:
    """Return each clip's operation as ``x -> P x + Q mean``; the identity for hue."""
    brightness_B, contrast_B, saturation_B = (
        np.where(operation_B == which, draws.factors_B3[:, which], 1.0)
        for which in (BRIGHTNESS, CONTRAST, SATURATION)
    )
    pixel_B33 = _blend_with_luma(saturation_B) * (brightness_B * contrast_B)[:, None, None]
    mean_B33 = np.broadcast_to(LUMA, (3, 3)) * (1.0 - contrast_B)[:, None, None]
    return pixel_B33, mean_B33


def _blend_with_luma(share_B: F64) -> F64:
    """Return the matrices of ``share * x + (1 - share) * luma(x)``."""
    share_B11 = share_B[:, None, None]
    blend_B33: F64 = share_B11 * np.eye(3) + (1.0 - share_B11) * np.broadcast_to(LUMA, (3, 3))
    return blend_B33


def follow_map(map_B37: F64, pixel_B33: F64, mean_B33: F64) -> F64:
    """Return the maps that first do ``map`` and then ``x -> P x + Q mean``.

    After ``M x + A mean + t`` the mean colour of the clip is ``(M + A) mean + t``.

    Args:
        map_B37: the maps ``[M | A | t]`` that come first.
        pixel_B33: the matrices P.
        mean_B33: the matrices Q.
    """
    matrix, mean, constant = map_B37[:, :, :3], map_B37[:, :, 3:6], map_B37[:, :, 6:]
    return np.concatenate(
        [
            pixel_B33 @ matrix,
            pixel_B33 @ mean + mean_B33 @ (matrix + mean),
            (pixel_B33 + mean_B33) @ constant,
        ],
        axis=2,
    )


def fit_to_bytes(color: ColorMap, *, mean: tuple[float, ...], std: tuple[float, ...]) -> ColorMap:
    """Let the maps start from values in [0, 255] and end with the normalisation ``(x - mean) / std``."""
    from_bytes_7 = np.array([1.0 / 255.0] * 6 + [1.0])
    is_first_B = (color.hue_B == 0)[:, None, None]
    after_B37 = np.where(is_first_B, color.after_B37 * from_bytes_7, color.after_B37)
    after_B37[:, :, 6] -= np.array(mean)
    return ColorMap(color.before_B37 * from_bytes_7, color.hue_B, after_B37 / np.array(std)[:, None])


def apply_color(pixels_B3N: Tensor, color: ColorMap, out_B3N: Tensor) -> None:
    """Apply the maps and the hue shift; values are clamped to [0, 1] before a hue shift and not after.

    Args:
        pixels_B3N: float32, contiguous; all pixels of all frames of a clip. Overwritten.
        color: maps that start from the scale of the pixels, one row per clip.
        out_B3N: receives the result.
    """
    is_shifted_B = color.hue_B != 0
    if is_shifted_B.any():
        which = np.flatnonzero(is_shifted_B)
        which_on_device = torch.from_numpy(which).to(pixels_B3N.device, non_blocking=True)
        part_B3N = pixels_B3N if is_shifted_B.all() else pixels_B3N[which_on_device]
        part_B3N = apply_map(part_B3N, color.before_B37[which]).clamp_(0.0, 1.0)
        part_B3N = shift_hue(part_B3N, color.hue_B[which])
        pixels_B3N = part_B3N if is_shifted_B.all() else pixels_B3N.index_copy_(0, which_on_device, part_B3N)
    apply_map(pixels_B3N, color.after_B37, out_B3N)


def apply_map(pixels_B3N: Tensor, map_B37: F64, out_B3N: Tensor | None = None) -> Tensor:
    """Map every pixel of each clip: ``M x + A mean + t``.

    Args:
        pixels_B3N: float32, contiguous; all pixels of all frames of a clip.
        map_B37: one map per clip, on the CPU.
        out_B3N: where the result goes; a new tensor when None.
    """
    uploaded_B37 = torch.from_numpy(map_B37.astype(np.float32)).to(pixels_B3N.device, non_blocking=True)
    matrix_B33, mean_B33 = uploaded_B37[:, :, :3], uploaded_B37[:, :, 3:6]
    constant_B31 = uploaded_B37[:, :, 6:]
    if map_B37[:, :, 3:6].any():
        constant_B31 = torch.baddbmm(constant_B31, mean_B33, pixels_B3N.mean(dim=2, keepdim=True))
    if out_B3N is None:
        out_B3N = torch.empty_like(pixels_B3N)
    return torch.baddbmm(constant_B31, matrix_B33, pixels_B3N, out=out_B3N)


def shift_hue(pixels_B3N: Tensor, hue_B: F64) -> Tensor:
    """Turn the hue of every pixel, keeping value and saturation in the HSV sense.

    The arithmetic is that of RGB to HSV and back, with the hue angle multiplied by the chroma ``c = max -
    min``: measured in sixths of a turn it lies in [0, 6c), nothing is divided and grey needs no case of its
    own.

    Args:
        pixels_B3N: float32 in [0, 1].
        hue_B: shifts in turns, on the CPU.

    Returns:
        A new tensor, in [0, 1].
    """
    turn_B1 = torch.from_numpy((6.0 * (hue_B % 1.0)).astype(np.float32)).to(
        pixels_B3N.device, non_blocking=True
    )[:, None]
    red, green, blue = pixels_B3N.unbind(1)
    is_blue_above = torch.empty_like(red)
    torch.lt(green, blue, out=is_blue_above)
    upper, lower = torch.maximum(green, blue), torch.minimum(green, blue)
    is_red_below = torch.empty_like(red)
    torch.lt(red, upper, out=is_red_below)
    value, middle = torch.maximum(red, upper), torch.minimum(red, upper)
    lowest = torch.minimum(middle, lower)
    chroma = value - lowest
    # sector: 0 (red, then green), -6 (red, then blue), -2 (green on top), 4 (blue on top)
    sector = is_red_below.mul_(is_blue_above.mul(12.0).sub_(2.0)).sub_(is_blue_above, alpha=6.0)
    angle = sector.mul_(chroma).add_(middle).sub_(lower).abs_().addcmul_(chroma, turn_B1.expand_as(chroma))
    circle = chroma * 6.0
    torch.ge(angle, circle, out=is_blue_above)
    angle.addcmul_(is_blue_above, circle, value=-1.0)
    out_B3N = torch.empty_like(pixels_B3N)
    out_red, out_green, out_blue = out_B3N.unbind(1)
    torch.sub(angle, chroma, alpha=3.0, out=out_red).abs_().sub_(chroma)
    torch.sub(angle, chroma, alpha=2.0, out=out_green).abs_().neg_().add_(chroma, alpha=2.0)
    torch.sub(angle, chroma, alpha=4.0, out=out_blue).abs_().neg_().add_(chroma, alpha=2.0)
    for channel in (out_red, out_green, out_blue):
        torch.minimum(channel.clamp_(min=0.0), chroma, out=channel).add_(lowest)
    return out_B3N
