"""Memory that the processes of one machine share, whoever started them and however.

On Linux it is a file in memory without a name (``memfd_create``): workers inherit it or are handed it, and
other training processes open it by way of ``/proc``. The system frees it with the last process that has it,
even if all were killed. The size of ``/dev/shm`` does not matter. Elsewhere it is a temporary file that has
lost its name: workers share it, but every training process has its own.
"""

import mmap
import os
import tempfile
import uuid
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from unreel.distributed import gather_objects, rank_index

# N bytes

ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class BlockAddress:
    """Where another process of the same user and machine finds a block, as long as its maker has it."""

    process: int
    file: int
    num_bytes: int


class SharedBlock:
    """Bytes that other processes see too; zeros at first, which take no memory until they are written.

    Pickled for a worker process, it is the same memory there.

    Args:
        num_bytes: its size.
        file: descriptor of the memory when it is there already; the block closes it.

    Attributes:
        bytes_N: uint8, the memory itself.
    """

    def __init__(self, num_bytes: int, *, file: int = -1) -> None:
        if file < 0:
            file = _create_file()
            os.ftruncate(file, max(1, num_bytes))
        self._file = file
        weakref.finalize(self, os.close, file)
        self.bytes_N: NDArray[np.uint8] = np.frombuffer(mmap.mmap(file, max(1, num_bytes)), np.uint8)[
            :num_bytes
        ]

    @classmethod
    def attach(cls, address: BlockAddress) -> "SharedBlock":
        """Open the block of another process.

        Raises:
            OSError: that process is gone, or is another user's.
        """
        file = os.open(f"/proc/{address.process}/fd/{address.file}", os.O_RDWR | os.O_CLOEXEC)
        return cls(address.num_bytes, file=file)

    @property
    def address(self) -> BlockAddress:
        """Where others find it."""
        return BlockAddress(os.getpid(), self._file, len(self.bytes_N))

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (DupFd(self._file), len(self.bytes_N))


def _rebuild(handed: Any, num_bytes: int) -> SharedBlock:  # noqa: ANN401 (a private class of multiprocessing)
    return SharedBlock(num_bytes, file=handed.detach())


def _create_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("unreel-frames")
    with tempfile.TemporaryFile(prefix="unreel-frames-") as file:
        return os.dup(file.fileno())


@dataclass(frozen=True)
class Crew:
    """The training processes that share a machine, as one of them sees it.

    Attributes:
        place: of this process among them, from 0.
        ranks: their numbers among all processes, ascending.
    """

    place: int = 0
    ranks: tuple[int, ...] = (0,)

    def __len__(self) -> int:
        return len(self.ranks)


def find_crew() -> Crew:
    """Find the training processes that can share memory with this one; every process must ask."""
    machines = gather_objects(_name_machine())
    ranks = tuple(rank for rank, name in enumerate(machines) if name == machines[rank_index()])
    return Crew(ranks.index(rank_index()), ranks)


def _name_machine() -> str:
    """Name what processes have in common that find each other below ``/proc``; unique where there is none."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')} {os.getuid()}"
    except OSError:
        return uuid.uuid4().hex


def open_together(crew: Crew, num_bytes: int, check: Callable[[], None]) -> SharedBlock:
    """Return one block for all processes of a crew, made by the first of them; every process must ask.

    Args:
        crew: the processes that share it.
        num_bytes: its size.
        check: raises `ValueError` when there is not enough memory; asked once for each machine.

    Raises:
        ValueError: there is not enough memory on some machine, or some process cannot open the block; all
            processes raise it.
    """

    def create() -> SharedBlock | None:
        if crew.place:
            return None
        check()
        return SharedBlock(num_bytes)

    own = agree(create)
    address = gather_objects(own.address if own else None)[crew.ranks[0]]

    def attach() -> SharedBlock:
        assert address is not None
        return own or SharedBlock.attach(address)

    return agree(attach)


def agree(act: Callable[[], ResultT]) -> ResultT:
    """Do what may be refused, such as taking memory, in all processes or fail in all of them.

    Raises:
        ValueError: some process was refused.
    """
    result: ResultT | None = None
    problem = ""
    try:
        result = act()
    except ValueError as error:
        problem = str(error)
    except OSError as error:
        problem = f"process {rank_index()} cannot share memory for frames ({error}); use data.cache = 'none'"
    problems = [text for text in gather_objects(problem) if text]
    if problems:
        raise ValueError(problems[0])
    return cast(ResultT, result)
