"""The whole augmentation: right for every frame, alike over time, repeatable, refusing nonsense."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.augment import reference
from unreel.augment.blur import blur_radius
from unreel.augment.boxes import center_boxes, sample_random_boxes, sample_random_resized_boxes
from unreel.augment.color import sample_color
from unreel.augment.compose import ClipAugmentation
from unreel.augment.multi_scale import sample_multi_scale_boxes
from unreel.config import hash_config
from unreel.seeding import RowGenerator

EVERYTHING = ClipAugmentation(
    crop="random_resized",
    size_px=10,
    jitter_prob=0.8,
    hue=0.3,
    grayscale_prob=0.3,
    blur_prob=0.6,
    mean=(0.4, 0.5, 0.6),
    std=(0.2, 0.3, 0.4),
)
NOTHING = ClipAugmentation(
    crop="center", size_px=16, flip_prob=0.0, jitter_prob=0.0, grayscale_prob=0.0, blur_prob=0.0
)


def augment_frame_by_frame(
    settings_: ClipAugmentation, frames: Tensor, keys: Sequence[int], sizes: Any
) -> np.ndarray:
    """Draw as documented, purpose by purpose, then treat every frame on its own."""
    generator = RowGenerator(keys)
    laws = {
        "random_resized": lambda: sample_random_resized_boxes(
            sizes, generator.fork("crop"), area=settings_.crop_area, aspect=settings_.crop_aspect
        ),
        "random": lambda: sample_random_boxes(sizes, settings_.size_px, generator.fork("crop")),
        "center": lambda: center_boxes(sizes, settings_.size_px),
        "multi_scale": lambda: sample_multi_scale_boxes(
            sizes, generator.fork("crop"), scales=settings_.crop_scales, num_places=settings_.crop_places
        ),
    }
    boxes = laws[settings_.crop]()
    is_flipped = generator.fork("flip").bernoulli(settings_.flip_prob)
    blur = generator.fork("blur")
    is_blurred, sigma = blur.bernoulli(settings_.blur_prob), blur.uniform(*settings_.blur_sigma)
    names = ("jitter_prob", "brightness", "contrast", "saturation", "hue", "grayscale_prob")
    colors = sample_color(generator, **{name: getattr(settings_, name) for name in names})
    radius = blur_radius(settings_.blur_sigma[1], settings_.size_px)
    clips = []
    for clip in range(len(frames)):
        images = [
            reference.crop_resize_flip(frame, boxes[clip], settings_.size_px, is_flipped=is_flipped[clip])
            for frame in frames[clip]
        ]
        images = [reference.blur(image, sigma[clip] if is_blurred[clip] else 0.0, radius) for image in images]
        pixels = reference.change_color(np.stack(images), colors, clip).clip(0, 1)
        clips.append((pixels - np.array(settings_.mean)) / np.array(settings_.std))
    return np.stack(clips).transpose(0, 4, 1, 2, 3)


@settings(max_examples=12)
@given(
    crop=st.sampled_from(["random_resized", "random", "center", "multi_scale"]),
    height=st.integers(6, 24),
    width=st.integers(6, 24),
    first_key=st.integers(0, 10_000),
)
@example(crop="multi_scale", height=24, width=20, first_key=3)
@example(crop="multi_scale", height=17, width=23, first_key=6)
def test_every_frame_is_as_if_it_were_augmented_on_its_own(
    crop: Any, height: int, width: int, first_key: int
) -> None:
    augmentation = dataclasses.replace(EVERYTHING, crop=crop, crop_scales=(0.9, 0.5), crop_places=13)
    frames = reference.random_frames(first_key, 3, 2, height, width, 3)
    keys = [first_key, first_key + 1, first_key + 2]
    sizes = np.array([[height, width], [height, 5], [4, width]])
    out = augmentation.apply(frames, RowGenerator(keys), sizes_B2=torch.from_numpy(sizes))
    assert out.shape == (3, 3, 2, 10, 10)
    assert out.dtype == torch.float32
    assert out.is_contiguous()
    np.testing.assert_allclose(out, augment_frame_by_frame(augmentation, frames, keys, sizes), atol=3e-4)


def test_with_everything_off_the_centre_is_returned_as_it_is() -> None:
    frames = reference.random_frames(0, 2, 3, 20, 30, 3)
    expected = frames[:, :, 2:18, 7:23].permute(0, 4, 1, 2, 3) / 255
    torch.testing.assert_close(NOTHING.apply(frames, RowGenerator([1, 2])), expected, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("crop", ["random_resized", "random", "center", "multi_scale"])
def test_a_clip_that_stands_still_stays_still(crop: Any) -> None:
    picture = reference.random_frames(1, 8, 1, 24, 30, 3)
    out = dataclasses.replace(EVERYTHING, crop=crop).apply(
        picture.expand(8, 5, 24, 30, 3), RowGenerator(range(8))
    )
    torch.testing.assert_close(out, out[:, :, :1].expand_as(out), atol=1e-5, rtol=0)
    assert out.std() > 0.1


@pytest.mark.parametrize("crop", ["random_resized", "random", "multi_scale"])
def test_a_clip_is_augmented_alike_whatever_batch_it_is_in(crop: Any) -> None:
    augmentation = dataclasses.replace(EVERYTHING, crop=crop)
    frames = reference.random_frames(2, 6, 2, 24, 30, 3)
    together = augmentation.apply(frames, RowGenerator(range(6)))
    order = [4, 1, 3]
    shuffled = augmentation.apply(frames[order], RowGenerator(order))
    assert torch.equal(shuffled, together[order])
    for clip in range(6):
        assert torch.equal(
            augmentation.apply(frames[clip : clip + 1], RowGenerator([clip]))[0], together[clip]
        )


def test_padding_around_a_clip_changes_nothing() -> None:
    frames = reference.random_frames(3, 4, 2, 17, 23, 3)
    padded = torch.full((4, 2, 31, 40, 3), 255, dtype=torch.uint8)
    padded[:, :, :17, :23] = frames
    for crop in ("random_resized", "random", "center", "multi_scale"):
        augmentation = dataclasses.replace(EVERYTHING, crop=crop)
        alone = augmentation.apply(frames, RowGenerator(range(4)))
        inside = augmentation.apply(padded, RowGenerator(range(4)), sizes_B2=torch.tensor([[17, 23]] * 4))
        torch.testing.assert_close(inside, alone, atol=1e-5, rtol=0)


def test_two_runs_agree_to_the_bit_and_other_keys_differ() -> None:
    frames = reference.random_frames(4, 4, 2, 24, 30, 3)
    first = EVERYTHING.apply(frames, RowGenerator([1, 2, 3, 4]))
    assert torch.equal(EVERYTHING.apply(frames, RowGenerator([1, 2, 3, 4])), first)
    other = EVERYTHING.apply(frames, RowGenerator([5, 6, 7, 8]))
    assert all(not torch.equal(one, two) for one, two in zip(first, other, strict=True))


def test_the_generator_does_not_advance() -> None:
    generator = RowGenerator([1, 2])
    EVERYTHING.apply(reference.random_frames(5, 2, 1, 12, 12, 3), generator)
    assert generator.uniform().tolist() == RowGenerator([1, 2]).uniform().tolist()


@pytest.mark.parametrize(
    "off",
    [{"jitter_prob": 0.0}, {"grayscale_prob": 0.0}, {"blur_prob": 0.0}, {"hue": 0.0}, {"contrast": 0.0}],
)
def test_turning_one_change_off_leaves_the_place_of_the_crop(off: dict[str, float]) -> None:
    # A ramp to the right: where each pixel came from can be read from its order, whatever the colours.
    ramp = torch.arange(40, dtype=torch.uint8).view(1, 1, 1, 40, 1).expand(6, 1, 40, 40, 3).contiguous()
    without_color = {"jitter_prob": 0.0, "grayscale_prob": 0.0, "blur_prob": 0.0}
    base = ClipAugmentation(size_px=16, crop="random_resized")
    bare = dataclasses.replace(base, **without_color).apply(ramp, RowGenerator(range(6)))
    only_off = dataclasses.replace(base, **(without_color | off)).apply(ramp, RowGenerator(range(6)))
    assert torch.equal(bare, only_off)
    rest = dataclasses.replace(base, **off).apply(ramp, RowGenerator(range(6)))
    direction = (bare[..., -1] - bare[..., 0]).mean(dim=(1, 2, 3)).sign()
    assert torch.equal((rest[..., -1] - rest[..., 0]).mean(dim=(1, 2, 3)).sign(), direction)


def test_clips_are_mirrored_as_often_as_asked() -> None:
    ramp = torch.arange(2, dtype=torch.uint8).view(1, 1, 1, 2, 1).expand(4000, 1, 2, 2, 3)
    augmentation = dataclasses.replace(NOTHING, size_px=2, flip_prob=0.3)
    out = augmentation.apply(ramp, RowGenerator(range(4000)))
    is_mirrored = out[:, 0, 0, 0, 0] > out[:, 0, 0, 0, 1]
    assert is_mirrored.float().mean().item() == pytest.approx(0.3, abs=0.03)  # standard deviation 0.007


def test_clips_are_blurred_as_often_as_asked() -> None:
    dot = torch.zeros(2000, 1, 9, 9, 3, dtype=torch.uint8)
    dot[:, :, 4, 4] = 255
    augmentation = dataclasses.replace(NOTHING, size_px=9, blur_prob=0.4, blur_sigma=(0.5, 2.0))
    out = augmentation.apply(dot, RowGenerator(range(2000)))
    is_blurred = out[:, 0, 0, 4, 4] < 0.99
    assert is_blurred.float().mean().item() == pytest.approx(0.4, abs=0.05)  # standard deviation 0.011
    # Nothing is lost except what the border reflects: the dot is in the middle and the radius 6 is cut at 6.
    torch.testing.assert_close(
        out[~is_blurred].sum(dim=(1, 2, 3, 4)), torch.full((int((~is_blurred).sum()),), 3.0)
    )


def test_grey_clips_have_three_equal_channels() -> None:
    augmentation = dataclasses.replace(EVERYTHING, grayscale_prob=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    out = augmentation.apply(reference.random_frames(6, 8, 1, 16, 16, 3), RowGenerator(range(8)))
    torch.testing.assert_close(out[:, 0], out[:, 1])
    torch.testing.assert_close(out[:, 1], out[:, 2])


@settings(max_examples=15)
@given(first_key=st.integers(0, 1000), strength=st.floats(0.0, 5.0))
def test_values_stay_in_range(first_key: int, strength: float) -> None:
    augmentation = ClipAugmentation(
        size_px=8, brightness=strength, contrast=strength, saturation=strength, hue=0.5, jitter_prob=1.0
    )
    frames = reference.random_frames(first_key, 4, 2, 12, 14, 3)
    out = augmentation.apply(frames, RowGenerator(range(first_key, first_key + 4)))
    assert out.min() >= 0
    assert out.max() <= 1


def test_a_single_image_is_a_clip() -> None:
    image = reference.random_frames(7, 1, 1, 13, 11, 3)
    assert EVERYTHING.apply(image, RowGenerator([3])).shape == (1, 3, 1, 10, 10)


def test_a_flash_survives_the_change_of_contrast() -> None:
    frames = torch.full((1, 4, 8, 8, 3), 60, dtype=torch.uint8)
    frames[:, 2] = 180
    augmentation = dataclasses.replace(NOTHING, size_px=8, jitter_prob=1.0, contrast=0.9, brightness=0.0)
    brightness = augmentation.apply(frames, RowGenerator([4])).mean(dim=(0, 1, 3, 4))
    assert brightness[2] > brightness[0] + 0.01
    assert torch.equal(brightness[0], brightness[3])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop": "middle"}, r"crop must be one of \('random_resized', .*'multi_scale'\), got 'middle'"),
        ({"crop_scales": ()}, r"crop_scales must be shares .* at most 1, the largest first, got \(\)"),
        ({"crop_scales": (1.1, 0.5)}, r"crop_scales must be .*got \(1.1, 0.5\)"),
        ({"crop_scales": (0.5, 0.0)}, "crop_scales must be"),
        ({"crop_scales": (0.66, 1.0)}, "crop_scales must be .*the largest first"),
        ({"crop_scales": (math.nan,)}, "crop_scales must be"),
        ({"crop_places": 4}, "crop_places must be 5 or 13, got 4"),
        ({"size_px": 0}, "size_px must be at least 1 pixel, got 0"),
        ({"flip_prob": 1.5}, r"flip_prob must lie in \[0, 1\], got 1.5"),
        ({"jitter_prob": -0.1}, r"jitter_prob must lie in \[0, 1\], got -0.1"),
        ({"grayscale_prob": math.nan}, r"grayscale_prob must lie in \[0, 1\], got nan"),
        ({"blur_prob": 2}, r"blur_prob must lie in \[0, 1\], got 2"),
        ({"brightness": -1.0}, "brightness must lie in .*, got -1.0; .* 0 turns it off"),
        ({"contrast": math.inf}, "contrast must lie in .*, got inf"),
        ({"saturation": math.nan}, "saturation must lie in .*, got nan"),
        ({"hue": 0.6}, r"hue must lie in \[0, 0.5\], got 0.6"),
        ({"crop_area": (0.0, 1.0)}, "crop_area must be two positive numbers of at most 1, the smaller first"),
        ({"crop_area": (0.5, 1.1)}, "crop_area must be"),
        (
            {"crop_aspect": (2.0, 1.0)},
            r"crop_aspect must be two positive numbers, the smaller first, got \(2.0, 1.0\)",
        ),
        ({"blur_sigma": (0.1, math.inf)}, "blur_sigma must be"),
        ({"blur_sigma": (0.1,)}, "blur_sigma must be"),
        ({"mean": (0.5, 0.5)}, "mean must be three numbers"),
        ({"mean": (0.5, 0.5, math.nan)}, "mean must be three numbers"),
        ({"std": (1.0, 0.0, 1.0)}, "std must be three positive numbers"),
    ],
)
def test_settings_outside_their_range_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClipAugmentation(**change)


def test_as_many_streams_as_clips_are_needed() -> None:
    with pytest.raises(ValueError, match="generator has 3 streams for 2 clips"):
        EVERYTHING.apply(reference.random_frames(8, 2, 1, 12, 12, 3), RowGenerator([1, 2, 3]))


@pytest.mark.gpu
@pytest.mark.parametrize("crop", ["random_resized", "random"])
def test_the_gpu_gives_the_clips_of_the_cpu(crop: Any) -> None:
    augmentation = dataclasses.replace(EVERYTHING, crop=crop)
    frames = reference.random_frames(9, 8, 2, 24, 30, 3)
    expected = augmentation.apply(frames, RowGenerator(range(8)))
    on_gpu = augmentation.apply(frames.cuda(), RowGenerator(range(8)))
    assert on_gpu.device.type == "cuda"
    torch.testing.assert_close(on_gpu.cpu(), expected, atol=3e-4, rtol=0)


def test_only_crop_cuts_and_normalises_and_does_nothing_else() -> None:
    frames = torch.randint(0, 256, (6, 3, 12, 14, 3), dtype=torch.uint8)
    augmentation = ClipAugmentation.only_crop(8, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    clips = augmentation.apply(frames, RowGenerator(range(6)))
    whole = (frames.permute(0, 4, 1, 2, 3) / 255 - 0.5) / 0.25
    for clip, source in zip(clips, whole, strict=True):
        windows = [source[:, :, top : top + 8, left : left + 8] for top in range(5) for left in range(7)]
        assert any(torch.allclose(clip, window, atol=1e-5) for window in windows)


def test_crops_of_a_few_sizes_fill_the_square() -> None:
    # Short side 20, shares 1 and 0.5: 10 and 20 pixels; a ramp to the right shows how wide the crop was.
    ramp = (torch.arange(24) * 10).to(torch.uint8).view(1, 1, 1, 24, 1).expand(400, 1, 20, 24, 3)
    augmentation = dataclasses.replace(NOTHING, crop="multi_scale", size_px=20, crop_scales=(1.0, 0.5))
    out = augmentation.apply(ramp, RowGenerator(range(400)))
    assert out.shape == (400, 3, 1, 20, 20)
    slope = (out[:, 0, 0, 0, 15] - out[:, 0, 0, 0, 5]) * 255 / 100
    wide = (slope - 1.0).abs() < 0.02
    assert ((slope[~wide] - 0.5).abs() < 0.02).all()
    assert wide.float().mean().item() == pytest.approx(0.5, abs=0.12)  # standard deviation 0.025


def test_settings_of_other_crops_leave_the_hash_of_older_files() -> None:
    old = hash_config(ClipAugmentation())
    assert hash_config(ClipAugmentation(crop_scales=(1.0, 0.875, 0.75, 0.66), crop_places=5)) == old
    others = [ClipAugmentation(crop_places=13), ClipAugmentation(crop_scales=(1.0,))]
    assert len({old, *map(hash_config, others)}) == 3
