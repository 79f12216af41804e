import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.features.tiny import build_encoder, build_frame_encoder
from unreel.data.catalog import Catalog
from unreel.evaluate.cycle_features import embed_cycle
from unreel.evaluate.cycle_tasks import CycleResult, evaluate_cycle, find_own
from unreel.evaluate.ranking import RankingConfig
from unreel.features.encoder import Encoder
from unreel.features.reading import ReadConfig

READ = ReadConfig(clips_per_video=3, batch_size=12, num_workers=0)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return build_frame_encoder()


@pytest.fixture(scope="module")
def catalog(corpus: Path) -> Catalog:
    return Catalog.load(corpus)


@pytest.fixture(scope="module")
def result(encoder: Encoder, catalog: Catalog) -> CycleResult:
    return evaluate_cycle(encoder, catalog, read=READ, cycle_ks=(1, 2, 5, 100), class_ks=(1, 5, 100))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(float), b.astype(float)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


@given(st.integers(0, 100_000))
def test_finding_ones_own_is_that_of_a_plain_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num_clips, num_frames = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    frames, clips = rng.normal(size=(num_clips * num_frames, 3)), rng.normal(size=(num_clips, 3))
    frames, clips = frames.astype(np.float32), clips.astype(np.float32)
    owner = [row // num_frames for row in range(len(frames))]
    k = int(rng.integers(1, num_clips + 1))
    hits_a = 0
    for row, frame in enumerate(frames):
        ranked = sorted(range(num_clips), key=lambda clip: -cosine(frame, clips[clip]))
        hits_a += owner[row] in ranked[:k]
    hits_b = 0
    for number, clip in enumerate(clips):
        ranked = sorted(range(len(frames)), key=lambda row: -cosine(clip, frames[row]))
        hits_b += number in [owner[row] for row in ranked[:k]]
    numbers, owners = np.arange(num_clips), np.array(owner)
    task_a = find_own(frames, owners, clips, numbers, [k])
    task_b = find_own(clips, numbers, frames, owners, [k])
    assert task_a.recall[k] == pytest.approx(hits_a / len(frames))
    assert task_b.recall[k] == pytest.approx(hits_b / num_clips)
    assert task_a.chance[k] == pytest.approx(k / num_clips)


def test_a_worked_example() -> None:
    """Two clips along x and y of two frames each; the second frame of the first clip points along y.

    Frames find their clip 3 times of 4 at k = 1, always at k = 2. Clip x finds its frame along x first;
    clip y finds, of the frames along y, the one with the lowest row first, which is x's: wrong at 1, right
    at 2.
    """
    clips = np.array([[1, 0], [0, 1]], dtype=np.float32)
    frames = np.array([[1, 0], [0, 1], [0, 1], [0, 2]], dtype=np.float32)
    numbers, owners = np.array([0, 1]), np.array([0, 0, 1, 1])
    assert find_own(frames, owners, clips, numbers, [1, 2]).recall == {1: 0.75, 2: 1.0}
    task_b = find_own(clips, numbers, frames, owners, [1, 2, 5])
    assert task_b.recall == {1: 0.5, 2: 1.0}
    # Chance at 2 of 4 rows with 2 right ones: 1 - (2/4)(1/3) = 5/6.
    assert task_b.chance == {1: pytest.approx(0.5), 2: pytest.approx(5 / 6)}
    assert (task_b.queries, task_b.gallery, task_b.impossible_ks) == (2, 4, [5])


def test_a_gallery_smaller_than_every_k_has_no_value() -> None:
    one = np.ones((1, 2), dtype=np.float32)
    recall = find_own(one, np.array([0]), one, np.array([0]), [5, 10])
    assert (recall.recall, recall.impossible_ks) == ({}, [5, 10])


def test_tasks_between_frames_and_clips_follow_from_the_features(
    result: CycleResult, encoder: Encoder, catalog: Catalog
) -> None:
    features = embed_cycle(
        encoder, catalog, query_split="test", gallery_split="train", read=READ, max_rejected_fraction=0
    )
    frames, owners = [], []
    for clip, frames_RD in enumerate(features.query_frames_NRD):
        for frame in frames_RD:
            frames.append(frame)
            owners.append(clip)
    clips, numbers, ks = features.query_clips_ND, np.arange(9), (1, 2, 5, 100)
    assert result.frame_to_video == find_own(np.stack(frames), np.array(owners), clips, numbers, ks)
    assert result.video_to_frame == find_own(clips, numbers, np.stack(frames), np.array(owners), ks)


def test_every_clip_and_frame_takes_part(result: CycleResult) -> None:
    """Three test videos of three clips of four frames; nine for training."""
    assert (result.frame_to_video.queries, result.frame_to_video.gallery) == (36, 9)
    assert (result.video_to_frame.queries, result.video_to_frame.gallery) == (9, 36)
    for task in (result.frame_to_frame, result.video_to_video):
        assert task is not None
        assert (task.queries, task.gallery) == (9, 27)
        assert task.impossible_ks == [100]
    assert (result.videos, result.frames_per_clip, result.rejected) == (12, 4, [])
    assert result.frame_to_video.impossible_ks == [100]


def test_tasks_by_class_are_retrieval_on_clips_or_on_videos(encoder: Encoder, catalog: Catalog) -> None:
    features = embed_cycle(
        encoder, catalog, query_split="test", gallery_split="train", read=READ, max_rejected_fraction=0
    )
    averaged = evaluate_cycle(encoder, catalog, read=READ, is_averaged=True)
    assert averaged.video_to_video is not None
    assert (averaged.video_to_video.queries, averaged.video_to_video.gallery) == (3, 9)
    clips = features.clips.average_per_video()
    is_query = clips.column("split") == "test"
    hits = 0
    for q in np.flatnonzero(is_query):
        best = max(np.flatnonzero(~is_query), key=lambda g: cosine(clips.vectors[q], clips.vectors[g]))
        hits += clips.column("label")[q] == clips.column("label")[best]
    assert averaged.video_to_video.recall[1] == pytest.approx(hits / 3)


def test_one_moment_per_clip_makes_frames_and_clips_the_same(catalog: Catalog) -> None:
    result = evaluate_cycle(build_encoder(), catalog, read=READ)
    assert result.frames_per_clip == 1
    assert result.frame_to_video.recall[1] == 1.0


def test_without_the_target_only_the_tasks_by_class_are_left_out(encoder: Encoder, catalog: Catalog) -> None:
    table = catalog.table
    place = table.schema.get_field_index("label")
    without = Catalog(table.set_column(place, table.schema.field(place), [[""] * len(catalog)]), catalog.root)
    result = evaluate_cycle(encoder, without, read=READ, config=RankingConfig())
    assert result.frame_to_frame is None
    assert result.video_to_video is None
    assert result.frame_to_video.queries == 36


def test_progress_is_told_for_every_video(encoder: Encoder, catalog: Catalog) -> None:
    told: list[tuple[int, int, str]] = []
    evaluate_cycle(encoder, catalog, read=READ, progress=lambda *state: told.append(state))
    assert [done for done, _, _ in told] == list(range(1, 13))


def test_the_result_is_json_with_settings_and_the_encoders_hash(
    result: CycleResult, encoder: Encoder
) -> None:
    values = json.loads(json.dumps(result.to_json()))
    assert values["protocol"] == "cycle"
    assert values["settings"]["encoder_hash"] == encoder.hash
    assert values["settings"]["query_split"] == "test"
    assert values["settings"]["clips_per_video"] == 3
    assert set(values["tasks"]) == {"frame_to_video", "video_to_frame", "frame_to_frame", "video_to_video"}
    assert set(values["tasks"]["frame_to_video"]["recall"]) == {"1", "2", "5"}
    assert values["videos"] == 12


@pytest.mark.parametrize("which", ["cycle_ks", "class_ks"])
def test_ks_must_be_positive(encoder: Encoder, catalog: Catalog, which: str) -> None:
    with pytest.raises(ValueError, match="ks must be one or more positive numbers"):
        evaluate_cycle(encoder, catalog, read=READ, **{which: (0,)})
