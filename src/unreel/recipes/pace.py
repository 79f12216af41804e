"""Recipes of pace prediction (Wang, Jiao, Liu, ECCV 2020), a baseline of CACL and VCLR.

Where each number comes from:

- [released code] paces 1 to 4, so four classes; clips of 16 frames, begun at any frame and played again from
  frame 0 where the video ends; 112 x 112 cut at random from 128 x 171, mirrored; colours change with
  probability 0.8, by 0.8 in brightness, contrast and saturation and 0.2 in hue, each frame by itself; no
  grayscale, no blur; a linear layer on averaged features and cross-entropy; R(2+1)D and R3D of ten layers,
  one block per stage; batches of 30, SGD, rate 1e-3, divided by 10 every 6 epochs, 18 epochs, momentum 0.9,
  weight decay 0.005. (One line of its README has clips of 64 frames for these networks; its text says 16.)
- [paper] on UCF101 an epoch has about 90 thousand clips; the code reads every video ten times. The published
  figures are those that CACL and VCLR repeat.
- [recalled], not checked against the paper's text: two clips of a video at different paces; the contrast of
  clips of one video with clips of others ("same context", the better one) or of clips of one pace with clips
  of others ("same pace"); weights 1 and 0.1.
- [decided here] the code has no contrast, and its authors say no more than that theirs is like SimCLR's. So:
  cosines, temperature 0.1, a head of 512, ReLU and 128, one softmax per pair with all clips of the other
  videos of the batch as negatives, from either clip; "same pace" likewise, with a softmax for every pair of
  clips of one pace. A batch of 30 is 30 videos, hence 60 clips. Colours change for all frames of a clip
  alike, as everywhere here (decision E1); ``--method.color-draws frame`` is the released way. Pixels are in
  [0, 1], red first, where the code feeds integers up to 255, blue first. Videos of four frames or fewer are
  shown as stills that have no pace; the code would give them paces that they cannot show.
"""

import dataclasses

from unreel.augment.compose import ClipAugmentation
from unreel.data.loader import DataConfig
from unreel.data.pace_clips import PaceClips
from unreel.methods.pace import Pace
from unreel.models.resnet3d import R3DConfig
from unreel.train.recipe import OptimizerConfig, Recipe, ScheduleConfig, TrainConfig


def ucf101() -> Recipe:
    """Pace prediction with R(2+1)D-10 on UCF101, training split 1.

    Paper: 75.9 % on UCF101 and 35.9 % on HMDB51 after fine-tuning, as CACL's Table 5 repeats it; recall@1
    25.6 % in CACL's Table 4, of a network that it calls 18 layers deep. Measured with this code: not yet.
    18 epochs of ten passes each [paper, released code] are 180 epochs here, and the rate falls every 60.
    """
    return Recipe(method=Pace.Config(), data=_build_data(), train=_build_training(passes_per_epoch=10))


def ucf101_official() -> Recipe:
    """The released code: R(2+1)D-10 on UCF101, the pace of one clip per video, colours of every frame.

    Nothing is contrasted. The published figures are of the full method, so none is of this recipe. Measured
    with this code: not yet.
    """
    method = Pace.Config(clips=PaceClips(count=1), contrast_weight=0.0, color_draws="frame")
    return Recipe(method=method, data=_build_data(), train=_build_training(passes_per_epoch=10))


def kinetics400() -> Recipe:
    """Pace prediction with R(2+1)D-10 on Kinetics-400, training split.

    Paper: 77.1 % on UCF101 and 36.6 % on HMDB51 after fine-tuning; VCLR's Tables 2 and 11 and CACL's Table 5
    repeat it. Measured with this code: not yet.
    An epoch is one pass over the videos, 18 of them, and the rate falls every 6 [recalled].
    """
    return Recipe(method=Pace.Config(), data=_build_data(), train=_build_training(passes_per_epoch=1))


def hacs() -> Recipe:
    """Pace prediction with R3D-18 on HACS, training split: the recipe of Kinetics-400 [decided here].

    VCLR's Table 10: 62.8 % on UCF101 and 46.6 % on HMDB51 after fine-tuning; it gives no recipe, only the
    network. Measured with this code: not yet.
    """
    recipe = kinetics400()
    return dataclasses.replace(
        recipe, method=dataclasses.replace(recipe.method, backbone=R3DConfig(depth=18))
    )


def small() -> Recipe:
    """Pace prediction for two CPU cores: a narrow R3D, small pictures, few steps.

    Clips have 8 frames and end before their video does. Nothing is flipped or recoloured: whether something
    moves left or right is worth knowing here. Measured with this code: not yet.
    """
    return Recipe(
        method=Pace.Config(
            clips=PaceClips(num_frames=8, starts="fitting"),
            augmentation=ClipAugmentation.only_crop(40, mean=(0.45,) * 3, std=(0.225,) * 3),
            backbone=R3DConfig(depth=10, width=0.25),
            embedding_dim=64,
            hidden_dim=128,
        ),
        data=DataConfig(height=48, width=64, cache="ram"),
        train=TrainConfig(
            steps=600,
            batch_size=32,
            optimizer=OptimizerConfig(name="adamw", lr=2e-3, weight_decay=1e-4, decay_norms=False),
            schedule=ScheduleConfig(name="cosine", warmup_epochs=3),
        ),
    )


def _build_data() -> DataConfig:
    return DataConfig(height=128, width=171)


def _build_training(*, passes_per_epoch: int) -> TrainConfig:
    """Return 18 epochs of so many passes over the videos; a pass is an epoch of the loop here."""
    return TrainConfig(
        epochs=18 * passes_per_epoch,
        batch_size=30,
        optimizer=OptimizerConfig(name="sgd", lr=1e-3, momentum=0.9, weight_decay=0.005),
        schedule=ScheduleConfig(name="step", decay_every_epochs=6.0 * passes_per_epoch, decay_factor=0.1),
    )
