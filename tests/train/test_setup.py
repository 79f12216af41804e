import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.corpus import shrink_recipe
from tests.data.motion_tables import make_table, write_motion
from tests.train.runs import build_recipe, is_same, load_weights
from unreel.data.catalog import Catalog
from unreel.data.motion_flow import MotionConfig
from unreel.data.motion_table import name_table
from unreel.data.targeted_clips import TargetedClips
from unreel.distributed import Rank
from unreel.errors import CatalogError, TrainingError, WeightsError
from unreel.methods.moco import MoCo
from unreel.models.weight_matching import LoadReport
from unreel.models.weights import load_backbone_weights
from unreel.models.zoo import build_backbone
from unreel.progress import ignore_warning
from unreel.recipes import cacl, vclr
from unreel.train.pretrain import PRETRAINING, pretrain
from unreel.train.recipe import Recipe
from unreel.train.setup import Job, choose_device, prepare_job

ALONE = Rank()


def prepare(corpus: Path, run: Path, **train: object) -> Job:
    return prepare_job(
        build_recipe(corpus, **train),
        run,
        PRETRAINING,
        recipe_name="moco.ucf101",
        is_resumed=False,
        rank=ALONE,
        device=torch.device("cpu"),
        progress=lambda done, total, note: None,
        warn=ignore_warning,
    )


def prepare_recipe(recipe: Recipe, run: Path) -> Job:
    return prepare_job(
        recipe,
        run,
        PRETRAINING,
        recipe_name="x",
        is_resumed=False,
        rank=ALONE,
        device=torch.device("cpu"),
        progress=lambda done, total, note: None,
        warn=ignore_warning,
    )


def test_epochs_become_steps_of_whole_batches(corpus: Path, tmp_path: Path) -> None:
    # nine videos in batches of four: two steps an epoch
    assert prepare(corpus, tmp_path / "a", steps=0, epochs=5).num_steps == 10
    assert prepare(corpus, tmp_path / "b", steps=7, epochs=5).num_steps == 7


def test_weights_depend_on_the_seed_alone(corpus: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = prepare(corpus, tmp_path / "a").method.state_dict()
    torch.manual_seed(2)
    again = prepare(corpus, tmp_path / "b").method.state_dict()
    other = prepare(corpus, tmp_path / "c", seed=1).method.state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_the_identity_follows_what_is_learned_not_how_files_are_read(corpus: Path, tmp_path: Path) -> None:
    plain = prepare(corpus, tmp_path / "a").identity
    assert prepare(corpus, tmp_path / "b", log_every_steps=3, keep_checkpoints=9).identity == plain
    assert prepare(corpus, tmp_path / "c", steps=99).identity != plain


def test_precision_and_layout_follow_the_device_or_the_wish(corpus: Path, tmp_path: Path) -> None:
    job = prepare(corpus, tmp_path / "a")
    assert not job.is_bfloat16
    plain = prepare(corpus, tmp_path / "b", channels_last=False, batch_norm="synchronized")
    for found, is_expected in ((job, True), (plain, False)):
        (kernel, *_) = [p for p in found.method.backbone.parameters() if p.dim() == 5 and p.shape[1] > 3]
        assert kernel.is_contiguous(memory_format=torch.channels_last_3d) is is_expected
    assert any("Synchronized" in type(module).__name__ for module in plain.method.modules())


def test_half_precision_on_the_cpu_is_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"precision = 'bfloat16' is not offered on the CPU"):
        prepare(corpus, tmp_path / "run", precision="bfloat16")


@pytest.mark.parametrize("name", ["cuda:99", "quantum", "meta:3:4"])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be used .* `unreel doctor` lists the devices"):
        choose_device(name, ALONE)


def test_auto_takes_what_there_is() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("auto", ALONE).type == expected


def test_a_batch_that_is_larger_than_the_corpus_leaves_no_folder_behind(corpus: Path, tmp_path: Path) -> None:
    recipe = build_recipe(corpus)
    with pytest.raises(ValueError, match=r"lower train.batch_size to 9 or less"):
        prepare(corpus, tmp_path / "run", batch_size=10)
    assert not (tmp_path / "run").exists()
    assert replace(recipe, train=recipe.train) == recipe


@pytest.mark.gpu
def test_on_a_gpu_weights_lie_in_channels_last(corpus: Path, tmp_path: Path) -> None:
    device = choose_device("cuda", ALONE)
    job = prepare_job(
        build_recipe(corpus),
        tmp_path / "run",
        PRETRAINING,
        recipe_name="x",
        is_resumed=False,
        rank=ALONE,
        device=device,
        progress=lambda done, total, note: None,
        warn=ignore_warning,
    )
    assert job.is_bfloat16


