import builtins
import dataclasses
import json
import logging
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from unreel.augment.evaluation_views import EvaluationViews
from unreel.errors import UnreelError, WeightsError
from unreel.features import export_onnx as module
from unreel.features.classifier import Classifier
from unreel.features.classifier_files import ClassifierConfig
from unreel.features.encoder import Encoder
from unreel.features.encoder_files import EncoderConfig
from unreel.features.export_onnx import OPSET, export_onnx
from unreel.features.export_source import ExportSource
from unreel.features.input_spec import InputSpec
from unreel.models.c3d import C3DConfig
from unreel.models.mvit import MViTConfig
from unreel.models.resnet2d import ResNetConfig
from unreel.models.resnet3d import R2Plus1DConfig, R3DConfig
from unreel.models.s3d import S3DConfig
from unreel.models.zoo import BackboneConfig

SPEC = InputSpec(
    num_frames=4,
    decode_height=24,
    decode_width=32,
    crop_px=16,
    mean=(0.4, 0.5, 0.6),
    std=(0.2, 0.25, 0.3),
)


def build_encoder(backbone: BackboneConfig, spec: InputSpec = SPEC) -> Encoder:
    """Return an encoder whose normalisation layers have statistics of their own, as trained ones have."""
    encoder = Encoder.untrained(EncoderConfig(backbone, spec))
    shape = (6, 3, spec.num_frames, spec.crop_px, spec.crop_px)
    for layer in encoder.backbone.modules():
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            layer.momentum = None  # the plain mean over the batches below
    encoder.backbone.train()
    with torch.no_grad():
        for seed in range(3):
            encoder.backbone(torch.randn(shape, generator=torch.Generator().manual_seed(seed)))
    encoder.backbone.eval()
    return encoder


def draw_frames(count: int, spec: InputSpec = SPEC, *, seed: int = 0) -> NDArray[np.uint8]:
    """Return frames at the decoded size: noise around a colour per clip, so that clips differ."""
    shape = (count, spec.num_frames, spec.decode_height, spec.decode_width, 3)
    generator = np.random.default_rng(seed)
    colors = generator.integers(0, 192, (count, 1, 1, 1, 3), dtype=np.uint8)
    return colors + generator.integers(0, 64, shape, dtype=np.uint8)


