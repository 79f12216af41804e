"""One linear layer, trained by SGD on features that stay as they are."""

import math
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from unreel.errors import TrainingError
from unreel.progress import Progress, ignore_progress
from unreel.seeding import build_generator

# X training vectors, B vectors of a batch, C classes, D features

_SAMPLES_PER_LR = 256
"""Batch for which a learning rate is given."""
_HIGHEST = 1e6
"""Of rates and pulls; far beyond all that is of use, and float32 still holds their products."""
_FIRST_WEIGHTS = 0.01
"""Standard deviation of the weights before training."""


@dataclass(frozen=True)
class LinearProbeConfig:
    """How the linear layer is trained.

    By default as SCVRL's linear evaluation is taken to be. CoCLR's, by which VCLR's networks on clips are
    compared: ``is_l2_normalized`` and ``has_batch_norm``, weight decay 1e-3, milestones.

    Raises:
        ValueError: a number is out of range.
    """

    epochs: int = 100
    """Passes over the training vectors."""
    batch_size: int = 256
    """Vectors per step; the vectors of an epoch are shared out evenly, and a smaller split is one batch."""
    lrs: tuple[float, ...] = (0.1,)
    """Learning rate for a batch of 256, in proportion for others; of several, cross-validation chooses."""
    momentum: float = 0.9
    """Of SGD."""
    weight_decay: float = 0.0
    """Pull of all weights towards 0."""
    schedule: Literal["cosine", "milestones"] = "cosine"
    """How the learning rate falls: to 0 along half a cosine, or to a tenth at each milestone."""
    milestones: tuple[int, ...] = (60, 80)
    """Epochs before which the learning rate falls to a tenth."""
    is_l2_normalized: bool = False
    """Whether every vector is brought to length 1 first."""
    has_batch_norm: bool = False
    """Whether the numbers of a batch are normalised first; after training this is part of the weights."""
    seed: int = 0
    """Of the first weights and of the order of the vectors."""
    num_folds: int = 5
    """Parts of the training vectors, one of which is left out in turn, when there are several rates."""

    def __post_init__(self) -> None:
        for name, lowest in (("epochs", 1), ("batch_size", 1), ("num_folds", 2)):
            if getattr(self, name) < lowest:
                raise ValueError(f"{name} must be at least {lowest}, got {getattr(self, name)}")
        if not self.lrs or not all(0 < lr <= _HIGHEST for lr in self.lrs):
            raise ValueError(
                f"lrs must be one or more positive numbers up to {_HIGHEST:g}, got {list(self.lrs)}"
            )
        if len(set(self.lrs)) < len(self.lrs):
            raise ValueError(f"lrs must differ from each other, got {list(self.lrs)}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be at least 0 and below 1, got {self.momentum}")
        if not 0 <= self.weight_decay <= _HIGHEST:
            raise ValueError(f"weight_decay must be between 0 and {_HIGHEST:g}, got {self.weight_decay}")
        if any(epoch < 1 for epoch in self.milestones):
            raise ValueError(f"milestones must be epochs from 1 on, got {list(self.milestones)}")

    def find_lr_factor(self, step: int, steps_per_epoch: int) -> float:
        """Return what the learning rate is multiplied with at a step, counted from 0."""
        if self.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * step / (self.epochs * steps_per_epoch)))
        return math.prod(0.1 for epoch in self.milestones if step >= epoch * steps_per_epoch)


