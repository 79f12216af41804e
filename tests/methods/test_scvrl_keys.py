import multiprocessing
import os
import socket
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from unreel.augment.group_shuffle import sample_group_orders
from unreel.distributed import read_rank, start_process_group, stop_process_group
from unreel.methods.scvrl_keys import (
    BoundedPasses,
    count_rows,
    extract_in_order,
    extract_versions,
    has_batch_norm,
    share_statistics,
)
from unreel.models.c3d import C3DConfig
from unreel.models.momentum import MomentumEncoder
from unreel.models.multi_head import MultiHeadEncoder
from unreel.models.mvit import MViTConfig
from unreel.models.r2d3d import R2D3DConfig
from unreel.models.resnet3d import R3DConfig
from unreel.models.zoo import BackboneConfig
from unreel.seeding import RowGenerator

MVIT = MViTConfig(width=0.25, depths=(1, 1, 1, 1), num_frames=8, size_px=32)
R3D = R3DConfig(depth=10, width=0.125)
NETWORKS: list[BackboneConfig] = [
    MVIT,
    MViTConfig(width=0.25, depths=(1, 1, 1, 1), num_frames=8, size_px=32, temporal_kernel=3),
    MViTConfig(width=0.25, depths=(1, 1, 1, 1), num_frames=8, size_px=32, pooling="average"),
    R3D,
    C3DConfig(width=0.125),
    R2D3DConfig(width=0.125),
]


def build(backbone: BackboneConfig = R3D) -> MomentumEncoder:
    torch.manual_seed(0)
    encoder = MomentumEncoder(MultiHeadEncoder(backbone.build(), ("shuffled",), 8, hidden_dim=8)).train()
    for _ in range(3):  # running statistics of no particular clips
        with torch.no_grad():
            encoder(torch.rand(4, 3, 8, 32, 32))
    return encoder


def draw_clips(count: int = 3, *, seed: int = 1) -> Tensor:
    return torch.rand(count, 3, 8, 32, 32, generator=torch.Generator().manual_seed(seed))


def draw_orders(count: int = 3, *, num_groups: int = 4) -> Tensor:
    """Twelve shuffles of every clip, behind the order of time."""
    orders = torch.from_numpy(sample_group_orders(num_groups, 12, RowGenerator(range(count))))
    time = torch.arange(num_groups).expand(count, 1, num_groups)
    return torch.cat([time, orders], dim=1)


def extract(encoder: MomentumEncoder, clips: Tensor, orders: Tensor, chunk: int = 100) -> Tensor:
    rows = torch.arange(len(clips)).repeat_interleave(orders.shape[1])
    features = extract_versions(
        encoder,
        clips,
        rows,
        orders.flatten(0, 1),
        group_frames=8 // orders.shape[2],
        passes=BoundedPasses(chunk),
    )
    return features.unflatten(0, orders.shape[:2])


def permute_pixels(clip_CTHW: Tensor, order_G: Tensor) -> Tensor:
    """Put the frames of a clip into another order, one by one."""
    length = clip_CTHW.shape[1] // len(order_G)
    frames = [clip_CTHW[:, int(g) * length + f] for g in order_G for f in range(length)]
    return torch.stack(frames, dim=1)


@pytest.mark.parametrize("backbone", NETWORKS, ids=str)
def test_versions_are_what_the_permuted_pixels_give_one_by_one(backbone: BackboneConfig) -> None:
    encoder, clips, orders = build(backbone), draw_clips(), draw_orders()
    features = extract(encoder, clips, orders)
    encoder.eval()
    for clip, of_clip, found in zip(clips, orders, features, strict=True):
        for order, feature in zip(of_clip, found, strict=True):
            expected = encoder(permute_pixels(clip, order)[None])[0]
            torch.testing.assert_close(feature, expected, rtol=1e-4, atol=1e-5)
    # The versions do differ, else this would say nothing.
    assert (features[:, 1:] - features[:, :1]).abs().amax(dim=2).min() > 1e-5


def test_a_cube_of_two_frames_is_embedded_once_per_clip() -> None:
    encoder = build(MVIT)
    seen: list[int] = []
    assert isinstance(encoder.network, MultiHeadEncoder)
    stem = encoder.network.backbone.get_submodule("stem")
    stem.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    extract(encoder, draw_clips(), draw_orders(), chunk=5)
    assert seen == [3]
    seen.clear()
    extract(encoder, draw_clips(), draw_orders()[:, :1].expand(3, 13, 4), chunk=13)
    assert seen == [3]


@pytest.mark.parametrize(("num_groups", "expected"), [(4, [3]), (2, [3]), (8, [13, 13, 13])])
def test_groups_of_odd_length_are_permuted_as_pixels(num_groups: int, expected: list[int]) -> None:
    """Cubes have two frames: groups of 2 and 4 frames keep them whole, groups of 1 do not."""
    encoder = build(MVIT)
    seen: list[int] = []
    assert isinstance(encoder.network, MultiHeadEncoder)
    stem = encoder.network.backbone.get_submodule("stem")
    stem.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    orders = torch.arange(num_groups).flip(0).expand(3, 13, num_groups)
    extract(encoder, draw_clips(), orders, chunk=13)
    assert seen == expected


