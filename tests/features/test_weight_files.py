import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from unreel.errors import WeightsError
from unreel.features.encoder_files import ENCODER_KIND, hash_encoder
from unreel.features.weight_files import FileKind, WeightFiles, hash_weights
from unreel.models.zoo import BACKBONES, BackboneConfig, build_backbone


@dataclass(frozen=True)
class Settings:
    width: int = 3
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width must be at least 1, got {self.width}")


KIND = FileKind("sorter", "a", Settings())
STATE = {"weight": torch.arange(3.0), "scalar": torch.tensor(2)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    KIND.write(tmp_path / "sorter", STATE, Settings(4, ("x", "y")), {"step": 7})
    return tmp_path / "sorter"


def test_what_was_written_is_read(folder: Path) -> None:
    files = KIND.read(folder)
    assert isinstance(files, WeightFiles)
    assert files.config == Settings(4, ("x", "y"))
    assert files.provenance["step"] == 7
    assert files.hash == hash_weights(STATE, files.config)
    assert all(torch.equal(files.state[name], value) for name, value in STATE.items())
    KIND.check_fit(STATE, files, folder)


def test_the_files_are_called_by_the_kind(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["model.safetensors", "sorter.json"]
    description = json.loads((folder / "sorter.json").read_text())
    assert (description["format"], description["format_version"]) == ("unreel-sorter", 1)
    assert description["names"] == ["x", "y"]


def test_another_kind_of_network_is_refused_by_the_name_of_what_is_wanted(folder: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"holds no encoder \(no encoder.json\); give the folder `encoder`"
    ):
        ENCODER_KIND.read(folder)
    (folder / "encoder.json").write_text((folder / "sorter.json").read_text())
    with pytest.raises(WeightsError, match="does not describe an encoder"):
        ENCODER_KIND.read(folder)
    with pytest.raises(WeightsError, match=f"holds no sorter .* did you mean {folder}"):
        KIND.read(folder.parent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"width": 0},
            "describes no sorter that this version knows: width must be at least 1, got 0; update",
        ),
        ({"widht": 1, "width": "wide"}, "width must be int"),
        ({"format": "unreel-encoder"}, "does not describe a sorter; give the folder `sorter`"),
        (
            {"format_version": 2},
            "format version 2 and this version of unreel reads 1; update .* sorter again",
        ),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(folder: Path, change: dict, message: str) -> None:
    path = folder / "sorter.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(WeightsError, match=message):
        KIND.read(folder)


def test_a_setting_that_is_missing_is_refused_and_one_inside_a_group_is_completed(folder: Path) -> None:
    path = folder / "sorter.json"
    values = json.loads(path.read_text())
    del values["names"]
    path.write_text(json.dumps(values))
    with pytest.raises(WeightsError, match="'names'"):
        KIND.read(folder)


def test_weights_that_do_not_fit_or_were_changed_are_refused(folder: Path) -> None:
    files = KIND.read(folder)
    with pytest.raises(WeightsError, match=r"bias is missing; scalar is not part of the network; weight has"):
        KIND.check_fit({"weight": torch.zeros(2), "bias": torch.zeros(1)}, files, folder)
    files.state["weight"][0] = 5
    with pytest.raises(WeightsError, match="do not belong together or are damaged"):
        KIND.check_fit(STATE, files, folder)
    (folder / "model.safetensors").write_bytes(b"1234")
    with pytest.raises(WeightsError, match=r"cannot be read: .* export the sorter again"):
        KIND.read(folder)


def test_a_network_is_built_only_once_its_outline_fits(folder: Path) -> None:
    devices: list[str] = []

    def make(config: Settings) -> torch.nn.Linear:
        devices.append(str(torch.get_default_device()))
        return torch.nn.Linear(config.width, 2)

    KIND.write(folder, torch.nn.Linear(4, 2).state_dict(), Settings(4), {})
    network = KIND.build(make, torch.nn.Linear.state_dict, KIND.read(folder), folder)
    assert devices == ["meta", "cpu"]
    assert network.weight.device.type == "cpu"
    change_width(folder, 10**9)
    with pytest.raises(WeightsError, match=r"weight has shape \(2, 4\) instead of \(2, 1000000000\)"):
        KIND.build(make, torch.nn.Linear.state_dict, KIND.read(folder), folder)
    assert devices[2:] == ["meta"]
    change_width(folder, 10**30)
    with pytest.raises(WeightsError, match=f"{folder} describes a network that cannot be built: "):
        KIND.build(make, torch.nn.Linear.state_dict, KIND.read(folder), folder)
    assert torch.get_default_device() == torch.device("cpu")


def change_width(folder: Path, width: int) -> None:
    path = folder / "sorter.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "width": width}))


@pytest.mark.parametrize("config", BACKBONES.values(), ids=BACKBONES.keys())
def test_the_outline_of_every_network_is_that_of_the_network(config: BackboneConfig) -> None:
    """It has the same names, shapes and types, and draws nothing."""
    config = replace(config, width=config.width / 8)
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    with torch.device("meta"):
        outline = build_backbone(config).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    state = build_backbone(config).state_dict()
    assert list(outline) == list(state)
    for name, value in state.items():
        assert (outline[name].shape, outline[name].dtype) == (value.shape, value.dtype)
    assert {value.device.type for value in outline.values()} == {"meta"}


def test_encoders_are_one_kind() -> None:
    config = ENCODER_KIND.template
    assert hash_encoder(STATE, config) == hash_weights(STATE, config)
    assert ENCODER_KIND.description_file == "encoder.json"
