"""What a training run works on."""

from dataclasses import dataclass
from pathlib import Path

import torch

from unreel.data.catalog import Catalog
from unreel.data.loader import TrainingBatches
from unreel.distributed import Rank
from unreel.methods.method import Method
from unreel.train.recipe import Recipe
from unreel.train.rejected import RejectedVideos


@dataclass(frozen=True)
class Job:
    """Everything that the loop needs; `unreel.train.pretrain` puts it together.

    Attributes:
        run: the run folder.
        recipe_name: by which the recipe is found again, such as ``"ccl.small"``.
        identity: changes with any setting that matters and with the videos.
        first_step: optimiser steps done before.
        num_steps: optimiser steps at the end.
    """

    run: Path
    recipe: Recipe
    recipe_name: str
    catalog: Catalog
    method: Method
    optimizer: torch.optim.Optimizer
    batches: TrainingBatches
    rejected: RejectedVideos
    rank: Rank
    device: torch.device
    is_bfloat16: bool
    num_workers: int
    identity: str
    first_step: int
    num_steps: int
