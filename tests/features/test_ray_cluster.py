import importlib
import os
import socket
from typing import Any

import pytest

from tests.features.ray_double import NODE, RayDouble
from unreel.errors import UnreelError
from unreel.features.ray_cluster import (
    ActorPlan,
    ClusterConfig,
    Machine,
    import_ray,
    join_cluster,
    plan_actors,
)

GPU_MACHINES = [Machine("a", 32, 4), Machine("b", 64, 8), Machine("head", 16, 0)]
CPU_MACHINES = [Machine("a", 8, 0), Machine("b", 12, 0)]


@pytest.mark.parametrize(
    ("machines", "config", "plan"),
    [
        # One actor per GPU, 32 / 4 = 64 / 8 = 8 cores each; the head has no GPU and makes nothing.
        (GPU_MACHINES, ClusterConfig(), ActorPlan(12, 8, 1.0)),
        # Two share a GPU, so 16 per machine of 64 cores get 4 cores each: 8 + 16.
        (GPU_MACHINES, ClusterConfig(gpus_per_actor=0.5), ActorPlan(24, 4, 0.5)),
        # Two GPUs each: 32 / 2 = 16 cores, 2 + 4 actors.
        (GPU_MACHINES, ClusterConfig(gpus_per_actor=2), ActorPlan(6, 16, 2.0)),
        # Cores are scarcer than GPUs: 32 / 20 = 1, 64 / 20 = 3.
        (GPU_MACHINES, ClusterConfig(cores_per_actor=20), ActorPlan(4, 20, 1.0)),
        # Without GPUs one actor per machine, with what the smallest has: 16 // 16 + 32 // 16 + 64 // 16.
        (GPU_MACHINES, ClusterConfig(device="cpu"), ActorPlan(7, 16, 0.0)),
        (CPU_MACHINES, ClusterConfig(), ActorPlan(2, 8, 0.0)),
        (CPU_MACHINES, ClusterConfig(cores_per_actor=3), ActorPlan(6, 3, 0.0)),
        # Fewer were asked for; more wait until there is room, as on a cluster that grows.
        (CPU_MACHINES, ClusterConfig(num_actors=1), ActorPlan(1, 8, 0.0)),
        (CPU_MACHINES, ClusterConfig(num_actors=3), ActorPlan(3, 8, 0.0)),
        # A machine that gives none of its cores to Ray, such as a head that only keeps order.
        ([*CPU_MACHINES, Machine("head", 0, 0)], ClusterConfig(), ActorPlan(2, 8, 0.0)),
    ],
)
def test_a_cluster_is_shared_out(machines: list[Machine], config: ClusterConfig, plan: ActorPlan) -> None:
    assert plan_actors(config, machines, num_parts=1000) == plan


def test_there_are_no_more_actors_than_parts() -> None:
    assert plan_actors(ClusterConfig(), GPU_MACHINES, num_parts=3).num_actors == 3


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ClusterConfig(cores_per_actor=13), r"needs 13 cores and 0 GPUs.*\(a: 8 and 0; b: 12 and 0\); lower"),
        (ClusterConfig(device="cuda"), "needs 1 cores and 1 GPUs"),
        (ClusterConfig(gpus_per_actor=0.5), "needs 1 cores and 0.5 GPUs"),
    ],
)
def test_an_actor_that_fits_nowhere_is_refused_instead_of_waited_for(
    config: ClusterConfig, message: str
) -> None:
    with pytest.raises(UnreelError, match=message):
        plan_actors(config, CPU_MACHINES, num_parts=5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_actors": -1}, "num_actors must be at least 0, got -1"),
        ({"cores_per_actor": -2}, "cores_per_actor must be at least 0, got -2"),
        ({"gpus_per_actor": -0.5}, "gpus_per_actor must be at least 0, or -1, got -0.5"),
        ({"device": "cuda:1"}, "device must be one of auto, cpu, cuda on a cluster.*got 'cuda:1'"),
        ({"address": "head"}, "ray_address must be HOST:PORT, or auto, got 'head'"),
        ({"address": "ray://head:10001"}, "start the command on a machine of the cluster"),
        ({"address": ":6379"}, "ray_address must be"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClusterConfig(**settings)


def test_a_missing_package_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(UnreelError, match=r"ray\[data\] \(No module named 'ray.data'\).*unreel\[scale\]"):
        import_ray()


def test_ray_is_kept_from_reporting_its_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    monkeypatch.setattr(importlib, "import_module", lambda name: name)
    assert import_ray() == "ray"
    assert os.environ.pop("RAY_USAGE_STATS_ENABLED") == "0"
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")  # whoever wants it has it
    import_ray()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "1"


def test_a_cluster_is_joined_and_left() -> None:
    gpu = {"Alive": True, "NodeManagerHostname": "there", "Resources": {"CPU": 8.0, "GPU": 2.0}}
    dead = {"Alive": False, "NodeManagerHostname": "gone", "Resources": {}}
    ray = RayDouble(NODE, dead, gpu)
    with join_cluster(ray, "") as machines:
        assert ray.is_initialized()
        assert machines == [Machine("here", 1, 0.0), Machine("there", 8, 2.0)]
    assert not ray.is_initialized()
    assert [arguments["address"] for arguments in ray.joined] == [None]


def test_a_cluster_that_was_joined_before_is_not_left() -> None:
    ray = RayDouble()
    ray.init()
    with pytest.raises(KeyboardInterrupt), join_cluster(ray, ""):
        raise KeyboardInterrupt
    assert ray.is_initialized()
    assert ray.joined == [{}]


def test_a_cluster_is_left_after_an_error() -> None:
    ray = RayDouble()
    with pytest.raises(KeyboardInterrupt), join_cluster(ray, "auto"):
        raise KeyboardInterrupt
    assert not ray.is_initialized()


def test_an_address_where_nobody_answers_is_named_before_ray_tries() -> None:
    ray = RayDouble()
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with join_cluster(ray, address):
            assert ray.joined[0]["address"] == address
    message = rf"nobody answers at --ray-address {address} .*ray start --head"
    with pytest.raises(UnreelError, match=message), join_cluster(ray, address):
        raise AssertionError
    assert len(ray.joined) == 1


def test_what_ray_says_against_an_address_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**arguments: Any) -> None:
        raise ConnectionError("Could not find any running Ray instance.\nA long story.")

    ray = RayDouble()
    monkeypatch.setattr(ray, "init", refuse)
    for address, name in (("auto", "auto"), ("", "any address")):
        message = rf"cannot use a Ray cluster at {name} \(Could not find any running Ray instance\.\); start"
        with pytest.raises(UnreelError, match=message), join_cluster(ray, address):
            raise AssertionError
