import json
from pathlib import Path
from typing import Any

import pytest

from tests.features.tiny import SPEC, build_encoder
from unreel.errors import WeightsError
from unreel.features.classifier import Classifier
from unreel.features.classifier_files import ClassifierConfig
from unreel.features.encoder import Encoder
from unreel.features.export_source import open_source, select_facts
from unreel.models.resnet3d import R3DConfig

PROVENANCE = {
    "method": "CCL",
    "recipe": "ccl.small",
    "run": "alice-try-3",
    "step": 300,
    "num_steps": 400,
    "seed": 7,
    "catalog": "c" * 16,
    "initial_encoder": "/data/alice/encoder",
}
PART = {
    "first_step": 0,
    "unreel": "0.1.0",
    "python": "3.11.7",
    "packages": {"torch": "2.13.0", "av": "18.1.0"},
    "platform": "Linux-6.1-x86_64",
    "processor": "A processor",
    "command": ["/data/alice/bin/unreel", "pretrain", "ccl.small", "--data.catalog", "/data/alice/c.parquet"],
    "commit": "0123abcd",
    "device": "NVIDIA H200",
    "processes": 2,
    "seed": 7,
    "catalog": "c" * 16,
    "videos": 1234,
    "initial_weights": {},  # those of a part that was resumed
    "cautions": ["/data/alice/w.pth gives 90% of the method's frames"],
}
STARTED_FROM = {
    "frames": {"file": "/data/alice/w.pth", "hash": "ab", "share_loaded": 1.0},
    "head": {"file": "", "hash": "", "share_loaded": 1.0},
}
TRAIN = {
    "epochs": 200,
    "steps": 0,
    "batch_size": 64,
    "precision": "auto",
    "device": "cuda:1",
    "optimizer": {"name": "sgd", "lr": 0.02, "lr_per_videos": 0, "weight_decay": 1e-4, "momentum": 0.9},
}


def write_run(run: Path, *, part: Any = PART, train: Any = TRAIN) -> Encoder:
    """Write what a run leaves behind, with a user's folders wherever such are kept."""
    encoder = build_encoder()
    Encoder(encoder.backbone, encoder.config, provenance=PROVENANCE).save(run / "encoder")
    recipe = {
        "recipe": "ccl.small",
        "settings": {"data": {"catalog": "/data/alice/c.parquet"}, "train": train},
    }
    (run / "recipe.json").write_text(json.dumps(recipe))
    (run / "provenance.json").write_text(
        json.dumps({"parts": [{"videos": 1, "initial_weights": STARTED_FROM}, part]})
    )
    return encoder


def build_classifier() -> Classifier:
    config = ClassifierConfig(R3DConfig(depth=10, width=0.0625), SPEC, classes=("climb", "swim"))
    return Classifier.untrained(config)


@pytest.mark.parametrize("inner", ["", "encoder"])
def test_a_run_and_its_encoder_are_the_same_source(tmp_path: Path, inner: str) -> None:
    encoder = write_run(tmp_path / "run")
    source = open_source(tmp_path / "run" / inner)
    assert source.model.hash == encoder.hash
    assert source.folder == tmp_path / "run" / "encoder"
    assert (source.kind, source.num_outputs) == ("encoder", encoder.num_features)
    assert source.facts["videos"] == 1234


def test_the_facts_are_those_of_the_training(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    facts = open_source(tmp_path / "run").facts
    expected = {
        "method": "CCL",
        "recipe": "ccl.small",
        "step": 300,
        "num_steps": 400,
        "seed": 7,
        "catalog": "c" * 16,
        "videos": 1234,
        "processes": 2,
        "device": "NVIDIA H200",
        "python": "3.11.7",
        "commit": "0123abcd",
        "torch": "2.13.0",
        "initial weights": "frames from a file of hash ab",
        "epochs": 200,
        "batch_size": 64,
        "precision": "auto",
        "optimizer name": "sgd",
        "optimizer lr": 0.02,
        "optimizer lr_per_videos": 0,
        "optimizer weight_decay": 1e-4,
    }
    assert expected.items() <= facts.items()
    assert facts.keys() - expected.keys() == {"unreel"}


def test_no_folder_and_no_name_of_a_person_is_among_the_facts(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    text = json.dumps(open_source(tmp_path / "run").facts)
    assert "alice" not in text
    assert "/" not in text
    assert str(tmp_path) not in text


@pytest.mark.parametrize("value", ["/data/x", "C:\\x", "~bob", "a\nb", "", None, ["x"], {"x": 1}])
def test_a_value_that_may_be_private_is_left_out(value: object) -> None:
    assert select_facts({"recipe": value, "seed": 1}) == {"seed": 1}


def test_steps_take_the_place_of_epochs(tmp_path: Path) -> None:
    write_run(tmp_path / "run", train={**TRAIN, "steps": 400})
    assert "epochs" not in open_source(tmp_path / "run").facts


@pytest.mark.parametrize("part", [{}, [], "text", {"packages": 3, "catalog": "c" * 16}])
def test_files_of_a_run_that_are_not_understood_are_passed_over(tmp_path: Path, part: Any) -> None:
    write_run(tmp_path / "run", part=part, train=part)
    assert open_source(tmp_path / "run").facts["method"] == "CCL"
    (tmp_path / "run" / "provenance.json").write_text("{")
    (tmp_path / "run" / "recipe.json").write_text("[]")
    assert open_source(tmp_path / "run").facts["seed"] == 7


def test_a_run_on_other_videos_is_not_the_encoders(tmp_path: Path) -> None:
    write_run(tmp_path / "run", part={**PART, "catalog": "d" * 16})
    facts = open_source(tmp_path / "run").facts
    assert facts["catalog"] == "c" * 16
    assert "videos" not in facts
    assert "batch_size" not in facts


def test_an_encoder_outside_of_a_run_has_its_own_facts(tmp_path: Path) -> None:
    build_encoder().save(tmp_path / "somewhere")
    facts = open_source(tmp_path / "somewhere").facts
    assert facts["method"] == "none"
    assert "videos" not in facts


def test_a_classifier_comes_before_the_encoder_of_a_run(tmp_path: Path) -> None:
    encoder = write_run(tmp_path / "run")
    classifier = build_classifier()
    classifier.save(tmp_path / "run" / "classifier")
    source = open_source(tmp_path / "run")
    assert (source.kind, source.num_outputs, source.model.hash) == ("classifier", 2, classifier.hash)
    assert open_source(tmp_path / "run" / "classifier").kind == "classifier"
    assert open_source(tmp_path / "run" / "encoder").model.hash == encoder.hash


def test_a_folder_without_a_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"holds no encoder and no classifier .*give a run"):
        open_source(tmp_path)
    with pytest.raises(WeightsError, match="holds no encoder and no classifier"):
        open_source(tmp_path / "nowhere")


def test_a_damaged_encoder_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    (tmp_path / "run" / "encoder" / "model.safetensors").write_bytes(b"half")
    with pytest.raises(WeightsError, match="cannot be read"):
        open_source(tmp_path / "run")


@pytest.mark.parametrize("value", ["<b>", None, [3], {"a": 1}])
def test_a_count_that_is_none_is_not_told(value: object) -> None:
    assert select_facts({"method": "CCL", "step": value, "num_steps": 10}) == {
        "method": "CCL",
        "num_steps": 10,
    }
