"""A cluster of machines that Ray joins: how it is reached, and how it is shared out among actors."""

import importlib
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from unreel.errors import UnreelError

_CONNECT_SEC = 10.0
_DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class ClusterConfig:
    """Where the cluster is, and what each actor, a process with an encoder of its own, gets of it."""

    address: str = ""
    """HOST:PORT of the head, or "auto"; "" takes the cluster that this machine is part of (or that the
    variable RAY_ADDRESS names), and without one this machine alone."""
    num_actors: int = 0
    """Processes that embed; 0 takes as many as fit."""
    cores_per_actor: int = 0
    """Cores for the network on a CPU, and for decoding; 0 shares a machine's cores out among its GPUs, and
    gives one actor all cores of a machine where there is no GPU."""
    gpus_per_actor: float = -1
    """GPUs, or a share of one; -1 takes one where the cluster has any. With a GPU, machines without one are
    left alone."""
    device: str = "auto"
    """Where the networks run: auto, cpu or cuda."""

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            ValueError: a number or word is none of those above.
        """
        for name, lowest in (("num_actors", 0), ("cores_per_actor", 0)):
            if getattr(self, name) < lowest:
                raise ValueError(f"{name} must be at least {lowest}, got {getattr(self, name)}")
        if self.gpus_per_actor < 0 and self.gpus_per_actor != -1:
            raise ValueError(f"gpus_per_actor must be at least 0, or -1, got {self.gpus_per_actor:g}")
        if self.device not in _DEVICES:
            raise ValueError(
                f"device must be one of {', '.join(_DEVICES)} on a cluster, where Ray chooses among several "
                f"GPUs, got {self.device!r}"
            )
        if self.address not in ("", "auto") and _split_address(self.address) is None:
            raise ValueError(
                f"ray_address must be HOST:PORT, or auto, got {self.address!r}; start the command on a "
                "machine of the cluster"
            )


class Machine(NamedTuple):
    """What one machine of the cluster has, whoever uses it now."""

    name: str
    cores: int
    gpus: float


@dataclass(frozen=True)
class ActorPlan:
    """How many actors there are, and what each gets."""

    num_actors: int
    cores: int
    gpus: float


def plan_actors(config: ClusterConfig, machines: Sequence[Machine], *, num_parts: int) -> ActorPlan:
    """Share a cluster out.

    Args:
        config: what was asked for.
        machines: of the cluster, alive.
        num_parts: pieces of work; more actors would have nothing to do.

    Raises:
        UnreelError: no machine has what one actor needs.
    """
    gpus = config.gpus_per_actor
    if gpus < 0:
        gpus = float(config.device == "cuda" or any(machine.gpus >= 1 for machine in machines))
    if config.device == "cpu":
        gpus = 0.0
    fitting = [machine for machine in machines if machine.gpus >= gpus and machine.cores]
    cores = config.cores_per_actor
    if not cores:
        cores = min((_share_cores(machine, gpus) for machine in fitting), default=1)
    num_places = sum(_count_places(machine, cores, gpus) for machine in fitting)
    if not num_places:
        listed = "; ".join(f"{machine.name}: {machine.cores} and {machine.gpus:g}" for machine in machines)
        raise UnreelError(
            f"an actor needs {cores} cores and {gpus:g} GPUs, and no machine of the cluster has them "
            f"({listed}); lower --cores-per-actor or --gpus-per-actor, or add machines"
        )
    return ActorPlan(min(config.num_actors or num_places, num_parts), cores, gpus)


def _share_cores(machine: Machine, gpus: float) -> int:
    return max(1, int(machine.cores / max(1, machine.gpus // gpus))) if gpus else machine.cores


def _count_places(machine: Machine, cores: int, gpus: float) -> int:
    by_cores = machine.cores // cores
    return min(by_cores, int(machine.gpus / gpus)) if gpus else by_cores


def import_ray() -> Any:  # noqa: ANN401 (a module that need not be there)
    """Return the module ``ray`` with ``ray.data``; it is kept from reporting its use to its makers.

    Raises:
        UnreelError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        importlib.import_module("ray.data")
        return importlib.import_module("ray")
    except ImportError as error:
        raise UnreelError(
            f"the engine ray needs the package ray[data] ({error}); `pip install 'unreel[scale]'`, on every "
            "machine of the cluster"
        ) from error


@contextmanager
def join_cluster(ray: Any, address: str) -> Iterator[list[Machine]]:  # noqa: ANN401 (see `import_ray`)
    """Be part of a cluster for the duration of a block; one that was joined before stays joined after it.

    Args:
        ray: the module.
        address: as in `ClusterConfig`.

    Yields:
        The machines that are alive.

    Raises:
        UnreelError: nobody answers there, or this machine is no part of that cluster.
    """
    joins = not ray.is_initialized()
    if joins:
        _check_reachable(address)
        try:
            ray.init(address=address or None, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError) as error:
            raise UnreelError(
                f"this machine cannot use a Ray cluster at {address or 'any address'} "
                f"({str(error).strip().splitlines()[0]}); start one with `ray start --head`, let this "
                "machine join with `ray start --address HOST:PORT`, and give that as --ray-address"
            ) from error
    try:
        yield [
            Machine(
                node["NodeManagerHostname"],
                int(node["Resources"].get("CPU", 0)),
                float(node["Resources"].get("GPU", 0)),
            )
            for node in ray.nodes()
            if node["Alive"]
        ]
    finally:
        if joins:
            ray.shutdown()


def _split_address(address: str) -> tuple[str, int] | None:
    host, colon, port = address.rpartition(":")
    return (host, int(port)) if host and colon and port.isdigit() and "/" not in host else None


def _check_reachable(address: str) -> None:
    """Look whether anybody listens: Ray itself would try for a minute, and end the process."""
    place = _split_address(address)
    if place is None:
        return
    try:
        socket.create_connection(place, timeout=_CONNECT_SEC).close()
    except OSError as error:
        raise UnreelError(
            f"nobody answers at --ray-address {address} ({error}); give HOST:PORT as `ray start --head` "
            "prints it, and look whether that machine runs and lets this one connect"
        ) from error
