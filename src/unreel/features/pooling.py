"""The forms in which an encoder gives its features; a new form is one more entry of `pool_features`."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor

from unreel.models.backbone import Backbone

# B batch, R rows per clip, C channels, T frames, H W pixels, D features

Pooling = Literal["average", "frame", "conv5_max"]
"""How a clip becomes vectors: "average" one per clip, over space and time, or the class token of a network
that has one; "frame" one per time position;
"conv5_max" one per clip, the last map at half its height and width (CACL)."""


def pool_features(
    backbone: Backbone, clips_BCTHW: Tensor, poolings: Sequence[Pooling]
) -> dict[Pooling, Tensor]:
    """Run the backbone once and return its features in every wanted form.

    Only a network whose features are not averages of its last map, such as a class token or the frames of
    R3D-18+1, is run twice when "conv5_max" is wanted beside them.

    Returns:
        One tensor of shape (B, R, D) per pooling: R is 1 for "average" and "conv5_max", the time positions
        for "frame". D is the backbone's number of features; for "conv5_max" it is that times the positions
        of the pooled map.

    Raises:
        ValueError: the last map is too small for "conv5_max".
    """
    forms: dict[Pooling, Tensor] = {}
    if "conv5_max" in poolings:
        map_BDTHW = backbone.forward_map(clips_BCTHW)
        forms["conv5_max"] = max_pool_map(map_BDTHW)[:, None]
        forms["average"] = map_BDTHW.mean(dim=(2, 3, 4))[:, None]
        forms["frame"] = map_BDTHW.mean(dim=(3, 4)).transpose(1, 2)
    has_own = {"average": not backbone.average_is_of_map, "frame": not backbone.frames_are_of_map}
    if not forms or any(has_own.get(pooling) for pooling in poolings):
        frames_BTD, video_BD = backbone.forward_frames_and_video(clips_BCTHW)
        forms |= {"average": video_BD[:, None], "frame": frames_BTD}
    return {pooling: forms[pooling] for pooling in poolings}


def max_pool_map(map_BDTHW: Tensor) -> Tensor:
    """Keep the largest of every 2x2 positions of a map and return it as one vector per clip, D first.

    The last row or column of an odd side is left out, so 512 x 2 x 7 x 7 becomes 512 x 2 x 3 x 3, which is
    9216 numbers (decision A14).

    Raises:
        ValueError: a side of the map is below 2.

    Reference: CACL, section 4.4.
    """
    height, width = map_BDTHW.shape[-2:]
    if min(height, width) < 2:
        raise ValueError(
            f"pooling conv5_max halves the last map, and that of this network is {height} x {width}; use "
            "pooling average, or an encoder that is fed larger crops"
        )
    return F.max_pool3d(map_BDTHW, (1, 2, 2)).flatten(1)


def check_poolings(poolings: Sequence[str]) -> None:
    """Refuse a pooling that does not exist.

    Raises:
        ValueError: a name is unknown.
    """
    for pooling in poolings:
        if pooling not in get_args(Pooling):
            raise ValueError(f"pooling must be one of {', '.join(get_args(Pooling))}, got {pooling!r}")
