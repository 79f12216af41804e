"""A linear classifier on the features of an encoder, kept as one safetensors file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from unreel.errors import WeightsError
from unreel.features.pooling import check_poolings
from unreel.runs import atomic_path

# C classes, D features, X vectors

FORMAT_VERSION = 1
_NORMALIZING_VERSION = 2
"""Of files whose vectors are brought to length 1: readers of version 1 would not do so, and must refuse."""
_METADATA_KEY = "unreel.linear_classifier"
_WEIGHTS, _BIAS = "weights", "bias"


@dataclass(frozen=True, eq=False)
class LinearClassifier:
    """One row of weights per class, two classes included; the class with the highest score is the answer.

    Attributes:
        classes: names, two or more.
        weights_CD: float32.
        bias_C: float32, None when there is none.
        encoder_hash: of the encoder whose features it was fitted to.
        pooling: form of those features.
        is_l2_normalized: whether vectors are brought to length 1 before they are weighed.

    Raises:
        ValueError: the shapes do not agree, a name comes twice, or a number is NaN or infinite.
    """

    classes: tuple[str, ...]
    weights_CD: NDArray[np.float32]
    bias_C: NDArray[np.float32] | None
    encoder_hash: str
    pooling: str
    is_l2_normalized: bool = False

    def __post_init__(self) -> None:
        num_classes = len(self.classes)
        if num_classes < 2 or len(set(self.classes)) < num_classes:
            raise ValueError(f"classes must be two or more different names, got {list(self.classes)}")
        if self.weights_CD.ndim != 2 or len(self.weights_CD) != num_classes:
            shape = self.weights_CD.shape
            raise ValueError(
                f"weights_CD must have a row for each of {num_classes} classes, got shape {shape}"
            )
        if self.bias_C is not None and self.bias_C.shape != (num_classes,):
            shape = self.bias_C.shape
            raise ValueError(
                f"bias_C must have a number for each of {num_classes} classes, got shape {shape}"
            )
        if not all(np.isfinite(values).all() for values in self._tensors().values()):
            raise ValueError("weights_CD and bias_C must be finite; fit the classifier again")

    @property
    def num_features(self) -> int:
        """D, length of the vectors that it takes."""
        return len(self.weights_CD[0])

    def scores(self, features_XD: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a score per vector and class, ``features @ weights.T + bias``, of shape (X, C).

        The vectors are brought to length 1 first where the classifier was fitted so.

        Raises:
            ValueError: the vectors have another length.
        """
        if features_XD.ndim != 2 or features_XD.shape[1] != self.num_features:
            raise ValueError(
                f"features_XD must be vectors of {self.num_features} numbers, got shape {features_XD.shape}; "
                f"this classifier takes features of encoder {self.encoder_hash}, pooling {self.pooling}"
            )
        vectors_XD = features_XD.astype(np.float32, copy=False)
        if self.is_l2_normalized:
            vectors_XD = normalize_rows(vectors_XD)
        scores_XC: NDArray[np.float32] = vectors_XD @ self.weights_CD.T
        return scores_XC if self.bias_C is None else scores_XC + self.bias_C

    def save(self, path: Path) -> None:
        """Write the classifier as one safetensors file, in one step."""
        description: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "classes": list(self.classes),
            "encoder_hash": self.encoder_hash,
            "pooling": self.pooling,
        }
        if self.is_l2_normalized:
            description |= {"format_version": _NORMALIZING_VERSION, "is_l2_normalized": True}
        with atomic_path(path) as temporary:
            save_file(self._tensors(), temporary, metadata={_METADATA_KEY: json.dumps(description)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` has written; no code from the file is run.

        Raises:
            WeightsError: the file is missing, damaged, or no linear classifier that this version knows.
        """
        description, tensors = _read(Path(path))
        version = description.get("format_version")
        if version not in (FORMAT_VERSION, _NORMALIZING_VERSION):
            raise WeightsError(
                f"{path} has format version {version!r} and this version of unreel reads {FORMAT_VERSION} "
                f"and {_NORMALIZING_VERSION}; update unreel, or run `unreel evaluate svm --classifier` again"
            )
        try:
            _check_kinds(description, tensors)
            return cls(
                classes=tuple(description["classes"]),
                weights_CD=tensors[_WEIGHTS],
                bias_C=tensors.get(_BIAS),
                encoder_hash=description["encoder_hash"],
                pooling=description["pooling"],
                is_l2_normalized=description.get("is_l2_normalized", False),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(
                f"{path} is no linear classifier ({error}); run `unreel evaluate svm --classifier` again"
            ) from error

    def _tensors(self) -> dict[str, NDArray[np.float32]]:
        weights = {_WEIGHTS: np.ascontiguousarray(self.weights_CD, dtype=np.float32)}
        return weights if self.bias_C is None else {**weights, _BIAS: self.bias_C.astype(np.float32)}


def normalize_rows(features_XD: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vectors of length 1 in the same directions; a vector of zeros stays one."""
    # Squares of large or tiny numbers run over, so the largest is brought to 1 first.
    largest_X1 = np.abs(features_XD).max(axis=1, keepdims=True, initial=0)
    scaled_XD = features_XD / np.where(largest_X1 > 0, largest_X1, 1)
    lengths_X1 = np.linalg.norm(scaled_XD, axis=1, keepdims=True)
    unit_XD: NDArray[np.float32] = (scaled_XD / np.where(lengths_X1 > 0, lengths_X1, 1)).astype(np.float32)
    return unit_XD


def _check_kinds(description: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> None:
    classes = description["classes"]
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ValueError(f"its classes must be a list of names, got {classes!r}")
    for name in ("encoder_hash", "pooling"):
        if not isinstance(description[name], str):
            raise ValueError(f"its {name} must be a word, got {description[name]!r}")
    if not isinstance(description.get("is_l2_normalized", False), bool):
        raise ValueError(
            f"its is_l2_normalized must be true or false, got {description['is_l2_normalized']!r}"
        )
    check_poolings([description["pooling"]])
    for name, values in tensors.items():
        if values.dtype != np.float32:
            raise ValueError(f"its {name} must be float32, got {values.dtype}")


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    if path.is_dir():
        raise WeightsError(f"{path} is a folder; give the file that `unreel evaluate svm --classifier` wrote")
    try:
        # numpy has no bfloat16, which another program may have written: safetensors raises TypeError.
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(_METADATA_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError, TypeError) as error:
        raise WeightsError(
            f"{path} cannot be read as a linear classifier: {error}; run `unreel evaluate svm --classifier`"
        ) from error
    if text is None:
        raise WeightsError(
            f"{path} is a safetensors file but no linear classifier; give one that "
            "`unreel evaluate svm --classifier` wrote"
        )
    try:
        description = json.loads(text)
    except ValueError as error:
        raise WeightsError(
            f"{path} is damaged: {error}; run `unreel evaluate svm --classifier` again"
        ) from error
    if not isinstance(description, dict):
        raise WeightsError(f"{path} is damaged; run `unreel evaluate svm --classifier` again")
    return description, tensors
