"""The forms in which an encoder gives its features; a new form is one more entry of `pool_features`."""

from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor

from unreel.models.backbone import Backbone

# B batch, R rows per clip, C channels, T frames, H W pixels, D features

Pooling = Literal["average", "frame"]
"""How a clip becomes vectors: "average" one per clip, over space and time; "frame" one per time position."""


def pool_features(
    backbone: Backbone, clips_BCTHW: Tensor, poolings: Sequence[Pooling]
) -> dict[Pooling, Tensor]:
    """Run the backbone once and return its features in every wanted form.

    Returns:
        One tensor of shape (B, R, D) per pooling: R is 1 for "average", the time positions for "frame".
    """
    frames_BTD, video_BD = backbone.forward_frames_and_video(clips_BCTHW)
    forms: dict[Pooling, Tensor] = {"average": video_BD[:, None], "frame": frames_BTD}
    return {pooling: forms[pooling] for pooling in poolings}


def check_poolings(poolings: Sequence[str]) -> None:
    """Refuse a pooling that does not exist.

    Raises:
        ValueError: a name is unknown.
    """
    for pooling in poolings:
        if pooling not in get_args(Pooling):
            raise ValueError(f"pooling must be one of {', '.join(get_args(Pooling))}, got {pooling!r}")
