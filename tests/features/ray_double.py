"""What unreel uses of Ray, in one process: actors are made and asked one after the other."""

import pickle
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

NODE = {"Alive": True, "NodeManagerHostname": "here", "Resources": {"CPU": 1.0}}


class RayError(Exception):
    """Stands for the errors of Ray."""


class RayDouble:
    """A module ``ray`` of one machine; everything that would travel is pickled.

    Attributes:
        joined: arguments of every `init`.
        options: arguments of the last `map`.
        failure: raised once the last answer was given, if not None.
    """

    def __init__(self, *nodes: dict[str, Any]) -> None:
        self.exceptions = SimpleNamespace(RayError=RayError)
        self.joined: list[dict[str, Any]] = []
        self.options: dict[str, Any] = {}
        self.failure: Exception | None = None
        self.asked: list[int] = []
        self._nodes = list(nodes) or [NODE]
        self._is_initialized = False
        self.context = SimpleNamespace(enable_progress_bars=True)
        self.data = SimpleNamespace(
            DataContext=SimpleNamespace(get_current=lambda: self.context),
            ActorPoolStrategy=lambda **limits: limits,
            from_items=self._from_items,
        )

    def is_initialized(self) -> bool:
        return self._is_initialized

    def init(self, **arguments: Any) -> None:
        self.joined.append(arguments)
        self._is_initialized = True

    def shutdown(self) -> None:
        self._is_initialized = False

    def nodes(self) -> list[dict[str, Any]]:
        return self._nodes

    def put(self, thing: Any) -> bytes:
        return pickle.dumps(thing)

    def get(self, thing: bytes) -> Any:
        return pickle.loads(thing)

    def _from_items(self, items: list[dict[str, Any]], override_num_blocks: int) -> SimpleNamespace:
        assert override_num_blocks == len(items)
        return SimpleNamespace(map=lambda actor, **options: self._map(items, actor, options))

    def _map(self, items: list[dict[str, Any]], actor: Any, options: dict[str, Any]) -> SimpleNamespace:
        self.options = options
        arguments = pickle.loads(pickle.dumps(options["fn_constructor_kwargs"]))

        def iter_rows() -> Iterator[dict[str, Any]]:
            made = actor(**arguments)
            for item in reversed(items):  # no order is promised
                self.asked.append(item["part"])
                yield made(item)
            if self.failure is not None:
                raise self.failure

        return SimpleNamespace(iter_rows=iter_rows)
