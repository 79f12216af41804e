"""Which tensor of a file belongs to which weight of a backbone."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from unreel.models.backbone import Backbone
from unreel.models.torchvision_names import map_to_torchvision

Naming = Literal["unreel", "torchvision"]

_HEADS = re.compile(
    r"^(fc|heads?|classifier|cls_head|linear|logits|mlp|projection|projection_head|projector|predictor)\d*\."
)
# Words by which others call the slow copy of a network, such as encoder_k, momentum_encoder, key_encoder.
_MOMENTUM = re.compile(r"(^|\.)(\w*_k|key\w*|momentum\w*|\w+_momentum|teacher\w*|target\w*|ema\w*)\.")
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class ShapeMismatch:
    """A weight that has another shape in the file than in the network.

    Attributes:
        name: our name.
        file_shape: its shape in the file.
        network_shape: its shape in the network.
    """

    name: str
    file_shape: tuple[int, ...]
    network_shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.file_shape} in the file, {self.network_shape} in the network"


@dataclass(frozen=True)
class LoadReport:
    """What becomes of every tensor of a file and of every weight of a backbone.

    Attributes:
        prefix: what stands before every name, such as ``module.encoder_q.``.
        naming: whose names the file uses.
        loaded: our names of the weights and buffers that fit.
        missing: our names of those the file does not have; they keep their values. Counters of batches
            (``num_batches_tracked``), which older files lack, are not reported.
        mismatched: those with another shape; they keep their values.
        ignored_heads: the file's names of classifiers and projection heads beside the backbone.
        unexpected: the file's names under the prefix that are neither of the backbone nor of a head.
        outside: the file's names without the prefix, such as a momentum encoder or a queue.
        file: where the tensors were read; None when they did not come from a file.
        file_hash: 16 hexadecimal digits that change with any byte of the file, or "".
    """

    prefix: str
    naming: Naming
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    mismatched: tuple[ShapeMismatch, ...]
    ignored_heads: tuple[str, ...]
    unexpected: tuple[str, ...]
    outside: tuple[str, ...]
    file: Path | None = None
    file_hash: str = ""

    @property
    def share_loaded(self) -> float:
        """Share of the backbone's weights and statistics that fit, in [0, 1]; counters do not count."""
        loaded = sum(not name.endswith(_COUNTER) for name in self.loaded)
        mismatched = sum(not item.name.endswith(_COUNTER) for item in self.mismatched)
        return loaded / max(1, loaded + mismatched + len(self.missing))

    def describe(self) -> str:
        """Return a few lines for a person; each list is cut after five names."""
        behind = f" behind {self.prefix!r}" if self.prefix else ""
        lines = [f"{self.share_loaded:.0%} of the weights loaded ({self.naming} names{behind})"]
        for title, names in (
            ("not in the file", self.missing),
            ("of another shape", self.mismatched),
            ("heads, ignored", self.ignored_heads),
            ("not in the network", self.unexpected),
            ("of other networks", self.outside),
        ):
            if names:
                lines.append(f"{title}: {join_names(names)}")
        return "\n".join(lines)


def match_weights(backbone: Backbone, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], LoadReport]:
    """Find a backbone among the tensors of a file; nothing is copied.

    The names may be ours or torchvision's, behind any prefix: the naming and the prefix with which most
    tensors fit are taken. Where a query and a momentum encoder fit alike, the query encoder is taken; of
    other equals, the first in the file.

    Returns:
        The tensors that fit, by our names, and the report of all.
    """
    prefix, naming = _locate(backbone, state)
    own_names = _map_to_own(backbone, naming)
    network = backbone.state_dict()
    fitting: dict[str, Tensor] = {}
    mismatched: list[ShapeMismatch] = []
    heads: list[str] = []
    unexpected: list[str] = []
    for key in (key for key in state if key.startswith(prefix)):
        name = own_names.get(key.removeprefix(prefix))
        if name is None:
            (heads if _HEADS.match(key.removeprefix(prefix)) else unexpected).append(key)
        elif state[key].shape == network[name].shape:
            fitting[name] = state[key]
        else:
            mismatched.append(ShapeMismatch(name, tuple(state[key].shape), tuple(network[name].shape)))
    found = fitting.keys() | {item.name for item in mismatched}
    report = LoadReport(
        prefix=prefix,
        naming=naming,
        loaded=tuple(name for name in network if name in fitting),
        missing=tuple(name for name in network if name not in found and not name.endswith(_COUNTER)),
        mismatched=tuple(mismatched),
        ignored_heads=tuple(heads),
        unexpected=tuple(unexpected),
        outside=tuple(key for key in state if not key.startswith(prefix)),
    )
    return fitting, report


def _locate(backbone: Backbone, state: Mapping[str, Tensor]) -> tuple[str, Naming]:
    """Find the prefix and the naming with which most tensors fit: by shape, then by name alone."""
    network = backbone.state_dict()
    scores: dict[tuple[str, Naming], list[int]] = {}
    namings: tuple[Naming, ...] = ("unreel", "torchvision")
    for naming in namings:
        own_names = _map_to_own(backbone, naming)
        for key, value in state.items():
            for ending in _endings(key):
                if ending in own_names:
                    place = (key.removesuffix(ending), naming)
                    score = scores.setdefault(place, [0, 0, not _MOMENTUM.search(place[0])])
                    score[0] += value.shape == network[own_names[ending]].shape
                    score[1] += 1
    # `max` keeps the first of equals, in the order of the file.
    return max(scores, key=scores.__getitem__, default=("", "unreel"))


def _endings(key: str) -> Iterable[str]:
    """Yield ``a.b.c``, ``b.c`` and ``c`` of a name."""
    words = key.split(".")
    return (".".join(words[start:]) for start in range(len(words)))


def _map_to_own(backbone: Backbone, naming: Naming) -> dict[str, str]:
    """Return our name of every weight by its name in a naming."""
    if naming == "unreel":
        return {key: key for key in backbone.state_dict()}
    return {theirs: own for own, theirs in map_to_torchvision(backbone).items()}


def join_names(names: Iterable[object], limit: int = 5) -> str:
    """Return names with commas; those beyond the limit are only counted."""
    words = [str(name) for name in names]
    more = f" and {len(words) - limit} more" if len(words) > limit else ""
    return ", ".join(words[:limit]) + more
