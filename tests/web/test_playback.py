import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from tests.web.served import wait_for
from tests.web.videos import write_pattern
from unreel.search.index_rows import IndexedVideo
from unreel.web import playback
from unreel.web.killable import KillableWorker, WorkFailure
from unreel.web.playback import Playback, PlaybackService
from unreel.web.problems import Problem
from unreel.web.settings import ConversionLimits


def build_video(path: Path, video_id: str = "") -> IndexedVideo:
    status = path.stat() if path.exists() else None
    return IndexedVideo(
        key=1,
        id=video_id or path.stem,
        path=path.name,
        file=path,
        seconds=1.0,
        label="",
        split="",
        group="",
        num_bytes=status.st_size if status else None,
        mtime_ns=status.st_mtime_ns if status else None,
        num_clips=1,
    )


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, IndexedVideo]:
    folder = tmp_path_factory.mktemp("videos")
    (folder / "text.avi").write_text("no video")
    paths = [
        write_pattern(folder / "fine.mp4", num_frames=5),
        write_pattern(folder / "old.avi", codec="mpeg4", num_frames=5),
        write_pattern(folder / "older.avi", codec="mpeg4", num_frames=6),
        folder / "text.avi",
    ]
    return {path.stem: build_video(path) for path in paths}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[PlaybackService]:
    service = PlaybackService(tmp_path / "converted", ConversionLimits(max_waiting=1))
    yield service
    service.close()


def prepare_until_done(service: PlaybackService, video: IndexedVideo) -> Playback:
    wait_for(lambda: service.prepare(video).state != "preparing")
    return service.prepare(video)


def test_what_browsers_play_needs_no_preparation(
    service: PlaybackService, videos: Mapping[str, IndexedVideo]
) -> None:
    assert service.are_playable([videos["fine"], videos["old"], videos["text"]]) == [True, False, False]
    assert service.prepare(videos["fine"]) == Playback("ready")
    assert service.find_converted(videos["fine"]) is None


def test_what_they_do_not_play_is_converted_once(
    service: PlaybackService, videos: Mapping[str, IndexedVideo], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert service.prepare(videos["old"]) == Playback("preparing")
    assert prepare_until_done(service, videos["old"]) == Playback("ready", is_converted=True)
    path = service.find_converted(videos["old"])
    assert path is not None
    assert path.read_bytes()[4:8] == b"ftyp"
    monkeypatch.setattr(service, "_convert", lambda video, worker: pytest.fail("converted again"))
    assert service.prepare(videos["old"]) == Playback("ready", is_converted=True)


def test_what_cannot_be_converted_fails_with_its_reason_and_is_not_tried_again(
    service: PlaybackService, videos: Mapping[str, IndexedVideo], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = prepare_until_done(service, videos["text"])
    assert found.state == "failed"
    assert "not a media file" in found.reason
    monkeypatch.setattr(service, "_convert", lambda video, worker: pytest.fail("converted again"))
    assert service.prepare(videos["text"]).state == "failed"
    assert list(service._cache._folder.iterdir()) == []


def test_a_conversion_too_many_is_refused(
    service: PlaybackService, videos: Mapping[str, IndexedVideo], monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    monkeypatch.setattr(service, "_convert", lambda video, worker: release.wait(20))
    try:
        assert service.prepare(videos["old"]).state == "preparing"
        assert service.prepare(videos["older"]).state == "preparing"
        assert service.prepare(videos["old"]).state == "preparing"  # it has its place already
        with pytest.raises(Problem, match="too many conversions") as caught:
            service.prepare(videos["text"])
        assert (caught.value.status, caught.value.retry_after_sec) == (429, 15)
    finally:
        release.set()


def test_a_conversion_that_takes_too_long_is_killed(
    tmp_path: Path, videos: Mapping[str, IndexedVideo], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = PlaybackService(tmp_path, ConversionLimits(time_limit_sec=0.2))
    ask = KillableWorker.ask
    sleeper = KillableWorker("tests.web.jobs:work")

    def ask_slowly(self: KillableWorker, job: Any, limit: float) -> Any:
        if "height_px" in job:
            assert limit == pytest.approx(5.2)
            return ask(sleeper, {"kind": "sleep", "seconds": 60}, 0.3)
        return ask(self, job, limit)

    monkeypatch.setattr(KillableWorker, "ask", ask_slowly)
    try:
        found = prepare_until_done(service, videos["old"])
    finally:
        service.close()
        sleeper.close()
    assert (found.state, found.reason) == ("failed", "not done within 0.3 s")
    assert list(tmp_path.iterdir()) == []


def test_while_nothing_is_known_names_must_do(
    service: PlaybackService, videos: Mapping[str, IndexedVideo], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise Problem(429, "busy", "too much")

    with monkeypatch.context() as patch:
        patch.setattr(service._probes, "submit", fail)
        renamed = build_video(videos["old"].file.with_suffix(".mp4"), "renamed")
        assert service.are_playable([renamed, videos["old"]]) == [True, False]
    assert service.are_playable([renamed]) == [False]  # a guess is not remembered


def test_what_is_known_is_not_looked_up_again(
    service: PlaybackService, videos: Mapping[str, IndexedVideo], monkeypatch: pytest.MonkeyPatch
) -> None:
    service.are_playable([videos["fine"]])
    monkeypatch.setattr(service, "_probe", lambda unknown: pytest.fail("looked up again"))
    assert service.are_playable([videos["fine"]]) == [True]
    assert service.are_playable([]) == []


def test_memory_of_what_plays_is_bounded(
    service: PlaybackService, videos: Mapping[str, IndexedVideo], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playback, "_MAX_REMEMBERED", 2)
    service.are_playable([videos["fine"], videos["old"], videos["older"]])
    assert len(service._is_playable) == 2


def test_closing_ends_a_conversion(videos: Mapping[str, IndexedVideo], tmp_path: Path) -> None:
    service = PlaybackService(tmp_path, ConversionLimits())
    service.prepare(videos["old"])
    service.close()
    with pytest.raises((Problem, WorkFailure)):
        service._converters.submit({}, time_limit_sec=1.0).result(5)


def test_what_is_known_too_late_for_one_answer_is_known_to_the_next(
    service: PlaybackService, videos: Mapping[str, IndexedVideo], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a slow disk nothing would ever be known, and every page would wait for it anew."""
    renamed = build_video(videos["old"].file.with_suffix(".mp4"), "slow")
    late: Future[Mapping[str, Any]] = Future()
    monkeypatch.setattr(playback, "_PATIENCE_SEC", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(service._probes, "submit", lambda job, *, time_limit_sec: late)
        assert service.are_playable([renamed]) == [True]  # by its name
    late.set_result({"is_playable": [False]})
    monkeypatch.setattr(service, "_probe", lambda unknown: pytest.fail("looked up again"))
    assert service.are_playable([renamed]) == [False]
