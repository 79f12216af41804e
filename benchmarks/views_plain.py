"""Augmentation as one would write it first: the other side of benchmarks/views.py.

Both ways take the draws that unreel makes and go clip by clip, one operation after the other.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unreel.augment.blur import blur_radius
from unreel.augment.boxes import sample_random_boxes, sample_random_resized_boxes
from unreel.augment.color import LUMA, ColorDraws, sample_color
from unreel.augment.compose import ClipAugmentation
from unreel.seeding import RowGenerator

# B clips, T frames, H W pixels, C channels

ImageU8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Case:
    """What is augmented."""

    name: str
    augmentation: ClipAugmentation
    num_clips: int
    num_frames: int
    height: int
    width: int


@dataclass(frozen=True)
class Draws:
    """What happens to each clip: the draws of `ClipAugmentation.apply`, made again."""

    boxes_B4: NDArray[np.int64]
    is_flipped_B: NDArray[np.bool_]
    sigma_B: NDArray[np.float64]
    color: ColorDraws


def draw(case: Case, generator: RowGenerator) -> Draws:
    how, sizes_B2 = case.augmentation, np.tile([[case.height, case.width]], (case.num_clips, 1))
    crop, blur = generator.fork("crop"), generator.fork("blur")
    return Draws(
        sample_random_resized_boxes(sizes_B2, crop, area=how.crop_area, aspect=how.crop_aspect)
        if how.crop == "random_resized"
        else sample_random_boxes(sizes_B2, how.size_px, crop),
        generator.fork("flip").bernoulli(how.flip_prob),
        np.where(blur.bernoulli(how.blur_prob), blur.uniform(*how.blur_sigma), 0.0),
        sample_color(
            generator,
            jitter_prob=how.jitter_prob,
            brightness=how.brightness,
            contrast=how.contrast,
            saturation=how.saturation,
            hue=how.hue,
            grayscale_prob=how.grayscale_prob,
        ),
    )


def augment_with_torch(case: Case, frames_BTHWC: Tensor, generator: RowGenerator) -> Tensor:
    how, draws, clips = case.augmentation, draw(case, generator), []
    radius = blur_radius(how.blur_sigma[1], how.size_px)
    mean_C11, std_C11 = (torch.tensor(numbers).view(3, 1, 1) for numbers in (how.mean, how.std))
    for clip, (top, left, height, width) in enumerate(draws.boxes_B4):
        x = frames_BTHWC[clip].permute(0, 3, 1, 2)[:, :, top : top + height, left : left + width] / 255.0
        x = F.interpolate(x, (how.size_px, how.size_px), mode="bilinear", antialias=True)
        if draws.is_flipped_B[clip]:
            x = x.flip(3)
        if draws.sigma_B[clip] > 0:
            distance = torch.arange(-radius, radius + 1)
            taps = torch.exp(-0.5 * (distance / float(draws.sigma_B[clip])) ** 2)
            kernel = (taps / taps.sum()).expand(3, 1, 1, -1)
            padded = F.pad(x, (radius,) * 4, mode="reflect")
            x = F.conv2d(F.conv2d(padded, kernel, groups=3), kernel.mT, groups=3)
        x = change_color_with_torch(x, draws.color, clip)
        clips.append(((x.clamp(0, 1) - mean_C11) / std_C11).transpose(0, 1))
    return torch.stack(clips)


def change_color_with_torch(x: Tensor, draws: ColorDraws, clip: int) -> Tensor:
    brightness, contrast, saturation = draws.factors_B3[clip].tolist()
    luma_C11 = torch.from_numpy(LUMA).float().view(3, 1, 1)
    for operation in draws.order_B4[clip]:
        if operation == 0 and brightness != 1:
            x = x * brightness
        elif operation == 1 and contrast != 1:
            x = contrast * x + (1 - contrast) * (x * luma_C11).sum(dim=1).mean()
        elif operation == 2 and saturation != 1:
            x = saturation * x + (1 - saturation) * (x * luma_C11).sum(dim=1, keepdim=True)
        elif operation == 3 and draws.hue_B[clip] != 0:
            x = turn_hue_with_torch(x.clamp(0, 1), float(draws.hue_B[clip]))
    return (x * luma_C11).sum(dim=1, keepdim=True).expand_as(x) if draws.is_gray_B[clip] else x


def turn_hue_with_torch(x: Tensor, turns: float) -> Tensor:
    """Convert to HSV, turn, and convert back, as the definition says."""
    red, green, blue = x.unbind(1)
    value, lowest = x.amax(1), x.amin(1)
    chroma = value - lowest
    safe = torch.where(chroma == 0, 1.0, chroma)
    sector = torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe)
    sector = torch.where(value == red, (green - blue) / safe, sector)
    hue = (sector / 6 + turns) % 1.0
    places = [(number + hue * 6) % 6 for number in (5, 3, 1)]
    return torch.stack([value - chroma * torch.minimum(k, 4 - k).clamp(0, 1) for k in places], dim=1)


def augment_with_opencv(case: Case, frames_BTHWC: Tensor, generator: RowGenerator) -> Tensor:
    how, draws = case.augmentation, draw(case, generator)
    size, radius = (how.size_px, how.size_px), blur_radius(how.blur_sigma[1], how.size_px)
    mean, std = np.float32(how.mean), np.float32(how.std)
    out = np.empty((case.num_clips, 3, case.num_frames, *size), np.float32)
    for clip, (top, left, height, width) in enumerate(draws.boxes_B4):
        for number, frame in enumerate(frames_BTHWC[clip].numpy()):
            crop = frame[top : top + height, left : left + width]
            shrinks = height > how.size_px and width > how.size_px
            image = cv2.resize(crop, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
            if draws.is_flipped_B[clip]:
                image = cv2.flip(image, 1)
            if draws.sigma_B[clip] > 0:
                sides, sigma = (2 * radius + 1,) * 2, float(draws.sigma_B[clip])
                image = cv2.GaussianBlur(image, sides, sigma, borderType=cv2.BORDER_REFLECT_101)
            image = change_color_with_opencv(np.asarray(image, np.uint8), draws.color, clip)
            out[clip, :, number] = ((image.astype(np.float32) / 255 - mean) / std).transpose(2, 0, 1)
    return torch.from_numpy(out)


def change_color_with_opencv(image: ImageU8, draws: ColorDraws, clip: int) -> ImageU8:
    brightness, contrast, saturation = draws.factors_B3[clip].tolist()
    x: Any = image
    for operation in draws.order_B4[clip]:
        if operation == 0 and brightness != 1:
            x = cv2.convertScaleAbs(x, alpha=brightness)
        elif operation == 1 and contrast != 1:
            gray = (1 - contrast) * cv2.mean(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY))[0]
            x = cv2.addWeighted(x, contrast, x, 0.0, gray)
        elif operation == 2 and saturation != 1:
            gray = cv2.cvtColor(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
            x = cv2.addWeighted(x, saturation, gray, 1 - saturation, 0.0)
        elif operation == 3 and draws.hue_B[clip] != 0:
            hsv = cv2.cvtColor(x, cv2.COLOR_RGB2HSV)
            turned = (hsv[:, :, 0].astype(np.int16) + round(180 * draws.hue_B[clip])) % 180
            hsv[:, :, 0] = turned.astype(np.uint8)
            x = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    if draws.is_gray_B[clip]:
        x = cv2.cvtColor(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.asarray(x, np.uint8)
