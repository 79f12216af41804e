import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.features.test_export_source import build_classifier, write_run
from tests.features.tiny import PARTS_SPEC, SPEC
from unreel.features.classifier import Classifier
from unreel.features.encoder import Encoder
from unreel.features.export_huggingface import describe_preprocessing, export_huggingface
from unreel.features.export_results import Measurement
from unreel.features.export_source import ExportSource, open_source
from unreel.features.input_spec import InputSpec


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alice")
    write_run(folder / "run")
    result = Measurement("retrieval", "video", "recall, k = 1", 0.5, "")
    export_huggingface(open_source(folder / "run"), folder / "out", license_name="mit", results=[result])
    return folder / "out"


def draw_clips() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 4, 24, 32, 3), dtype=torch.uint8, generator=generator)


def test_the_folder_has_what_the_hub_and_unreel_read(published: Path) -> None:
    names = ["README.md", "config.json", "encoder.json", "model.safetensors", "preprocessor_config.json"]
    assert sorted(os.listdir(published)) == names


def test_it_loads_as_any_encoder_and_gives_the_same_vectors(published: Path) -> None:
    loaded, own = Encoder.load(published), Encoder.load(published.parent / "run" / "encoder")
    assert loaded.hash == own.hash
    clips = draw_clips()
    np.testing.assert_array_equal(loaded.embed_clips(clips)["average"], own.embed_clips(clips)["average"])


def test_it_can_be_exported_again(published: Path, tmp_path: Path) -> None:
    export_huggingface(open_source(published), tmp_path / "again")
    assert Encoder.load(tmp_path / "again").hash == Encoder.load(published).hash
    assert open_source(tmp_path / "again").facts["videos"] == 1234


def test_no_file_names_the_machine_or_the_user(published: Path) -> None:
    private = ("alice", str(published.parent), str(Path.home()), os.getcwd(), "/data/", "try-3")
    for path in published.iterdir():
        data = path.read_bytes()
        assert [word for word in private if word.encode() in data] == [], path.name


def test_the_card_has_training_and_results(published: Path) -> None:
    card = (published / "README.md").read_text()
    assert "# out\n" in card
    assert '"mit"' in card
    assert "| recipe | ccl.small |" in card
    assert "| retrieval | video | recall, k = 1 | 0.5000 |" in card


def test_the_configuration_describes_the_network(published: Path) -> None:
    config = json.loads((published / "config.json").read_text())
    encoder = Encoder.load(published)
    assert config["model_type"] == "unreel-encoder"
    assert config["architectures"] == ["ResNet3D"]
    assert (config["num_features"], config["hash"]) == (encoder.num_features, encoder.hash)
    assert config["backbone"] == {"architecture": "r3d", "depth": 10, "init": "pytorch", "width": 0.0625}
    assert "id2label" not in config


@pytest.mark.parametrize(
    ("spec", "size"),
    [
        (SPEC, {"height": 24, "width": 32}),
        (InputSpec(decode_height=256, decode_width=0), {"shortest_edge": 256}),
        (InputSpec(decode_height=0, decode_width=0), None),
    ],
)
def test_the_preprocessing_is_the_specification(spec: InputSpec, size: dict[str, int] | None) -> None:
    values = describe_preprocessing(spec)
    assert values["size"] == size
    assert values["do_resize"] is (size is not None)
    assert values["crop_size"] == {"height": spec.crop_px, "width": spec.crop_px}
    assert (values["num_frames"], values["frame_stride"]) == (spec.num_frames, spec.frame_stride)
    assert values["rescale_factor"] * 255 == pytest.approx(1)


def test_the_preprocessing_followed_by_hand_gives_the_encoders_vectors(published: Path) -> None:
    encoder, values = (
        Encoder.load(published),
        json.loads((published / "preprocessor_config.json").read_text()),
    )
    clips = draw_clips()
    top, left = (24 - values["crop_size"]["height"]) // 2, (32 - values["crop_size"]["width"]) // 2
    pixels = clips[:, :, top : top + 16, left : left + 16].float() * values["rescale_factor"]
    pixels = (pixels - torch.tensor(values["image_mean"])) / torch.tensor(values["image_std"])
    with torch.inference_mode():
        expected = encoder.backbone(pixels.permute(0, 4, 1, 2, 3))
    found = encoder.embed_clips(clips)["average"][:, 0]
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-6)


def test_other_samplings_are_named() -> None:
    values = describe_preprocessing(PARTS_SPEC)
    assert (values["sampling"], values["span_frames"]) == ("frame_per_part", 16)


def test_a_classifier_keeps_its_scores_and_the_counts_of_its_classes(tmp_path: Path) -> None:
    classifier = build_classifier()
    classifier.provenance = {"training_counts": {"climb": 3, "swim": 5}, "method": "none", "run": "alice"}
    classifier.save(tmp_path / "run" / "classifier")
    export_huggingface(open_source(tmp_path / "run"), tmp_path / "out")
    loaded = Classifier.load(tmp_path / "out")
    assert loaded.hash == classifier.hash
    assert loaded.training_counts == {"climb": 3, "swim": 5}
    assert "run" not in loaded.provenance
    assert json.loads((tmp_path / "out" / "config.json").read_text())["id2label"] == {
        "0": "climb",
        "1": "swim",
    }
    clips = draw_clips()
    np.testing.assert_array_equal(
        loaded.embed_clips(clips)["average"], classifier.embed_clips(clips)["average"]
    )


def test_a_folder_with_something_in_it_is_refused(published: Path) -> None:
    before = (published / "model.safetensors").stat().st_mtime_ns
    with pytest.raises(ValueError, match="is not empty"):
        export_huggingface(open_source(published), published)
    assert (published / "model.safetensors").stat().st_mtime_ns == before


def test_a_wrong_licence_leaves_nothing_behind(tmp_path: Path) -> None:
    source = ExportSource(build_classifier(), tmp_path, {})
    with pytest.raises(ValueError, match="license must be"):
        export_huggingface(source, tmp_path / "out", license_name="My Licence")
    assert os.listdir(tmp_path) == []
