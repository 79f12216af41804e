"""From a run to the encoder, or the classifier, that everything else uses."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from unreel import __version__
from unreel.data.segments import SegmentFrames
from unreel.features.classifier import Classifier
from unreel.features.classifier_files import ClassifierConfig
from unreel.features.encoder import Encoder
from unreel.features.encoder_files import EncoderConfig
from unreel.features.input_spec import InputSpec
from unreel.methods.method import Method
from unreel.methods.supervised import Supervised
from unreel.models.resnet2d import ResNetConfig
from unreel.train.recipe import Recipe
from unreel.train.setup import Job


def export_encoder(job: Job, step: int) -> Path:
    """Write the backbone as it is now to ``encoder/`` of the run folder, and return that folder."""
    method, recipe = job.method, job.recipe
    assert isinstance(method, Method)
    assert isinstance(recipe, Recipe)
    encoder = Encoder(
        method.backbone,
        describe_encoder(recipe),
        provenance=describe_origin(job, step),
    )
    encoder.save(job.run / "encoder")
    return job.run / "encoder"


def export_classifier(job: Job, step: int) -> Path:
    """Write ``classifier/`` of the run folder, and the backbone as ``encoder/``; return the former."""
    method, recipe = job.method, job.recipe
    assert isinstance(method, Supervised)
    assert isinstance(recipe, Recipe)
    export_encoder(job, step)
    counts = Counter(job.catalog.labels)
    classifier = Classifier(
        method.backbone,
        method.head,
        describe_classifier(recipe),
        provenance={
            **describe_origin(job, step),
            "training_counts": {name: counts[name] for name in method.config.classes},
        },
    )
    classifier.save(job.run / "classifier")
    return job.run / "classifier"


def describe_origin(job: Job, step: int) -> dict[str, Any]:
    """Return where weights come from that a run exports."""
    return {
        "method": type(job.method).__name__,
        "recipe": job.recipe_name,
        "run": job.run.name,
        "step": step,
        "num_steps": job.num_steps,
        "seed": job.recipe.train.seed,
        "catalog": job.catalog.hash,
        "unreel": __version__,
    }


def describe_encoder(recipe: Recipe) -> EncoderConfig:
    """Return the network of a recipe and what it must be fed: what it saw in training, without chance.

    A network that was trained on a frame per segment, and sees each by itself, is fed single frames.
    """
    backbone, spec = recipe.method.backbone, _describe_input(recipe)
    is_shifted = isinstance(backbone, ResNetConfig) and backbone.temporal_shift
    if spec.sampling == "segments" and isinstance(backbone, ResNetConfig) and not is_shifted:
        spec = replace(spec, sampling="clip", num_frames=1)
    return EncoderConfig(backbone=backbone, input=spec)


def describe_classifier(recipe: Recipe) -> ClassifierConfig:
    """Return network and classes of a recipe of `Supervised`, what it was fed, and how it is tested.

    Raises:
        ValueError: the network cannot be tested so.
    """
    method = recipe.method
    assert isinstance(method, Supervised.Config)
    return ClassifierConfig(
        backbone=method.backbone, input=_describe_input(recipe), views=method.views, classes=method.classes
    )


def _describe_input(recipe: Recipe) -> InputSpec:
    clips, augmentation = recipe.method.clips, recipe.method.augmentation
    spec = InputSpec.from_training(
        clips, recipe.data.frame_size, augmentation.size_px, augmentation.mean, augmentation.std
    )
    if isinstance(clips, SegmentFrames):
        return replace(spec, sampling="segments", num_frames=clips.num_segments)
    return spec
