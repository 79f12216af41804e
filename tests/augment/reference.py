"""The operations frame by frame and pixel by pixel, as slow and as plain as can be."""

import colorsys
import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unreel.augment.color import ColorDraws

Image = NDArray[np.float64]  # H W C, values in [0, 1]


def random_frames(seed: int, *shape: int) -> Tensor:
    """Return uint8 noise whose colours differ between clips and frames."""
    generator = torch.Generator().manual_seed(seed)
    shift = torch.randint(0, 128, (*shape[:2], 1, 1, shape[4]), generator=generator)
    return (torch.randint(0, 128, shape, generator=generator) + shift).to(torch.uint8)


def crop_resize_flip(frame_HWC: Tensor, box: Any, size_px: int, *, is_flipped: bool) -> Image:
    """Crop one frame, scale the crop with torch's antialiased interpolation, mirror the result."""
    top, left, height, width = (int(number) for number in box)
    crop = frame_HWC[top : top + height, left : left + width].permute(2, 0, 1)[None].to(torch.float64) / 255.0
    resized = F.interpolate(
        crop, size=(size_px, size_px), mode="bilinear", antialias=True, align_corners=False
    )
    image = resized[0].permute(1, 2, 0).numpy()
    return image[:, ::-1].copy() if is_flipped else image


def blur(image: Image, sigma: float, radius: int) -> Image:
    """Blur one image with a Gaussian kernel, reflecting at the borders, pixel by pixel."""
    if sigma == 0:
        return image
    kernel = [math.exp(-(k**2) / (2 * sigma**2)) for k in range(-radius, radius + 1)]
    total = sum(kernel)
    padded = np.pad(image, ((radius, radius), (radius, radius), (0, 0)), mode="reflect")
    blurred = np.zeros_like(image)
    for dy, weight_y in enumerate(kernel):
        for dx, weight_x in enumerate(kernel):
            part = padded[dy : dy + image.shape[0], dx : dx + image.shape[1]]
            blurred += weight_y * weight_x / total**2 * part
    return blurred


def luma(pixel: Image) -> float:
    """Return the brightness of one pixel."""
    return float(0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2])


def change_color(clip_THWC: Image, draws: ColorDraws, clip: int) -> Image:
    """Apply one clip's colour changes, operation by operation, without clamping at the end."""
    pixels = clip_THWC.reshape(-1, 3)
    brightness, contrast, saturation = draws.factors_B3[clip]
    hue = float(draws.hue_B[clip])
    for operation in draws.order_B4[clip]:
        if operation == 0:
            pixels = pixels * brightness
        elif operation == 1:
            pivot = sum(luma(pixel) for pixel in pixels) / len(pixels)
            pixels = contrast * pixels + (1 - contrast) * pivot
        elif operation == 2:
            pixels = np.array([saturation * pixel + (1 - saturation) * luma(pixel) for pixel in pixels])
        elif hue != 0:
            pixels = np.array([turn_hue(pixel, hue) for pixel in pixels.clip(0, 1)])
    if draws.is_gray_B[clip]:
        pixels = np.array([[luma(pixel)] * 3 for pixel in pixels])
    return pixels.reshape(clip_THWC.shape)


def turn_hue(pixel: Image, turns: float) -> tuple[float, float, float]:
    """Turn the hue of one pixel with Python's own colour conversions."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(float(channel) for channel in pixel))
    return colorsys.hsv_to_rgb((hue + turns) % 1.0, saturation, value)