@dataclass(frozen=True, eq=False)
class FittedProbe:
    """What was learned: scores are ``features @ weights.T + bias``, of vectors of length 1 where so asked.

    Attributes:
        weights_CD: float32, batch normalisation included.
        bias_C: float32.
        loss_by_epoch: mean cross-entropy of the batches of every epoch, as they were met.
        final_loss: cross-entropy of all training vectors at the end, weight decay left out.
        relative_gradient: length of the gradient of the whole objective at the end, as share of that at
            weights of zero; 0 at the best weights there are. Batch normalisation stays as it ended.
    """

    weights_CD: NDArray[np.float32]
    bias_C: NDArray[np.float32]
    loss_by_epoch: list[float]
    final_loss: float
    relative_gradient: float

    def predict(self, features_XD: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the class with the highest score of every vector; normalised first where so asked."""
        best_X: NDArray[np.int64] = (features_XD @ self.weights_CD.T + self.bias_C).argmax(axis=1)
        return best_X


def fit_probe(
    features_XD: NDArray[np.float32],
    class_X: NDArray[np.int64],
    lr: float,
    config: LinearProbeConfig,
    *,
    progress: Progress = ignore_progress,
    note: str = "",
) -> FittedProbe:
    """Minimise the mean cross-entropy of ``softmax(features @ weights.T + bias)`` by SGD.

    Every draw is a function of the seed, the epoch and the place in the training split. With more threads
    torch may add up in another order, which changes the last digits.

    Args:
        features_XD: float32; already of length 1 where that is asked for.
        class_X: their classes, numbers from 0 on, each of them at least once.
        lr: learning rate for a batch of 256.
        config: how it is trained; its ``lrs`` play no role.
        progress: is told the number of epochs done.
        note: is passed to it.

    Raises:
        TrainingError: the loss is no longer a finite number.

    Reference: SCVRL, section 4.2 (linear evaluation); CoCLR (Han et al., 2020), section 4.2 (linear probe).
    """
    features, targets = torch.from_numpy(np.ascontiguousarray(features_XD)), torch.from_numpy(class_X)
    layer = _Probe(features.shape[1], int(class_X.max()) + 1, config)
    rate = lr * config.batch_size / _SAMPLES_PER_LR
    optimizer = torch.optim.SGD(
        layer.parameters(), lr=rate, momentum=config.momentum, weight_decay=config.weight_decay
    )
    steps_per_epoch = -(-len(features) // config.batch_size)
    losses = []
    for epoch in range(config.epochs):
        order = build_generator(config.seed, "probe order", epoch).permutation(len(features))
        total = torch.zeros(())
        for place, rows in enumerate(torch.from_numpy(order).tensor_split(steps_per_epoch)):
            factor = config.find_lr_factor(epoch * steps_per_epoch + place, steps_per_epoch)
            optimizer.param_groups[0]["lr"] = rate * factor
            optimizer.zero_grad()
            loss = F.cross_entropy(layer(features[rows]), targets[rows])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.detach() * len(rows)
        losses.append(float(total) / len(features))
        if not math.isfinite(losses[-1]):
            raise TrainingError(_explain_divergence(lr, epoch, losses[-1], config))
        progress(epoch + 1, config.epochs, note)
    layer.eval()
    with torch.no_grad():
        inputs, (weights, bias) = layer.normalize(features), layer.fold()
        final_loss = float(F.cross_entropy(layer.linear(inputs), targets))
        if not (math.isfinite(final_loss) and bool(weights.isfinite().all())):
            raise TrainingError(_explain_divergence(lr, config.epochs - 1, final_loss, config))
        return FittedProbe(
            weights_CD=weights.numpy().copy(),
            bias_C=bias.numpy().copy(),
            loss_by_epoch=losses,
            final_loss=final_loss,
            relative_gradient=_compare_gradients(inputs, targets, layer.linear, config.weight_decay),
        )


class _Probe(nn.Module):
    """The layer, behind batch normalisation where that is asked for."""

    def __init__(self, num_features: int, num_classes: int, config: LinearProbeConfig) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(num_features) if config.has_batch_norm else None
        self.linear = nn.Linear(num_features, num_classes)
        draws = build_generator(config.seed, "probe weights").normal(size=(num_classes, num_features))
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(_FIRST_WEIGHTS * draws))
            self.linear.bias.zero_()

    def normalize(self, features_BD: Tensor) -> Tensor:
        """Return what the layer takes."""
        return features_BD if self.norm is None else cast(Tensor, self.norm(features_BD))

    def forward(self, features_BD: Tensor) -> Tensor:
        """Return a score per class."""
        return cast(Tensor, self.linear(self.normalize(features_BD)))

    def fold(self) -> tuple[Tensor, Tensor]:
        """Return weights and bias that take the features themselves."""
        weights_CD, bias_C = self.linear.weight, self.linear.bias
        if self.norm is None:
            return weights_CD, bias_C
        assert self.norm.running_mean is not None
        assert self.norm.running_var is not None
        scale_D = self.norm.weight / (self.norm.running_var + self.norm.eps).sqrt()
        shift_D = self.norm.bias - self.norm.running_mean * scale_D
        return weights_CD * scale_D, bias_C + weights_CD @ shift_D


def _explain_divergence(lr: float, epoch: int, loss: float, config: LinearProbeConfig) -> str:
    hint = "" if config.is_l2_normalized else ", or bring the vectors to length 1 (is_l2_normalized)"
    return f"the loss of epoch {epoch + 1} is {loss} at learning rate {lr:g}; give a lower one in lrs{hint}"


def _compare_gradients(inputs_XD: Tensor, targets_X: Tensor, linear: nn.Linear, weight_decay: float) -> float:
    """Return the gradient's length, as share of that at weights of zero."""
    end, start = (
        _measure_gradient(inputs_XD, targets_X, factor * linear.weight, factor * linear.bias, weight_decay)
        for factor in (1.0, 0.0)
    )
    return end / start if start > 0 else 0.0


def _measure_gradient(
    inputs_XD: Tensor, targets_X: Tensor, weights_CD: Tensor, bias_C: Tensor, weight_decay: float
) -> float:
    """Return the length of the gradient of cross-entropy and weight decay by weights and bias."""
    error_XC = F.softmax(F.linear(inputs_XD, weights_CD, bias_C), dim=1)
    error_XC[torch.arange(len(targets_X)), targets_X] -= 1
    by_weights = error_XC.T @ inputs_XD / len(inputs_XD) + weight_decay * weights_CD
    by_bias = error_XC.mean(dim=0) + weight_decay * bias_C
    return float(torch.hypot(by_weights.norm(), by_bias.norm()))
