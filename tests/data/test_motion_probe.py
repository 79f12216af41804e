"""Motion of whole files: the same as a loop over all frames, for every kind of file, in little memory."""

import itertools
import json
import statistics
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from av.video.reformatter import Interpolation

from tests.data.conftest import KindPath
from tests.data.videos import KINDS, draw_frames, write_video
from unreel.config import config_to_dict
from unreel.data.frame_index import FrameIndex
from unreel.data.motion_flow import MotionConfig, build_measure
from unreel.data.motion_probe import choose_pairs, measure_file, measure_video
from unreel.data.motion_windows import split_windows
from unreel.data.opening import Deadline
from unreel.data.packets import VideoFile
from unreel.data.probe import probe_video
from unreel.errors import VideoError

SMALL = MotionConfig(backend="frame_difference", size=32)


def measure_by_loop(path: Path, index: FrameIndex, config: MotionConfig) -> list[float]:
    """Decode everything, compare all neighbours, take medians of lists."""
    measure = build_measure(config)
    with VideoFile(path, Deadline(path, 0)) as video:
        frames = list(video.read_frames())
        scale = config.size / min(frames[0].height, frames[0].width)
        width, height = (round(side * scale) for side in (frames[0].width, frames[0].height))
        bilinear = Interpolation.BILINEAR
        pictures = [
            frame.reformat(width, height, "gray", interpolation=bilinear).to_ndarray() for frame in frames
        ]
    values = [measure(a, b) for a, b in itertools.pairwise(pictures)]
    bounds = split_windows(index, config.window_sec).tolist()
    windows = [values[first:behind] for first, behind in itertools.pairwise(bounds)]
    return [statistics.median(window) if window else values[-1] for window in windows]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_is_measured_as_a_loop_would(kind: str, path_of: KindPath) -> None:
    path = path_of(kind)
    index = probe_video(path).index
    found = measure_video(path, index, SMALL)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, measure_by_loop(path, index, SMALL), rtol=1e-6)
    assert (found > 0).all()


@pytest.mark.parametrize("backend", ["dis", "dis_medium", "farneback"])
def test_flow_is_measured_as_a_loop_would_and_again_alike(backend: Any, path_of: KindPath) -> None:
    path, config = path_of("h264"), MotionConfig(backend=backend, size=48, window_sec=0.4)
    index = probe_video(path).index
    found = measure_video(path, index, config)
    assert found.shape == (4,)
    np.testing.assert_allclose(found, measure_by_loop(path, index, config), rtol=1e-5)
    assert np.array_equal(found, measure_video(path, index, config))


def test_the_window_that_moves_has_the_most_motion(tmp_path: Path) -> None:
    frames = np.full((75, 48, 64, 3), 90, dtype=np.uint8)
    rng = np.random.default_rng(0)
    ground = rng.integers(40, 120, (6, 8, 1)).repeat(8, 0).repeat(8, 1)
    frames[:] = ground
    thing = rng.integers(150, 250, (4, 4, 1)).repeat(4, 0).repeat(4, 1)
    for time in range(75):
        left = 2 * min(max(time - 25, 0), 24)  # still, moves for a second, still
        frames[time, 16:32, left : left + 16] = thing
    path = write_video(tmp_path / "a.mp4", frames, options={"crf": "10"})
    motion = measure_video(path, probe_video(path).index, MotionConfig(size=96))
    assert motion.argmax() == 1
    assert motion[1] > 5 * max(motion[0], motion[2], 0.1)


def test_a_video_that_is_turned_moves_as_much(path_of: KindPath) -> None:
    motions = [
        measure_video(path, probe_video(path).index, SMALL) for path in map(path_of, ("h264", "h264 turned"))
    ]
    assert np.array_equal(*motions)


