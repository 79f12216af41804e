"""A small corpus of real video files, and recipes shrunk to fit it."""

import dataclasses
from pathlib import Path

import numpy as np

from tests.data.motion_tables import write_motion
from unreel.config import config_to_dict
from unreel.data.sample_videos import write_video
from unreel.data.scan import scan_videos
from unreel.methods.supervised import Supervised
from unreel.models.frame_transformer import FrameTransformerConfig
from unreel.models.resnet2d import ResNetConfig
from unreel.models.s3d import S3DConfig
from unreel.train.recipe import Recipe


def write_corpus(folder: Path, *, num_videos: int = 12, num_frames: int = 20) -> Path:
    """Write moving squares as MP4 files and a list of them; return the list."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    lines = ["path,label,split,group"]
    for number in range(num_videos):
        frames = np.full((num_frames, 24, 32, 3), rng.integers(0, 120, size=3), dtype=np.uint8)
        start, color = rng.integers(0, 8), rng.integers(120, 255, size=3)
        for time in range(num_frames):
            left = (start + time * (1 + number % 3)) % 24
            frames[time, 6:16, left : left + 8] = color
        write_video(folder / f"{number:02d}.mp4", frames, fps=25)
        split = "test" if number % 4 == 3 else "train"
        lines.append(f"{number:02d}.mp4,speed{number % 3},{split},{number}")
    table = folder / "videos.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def build_corpus(folder: Path, *, num_videos: int = 12, num_frames: int = 20) -> Path:
    """Write a corpus, scan it and return the catalog; three quarters of the videos are for training.

    Beside the catalog lies a table of motion, of random numbers, for recipes whose clips are chosen by it.
    """
    table = write_corpus(folder, num_videos=num_videos, num_frames=num_frames)
    scan_videos([table], folder / "catalog.parquet", num_workers=1)
    write_motion(folder / "catalog.parquet")
    return folder / "catalog.parquet"


def shrink_recipe(recipe: Recipe, catalog: Path, *, steps: int = 2) -> Recipe:
    """Keep a recipe's method and schedule, with a narrow network, small pictures, few videos and steps."""
    method = recipe.method
    sizes = {"queue_length": 16, "hidden_dim": 8, "embedding_dim": 8}
    known = config_to_dict(method)
    size_px = 32 if isinstance(method.backbone, S3DConfig) else 16  # S3D halves a side five times
    if isinstance(method, Supervised.Config):
        views = dataclasses.replace(method.views, num_frames=0, crop_px=0, height=0, width=0)
        method = dataclasses.replace(method, views=dataclasses.replace(views, clips=min(views.clips, 2)))
    parts = {
        "frame_weights": Path("random"),
        "initial_weights": Path("random"),
        "frame_network": ResNetConfig(depth=18, width=0.125),
        "transformer": FrameTransformerConfig(width=16, depth=2, num_heads=2),
    }
    return dataclasses.replace(
        recipe,
        method=dataclasses.replace(
            method,
            augmentation=dataclasses.replace(method.augmentation, size_px=size_px),
            backbone=dataclasses.replace(method.backbone, width=0.125),
            **{name: size for name, size in sizes.items() if known.get(name)},
            **{name: part for name, part in parts.items() if name in known},
        ),
        data=dataclasses.replace(
            recipe.data, catalog=catalog, height=18, width=24, min_frames=1, num_workers=0
        ),
        train=dataclasses.replace(
            recipe.train, steps=steps, batch_size=4, log_every_steps=1, checkpoint_every_steps=2, device="cpu"
        ),
    )
