import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from unreel.data.batch import Rejection
from unreel.data.cache import FrameCache
from unreel.data.catalog import Catalog, CatalogMotion
from unreel.data.clip_reader import ClipReader, ReadVideo, collate_videos
from unreel.data.clips import RandomClips
from unreel.data.decode import ClipDecoder, FrameSize
from unreel.data.device_frames import DeviceClips, stack_clips
from unreel.data.targeted_clips import TargetedClips
from unreel.errors import VideoError

CLIPS = RandomClips(count=2, num_frames=4, frame_stride=2)
SIZE = FrameSize(12, 16)


def build_reader(corpus: Path, *, seed: int = 0, cache_on: str = "") -> ClipReader:
    catalog = Catalog.load(corpus)
    device = None if cache_on == "ram" else torch.device("cpu")
    cache = None
    if cache_on:
        cache = FrameCache(catalog, SIZE, limit_mb=64, num_threads=1, time_limit_sec=5, device=device)
    return ClipReader(catalog, CLIPS, ClipDecoder(SIZE), seed=seed, cache=cache)


def read(reader: ClipReader, row: int, epoch: int = 0) -> ReadVideo:
    video = reader.read(row, epoch)
    assert isinstance(video, ReadVideo)
    return video


def test_what_is_read_is_what_the_plan_names(corpus: Path) -> None:
    video = read(build_reader(corpus), 3)
    whole = ClipDecoder(SIZE).decode_all(Catalog.load(corpus).video(3).path)
    assert video.row == 3
    assert Catalog.load(corpus).label_names[video.label] == Catalog.load(corpus).labels[3] == "speed0"
    assert np.array_equal(video.frames_NTHWC, whole[video.frame_index_NT])


def test_the_cache_changes_nothing(corpus: Path) -> None:
    from_file = read(build_reader(corpus), 5)
    for cache_on in ("ram", "cpu"):
        from_memory = read(build_reader(corpus, cache_on=cache_on), 5)
        assert stack_clips([from_file.frames_NTHWC]).equal(stack_clips([from_memory.frames_NTHWC]))
        assert isinstance(from_memory.frames_NTHWC, DeviceClips) == (cache_on == "cpu")
        assert from_file.key == from_memory.key


def test_frames_and_key_depend_on_seed_pass_and_video(corpus: Path) -> None:
    reader = build_reader(corpus)
    video = read(reader, 2)
    others = [read(reader, 2, epoch=1), read(reader, 3), read(build_reader(corpus, seed=1), 2)]
    assert len({video.key, *(other.key for other in others)}) == 4
    assert any(not np.array_equal(video.frame_index_NT, other.frame_index_NT) for other in others)
    again = read(build_reader(corpus), 2)
    assert (again.key, again.frame_index_NT.tolist()) == (video.key, video.frame_index_NT.tolist())


@pytest.mark.parametrize(("frame", "reason"), [(None, "noise"), (7, "noise (frame 7)")])
def test_a_failure_is_a_result_that_names_the_frame(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, frame: int | None, reason: str
) -> None:
    def fail(*_: object) -> object:
        raise VideoError("x.mp4", "noise", frame_index=frame)

    monkeypatch.setattr(ClipDecoder, "decode", fail)
    path = str(Catalog.load(corpus).video(0).path)
    assert build_reader(corpus).read(0, 0) == Rejection(path, reason)


def make_video(row: int, height: int, width: int) -> ReadVideo:
    frames = np.full((1, 2, height, width, 3), 10 * row, dtype=np.uint8)
    return ReadVideo(row, frames, np.array([[row, row + 1]]), label=row - 1, key=100 + row)


def test_a_batch_keeps_the_order_and_pads_below_and_on_the_right() -> None:
    batch = collate_videos([make_video(4, 3, 5), make_video(2, 4, 2)], [Rejection("a.mp4", "cut short")])
    assert batch.frames_BNTHWC.shape == (2, 1, 2, 4, 5, 3)
    assert batch.frames_BNTHWC[0, :, :, :3].eq(40).all()
    assert batch.frames_BNTHWC[0, :, :, 3:].eq(0).all()
    assert batch.frames_BNTHWC[1, ..., :2, :].eq(20).all()
    assert batch.frames_BNTHWC[1, ..., 2:, :].eq(0).all()
    assert batch.sizes_B2.tolist() == [[3, 5], [4, 2]]
    assert batch.video_index_B.tolist() == [4, 2]
    assert batch.frame_index_BNT.tolist() == [[[4, 5]], [[2, 3]]]
    assert batch.labels_B.tolist() == [3, 1]
    assert batch.keys_B.tolist() == [104, 102]
    assert batch.rejections == (Rejection("a.mp4", "cut short"),)


def test_videos_of_one_size_are_not_padded() -> None:
    batch = collate_videos([make_video(1, 3, 5), make_video(2, 3, 5)])
    assert batch.frames_BNTHWC.dtype == torch.uint8
    assert batch.frames_BNTHWC.unique().tolist() == [10, 20]
    assert batch.rejections == ()


def test_clips_that_are_chosen_by_motion_need_a_catalog_that_knows_it(corpus: Path) -> None:
    catalog, decoder = Catalog.load(corpus), ClipDecoder(SIZE)
    with pytest.raises(ValueError, match=r"TargetedClips chooses clips by motion, .*attach_motion"):
        ClipReader(catalog, TargetedClips(2, 1), decoder, seed=0)
    alike = ClipReader(catalog, TargetedClips(2, 1, math.inf, jitter=False), decoder, seed=0)
    video = alike.read(0, 0)
    assert isinstance(video, ReadVideo)
    assert video.frame_index_NT[0].tolist() == [9, 10]  # in the middle of the only window


def test_clips_follow_the_motion_of_their_video(corpus: Path) -> None:
    catalog, decoder = Catalog.load(corpus), ClipDecoder(SIZE)
    # 20 frames at 25 per second are two windows of 0.4 s; only the second one of video 1 moves.
    rows = [[0.0, 900.0] if row == 1 else [900.0, 0.0] for row in range(len(catalog))]
    motion = CatalogMotion(pa.array(rows, pa.list_(pa.float32())), 0.4, "settings")
    clips = TargetedClips(1, 1, 1.0, jitter=False)
    reader = ClipReader(catalog.with_motion(motion), clips, decoder, seed=0)
    starts = [read(reader, row, epoch).frame_index_NT[0, 0] for row in (0, 1) for epoch in range(5)]
    assert starts == [4] * 5 + [14] * 5
