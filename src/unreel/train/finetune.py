"""From an encoder and labelled videos to a network that tells their classes."""

import dataclasses
from pathlib import Path

import torch

from unreel.augment.evaluation_views import EvaluationViews
from unreel.data.clips import ClipSampling, FramePerPart, RandomClips
from unreel.data.loader import select_videos
from unreel.data.segments import SegmentFrames
from unreel.errors import CatalogError, TrainingError
from unreel.features.classifier import find_part
from unreel.features.encoder_files import ENCODER_KIND, EncoderConfig, read_encoder
from unreel.features.input_spec import InputSpec
from unreel.methods.supervised import Supervised
from unreel.models.mvit import MViTConfig
from unreel.models.resnet2d import ResNetConfig
from unreel.models.zoo import BackboneConfig
from unreel.progress import Progress, Warn, ignore_progress, ignore_warning
from unreel.train.export import describe_classifier, describe_encoder, export_classifier
from unreel.train.recipe import Recipe
from unreel.train.run import TrainingSummary, run_training
from unreel.train.setup import RunKind
from unreel.train.sources import open_videos

FINETUNING = RunKind("finetune", open_videos, export_classifier, exported="classifier")
"""Learning classes: reads labelled videos, leaves a classifier, and the backbone as an encoder."""

_SEGMENTS, _TEST_SEGMENTS = 3, 25
"""Frames of a video that a network of single frames sees in training and in testing (VCLR, section 4.3)."""


def finetune(
    recipe: Recipe,
    run: Path,
    *,
    recipe_name: str,
    is_resumed: bool = False,
    progress: Progress = ignore_progress,
    warn: Warn = ignore_warning,
) -> TrainingSummary:
    """Learn the classes of the training videos, or go on where a run was cut off.

    Args:
        recipe: a configuration of `Supervised`; where it names no classes, those of the training videos are
            taken, in alphabetical order. Of a resumed run, the one that its ``recipe.json`` holds.
        run: folder to write; new or empty unless the run is resumed.
        recipe_name: by which the recipe is found again.
        is_resumed: whether to continue from the newest checkpoint.
        progress: told after every report of the loop.
        warn: told, before the first step of a new run, what a person should know of it.

    Raises:
        TrainingError: the folder holds another run, cannot be resumed, or the training fails.
        CatalogError: the videos cannot be found, have no labels, or one class alone.
        WeightsError: the initial weights cannot be read or do not fit.
        ValueError: the recipe is of another method, or the settings do not fit network, videos or machine.
    """
    if not is_resumed:
        recipe = name_classes(recipe)
        check_network(recipe)
    elif not isinstance(recipe.method, Supervised.Config):
        raise TrainingError(f"{run} learns no classes; `unreel pretrain --resume {run}` goes on with it")
    return run_training(
        recipe,
        run,
        FINETUNING,
        recipe_name=recipe_name,
        is_resumed=is_resumed,
        progress=progress,
        warn=warn,
    )


def name_classes(recipe: Recipe) -> Recipe:
    """Return the recipe with the classes of its training videos where it names none.

    Raises:
        CatalogError: the videos cannot be found, have no labels, or one class alone; or the recipe names
            other classes than theirs, or in another order.
        ValueError: the recipe is of another method.
    """
    config = _read_method(recipe)
    catalog, _ = select_videos(recipe.data, needs_labels=True)
    classes = tuple(catalog.label_names)
    if len(classes) < 2:
        raise CatalogError(
            f"{recipe.data.catalog}: all {len(catalog)} training videos have the label {classes[0]!r}; a "
            "classifier needs two classes"
        )
    if config.classes not in ((), classes):
        without = sorted(set(config.classes) - set(classes))
        unknown = sorted(set(classes) - set(config.classes))
        differences = [
            f"{len(names)} {what} ({', '.join(names[:3])})"
            for names, what in ((without, "have no training video"), (unknown, "are not named"))
            if names
        ]
        raise CatalogError(
            "method.classes are not those of the training videos: "
            f"{', '.join(differences) or 'they must be in alphabetical order'}; leave method.classes empty "
            "to take those of the videos"
        )
    return dataclasses.replace(recipe, method=dataclasses.replace(config, classes=classes))


