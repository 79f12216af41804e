"""The command: from an encoder to a tested classifier, and what is refused before a step is made."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from unreel.cli.finetune import choose_test_split
from unreel.cli.main import run
from unreel.data.catalog import Catalog
from unreel.errors import CatalogError, FeaturesError
from unreel.features.classifier import Classifier
from unreel.features.encoder import Encoder
from unreel.features.encoder_files import EncoderConfig
from unreel.features.input_spec import InputSpec
from unreel.models.c3d import C3DConfig
from unreel.models.s3d import S3DConfig
from unreel.recipes import finetune, moco

SPEC = InputSpec(num_frames=8, frame_stride=1, decode_height=18, decode_width=24, crop_px=16)
SMALL = [
    *("--train.batch-size", "4", "--train.device", "cpu", "--data.cache", "none", "--data.num-workers", "0"),
    *("--method.views.clips", "2"),
]
SIZES = [
    *("--method.augmentation.size-px", "16", "--data.height", "18", "--data.width", "24"),
    *("--method.clips.num-frames", "8"),
]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(5)
    folder = tmp_path_factory.mktemp("run") / "encoder"
    Encoder(C3DConfig(width=0.125).build(), EncoderConfig(C3DConfig(width=0.125), SPEC)).save(folder)
    return folder


def command(corpus: Path, folder: Path, *words: str, recipe: str = "finetune.small") -> list[str]:
    return ["finetune", recipe, "--run", str(folder), "--data.catalog", str(corpus), *SMALL, *words]


@pytest.fixture(scope="module")
def finished(corpus: Path, encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    steps = ["--train.steps", "2", "--train.checkpoint-every-steps", "1"]
    assert run(command(corpus, folder, "--encoder", str(encoder), *steps)) == 0
    return folder


def settings_of(folder: Path) -> dict[str, dict]:
    content: dict[str, dict] = json.loads((folder / "recipe.json").read_text())["settings"]
    return content


def test_the_network_and_the_input_come_from_the_encoder(finished: Path, encoder: Path) -> None:
    settings = settings_of(finished)
    assert settings["method"]["backbone"] == {"architecture": "c3d", "width": 0.125}
    assert settings["method"]["initial_weights"] == str(encoder)
    assert settings["method"]["clips"]["num_frames"] == 8
    assert settings["method"]["augmentation"]["size_px"] == 16
    assert (settings["data"]["height"], settings["data"]["width"]) == (18, 24)
    assert settings["method"]["classes"] == ["speed0", "speed1", "speed2"]


def test_the_test_videos_are_classified_and_the_result_is_kept(finished: Path, corpus: Path) -> None:
    result = json.loads((finished / "recognition.json").read_text())
    assert result["protocol"] == "recognition"
    assert (result["queries"], result["videos"], result["classes"]) == (3, 3, 3)
    assert result["settings"]["split"] == "test"
    assert result["settings"]["views"]["clips"] == 2
    classifier = Classifier.load(finished)
    assert result["model"]["hash"] == classifier.hash
    out = finished.parent / "again.json"
    words = ["--model", str(finished), "--catalog", str(corpus), "--device", "cpu", "--num-workers", "0"]
    assert run(["evaluate", "recognition", *words, "--out", str(out)]) == 0
    again = json.loads(out.read_text())
    assert {key: again[key] for key in ("top1", "confusion", "videos")} == {
        key: result[key] for key in ("top1", "confusion", "videos")
    }


def test_a_run_says_what_it_did_and_what_comes_next(
    corpus: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / "checkpoints" / "step-00000002.pt").unlink()
    (folder / "recognition.json").unlink()
    assert run(["finetune", "--resume", str(folder)]) == 0
    printed = capsys.readouterr()
    assert "2 of 2 (resumed at 1)" in printed.out
    assert "Recognition on test, 2 clips x center crop, probabilities averaged" in printed.out
    assert f"unreel predict --model {folder} VIDEO" in printed.out
    assert str(folder / "recognition.json") in printed.out
    assert "unreel evaluate recognition" not in printed.out
    assert "Testing: 3/3 videos" in printed.err
    assert "warning" not in printed.err
    assert Classifier.load(folder).hash == Classifier.load(finished).hash


def test_another_split_is_tested_or_none_and_a_resumed_run_remembers(
    corpus: Path, encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--encoder", str(encoder.parent), "--train.steps", "1", "--test-split"]  # the run of the encoder
    assert run(command(corpus, tmp_path / "train", *words, "train")) == 0
    assert json.loads((tmp_path / "train" / "recognition.json").read_text())["settings"]["split"] == "train"
    assert "warning: the videos of split 'train' are trained on too" in capsys.readouterr().err
    assert run(command(corpus, tmp_path / "none", *words, "")) == 0
    assert run(["finetune", "--resume", str(tmp_path / "none")]) == 0
    printed = capsys.readouterr()
    assert not (tmp_path / "none" / "recognition.json").exists()
    assert printed.out.count(f"unreel evaluate recognition --model {tmp_path}/none --catalog {corpus}") == 2
    assert run(command(corpus, tmp_path / "typo", *words, "tset")) == 1
    assert "the catalog has no split 'tset'; it has 'test', 'train'" in capsys.readouterr().err
    assert not (tmp_path / "typo").exists()


def relabel(corpus: Path, name: str, column: str, values: list[str]) -> Path:
    """Write a copy of the catalog, beside the videos, with another column; the caller deletes it."""
    catalog = Catalog.load(corpus)
    place = catalog.table.schema.get_field_index(column)
    field = catalog.table.schema.field(column)
    table = catalog.table.set_column(place, field, pa.array(values, type=field.type))
    Catalog(table, catalog.root).save(corpus.parent / name)
    return corpus.parent / name


def test_the_split_to_test_is_chosen_before_training(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def choose(catalog: Path, split: str, trained: str = "auto") -> str:
        recipe = finetune.small()
        data = replace(recipe.data, catalog=catalog, split=trained)
        return choose_test_split(replace(recipe, method=replace(recipe.method, test_split=split), data=data))

    assert choose(corpus, "auto") == "test"
    assert choose(corpus, "") == ""
    assert capsys.readouterr().err == ""
    assert choose(corpus, "auto", trained="") == "test"
    assert "split 'test' are trained on too" in capsys.readouterr().err
    labels = Catalog.load(corpus).labels
    bare = relabel(corpus, "bare.parquet", "label", ["" if n % 4 == 3 else x for n, x in enumerate(labels)])
    whole = relabel(corpus, "whole.parquet", "split", [""] * len(labels))
    splits = ["train" if split == "train" else "val" for split in Catalog.load(corpus).splits]
    valid = relabel(corpus, "valid.parquet", "split", splits)
    try:
        assert choose(bare, "auto") == ""
        assert "nothing is tested when training ends: none of the 3 videos" in capsys.readouterr().err
        with pytest.raises(CatalogError, match="none of the 3 videos of split 'test' has a label"):
            choose(bare, "test")
        assert choose(valid, "auto") == "val"
        assert capsys.readouterr().err == ""
        assert choose(whole, "auto") == ""
        assert "the catalog has no split 'test'" in capsys.readouterr().err
    finally:
        bare.unlink()
        whole.unlink()
        valid.unlink()
    assert choose_test_split(moco.small()) == ""


@pytest.mark.parametrize(
    "error",
    [
        FeaturesError("2 of 3 videos cannot be read"),
        OSError("disk full"),
        torch.OutOfMemoryError("CUDA out of memory"),
    ],
)
def test_a_run_whose_test_fails_is_not_lost(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / "recognition.json").unlink()

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("unreel.cli.finetune.evaluate_recognition", fail)
    assert run(["finetune", "--resume", str(folder)]) == 1
    printed = capsys.readouterr()
    assert (
        f"error: the run is finished and whole, but split 'test' could not be tested: {error}" in printed.err
    )
    assert "Fine-tuned" in printed.out
    assert f"unreel evaluate recognition --model {folder}" in printed.out
    assert not (folder / "recognition.json").exists()
    assert Classifier.load(folder).hash == Classifier.load(finished).hash


def test_a_person_who_interrupts_the_test_keeps_the_run(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished, tmp_path / "run")

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("unreel.cli.finetune.evaluate_recognition", interrupt)
    assert run(["finetune", "--resume", str(tmp_path / "run")]) == 130
    assert "Fine-tuned" in capsys.readouterr().out


def test_the_rules_for_broken_videos_hold_in_the_test_too(
    corpus: Path, encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "videos"
    shutil.copytree(corpus.parent, folder)
    (folder / "03.mp4").write_bytes(b"noise")  # a test video
    Catalog.load(folder / "catalog.parquet", root=folder).save(folder / "catalog.parquet")
    words = ["--encoder", str(encoder), "--train.steps", "1"]
    assert run(command(folder / "catalog.parquet", tmp_path / "strict", *words)) == 1
    assert "split 'test' could not be tested: 1 of 3" in capsys.readouterr().err
    words += ["--data.max-rejected-fraction", "0.5"]
    assert run(command(folder / "catalog.parquet", tmp_path / "lenient", *words)) == 0
    assert "warning: rejected" in capsys.readouterr().err
    result = json.loads((tmp_path / "lenient" / "recognition.json").read_text())
    assert (result["queries"], len(result["rejected"])) == (2, 1)


def test_from_scratch_and_by_another_network(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--backbone", "r3d_10", "--method.backbone.width", "0.125", *SIZES, "--train.steps", "1"]
    assert run(command(corpus, tmp_path / "run", *words, "--test-split", "")) == 0
    assert "warning: no weights are given, so this is training from scratch" in capsys.readouterr().err
    assert settings_of(tmp_path / "run")["method"]["backbone"]["architecture"] == "r3d"
    assert settings_of(tmp_path / "run")["method"]["initial_weights"] == "random"


def test_a_file_of_weights_goes_with_a_network_by_name(corpus: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(C3DConfig(width=0.25).build().state_dict(), tmp_path / "c3d.pth")
    words = ["--encoder", str(tmp_path / "c3d.pth"), "--backbone", "c3d", *SIZES, "--train.steps", "1"]
    small = ["--method.backbone.width", "0.25", "--test-split", ""]
    assert run(command(corpus, tmp_path / "run", *words, *small)) == 0
    (part,) = json.loads((tmp_path / "run" / "provenance.json").read_text())["parts"]
    assert part["initial_weights"]["backbone"]["share_loaded"] == 1.0


@pytest.mark.parametrize("spelling", ["--method.input-from", "--method.input_from"])
def test_a_recipe_of_a_paper_takes_the_input_of_the_encoder_where_that_is_asked_for(
    corpus: Path, encoder: Path, tmp_path: Path, spelling: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--encoder", str(encoder), spelling, "encoder", "--train.steps", "1", "--test-split", ""]
    assert run(command(corpus, tmp_path / "run", *words, recipe="finetune_ccl.paper")) == 0
    settings = settings_of(tmp_path / "run")
    assert settings["method"]["augmentation"]["size_px"] == 16
    assert settings["method"]["clips"] == {
        "count": 1,
        "num_frames": 8,
        "frame_stride": 1,
        "reserved_frames": 0,
        "short_video": "loop",
    }
    assert "warning" not in capsys.readouterr().err
    assert run(["finetune", "--resume", str(tmp_path / "run")]) == 0  # with clips that its recipe has not


def test_weights_that_do_not_fit_what_the_flags_made_of_the_network_are_refused(
    corpus: Path, encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--encoder", str(encoder), "--method.backbone.width", "0.25"]
    assert run(command(corpus, tmp_path / "run", *words)) == 1
    assert "only 0% of the weights of C3D fit" in capsys.readouterr().err


def test_an_encoder_that_does_not_fit_the_clips_of_the_recipe_is_refused(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    network = S3DConfig(width=0.125)
    Encoder(network.build(), EncoderConfig(network, SPEC)).save(tmp_path / "s3d")
    words = ["--encoder", str(tmp_path / "s3d"), "--method.clips.num-frames", "4"]
    assert run(command(corpus, tmp_path / "run", *words, recipe="finetune_ccl.paper")) == 2
    refused = capsys.readouterr().err
    assert "the network (s3d) does not take the clips of training, 4 frames of 112 x 112 pixels" in refused
    assert "S3D needs clips of at least 8 frames" in refused
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["finetune.small"], "--run is missing"),
        (["finetune.smal", "--run", "x"], "did you mean finetune.small"),
        (
            ["moco.small", "--run", "x"],
            "recipe moco.small learns a representation, not classes: `unreel pretrain",
        ),
        (
            ["finetune.small", "--run", "x", "--encoder", "ENCODER", "--backbone", "c3d"],
            "has a network of its own",
        ),
        (["finetune.small", "--run", "x", "--backbone", "c4d"], "no backbone is called 'c4d'"),
        (["finetune.small", "--run", "x", "--method.initial-weights", "w.pth"], "is given as --encoder"),
        (["finetune.small", "--run", "x", "--method.input-from", "disk"], "input-from"),
        (["finetune.small", "--run", "x", "--method.dropuot-prob", "1"], "--method.dropout-prob"),
        (["--resume", "x", "--encoder", "y"], "takes the run folder alone"),
    ],
)
def test_wrong_usage_is_told_with_the_remedy(
    encoder: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert run(["finetune", *(str(encoder) if word == "ENCODER" else word for word in words)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("weights", "message"), [("", "encoder.json"), ("nowhere/encoder", "no such file"), ("EMPTY", "EMPTY")]
)
def test_an_encoder_that_is_not_there_is_a_failure(
    corpus: Path, tmp_path: Path, weights: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "EMPTY").mkdir()
    path = str(tmp_path / weights) if weights else ""
    assert run(command(corpus, tmp_path / "run", "--encoder", path, *SIZES)) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_runs_of_one_kind_are_not_resumed_as_the_other(
    corpus: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["pretrain", "--resume", str(finished)]) == 2
    assert f"`unreel finetune --resume {finished}`" in capsys.readouterr().err
    for words in (["--run", str(tmp_path / "x")], ["--help"]):
        assert run(["pretrain", "finetune.small", *words]) == 2
        assert (
            "learns classes, not a representation: `unreel finetune finetune.small`"
            in capsys.readouterr().err
        )
    small = [*SIZES[:-2], "--method.backbone.width", "0.125", "--train.steps", "1", "--train.batch-size", "4"]
    words = ["moco.small", "--run", str(tmp_path / "moco"), "--data.catalog", str(corpus), *small]
    assert run(["pretrain", *words]) == 0
    capsys.readouterr()
    assert run(["finetune", "--resume", str(tmp_path / "moco")]) == 1
    assert f"`unreel pretrain --resume {tmp_path / 'moco'}`" in capsys.readouterr().err


def test_help_lists_every_number_with_the_defaults_of_the_encoder(
    encoder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["finetune", "finetune_vclr.ssv2_tsm", "--help"]) == 0
    out = capsys.readouterr().out
    for flag in ("--method.views.crops", "--method.grouping", "--train.optimizer.lr", "--data.catalog"):
        assert flag in out
    assert run(["finetune", "finetune.full", "--encoder", str(encoder), "--help"]) == 0
    assert "(default: 16)" in capsys.readouterr().out.partition("--method.augmentation.size-px")[2][:400]
    assert run(["finetune", "--help"]) == 0
    assert "unreel finetune --resume runs/f" in capsys.readouterr().out
    assert run(["finetune"]) == 2
