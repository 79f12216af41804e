"""The set of sample videos: crossed, split, encoded, alike for a seed, careful with others' folders."""

import csv
import hashlib
import itertools
import json
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest

from unreel.data.sample_videos import FRAMES_PER_SEC, SampleSummary, make_sample_videos, write_video
from unreel.errors import UnreelError

NUM_VIDEOS = 12
LENGTHS = (6, 9)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleSummary:
    out = tmp_path_factory.mktemp("sample") / "videos here"
    return make_sample_videos(out, num_videos=NUM_VIDEOS, num_frames=LENGTHS, num_workers=1)


def read_table(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def hash_videos(table: Path) -> list[str]:
    return [
        hashlib.sha256((table.parent / row["path"]).read_bytes()).hexdigest() for row in read_table(table)
    ]


def test_the_table_names_every_video_and_nothing_else(sample: SampleSummary) -> None:
    rows = read_table(sample.table)
    assert list(rows[0]) == ["path", "label", "split", "group"]
    listed = {sample.table.parent / row["path"] for row in rows}
    assert len(listed) == NUM_VIDEOS
    assert listed == set(sample.table.parent.rglob("*.mp4"))


def test_the_summary_says_what_is_there(sample: SampleSummary) -> None:
    rows = read_table(sample.table)
    splits = Counter(row["split"] for row in rows)
    assert (sample.num_train, sample.num_test) == (splits["train"], splits["test"])
    assert set(sample.labels) == {row["label"] for row in rows}
    assert set(sample.groups) == {row["group"] for row in rows}
    files = [sample.table.parent / row["path"] for row in rows]
    assert sample.num_bytes == sum(file.stat().st_size for file in files)
    assert sample.num_frames == sum(len(decode(file)) for file in files)


def test_videos_decode_to_the_promised_size_rate_and_length(sample: SampleSummary) -> None:
    for row in read_table(sample.table):
        with av.open(str(sample.table.parent / row["path"])) as container:
            stream = container.streams.video[0]
            assert (stream.height, stream.width) == (72, 96)
            assert stream.codec_context.name == "h264"
            assert stream.average_rate == FRAMES_PER_SEC
            assert LENGTHS[0] <= sum(1 for _ in container.decode(video=0)) <= LENGTHS[1]


def test_every_scene_shows_every_motion_equally_often(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("unreel.data.sample_videos._make_one", pretend_to_make)
    summary = make_sample_videos(tmp_path / "out", num_videos=400, num_workers=1)
    rows = read_table(summary.table)
    pairs = Counter((row["group"], row["label"]) for row in rows)
    assert len(summary.labels) == 8
    assert set(pairs) == set(itertools.product(summary.groups, summary.labels))
    assert set(pairs.values()) == {400 // len(pairs)}
    assert (summary.num_train, summary.num_test) == (300, 100)
    assert summary.num_frames == 400
    tests = Counter((row["group"], row["label"]) for row in rows if row["split"] == "test")
    assert set(tests) == set(pairs)
    assert set(tests.values()) == {2, 3}


def pretend_to_make(task: object) -> int:
    """Stand in for the drawing and encoding of one video."""
    Path(task.path).write_bytes(b"video")  # type: ignore[attr-defined]
    return 1


def test_the_same_seed_gives_the_same_files_with_any_number_of_workers(
    sample: SampleSummary, tmp_path: Path
) -> None:
    again = make_sample_videos(tmp_path, num_videos=NUM_VIDEOS, num_frames=LENGTHS, num_workers=2)
    assert again.table.read_text() == sample.table.read_text()
    assert hash_videos(again.table) == hash_videos(sample.table)


def test_another_seed_gives_other_videos_under_the_same_names(sample: SampleSummary, tmp_path: Path) -> None:
    other = make_sample_videos(tmp_path, num_videos=2, seed=1, num_frames=LENGTHS, num_workers=1)
    assert read_table(other.table) == read_table(sample.table)[:2]
    assert not set(hash_videos(other.table)) & set(hash_videos(sample.table))


def test_fewer_videos_are_the_first_ones_and_the_rest_of_an_earlier_run_goes(
    sample: SampleSummary, tmp_path: Path
) -> None:
    make_sample_videos(tmp_path, num_videos=4, num_frames=LENGTHS, num_workers=1)
    own = tmp_path / "videos" / "holiday.mp4"
    own.write_bytes(b"mine")
    fewer = make_sample_videos(tmp_path, num_videos=3, num_frames=LENGTHS, num_workers=1)
    assert hash_videos(fewer.table) == hash_videos(sample.table)[:3]
    assert own.read_bytes() == b"mine"
    assert len(list((tmp_path / "videos").iterdir())) == 4


def test_an_interrupted_run_leaves_no_table_and_can_be_started_again(tmp_path: Path) -> None:
    def stop_at_two(done: int, total: int, note: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_sample_videos(tmp_path, num_videos=4, num_frames=LENGTHS, num_workers=1, progress=stop_at_two)
    assert not (tmp_path / "videos.csv").exists()
    summary = make_sample_videos(tmp_path, num_videos=3, num_frames=LENGTHS, num_workers=1)
    assert len(read_table(summary.table)) == 3


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    told = []
    make_sample_videos(
        tmp_path, num_videos=3, num_frames=(2, 2), num_workers=1, progress=lambda *state: told.append(state)
    )
    assert told == [(1, 3, ""), (2, 3, ""), (3, 3, "")]


@pytest.mark.parametrize("name", ["notes.txt", "sample-data.json", ".hidden"])
def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(json.dumps(["not ours"]))
    with pytest.raises(UnreelError, match="holds no sample videos; name a new folder"):
        make_sample_videos(tmp_path, num_videos=1)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_marker_that_is_no_json_does_not_open_a_folder(tmp_path: Path) -> None:
    (tmp_path / "sample-data.json").write_text("{")
    with pytest.raises(UnreelError, match="is not empty"):
        make_sample_videos(tmp_path, num_videos=1)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UnreelError, match="out is a file; name a folder"):
        make_sample_videos(tmp_path / "out", num_videos=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_videos": 0}, "num_videos must be at least 1, got 0"),
        ({"num_frames": (5, 4)}, r"num_frames must be .* got \(5, 4\)"),
        ({"num_frames": (0, 4)}, r"num_frames must be .* got \(0, 4\)"),
        ({"num_workers": -2}, "num_workers must be -1 .* got -2"),
    ],
)
def test_numbers_without_meaning_are_refused(
    tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_sample_videos(tmp_path / "out", **settings)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_written_frames_come_back(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 32, dtype=np.uint8)
    frames = np.stack([np.broadcast_to(np.roll(ramp, 4 * t)[None, :, None], (16, 32, 3)) for t in range(7)])
    write_video(tmp_path / "lossless.mkv", frames, codec="ffv1", pixel_format="bgr0")
    np.testing.assert_array_equal(decode(tmp_path / "lossless.mkv"), frames)
    write_video(tmp_path / "lossy.mp4", frames, options={"crf": "10"})
    assert np.abs(decode(tmp_path / "lossy.mp4").astype(int) - frames).mean() < 6.0


def test_frame_rate_and_key_frames_are_as_asked(tmp_path: Path) -> None:
    frames = np.zeros((9, 16, 16, 3), dtype=np.uint8)
    write_video(tmp_path / "a.mp4", frames, fps=29.97, options={"g": "3"})
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(29.97, abs=0.01)
        keys = [number for number, frame in enumerate(container.decode(video=0)) if frame.key_frame]
    assert keys == [0, 3, 6]


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((4, 16, 16, 3), dtype=np.float32),
        np.zeros((4, 16, 16), dtype=np.uint8),
        np.zeros((4, 16, 16, 4), dtype=np.uint8),
        np.zeros((0, 16, 16, 3), dtype=np.uint8),
    ],
)
def test_frames_of_another_form_are_refused(tmp_path: Path, frames: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"must be uint8 of shape \(T, H, W, 3\), got"):
        write_video(tmp_path / "a.mp4", frames)


def test_an_odd_size_is_refused_where_the_pixel_format_halves_it(tmp_path: Path) -> None:
    frames = np.zeros((2, 15, 16, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="even height and width, got 15x16"):
        write_video(tmp_path / "a.mp4", frames)
    write_video(tmp_path / "a.mp4", frames, pixel_format="yuv444p")
    assert decode(tmp_path / "a.mp4").shape == (2, 15, 16, 3)
