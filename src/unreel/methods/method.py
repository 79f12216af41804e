"""What a method is to the training loop."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Self

from torch import Tensor, nn

from unreel.augment.compose import ClipAugmentation
from unreel.data.batch import VideoBatch
from unreel.data.clips import ClipSampling
from unreel.models.backbone import Backbone
from unreel.models.weight_matching import LoadReport
from unreel.models.zoo import BackboneConfig


@dataclass(frozen=True)
class StepOutput:
    """What one forward pass gives the loop.

    Attributes:
        loss: scalar with gradient; its weights are already in it.
        terms: every part of the loss and every diagnostic by name, scalars without gradient.
    """

    loss: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class ParameterGroup:
    """Weights that move in a way of their own.

    Attributes:
        parameters: the weights; those that require no gradient are passed over.
        lr_factor: multiplies the learning rate of the schedule.
        decay_factor: multiplies the weight decay.
        fixed_lr: a rate of their own that no schedule changes; 0 follows the schedule.
    """

    parameters: list[nn.Parameter]
    lr_factor: float = 1.0
    decay_factor: float = 1.0
    fixed_lr: float = 0.0


class Trainable(nn.Module, ABC):
    """What the loop trains: how to look at a batch, what to compute, what to do after a step."""

    def parameter_groups(self) -> list[ParameterGroup]:
        """Return all weights that learn, grouped by how they move: most often one group."""
        return [ParameterGroup(list(self.parameters()))]

    def load_initial_weights(self) -> dict[str, LoadReport]:
        """Load the files that training starts from; called once before the first step, never when resumed.

        What a file fills must be part of the method's state, so that a checkpoint holds it and a resumed run
        does not need the file. A method that starts from random weights alone leaves this as it is.

        Returns:
            What was loaded, by the name of the part that it went to; the run folder records it.

        Raises:
            WeightsError: a file cannot be read or does not fit.
        """
        return {}

    @abstractmethod
    def make_views(self, batch: VideoBatch) -> Any:  # noqa: ANN401 (each method has its own views)
        """Augment a batch on the device, without gradient; the result goes to `forward`."""

    @abstractmethod
    def forward(self, views: Any) -> StepOutput:  # noqa: ANN401
        """Compute the loss of the views that `make_views` returned."""

    @abstractmethod
    def after_step(self, progress: float) -> None:
        """Do what follows an optimiser step, such as moving a momentum encoder.

        Args:
            progress: share of the training that is done, in (0, 1].
        """


class Method(Trainable):
    """One way to learn from video, with a network that is worth keeping.

    Concrete methods are final; they share parts (heads, queue, losses), not ancestors.
    """

    @property
    @abstractmethod
    def backbone(self) -> Backbone:
        """The network that is exported when training ends."""


@dataclass(frozen=True)
class TrainableConfig(ABC):
    """Settings of what the loop trains."""

    @property
    def min_videos(self) -> int:
        """Fewest videos that a part of the batch, over all processes, must have."""
        return 1

    @property
    def needs_labels(self) -> bool:
        """Whether videos without label are of no use."""
        return False

    def with_absolute_paths(self) -> Self:
        """Return the settings with every path in them absolute, as a run folder keeps them."""
        return self

    def cautions(self) -> tuple[str, ...]:
        """Return what a person should know before a run with these settings, a sentence each.

        Nothing here stops a run: `pretrain` shows it before the first step, and the run folder records it.
        """
        return ()

    @abstractmethod
    def build(self) -> Trainable:
        """Build what is trained with fresh weights from torch's global generator."""


@dataclass(frozen=True)
class MethodConfig(TrainableConfig):
    """Settings of a method; each method's ``Config`` extends this with its own."""

    clips: ClipSampling
    """Which frames of a video the method wants."""
    augmentation: ClipAugmentation
    """How a view is made of a clip."""
    backbone: BackboneConfig
    """The network that learns."""

    @abstractmethod
    def build(self) -> Method:
        """Build the method with fresh weights from torch's global generator."""
