"""A network that tells classes, together with what it must be fed: the portable result of fine-tuning."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.augment.evaluation_views import EvaluationViews
from unreel.augment.views import iterate_crops
from unreel.errors import WeightsError
from unreel.features.classifier_files import CLASSIFIER_KIND, ClassifierConfig
from unreel.features.encoder import Precision
from unreel.features.encoder_files import ENCODER_KIND
from unreel.features.input_spec import InputSpec
from unreel.features.pooling import Pooling
from unreel.features.reading import ClipEmbedder
from unreel.features.weight_files import hash_weights
from unreel.models.backbone import Backbone
from unreel.models.classification_head import ClassificationHead
from unreel.models.zoo import build_backbone

# B clips, R crops of each, C classes; of pictures: C channels, T frames, H W pixels

_MOST_VIDEOS = 10**12


class ClipClassifier(ClipEmbedder, Protocol):
    """What scores clips by class: its vectors are the scores, a row per crop, which are to be averaged."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the scores."""

    @property
    def views(self) -> EvaluationViews:
        """How a video is shown to it."""


class Classifier:
    """A backbone with a linear layer on top, its classes, and what it must be fed.

    It is a `ClipEmbedder` whose vectors are scores.

    Attributes:
        backbone: the network; shared with the caller, not copied.
        head: the linear layer behind it; shared too.
        config: how the network is built, what it is fed, how it is tested, and what its classes are.
        provenance: where the weights come from; ``training_counts``, where it is there, has the number of
            training videos of every class.
        name: what messages and tables call it, such as ``ucf/classifier``.
        device: where `embed_clips` computes.
        precision: arithmetic of the backbone; the linear layer's is float32 (decision E5).

    Raises:
        ValueError: the head has not one score per class.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: ClassificationHead,
        config: ClassifierConfig,
        *,
        provenance: Mapping[str, Any] | None = None,
        name: str = "unnamed classifier",
    ) -> None:
        if head.linear.out_features != len(config.classes):
            raise ValueError(
                f"the head gives {head.linear.out_features} scores and there are {len(config.classes)} "
                "classes; give a name for every score"
            )
        self.backbone = backbone
        self.head = head
        self.config = config
        self.provenance = dict(provenance or {})
        self.name = name
        self.device = torch.device("cpu")
        self.precision: Precision = "float32"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the scores."""
        return self.config.classes

    @property
    def views(self) -> EvaluationViews:
        """How a video is shown to it."""
        return self.config.views

    @property
    def spec(self) -> InputSpec:
        """What it must be fed when it is tested."""
        return self.config.test_input

    @property
    def num_features(self) -> int:
        """C, number of scores."""
        return len(self.classes)

    @property
    def training_counts(self) -> dict[str, int] | None:
        """How many videos of each class it learned from; None where that was not kept, or is no count."""
        counts = self.provenance.get("training_counts")
        if not isinstance(counts, dict) or not counts:
            return None
        is_whole = all(isinstance(count, int) and 0 <= count <= _MOST_VIDEOS for count in counts.values())
        return {str(name): int(count) for name, count in counts.items()} if is_whole else None

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits that change with any weight, setting or view; taken when first asked for."""
        return hash_weights(self._state(), self.config)

    @cached_property
    def network_hash(self) -> str:
        """16 hexadecimal digits that change with any weight or setting, but not with the views."""
        return hash_weights(self._state(), dataclasses.replace(self.config, views=EvaluationViews(clips=1)))

    @classmethod
    def untrained(cls, config: ClassifierConfig, *, seed: int = 0) -> Self:
        """Build a classifier with fresh weights, which knows nothing; torch's generator is left as it was.

        Args:
            config: with classes.
            seed: of the weights.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            backbone = build_backbone(config.backbone)
            head = ClassificationHead(backbone.num_features, len(config.classes))
        provenance = {"method": "none"}
        return cls(
            backbone.eval(), head.eval(), config, provenance=provenance, name=f"untrained, seed {seed}"
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a classifier that `save` wrote; no code from the files is run.

        Args:
            folder: the one that was written, or that of a run which has it as ``classifier``.

        Raises:
            WeightsError: the folder holds no classifier, a file is damaged or of an unknown kind, or the
                weights do not fit the described network.
        """
        folder = find_part(Path(folder), CLASSIFIER_KIND.name, CLASSIFIER_KIND.description_file)
        _refuse_encoder(folder)
        files = CLASSIFIER_KIND.read(folder)
        classifier = CLASSIFIER_KIND.build(cls.untrained, cls._state, files, folder)
        for part, module in classifier._parts().items():
            prefix = f"{part}."
            own = {
                key.removeprefix(prefix): value
                for key, value in files.state.items()
                if key.startswith(prefix)
            }
            module.load_state_dict(own)
        classifier.provenance = files.provenance
        classifier.name = "/".join(folder.resolve().parts[-2:])
        return classifier

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors``, the weights as they are now, and ``classifier.json``, all the rest."""
        CLASSIFIER_KIND.write(Path(folder), self._state(), self.config, self.provenance)

    def to(self, device: torch.device | str, *, precision: Precision = "float32") -> Self:
        """Choose where and how `embed_clips` computes; moves the networks."""
        self.device = torch.device(device)
        self.precision = precision
        for module in self._parts().values():
            module.to(self.device)
        return self

    def with_views(self, views: EvaluationViews) -> Self:
        """Return a classifier that shares the networks and is tested by other views.

        Raises:
            ValueError: the network cannot be tested so.
        """
        config = dataclasses.replace(self.config, views=views)
        other = type(self)(self.backbone, self.head, config, provenance=self.provenance, name=self.name)
        other.device, other.precision = self.device, self.precision
        return other

    @torch.inference_mode()
    def embed_clips(
        self, frames_BTHWC: Tensor | Sequence[Tensor], poolings: Sequence[Pooling] = ("average",)
    ) -> Mapping[Pooling, NDArray[np.float32]]:
        """Score decoded clips: crop, normalise, a pass of the network per crop.

        Args:
            frames_BTHWC: uint8 RGB at the specification's decoded size; several tensors where sizes differ.
            poolings: only "average" has a meaning here.

        Returns:
            Under "average", an array of shape (B, R, C), the clips of all tensors in order: logits, or
            probabilities where the views average these.

        Raises:
            ValueError: the network is in training mode, in which a clip's scores depend on its neighbours, or
                another pooling is asked for.
        """
        if tuple(poolings) != ("average",):
            raise ValueError(f"a classifier scores whole clips; use pooling average, not {list(poolings)}")
        if self.backbone.training or self.head.training:
            raise ValueError("the network is in training mode; call backbone.eval() and head.eval() first")
        parts = [frames_BTHWC] if isinstance(frames_BTHWC, Tensor) else frames_BTHWC
        streams = [self._iterate_crops(part) for part in parts]
        scores = [self._score(torch.cat(crops)) for crops in zip(*streams, strict=True)]
        return {"average": torch.stack(scores, dim=1).cpu().numpy()}

    def _iterate_crops(self, frames_BTHWC: Tensor) -> Any:  # noqa: ANN401
        frames, spec = frames_BTHWC.to(self.device, non_blocking=True), self.spec
        return iterate_crops(frames, spec.crop_px, self.views.crops, mean=spec.mean, std=spec.std)

    def _score(self, clips_BCTHW: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            features_BD = self.backbone(clips_BCTHW)
        logits_BC: Tensor = self.head(features_BD)
        return logits_BC.softmax(dim=1) if self.views.average == "probabilities" else logits_BC

    def _parts(self) -> dict[str, torch.nn.Module]:
        return {"backbone": self.backbone, "head": self.head}

    def _state(self) -> dict[str, Tensor]:
        return {
            f"{part}.{name}": value
            for part, module in self._parts().items()
            for name, value in module.state_dict().items()
        }


def _refuse_encoder(folder: Path) -> None:
    file = ENCODER_KIND.description_file
    has_encoder = (find_part(folder, ENCODER_KIND.name, file) / file).exists()
    if has_encoder and not (folder / CLASSIFIER_KIND.description_file).exists():
        raise WeightsError(
            f"{folder} has an encoder and no classifier; `unreel finetune` makes a classifier of an encoder"
        )


def find_part(folder: Path, name: str, description_file: str) -> Path:
    """Return the folder of a network: the given one, or the one that a run keeps it in.

    Args:
        folder: of the network, or of the run.
        name: of the folder in a run.
        description_file: by which it is known.
    """
    is_inside = not (folder / description_file).exists() and (folder / name / description_file).exists()
    return folder / name if is_inside else folder
