"""Where a tested network comes from."""

import dataclasses
import json
import typing
from pathlib import Path
from typing import Any

import pytest

from tests.report.paper_examples import make_accuracy, make_retrieval, make_run, parse, retrieval_values
from unreel.config import config_to_dict
from unreel.models.c3d import C3DConfig
from unreel.models.mvit import MViTConfig
from unreel.models.resnet2d import ResNetConfig
from unreel.models.resnet3d import R2Plus1DConfig, R3DConfig
from unreel.models.zoo import BackboneConfig
from unreel.report.own_origin import Origin, count_classes, describe_input, find_origin, name_backbone
from unreel.report.paper_protocols import FRESH_WEIGHTS


def test_the_run_of_an_encoder_says_what_trained_it() -> None:
    origin = find_origin(make_retrieval(), [make_run(encoder_hash="f" * 16), make_run()])
    assert origin == Origin(
        run="cacl",
        method="cacl",
        backbone="C3D",
        pretrain=f"catalog {'1' * 16}, 9537 videos",
        frames="16",
        size="112 x 112",
    )


def test_without_a_run_nothing_is_known() -> None:
    assert find_origin(make_retrieval(), []) == Origin()
    assert find_origin(make_retrieval(), [make_run(encoder_hash="f" * 16)]) == Origin()


@pytest.mark.parametrize(("instance", "method"), [("video", "moco"), ("frame", "frame-moco")])
def test_moco_of_frames_is_no_moco_of_videos(instance: str, method: str) -> None:
    run = make_run(method="moco", settings={"instance": instance})
    assert find_origin(make_retrieval(), [run]).method == method


def fine_tuned(initial_weights: dict[str, Any], **settings: Any) -> Origin:
    run = make_run(
        method="supervised", encoder_hash="c" * 16, initial_weights=initial_weights, settings=settings
    )
    return find_origin(make_accuracy("recognition"), [run])


def test_a_network_from_scratch_has_fresh_weights() -> None:
    origin = fine_tuned({})
    assert (origin.method, origin.pretrain, origin.is_frozen) == (FRESH_WEIGHTS, "none", False)


def test_a_fine_tuned_network_comes_from_the_method_of_its_encoder(tmp_path: Path) -> None:
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    provenance = {"method": "SCVRL", "catalog": "2" * 16}
    (encoder / "encoder.json").write_text(json.dumps({"hash": "a" * 16, "provenance": provenance}))
    weights = {"backbone": {"file": str(encoder / "model.safetensors"), "hash": "b" * 16}}
    origin = fine_tuned(weights, is_frozen=True)
    assert (origin.method, origin.pretrain) == ("scvrl", f"catalog {'2' * 16}")
    assert origin.is_frozen


def test_an_encoder_that_is_gone_leaves_the_method_open(tmp_path: Path) -> None:
    origin = fine_tuned({"backbone": {"file": str(tmp_path / "encoder" / "model.safetensors")}})
    assert (origin.run, origin.method, origin.pretrain) == ("cacl", "", "")


def test_frames_that_exchange_channels_make_a_tsm() -> None:
    run = make_run(backbone={"architecture": "resnet", "depth": 50, "temporal_shift": True})
    origin = find_origin(make_retrieval(), [run])
    assert origin.is_shifted
    assert origin.backbone == "R2D-50, temporal_shift True"


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (C3DConfig(), "C3D"),
        (C3DConfig(width=0.125), "C3D, width 0.125"),
        (R3DConfig(), "R3D"),
        (R3DConfig(depth=10), "R3D, depth 10"),
        (R2Plus1DConfig(), "R(2+1)D"),
        (ResNetConfig(), "R2D-50"),
        (ResNetConfig(depth=18, width=0.25), "R2D-18, width 0.25"),
        (MViTConfig(), "MViT-B"),
        (MViTConfig(temporal_kernel=3), "MViT-B, temporal_kernel 3"),
    ],
)
def test_networks_are_called_as_in_the_papers(config: Any, name: str) -> None:
    settings = json.loads(json.dumps(config_to_dict(config)))
    assert name_backbone(settings) == name


def test_an_unknown_network_keeps_its_name() -> None:
    assert name_backbone({"architecture": "slowfast"}) == "slowfast"
    assert name_backbone({}) == ""


def test_every_network_of_unreel_has_a_name() -> None:
    kinds = typing.get_args(BackboneConfig)
    for kind in kinds:
        settings = config_to_dict(kind())
        assert name_backbone(settings) != settings["architecture"], settings


def test_an_input_is_frames_and_pixels() -> None:
    assert describe_input({"num_frames": 8, "crop_px": 224}) == ("8", "224 x 224")
    assert describe_input({}) == describe_input(None) == ("", "")


def test_classes_are_counted_wherever_they_are(tmp_path: Path) -> None:
    assert count_classes(make_accuracy("svm", classes=48)) == 48
    assert count_classes(make_accuracy("recognition", classes=7)) == 7
    # A retrieval names no number, but counts its queries by class.
    path = tmp_path / "retrieval.json"
    path.write_text(json.dumps(retrieval_values(classes=51)))
    assert count_classes(make_retrieval(path)) == 51


def test_a_file_that_is_gone_or_damaged_leaves_the_classes_open(tmp_path: Path) -> None:
    path = tmp_path / "retrieval.json"
    assert count_classes(make_retrieval(path)) is None
    path.write_text("[]")
    assert count_classes(make_retrieval(path)) is None
    path.write_text("{")
    assert count_classes(make_retrieval(path)) is None


def test_classes_may_stand_with_the_settings() -> None:
    few = parse(Path("gone.json"), {"protocol": "elo", "settings": {"classes": 8}})
    assert count_classes(few) == 8


def test_a_run_without_provenance_leaves_its_videos_open() -> None:
    run = dataclasses.replace(make_run(), provenance=({"videos": 3},))
    assert find_origin(make_retrieval(), [run]).pretrain == ""
    run = dataclasses.replace(make_run(method="supervised"), provenance=())
    origin = find_origin(make_retrieval(), [run])
    assert (origin.method, origin.pretrain) == ("", "")


def test_a_run_may_hold_results_that_it_alone_knows_as_its_own() -> None:
    """A result without any hash, in the folder of a run, is a result of this run."""
    nameless = parse(Path("ar.json"), {"protocol": "cycle", "settings": {}})
    assert find_origin(nameless, [make_run()]) == Origin()
    run = dataclasses.replace(make_run(), evaluations=(nameless,))
    assert find_origin(nameless, [run]).run == "cacl"


def test_settings_of_another_version_are_no_obstacle() -> None:
    for method in (None, [], "moco", {"backbone": None}, {"backbone": ["c3d"]}, {"backbone": {"depth": 3}}):
        run = dataclasses.replace(make_run(), settings={"method": method})
        assert find_origin(make_retrieval(), [run]).method == "cacl"
