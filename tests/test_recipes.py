"""Every recipe is stepped, exported and used, with its sizes shrunk: a new method is covered at once."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.corpus import shrink_recipe
from unreel.config import config_from_dict, config_to_dict, hash_config
from unreel.features.encoder import Encoder
from unreel.recipes.find import find_recipe, list_recipes
from unreel.train.pretrain import pretrain


@pytest.mark.parametrize("name", list_recipes())
def test_a_recipe_steps_twice_and_gives_an_encoder(name: str, corpus: Path, tmp_path: Path) -> None:
    recipe = shrink_recipe(find_recipe(name)(), corpus)
    summary = pretrain(recipe, tmp_path / "run", recipe_name=name)
    assert summary.steps == 2
    assert np.isfinite(summary.metrics["loss"])
    encoder = Encoder.load(summary.exported)
    spec = encoder.spec
    frames = np.zeros((2, spec.num_frames, spec.decode_height, spec.decode_width, 3), dtype=np.uint8)
    features = encoder.embed_clips(_as_tensor(frames))["average"]
    assert features.shape == (2, 1, encoder.backbone.num_features)


@pytest.mark.parametrize("name", list_recipes())
def test_a_recipe_survives_json_and_says_where_it_comes_from(name: str) -> None:
    function = find_recipe(name)
    recipe = function()
    read_back = config_from_dict(function(), json.loads(json.dumps(config_to_dict(recipe))))
    assert read_back == recipe
    assert hash_config(read_back) == hash_config(recipe)
    words = " ".join((function.__doc__ or "").split())
    assert "easured" in words
    for page in re.findall(r"\S+\.md", words):
        assert (Path(__file__).resolve().parents[1] / page).is_file()


def _as_tensor(frames: np.ndarray) -> object:
    import torch

    return torch.from_numpy(frames)
