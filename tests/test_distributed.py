"""Two processes compute what one would; one process needs nothing."""

import multiprocessing
import os
import socket
from pathlib import Path

import pytest
import torch

from unreel.distributed import (
    Rank,
    gather_objects,
    gather_rows,
    rank_index,
    read_rank,
    start_process_group,
    stop_process_group,
    sum_over_ranks,
    wait_for_all,
    world_size,
)

CPU = torch.device("cpu")


def half_of_the_work(rank: int, port: int, folder: Path) -> None:
    """Hold half of the rows in one of two processes and save what it finds.

    The loss of a process is the mean, over its own rows, of a function of all rows. Averaging the gradients
    over processes, as DDP does, must give the gradient of the mean over all rows.
    """
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    start_process_group(read_rank(), CPU, timeout_sec=60)
    start_process_group(read_rank(), CPU)  # joining twice is harmless
    assert (world_size(), rank_index()) == (2, rank)

    rows, weight = rows_and_weight()
    embeddings = rows[3 * rank : 3 * rank + 3] @ weight
    everyone = gather_rows(embeddings)
    loss = torch.logsumexp(embeddings @ everyone.T, dim=1).mean()
    loss.backward()
    assert weight.grad is not None
    result = {
        "everyone": everyone.detach(),
        "local_loss": loss.detach(),
        "loss": sum_over_ranks(loss) / 2,
        "grad": sum_over_ranks(weight.grad) / 2,
        "indices": gather_rows(torch.arange(3) + 3 * rank),
        "objects": gather_objects({"rank": rank}),
    }
    wait_for_all()
    torch.save(result, folder / f"{rank}.pt")
    stop_process_group()
    assert world_size() == 1


def rows_and_weight() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 4, generator=generator).requires_grad_()
    return torch.randn(6, 4, generator=generator), weight


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """What two gloo processes found, by rank."""
    folder, port = tmp_path_factory.mktemp("ranks"), find_free_port()
    fork = multiprocessing.get_context("fork")
    jobs = [fork.Process(target=half_of_the_work, args=(rank, port, folder)) for rank in range(2)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(timeout=90)
    assert [job.exitcode for job in jobs] == [0, 0]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def one_process() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The same loss of all rows at once: embeddings, loss, gradient."""
    rows, weight = rows_and_weight()
    embeddings = rows @ weight
    loss = torch.logsumexp(embeddings @ embeddings.T, dim=1).mean()
    loss.backward()
    assert weight.grad is not None
    return embeddings.detach(), loss.detach(), weight.grad


def test_rows_are_gathered_in_order_of_rank_in_every_process(two_processes: list[dict]) -> None:
    embeddings, _, _ = one_process()
    for result in two_processes:
        torch.testing.assert_close(result["everyone"], embeddings)
        assert result["indices"].tolist() == [0, 1, 2, 3, 4, 5]


def test_two_processes_give_the_loss_of_one(two_processes: list[dict]) -> None:
    _, loss, _ = one_process()
    assert two_processes[0]["local_loss"] != two_processes[1]["local_loss"]
    for result in two_processes:
        torch.testing.assert_close(result["loss"], loss)


def test_two_processes_give_the_gradient_of_one(two_processes: list[dict]) -> None:
    _, _, grad = one_process()
    for result in two_processes:
        torch.testing.assert_close(result["grad"], grad)


def test_objects_are_gathered_in_order_of_rank(two_processes: list[dict]) -> None:
    assert all(result["objects"] == [{"rank": 0}, {"rank": 1}] for result in two_processes)


def test_alone_every_function_is_the_identity() -> None:
    rows = torch.randn(3, 2, requires_grad=True)
    assert gather_rows(rows) is rows
    assert sum_over_ranks(rows) is rows
    assert gather_objects("x") == ["x"]
    assert (world_size(), rank_index()) == (1, 0)
    wait_for_all()
    start_process_group(Rank(), CPU)
    stop_process_group()
    assert world_size() == 1


def test_without_variables_a_process_is_alone() -> None:
    assert read_rank() == Rank(0, 1, 0)
    assert read_rank().is_main


def test_torchrun_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, RANK="5", WORLD_SIZE="8", LOCAL_RANK="1")
    assert read_rank() == Rank(5, 8, 1)
    assert not read_rank().is_main


def test_slurm_is_understood_and_torchrun_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, SLURM_PROCID="2", SLURM_NTASKS="4", SLURM_LOCALID="2")
    assert read_rank() == Rank(2, 4, 2)
    set_variables(monkeypatch, RANK="0", WORLD_SIZE="2")
    assert read_rank() == Rank(0, 2, 0)


def test_a_variable_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, RANK="first", WORLD_SIZE="2")
    with pytest.raises(ValueError, match="environment variable RANK must be an integer, got 'first'"):
        read_rank()


def test_several_processes_without_an_address_are_refused() -> None:
    with pytest.raises(ValueError, match="2 processes but MASTER_ADDR is not set; start with `torchrun`"):
        start_process_group(Rank(0, 2, 0), CPU)


def set_variables(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
