"""A network as one ONNX file, which runs without unreel and without torch."""

import json
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unreel.config import config_to_dict
from unreel.errors import UnreelError, WeightsError
from unreel.features.classifier import Classifier
from unreel.features.export_card import describe_input
from unreel.features.export_folder import new_folder
from unreel.features.export_source import ExportSource
from unreel.features.input_spec import InputSpec
from unreel.runs import write_json

# B clips, T frames, H W pixels, C channels, D features

OPSET = 18
"""Version of ONNX's operators; programs since 2023 know it."""
MODEL_FILE, INFO_FILE = "model.onnx", "model.json"
INPUT = "frames"
_METADATA_KEY = "unreel"
_LARGEST_DIFFERENCE = 1e-3
_TRIED_CLIPS = (1, 3)


@dataclass(frozen=True)
class OnnxExport:
    """What was written.

    Attributes:
        file: the network.
        input_shape: of ``frames``, uint8 RGB, behind the free number of clips: T, H, W, 3.
        output_name: "features" or "logits".
        num_outputs: numbers per clip.
        largest_difference: between the file's output on random clips and torch's, as a share of the latter's
            largest number.
    """

    file: Path
    input_shape: tuple[int, int, int, int]
    output_name: str
    num_outputs: int
    largest_difference: float


class _FramesToNumbers(nn.Module):
    """The network on crops as they leave a decoder: what `embed_clips` does behind its crop."""

    mean: Tensor
    std: Tensor

    def __init__(self, source: ExportSource) -> None:
        super().__init__()
        model = source.model
        self.backbone = model.backbone
        self.linear = model.head.linear if isinstance(model, Classifier) else nn.Identity()
        self.register_buffer("mean", torch.tensor(model.spec.mean))
        self.register_buffer("std", torch.tensor(model.spec.std))

    def forward(self, frames_BTHWC: Tensor) -> Tensor:
        clips_BTHWC = (frames_BTHWC.float() / 255 - self.mean) / self.std
        numbers: Tensor = self.linear(self.backbone(clips_BTHWC.permute(0, 4, 1, 2, 3)))
        return numbers


def export_onnx(source: ExportSource, folder: Path) -> OnnxExport:
    """Write ``model.onnx`` and ``model.json``, run the file and compare it with the network.

    The graph takes ``frames``, uint8 RGB of shape (clips, T, H, W, 3), with any number of clips, cut to the
    crop of the network; scaling to [0, 1], mean and deviation are part of it. It gives ``features``, float32
    of shape (clips, D), pooling "average", or the ``logits`` of a classifier, of shape (clips, classes). What
    the file says of itself is in its metadata and in ``model.json``.

    Raises:
        UnreelError: the packages of the extra ``onnx`` are not installed.
        WeightsError: the file computes something else than the network.
        ValueError: ``folder`` is a file or not empty.
    """
    _require_packages()
    spec = source.model.spec
    network = _FramesToNumbers(source).eval().cpu()
    info = _describe(source)
    with new_folder(folder) as inner:
        _write_graph(network, _draw_clips(spec, 2), inner / MODEL_FILE, info)
        difference = _compare(network, spec, inner / MODEL_FILE)
        write_json(inner / INFO_FILE, {**info, "largest_difference_from_torch": difference})
    shape = (spec.num_frames, spec.crop_px, spec.crop_px, 3)
    return OnnxExport(folder / MODEL_FILE, shape, info["output_name"], source.num_outputs, difference)


def _require_packages() -> None:
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise UnreelError(
            f"the format onnx needs the package {error.name!r}, which is not installed; "
            "`pip install 'unreel[onnx]'`"
        ) from error


def _describe(source: ExportSource) -> dict[str, Any]:
    model, spec = source.model, source.model.spec
    values: dict[str, Any] = {
        "output_name": "features",
        "output": f"float32, shape (clips, {source.num_outputs}): the average over space and time",
    }
    if isinstance(model, Classifier):
        views = config_to_dict(model.views)
        output = f"float32, shape (clips, {source.num_outputs}): a score per class"
        values = {"output_name": "logits", "output": output, "classes": list(model.classes), "views": views}
    return {
        "kind": source.kind,
        "hash": model.hash,
        "opset": OPSET,
        "input_name": INPUT,
        "input": f"uint8 RGB, shape (clips, {spec.num_frames}, {spec.crop_px}, {spec.crop_px}, 3)",
        **values,
        "preparation": f"{describe_input(spec)} The last sentence is part of the graph.",
        "specification": config_to_dict(spec),
        "backbone": config_to_dict(model.config.backbone),
        "training": source.facts,
    }


def _draw_clips(spec: InputSpec, count: int) -> Tensor:
    shape = (count, spec.num_frames, spec.crop_px, spec.crop_px, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(count))


def _write_graph(network: nn.Module, clips: Tensor, path: Path, info: dict[str, Any]) -> None:
    with _quiet_exporter(), torch.no_grad():
        # Strict, that is from the source code: `len` of a tensor would fix the number of clips otherwise.
        free = ({0: torch.export.Dim("clips", min=1)},)
        traced = torch.export.export(network, (clips,), dynamic_shapes=free, strict=True)
        program = torch.onnx.export(
            traced,
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=[info["output_name"]],
            opset_version=OPSET,
        )
    assert program is not None
    _tidy(program.model)
    program.model.metadata_props[_METADATA_KEY] = json.dumps(info)
    program.save(path, external_data=False)


def _tidy(model: Any) -> None:  # noqa: ANN401 (of an optional package)
    """Remove what the exporter notes of its source code, folders of this machine too; name the free axis."""
    nodes = [*model.graph.all_nodes(), *(node for part in model.functions.values() for node in part)]
    values = [*model.graph.inputs, *model.graph.initializers.values()]
    values += [output for node in nodes for output in node.outputs]
    for owner in (model, model.graph, *model.functions.values(), *nodes, *values):
        owner.metadata_props.clear()
        owner.doc_string = None
    axis = str(model.graph.inputs[0].shape[0])
    for value in values:
        for place, size in enumerate(value.shape or ()):
            if isinstance(name := getattr(size, "value", None), str):  # neither a number nor unknown
                value.shape[place] = re.sub(rf"\b{axis}\b", "clips", name)


def _compare(network: nn.Module, spec: InputSpec, path: Path) -> float:
    """Return the largest difference between the file and the network, for several numbers of clips."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    num_clips = session.get_inputs()[0].shape[0]
    if isinstance(num_clips, int):
        raise WeightsError(
            f"the ONNX file takes exactly {num_clips} clips, as torch's exporter understood the network; try "
            "another version of torch or onnxscript, or export huggingface"
        )
    differences = []
    for count in _TRIED_CLIPS:
        clips = _draw_clips(spec, count)
        with torch.inference_mode():
            expected = network(clips).numpy()
        (found,) = session.run(None, {INPUT: clips.numpy()})
        scale = max(float(np.abs(expected).max()), 1e-12)
        differences.append(float(np.abs(found - expected).max()) / scale)
    largest = max(differences)
    if not largest <= _LARGEST_DIFFERENCE:
        raise WeightsError(
            f"the ONNX file differs from the network by {largest:.1e} of the largest number, more than "
            f"{_LARGEST_DIFFERENCE:.0e}; try another version of torch or onnxscript, or export huggingface"
        )
    return largest


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep from the user what torch's exporter says to its developers, and that torchvision is missing."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # torch's own use of a deprecated class of its own, as it copies an exported program.
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
            yield
    finally:
        logger.setLevel(level)