def test_processes_that_see_different_folders_are_refused(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def see_two(item: object) -> list[object]:
        return [item, (99, "other")] if isinstance(item, tuple) else [item]

    monkeypatch.setattr("unreel.train.setup.gather_objects", see_two)
    with pytest.raises(TrainingError, match=r"do not see the same .* all machines must share both"):
        prepare(corpus, tmp_path / "run")


def test_each_process_takes_a_gpu_that_it_can_see(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(torch, "empty", lambda *size, device: None)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    for name in ("auto", "cuda"):
        assert [choose_device(name, Rank(r, 4, r)).index for r in range(4)] == [0, 1, 0, 1]
    assert choose_device("cuda:1", Rank(0, 4, 0)).index == 1
    assert len(taken) == 9


def start_from(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let MoCo start from the weights of a file."""

    def load(self: MoCo) -> dict[str, LoadReport]:
        return {"backbone": load_backbone_weights(self.backbone, path)}

    monkeypatch.setattr(MoCo, "load_initial_weights", load)


def read_parts(run: Path) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = json.loads((run / "provenance.json").read_text())["parts"]
    return parts


def test_initial_weights_come_from_their_file_and_the_run_folder_says_so(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(5)
    state = build_backbone(build_recipe(corpus).method.backbone).state_dict()
    save_file(state, tmp_path / "start.safetensors")
    assert prepare(corpus, tmp_path / "random").initial_weights == {}
    assert read_parts(tmp_path / "random")[0]["initial_weights"] == {}
    monkeypatch.chdir(tmp_path)
    start_from(Path("start.safetensors"), monkeypatch)
    job = prepare(corpus, tmp_path / "run")
    found = job.method.backbone.state_dict()
    assert all(torch.equal(found[name], value) for name, value in state.items())
    assert read_parts(tmp_path / "run")[0]["initial_weights"] == {
        "backbone": {
            "file": str(tmp_path / "start.safetensors"),
            "hash": job.initial_weights["backbone"].file_hash,
            "share_loaded": 1.0,
            "missing": 0,
            "other_shape": 0,
        }
    }


def test_what_a_person_should_know_of_the_settings_is_recorded(corpus: Path, tmp_path: Path) -> None:
    recipe = shrink_recipe(vclr.kinetics400(), corpus)
    meant = pretrain(recipe, tmp_path / "meant", recipe_name="x")
    assert read_parts(meant.run)[0]["cautions"] == list(meant.cautions) == []
    recipe = replace(recipe, method=replace(recipe.method, initial_weights=Path()))
    unsaid = pretrain(recipe, tmp_path / "unsaid", recipe_name="x")
    assert read_parts(unsaid.run)[0]["cautions"] == list(unsaid.cautions)
    assert "random weights" in unsaid.cautions[0]


def test_what_a_file_does_not_give_is_said_before_the_first_step(corpus: Path, tmp_path: Path) -> None:
    """A file of the backbone alone, or with heads of another width."""
    recipe = shrink_recipe(vclr.kinetics400(), corpus)
    torch.manual_seed(5)
    save_file(build_backbone(recipe.method.backbone).state_dict(), tmp_path / "start.safetensors")
    recipe = replace(recipe, method=replace(recipe.method, initial_weights=tmp_path / "start.safetensors"))
    told: list[tuple[str, bool]] = []
    run = tmp_path / "run"

    def warn(text: str) -> None:
        told.append((text, any(run.glob("checkpoints/*"))))

    summary = pretrain(recipe, run, recipe_name="x", warn=warn)
    assert summary.cautions == (
        f"{tmp_path / 'start.safetensors'} gives 0% of the method's heads; these start from random weights: "
        "inter.0.weight, inter.0.bias, inter.2.weight and 13 more",
    )
    assert told == [(summary.cautions[0], False)]
    assert read_parts(run)[0]["cautions"] == list(summary.cautions)


def test_a_resumed_run_does_not_need_the_file_it_started_from(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, run = build_recipe(corpus, steps=2), tmp_path / "run"
    save_file(build_backbone(recipe.method.backbone).state_dict(), tmp_path / "start.safetensors")
    start_from(tmp_path / "start.safetensors", monkeypatch)
    pretrain(recipe, run, recipe_name="x")
    trained = load_weights(run)
    (tmp_path / "start.safetensors").unlink()
    job = prepare_job(
        recipe,
        run,
        PRETRAINING,
        recipe_name="x",
        is_resumed=True,
        rank=ALONE,
        device=torch.device("cpu"),
        progress=lambda done, total, note: None,
        warn=ignore_warning,
    )
    assert job.first_step == 2
    assert all(torch.equal(value, trained[name]) for name, value in job.method.state_dict().items())
    first, second = read_parts(run)
    assert list(first["initial_weights"]) == ["backbone"]
    assert second["initial_weights"] == {}


def test_a_missing_file_of_initial_weights_is_refused_and_leaves_no_folder_behind(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_from(tmp_path / "nowhere.pt", monkeypatch)
    with pytest.raises(WeightsError, match=r"nowhere.pt: no such file"):
        prepare(corpus, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_missing_weights_are_named_before_any_video_is_decoded(corpus: Path, tmp_path: Path) -> None:
    recipe = shrink_recipe(cacl.ucf101_c3d(), corpus)
    method = replace(recipe.method, frame_weights=Path())
    recipe = replace(recipe, method=method, data=replace(recipe.data, cache="ram"))
    decoded = []
    with pytest.raises(ValueError, match=r"method.frame_weights is missing"):
        pretrain(recipe, tmp_path / "run", recipe_name="x", progress=lambda *state: decoded.append(state))
    assert decoded == []
    assert not (tmp_path / "run").exists()


@pytest.fixture
def any_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let MoCo take clips of any rule."""
    monkeypatch.setattr("unreel.methods.moco._check_clips", lambda clips, instance: None)


def by_motion(corpus: Path, *, motion: Path = Path()) -> Recipe:
    """V-MoCo on clips that are chosen by motion."""
    recipe = build_recipe(corpus, steps=2)
    clips = TargetedClips(recipe.method.clips.num_frames, 1)  # type: ignore[attr-defined]
    return replace(
        recipe, method=replace(recipe.method, clips=clips), data=replace(recipe.data, motion=motion)
    )


def copy_catalog(corpus: Path, folder: Path) -> Path:
    """Save the catalog elsewhere, away from its table of motion."""
    videos = Catalog.load(corpus)
    videos.save(folder / "catalog.parquet")
    return folder / "catalog.parquet"


@pytest.mark.usefixtures("any_clips")
def test_a_run_without_the_motion_it_needs_is_refused_before_any_video_is_decoded(
    corpus: Path, tmp_path: Path
) -> None:
    recipe = by_motion(copy_catalog(corpus, tmp_path))
    recipe = replace(recipe, data=replace(recipe.data, cache="ram"))
    decoded = []
    with pytest.raises(CatalogError, match=r"`unreel motion --catalog .*catalog.parquet`"):
        pretrain(recipe, tmp_path / "run", recipe_name="x", progress=lambda *state: decoded.append(state))
    assert decoded == []
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("any_clips")
def test_motion_beside_the_catalog_or_elsewhere_chooses_the_clips_of_a_run(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = pretrain(by_motion(corpus), tmp_path / "beside", recipe_name="x")
    catalog = copy_catalog(corpus, tmp_path)
    name_table(corpus).rename(tmp_path / "elsewhere.parquet")
    try:
        monkeypatch.chdir(tmp_path)
        named = pretrain(
            by_motion(catalog, motion=Path("elsewhere.parquet")), tmp_path / "named", recipe_name="x"
        )
    finally:
        (tmp_path / "elsewhere.parquet").rename(name_table(corpus))
    settings = json.loads((named.run / "recipe.json").read_text())["settings"]
    assert settings["data"]["motion"] == str(tmp_path / "elsewhere.parquet")
    assert is_same(load_weights(beside.run), load_weights(named.run))
    assert named.cautions == ()


@pytest.mark.usefixtures("any_clips")
def test_another_way_of_measuring_motion_is_another_run(corpus: Path, tmp_path: Path) -> None:
    catalog = copy_catalog(corpus, tmp_path)
    identities = []
    for number, config in enumerate((MotionConfig(), MotionConfig(), MotionConfig(size=64))):
        write_motion(catalog, config)
        job = prepare_recipe(by_motion(catalog), tmp_path / str(number))
        identities.append(job.identity)
    assert identities[0] == identities[1] != identities[2]
    for changed in ([1.0], [1.5], None):
        videos = Catalog.load(catalog)
        paths = videos.table["path"].to_pylist()
        make_table(videos, {path: changed if path == paths[0] else [1.0] for path in paths}).save(
            name_table(catalog)
        )
        identities.append(prepare_recipe(by_motion(catalog), tmp_path / str(changed)).identity)
    assert len(set(identities)) == 5
    plain = prepare_recipe(build_recipe(catalog), tmp_path / "plain").identity
    assert plain == prepare_recipe(build_recipe(corpus), tmp_path / "again").identity


@pytest.mark.usefixtures("any_clips")
def test_videos_whose_motion_is_not_known_are_counted_and_recorded(corpus: Path, tmp_path: Path) -> None:
    catalog = copy_catalog(corpus, tmp_path)
    videos = Catalog.load(catalog)
    paths = videos.table["path"].to_pylist()
    motion = {path: None if number in (0, 1) else [1.0] for number, path in enumerate(paths)}
    make_table(videos, motion).save(name_table(catalog))
    summary = pretrain(by_motion(catalog), tmp_path / "run", recipe_name="x")
    (caution,) = summary.cautions
    assert caution.startswith("the motion of 2 of the 9 videos could not be measured")
    assert read_parts(summary.run)[0]["cautions"] == [caution]
