import pytest

from unreel.cli.main import run


def test_the_list_names_every_recipe_and_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipes"]) == 0
    out = capsys.readouterr().out
    for name in ("ccl.ucf101", "ccl.kinetics400", "moco.ucf101", "moco.small"):
        assert name in out
    for name in ("finetune.small", "finetune_cacl.paper", "finetune_vclr.ssv2_tsm", "finetune_scvrl.linear"):
        assert name in out
    assert "unreel pretrain NAME --help" in out
    assert "unreel finetune finetune.NAME --help" in out


def test_one_recipe_is_shown_with_every_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipes", "ccl.ucf101"]) == 0
    out = capsys.readouterr().out
    for setting, value in {
        "method.forward_weight": "0.2",
        "method.clips.span_frames": "64",
        "train.optimizer.weight_decay": "0.005",
        "train.schedule.decay_every_epochs": "20",
        "data.split": "auto",
        "method.augmentation.mean": "0.0 0.0 0.0",
    }.items():
        assert any(line.split()[:2] == [setting, value.split()[0]] for line in out.splitlines()), setting
    assert "unreel pretrain ccl.ucf101 --data.catalog catalog.parquet --run runs/ccl.ucf101" in out


def test_an_unknown_recipe_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipes", "ccl.ufc101"]) == 2
    assert "did you mean ccl.ucf101" in capsys.readouterr().err


def test_recipes_of_fine_tuning_are_started_by_their_own_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipes", "finetune_vclr.ssv2_tsn"]) == 0
    out = capsys.readouterr().out
    assert "unreel finetune finetune_vclr.ssv2_tsn --encoder ENCODER --data.catalog catalog.parquet" in out
    assert "unreel pretrain" not in out
    for setting in ("method.augmentation.crop_scales", "method.views.crops", "method.test_split"):
        assert any(line.split()[:1] == [setting] for line in out.splitlines()), setting
