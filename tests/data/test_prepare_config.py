from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.data.frame_index import FrameIndex
from unreel.data.prepare_config import PrepareConfig, describe_codec, plan_frames


def build_index(ticks: list[int], time_base: tuple[int, int]) -> FrameIndex:
    return FrameIndex(np.array(ticks, np.int64), np.array([0], np.int64), time_base)


@pytest.mark.parametrize(
    ("config", "shown", "stored"),
    [
        (PrepareConfig(), (240, 320), (128, 170)),  # 320 * 128 / 240 = 170.7, and even
        (PrepareConfig(), (320, 240), (170, 128)),
        (PrepareConfig(), (1080, 1920), (128, 228)),  # 227.6
        (PrepareConfig(), (128, 128), (128, 128)),
        (PrepareConfig(), (48, 64), (48, 64)),  # not enlarged
        (PrepareConfig(), (49, 65), (48, 64)),  # 65 * 48 / 49 = 63.7
        (PrepareConfig(), (1, 3), (2, 6)),
        (PrepareConfig(), (1, 1), (2, 2)),
        (PrepareConfig(), (2, 4001), (2, 4000)),
        (PrepareConfig(short_side=64), (240, 320), (64, 86)),  # 85.3
        (PrepareConfig(width=172), (240, 320), (128, 172)),
        (PrepareConfig(width=172), (48, 64), (128, 172)),
    ],
)
def test_sizes_are_even_and_keep_the_aspect(
    config: PrepareConfig, shown: tuple[int, int], stored: tuple[int, int]
) -> None:
    assert config.choose_size(*shown) == stored


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 300))
def test_no_size_is_odd_or_enlarged_by_more_than_evenness_asks(height: int, width: int, half: int) -> None:
    sides = PrepareConfig(short_side=2 * half).choose_size(height, width)
    assert all(side % 2 == 0 and side > 0 for side in sides)
    assert min(sides) <= max(2, min(2 * half, height, width))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"short_side": 127}, "short_side must be an even number of pixels, at least 2, got 127"),
        ({"short_side": 0}, "short_side must be an even number"),
        ({"width": 171}, "width must be an even number of pixels, at least 0, got 171"),
        (
            {"fps": -1.0},
            "fps must lie between 0.01 and 1000 frames per second, or be 0 for all frames, got -1",
        ),
        ({"fps": float("inf")}, "fps must lie"),
        ({"fps": 1e-5}, "fps must lie"),
        ({"fps": float("nan")}, "fps must lie"),
        ({"gop": 0}, "gop must be at least 1 frame, got 0"),
        ({"crf": 52}, "crf must lie between 0 and 51, got 52"),
        ({"crf": -1}, "crf must lie between"),
        ({"format": "raw", "crf": 10}, "gop = 16 and crf = 10 are of h264, and format is raw"),
        ({"format": "raw", "gop": 1}, "choose --format h264"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PrepareConfig(**values)  # type: ignore[arg-type]


def test_without_a_rate_every_frame_keeps_its_time() -> None:
    plan = plan_frames(build_index([1001, 3003, 3004, 9000], (1001, 30000)), 1.0, PrepareConfig())
    assert plan.source_K.tolist() == [0, 1, 2, 3]
    assert plan.tick_K.tolist() == [0, 2002 * 1001, 2003 * 1001, 7999 * 1001]
    assert plan.ticks_per_sec == 30000


def test_timestamps_that_do_not_rise_are_put_in_order() -> None:
    """H.264 in AVI: labels of frames, whose times are the same numbers in order."""
    plan = plan_frames(build_index([2, 0, 6, 4], (1, 25)), 0.32, PrepareConfig())
    assert plan.tick_K.tolist() == [0, 2, 4, 6]


def test_a_lower_rate_takes_the_nearest_frames_and_of_two_the_earlier() -> None:
    # 25 frames per second to 10: at 0, 100, 200, 300, 400 ms; 100 ms lies between frames 2 (80) and 3 (120).
    plan = plan_frames(build_index(list(range(12)), (1, 25)), 0.48, PrepareConfig(fps=10))
    assert plan.source_K.tolist() == [0, 2, 5, 7, 10]
    assert plan.tick_K.tolist() == [0, 1, 2, 3, 4]
    assert plan.ticks_per_sec == 10


def test_a_higher_rate_repeats_frames() -> None:
    plan = plan_frames(build_index([0, 1, 2], (1, 10)), 0.3, PrepareConfig(fps=25))
    # 40 ms apart to 280; frame 1 is nearest from 50 ms on, frame 2 from 150 ms on.
    assert plan.source_K.tolist() == [0, 0, 1, 1, 2, 2, 2, 2]


def test_rates_that_are_no_whole_numbers_are_exact() -> None:
    plan = plan_frames(build_index(list(range(60)), (1, 30)), 2.0, PrepareConfig(fps=30000 / 1001))
    assert plan.ticks_per_sec == 30000
    assert plan.tick_K.tolist() == [1001 * number for number in range(60)]


def test_a_single_frame_and_an_even_rate_keep_their_number_of_frames() -> None:
    assert plan_frames(build_index([7], (1, 25)), 0.04, PrepareConfig(fps=25)).source_K.tolist() == [0]
    assert plan_frames(build_index([7], (1, 25)), 0.01, PrepareConfig(fps=1)).source_K.tolist() == [0]
    even = plan_frames(build_index(list(range(50)), (1, 25)), 2.0, PrepareConfig(fps=25))
    assert even.source_K.tolist() == list(range(50))


@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=60),
    st.floats(0.5, 120),
    st.sampled_from([(1, 1000), (1001, 30000)]),
)
def test_a_new_rate_is_even_covers_the_video_and_takes_nearest_frames(
    steps: list[int], fps: float, time_base: tuple[int, int]
) -> None:
    index = build_index(np.cumsum([0, *steps]).tolist(), time_base)
    shown_F = index.timestamps_sec()
    seconds = float(shown_F[-1]) * index.num_frames / (index.num_frames - 1)
    config = PrepareConfig(fps=fps)
    plan = plan_frames(index, seconds, config)
    assert len(plan.source_K) == config.count_frames(index.num_frames, seconds)
    assert len(set(np.diff(plan.tick_K).tolist())) <= 1
    step = Fraction(int(plan.tick_K[1]), plan.ticks_per_sec) if len(plan.tick_K) > 1 else Fraction(0)
    assert float(step) == pytest.approx(1 / fps if step else 0, rel=2e-3)
    for source, tick in zip(plan.source_K.tolist(), plan.tick_K.tolist(), strict=True):
        distance_F = np.abs(shown_F - tick / plan.ticks_per_sec)
        assert distance_F[source] <= distance_F.min() + 1e-8
    assert (np.diff(plan.source_K) >= 0).all()
    assert len(plan.tick_K) * (1 / fps) >= seconds - 2e-6 / fps


def test_the_encoder_is_told_what_makes_decoding_quick() -> None:
    config = PrepareConfig(gop=8, crf=30)
    options = config.codec_options
    assert (options["g"], options["crf"], options["tune"]) == ("8", "30", "fastdecode")
    assert "open-gop=0" in options["x264-params"]
    assert describe_codec(config)["encoder"] == "libx264"
    assert describe_codec(PrepareConfig(format="raw"))["encoder"] == "rawvideo"


def test_the_worse_the_quality_the_less_alike_a_picture_may_be() -> None:
    assert PrepareConfig(format="raw").least_psnr == 100
    assert [PrepareConfig(crf=crf).least_psnr for crf in (0, 20, 35, 51)] == [45, 25, 10, 10]


def test_names_tell_raw_copies_from_others() -> None:
    assert (PrepareConfig().suffix, PrepareConfig(format="raw").suffix) == (".mp4", ".raw.mov")
