from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from unreel.methods.frame_settings import FrameSettings
from unreel.methods.seco import SeCo
from unreel.methods.vclr import VCLR
from unreel.models.zoo import BACKBONES
from unreel.train.recipe import Recipe, TrainConfig


def test_random_weights_are_warned_of_unless_they_are_meant() -> None:
    (caution,) = VCLR.Config().cautions()
    assert "random weights" in caution
    assert "--method.initial-weights" in caution
    assert VCLR.Config(initial_weights=Path("random")).cautions() == ()
    assert VCLR.Config(initial_weights=Path("moco.pth")).cautions() == ()


def test_paths_are_made_absolute_and_words_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for given, kept in (("a/b", tmp_path / "a" / "b"), ("random", Path("random")), ("", Path())):
        config = VCLR.Config(initial_weights=Path(given)).with_absolute_paths()
        assert config.initial_weights == kept


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.0}, "temperature must be positive, got 0"),
        ({"momentum": 1.5}, r"momentum must lie in \[0, 1\], got 1.5"),
        ({"queue_length": -1}, "method.queue_length must not be negative, got -1"),
        ({"shuffle_bn_group": -2}, "method.shuffle_bn_group must not be negative, got -2"),
    ],
)
@pytest.mark.parametrize("config", [VCLR.Config(), SeCo.Config()], ids=["vclr", "seco"])
def test_numbers_out_of_range_are_refused(
    config: FrameSettings, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        replace(config, **changes)


@pytest.mark.parametrize("name", [name for name in BACKBONES if not name.startswith("resnet")])
def test_a_network_of_clips_is_refused(name: str) -> None:
    """It would run on clips of one frame, most of its weights seeing nothing but padding."""
    with pytest.raises(ValueError, match=r"method.backbone must see single frames, got .*; .* resnet_50"):
        replace(VCLR.Config(), backbone=BACKBONES[name])


def test_a_network_that_shifts_channels_between_frames_is_refused_by_that_name() -> None:
    with pytest.raises(ValueError, match=r"must see single frames, got temporal_shift: .* take resnet_18"):
        replace(VCLR.Config(), backbone=BACKBONES["tsm_resnet_50"])


@pytest.mark.parametrize(("queue_length", "least"), [(0, 2), (16, 1)])
def test_without_a_queue_a_part_of_the_batch_has_two_videos(queue_length: int, least: int) -> None:
    config = VCLR.Config(queue_length=queue_length)
    assert config.min_videos == least
    train = TrainConfig(batch_size=4, accumulate=4)
    if least == 1:
        Recipe(config, train=train)
        return
    with pytest.raises(ValueError, match=r"leaves train.accumulate = 4 parts 1 videos each, .* at least 2"):
        Recipe(config, train=train)
