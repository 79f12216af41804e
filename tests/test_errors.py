"""Errors carry what a table of rejected files needs, across processes too."""

import pickle

import pytest

from unreel.errors import (
    CatalogError,
    FeaturesError,
    TrainingError,
    UnreelError,
    VideoError,
    WeightsError,
)


@pytest.mark.parametrize("kind", [VideoError, CatalogError, WeightsError, FeaturesError, TrainingError])
def test_every_error_for_users_is_one_family(kind: type[Exception]) -> None:
    assert issubclass(kind, UnreelError)
    assert not issubclass(kind, ValueError)


def test_a_video_error_names_file_and_reason() -> None:
    error = VideoError("a/b.mp4", "no video stream")
    assert str(error) == "a/b.mp4: no video stream"
    assert (error.path, error.reason, error.frame_index) == ("a/b.mp4", "no video stream", None)


def test_a_video_error_names_the_frame_when_one_was_reached() -> None:
    assert str(VideoError("b.avi", "invalid data", frame_index=0)) == "b.avi at frame 0: invalid data"


@pytest.mark.parametrize("frame_index", [None, 17])
def test_a_video_error_survives_the_way_from_a_worker_process(frame_index: int | None) -> None:
    error = VideoError("c.mkv", "cut short", frame_index=frame_index)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is VideoError
    assert str(copy) == str(error)
    assert (copy.path, copy.reason, copy.frame_index) == (error.path, error.reason, error.frame_index)
