"""What every backbone is to the rest of the system."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar, cast

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from unreel.models.clip_chunks import forward_in_chunks

# B batch, C channels, T frames, H W pixels, D features

WayT = TypeVar("WayT", bound=Callable[..., Any])

_WAYS_THROUGH = ("forward_map", "forward", "forward_frames_and_video")
_FEWEST_NORMALIZED = 3


def _in_chunks(run: WayT) -> WayT:
    """Let a way through a backbone take ``chunk_clips`` clips at a time; 0 takes all."""

    @functools.wraps(run)
    def run_in_chunks(self: "Backbone", clips_BCTHW: Tensor) -> Any:  # noqa: ANN401 (one tensor or two)
        # Of a way that leads through another one only the outer is divided: what it passes on is a chunk.
        if self.chunk_clips == 0 or len(clips_BCTHW) <= self.chunk_clips:
            return run(self, clips_BCTHW)
        return forward_in_chunks(
            functools.partial(run, self), clips_BCTHW, network=self, chunk_clips=self.chunk_clips
        )

    return cast(WayT, run_in_chunks)


class Backbone(nn.Module, ABC):
    """A network without head: clips in, features out.

    Attributes:
        num_features: D, length of a feature vector.
        chunk_clips: clips that go through at a time, see `forward_in_chunks`; 0 takes all at once.
    """

    num_features: int
    chunk_clips: int = 0

    def __init_subclass__(cls, **kwargs: Any) -> None:  # noqa: ANN401
        """Let every way through an architecture go in chunks."""
        super().__init_subclass__(**kwargs)
        for name in _WAYS_THROUGH:
            if name in vars(cls):
                setattr(cls, name, _in_chunks(vars(cls)[name]))

    @property
    def average_is_of_map(self) -> bool:
        """Whether the features of a clip are the average of its last map; a class token is not."""
        return True

    @property
    def frames_are_of_map(self) -> bool:
        """Whether the features of a time position are the average of its last map there."""
        return True

    @abstractmethod
    def forward_map(self, clips_BCTHW: Tensor) -> Tensor:
        """Return the last feature map, shape (B, D, T', H', W')."""

    @_in_chunks
    def forward(self, clips_BCTHW: Tensor) -> Tensor:
        """Return one feature vector per clip, the average of the last map: shape (B, D)."""
        return self.forward_map(clips_BCTHW).mean(dim=(2, 3, 4))

    @_in_chunks
    def forward_frames_and_video(self, clips_BCTHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return one vector per time position and one per clip: shapes (B, T', D) and (B, D).

        Both are averages of the last map unless the architecture has frame features of its own (R3D-18+1).
        """
        map_BDTHW = self.forward_map(clips_BCTHW)
        return map_BDTHW.mean(dim=(3, 4)).transpose(1, 2), map_BDTHW.mean(dim=(2, 3, 4))


def limit_clips(method: nn.Module, chunk_clips: int) -> None:
    """Let every backbone inside a module run over a limited number of clips at a time.

    Args:
        method: with its backbones, those of momentum encoders and frozen ones included.
        chunk_clips: most clips at a time; 0 lifts the limit.

    Raises:
        ValueError: there is no backbone, or batch normalisation that learns might see one clip.
    """
    backbones = [part for part in method.modules() if isinstance(part, Backbone)]
    if chunk_clips and not backbones:
        raise ValueError(
            f"train.chunk_clips = {chunk_clips} limits the clips that go through a backbone, and "
            f"{type(method).__name__} has none; leave it at 0 and take train.accumulate"
        )
    if 0 < chunk_clips < _FEWEST_NORMALIZED and any(_learns_batch_norm(part) for part in backbones):
        raise ValueError(
            f"train.chunk_clips = {chunk_clips} can leave batch normalisation one clip to learn from; take "
            f"at least {_FEWEST_NORMALIZED}, and better as many as fit"
        )
    for backbone in backbones:
        backbone.chunk_clips = chunk_clips


def _learns_batch_norm(backbone: Backbone) -> bool:
    return any(
        isinstance(part, _BatchNorm) and any(weight.requires_grad for weight in part.parameters())
        for part in backbone.modules()
    )
