"""The papers' augmentations by kornia's VideoSequential: a peer in benchmarks/views.py.

kornia draws by itself, from torch's generator, so pictures cannot be compared one by one. The operations and
their probabilities are ours, in the same order, alike in all frames of a clip; kornia resizes without
antialiasing, which is less work than ours.
"""

import functools

import torch
from torch import Tensor, nn
from views_plain import Case

from unreel.augment.blur import blur_radius
from unreel.seeding import RowGenerator

# B clips, T frames, H W pixels, C channels


def augment_with_kornia(case: Case, frames_BTHWC: Tensor, _: RowGenerator) -> Tensor:
    with torch.no_grad():
        out_BCTHW: Tensor = build_sequential(case)(frames_BTHWC.permute(0, 4, 1, 2, 3) / 255.0)
    return out_BCTHW


@functools.cache
def build_sequential(case: Case) -> nn.Module:
    import kornia.augmentation as kornia

    how, size = case.augmentation, (case.augmentation.size_px,) * 2
    sides = (2 * blur_radius(how.blur_sigma[1], how.size_px) + 1,) * 2
    operations = [
        kornia.RandomResizedCrop(size, scale=how.crop_area, ratio=how.crop_aspect, p=1.0)
        if how.crop == "random_resized"
        else kornia.RandomCrop(size, p=1.0),
        kornia.RandomHorizontalFlip(p=how.flip_prob),
        kornia.RandomGaussianBlur(sides, how.blur_sigma, p=how.blur_prob),
        kornia.ColorJitter(how.brightness, how.contrast, how.saturation, how.hue, p=how.jitter_prob),
        kornia.RandomGrayscale(p=how.grayscale_prob),
        kornia.Normalize(torch.tensor(how.mean), torch.tensor(how.std), p=1.0),
    ]
    sequential: nn.Module = kornia.VideoSequential(*operations, data_format="BCTHW", same_on_frame=True)
    return sequential