@pytest.mark.parametrize("backbone", [MVIT, R3D], ids=lambda config: config.architecture)
@pytest.mark.parametrize("chunk", [1, 5, 39])
def test_how_many_versions_are_run_at_once_changes_rounding_alone(
    backbone: BackboneConfig, chunk: int
) -> None:
    encoder, clips, orders = build(backbone), draw_clips(), draw_orders()
    whole = extract(encoder, clips, orders)
    torch.testing.assert_close(extract(encoder, clips, orders, chunk), whole, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("backbone", [MVIT, R3D], ids=lambda config: config.architecture)
def test_a_clips_versions_do_not_depend_on_the_other_clips(backbone: BackboneConfig) -> None:
    encoder, clips, orders = build(backbone), draw_clips(), draw_orders()
    alone = extract(encoder, clips[1:2], orders[1:2])
    torch.testing.assert_close(alone, extract(encoder, clips, orders)[1:2], rtol=1e-4, atol=1e-6)


def test_shuffled_clips_move_no_statistics_and_clips_in_order_do() -> None:
    encoder = build()
    before = [buffer.clone() for buffer in encoder.buffers()]
    extract(encoder, draw_clips(), draw_orders())
    assert encoder.training
    assert all(torch.equal(old, new) for old, new in zip(before, encoder.buffers(), strict=True))
    extract_in_order(encoder, draw_clips(), group_size=0)
    assert not any(torch.equal(old, new) for old, new in zip(before, encoder.buffers(), strict=True))


def test_the_network_is_in_training_again_even_after_an_error() -> None:
    encoder = build()
    with pytest.raises(RuntimeError):
        extract(encoder, torch.rand(3, 4, 8, 32, 32), draw_orders())
    assert encoder.training
    assert all(module.training for module in encoder.modules())


def test_clips_in_order_are_normalised_in_groups_only_where_it_matters() -> None:
    for backbone, training, expected in ((R3D, True, [2, 2, 2]), (R3D, False, [6]), (MVIT, True, [6])):
        encoder = build(backbone).train(training)
        seen: list[int] = []
        encoder.network.register_forward_hook(lambda _, inputs, __, seen=seen: seen.append(len(inputs[0])))
        features = extract_in_order(encoder, draw_clips(6), group_size=2)
        assert seen == expected
        assert features.shape[0] == 6
        assert not features.requires_grad


def test_batch_normalisation_is_found_wherever_it_is() -> None:
    assert has_batch_norm(nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.BatchNorm3d(2))))
    assert has_batch_norm(build(R3D))
    assert not has_batch_norm(build(MVIT))


def test_rows_are_run_in_their_order_and_never_more_than_allowed_at_once() -> None:
    slices: list[tuple[int, int]] = []

    def run(rows: slice) -> Tensor:
        slices.append((rows.start, rows.stop))
        return torch.arange(rows.start, rows.stop)

    done = BoundedPasses(4).run(run, 10, torch.device("cpu"))
    assert done.tolist() == list(range(10))
    assert slices == [(0, 4), (4, 8), (8, 10)]
    slices.clear()
    BoundedPasses(0).run(run, 40, torch.device("cpu"))
    assert slices == [(0, 16), (16, 32), (32, 40)]


@pytest.mark.parametrize(
    ("bytes_per_row", "free", "rows"), [(100.0, 10_000, 50), (0.0, 10, 5), (1e9, 1000, 1), (30.0, 100, 1)]
)
def test_half_of_the_free_memory_is_filled(bytes_per_row: float, free: int, rows: int) -> None:
    assert count_rows(bytes_per_row, free) == rows


def share_as(rank: int, port: int, folder: Path) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    encoder = build()
    for buffer in encoder.buffers():
        if buffer.is_floating_point():
            buffer.fill_(1.0 + 2.0 * rank)
    start_process_group(read_rank(), torch.device("cpu"), timeout_sec=60)
    share_statistics(encoder)
    share_statistics(build(MVIT))  # has none
    torch.save([buffer for buffer in encoder.buffers() if buffer.is_floating_point()], folder / f"{rank}.pt")
    stop_process_group()


def test_processes_average_their_statistics(tmp_path: Path) -> None:
    """1 in one process and 3 in the other: 2 in both."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=share_as, args=(rank, port, tmp_path)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    for rank in (0, 1):
        buffers = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert buffers
        assert all((buffer == 2.0).all() for buffer in buffers)


def test_alone_the_statistics_stay() -> None:
    encoder = build()
    before = [buffer.clone() for buffer in encoder.buffers()]
    share_statistics(encoder)
    assert all(torch.equal(old, new) for old, new in zip(before, encoder.buffers(), strict=True))


@pytest.mark.gpu
def test_on_a_gpu_the_number_of_clips_is_chosen_by_memory_once() -> None:
    encoder, clips, orders = build(MVIT).cuda(), draw_clips().cuda(), draw_orders().cuda()
    passes = BoundedPasses(0)
    rows = torch.arange(3, device="cuda").repeat_interleave(13)
    order = orders.flatten(0, 1)
    chosen = extract_versions(encoder, clips, rows, order, group_frames=2, passes=passes)
    assert passes.rows_per_pass > 39  # these clips are tiny
    again = extract_versions(encoder, clips, rows, order, group_frames=2, passes=passes)
    torch.testing.assert_close(chosen, again, rtol=1e-3, atol=1e-4)
