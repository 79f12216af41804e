import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.corpus import shrink_recipe
from unreel.config import config_to_dict
from unreel.data.catalog import Catalog
from unreel.data.loader import select_videos
from unreel.errors import TrainingError
from unreel.evaluate.low_shot import TEST_FACTS, LowShotConfig, LowShotResult
from unreel.evaluate.low_shot_finetuned import finetune_low_shot
from unreel.evaluate.recognition import evaluate_recognition
from unreel.features.classifier import Classifier
from unreel.features.reading import ReadConfig
from unreel.recipes.finetune import small
from unreel.runs import write_json
from unreel.train.finetune import finetune, name_classes
from unreel.train.recipe import Recipe

TESTED = {"split": "test", "catalog_hash": "1234"}
LOW_SHOT = LowShotConfig(fractions=(0.3, 1.0), seeds=(0, 1))


class Trainer:
    """Leaves a folder as a run does and remembers what it was asked for."""

    def __init__(self, stopped_by: str = "") -> None:
        self.asked: list[tuple[Path, Recipe, bool]] = []
        self.tested: list[Path] = []
        self.stopped_by = stopped_by

    def finetune(self, recipe: Recipe, run: Path, *, recipe_name: str, is_resumed: bool, **_: Any) -> Any:
        self.asked.append((run, recipe, is_resumed))
        settings = config_to_dict(name_classes(recipe).with_absolute_paths())
        write_json(run / "recipe.json", {"recipe": recipe_name, "settings": settings})
        return SimpleNamespace(stopped_by=self.stopped_by)

    def recognize(self, run: Path) -> dict[str, Any]:
        self.tested.append(run)
        share, _, seed = run.name.replace("-percent-seed-", " ").partition(" ")
        top1 = float(share) / 100 - 0.25 * int(seed)
        return {"protocol": "recognition", "top1": top1, "mean_class": 0.5, "settings": TESTED}


@pytest.fixture
def recipe(corpus: Path) -> Recipe:
    """Nine training videos of three classes."""
    shrunk = shrink_recipe(small(), corpus)
    return replace(shrunk, train=replace(shrunk.train, batch_size=6))


def run_all(recipes: dict[str, Recipe], runs: Path, trainer: Trainer, **changes: Any) -> LowShotResult:
    return finetune_low_shot(
        recipes,
        runs,
        recipe_name="finetune.small",
        finetune=trainer.finetune,
        recognize=trainer.recognize,
        **{"low_shot": LOW_SHOT, "tested": TESTED, **changes},
    )


def test_a_result_on_other_videos_is_made_again(recipe: Recipe, tmp_path: Path) -> None:
    run_all({"a": recipe}, tmp_path, Trainer())
    same, other = Trainer(), Trainer()
    run_all({"a": recipe}, tmp_path, same)
    assert same.tested == []
    run_all({"a": recipe}, tmp_path, other, tested={**TESTED, "split": "val"})
    assert len(other.tested) == 4
    assert all(is_resumed for _, _, is_resumed in other.asked)  # nothing is trained twice


def test_there_is_a_run_per_encoder_share_and_seed(recipe: Recipe, tmp_path: Path) -> None:
    trainer = Trainer()
    result = run_all({"a": recipe, "b": recipe}, tmp_path, trainer)
    assert [str(run.relative_to(tmp_path)) for run in trainer.tested] == [
        f"{name}/{share}-percent-seed-{seed}" for share in (30, 100) for name in "ab" for seed in (0, 1)
    ]
    for run, asked, is_resumed in trainer.asked:
        seed = int(run.name[-1])
        share = 0.3 if run.name.startswith("30") else 1.0
        assert (asked.data.class_fraction, asked.data.subset_seed, asked.train.seed) == (share, seed, seed)
        # One of three classes of three, or all nine; a batch holds every video once.
        assert len(select_videos(asked.data)[0]) == (3 if share < 1 else 9)
        assert asked.train.batch_size == (3 if share < 1 else 6)
        assert not is_resumed
    first = result.curves[0]
    assert (first.name, [point.videos for point in first.points]) == ("a", [(3, 3), (9, 9)])
    assert [point.values for point in first.points] == [pytest.approx((0.3, 0.05)), (1.0, 0.75)]
    assert result.settings["recipes"].keys() == {"a", "b"}
    assert result.relative_gains == {"b": [0, 0]}
    assert not result.settings.keys() & set(TEST_FACTS)  # the trainer's results do not say
    json.dumps(result.to_json())


