import multiprocessing
import os
import signal
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from unreel.data import shared_block as module
from unreel.data.shared_block import BlockAddress, Crew, SharedBlock, agree, find_crew, open_together


def write(block: SharedBlock, value: int) -> None:
    block.bytes_N[:] = value


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_process_that_is_handed_a_block_has_the_same_memory(start: str) -> None:
    block = SharedBlock(5000)
    assert block.bytes_N.dtype == np.uint8
    assert block.bytes_N.tolist() == [0] * 5000
    process = multiprocessing.get_context(start).Process(target=write, args=(block, 7))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert block.bytes_N.tolist() == [7] * 5000


def test_without_memory_files_a_nameless_file_does_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    block = SharedBlock(300)
    assert list(tmp_path.iterdir()) == []
    process = multiprocessing.get_context("fork").Process(target=write, args=(block, 3))
    process.start()
    process.join(60)
    assert block.bytes_N.tolist() == [3] * 300


def test_a_block_of_nothing_is_possible() -> None:
    assert SharedBlock(0).bytes_N.shape == (0,)


def make_and_wait(pipe: Connection) -> None:
    block = SharedBlock(4096)
    write(block, 9)
    pipe.send(block.address)
    signal.pause()


def test_the_memory_outlives_a_killed_maker_and_ends_with_the_last_who_has_it() -> None:
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()
    maker = context.Process(target=make_and_wait, args=(theirs,))
    maker.start()
    try:
        assert mine.poll(60)
        address = mine.recv()
        assert isinstance(address, BlockAddress)
        block = SharedBlock.attach(address)
    finally:
        os.kill(maker.pid or 0, signal.SIGKILL)
        maker.join(60)
    assert block.bytes_N.tolist() == [9] * 4096
    # No name that could be left behind: the number of links is 0, so the last to close it frees it.
    assert os.fstat(block.address.file).st_nlink == 0
    with pytest.raises(OSError, match="No such file"):
        SharedBlock.attach(address)


def test_a_block_that_is_forgotten_is_closed() -> None:
    block = SharedBlock(10)
    file = block.address.file
    values = block.bytes_N
    del block
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(file)
    values[:] = 1  # what was taken from it stays usable
    assert values.sum() == 10


def test_alone_a_process_is_its_own_crew() -> None:
    assert find_crew() == Crew(0, (0,))
    assert len(find_crew()) == 1


def test_processes_of_one_machine_are_told_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    own = module._name_machine()
    assert own == module._name_machine()
    monkeypatch.setattr(module, "gather_objects", lambda name: ["other", name, "other", name])
    monkeypatch.setattr(module, "rank_index", lambda: 3)
    assert find_crew() == Crew(1, (1, 3))


def test_processes_that_cannot_find_each_other_share_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(os, "readlink", refuse)
    assert module._name_machine() != module._name_machine()


def test_the_first_of_a_machine_asks_for_memory_and_makes_the_block() -> None:
    asked: list[int] = []
    block = open_together(Crew(), 100, lambda: asked.append(1))
    assert asked == [1]
    assert len(block.bytes_N) == 100


def test_the_others_of_a_machine_open_the_block_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    first = SharedBlock(100)
    monkeypatch.setattr(module, "gather_objects", lambda item: [first.address if item is None else item] * 2)

    def never() -> None:
        raise AssertionError("asked")

    second = open_together(Crew(1, (0, 1)), 100, never)
    write(first, 4)
    assert second.bytes_N.tolist() == [4] * 100


def test_a_refusal_of_one_process_is_that_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise ValueError("only 3 MiB are free")

    with pytest.raises(ValueError, match=r"^only 3 MiB are free$"):
        agree(refuse)
    monkeypatch.setattr(module, "gather_objects", lambda problem: [problem, "no memory on the other machine"])
    with pytest.raises(ValueError, match="no memory on the other machine"):
        agree(lambda: 5)


def test_a_block_that_cannot_be_opened_is_a_refusal_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert agree(lambda: 5) == 5
    gone = BlockAddress(2**22 + 1, 3, 100)
    with pytest.raises(ValueError, match=r"process 0 cannot share memory .*; use data.cache = 'none'"):
        agree(lambda: SharedBlock.attach(gone))
