import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.features.test_reading import break_video
from tests.features.tiny import SPEC
from tests.features.tiny_classifier import build_classifier
from tests.test_distributed import find_free_port
from unreel.augment.views import three_crops
from unreel.data.catalog import Catalog
from unreel.data.clips import UniformClips
from unreel.data.decode import ClipDecoder
from unreel.distributed import read_rank, start_process_group, stop_process_group
from unreel.features.classifier import Classifier
from unreel.features.classify import ClassifiedVideo, classify_videos, fit_batch_size
from unreel.features.input_spec import InputSpec
from unreel.features.reading import ReadConfig

READ = ReadConfig(batch_size=8, num_workers=0)  # of 2 clips each: 4 videos per pass


@pytest.fixture(scope="module")
def catalog(corpus: Path) -> Catalog:
    return Catalog.load(corpus)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return build_classifier(crops="three")


def scores(videos: list[ClassifiedVideo]) -> np.ndarray:
    return np.stack([video.scores_C for video in videos])


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_the_scores_of_a_video_are_the_mean_over_its_clips_and_crops(catalog: Catalog, average: str) -> None:
    classifier = build_classifier(crops="three", average=average)
    found = list(classify_videos(classifier, catalog, range(12), READ))
    assert [video.row for video in found] == list(range(12))
    for video in (found[0], found[7]):
        truth = catalog.video(video.row)
        plan = UniformClips(2, 4, 2).sample(truth.frames, np.random.default_rng()).frames_NT
        clips = torch.from_numpy(ClipDecoder(SPEC.frame_size).decode(truth.path, truth.index, plan))
        answers = []
        for clip in range(2):
            for crop in range(3):
                with torch.no_grad():
                    view = three_crops(clips[clip : clip + 1], SPEC.crop_px)[:, crop]
                    logits = classifier.head(classifier.backbone(view))[0]
                answers.append(logits if average == "logits" else logits.softmax(0))
        np.testing.assert_allclose(video.scores_C, torch.stack(answers).mean(0), rtol=1e-4, atol=1e-5)
        assert video.scores_C.dtype == np.float32


def test_the_number_of_clips_is_that_of_the_views(catalog: Catalog, classifier: Classifier) -> None:
    read = ReadConfig(clips_per_video=7, batch_size=8, num_workers=0)
    expected = scores(list(classify_videos(classifier, catalog, range(12), READ)))
    np.testing.assert_array_equal(
        scores(list(classify_videos(classifier, catalog, range(12), read))), expected
    )


def test_a_broken_video_has_a_reason_and_changes_no_other(
    corpus: Path, catalog: Catalog, classifier: Classifier, tmp_path: Path
) -> None:
    broken = break_video(corpus, tmp_path / "broken", "05.mp4")
    whole = list(classify_videos(classifier, catalog, range(12), READ))
    found = list(classify_videos(classifier, broken, range(12), READ))
    assert [video.row for video in found if video.rejection is not None] == [5]
    assert found[5].scores_C.shape == (0,)
    assert found[5].rejection is not None
    assert found[5].rejection.path.endswith("05.mp4")
    others = [row for row in range(12) if row != 5]
    np.testing.assert_array_equal(
        scores([found[row] for row in others]), scores([whole[row] for row in others])
    )


def test_no_row_gives_no_video(catalog: Catalog, classifier: Classifier) -> None:
    assert list(classify_videos(classifier, catalog, [], READ)) == []


def work(rank: int, port: int, corpus: Path, folder: Path) -> None:
    """Classify in one of two processes; 11 videos are two whole passes and a ragged one."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    start_process_group(read_rank(), torch.device("cpu"), timeout_sec=60)
    classifier = build_classifier(crops="three")
    passes = []
    embed = classifier.embed_clips
    classifier.embed_clips = lambda clips, poolings: passes.append(len(clips)) or embed(clips, poolings)  # type: ignore[method-assign]
    found = list(classify_videos(classifier, Catalog.load(corpus), range(11), READ))
    few = list(classify_videos(classifier, Catalog.load(corpus), range(2), READ))
    np.savez(
        folder / f"{rank}.npz",
        rows=[video.row for video in found],
        scores=scores(found),
        few=scores(few),
        passes=len(passes),
    )
    stop_process_group()


def test_two_processes_share_the_work_and_give_what_one_does(
    corpus: Path, catalog: Catalog, classifier: Classifier, tmp_path: Path
) -> None:
    port = find_free_port()
    fork = multiprocessing.get_context("fork")
    jobs = [fork.Process(target=work, args=(rank, port, corpus, tmp_path)) for rank in range(2)]
    for job in jobs:
        job.start()
    expected = scores(list(classify_videos(classifier, catalog, range(11), READ)))
    for job in jobs:
        job.join(timeout=90)
    assert [job.exitcode for job in jobs] == [0, 0]
    found = [np.load(tmp_path / f"{rank}.npz") for rank in range(2)]
    for result in found:
        assert result["rows"].tolist() == list(range(11))
        np.testing.assert_array_equal(result["scores"], expected)
        np.testing.assert_array_equal(result["few"], expected[:2])
    # Three passes are two and one; the two videos behind them are a pass of the first process.
    assert [int(result["passes"]) for result in found] == [3, 1]


@pytest.mark.parametrize(
    ("frames", "side", "clips"),
    # 32 * 16 * 112 * 112 = 6 422 528 pixels; 25 frames of 256 x 256 are 1 638 400, so three fit.
    [(16, 112, 32), (8, 112, 32), (16, 224, 8), (25, 256, 3), (300, 512, 1)],
)
def test_larger_clips_go_through_the_network_fewer_at_a_time(frames: int, side: int, clips: int) -> None:
    assert fit_batch_size(InputSpec(num_frames=frames, crop_px=side)) == clips