def crop(frames_BTHWC: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    top, left = ((size - side) // 2 for size in frames_BTHWC.shape[2:4])
    return frames_BTHWC[:, :, top : top + side, left : left + side]


def run_file(path: Path, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"frames": crops})
    return np.asarray(found)


@dataclasses.dataclass(frozen=True)
class Exported:
    encoder: Encoder
    folder: Path
    difference: float


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("alice") / "out"
    encoder = build_encoder(R3DConfig(depth=10, width=0.0625))
    result = export_onnx(ExportSource(encoder, Path("unused"), {"method": "CCL", "step": 3}), folder)
    assert result.file == folder / "model.onnx"
    assert (result.input_shape, result.output_name) == ((4, 16, 16, 3), "features")
    assert result.num_outputs == encoder.num_features
    return Exported(encoder, folder, result.largest_difference)


def test_the_file_gives_the_encoders_vectors_for_any_number_of_clips(exported: Exported) -> None:
    for count in (1, 2, 5):
        frames = draw_frames(count, seed=count)
        expected = exported.encoder.embed_clips(torch.from_numpy(frames))["average"][:, 0]
        found = run_file(exported.folder / "model.onnx", crop(frames, 16))
        assert found.shape == (count, exported.encoder.num_features)
        assert found.dtype == np.float32
        assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def test_the_normalisation_is_part_of_the_graph(exported: Exported) -> None:
    frames = crop(draw_frames(1), 16)
    raw = torch.from_numpy(frames).permute(0, 4, 1, 2, 3) / 255
    with torch.inference_mode():
        without = exported.encoder.backbone(raw).numpy()
    found = run_file(exported.folder / "model.onnx", frames)
    assert np.abs(found - without).max() > 0.01 * np.abs(without).max()


def test_the_difference_that_was_measured_is_told(exported: Exported) -> None:
    info = json.loads((exported.folder / "model.json").read_text())
    assert 0 < exported.difference < 1e-4
    assert info["largest_difference_from_torch"] == exported.difference
    assert sorted(os.listdir(exported.folder)) == ["model.json", "model.onnx"]


def test_the_file_says_what_it_takes_and_gives(exported: Exported) -> None:
    session = onnxruntime.InferenceSession(str(exported.folder / "model.onnx"))
    (frames,), (features,) = session.get_inputs(), session.get_outputs()
    assert (frames.name, frames.type, frames.shape) == ("frames", "tensor(uint8)", ["clips", 4, 16, 16, 3])
    assert (features.name, features.type) == ("features", "tensor(float)")
    assert features.shape == ["clips", exported.encoder.num_features]
    told = json.loads(session.get_modelmeta().custom_metadata_map["unreel"])
    assert told.items() <= json.loads((exported.folder / "model.json").read_text()).items()
    assert (told["kind"], told["hash"], told["opset"]) == ("encoder", exported.encoder.hash, OPSET)
    assert told["input"] == "uint8 RGB, shape (clips, 4, 16, 16, 3)"
    assert told["specification"]["mean"] == [0.4, 0.5, 0.6]
    assert told["training"] == {"method": "CCL", "step": 3}


def test_the_file_keeps_to_the_stated_operators(exported: Exported) -> None:
    import onnx

    model = onnx.load(exported.folder / "model.onnx")
    onnx.checker.check_model(model)
    assert {(domain.domain, domain.version) for domain in model.opset_import} == {("", OPSET)}


def test_the_file_names_neither_machine_nor_source(exported: Exported) -> None:
    data = (exported.folder / "model.onnx").read_bytes()
    for word in ("alice", str(Path.home()), os.getcwd(), "site-packages", "/features/", ", line "):
        assert word.encode() not in data, word


def test_a_classifier_gives_logits(tmp_path: Path) -> None:
    config = ClassifierConfig(
        R3DConfig(depth=10, width=0.0625),
        SPEC,
        EvaluationViews(clips=3, average="logits"),
        classes=("climb", "run", "swim"),
    )
    classifier = Classifier.untrained(config)
    result = export_onnx(ExportSource(classifier, Path("unused"), {}), tmp_path / "out")
    assert (result.output_name, result.num_outputs) == ("logits", 3)
    frames = draw_frames(2, classifier.spec)
    expected = classifier.embed_clips(torch.from_numpy(frames))["average"][:, 0]
    found = run_file(result.file, crop(frames, 16))
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
    info = json.loads((tmp_path / "out" / "model.json").read_text())
    assert (info["kind"], info["classes"]) == ("classifier", ["climb", "run", "swim"])
    assert info["views"]["clips"] == 3
    assert info["output_name"] == "logits"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "num_frames", "size_px"),
    [
        (C3DConfig(width=0.0625), 8, 16),
        (R2Plus1DConfig(depth=10, width=0.0625), 4, 16),
        (R2Plus1DConfig(depth=10, width=0.0625, factorization="torchvision"), 4, 16),
        (ResNetConfig(depth=18, width=0.0625), 2, 32),
        (ResNetConfig(depth=18, width=0.125, temporal_shift=True), 4, 32),
        (S3DConfig(variant="torchvision", width=0.0625), 8, 32),
        (MViTConfig(width=0.125, depths=(1, 1, 1, 1), num_frames=4, size_px=32), 4, 32),
        (MViTConfig(width=0.125, depths=(1, 1, 1, 1), num_frames=4, size_px=64, pooling="average"), 4, 32),
    ],
    ids=lambda value: getattr(value, "architecture", str(value)),
)
def test_every_architecture_gives_its_features(
    tmp_path: Path, backbone: BackboneConfig, num_frames: int, size_px: int
) -> None:
    spec = dataclasses.replace(
        SPEC, num_frames=num_frames, decode_height=size_px, crop_px=size_px, decode_width=40
    )
    encoder = build_encoder(backbone, spec)
    result = export_onnx(ExportSource(encoder, Path("unused"), {}), tmp_path / "out")
    for count in (1, 4):
        frames = draw_frames(count, spec)
        expected = encoder.embed_clips(torch.from_numpy(frames))["average"][:, 0]
        # Constant features would agree whatever the graph does.
        assert count == 1 or np.ptp(expected, axis=0).max() > 1e-3 * np.abs(expected).max()
        found = run_file(result.file, crop(frames, size_px))
        assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def test_a_missing_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def refuse(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name == "onnxscript":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return original(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", refuse)
    source = ExportSource(build_encoder(R3DConfig(depth=10, width=0.0625)), Path("unused"), {})
    with pytest.raises(UnreelError, match=r"package 'onnxscript'.*`pip install 'unreel\[onnx\]'`"):
        export_onnx(source, tmp_path / "out")
    assert os.listdir(tmp_path) == []


def copy_graph(exported: Exported) -> Any:
    """Return a stand-in for the exporter, which writes the file of another network."""
    data = (exported.folder / "model.onnx").read_bytes()

    def write(network: Any, clips: Any, path: Path, info: Any) -> None:
        path.write_bytes(data)

    return write


def test_a_file_that_computes_something_else_is_refused(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_write_graph", copy_graph(exported))
    other = Encoder.untrained(exported.encoder.config, seed=5)
    with pytest.raises(
        WeightsError, match=r"differs from the network by .* of the largest number, more than"
    ):
        export_onnx(ExportSource(other, Path("unused"), {}), tmp_path / "out")
    assert os.listdir(tmp_path) == []


def test_a_file_for_a_fixed_number_of_clips_is_refused(exported: Exported) -> None:
    import onnx

    model = onnx.load(exported.folder / "model.onnx")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    fixed = exported.folder.parent / "fixed.onnx"
    onnx.save(model, fixed)
    network = module._FramesToNumbers(ExportSource(exported.encoder, Path("unused"), {}))
    with pytest.raises(WeightsError, match="takes exactly 2 clips"):
        module._compare(network, exported.encoder.spec, fixed)


def test_the_exporters_own_words_are_kept_from_the_user_and_no_others() -> None:
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    before = logger.level
    with module._quiet_exporter():
        assert not logger.isEnabledFor(logging.WARNING)
        with pytest.raises(FutureWarning, match="something else"):
            warnings.warn("something else", FutureWarning, stacklevel=1)
        warnings.warn("`isinstance(treespec, LeafSpec)` is deprecated, use ...", FutureWarning, stacklevel=1)
    assert logger.level == before


def test_a_folder_with_something_in_it_is_refused_before_the_work(exported: Exported) -> None:
    source = ExportSource(exported.encoder, Path("unused"), {})
    with pytest.raises(ValueError, match="is not empty"):
        export_onnx(source, exported.folder)
