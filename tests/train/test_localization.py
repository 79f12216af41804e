import csv
import json
import multiprocessing
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.features.localization_files import INFO, write_catalog, write_vectors
from tests.test_distributed import find_free_port
from tests.train.localization_runs import NAME, build_recipe, build_shared_recipe, train_as
from tests.train.runs import is_same, load_weights
from unreel.errors import CatalogError, FeaturesError, TrainingError
from unreel.features.grid_batches import GridData
from unreel.features.localizer import Localizer
from unreel.features.table import FeatureTable
from unreel.recipes.find import load_run_recipe, load_run_recipe_of
from unreel.train.localization import LocalizationRecipe, fit_network, train_localizer


@pytest.fixture(scope="module")
def data(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> GridData:
    folder = tmp_path_factory.mktemp("grids")
    catalog = write_catalog(corpus, folder)
    return GridData(write_vectors(catalog, folder / "grid.parquet"), catalog)


@pytest.fixture(scope="module")
def finished(data: GridData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run of six steps."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    train_localizer(build_recipe(data), run, recipe_name=NAME)
    return run


def resume(data: GridData, run: Path, recipe: LocalizationRecipe | None = None) -> int:
    recipe = recipe or load_run_recipe_of(LocalizationRecipe, run)[1]
    return train_localizer(recipe, run, recipe_name=NAME, is_resumed=True).first_step


def test_a_run_leaves_a_localizer_that_knows_its_vectors(data: GridData, finished: Path) -> None:
    localizer = Localizer.load(finished)
    assert localizer.config.encoder_hash == INFO.encoder_hash
    assert localizer.config.encoder == "tiny/encoder"
    assert (localizer.config.every_frames, localizer.config.network.num_features) == (4, 4)
    state = load_weights(finished)
    for name, value in localizer.network.state_dict().items():
        assert torch.equal(value, state[f"network.{name}"])
    assert {"recipe": NAME, "step": 6, "method": "Localization"}.items() <= localizer.provenance.items()
    name, recipe = load_run_recipe_of(LocalizationRecipe, finished)
    assert name == NAME
    assert recipe.method.network.num_features == 4
    assert recipe.data == data.with_absolute_paths()
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert {"loss", "boundary", "regression", "classification", "lr"} <= lines[-1].keys()
    (part,) = json.loads((finished / "provenance.json").read_text())["parts"]
    assert part["videos"] == 9


def test_two_runs_of_one_seed_agree_to_the_bit_with_and_without_workers(
    data: GridData, finished: Path, tmp_path: Path
) -> None:
    recipe = build_recipe(data)
    train_localizer(
        replace(recipe, data=replace(recipe.data, num_workers=2)), tmp_path / "w", recipe_name=NAME
    )
    assert is_same(load_weights(tmp_path / "w"), load_weights(finished))
    train_localizer(build_recipe(data, seed=1), tmp_path / "s", recipe_name=NAME)
    assert not is_same(load_weights(tmp_path / "s"), load_weights(finished))


def test_two_processes_train_what_one_would(data: GridData, tmp_path: Path) -> None:
    """Their videos have different numbers of positives, which are balanced over both."""
    context, port = multiprocessing.get_context("spawn"), find_free_port()
    processes = [
        context.Process(target=train_as, args=(rank, port, data, tmp_path / "two")) for rank in (0, 1)
    ]
    for process in processes:
        process.start()
    train_localizer(build_shared_recipe(data), tmp_path / "one", recipe_name=NAME)
    for process in processes:
        process.join(100)
        assert process.exitcode == 0
    one, two = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    )
    for name in ("loss", "boundary", "regression", "classification", "covering_stretches"):
        assert [line[name] for line in two] == pytest.approx([line[name] for line in one], rel=1e-5)
    assert all(line["covering_stretches"] > 0 < line["regression"] for line in one)
    left, right = load_weights(tmp_path / "one"), load_weights(tmp_path / "two")
    assert max((left[name] - right[name]).abs().max().item() for name in left) < 1e-6


@pytest.mark.parametrize(("step", "signal_name", "resumed_at"), [(5, "SIGKILL", 4), (3, "SIGTERM", 4)])
def test_a_run_that_was_cut_off_ends_as_if_nothing_had_happened(
    data: GridData, finished: Path, tmp_path: Path, step: int, signal_name: str, resumed_at: int
) -> None:
    run = tmp_path / "cut"
    words = [str(data.features), str(data.catalog), str(run), str(step), signal_name]
    died = subprocess.run(
        [sys.executable, "-m", "tests.train.localization_runs", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if signal_name == "SIGKILL":
        assert died.returncode == -signal.SIGKILL
    else:
        assert died.stdout == "SIGTERM 4"  # the step that was under way is finished
    assert resume(data, run) == resumed_at
    assert is_same(load_weights(run), load_weights(finished))
    assert Localizer.load(run).hash == Localizer.load(finished).hash


def test_a_run_is_resumed_only_with_the_same_vectors_and_settings(
    data: GridData, finished: Path, tmp_path: Path
) -> None:
    recipe = load_run_recipe_of(LocalizationRecipe, finished)[1]
    other = write_vectors(data.catalog, tmp_path / "o.parquet", info=replace(INFO, encoder_hash="f" * 16))
    changed = replace(recipe, data=replace(recipe.data, features=other))
    with pytest.raises(TrainingError, match="written with other settings, other videos"):
        resume(data, finished, changed)
    with pytest.raises(TrainingError, match="written with other settings"):
        resume(data, finished, replace(recipe, method=replace(recipe.method, regression_weight=1.0)))
    moved = tmp_path / "moved.parquet"
    moved.write_bytes(data.features.read_bytes())
    assert resume(data, finished, replace(recipe, data=replace(recipe.data, features=moved))) == 6


def test_a_folder_that_is_taken_is_refused_with_the_command_to_go_on(data: GridData, finished: Path) -> None:
    with pytest.raises(TrainingError, match=r"is not empty; .*`unreel localize train --resume"):
        train_localizer(build_recipe(data), finished, recipe_name=NAME)


def test_vectors_that_do_not_fit_are_refused(data: GridData, tmp_path: Path) -> None:
    recipe = build_recipe(data)
    network = replace(recipe.method.network, num_features=8)
    wrong = replace(recipe, method=replace(recipe.method, network=network))
    with pytest.raises(ValueError, match=r"num_features = 8, and the vectors of .* have 4 numbers"):
        train_localizer(wrong, tmp_path / "run", recipe_name=NAME)
    with pytest.raises(
        FeaturesError, match=r"has UniformClips spread over each video, not vectors over time"
    ):
        fit_network(recipe, replace(INFO, sampling="UniformClips"))
    network = replace(recipe.method.network, num_groups=4)
    grouped = replace(recipe, method=replace(recipe.method, network=network))
    with pytest.raises(
        ValueError, match=r"num_features = 6 does not divide .* --method.network.num-groups 1"
    ):
        fit_network(grouped, replace(INFO, dimension=6))
    gone = replace(recipe, data=replace(recipe.data, features=tmp_path / "gone.parquet"))
    with pytest.raises(FeaturesError, match="cannot be read as a table of features"):
        train_localizer(gone, tmp_path / "run", recipe_name=NAME)
    assert not (tmp_path / "run").exists()


def test_a_catalog_without_segments_starts_no_run(corpus: Path, data: GridData, tmp_path: Path) -> None:
    recipe = build_recipe(replace(data, catalog=corpus))
    with pytest.raises(CatalogError, match="has a segment"):
        train_localizer(recipe, tmp_path / "run", recipe_name=NAME)
    assert not (tmp_path / "run").exists()


def test_videos_that_are_left_out_are_listed(data: GridData, tmp_path: Path) -> None:
    table = FeatureTable.load(data.features)
    few = np.flatnonzero(table.column("path") != "01.mp4")
    table.take(few).save(tmp_path / "few.parquet")
    recipe = build_recipe(replace(data, features=tmp_path / "few.parquet"), steps=1)
    recipe = replace(recipe, data=replace(recipe.data, max_rejected_fraction=0.5))
    summary = train_localizer(recipe, tmp_path / "run", recipe_name=NAME)
    assert (summary.num_videos, summary.num_left_out) == (8, 1)
    with (tmp_path / "run" / "rejected.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert Path(row["path"]).name == "01.mp4"
    assert (row["kind"], row["reason"]) == ("left out", "no features")


def test_a_localizer_is_no_run_of_another_command(finished: Path) -> None:
    with pytest.raises(TrainingError, match=r"recipe 'bmn.small' is for another command"):
        load_run_recipe(finished)
