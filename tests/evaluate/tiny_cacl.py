"""A CACL small enough for tests of what is measured on it."""

from pathlib import Path
from typing import Any

import torch

from unreel.augment.compose import ClipAugmentation
from unreel.config import config_to_dict
from unreel.data.clips import RandomClips
from unreel.data.loader import DataConfig
from unreel.features.encoder import Encoder
from unreel.methods.cacl import CACL
from unreel.models.frame_transformer import FrameTransformerConfig
from unreel.models.resnet2d import ResNetConfig
from unreel.models.resnet3d import R3DConfig
from unreel.runs import write_json
from unreel.train.checkpoint import save_checkpoint
from unreel.train.export import describe_encoder
from unreel.train.recipe import Recipe
from unreel.train.setup import RECIPE_FILE

NUM_FRAMES = 6


def build_config(**changes: Any) -> CACL.Config:
    """Return settings of a narrow CACL on clips of 6 frames of 16 pixels."""
    settings: dict[str, Any] = {
        "clips": RandomClips(count=1, num_frames=NUM_FRAMES, frame_stride=2),
        "augmentation": ClipAugmentation(size_px=16),
        "backbone": R3DConfig(depth=10, width=0.0625),
        "embedding_dim": 8,
        "queue_length": 16,
        "degree_hidden_dim": 8,
        "transformer": FrameTransformerConfig(width=12, depth=1, num_heads=2),
        "frame_network": ResNetConfig(depth=18, width=0.125),
        **changes,
    }
    return CACL.Config(**settings)


def build_cacl(*, seed: int = 0, **changes: Any) -> CACL:
    """Return a CACL in evaluation mode; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_config(**changes).build().eval()


def tiny(*, size_px: int = 16) -> Recipe:
    """Tell runs of tests what they are runs of."""
    return Recipe(
        method=build_config(augmentation=ClipAugmentation(size_px=size_px)),
        data=DataConfig(height=size_px + 2, width=size_px + 8),
    )


def write_run(folder: Path, recipe: Recipe, *, name: str = "tests.evaluate.tiny_cacl:tiny") -> Path:
    """Write a run of 7 steps that learned nothing: the folder, its recipe, a checkpoint and an encoder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        method = recipe.method.build()
    optimizer = torch.optim.SGD(method.parameters(), lr=0.1)
    write_json(folder / RECIPE_FILE, {"recipe": name, "settings": config_to_dict(recipe)})
    save_checkpoint(folder / "checkpoints", step=7, method=method, optimizer=optimizer, identity="", keep=1)
    Encoder(method.backbone, describe_encoder(recipe)).save(folder / "encoder")
    return folder