def start_from(recipe: Recipe, encoder: Path) -> Recipe:
    """Return the recipe with the network of an encoder, and with its input where the recipe wants that.

    Of the recipe's network only what an encoder's weights do not depend on is kept: a temporal shift and the
    share of paths that are dropped.

    Args:
        recipe: a configuration of `Supervised`.
        encoder: folder of the encoder, or that of a run which has it as ``encoder``.

    Raises:
        WeightsError: the folder holds no encoder.
        ValueError: the recipe is of another method, or its settings do not suit the encoder.
    """
    method = _read_method(recipe)
    encoder = _find_encoder(encoder)
    config = read_encoder(encoder).config
    backbone = _keep_training_settings(config.backbone, method.backbone)
    method = dataclasses.replace(method, backbone=backbone, initial_weights=encoder)
    recipe = dataclasses.replace(recipe, method=method)
    return adopt_input(recipe, config) if method.input_from == "encoder" else recipe


def with_weights(recipe: Recipe, weights: Path) -> Recipe:
    """Return the recipe with a file of weights for its own network.

    Raises:
        ValueError: the recipe is of another method.
    """
    method = dataclasses.replace(_read_method(recipe), initial_weights=weights)
    return dataclasses.replace(recipe, method=method)


def adopt_input(recipe: Recipe, encoder: EncoderConfig) -> Recipe:
    """Return the recipe with clips, sizes and normalisation as the encoder saw them.

    A network of single frames sees a frame of each of three segments, and of 25 when tested.
    """
    method, spec = _read_method(recipe), encoder.input
    augmentation = dataclasses.replace(
        method.augmentation, size_px=spec.crop_px, mean=spec.mean, std=spec.std
    )
    clips, views = _adopt_clips(spec, method.views)
    return dataclasses.replace(
        recipe,
        method=dataclasses.replace(method, clips=clips, views=views, augmentation=augmentation),
        data=dataclasses.replace(recipe.data, height=spec.decode_height, width=spec.decode_width),
    )


def check_network(recipe: Recipe) -> None:
    """Refuse a network that cannot take the clips of the recipe, in training or in testing.

    Only shapes go through the network, so that even a large one says within a second what it does not take.

    Raises:
        ValueError: it cannot, or cannot be built.
    """
    method = _read_method(recipe)
    config = describe_classifier(recipe)
    describe_encoder(recipe)
    with torch.device("meta"), torch.inference_mode():
        network = method.build().eval()
        network.parameter_groups()
        _check_clips(network, config.input, "training", "method.clips and method.augmentation.size_px")
        _check_clips(network, config.test_input, "testing", "method.views")


def _check_clips(network: Supervised, spec: InputSpec, purpose: str, settings: str) -> None:
    try:
        network.extract(torch.zeros((1, 3, spec.num_frames, spec.crop_px, spec.crop_px)))
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"the network ({network.config.backbone.architecture}) does not take the clips of {purpose}, "
            f"{spec.num_frames} frames of {spec.crop_px} x {spec.crop_px} pixels: "
            f"{str(error).splitlines()[0]}. Set {settings} to what it was trained with, or method.input_from "
            'to "encoder"'
        ) from error


def _read_method(recipe: Recipe) -> Supervised.Config:
    if not isinstance(recipe.method, Supervised.Config):
        raise ValueError(
            f"fine-tuning takes a recipe of Supervised, got {type(recipe.method).__qualname__}; those of "
            "`unreel recipes` that are called finetune are"
        )
    return recipe.method


def _find_encoder(folder: Path) -> Path:
    return find_part(folder, ENCODER_KIND.name, ENCODER_KIND.description_file)


def _keep_training_settings(backbone: BackboneConfig, wanted: BackboneConfig) -> BackboneConfig:
    if isinstance(backbone, ResNetConfig) and isinstance(wanted, ResNetConfig):
        return dataclasses.replace(
            backbone, temporal_shift=wanted.temporal_shift, shift_divisor=wanted.shift_divisor
        )
    if isinstance(backbone, MViTConfig) and isinstance(wanted, MViTConfig):
        return dataclasses.replace(backbone, drop_path=wanted.drop_path)
    return backbone


def _adopt_clips(spec: InputSpec, views: EvaluationViews) -> tuple[ClipSampling, EvaluationViews]:
    if spec.sampling == "segments" or spec.num_frames == 1:
        is_single = spec.num_frames == 1
        segments = SegmentFrames(_SEGMENTS if is_single else spec.num_frames)
        num_frames = views.num_frames or (_TEST_SEGMENTS if is_single else 0)
        return segments, dataclasses.replace(views, clips=1, num_frames=num_frames)
    if spec.sampling == "frame_per_part":
        return FramePerPart(1, spec.num_frames, spec.span_frames), views
    return RandomClips(1, spec.num_frames, spec.frame_stride), views
