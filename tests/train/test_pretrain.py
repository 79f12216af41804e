import csv
import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from tests.corpus import shrink_recipe
from tests.train.runs import build_recipe, is_same, load_weights
from unreel.config import config_to_dict
from unreel.errors import CatalogError, TrainingError
from unreel.features.encoder import Encoder
from unreel.features.encoder_files import EncoderConfig
from unreel.features.input_spec import InputSpec
from unreel.methods.cacl import CACL
from unreel.recipes import cacl, ccl, finetune, moco
from unreel.recipes.find import load_run_recipe
from unreel.train.pretrain import pretrain, refuse_classes
from unreel.train.recipe import Recipe
from unreel.train.run import read_run_recipe

NAME = "moco.ucf101"


@pytest.fixture(scope="module")
def finished(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run of six steps."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    pretrain(build_recipe(corpus), run, recipe_name=NAME)
    return run


def resume(corpus: Path, run: Path, recipe: Recipe | None = None) -> int:
    summary = pretrain(recipe or build_recipe(corpus), run, recipe_name=NAME, is_resumed=True)
    return summary.first_step


def train_and_die(corpus: Path, run: Path, step: int, signal_name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.train.runs", str(corpus), str(run), str(step), signal_name],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_run_folder_holds_everything_that_the_run_was(corpus: Path, finished: Path) -> None:
    content = json.loads((finished / "recipe.json").read_text())
    assert content == {"recipe": NAME, "settings": config_to_dict(build_recipe(corpus))}
    (part,) = json.loads((finished / "provenance.json").read_text())["parts"]
    assert {"seed": 0, "videos": 9, "processes": 1, "first_step": 0, "device": "cpu"}.items() <= part.items()
    assert part["packages"]["torch"] == torch.__version__
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert {"loss", "contrast", "lr", "videos_per_sec", "data_wait_fraction", "epoch"} <= lines[-1].keys()
    assert [path.name for path in sorted((finished / "checkpoints").iterdir())] == [
        "step-00000004.pt",
        "step-00000006.pt",
    ]
    assert list((finished / "tensorboard").iterdir())
    assert (finished / "rejected.csv").read_text().splitlines() == ["path,kind,reason"]


def test_the_exported_encoder_is_the_trained_backbone(finished: Path) -> None:
    encoder = Encoder.load(finished / "encoder")
    state = load_weights(finished)
    for name, value in encoder.backbone.state_dict().items():
        assert torch.equal(value, state[f"online.backbone.{name}"])
    assert encoder.provenance["step"] == 6
    assert encoder.provenance["recipe"] == NAME
    assert (encoder.spec.num_frames, encoder.spec.frame_stride, encoder.spec.crop_px) == (16, 2, 16)


def test_two_runs_of_one_seed_agree_to_the_bit_with_and_without_workers(
    corpus: Path, finished: Path, tmp_path: Path
) -> None:
    recipe = build_recipe(corpus)
    pretrain(replace(recipe, data=replace(recipe.data, num_workers=2)), tmp_path / "run", recipe_name=NAME)
    assert is_same(load_weights(tmp_path / "run"), load_weights(finished))


@pytest.mark.parametrize("cache", ["ram", "device"])
def test_frames_from_memory_train_the_same_weights(
    corpus: Path, finished: Path, tmp_path: Path, cache: Literal["ram", "device"]
) -> None:
    recipe = build_recipe(corpus)
    recipe = replace(recipe, data=replace(recipe.data, cache=cache))
    pretrain(recipe, tmp_path / "run", recipe_name=NAME)
    assert is_same(load_weights(tmp_path / "run"), load_weights(finished))


def test_a_run_may_go_on_with_its_frames_on_the_device(corpus: Path, finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    sorted((run / "checkpoints").glob("step-*.pt"))[-1].unlink()
    recipe = build_recipe(corpus)
    assert resume(corpus, run, replace(recipe, data=replace(recipe.data, cache="device"))) == 4
    assert is_same(load_weights(run), load_weights(finished))


def test_another_seed_trains_other_weights(corpus: Path, finished: Path, tmp_path: Path) -> None:
    pretrain(build_recipe(corpus, seed=1), tmp_path / "run", recipe_name=NAME)
    assert not is_same(load_weights(tmp_path / "run"), load_weights(finished))


@pytest.mark.parametrize(("killed_at", "resumed_at"), [(1, 0), (5, 4)])
def test_a_killed_run_resumed_ends_with_the_weights_of_the_uninterrupted_one(
    corpus: Path, finished: Path, tmp_path: Path, killed_at: int, resumed_at: int
) -> None:
    run = tmp_path / "run"
    assert train_and_die(corpus, run, killed_at, "SIGKILL").returncode == -signal.SIGKILL
    assert resume(corpus, run) == resumed_at
    assert is_same(load_weights(run), load_weights(finished))
    metrics, expected = (
        [
            {name: value for name, value in json.loads(line).items() if name in ("step", "loss", "lr")}
            for line in (folder / "metrics.jsonl").read_text().splitlines()
        ]
        for folder in (run, finished)
    )
    assert metrics == expected


def test_a_run_resumes_without_the_file_that_it_started_from(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frame network, both momentum encoders and the queue come from the checkpoint, to the bit."""
    recipe = shrink_recipe(cacl.ucf101_c3d(), corpus, steps=4)
    method = recipe.method
    assert isinstance(method, CACL.Config)
    torch.manual_seed(7)
    frames = tmp_path / "frames"
    spec = InputSpec(mean=method.frame_mean, std=method.frame_std)
    Encoder(method.frame_network.build(), EncoderConfig(method.frame_network, spec)).save(frames)
    monkeypatch.chdir(tmp_path)
    recipe = replace(recipe, method=replace(method, frame_weights=Path("frames")))
    recipe = replace(recipe, train=replace(recipe.train, accumulate=2))  # batches are counted in parts
    whole, run = tmp_path / "whole", tmp_path / "run"
    started = pretrain(recipe, whole, recipe_name="cacl.ucf101_c3d")
    assert started.initial_weights == {
        "frame_network": f"{frames / 'model.safetensors'}: 100% of the weights loaded (unreel names)"
    }
    shutil.copytree(whole, run)
    shutil.rmtree(frames)
    (run / "checkpoints" / "step-00000004.pt").unlink()
    monkeypatch.chdir("/")
    name, kept = load_run_recipe(run)
    # Where the file lay does not matter either: the weights are in the checkpoint.
    kept = replace(kept, method=replace(kept.method, frame_weights=Path("/elsewhere")))
    summary = pretrain(kept, run, recipe_name=name, is_resumed=True)
    assert (summary.first_step, summary.steps) == (2, 4)
    assert summary.initial_weights == {}
    assert is_same(load_weights(run), load_weights(whole))


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_polite_signal_saves_and_leaves(corpus: Path, finished: Path, tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    left = train_and_die(corpus, run, 3, name)
    assert left.returncode == 0, left.stderr
    # The signal arrives while step 3 is reported, behind the decision: the run stops after the next step.
    assert left.stdout == f"{name} 4"
    assert resume(corpus, run) == 4
    assert is_same(load_weights(run), load_weights(finished))


def test_resuming_a_finished_run_changes_nothing(corpus: Path, finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    assert resume(corpus, run) == 6
    assert is_same(load_weights(run), load_weights(finished))
    assert (run / "metrics.jsonl").read_text() == (finished / "metrics.jsonl").read_text()


def test_how_files_are_read_may_change_on_resume_but_not_what_is_learned(
    corpus: Path, finished: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    recipe = build_recipe(corpus)
    data = replace(recipe.data, num_workers=1, cache="ram", max_rejected_fraction=0.5)
    resume(corpus, run, replace(recipe, data=data))
    with pytest.raises(TrainingError, match="written with other settings"):
        resume(corpus, run, build_recipe(corpus, seed=1))


def test_a_run_that_died_before_its_encoder_was_written_gets_it_on_resume(
    corpus: Path, finished: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    shutil.rmtree(run / "encoder")
    resume(corpus, run)
    assert Encoder.load(run / "encoder").provenance["step"] == 6


def test_a_setting_that_is_refused_leaves_the_folder_free(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not offered on the CPU"):
        pretrain(build_recipe(corpus, precision="bfloat16"), tmp_path / "run", recipe_name=NAME)
    pretrain(build_recipe(corpus, steps=1), tmp_path / "run", recipe_name=NAME)


def test_a_run_can_be_resumed_from_another_folder(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(corpus.parent)
    recipe = build_recipe(Path("catalog.parquet"), steps=2)
    pretrain(recipe, tmp_path / "run", recipe_name=NAME)
    assert read_run_recipe(tmp_path / "run")[1]["data"]["catalog"] == str(corpus)


def test_a_folder_that_holds_something_is_not_written_to(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(TrainingError, match=r"is not empty; give a new folder .* --resume"):
        pretrain(build_recipe(corpus), tmp_path, recipe_name=NAME)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_tiny_run_learns(corpus: Path, tmp_path: Path) -> None:
    recipe = shrink_recipe(moco.small(), corpus, steps=60)
    still = replace(recipe.method.augmentation, crop="center")
    recipe = replace(recipe, method=replace(recipe.method, augmentation=still, temperature=0.3))
    pretrain(recipe, tmp_path / "run", recipe_name=NAME)
    losses = [
        json.loads(line)["loss"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


@pytest.fixture
def poisoned(corpus: Path, tmp_path: Path) -> Path:
    """The corpus with one training video overwritten after the scan."""
    folder = tmp_path / "poisoned"
    shutil.copytree(corpus.parent, folder)
    (folder / "04.mp4").write_bytes(np.random.default_rng(0).bytes(3000))
    from unreel.data.catalog import Catalog

    Catalog.load(folder / "catalog.parquet", root=folder).save(folder / "catalog.parquet")
    return folder / "catalog.parquet"


def allow(recipe: Recipe, fraction: float) -> Recipe:
    return replace(recipe, data=replace(recipe.data, max_rejected_fraction=fraction))


def test_a_poisoned_file_ends_in_rejected_csv_and_the_run_goes_on(poisoned: Path, tmp_path: Path) -> None:
    summary = pretrain(allow(build_recipe(poisoned), 0.2), tmp_path / "run", recipe_name=NAME)
    assert (summary.steps, summary.num_failed) == (6, 1)
    with (tmp_path / "run" / "rejected.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["path"].endswith("04.mp4")
    assert row["kind"] == "failed"
    assert "not a media file" in row["reason"]


def test_a_run_that_cannot_fill_a_batch_ends_with_its_workers(poisoned: Path, tmp_path: Path) -> None:
    folder = poisoned.parent
    for video in folder.glob("*.mp4"):
        video.write_bytes(b"noise")
    words = ["moco.small", "--run", tmp_path / "run", "--data.catalog", poisoned, "--train.batch-size", "4"]
    flags = ["--data.cache", "none", "--data.num-workers", "1", "--train.device", "cpu"]
    ended = subprocess.run(
        [sys.executable, "-m", "unreel", "pretrain", *map(str, words), *flags],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ended.returncode == 1
    assert "batch 0 cannot be filled" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ".mp4,failed," in (tmp_path / "run" / "rejected.csv").read_text()


def test_too_many_poisoned_files_stop_the_run(poisoned: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"1 of 9 videos cannot be read, more than .* = 0.05"):
        pretrain(build_recipe(poisoned), tmp_path / "run", recipe_name=NAME)
    assert "04.mp4" in (tmp_path / "run" / "rejected.csv").read_text()


def test_short_videos_are_left_out_and_listed(corpus: Path, tmp_path: Path) -> None:
    recipe = build_recipe(corpus)
    with pytest.raises(CatalogError, match=r"min_frames = 46"):
        pretrain(
            replace(recipe, data=replace(recipe.data, min_frames=46)), tmp_path / "run", recipe_name=NAME
        )
    assert not (tmp_path / "run").exists()


def test_accumulated_parts_of_a_batch_see_the_videos_of_the_whole(corpus: Path, tmp_path: Path) -> None:
    summary = pretrain(build_recipe(corpus, accumulate=2), tmp_path / "run", recipe_name=NAME)
    assert summary.steps == 6
    queue_owners = load_weights(tmp_path / "run")["queue.owners_K"]
    assert (queue_owners >= 0).all()  # six batches of four fill sixteen places


def test_a_loss_that_is_not_finite_stops_with_step_term_and_videos(corpus: Path, tmp_path: Path) -> None:
    recipe = build_recipe(corpus, steps=30)
    diverging = replace(recipe.train, optimizer=replace(recipe.train.optimizer, lr=1e30))
    with pytest.raises(
        TrainingError, match=r"loss is nan at step \d+ .*\.mp4|weights are not finite after step"
    ):
        pretrain(replace(recipe, train=diverging), tmp_path / "run", recipe_name=NAME)
    state = load_weights(tmp_path / "run") if list((tmp_path / "run").glob("checkpoints/*.pt")) else {}
    assert all(torch.isfinite(value).all() for value in state.values() if value.is_floating_point())


def weights_after_one_step(corpus: Path, run: Path, **train: object) -> torch.Tensor:
    """Train CCL's baseline for one step of plain SGD; return all parameters."""
    recipe = shrink_recipe(ccl.ucf101_mse(), corpus, steps=1)
    lr = train.pop("lr", 1e-3)
    optimizer = replace(recipe.train.optimizer, lr=lr, momentum=0.0, weight_decay=0.0)
    optimizer = replace(optimizer, clip_norm=train.pop("clip_norm", 0.0))
    schedule = replace(recipe.train.schedule, name="constant", warmup_epochs=train.pop("warmup_epochs", 0.0))
    settings = {"optimizer": optimizer, "schedule": schedule, **train}
    pretrain(replace(recipe, train=replace(recipe.train, **settings)), run, recipe_name=NAME)
    state = load_weights(run)
    names = [name for name, _ in recipe.method.build().named_parameters()]
    return torch.cat([state[name].flatten() for name in names])


def test_schedule_clipping_and_accumulation_reach_the_weights(corpus: Path, tmp_path: Path) -> None:
    start = weights_after_one_step(corpus, tmp_path / "start", warmup_epochs=1.0)  # the first rate is 0
    moved = weights_after_one_step(corpus, tmp_path / "moved")
    again = weights_after_one_step(corpus, tmp_path / "again", warmup_epochs=1.0, seed=0)
    assert torch.equal(start, again)
    step = (moved - start).norm()
    assert step > 1e-4
    clipped = weights_after_one_step(corpus, tmp_path / "clipped", clip_norm=1e-3)
    assert (clipped - start).norm().item() == pytest.approx(1e-6, rel=0.05)
    # Two halves of a batch: the mean of their gradients is about that of the whole, not twice that.
    halves = weights_after_one_step(corpus, tmp_path / "halves", accumulate=2)
    assert 0.5 < (halves - start).norm() / step < 1.6


def test_weights_that_are_not_finite_are_never_saved(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"weights are not finite after step 1 .*no checkpoint is written"
    ):
        weights_after_one_step(corpus, tmp_path / "run", lr=float("inf"))
    assert not list((tmp_path / "run").glob("checkpoints/*.pt"))


def test_a_recipe_of_classes_is_refused_with_the_command_that_takes_it(corpus: Path, tmp_path: Path) -> None:
    recipe = shrink_recipe(finetune.small(), corpus)
    words = r"learns classes, not a representation: `unreel finetune"
    with pytest.raises(ValueError, match=rf"{words} finetune.small`"):
        pretrain(recipe, tmp_path / "run", recipe_name="finetune.small")
    with pytest.raises(ValueError, match=rf"{words} --resume {tmp_path}`"):
        pretrain(recipe, tmp_path, recipe_name="finetune.small", is_resumed=True)
    with pytest.raises(ValueError, match=rf"{words} my:own`"):
        refuse_classes(recipe, "my:own")
    refuse_classes(build_recipe(corpus), "moco.small")
    assert not (tmp_path / "run").exists()


def test_every_step_shuffles_anew(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = []
    draw = torch.randperm

    def remember(length: int, **options: bool) -> torch.Tensor:
        orders.append(draw(length, **options).tolist())
        return torch.tensor(orders[-1])

    monkeypatch.setattr("unreel.models.batch_norm.torch.randperm", remember)
    recipe = build_recipe(corpus)
    method = replace(recipe.method, shuffle_bn_group=2)
    pretrain(replace(recipe, method=method), tmp_path / "run", recipe_name=NAME)
    assert len(orders) == 6
    assert len({tuple(order) for order in orders}) > 1
