import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.features.tiny import PARTS_SPEC, build_encoder, build_frame_encoder
from unreel.errors import WeightsError
from unreel.features.encoder import Encoder, choose_device
from unreel.features.encoder_files import EncoderConfig
from unreel.models.c3d import C3DConfig
from unreel.models.r3d_plus1 import R3DPlus1Config
from unreel.models.resnet2d import ResNetConfig
from unreel.models.resnet3d import R2Plus1DConfig
from unreel.models.zoo import BackboneConfig


def random_clips(count: int, *, height: int = 24, width: int = 32, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (count, 4, height, width, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def test_a_loaded_encoder_gives_the_same_vectors(tmp_path: Path) -> None:
    encoder = build_encoder()
    encoder.save(tmp_path / "run" / "encoder")
    loaded = Encoder.load(tmp_path / "run" / "encoder")
    assert loaded.hash == encoder.hash
    assert loaded.config == encoder.config
    assert loaded.name == "run/encoder"
    clips = random_clips(3)
    np.testing.assert_array_equal(loaded.embed_clips(clips)["average"], encoder.embed_clips(clips)["average"])


@pytest.mark.parametrize(
    "backbone",
    [R3DPlus1Config(width=0.0625), ResNetConfig(width=0.0625), R2Plus1DConfig(depth=10, width=0.0625)],
    ids=lambda config: config.architecture,
)
def test_every_kind_of_network_survives_the_files(tmp_path: Path, backbone: BackboneConfig) -> None:
    encoder = Encoder.untrained(EncoderConfig(backbone, PARTS_SPEC))
    encoder.save(tmp_path)
    assert Encoder.load(tmp_path).hash == encoder.hash


def test_provenance_travels_with_the_weights(tmp_path: Path) -> None:
    encoder = build_encoder()
    Encoder(encoder.backbone, encoder.config, provenance={"method": "CCL", "step": 300}).save(tmp_path)
    provenance = Encoder.load(tmp_path).provenance
    assert (provenance["method"], provenance["step"]) == ("CCL", 300)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (open, (str(tmp_path / "sprung"), "w"))

    build_encoder().save(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(pickle.dumps({"weight": Trap()}))
    with pytest.raises(WeightsError, match="cannot be read"):
        Encoder.load(tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_vectors_are_the_backbones_of_the_centre_crop() -> None:
    encoder = build_encoder()
    clips = random_clips(2)
    crop = clips[:, :, 4:20, 8:24].permute(0, 4, 1, 2, 3) / 255.0
    with torch.no_grad():
        expected = encoder.backbone(crop)
    found = encoder.embed_clips(clips)["average"]
    assert found.shape == (2, 1, encoder.num_features)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, 0], expected.numpy(), rtol=1e-4, atol=1e-5)


def test_mean_and_deviation_are_applied() -> None:
    plain = build_encoder()
    spec = plain.spec.__class__(
        num_frames=4,
        decode_height=24,
        decode_width=32,
        crop_px=16,
        mean=(0.4, 0.5, 0.6),
        std=(0.2, 0.25, 0.5),
    )
    normalised = Encoder(plain.backbone, EncoderConfig(plain.config.backbone, spec))
    clips = random_clips(1)
    crop = clips[:, :, 4:20, 8:24].permute(0, 4, 1, 2, 3) / 255.0
    colors = (1, 3, 1, 1, 1)
    scaled = (crop - torch.tensor((0.4, 0.5, 0.6)).view(colors)) / torch.tensor((0.2, 0.25, 0.5)).view(colors)
    with torch.no_grad():
        expected = plain.backbone(scaled)
    found = normalised.embed_clips(clips)["average"][:, 0]
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_clips_of_several_sizes_come_back_in_order() -> None:
    encoder = build_encoder()
    parts = [random_clips(2), random_clips(1, height=40, width=24, seed=1)]
    together = encoder.embed_clips(parts)["average"]
    alone = [encoder.embed_clips(part)["average"] for part in parts]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-4, atol=1e-6)


def test_frames_and_clips_come_from_one_pass() -> None:
    encoder = build_frame_encoder()
    features = encoder.embed_clips(random_clips(2), ["frame", "average"])
    assert features["frame"].shape == (2, 4, encoder.num_features)
    assert features["average"].shape == (2, 1, encoder.num_features)


def test_a_frame_vector_depends_on_its_frame_alone() -> None:
    """No kernel of CCL's network reaches over time before conv6."""
    encoder = build_frame_encoder()
    clips = random_clips(1)
    changed = clips.clone()
    changed[:, 2] = 255 - changed[:, 2]
    before, after = (encoder.embed_clips(x, ["frame"])["frame"][0] for x in (clips, changed))
    np.testing.assert_allclose(before[[0, 1, 3]], after[[0, 1, 3]], atol=1e-6)
    assert not np.allclose(before[2], after[2], atol=1e-4)


def test_bfloat16_gives_float32_vectors_that_are_close() -> None:
    encoder = build_encoder()
    clips = random_clips(2)
    exact = encoder.embed_clips(clips)["average"]
    rough = encoder.to("cpu", precision="bfloat16").embed_clips(clips)["average"]
    assert rough.dtype == np.float32
    assert not np.array_equal(exact, rough)
    cosine = (exact * rough).sum() / np.linalg.norm(exact) / np.linalg.norm(rough)
    assert cosine > 0.99


def test_untrained_weights_follow_from_the_seed_and_disturb_nobody() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = build_encoder(seed=3), build_encoder(seed=3), build_encoder(seed=4)
    assert torch.equal(torch.rand(1), expected)
    assert first.hash == again.hash != other.hash
    assert first.name == "untrained, seed 3"
    assert not first.backbone.training


def test_a_backbone_in_training_is_neither_changed_nor_used() -> None:
    encoder = build_encoder()
    encoder.backbone.train()
    shared = Encoder(encoder.backbone, encoder.config)
    with pytest.raises(ValueError, match=r"training mode; call encoder.backbone.eval"):
        shared.embed_clips(random_clips(1))
    assert encoder.backbone.training


def test_saving_takes_the_weights_as_they_are_now(tmp_path: Path) -> None:
    encoder = build_encoder()
    encoder.save(tmp_path)
    with torch.no_grad():
        next(encoder.backbone.parameters()).add_(1.0)
    encoder.save(tmp_path)
    first = next(iter(encoder.backbone.state_dict()))
    loaded = Encoder.load(tmp_path).backbone.state_dict()[first]
    assert torch.equal(loaded, encoder.backbone.state_dict()[first])


@pytest.mark.parametrize("width", [1000.0, 1e12])
def test_a_network_of_senseless_size_is_refused_before_it_is_built(tmp_path: Path, width: float) -> None:
    """With a width of 1000 its largest layer alone would take 35 terabytes."""
    build_encoder().save(tmp_path)
    path = tmp_path / "encoder.json"
    values = json.loads(path.read_text())
    values["backbone"]["width"] = width
    path.write_text(json.dumps(values))
    with pytest.raises(WeightsError, match=r"does not fit the network of encoder.json|cannot be built"):
        Encoder.load(tmp_path)


def test_an_unknown_pooling_is_refused() -> None:
    with pytest.raises(ValueError, match="pooling must be one of average, frame, conv5_max, got 'max'"):
        build_encoder().embed_clips(random_clips(1), ["max"])  # type: ignore[list-item]


def test_the_device_is_chosen_by_name() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("auto").type == expected
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:77"])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"device '{name}' cannot be used"):
        choose_device(name)


def test_the_default_network_is_c3d() -> None:
    assert EncoderConfig().backbone == C3DConfig()


@pytest.mark.gpu
def test_a_gpu_gives_the_vectors_of_the_cpu() -> None:
    clips = random_clips(4)
    on_cpu = build_encoder().embed_clips(clips)["average"]
    on_gpu = build_encoder().to(choose_device("cuda")).embed_clips(clips)["average"]
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=2e-2, atol=2e-3)