def test_finished_runs_are_read_and_those_that_were_cut_off_go_on(recipe: Recipe, tmp_path: Path) -> None:
    first = run_all({"a": recipe}, tmp_path, Trainer())
    (tmp_path / "a" / "100-percent-seed-0" / "recognition.json").unlink()
    trainer = Trainer()
    assert run_all({"a": recipe}, tmp_path, trainer).curves == first.curves
    ((run, asked, is_resumed),) = trainer.asked
    assert (run, is_resumed) == (tmp_path / "a" / "100-percent-seed-0", True)
    assert asked.method.classes == ("speed0", "speed1", "speed2")  # type: ignore[attr-defined]
    none = Trainer()
    faster = replace(
        recipe, data=replace(recipe.data, num_workers=3), train=replace(recipe.train, device="auto")
    )
    metric = replace(LOW_SHOT, metric="mean_class")
    assert run_all({"a": faster}, tmp_path, none, low_shot=metric).curves[0].points[0].values == (0.5, 0.5)
    assert none.asked == none.tested == []


def test_a_folder_of_another_run_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    run_all({"a": recipe}, tmp_path, Trainer())
    other = replace(recipe, train=replace(recipe.train, epochs=7))
    with pytest.raises(
        TrainingError, match=r"30-percent-seed-0 holds a run with other settings; give another"
    ):
        run_all({"a": other}, tmp_path, Trainer())


def test_a_signal_ends_the_whole_series(recipe: Recipe, tmp_path: Path) -> None:
    trainer = Trainer("SIGINT")
    with pytest.raises(
        TrainingError, match=r"stopped by SIGINT in .*a/30-percent-seed-0; everything is saved"
    ):
        run_all({"a": recipe}, tmp_path, trainer)
    assert (len(trainer.asked), trainer.tested) == (1, [])


@pytest.mark.parametrize("text", ["{", "[]", '{"protocol": "svm"}', "{}"])
def test_a_damaged_result_is_refused_by_name(recipe: Recipe, tmp_path: Path, text: str) -> None:
    run_all({"a": recipe}, tmp_path, Trainer())
    (tmp_path / "a" / "30-percent-seed-1" / "recognition.json").write_text(text)
    with pytest.raises(
        TrainingError, match=r"seed-1/recognition.json is damaged .*remove it, and the run is"
    ):
        run_all({"a": recipe}, tmp_path, Trainer())


def test_progress_counts_runs(recipe: Recipe, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    run_all({"a": recipe}, tmp_path, Trainer(), progress=lambda done, total, _: told.append((done, total)))
    assert told == [(done, 4) for done in range(5)]


def test_it_works_with_what_really_trains_and_tests(recipe: Recipe, corpus: Path, tmp_path: Path) -> None:
    def recognize(run: Path) -> dict[str, Any]:
        read = ReadConfig(num_workers=0)
        return evaluate_recognition(Classifier.load(run), Catalog.load(corpus), read=read).to_json()

    tested = {"split": "test", "catalog_hash": Catalog.load(corpus).hash}
    result = finetune_low_shot(
        {"a": recipe},
        tmp_path,
        recipe_name="finetune.small",
        finetune=finetune,
        recognize=recognize,
        tested=tested,
        low_shot=LowShotConfig((0.3, 1.0), (0,)),
    )
    (curve,) = result.curves
    assert [point.videos for point in curve.points] == [(3,), (9,)]
    for point, share in zip(curve.points, (30, 100), strict=True):
        kept = json.loads((tmp_path / "a" / f"{share}-percent-seed-0" / "recognition.json").read_text())
        assert point.values == (kept["top1"],)
        facts = [result.settings[name] for name in TEST_FACTS]
        assert facts == [kept[name] for name in TEST_FACTS] == [3, 3, 1 / 3]
    trainer = Trainer()
    low_shot = LowShotConfig((0.3, 1.0), (0,))
    read = run_all({"a": recipe}, tmp_path, trainer, low_shot=low_shot, tested=tested)
    assert read.curves == (curve,)
    assert trainer.asked == []
