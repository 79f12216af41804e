"""How SCVRL's and CVRL's key networks are run: clips in order of time, and clips in many orders.

Batch normalisation must give no clue, and must not undo what is to be learned (decision S19):

- the thirteen versions of a clip normalised together would show how far each is from the others;
- positives and negatives normalised apart would each be centred by themselves, which takes away what tells
  ordered clips from shuffled ones;
- all versions of all clips normalised together, twelve in thirteen of them shuffled, would centre on shuffled
  clips, while the online network, which never sees one, centres on ordered clips: the anchor would then lie
  nearest to the negatives in every channel that says how orderly a clip is.

So statistics come from clips in order of time alone, as the online network's do. They are run as in training,
which moves the running statistics of the key network, and all versions of a clip, the one in order of time
included, are normalised with these, in evaluation mode. What a version's key is then depends on no other
clip, nor on how many go through the network at once.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from unreel.augment.group_shuffle import expand_groups
from unreel.distributed import sum_over_ranks, world_size
from unreel.models.backbone import Backbone
from unreel.models.batch_norm import forward_shuffled
from unreel.models.momentum import MomentumEncoder
from unreel.models.multi_head import MultiHeadEncoder
from unreel.models.mvit import MViT

# B clips, X versions of them, G groups of frames, C channels, T frames (of clips or of tokens),
# H W pixels, P tokens of a frame, D features

_CUBE_FRAMES = 2
_CLIPS_ON_CPU = 16
_PROBED_CLIPS = 4
_MEMORY_SHARE = 0.5


def has_batch_norm(module: nn.Module) -> bool:
    """Say whether what a clip gives depends on the clips beside it."""
    return any(isinstance(part, _BatchNorm) for part in module.modules())


@torch.no_grad()
def extract_in_order(encoder: MomentumEncoder, clips_BCTHW: Tensor, *, group_size: int) -> Tensor:
    """Return the features of clips in order of time: shape (B, D).

    Args:
        encoder: the key network; its running statistics move when it is in training mode.
        clips_BCTHW: the clips.
        group_size: clips that are normalised together on one device, see `forward_shuffled`; without batch
            normalisation and in evaluation mode all clips are run as they are.
    """
    if not (encoder.training and has_batch_norm(encoder)):
        group_size = 0
    return forward_shuffled(encoder, clips_BCTHW, group_size=group_size)


@torch.no_grad()
def extract_versions(
    encoder: MomentumEncoder,
    clips_BCTHW: Tensor,
    clip_X: Tensor,
    order_XG: Tensor,
    *,
    group_frames: int,
    passes: "BoundedPasses",
) -> Tensor:
    """Return the features of clips in other orders, in evaluation mode: shape (X, D).

    Where the first layer sees every group of frames apart, it runs once per clip, and its result is
    permuted: exactly what permuted pixels would give.

    Args:
        encoder: the key network; nothing in it changes.
        clips_BCTHW: the clips.
        clip_X: int64, the clip that each version is of.
        order_XG: int64, the group of frames at each place.
        group_frames: frames per group.
        passes: how many versions go through the network at once.
    """
    assert isinstance(encoder.network, MultiHeadEncoder)
    with _evaluating(encoder):
        planes_BTX, run, unit = _embed_once(encoder.network.backbone, clips_BCTHW, group_frames)
        order_XT = expand_groups(order_XG, group_frames // unit)
        return passes.run(
            lambda rows: run(planes_BTX[clip_X[rows, None], order_XT[rows]]), len(clip_X), clips_BCTHW.device
        )


def _embed_once(
    backbone: Backbone, clips_BCTHW: Tensor, group_frames: int
) -> tuple[Tensor, Callable[[Tensor], Tensor], int]:
    """Return what is permuted along its second axis, what runs it, and how many frames one place has."""
    if isinstance(backbone, MViT) and sees_groups_apart(backbone, group_frames):
        return backbone.embed_cubes(clips_BCTHW), backbone.forward_tokens, _CUBE_FRAMES
    # Frames before channels, and these last: what is permuted then lies in memory as convolutions want it.
    frames_BTHWC = clips_BCTHW.permute(0, 2, 3, 4, 1).contiguous()
    return frames_BTHWC, lambda frames_XTHWC: backbone(frames_XTHWC.permute(0, 4, 1, 2, 3)), 1


def sees_groups_apart(backbone: MViT, group_frames: int) -> bool:
    """Say whether no cube of a transformer has frames of two groups."""
    return backbone.stem.kernel_size[0] == _CUBE_FRAMES and group_frames % _CUBE_FRAMES == 0


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)


class BoundedPasses:
    """Run a network without gradient over many rows, a bounded number at a time.

    Args:
        rows_per_pass: how many; 0 takes what fits into half of the memory that a GPU has free when it is
            first asked, and 16 on the CPU. What a row needs is measured with the first few.
    """

    def __init__(self, rows_per_pass: int) -> None:
        self.rows_per_pass = rows_per_pass

    def run(self, network: Callable[[slice], Tensor], num_rows: int, device: torch.device) -> Tensor:
        """Return the stacked results of a network for rows 0 to ``num_rows``.

        Args:
            network: takes a slice of rows.
            num_rows: how many rows there are.
            device: where the network runs.
        """
        done: list[Tensor] = []
        start = 0
        while start < num_rows:
            rows = slice(start, min(start + self._count_next(device), num_rows))
            if self.rows_per_pass == 0 and device.type == "cuda":
                done.append(self._probe(network, rows, device))
            else:
                done.append(network(rows))
            start = rows.stop
        return torch.cat(done)

    def _count_next(self, device: torch.device) -> int:
        return self.rows_per_pass or (_PROBED_CLIPS if device.type == "cuda" else _CLIPS_ON_CPU)

    def _probe(self, network: Callable[[slice], Tensor], rows: slice, device: torch.device) -> Tensor:
        """Run a few rows, and decide by their memory how many later passes take."""
        # The peak is the process's, for others to read: never reset. Where an earlier one hides that of these
        # rows, they are taken to need all of it, and later passes are smaller than they might be.
        before = torch.cuda.memory_allocated(device)
        result = network(rows)
        used = torch.cuda.max_memory_allocated(device) - before
        idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        free = torch.cuda.mem_get_info(device)[0] + idle
        self.rows_per_pass = count_rows(used / (rows.stop - rows.start), free)
        return result


def count_rows(bytes_per_row: float, free_bytes: int) -> int:
    """Return how many rows fit into half of the free memory, at least one."""
    return max(1, int(_MEMORY_SHARE * free_bytes / max(bytes_per_row, 1.0)))


@torch.no_grad()
def share_statistics(encoder: MomentumEncoder) -> None:
    """Average the running statistics of a key network over all processes.

    Keys that are normalised with them, and a resumed run, then do not depend on the process.
    """
    if world_size() == 1:
        return
    buffers = [buffer for buffer in encoder.buffers() if buffer.is_floating_point()]
    if not buffers:
        return
    means = sum_over_ranks(torch.cat([buffer.flatten() for buffer in buffers])) / world_size()
    parts = torch.split(means, [buffer.numel() for buffer in buffers])
    for buffer, part in zip(buffers, parts, strict=True):
        buffer.copy_(part.view_as(buffer))
