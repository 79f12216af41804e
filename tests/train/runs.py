"""Recipes for tests of training, and the programs that other processes run."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import torch

from tests.corpus import shrink_recipe
from unreel.recipes.moco import ucf101
from unreel.train.pretrain import pretrain
from unreel.train.recipe import Recipe


def build_recipe(catalog: Path, *, steps: int = 6, **train: object) -> Recipe:
    """Return V-MoCo with a queue, shrunk; checkpoints every two steps."""
    recipe = shrink_recipe(ucf101(), catalog, steps=steps)
    return replace(recipe, train=replace(recipe.train, **train))


def load_weights(run: Path) -> dict[str, torch.Tensor]:
    """Return the method's state of the last checkpoint."""
    path = sorted((run / "checkpoints").glob("step-*.pt"))[-1]
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["method"]
    return state


def is_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    """Say whether two states agree to the bit."""
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def train_and_die(catalog: str, run: str, last_step: str, signal_name: str) -> None:
    """Train until a step is reported, then send the own process a signal."""

    def progress(done: int, total: int, note: str) -> None:
        if done == int(last_step) and "loss" in note:
            os.kill(os.getpid(), getattr(signal, signal_name))

    torch.set_num_threads(1)
    summary = pretrain(build_recipe(Path(catalog)), Path(run), recipe_name="moco.ucf101", progress=progress)
    sys.stdout.write(f"{summary.stopped_by} {summary.steps}")


if __name__ == "__main__":
    train_and_die(*sys.argv[1:])
