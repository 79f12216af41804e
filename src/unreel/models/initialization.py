"""Fresh weights."""

from torch import nn


def init_convs_kaiming(network: nn.Module) -> None:
    """Draw all convolutions anew from a normal distribution of variance ``2 / fan_out``; zero their biases.

    ``fan_out`` is the number of outputs that one input reaches: output channels times kernel size.
    Normalisation layers keep weight 1 and bias 0.

    Reference: He et al., 2015, section 2.2 (backward propagation case).
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Conv3d)):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
