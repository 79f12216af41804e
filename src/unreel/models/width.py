"""Scaled copies of published networks: the same layers, fewer or more channels."""


def scale_channels(channels: int, width: float) -> int:
    """Multiply a number of channels and round it to the nearest multiple of 8.

    The result is at least 8, and it is ``channels`` itself when ``width`` is 1.

    Args:
        channels: of the published network, a multiple of 8.
        width: 1.0 for the published network, 0.25 for a quarter of its channels.

    Raises:
        ValueError: ``width`` is not positive.
    """
    if not width > 0:
        raise ValueError(
            f"width must be positive, got {width!r}; 1.0 is the published network, 0.25 a small one"
        )
    return max(8, round(channels * width / 8) * 8)
