from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from unreel.data.clips import RandomClips
from unreel.losses.cross_architecture import Pair
from unreel.methods.cacl import CACL


def test_the_defaults_are_those_of_the_paper() -> None:
    config = CACL.Config()
    assert (config.queue_length, config.temperature, config.momentum) == (6400, 0.07, 0.999)
    assert (config.embedding_dim, config.hidden_dim) == (128, 0)
    assert (config.degree_hidden_dim, config.degree_dropout_prob) == (512, 0.5)
    assert (config.contrast_weight, config.degree_weight) == (1.0, 1.0)
    assert config.pairs == get_args(Pair)
    assert config.positives == "joint"
    assert config.shuffle.preset == "uniform_exact"
    clips = config.clips
    assert (clips.count, clips.num_frames, clips.frame_stride, clips.reserved_frames) == (1, 16, 2, 46)
    augmentation = config.augmentation
    assert (augmentation.crop, augmentation.size_px, augmentation.flip_prob) == ("random", 112, 0.5)
    assert (augmentation.jitter_prob, augmentation.grayscale_prob, augmentation.blur_prob) == (0.8, 0.2, 0.5)
    transformer = config.transformer
    assert (transformer.width, transformer.depth, transformer.num_heads, transformer.mlp_ratio) == (
        768,
        6,
        6,
        4,
    )
    assert config.frame_network.depth == 50
    assert config.frame_mean == (0.485, 0.456, 0.406)
    assert not config.swap_key_order


@pytest.mark.parametrize(
    ("changes", "has_contrast", "has_transformer"),
    [
        ({}, True, True),
        ({"pairs": ("gq_gk",)}, True, False),
        ({"pairs": ("gq_tk",)}, True, True),
        ({"pairs": ("tq_tk",)}, True, True),
        ({"pairs": ()}, False, False),
        ({"contrast_weight": 0.0}, False, False),
    ],
)
def test_settings_say_what_is_needed(
    changes: dict[str, Any], has_contrast: bool, has_transformer: bool
) -> None:
    config = replace(CACL.Config(), **changes)
    assert (config.has_contrast, config.has_transformer) == (has_contrast, has_transformer)


def test_paths_are_made_absolute_and_words_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for given, kept in (("a/b", tmp_path / "a" / "b"), ("random", Path("random")), ("", Path())):
        config = replace(CACL.Config(), frame_weights=Path(given)).with_absolute_paths()
        assert config.frame_weights == kept


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clips": RandomClips(count=3)}, r"method.clips.count must be 1 or 2, got 3"),
        ({"clips": RandomClips(count=1, num_frames=3)}, "num_frames"),
        ({"temperature": 0.0}, "temperature must be positive, got 0"),
        ({"momentum": 1.5}, r"momentum must lie in \[0, 1\], got 1.5"),
        ({"degree_dropout_prob": 1.0}, r"method.degree_dropout_prob must lie in \[0, 1\), got 1.0"),
        ({"queue_length": -1}, "method.queue_length must not be negative, got -1"),
        ({"shuffle_bn_group": -2}, "method.shuffle_bn_group must not be negative, got -2"),
        ({"degree_weight": -1.0}, "method.degree_weight must not be negative"),
        ({"contrast_weight": -1.0}, "method.contrast_weight must not be negative"),
        ({"pairs": ("gq_gk", "gq_gk")}, "method.pairs names a pair twice: gq_gk, gq_gk"),
        ({"pairs": (), "degree_weight": 0.0}, "nothing is learned"),
        ({"contrast_weight": 0.0, "degree_weight": 0.0}, "nothing is learned"),
    ],
)
def test_what_cannot_be_trained_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(CACL.Config(), **changes)
