"""A full configuration: everything that a run depends on, and nothing else."""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal, Protocol, Self

from unreel.config import ADDED_LATER
from unreel.data.loader import DataConfig
from unreel.methods.method import MethodConfig, TrainableConfig


@dataclass(frozen=True)
class OptimizerConfig:
    """How weights move."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    """SGD with momentum, Adam, or AdamW."""
    lr: float = 0.01
    """Highest learning rate; with ``lr_per_videos`` that of a batch of so many videos."""
    lr_per_videos: int = 0
    """Videos of a batch for which ``lr`` is meant: the rate that is used grows and shrinks with the batch, as
    ``lr * batch_size / lr_per_videos``. 0 takes ``lr`` as it is, whatever the batch."""
    momentum: float = 0.9
    """Of SGD; Adam and AdamW take it as their first beta."""
    weight_decay: float = 1e-4
    """Weight decay: added to the gradient in SGD and Adam, decoupled from it in AdamW."""
    decay_norms: bool = True
    """Whether biases and normalisation weights decay too."""
    clip_norm: float = 0.0
    """Gradients are scaled down to this norm; 0 leaves them."""


@dataclass(frozen=True)
class ScheduleConfig:
    """How the learning rate changes, per optimiser step."""

    name: Literal["constant", "cosine", "step", "milestones"] = "cosine"
    """Shape behind the warm-up."""
    warmup_epochs: float = 0.0
    """Epochs in which the rate rises linearly to its highest."""
    warmup_factor: float = 0.0
    """Share of the highest rate at which the warm-up starts."""
    final_lr: float = 0.0
    """Where cosine ends."""
    decay_every_epochs: float = 20.0
    """Of "step": epochs between two drops."""
    decay_at: tuple[float, ...] = (0.6, 0.8)
    """Of "milestones": shares of the training at which the rate drops."""
    decay_factor: float = 0.1
    """Of "step" and "milestones": what a drop multiplies the rate by."""

    def __post_init__(self) -> None:
        """Refuse times that lie outside the training.

        Raises:
            ValueError: a number is out of range.
        """
        shares = (0.0, *self.decay_at, 1.0)
        if not self.decay_at or not all(early < late for early, late in pairwise(shares)):
            raise ValueError(
                "train.schedule.decay_at must be shares of the training, above 0, below 1 and rising, got "
                f"{self.decay_at}; MoCo's epochs 120 and 160 of 200 are (0.6, 0.8)"
            )
        if self.decay_every_epochs <= 0:
            raise ValueError(
                f"train.schedule.decay_every_epochs must be positive, got {self.decay_every_epochs}"
            )
        if self.warmup_epochs < 0:
            raise ValueError(f"train.schedule.warmup_epochs must not be negative, got {self.warmup_epochs}")
        if not 0.0 <= self.warmup_factor <= 1.0:
            raise ValueError(
                "train.schedule.warmup_factor must be a share of the highest rate, between 0 and 1, got "
                f"{self.warmup_factor}; 0.01 starts at a hundredth"
            )


@dataclass(frozen=True)
class TrainConfig:
    """How long, how fast, where."""

    epochs: int = 100
    """Passes over the videos."""
    steps: int = 0
    """Optimiser steps; when positive, they decide instead of ``epochs``."""
    batch_size: int = 64
    """Videos per optimiser step, over all processes and accumulated parts."""
    accumulate: int = 1
    """Parts in which a batch is computed; losses that contrast inside the batch see one part at a time."""
    chunk_clips: int = field(default=0, metadata=ADDED_LATER)
    """Clips that go through the backbone at a time, on each process: losses see the whole batch, and every
    chunk is computed a second time in the backward pass. 0 takes all at once."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """How weights move."""
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    """How the learning rate changes."""
    seed: int = 0
    """Of every draw: weights, order, clips, augmentation."""
    device: str = "auto"
    """"auto" takes CUDA where there is one, else the CPU; or a name such as "cuda:1"."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of forward and backward; "auto" is bfloat16 on CUDA and float32 elsewhere. The CPU computes float32."""
    channels_last: bool = True
    """Whether convolutions keep the channels of a pixel side by side in memory; faster, on CPUs too."""
    batch_norm: Literal["local", "synchronized"] = "local"
    """Whether each process normalises with its own batch or with that of all."""
    log_every_steps: int = 10
    """Steps between two lines of metrics."""
    checkpoint_every_steps: int = 500
    """Steps between two checkpoints."""
    keep_checkpoints: int = 2
    """Checkpoints that are kept, the newest ones."""

    @property
    def highest_lr(self) -> float:
        """The highest rate that is used, in proportion to the batch where the optimiser's is for another."""
        lr, videos = self.optimizer.lr, self.optimizer.lr_per_videos
        return lr * self.batch_size / videos if videos else lr


class ReadSettings(Protocol):
    """Settings of what is read."""

    def with_absolute_paths(self) -> Self:
        """Return the settings with the paths in them absolute, as a run folder keeps them."""


@dataclass(frozen=True)
class TrainingRecipe:
    """One experiment, whatever it learns from."""

    method: TrainableConfig
    """What is learned."""
    data: ReadSettings
    """What is read, and how."""
    train: TrainConfig
    """How long, how fast, where."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            ValueError: a number is out of range.
        """
        train = self.train
        for name, value, least in (
            ("train.batch_size", train.batch_size, 2),
            ("train.accumulate", train.accumulate, 1),
            ("train.chunk_clips", train.chunk_clips, 0),
            ("train.log_every_steps", train.log_every_steps, 1),
            ("train.checkpoint_every_steps", train.checkpoint_every_steps, 1),
            ("train.keep_checkpoints", train.keep_checkpoints, 1),
            ("train.optimizer.lr_per_videos", train.optimizer.lr_per_videos, 0),
            ("train.steps", train.steps, 0),
            ("train.epochs", train.epochs, 0 if train.steps else 1),
        ):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if train.batch_size % train.accumulate:
            raise ValueError(
                f"train.batch_size = {train.batch_size} does not divide into train.accumulate = "
                f"{train.accumulate} equal parts; change one of them"
            )
        if train.batch_size // train.accumulate < self.method.min_videos:
            raise ValueError(
                f"train.batch_size = {train.batch_size} leaves train.accumulate = {train.accumulate} parts "
                f"{train.batch_size // train.accumulate} videos each, and the method contrasts at least "
                f"{self.method.min_videos}; take fewer parts, a queue where the method has one, or "
                "train.chunk_clips, which saves memory too and leaves the batch whole"
            )
        if train.optimizer.lr <= 0:
            raise ValueError(f"train.optimizer.lr must be positive, got {train.optimizer.lr}")

    def with_absolute_paths(self) -> Self:
        """Return the recipe with every path in it absolute, as a run folder keeps it."""
        return replace(self, method=self.method.with_absolute_paths(), data=self.data.with_absolute_paths())


@dataclass(frozen=True)
class Recipe(TrainingRecipe):
    """One experiment on videos: method, data and training."""

    method: MethodConfig
    """What is learned, and from which views."""
    data: DataConfig = field(default_factory=DataConfig)
    """Which videos are read, and how."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """How long, how fast, where."""
