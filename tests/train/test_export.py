from pathlib import Path

from tests.train.runs import build_recipe
from unreel.recipes.ccl import ucf101
from unreel.train.export import describe_encoder


def test_an_encoder_is_fed_what_the_network_saw(corpus: Path) -> None:
    config = describe_encoder(build_recipe(corpus))
    assert config.backbone == build_recipe(corpus).method.backbone
    spec = config.input
    assert (spec.sampling, spec.num_frames, spec.frame_stride) == ("clip", 16, 2)
    assert (spec.decode_height, spec.decode_width, spec.crop_px) == (18, 24, 16)


def test_the_encoder_of_ccl_takes_one_frame_per_part() -> None:
    spec = describe_encoder(ucf101()).input
    assert (spec.sampling, spec.num_frames, spec.span_frames) == ("frame_per_part", 8, 64)
    assert (spec.decode_height, spec.decode_width, spec.crop_px) == (128, 171, 112)
