import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.motion_tables import make_table
from unreel.data.catalog import Catalog, Video
from unreel.data.decode import ClipDecoder, FrameSize
from unreel.data.motion_windows import count_effective_windows, window_probabilities
from unreel.data.targeted_clips import TargetedClips
from unreel.errors import CatalogError
from unreel.report.motion_view import MotionView, choose_video, view_motion

CLIPS = TargetedClips(num_frames=3, frame_stride=2)


def moving(corpus: Path, motion: list[float] | None) -> Video:
    """The first video of the corpus: 20 frames, 25 per second; in windows of 0.2 s."""
    values = None if motion is None else np.array(motion, dtype=np.float32)
    return dataclasses.replace(Catalog.load(corpus).video(0), motion=values, motion_window_sec=0.2)


def view(corpus: Path, motion: list[float], **changes: Any) -> MotionView:
    settings = {"clips": CLIPS, "settings": {"x": 1}} | changes
    return view_motion(moving(corpus, motion), "00.mp4", **settings)


def test_windows_probabilities_and_pictures_are_those_of_the_video(corpus: Path) -> None:
    seen = view(corpus, [1.0, 9.0, 4.0, 2.0])
    np.testing.assert_allclose(seen.edges_sec, [0, 0.2, 0.4, 0.6, 0.8])
    assert seen.motion_C.tolist() == [1, 9, 4, 2]
    assert np.array_equal(seen.prob_C, window_probabilities(seen.motion_C, 5.0))
    assert seen.effective_windows == count_effective_windows(seen.prob_C)
    np.testing.assert_allclose(seen.picture_sec_P, [0.08, 0.28, 0.48, 0.68])
    video = moving(corpus, None)
    whole = ClipDecoder(FrameSize(120)).decode_all(video.path)
    assert np.array_equal(seen.pictures_PHWC, whole[[2, 7, 12, 17]])


def test_clips_are_those_that_training_would_draw(corpus: Path) -> None:
    centred = dataclasses.replace(CLIPS, jitter=False)
    seen = view(corpus, [0.0, 900.0, 0.0, 0.0], num_clips=2, clips=centred)
    # The middle of window 1 is frame 7: frames 5, 7 and 9.
    assert [clip.frames for clip in seen.clips] == [(5, 7, 9)] * 2
    assert [clip.window for clip in seen.clips] == [1, 1]
    assert [(clip.start_sec, clip.end_sec) for clip in seen.clips] == [pytest.approx((0.2, 0.36))] * 2
    moved = view(corpus, [0.0, 900.0, 0.0, 0.0], num_clips=12)
    middles = {clip.frames[1] for clip in moved.clips}
    assert middles <= set(range(5, 10))  # anywhere in window 1
    assert len(middles) > 1


def test_windows_follow_the_seed_and_belong_to_their_clips(corpus: Path) -> None:
    even = {"clips": TargetedClips(3, 2, beta=math.inf), "num_clips": 30}
    views = [view(corpus, [1.0] * 4, seed=seed, **even) for seed in (1, 1, 2)]
    assert views[0].clips == views[1].clips != views[2].clips
    assert {clip.window for clip in views[0].clips} == {0, 1, 2, 3}
    for clip in views[0].clips:
        # The middle frame of a clip is that of its window.
        assert clip.frames[1] // 5 == clip.window


def test_of_many_windows_some_are_shown(corpus: Path) -> None:
    seen = view(corpus, [1.0] * 4, num_pictures=2)
    np.testing.assert_allclose(seen.picture_sec_P, [0.08, 0.68])
    assert len(view(corpus, [1.0] * 4, num_pictures=1).pictures_PHWC) == 1


def test_the_numbers_are_plain(corpus: Path) -> None:
    seen = view(corpus, [1.1, 9.0, 4.0, 2.0], num_clips=1)
    values = json.loads(json.dumps(seen.to_json()))
    assert values["motion"] == [1.1, 9.0, 4.0, 2.0]
    assert values["probabilities"] == seen.prob_C.tolist()
    assert values["edges_sec"] == seen.edges_sec.tolist()
    assert values["effective_windows"] == seen.effective_windows
    assert values["clips"][0]["frames"] == list(seen.clips[0].frames)
    assert (values["video"], values["id"], values["beta"]) == ("00.mp4", seen.video_id, 5.0)
    assert values["settings"] == {"x": 1}


def test_what_cannot_be_shown_is_refused(corpus: Path) -> None:
    with pytest.raises(CatalogError, match=r"00.mp4: the motion of this video could not be measured"):
        view_motion(moving(corpus, None), "00.mp4", CLIPS, settings={})
    with pytest.raises(ValueError, match="num_pictures must be at least 1, got 0"):
        view(corpus, [1.0] * 4, num_pictures=0)
    with pytest.raises(ValueError, match="num_clips must be at least 0, got -1"):
        view(corpus, [1.0] * 4, num_clips=-1)


def test_a_video_is_named_by_id_or_path_or_is_the_most_uneven(corpus: Path) -> None:
    catalog = Catalog.load(corpus)
    motion = {"00.mp4": [1.0, 1.0], "03.mp4": [0.0, 30.0], "04.mp4": [0.0, 3.0], "05.mp4": None}
    table = make_table(catalog, motion)
    assert choose_video(catalog, table, "", 5.0) == 3
    assert choose_video(catalog, table, "02.mp4", 5.0) == 2
    assert choose_video(catalog, table, catalog.ids[7], 5.0) == 7
    with pytest.raises(CatalogError, match=r"the catalog has no video 'x.mp4'; give its id, or its path"):
        choose_video(catalog, table, "x.mp4", 5.0)
    with pytest.raises(CatalogError, match="the motion of none of the videos is known"):
        choose_video(catalog, make_table(catalog, {"00.mp4": None}), "", 5.0)
