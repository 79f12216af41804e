"""From a run to the encoder that everything else uses."""

from pathlib import Path

from unreel import __version__
from unreel.features.encoder import Encoder
from unreel.features.encoder_files import EncoderConfig
from unreel.features.input_spec import InputSpec
from unreel.methods.method import Method
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
        provenance={
            "method": type(method).__name__,
            "recipe": job.recipe_name,
            "run": job.run.name,
            "step": step,
            "num_steps": job.num_steps,
            "seed": recipe.train.seed,
            "catalog": job.catalog.hash,
            "unreel": __version__,
        },
    )
    encoder.save(job.run / "encoder")
    return job.run / "encoder"


def describe_encoder(recipe: Recipe) -> EncoderConfig:
    """Return the network of a recipe and what it must be fed: what it saw in training, without chance."""
    augmentation = recipe.method.augmentation
    return EncoderConfig(
        backbone=recipe.method.backbone,
        input=InputSpec.from_training(
            recipe.method.clips,
            recipe.data.frame_size,
            augmentation.size_px,
            augmentation.mean,
            augmentation.std,
        ),
    )
