"""Every recipe is stepped, exported and used, with its sizes shrunk: a new method is covered at once."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.corpus import shrink_recipe
from tests.features.localization_files import write_catalog, write_vectors
from tests.train.localization_runs import shrink_localization
from unreel.config import config_from_dict, config_to_dict, hash_config
from unreel.features.classifier import Classifier
from unreel.features.encoder import Encoder
from unreel.features.localizer import Localizer
from unreel.methods.supervised import Supervised
from unreel.recipes.find import find_recipe, find_recipe_of, list_recipes, list_recipes_of
from unreel.train.finetune import finetune
from unreel.train.localization import LocalizationRecipe, train_localizer
from unreel.train.pretrain import pretrain
from unreel.train.recipe import TrainingRecipe


@pytest.mark.parametrize("name", list_recipes())
def test_a_recipe_steps_twice_and_gives_an_encoder(name: str, corpus: Path, tmp_path: Path) -> None:
    recipe = shrink_recipe(find_recipe(name)(), corpus)
    train = finetune if isinstance(recipe.method, Supervised.Config) else pretrain
    summary = train(recipe, tmp_path / "run", recipe_name=name)
    assert summary.steps == 2
    assert np.isfinite(summary.metrics["loss"])
    encoder = Encoder.load(tmp_path / "run" / "encoder")
    spec = encoder.spec
    frames = np.zeros((2, spec.num_frames, spec.decode_height, spec.decode_width, 3), dtype=np.uint8)
    features = encoder.embed_clips(_as_tensor(frames))["average"]
    assert features.shape == (2, 1, encoder.backbone.num_features)
    if isinstance(recipe.method, Supervised.Config):
        check_classifier(Classifier.load(tmp_path / "run"), recipe.method)


@pytest.mark.parametrize("name", list_recipes_of(LocalizationRecipe))
def test_a_recipe_of_localization_steps_twice_and_gives_a_localizer(
    name: str, corpus: Path, tmp_path: Path
) -> None:
    catalog = write_catalog(corpus, tmp_path)
    features = write_vectors(catalog, tmp_path / "grid.parquet")
    recipe = shrink_localization(find_recipe_of(LocalizationRecipe, name)(), features, catalog)
    summary = train_localizer(recipe, tmp_path / "run", recipe_name=name)
    assert summary.steps == 2
    assert np.isfinite(summary.metrics["loss"])
    scores = Localizer.load(summary.exported).score(np.zeros((1, 4, 8), dtype=np.float32))
    assert [tuple(part.shape) for part in scores] == [(1, 8), (1, 8), (1, 8, 8), (1, 8, 8)]


def test_every_recipe_is_of_a_kind_that_is_stepped() -> None:
    stepped = {**list_recipes(), **list_recipes_of(LocalizationRecipe)}
    assert stepped.keys() == list_recipes_of(TrainingRecipe).keys()
    assert set(list_recipes_of(LocalizationRecipe)) == {"bmn.activitynet", "bmn.small"}


@pytest.mark.parametrize("name", list_recipes_of(TrainingRecipe))
def test_a_recipe_survives_json_and_says_where_it_comes_from(name: str) -> None:
    function = find_recipe_of(TrainingRecipe, name)
    recipe = function()
    read_back = config_from_dict(function(), json.loads(json.dumps(config_to_dict(recipe))))
    assert read_back == recipe
    assert hash_config(read_back) == hash_config(recipe)
    words = " ".join((function.__doc__ or "").split())
    assert "easured" in words
    for page in re.findall(r"\S+\.md", words):
        assert (Path(__file__).resolve().parents[1] / page).is_file()


def check_classifier(classifier: Classifier, config: Supervised.Config) -> None:
    """A clip has scores for every crop and class, by the views of the recipe."""
    views, spec = classifier.views, classifier.spec
    assert views == config.views
    assert classifier.classes == ("speed0", "speed1", "speed2")
    sides = (spec.decode_height, spec.decode_width or spec.decode_height)
    frames = np.random.default_rng(0).integers(0, 256, (2, spec.num_frames, *sides, 3), dtype=np.uint8)
    scores = classifier.embed_clips(_as_tensor(frames))["average"]
    assert scores.shape == (2, views.num_crops, 3)
    assert np.isfinite(scores).all()
    assert (views.average == "probabilities") == bool(np.allclose(scores.sum(axis=2), 1, atol=1e-5))


def test_every_recipe_of_supervised_is_called_finetune() -> None:
    supervised = {
        name for name in list_recipes() if isinstance(find_recipe(name)().method, Supervised.Config)
    }
    assert supervised == {name for name in list_recipes() if name.startswith("finetune")}
    assert len(supervised) == 17


def _as_tensor(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frames)
