from dataclasses import replace

import pytest
import torch

from tests.methods.batches import make_batch
from unreel.augment.compose import ClipAugmentation
from unreel.data.batch import VideoBatch
from unreel.data.pace_clips import NO_PACE, PaceClips
from unreel.methods.pace_views import PaceViews, make_pace_views

CLIPS = PaceClips(count=2, num_frames=4)
STILL = ClipAugmentation(
    crop="center", size_px=16, flip_prob=0.0, jitter_prob=0.0, grayscale_prob=0.0, blur_prob=0.0
)
COLORED = ClipAugmentation(
    size_px=16, jitter_prob=1.0, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, blur_prob=0.0
)


def make_paced_batch(*, clips: int = 2, seed: int = 0, frames: int = 4) -> VideoBatch:
    """Return four videos: two of paces 1 and 4, one that runs over its end, one of stills."""
    start_41 = torch.arange(frames)
    index = torch.stack(
        [
            torch.stack([start_41, 4 * start_41]),
            torch.stack([4 * start_41 + 3, start_41]),
            torch.stack([torch.tensor([7, 0, 2, 4, *([6] * frames)])[:frames], 3 * start_41]),
            torch.full((2, frames), 2),
        ]
    )
    batch = make_batch(clips=clips, frames=frames, seed=seed, first_video=10)
    return replace(batch, frame_index_BNT=index[:, :clips])


def views_of(batch: VideoBatch, **changes: object) -> PaceViews:
    settings: dict[str, object] = {"clips": CLIPS, "augmentation": STILL, "color_draws": "clip"} | changes
    return make_pace_views(batch, **settings)  # type: ignore[arg-type]


def test_every_clip_carries_its_pace_and_its_video() -> None:
    batch = make_paced_batch()
    views = views_of(batch)
    assert views.class_Q.tolist() == [0, 3, 3, 0, 1, 2, NO_PACE, NO_PACE]
    assert views.owner_Q.tolist() == [10, 10, 11, 11, 12, 12, 13, 13]
    middle = batch.frames_BNTHWC[:, :, :, 2:18, 2:18].permute(0, 1, 5, 2, 3, 4) / 255
    torch.testing.assert_close(views.clips_QCTHW, middle.flatten(0, 1))


def test_the_place_of_a_pace_is_its_class() -> None:
    batch = make_paced_batch()
    assert views_of(
        replace(batch, frame_index_BNT=batch.frame_index_BNT * 2), clips=PaceClips(paces=(2, 4, 6, 8))
    ).class_Q.tolist() == [0, 3, 3, 0, 1, 2, NO_PACE, NO_PACE]


def test_clips_of_a_video_are_augmented_independently_and_by_the_key_of_the_video_alone() -> None:
    batch = make_paced_batch()
    twins = replace(batch, frames_BNTHWC=batch.frames_BNTHWC[:, :1].expand(-1, 2, -1, -1, -1, -1))
    clips = views_of(twins, augmentation=COLORED).clips_QCTHW
    assert not torch.equal(clips[0], clips[1])
    part = VideoBatch(
        twins.frames_BNTHWC[2:3],
        twins.sizes_B2[2:3],
        twins.video_index_B[2:3],
        twins.frame_index_BNT[2:3],
        twins.labels_B[2:3],
        twins.keys_B[2:3],
    )
    assert torch.equal(views_of(part, augmentation=COLORED).clips_QCTHW, clips[4:6])
    other = views_of(replace(twins, keys_B=twins.keys_B + 1), augmentation=COLORED).clips_QCTHW
    assert not torch.equal(other, clips)


def test_videos_of_several_sizes_keep_their_padding_out() -> None:
    batch = make_paced_batch()
    frames = batch.frames_BNTHWC.clone()
    frames[1, :, :, 16:] = 0
    frames[1, :, :, :16, :16] = 255
    frames[1, :, :, :, 16:] = 0
    sizes = batch.sizes_B2.clone()
    sizes[1] = 16
    views = views_of(replace(batch, frames_BNTHWC=frames, sizes_B2=sizes))
    assert (views.clips_QCTHW[2:4] == 1.0).all()


@pytest.mark.parametrize("clips", [1, 3])
def test_any_number_of_clips_is_laid_one_behind_the_other(clips: int) -> None:
    index = torch.arange(4) * torch.arange(1, clips + 1)[:, None]
    batch = replace(make_batch(clips=clips), frame_index_BNT=index.expand(4, -1, -1))
    views = views_of(batch, clips=PaceClips(count=clips, num_frames=4))
    assert views.class_Q.tolist() == list(range(clips)) * 4
    assert len(views.clips_QCTHW) == len(views.owner_Q) == 4 * clips
