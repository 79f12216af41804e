"""The boundary-matching network: where segments start and end, and how good every stretch is."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from unreel.models.boundary_matching import BoundaryMatching

# B videos, D features, C channels, T positions, L lengths of a stretch (as many as T)

_EPSILON = 1e-5
_MOST_POSITIONS = 1000


@dataclass(frozen=True)
class BMNConfig:
    """Sizes of the network.

    Raises:
        ValueError: a number is out of range, or channels do not divide into groups.
    """

    num_features: int = 0
    """D, length of a vector of the features; 0 takes that of the table that is trained on."""
    num_positions: int = 100
    """T, positions that every video is brought to, and the longest stretch."""
    hidden_1d: int = 256
    """Channels of the layers over time."""
    hidden_2d: int = 128
    """Channels of the layers over stretches."""
    hidden_3d: int = 512
    """Channels behind the samples of a stretch."""
    num_groups: int = 4
    """Groups of channels in the layers over time; the vectors' length must divide by it."""
    num_samples: int = 32
    """Samples of a stretch."""
    samples_per_bin: int = 3
    """Points that are averaged to a sample."""
    context: float = 0.5
    """What is seen on either side of a stretch, as a share of its length."""
    normalize_over_time: bool = False
    """Whether each number of the vectors is brought to mean 0 and deviation 1 over the positions of its
    video; takes away what does not change, such as who is seen."""

    def __post_init__(self) -> None:
        sizes = ("hidden_1d", "hidden_2d", "hidden_3d", "num_groups", "num_samples", "samples_per_bin")
        for name, lowest in (("num_features", 0), ("num_positions", 2), *((name, 1) for name in sizes)):
            if getattr(self, name) < lowest:
                raise ValueError(f"network.{name} must be at least {lowest}, got {getattr(self, name)}")
        if self.num_positions > _MOST_POSITIONS:
            raise ValueError(
                f"network.num_positions must be at most {_MOST_POSITIONS}, got {self.num_positions}: "
                "stretches grow with its square"
            )
        if self.context < 0:
            raise ValueError(f"network.context must not be negative, got {self.context}")
        for name in ("num_features", "hidden_1d"):
            if getattr(self, name) % self.num_groups:
                raise ValueError(
                    f"network.{name} = {getattr(self, name)} does not divide into network.num_groups = "
                    f"{self.num_groups}; take --method.network.num-groups 1, or another divisor"
                )


class BoundaryScores(NamedTuple):
    """What the network says of B videos; all float32 in (0, 1).

    Attributes:
        start_BT: whether a segment starts at a position.
        end_BT: whether one ends there.
        regression_BLT: how well the stretch of l + 1 positions from t on covers a segment (its tIoU).
        classification_BLT: whether it covers one.
    """

    start_BT: Tensor
    end_BT: Tensor
    regression_BLT: Tensor
    classification_BLT: Tensor


class BMN(nn.Module):
    """Layers over time, two branches for the boundaries, one that looks at every stretch.

    Args:
        config: sizes; ``num_features`` must be known.

    Raises:
        ValueError: ``num_features`` is 0.

    Reference: BMN (Lin et al., 2019), table 1; 4 940 164 parameters with 200 features.
    """

    def __init__(self, config: BMNConfig) -> None:
        super().__init__()
        if not config.num_features:
            raise ValueError("network.num_features is 0: give the length of the vectors to build the network")
        self.config = config
        wide, groups = config.hidden_1d, config.num_groups
        self.trunk = nn.Sequential(
            nn.Conv1d(config.num_features, wide, 3, padding=1, groups=groups),
            nn.ReLU(),
            nn.Conv1d(wide, wide, 3, padding=1, groups=groups),
            nn.ReLU(),
        )
        self.start = _build_boundary_branch(wide, groups)
        self.end = _build_boundary_branch(wide, groups)
        self.proposal = nn.Sequential(nn.Conv1d(wide, wide, 3, padding=1), nn.ReLU())
        self.matching = BoundaryMatching(
            wide,
            config.hidden_3d,
            num_positions=config.num_positions,
            num_samples=config.num_samples,
            samples_per_bin=config.samples_per_bin,
            context=config.context,
        )
        self.stretches = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(config.hidden_3d, config.hidden_2d, 1),
            nn.ReLU(),
            nn.Conv2d(config.hidden_2d, config.hidden_2d, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(config.hidden_2d, config.hidden_2d, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(config.hidden_2d, 2, 1),
        )

    def forward(self, features_BDT: Tensor) -> BoundaryScores:
        """Judge every position and every stretch of the videos.

        Args:
            features_BDT: float32, vectors at the positions of the grid.

        Raises:
            ValueError: the features have another size.
        """
        size = (self.config.num_features, self.config.num_positions)
        if tuple(features_BDT.shape[1:]) != size:
            raise ValueError(
                f"the localiser takes {size[0]} numbers at {size[1]} positions, got "
                f"{tuple(features_BDT.shape[1:])}; give the features that it was trained with"
            )
        if self.config.normalize_over_time:
            features_BDT = normalize_over_time(features_BDT)
        trunk_BCT = self.trunk(features_BDT)
        map_B2LT = self.stretches(self.matching(self.proposal(trunk_BCT))).float().sigmoid()
        return BoundaryScores(
            start_BT=self.start(trunk_BCT).float().sigmoid()[:, 0],
            end_BT=self.end(trunk_BCT).float().sigmoid()[:, 0],
            regression_BLT=map_B2LT[:, 0],
            classification_BLT=map_B2LT[:, 1],
        )


def normalize_over_time(features_BDT: Tensor) -> Tensor:
    """Bring every number to mean 0 and deviation 1 over the positions; one that is constant becomes 0."""
    centered_BDT = features_BDT - features_BDT.mean(dim=2, keepdim=True)
    deviation_BD1 = centered_BDT.square().mean(dim=2, keepdim=True).sqrt()
    return centered_BDT / (deviation_BD1 + _EPSILON)


def _build_boundary_branch(channels: int, groups: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(channels, channels, 3, padding=1, groups=groups), nn.ReLU(), nn.Conv1d(channels, 1, 1)
    )
