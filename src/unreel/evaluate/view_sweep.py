"""A trained CACL looks at all videos as it did in training, and learns nothing from it."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from unreel.data.batch import Rejection, VideoBatch
from unreel.errors import FeaturesError, TrainingError
from unreel.evaluate.failures import refuse_too_many
from unreel.methods.cacl import CACL, CACLViews
from unreel.methods.method import Method

# B videos


class ViewSweep:
    """Makes training's views of batch after batch and counts what went by; to be iterated over once.

    Attributes:
        owners: rows of the catalog, one per clip that went by.
        rejected: videos that could not be read, each once, in the order of their failure.

    Args:
        method: a trained CACL in evaluation mode.
        batches: such as those of `sweep_batches`; they are moved to the device of the method.

    Raises:
        ValueError: the method is no CACL, or in training mode.
    """

    def __init__(self, method: Method, batches: Iterable[VideoBatch]) -> None:
        self.method = check_method(method)
        self.owners: list[int] = []
        self.rejected: list[Rejection] = []
        self._batches = batches

    def __iter__(self) -> Iterator[CACLViews]:
        """Yield the views of one batch after the other, on the device of the method."""
        device = next(self.method.parameters()).device
        failed: set[str] = set()
        for batch in self._batches:
            for rejection in batch.rejections:
                if rejection.path not in failed:
                    failed.add(rejection.path)
                    self.rejected.append(rejection)
            self.owners += batch.video_index_B.tolist()
            with torch.no_grad():
                views = self.method.make_views(batch.to(device))
            yield views

    @property
    def num_videos(self) -> int:
        """Different videos that went by."""
        return len(set(self.owners))

    def check(self, max_rejected_fraction: float) -> None:
        """Refuse a measurement on too few videos.

        Raises:
            FeaturesError: no clip went by, or a larger share of the videos failed.
        """
        if not self.owners:
            raise FeaturesError("there is no clip to measure; the batches are empty")
        refuse_too_many(
            self.rejected,
            num_videos=self.num_videos + len(self.rejected),
            max_rejected_fraction=max_rejected_fraction,
        )


def check_method(method: Method) -> CACL:
    """Return a method that can be measured, as it is.

    Raises:
        ValueError: it is no CACL, or in training mode.
    """
    if not isinstance(method, CACL):
        raise ValueError(
            f"this protocol measures the networks and heads of CACL, and the run is of "
            f"{type(method).__name__}; give a run of a cacl recipe"
        )
    if any(module.training for module in method.modules()):
        raise ValueError(
            "the method is in training mode, in which it learns from what it sees; call method.eval() first"
        )
    return method


def check_finite(output: Tensor) -> Tensor:
    """Return what a network gave, as it is.

    Raises:
        TrainingError: there is NaN or infinity in it.
    """
    if not torch.isfinite(output).all():
        raise TrainingError(
            "the network of this run gives NaN or infinity, so there is nothing to measure; look at the loss "
            "in metrics.jsonl and train again with a lower train.optimizer.lr"
        )
    return output
