from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.web.test_playback import build_video
from tests.web.videos import write_pattern
from unreel.search.index_rows import IndexedVideo
from unreel.web.pictures import PictureService
from unreel.web.problems import Problem


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> IndexedVideo:
    return build_video(write_pattern(tmp_path_factory.mktemp("video") / "a.mp4", num_frames=25))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PictureService]:
    service = PictureService(tmp_path_factory.mktemp("pictures"))
    yield service
    service.close()


def test_a_picture_is_drawn_once(
    service: PictureService, video: IndexedVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert service.find(video, 0.3) is None
    jpeg = service.draw(video, 0.3).result(20)
    assert jpeg[:3] == b"\xff\xd8\xff"
    path = service.find(video, 0.3)
    assert path is not None
    assert path.read_bytes() == jpeg
    monkeypatch.setattr("unreel.web.killable.KillableWorker.ask", lambda *args: pytest.fail("drawn again"))
    assert service.draw(video, 0.3).result(20) == jpeg


def test_times_that_are_close_share_a_picture_and_none_lies_behind_the_end(
    service: PictureService, video: IndexedVideo
) -> None:
    """A visitor cannot fill the disk with pictures of one video: of a second there are five."""
    for number in range(200):
        service.draw(video, number * 0.037).result(20)
    assert len({service.find(video, number * 0.037) for number in range(200)}) == 5
    assert service.find(video, 1e9) == service.find(video, 1.0)


def test_another_file_has_another_picture(service: PictureService, video: IndexedVideo) -> None:
    service.draw(video, 0.0).result(20)
    assert service.find(replace(video, mtime_ns=1), 0.0) is None


def test_what_cannot_be_drawn_is_refused_and_leaves_nothing(service: PictureService, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    text = build_video(tmp_path / "text.mp4")
    with pytest.raises(Problem, match="no picture can be drawn: not a media file") as caught:
        service.draw(text, 0.0).result(20)
    assert caught.value.status == 404
    assert service.find(text, 0.0) is None
    assert not list(service._cache._folder.glob("*.part"))


def test_a_worker_that_died_is_told(
    service: PictureService, video: IndexedVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unreel.web.killable import KillableWorker, WorkFailure

    def fail(*args: object) -> None:
        raise WorkFailure("the process died")

    monkeypatch.setattr(KillableWorker, "ask", fail)
    with pytest.raises(Problem, match="the process died"):
        service.draw(replace(video, id="another"), 0.0).result(20)
