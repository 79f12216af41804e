import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.features.tiny import build_encoder
from unreel.config import config_to_dict
from unreel.errors import WeightsError
from unreel.features.encoder import Encoder
from unreel.features.encoder_files import EncoderConfig, hash_encoder, read_encoder, write_encoder
from unreel.models.c3d import C3DConfig
from unreel.models.resnet2d import ResNetConfig

SHIFT_SETTINGS = ("temporal_shift", "shift_divisor")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build_encoder().save(tmp_path / "encoder")
    return tmp_path / "encoder"


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "encoder.json"
    description = json.loads(path.read_text())
    change(description)
    path.write_text(json.dumps(description))


def edit_weights(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")


def test_the_files_hold_weights_under_the_backbones_names_and_the_rest_as_json(folder: Path) -> None:
    encoder = build_encoder()
    assert sorted(path.name for path in folder.iterdir()) == ["encoder.json", "model.safetensors"]
    assert load_file(folder / "model.safetensors").keys() == encoder.backbone.state_dict().keys()
    description = json.loads((folder / "encoder.json").read_text())
    assert description["format"] == "unreel-encoder"
    assert description["format_version"] == 1
    assert description["backbone"]["architecture"] == "r3d"
    assert description["input"]["num_frames"] == 4
    assert description["hash"] == encoder.hash
    assert "torch" in description["provenance"]["packages"]


def test_reading_gives_back_what_was_written(tmp_path: Path) -> None:
    state = {"b": torch.arange(3), "a": torch.rand(2, 2, dtype=torch.bfloat16), "scalar": torch.tensor(4.5)}
    config = EncoderConfig()
    write_encoder(tmp_path, state, config, {"recipe": "ccl.small", "step": 7})
    files = read_encoder(tmp_path)
    assert files.config == config
    assert files.hash == hash_encoder(state, config)
    assert files.provenance["recipe"] == "ccl.small"
    assert files.provenance["step"] == 7
    assert files.state.keys() == state.keys()
    assert all(torch.equal(files.state[name], value) for name, value in state.items())


def test_the_hash_sees_every_weight_name_shape_type_and_setting() -> None:
    state = {"a": torch.zeros(2, 3), "b": torch.ones(1)}
    config = EncoderConfig()
    changed = state["a"].clone()
    changed[1, 2] = 1e-30
    hashes = [
        hash_encoder(state, config),
        hash_encoder({**state, "a": changed}, config),
        hash_encoder({**state, "a": torch.zeros(3, 2)}, config),
        hash_encoder({**state, "a": torch.zeros(2, 3, dtype=torch.int32)}, config),
        hash_encoder({"a": state["a"], "c": state["b"]}, config),
        hash_encoder(state, replace(config, backbone=C3DConfig(width=0.5))),
        hash_encoder(state, replace(config, input=replace(config.input, crop_px=64))),
    ]
    assert len(set(hashes)) == len(hashes)
    assert all(len(value) == 16 for value in hashes)


def test_the_hash_depends_on_nothing_else() -> None:
    state = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(1)}
    transposed_in_memory = state["a"].t().contiguous().t()
    reordered = {"b": state["b"], "a": transposed_in_memory}
    assert hash_encoder(state, EncoderConfig()) == hash_encoder(reordered, EncoderConfig())


def test_a_folder_without_encoder_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"holds no encoder \(no encoder.json\); give the folder `encoder`"
    ):
        Encoder.load(tmp_path)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WeightsError, match="holds no encoder"):
        Encoder.load(tmp_path / "file")


def test_the_run_folder_is_refused_with_a_hint_at_its_encoder(folder: Path) -> None:
    with pytest.raises(WeightsError, match=f"did you mean {folder}"):
        Encoder.load(folder.parent)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "other"}', ""])
def test_a_foreign_description_is_refused(folder: Path, text: str) -> None:
    (folder / "encoder.json").write_text(text)
    with pytest.raises(WeightsError, match=r"encoder.json"):
        Encoder.load(folder)


