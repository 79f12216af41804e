import multiprocessing
import os
import socket
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from unreel.distributed import gather_rows, read_rank, start_process_group, stop_process_group, sum_over_ranks
from unreel.models.batch_norm import SynchronizedBatchNorm, forward_shuffled, synchronize_batch_norm


def build_network() -> nn.Sequential:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(2, 3, 1), nn.BatchNorm3d(3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 2))
    nn.init.normal_(network[1].weight)
    return network


def draw_clips(batch: int) -> Tensor:
    return torch.randn(batch, 2, 2, 2, 2, generator=torch.Generator().manual_seed(1))


def run_half(rank: int, port: int, folder: Path) -> None:
    """Do one process's half of what `test_two_processes_...` does in one."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    start_process_group(read_rank(), torch.device("cpu"), timeout_sec=60)
    network = synchronize_batch_norm(build_network())
    mine = draw_clips(8)[4 * rank : 4 * rank + 4]
    output = network(mine)
    output.square().mean().backward()
    grads = [sum_over_ranks(p.grad) / 2 for p in network.parameters() if p.grad is not None]

    torch.manual_seed(rank)  # the order of the shuffle is the first process's
    seen: list[Tensor] = []

    def remember(rows: Tensor) -> Tensor:
        seen.append(rows)
        return rows[:, :1] * 10

    rows = torch.arange(8.0).view(8, 1)[4 * rank : 4 * rank + 4]
    shuffled = forward_shuffled(remember, rows, group_size=2)
    result = {
        "output": gather_rows(output.detach()),
        "grads": grads,
        "mean": network[1].running_mean,
        "var": network[1].running_var,
        "shuffled": gather_rows(shuffled),
        "dealt": gather_rows(seen[0]),
    }
    torch.save(result, folder / f"{rank}.pt")
    stop_process_group()


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    folder = tmp_path_factory.mktemp("halves")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=run_half, args=(rank, port, folder)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(90)
        assert process.exitcode == 0
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


def test_two_processes_normalise_with_the_statistics_of_both(halves: list[dict[str, Tensor]]) -> None:
    network = build_network()
    output = network(draw_clips(8))
    output.square().mean().backward()
    for half in halves:
        torch.testing.assert_close(half["output"], output.detach(), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(half["mean"], network[1].running_mean, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(half["var"], network[1].running_var, atol=1e-6, rtol=1e-5)
        for mine, whole in zip(half["grads"], network.parameters(), strict=True):
            torch.testing.assert_close(mine, whole.grad, atol=1e-5, rtol=1e-4)


def test_a_shuffle_over_processes_brings_every_row_home(halves: list[dict[str, Tensor]]) -> None:
    for half in halves:
        assert half["shuffled"].flatten().tolist() == [10.0 * row for row in range(8)]
        dealt = half["dealt"].flatten().tolist()
        assert sorted(dealt) == list(range(8))
        assert dealt != sorted(dealt)


def test_one_process_normalises_the_groups_of_a_shuffle_apart() -> None:
    torch.manual_seed(3)
    rows = torch.randn(8, 2)
    groups: list[Tensor] = []

    def center(group: Tensor) -> Tensor:
        groups.append(group)
        return group - group.mean(dim=0)

    output = forward_shuffled(center, rows, group_size=4)
    assert [len(group) for group in groups] == [4, 4]
    for row, result in zip(rows, output, strict=True):
        (group,) = (group for group in groups if (group == row).all(dim=1).any())
        assert torch.equal(result, row - group.mean(dim=0))
    assert not torch.equal(torch.cat(groups), rows)


def test_groups_take_what_does_not_divide_evenly() -> None:
    sizes: list[int] = []

    def measure(group: Tensor) -> Tensor:
        sizes.append(len(group))
        return group

    rows = torch.arange(11.0).view(11, 1)
    assert torch.equal(forward_shuffled(measure, rows, group_size=4), rows)
    assert sizes == [6, 5]


@pytest.mark.parametrize(("batch", "group_size"), [(7, 4), (8, 0)])
def test_a_small_batch_or_no_group_size_runs_as_it_is(batch: int, group_size: int) -> None:
    rows = torch.randn(batch, 2)
    seen: list[Tensor] = []
    forward_shuffled(lambda group: seen.append(group) or group, rows, group_size=group_size)
    assert len(seen) == 1
    assert seen[0] is rows


def test_alone_the_synchronised_form_is_plain_batch_normalisation() -> None:
    plain, synchronised = build_network(), synchronize_batch_norm(build_network())
    clips = draw_clips(4)
    for _ in range(2):
        torch.testing.assert_close(plain(clips), synchronised(clips), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(plain[1].running_var, synchronised[1].running_var)
    assert synchronised[1].num_batches_tracked.item() == 2
    torch.testing.assert_close(plain.eval()(clips), synchronised.eval()(clips), atol=1e-5, rtol=1e-4)


def test_replacing_keeps_weights_state_and_what_is_frozen() -> None:
    network = build_network().requires_grad_(False)
    network(draw_clips(4))
    twin = synchronize_batch_norm(network)
    assert isinstance(twin[1], SynchronizedBatchNorm)
    assert not any(p.requires_grad for p in twin.parameters())
    assert twin[1].running_mean.abs().sum() > 0
    assert synchronize_batch_norm(twin)[1] is twin[1]


def test_rows_without_channels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"takes \(B, C, ...\), got shape \(3,\)"):
        SynchronizedBatchNorm(3)(torch.ones(3))


@pytest.mark.gpu
def test_a_gpu_shuffles_into_the_same_groups_as_the_cpu() -> None:
    groups: dict[str, list[list[float]]] = {}
    for device in ("cpu", "cuda"):
        seen = groups[device] = []
        torch.manual_seed(5)
        rows = torch.arange(32.0, device=device).view(32, 1)
        home = forward_shuffled(
            lambda group, seen=seen: seen.append(group.flatten().tolist()) or group, rows, group_size=8
        )
        assert torch.equal(home, rows)
    assert groups["cuda"] == groups["cpu"]
