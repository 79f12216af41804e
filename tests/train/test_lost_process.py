"""What happens to the others when one of several training processes dies."""

import multiprocessing
import os
import signal
import socket
import time
from pathlib import Path

import pytest
import torch

from tests.train.runs import build_recipe
from unreel.distributed import is_loss_of_peer
from unreel.errors import TrainingError
from unreel.train.pretrain import pretrain

WORLD_SIZE = 4


def train_as(rank: int, port: int, catalog: Path, run: Path, end: str) -> None:
    """Train as one of four; the last one meets its end after the third step. The others note theirs."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(WORLD_SIZE), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    if rank == WORLD_SIZE - 1:
        die_after_step(3, end)
    try:
        pretrain(build_recipe(catalog, steps=100_000), run, recipe_name="moco.ucf101")
    except TrainingError as error:
        (run.parent / f"{rank}.txt").write_text(str(error))


def die_after_step(step: int, end: str) -> None:
    from unreel.methods.moco import MoCo

    after_step, steps = MoCo.after_step, iter(range(step + 1))

    def after_step_and_die(self: MoCo, progress: float) -> None:
        after_step(self, progress)
        if next(steps) == step - 1:
            if end == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise TrainingError("the loss is nan")

    MoCo.after_step = after_step_and_die


@pytest.mark.slow
@pytest.mark.parametrize("end", ["killed", "failed"])
def test_the_others_stop_within_a_minute_and_say_why(corpus: Path, tmp_path: Path, end: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    run = tmp_path / "run"
    processes = [
        context.Process(target=train_as, args=(rank, port, corpus, run, end)) for rank in range(WORLD_SIZE)
    ]
    for process in processes:
        process.start()
    try:
        processes[-1].join(120)
        assert processes[-1].exitcode == (-signal.SIGKILL if end == "killed" else 0)
        started = time.monotonic()
        for process in processes[:-1]:
            process.join(60)
        assert time.monotonic() - started < 60
        assert [process.exitcode for process in processes[:-1]] == [0, 0, 0]
    finally:
        for process in processes:
            process.kill()
    for rank in range(WORLD_SIZE - 1):
        reason = (tmp_path / f"{rank}.txt").read_text()
        assert f"process {rank} of 4 stops because another one has died" in reason
        assert f"unreel pretrain --resume {run}" in reason
    # What was done before is whole, and can be gone on with.
    assert sorted((run / "checkpoints").glob("step-*.pt"))


def test_alone_no_error_is_the_loss_of_another() -> None:
    assert not is_loss_of_peer(RuntimeError("[gloo] Connection reset by peer"))


def test_other_errors_are_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unreel.distributed.world_size", lambda: 2)
    assert is_loss_of_peer(RuntimeError("[gloo/transport/tcp/pair.cc:537] Read error: Connection reset"))
    assert is_loss_of_peer(torch.distributed.DistBackendError("NCCL error"))
    assert not is_loss_of_peer(RuntimeError("shapes do not agree"))