def test_a_single_frame_does_not_move(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", draw_frames(1))
    assert measure_video(path, probe_video(path).index, SMALL).tolist() == [0.0]


def test_a_last_window_without_a_pair_takes_the_motion_before_it(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", draw_frames(4), fps=1, options={"bf": "0"})
    motion = measure_video(path, probe_video(path).index, SMALL)
    assert len(motion) == 4
    assert motion[3] == motion[2] != motion[1]


def test_pairs_are_spread_over_every_second() -> None:
    index = FrameIndex(np.arange(60), np.array([0]), (1, 25))
    assert choose_pairs(index, 0).tolist() == list(range(59))
    assert choose_pairs(index, 5).tolist() == list(range(0, 59, 5))
    assert choose_pairs(index, 25).tolist() == list(range(59))
    assert choose_pairs(index, 1).tolist() == [0, 25, 50]
    assert choose_pairs(index, 1000).tolist() == list(range(59))
    assert choose_pairs(FrameIndex(np.arange(1), np.array([0]), (1, 25)), 5).tolist() == []


def test_fewer_pairs_have_the_values_that_they_have_among_all(path_of: KindPath) -> None:
    path = path_of("h264")
    index = probe_video(path).index
    every = measure_video(path, index, MotionConfig("frame_difference", 32, window_sec=0.04))
    few = measure_video(path, index, MotionConfig("frame_difference", 32, window_sec=0.04, pairs_per_sec=5))
    # A window per frame: those without a pair have the value before.
    assert few.tolist() == [every[min(number // 5 * 5, 38)] for number in range(40)]


def test_a_long_video_is_never_whole_in_memory(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", draw_frames(50, 48, 64).repeat(8, 0))
    index = probe_video(path).index
    config = MotionConfig("frame_difference", size=128)
    measure_video(path, index, config)
    tracemalloc.start()
    measure_video(path, index, config)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 128 * 171  # there are 400 pictures; two are kept, and one of floats is compared


def describe(path: Path, config: MotionConfig = SMALL, **changes: Any) -> dict[str, Any]:
    job = {
        "path": str(path),
        "bytes": path.stat().st_size if path.exists() else 0,
        "index": probe_video(path).index.to_row() if path.exists() else {},
        "config": config_to_dict(config),
        "time_limit_sec": 20.0,
    }
    return json.loads(json.dumps(job | changes))  # type: ignore[no-any-return]


def test_a_job_is_plain_json_and_so_is_its_answer(path_of: KindPath) -> None:
    for kind in ("h264", "h264 uneven"):
        path = path_of(kind)
        answer = measure_file(describe(path))
        assert json.loads(json.dumps(answer)) == answer
        assert answer == {"motion": measure_video(path, probe_video(path).index, SMALL).tolist()}


def test_what_fails_has_a_reason(path_of: KindPath, tmp_path: Path) -> None:
    path = path_of("h264")
    job = describe(path)
    other = describe(path_of("h264 uneven"))
    more = dict(job["index"], frames=44)
    for changes, reason in (
        ({"bytes": 3}, "another size than scanned; the file has changed"),
        ({"path": str(tmp_path / "b.mp4")}, "no such file"),
        ({"index": other["index"]}, "other ticks of time than scanned"),
        ({"index": more}, "the file ends after 40 of 44 frames"),
        ({"index": dict(job["index"], first_pts=9)}, "another timestamp than scanned; .* (frame 0)"),
        ({"time_limit_sec": 1e-9}, "not read within 1e-09 s"),
    ):
        answer = measure_file(job | changes)
        assert list(answer) == ["reason"]
        head, _, tail = reason.partition(" .* ")
        assert answer["reason"].startswith(head)
        assert answer["reason"].endswith(tail)


def test_a_file_that_was_cut_off_after_its_scan_is_refused(path_of: KindPath, tmp_path: Path) -> None:
    path = path_of("h264 in ts")
    index = probe_video(path).index
    cut = tmp_path / "cut.ts"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(VideoError, match=r"another timestamp than scanned; the file has changed"):
        measure_video(cut, index, SMALL)
