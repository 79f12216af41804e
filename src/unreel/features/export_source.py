"""What can be exported, and what may be told of it to strangers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unreel.errors import WeightsError
from unreel.features.classifier import Classifier
from unreel.features.classifier_files import CLASSIFIER_KIND
from unreel.features.encoder import Encoder
from unreel.features.encoder_files import ENCODER_KIND
from unreel.runs import read_json

Kind = Literal["encoder", "classifier"]
"""What a network gives: features, or scores of classes."""

_OF_PROVENANCE = ("method", "recipe", "step", "num_steps", "seed", "catalog", "unreel")
_OF_RUN = ("videos", "processes", "device", "python", "commit")
_OF_TRAINING = ("epochs", "batch_size", "precision")
_OF_OPTIMIZER = ("name", "lr", "lr_per_videos", "weight_decay")
_NUMBERS = {"step", "num_steps", "seed", "videos", "processes", "epochs", "batch_size"}
_PUBLIC = (
    *_OF_PROVENANCE,
    *_OF_RUN,
    "torch",
    "initial weights",
    *_OF_TRAINING,
    *(f"optimizer {name}" for name in _OF_OPTIMIZER),
)
"""What is told of a training; commands, folders, messages and all the rest stay at home."""


@dataclass(frozen=True)
class ExportSource:
    """A trained network and what is known of its training.

    Attributes:
        model: the network and what it must be fed.
        folder: that it was read from.
        facts: what may be told of the training, by name; plain words and numbers, none with a path in it.
    """

    model: Encoder | Classifier
    folder: Path
    facts: dict[str, Any]

    @property
    def kind(self) -> Kind:
        """What the network gives."""
        return "classifier" if isinstance(self.model, Classifier) else "encoder"

    @property
    def num_outputs(self) -> int:
        """Numbers per clip: features, or classes."""
        return self.model.num_features


def open_source(folder: Path) -> ExportSource:
    """Read a classifier or an encoder: from its own folder, or from the run that made it.

    Of a run that has both it is the classifier; ``RUN/encoder`` names the other.

    Raises:
        WeightsError: the folder holds neither, or a damaged one.
    """
    folder = Path(folder)
    model: Encoder | Classifier
    for kind in (CLASSIFIER_KIND, ENCODER_KIND):
        for place in (folder, folder / kind.name):
            if (place / kind.description_file).exists():
                model = Classifier.load(place) if kind is CLASSIFIER_KIND else Encoder.load(place)
                facts = {
                    **select_facts(model.provenance),
                    **_read_run(place.absolute().parent, model.provenance),
                }
                return ExportSource(model, place, facts)
    raise WeightsError(
        f"{folder} holds no encoder and no classifier (no {ENCODER_KIND.description_file}, no "
        f"{CLASSIFIER_KIND.description_file}); give a run, or the folder `encoder` or `classifier` of one"
    )


def select_facts(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may be told of where weights come from."""
    return _keep_public({name: provenance.get(name) for name in _PUBLIC})


def _read_run(run: Path, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run's own files add; nothing where they are missing, unknown or of other videos."""
    parts = _read_json(run / "provenance.json").get("parts")
    parts = parts if isinstance(parts, list) and parts else [{}]
    part = parts[-1]
    if not isinstance(part, dict) or part.get("catalog") != provenance.get("catalog"):
        return {}
    train = _group(_group(_read_json(run / "recipe.json"), "settings"), "train")
    facts = {name: part.get(name) for name in _OF_RUN}
    facts["torch"] = _group(part, "packages").get("torch")
    facts["initial weights"] = _describe_start(_group(parts[0], "initial_weights"))
    facts |= {name: train.get(name) for name in _OF_TRAINING if name != "epochs" or not train.get("steps")}
    facts |= {f"optimizer {name}": _group(train, "optimizer").get(name) for name in _OF_OPTIMIZER}
    return _keep_public(facts)


def _describe_start(initial_weights: Mapping[str, Any]) -> str:
    """Say which parts of a network began with weights of a file, by its hash; files stay unnamed."""
    hashes = {name: _group(initial_weights, name).get("hash") for name in initial_weights}
    return ", ".join(f"{name} from a file of hash {value}" for name, value in hashes.items() if value)


def _keep_public(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in facts.items()
        if _is_public(value) and (name not in _NUMBERS or isinstance(value, (int, float)))
    }


def _is_public(value: object) -> bool:
    """Whether a value is a plain one that says something, and no path."""
    if isinstance(value, str):
        return bool(value) and not re.search(r"[/\\~\n]", value)
    return isinstance(value, (int, float))


def _group(values: object, name: str) -> dict[str, Any]:
    found = values.get(name) if isinstance(values, dict) else None
    return found if isinstance(found, dict) else {}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = read_json(path)
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