def test_a_description_of_another_version_is_refused(folder: Path) -> None:
    edit(folder, lambda description: description.update(format_version=99))
    with pytest.raises(WeightsError, match=r"format version 99 .* reads 1; update unreel"):
        Encoder.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["backbone"].update(architecture="vit"), "backbone names none of the known kinds"),
        (lambda d: d["backbone"].update(depth="deep"), "backbone.depth"),
        (lambda d: d["input"].update(cropp_px=3), "did you mean 'crop_px'"),
        (lambda d: d["input"].update(crop_px=0), "crop_px must be at least 1"),
        (lambda d: d.pop("input"), "input"),
        (lambda d: d.pop("hash"), "hash"),
        (lambda d: d.update(provenance=3), "provenance|iterable"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit(folder, change)
    with pytest.raises(WeightsError, match=message):
        Encoder.load(folder)


def test_a_network_that_cannot_be_built_is_refused(folder: Path) -> None:
    edit(folder, lambda description: description["backbone"].update(width=-1.0))
    with pytest.raises(WeightsError, match=r"cannot be built.*width"):
        Encoder.load(folder)


def test_missing_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"model.safetensors cannot be read"):
        Encoder.load(folder)


@pytest.mark.parametrize("keep", [0, 7, 500])
def test_truncated_weights_are_refused(folder: Path, keep: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(WeightsError, match=r"model.safetensors cannot be read"):
        Encoder.load(folder)


def test_one_flipped_bit_is_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(WeightsError, match="do not belong together or are damaged"):
        Encoder.load(folder)


def test_a_setting_changed_by_hand_is_refused(folder: Path) -> None:
    edit(folder, lambda description: description["input"].update(crop_px=20))
    with pytest.raises(WeightsError, match="do not belong together"):
        Encoder.load(folder)


def test_weights_of_another_encoder_are_refused(folder: Path, tmp_path: Path) -> None:
    build_encoder(seed=1).save(tmp_path / "other")
    os.replace(tmp_path / "other" / "model.safetensors", folder / "model.safetensors")
    with pytest.raises(WeightsError, match="do not belong together"):
        Encoder.load(folder)


def test_weights_that_do_not_fit_are_named(folder: Path) -> None:
    name = next(iter(build_encoder().backbone.state_dict()))

    def rename(state: dict[str, Tensor]) -> None:
        state["head.weight"] = state.pop(name)

    edit_weights(folder, rename)
    with pytest.raises(WeightsError, match=f"head.weight is not part of the network; {name} is missing"):
        Encoder.load(folder)


def test_weights_of_another_shape_are_named_and_long_lists_are_cut(folder: Path) -> None:
    def shrink(state: dict[str, Tensor]) -> None:
        for name in list(state):
            if state[name].ndim:
                state[name] = state[name][:0]

    edit_weights(folder, shrink)
    with pytest.raises(WeightsError, match=r"has shape \(0,.*\) instead of .* and \d+ more"):
        Encoder.load(folder)


def test_a_failed_write_leaves_the_old_encoder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError("disk full")

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr("unreel.features.weight_files.save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        build_encoder(seed=1).save(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_stop_between_the_two_files_leaves_a_pair_that_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("unreel.features.weight_files.write_json", stop)
    with pytest.raises(KeyboardInterrupt):
        build_encoder(seed=1).save(folder)
    with pytest.raises(WeightsError, match="do not belong together"):
        Encoder.load(folder)


def test_the_configuration_survives_json() -> None:
    config = build_encoder().config
    assert json.loads(json.dumps(config_to_dict(config)))["backbone"] == config_to_dict(config.backbone)


def test_an_encoder_from_before_the_temporal_shift_still_fits(tmp_path: Path) -> None:
    """Its description lacks the two settings, and its hash was taken without them."""
    encoder = Encoder.untrained(EncoderConfig(ResNetConfig(depth=18, width=0.125)))
    encoder.save(tmp_path)
    edit(tmp_path, lambda description: [description["backbone"].pop(name) for name in SHIFT_SETTINGS])
    assert Encoder.load(tmp_path).config == encoder.config
    edit(tmp_path, lambda description: description["backbone"].update(temporal_shift=True))
    with pytest.raises(WeightsError, match="do not belong together"):
        Encoder.load(tmp_path)
