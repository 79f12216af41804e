"""A recurrent network on feature maps, and the one that predicts how a video goes on."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# B videos, N blocks that are seen, P blocks that are predicted, D features, H W positions of a map


class ConvGRU(nn.Module):
    """A gated recurrent unit at every position of a map: positions share its weights and never meet.

    The gates look at input and state side by side through 1x1 convolutions:

        update u = sigmoid(U [x, h]),   reset r = sigmoid(R [x, h]),
        candidate c = tanh(C [x, r * h]),   new state = (1 - u) * h + u * c

    Weights start orthogonal, biases zero. Dropout acts on the new state, so on what the next step sees too.
    It draws from torch's global generator, which training seeds for every step and process: resumed training
    draws the same, training in another number of processes does not.

    Args:
        num_features: of the input and of the state.
        dropout_prob: share of the new state that is left out in training.

    Reference: Ballas et al., 2016, with kernels of one position, as in DPC's released code.
    """

    def __init__(self, num_features: int, *, dropout_prob: float) -> None:
        super().__init__()
        self.update = nn.Conv2d(2 * num_features, num_features, 1)
        self.reset = nn.Conv2d(2 * num_features, num_features, 1)
        self.candidate = nn.Conv2d(2 * num_features, num_features, 1)
        self.dropout = nn.Dropout(dropout_prob)
        _init_orthogonal(self)

    def forward(self, input_BDHW: Tensor, state_BDHW: Tensor | None = None) -> Tensor:
        """Return the state after one more map; the state before the first one is zero."""
        if state_BDHW is None:
            state_BDHW = torch.zeros_like(input_BDHW)
        both = torch.cat([input_BDHW, state_BDHW], dim=1)
        update_BDHW = torch.sigmoid(self.update(both))
        kept_BDHW = torch.sigmoid(self.reset(both)) * state_BDHW
        candidate_BDHW = torch.tanh(self.candidate(torch.cat([input_BDHW, kept_BDHW], dim=1)))
        new_BDHW: Tensor = self.dropout(torch.lerp(state_BDHW, candidate_BDHW, update_BDHW))
        return new_BDHW


class FuturePredictor(nn.Module):
    """Read the maps of some blocks in order of time and predict those of the blocks that follow.

    A `ConvGRU` sums up what it has seen; two 1x1 convolutions with a ReLU between them turn its state into
    the next map. The prediction then takes the place of the map that was not seen, and so on. What the
    recurrent unit reads, seen or predicted, passes a ReLU; what is predicted is of either sign.

    Args:
        num_features: D.
        dropout_prob: of the recurrent unit.

    Reference: DPC (Han et al., 2019), section 3.1, and its released code.
    """

    def __init__(self, num_features: int, *, dropout_prob: float) -> None:
        super().__init__()
        self.gru = ConvGRU(num_features, dropout_prob=dropout_prob)
        self.next_map = nn.Sequential(
            nn.Conv2d(num_features, num_features, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(num_features, num_features, 1),
        )
        _init_orthogonal(self.next_map)

    def forward(self, seen_BNDHW: Tensor, num_predicted: int) -> Tensor:
        """Return the predicted maps, float32 (decision E5), shape (B, P, D, H, W)."""
        with torch.autocast(seen_BNDHW.device.type, enabled=False):
            state_BDHW = None
            for map_BDHW in seen_BNDHW.float().unbind(1):
                state_BDHW = self.gru(F.relu(map_BDHW), state_BDHW)
            predicted = [self.next_map(state_BDHW)]
            while len(predicted) < num_predicted:
                state_BDHW = self.gru(F.relu(predicted[-1]), state_BDHW)
                predicted.append(self.next_map(state_BDHW))
            return torch.stack(predicted, dim=1)


def _init_orthogonal(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is not None
            nn.init.orthogonal_(module.weight)
            nn.init.zeros_(module.bias)
