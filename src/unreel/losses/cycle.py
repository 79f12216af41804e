"""The losses of cycle-contrastive learning: a video and its frames find each other.

Sizes: N videos of this process, G videos of all processes (G = N with one process), L frames per video, D
features. ``videos`` are the projected video embeddings s, ``frames`` the projected frame embeddings z.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unreel.losses.contrastive import check_temperature, normalize


@dataclass(frozen=True)
class CycleTerms:
    """What `cycle_losses` returns; scalars.

    Attributes:
        forward: L_f, mean over videos; ``log(G * L)`` at chance.
        backward: L_v, mean over videos; ``log(G)`` at chance.
        consistency: share of the videos whose nearest frame has them as its nearest video, without gradient.
    """

    forward: Tensor
    backward: Tensor
    consistency: Tensor


def cycle_losses(
    videos_ND: Tensor,
    all_videos_GD: Tensor,
    all_frames_GLD: Tensor,
    *,
    first_row: int = 0,
    temperature: float = 1.0,
    frame_temperature: float = 1.0,
    video_temperature: float = 1.0,
) -> CycleTerms:
    """Go from each video to a soft nearest frame and back to a soft nearest video, and contrast both.

    The soft nearest frame is the average of all frames weighted by ``softmax(sim / frame_temperature)``; the
    soft nearest video is the like average of all videos. Gradients flow through the weights as well.

    Args:
        videos_ND: the videos that start a cycle.
        all_videos_GD: the videos that a cycle may end at.
        all_frames_GLD: the frames of those videos.
        first_row: row of ``all_videos_GD`` that is ``videos_ND[0]``.
        temperature: divides the similarities of both losses; 1 in the paper.
        frame_temperature: of the softmax over frames (alpha); 1 in the paper, which prints none.
        video_temperature: of the softmax over videos (beta); 1 likewise.

    Raises:
        ValueError: a temperature is not positive.

    Reference: CCL, eq. 1 to 4; decisions L6 and L11.
    """
    for value in (temperature, frame_temperature, video_temperature):
        check_temperature(value)
    num_frames = all_frames_GLD.shape[1]
    with torch.autocast(videos_ND.device.type, enabled=False):
        all_frames_MD = all_frames_GLD.float().flatten(0, 1)
        all_videos_GD = all_videos_GD.float()
        unit_frames_MD, unit_videos_GD = normalize(all_frames_MD), normalize(all_videos_GD)
        own_N = torch.arange(first_row, first_row + len(videos_ND), device=videos_ND.device)

        to_frames_NM = normalize(videos_ND) @ unit_frames_MD.T
        soft_frame_ND = F.softmax(to_frames_NM / frame_temperature, dim=1) @ all_frames_MD
        frame_logits_NM = normalize(soft_frame_ND) @ unit_frames_MD.T / temperature
        frame_log_prob_NGL = F.log_softmax(frame_logits_NM, dim=1).view(len(own_N), -1, num_frames)
        forward = -frame_log_prob_NGL[torch.arange(len(own_N), device=own_N.device), own_N].mean()

        to_videos_NG = normalize(soft_frame_ND) @ unit_videos_GD.T
        soft_video_ND = F.softmax(to_videos_NG / video_temperature, dim=1) @ all_videos_GD
        backward = F.cross_entropy(normalize(soft_video_ND) @ unit_videos_GD.T / temperature, own_N)

        with torch.no_grad():
            nearest_frame_ND = unit_frames_MD[to_frames_NM.argmax(dim=1)]
            returned_N = (nearest_frame_ND @ unit_videos_GD.T).argmax(dim=1)
            consistency = (returned_N == own_N).float().mean()
    return CycleTerms(forward=forward, backward=backward, consistency=consistency)


def frame_diversity_penalty(
    frames_NLD: Tensor, *, is_normalized: bool = True, is_averaged: bool = False
) -> Tensor:
    """Penalise frames of one video that look alike: mean over videos of ``|| R R^T - I ||_F^2``.

    With rows of length one the value lies in [0, L^2 - L]: 0 for orthogonal frames, L^2 - L for identical
    ones.

    Args:
        frames_NLD: frame embeddings, R is one video's L x D matrix.
        is_normalized: whether rows are scaled to length one first.
        is_averaged: whether the sum over the L x L entries is divided by L^2.

    Reference: CCL, eq. 5; decision L5.
    """
    with torch.autocast(frames_NLD.device.type, enabled=False):
        rows_NLD = normalize(frames_NLD) if is_normalized else frames_NLD.float()
        num_frames = rows_NLD.shape[1]
        gram_NLL = rows_NLD @ rows_NLD.transpose(1, 2)
        deviation_N = (gram_NLL - torch.eye(num_frames, device=gram_NLL.device)).square().sum(dim=(1, 2))
        return deviation_N.mean() / (num_frames**2 if is_averaged else 1)


def frame_video_mse(videos_ND: Tensor, frames_NLD: Tensor) -> Tensor:
    """Return the mean over videos of ``sum_k || s_i - z_ik ||^2``, CCL's baseline without any contrast.

    Reference: CCL, section 4.2 (MSE).
    """
    difference_NLD = videos_ND.float()[:, None, :] - frames_NLD.float()
    return difference_NLD.square().sum(dim=(1, 2)).mean()
