import dataclasses
import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from tests.train.runs import build_recipe, is_same, load_weights
from unreel.config import config_to_dict
from unreel.errors import TrainingError
from unreel.methods.method import Method
from unreel.recipes import ccl, find
from unreel.recipes.find import (
    find_recipe,
    find_recipe_of,
    list_recipes,
    list_recipes_of,
    load_run_method,
    load_run_recipe,
)
from unreel.train.checkpoint import LoadedWeights
from unreel.train.localization import LocalizationRecipe
from unreel.train.pretrain import pretrain
from unreel.train.recipe import Recipe, TrainingRecipe

OUTSIDE = """
from unreel.recipes.moco import small
from unreel.train.recipe import Recipe

def mine() -> Recipe:
    '''My own.'''
    return small()

def not_a_recipe() -> int:
    return 3
"""


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_recipes.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_recipes", raising=False)
    return "my_recipes"


def test_every_recipe_of_the_package_is_listed_once_and_explained() -> None:
    recipes = list_recipes()
    assert {"ccl.kinetics400", "ccl.ucf101", "ccl.small", "moco.ucf101", "moco.small"} <= recipes.keys()
    assert list(recipes) == sorted(recipes)
    for function in recipes.values():
        assert isinstance(function(), Recipe)
        assert function.__doc__


def test_a_name_is_file_and_function() -> None:
    assert find_recipe("ccl.ucf101") is ccl.ucf101


def test_a_recipe_may_live_outside_the_package(outside: str) -> None:
    assert isinstance(find_recipe(f"{outside}:mine")(), Recipe)


def test_annotations_may_be_postponed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = OUTSIDE.replace("\nfrom unreel", "from __future__ import annotations\nfrom unreel", 1)
    (tmp_path / "my_later_recipes.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    assert isinstance(find_recipe("my_later_recipes:mine")(), Recipe)
    with pytest.raises(ValueError, match="has no function 'not_a_recipe'"):
        find_recipe("my_later_recipes:not_a_recipe")


def test_recipes_of_one_kind_are_found_apart_from_others(outside: str) -> None:
    """Localisers are trained by another command than representations."""
    assert "bmn.small" not in list_recipes()
    assert list_recipes_of(TrainingRecipe).keys() == (
        list_recipes().keys() | list_recipes_of(LocalizationRecipe).keys()
    )
    assert isinstance(find_recipe_of(LocalizationRecipe, "bmn.small")(), LocalizationRecipe)
    with pytest.raises(ValueError, match=r"'bmn.small' is for another command; `unreel recipes bmn.small`"):
        find_recipe("bmn.small")
    with pytest.raises(ValueError, match=r"'moco.small' is for another command"):
        find_recipe_of(LocalizationRecipe, "moco.small")
    with pytest.raises(ValueError, match=r"`-> LocalizationRecipe`; it has none"):
        find_recipe_of(LocalizationRecipe, f"{outside}:mine")
    assert isinstance(find_recipe_of(TrainingRecipe, f"{outside}:mine")(), Recipe)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ccl.ucf10", "no recipe is called 'ccl.ucf10'; did you mean ccl.ucf101"),
        ("zzz", r"no recipe is called 'zzz'; `unreel recipes` lists them"),
        ("no.such.module:recipe", "module 'no.such.module' cannot be imported"),
        ("my_recipes:small", r"has no function 'small' annotated `-> Recipe`; it has \['mine'\]"),
        ("my_recipes:not_a_recipe", "has no function 'not_a_recipe'"),
    ],
)
def test_an_unknown_name_is_refused_with_what_there_is(outside: str, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_recipe(name)


def write_run(folder: Path, name: str, settings: object) -> None:
    (folder / "recipe.json").write_text(json.dumps({"recipe": name, "settings": settings}))


def test_a_run_is_read_back_from_its_folder_alone(tmp_path: Path, outside: str) -> None:
    recipe = find_recipe(f"{outside}:mine")()
    write_run(tmp_path, f"{outside}:mine", config_to_dict(recipe))
    assert load_run_recipe(tmp_path) == (f"{outside}:mine", recipe)


def test_settings_of_another_version_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path, "ccl.ucf101", {"train": {"batchsize": 3}})
    with pytest.raises(
        TrainingError, match=r"does not fit this version .* 'train.batchsize'; did you mean 'batch_size'"
    ):
        load_run_recipe(tmp_path)
    write_run(tmp_path, "ccl.gone", {})
    with pytest.raises(TrainingError, match=r"no recipe is called 'ccl.gone'"):
        load_run_recipe(tmp_path)


def test_a_trained_method_is_read_back_with_its_newest_weights(corpus: Path, tmp_path: Path) -> None:
    recipe = build_recipe(corpus, steps=3)
    pretrain(recipe, tmp_path, recipe_name="moco.ucf101")
    generator_before = torch.random.get_rng_state()
    loaded = load_run_method(tmp_path)
    method = loaded.method
    assert torch.equal(torch.random.get_rng_state(), generator_before)
    assert (loaded.recipe_name, loaded.recipe) == ("moco.ucf101", recipe)
    assert not any(module.training for module in method.modules())
    assert is_same(method.state_dict(), load_weights(tmp_path))
    assert not is_same(method.state_dict(), recipe.method.build().state_dict())
    assert loaded.describe() == {
        "recipe": "moco.ucf101",
        "method_name": "MoCo",
        "train_seed": recipe.train.seed,
        "step": 3,
        "weights_hash": loaded.weights.hash,
    }


def test_two_runs_with_other_seeds_are_told_apart_by_their_weights(corpus: Path, tmp_path: Path) -> None:
    hashes = []
    for number, seed in enumerate((0, 0, 1)):
        recipe = build_recipe(corpus, steps=1)
        recipe = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, seed=seed))
        pretrain(recipe, tmp_path / str(number), recipe_name="moco.ucf101")
        described = load_run_method(tmp_path / str(number)).describe()
        assert described["train_seed"] == seed
        hashes.append(described["weights_hash"])
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_step_is_that_of_the_weights_whatever_is_written_meanwhile(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that goes on writes step 9 right after step 2 has been read."""
    pretrain(build_recipe(corpus, steps=2), tmp_path, recipe_name="moco.ucf101")
    load = find.load_method_weights

    def load_while_the_run_goes_on(path: Path, method: Method) -> LoadedWeights:
        loaded = load(path, method)
        shutil.copy(path, path.with_name("step-00000009.pt"))
        return loaded

    monkeypatch.setattr(find, "load_method_weights", load_while_the_run_goes_on)
    assert load_run_method(tmp_path).describe()["step"] == 2


def test_a_run_without_a_checkpoint_is_refused_with_the_remedy(tmp_path: Path) -> None:
    write_run(tmp_path, "ccl.small", config_to_dict(find_recipe("ccl.small")()))
    with pytest.raises(TrainingError, match=r"has no checkpoint yet; wait .*`unreel pretrain --resume"):
        load_run_method(tmp_path)


def test_a_folder_without_a_run_has_no_method(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no run"):
        load_run_method(tmp_path)
