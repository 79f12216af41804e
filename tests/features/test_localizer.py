import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.features.localization_files import INFO
from tests.models.test_bmn import TINY
from unreel.errors import FeaturesError, WeightsError
from unreel.features.localizer import Localizer, LocalizerConfig
from unreel.models.bmn import BMN

CONFIG = LocalizerConfig(TINY, INFO.encoder_hash, INFO.encoder, every_frames=4)


def build_localizer(seed: int = 0, config: LocalizerConfig = CONFIG) -> Localizer:
    torch.manual_seed(seed)
    return Localizer(BMN(config.network).eval(), config, provenance={"recipe": "bmn.small"})


def test_a_saved_localizer_comes_back_as_it_was(tmp_path: Path) -> None:
    localizer = build_localizer()
    localizer.save(tmp_path / "run" / "localizer")
    before = torch.random.get_rng_state()
    for folder in (tmp_path / "run", tmp_path / "run" / "localizer"):
        loaded = Localizer.load(folder)
        assert loaded.config == CONFIG
        assert loaded.hash == localizer.hash
        assert loaded.name == "run/localizer"
        assert loaded.provenance["recipe"] == "bmn.small"
    assert torch.equal(torch.random.get_rng_state(), before)
    features = np.random.default_rng(0).normal(size=(2, 8, 6)).astype(np.float32)
    for left, right in zip(localizer.score(features), loaded.score(features), strict=True):
        assert torch.equal(left, right)


def test_the_hash_changes_with_weights_and_settings() -> None:
    hashes = {build_localizer(seed).hash for seed in (0, 0, 1)}
    hashes.add(build_localizer(0, replace(CONFIG, every_frames=8)).hash)
    assert len(hashes) == 3


def test_vectors_of_another_encoder_or_at_other_moments_are_refused() -> None:
    localizer = build_localizer()
    localizer.check_features(INFO)
    with pytest.raises(FeaturesError, match=r"vectors of tiny/encoder \(e{16}\), and these are of other \(f"):
        localizer.check_features(replace(INFO, encoder_hash="f" * 16, encoder="other"))
    other = replace(INFO, sampling="CenteredClips(every=16)")
    with pytest.raises(FeaturesError, match=r"every=4\), and these are of .*every=16.*--every-frames 4`"):
        localizer.check_features(other)


def test_damaged_and_foreign_files_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"holds no localizer \(no localizer.json\)"):
        Localizer.load(tmp_path)
    build_localizer().save(tmp_path)
    weights = (tmp_path / "model.safetensors").read_bytes()
    build_localizer(1).save(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(weights)
    with pytest.raises(WeightsError, match="do not belong together or are damaged"):
        Localizer.load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(weights[:100])
    with pytest.raises(WeightsError, match="cannot be read"):
        Localizer.load(tmp_path)
    description = json.loads((tmp_path / "localizer.json").read_text())
    description["network"]["num_features"] = 0
    build_localizer().save(tmp_path)
    (tmp_path / "localizer.json").write_text(json.dumps(description))
    with pytest.raises(
        WeightsError, match=r"describes a network that cannot be built: network.num_features is 0"
    ):
        Localizer.load(tmp_path)


@pytest.mark.parametrize("width", [2**20, 2**34, 10**30])
def test_a_network_of_senseless_size_is_refused_before_it_is_built(tmp_path: Path, width: int) -> None:
    build_localizer().save(tmp_path)
    description = json.loads((tmp_path / "localizer.json").read_text())
    description["network"]["hidden_3d"] = width
    (tmp_path / "localizer.json").write_text(json.dumps(description))
    with pytest.raises(WeightsError, match=r"does not fit the network|cannot be built"):
        Localizer.load(tmp_path)


def test_a_network_in_training_mode_is_refused() -> None:
    localizer = build_localizer()
    localizer.network.train()
    with pytest.raises(ValueError, match=r"in training mode; call localizer.network.eval\(\)"):
        localizer.score(torch.zeros(1, 8, 6))


def test_scores_lie_on_the_cpu_wherever_they_are_computed() -> None:
    localizer = build_localizer().to("cpu")
    assert {part.device.type for part in localizer.score(torch.zeros(1, 8, 6))} == {"cpu"}
    assert localizer.grid.every_frames == 4
