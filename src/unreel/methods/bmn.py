"""Training of the boundary-matching network on vectors over time."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from unreel.data.grid_batch import GridBatch
from unreel.losses.boundary_matching import boundary_matching_loss
from unreel.methods.method import StepOutput, Trainable, TrainableConfig
from unreel.models.bmn import BMN, BMNConfig

# B videos, D features, T positions, L lengths of a stretch (as many as T)


@dataclass(frozen=True)
class GridViews:
    """Vectors over time, the truth, and what decides which stretches the regression counts."""

    features_BDT: Tensor
    start_BT: Tensor
    end_BT: Tensor
    iou_BLT: Tensor
    draws_BLT: Tensor


class Localization(Trainable):
    """Where do segments start and end? Learned from frozen features and labelled stretches of time.

    Classes of segments play no role. Positives and negatives are balanced over the videos that all processes
    see at once: several processes compute what one would. A batch that is read in parts
    (``train.accumulate``) is balanced part by part.

    Reference: BMN (Lin et al., 2019), sections 3.3 and 3.4; VCLR, section 4.5.
    """

    @dataclass(frozen=True)
    class Config(TrainableConfig):
        """Settings of `Localization`."""

        network: BMNConfig = field(default_factory=BMNConfig)
        """Sizes of the network."""
        regression_weight: float = 10.0
        """Factor of the loss of how well a stretch covers a segment."""
        classification_weight: float = 1.0
        """Factor of the loss of whether it covers one."""

        def __post_init__(self) -> None:
            """Refuse weights that would reward mistakes.

            Raises:
                ValueError: a weight is negative.
            """
            for name in ("regression_weight", "classification_weight"):
                if getattr(self, name) < 0:
                    raise ValueError(f"method.{name} must not be negative, got {getattr(self, name)}")

        def build(self) -> "Localization":
            """Build the network with fresh weights from torch's global generator."""
            return Localization(self)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.network = BMN(config.network)

    def make_views(self, batch: Any) -> GridViews:  # noqa: ANN401 (the loop hands on what the loader read)
        """Draw which stretches count; the vectors are taken as they are."""
        assert isinstance(batch, GridBatch)
        draws_BLT = batch.draw_stretches("stretches").to(batch.features_BDT.device)
        return GridViews(batch.features_BDT, batch.start_BT, batch.end_BT, batch.iou_BLT, draws_BLT)

    def forward(self, views: GridViews) -> StepOutput:
        """Compare the scores of the network with the truth."""
        scores = self.network(views.features_BDT)
        terms = boundary_matching_loss(
            **scores._asdict(),
            true_start_BT=views.start_BT,
            true_end_BT=views.end_BT,
            iou_BLT=views.iou_BLT,
            draws_BLT=views.draws_BLT,
            regression_weight=self.config.regression_weight,
            classification_weight=self.config.classification_weight,
        )
        return StepOutput(
            terms.loss,
            {
                "boundary": terms.boundary,
                "regression": terms.regression,
                "classification": terms.classification,
                "covering_stretches": terms.positives,
            },
        )

    def after_step(self, progress: float) -> None:
        """Nothing follows a step."""
