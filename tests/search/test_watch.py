import threading
from pathlib import Path

import numpy as np
import pytest

from tests.data.scan_samples import run_jobs_here, write_clip
from tests.features.tiny import build_encoder
from unreel.data import scan
from unreel.errors import CatalogError, SearchError
from unreel.features.encoder import Encoder
from unreel.features.reading import ReadConfig
from unreel.search.folder_watcher import WatchStatus
from unreel.search.index_store import IndexStore
from unreel.search.video_index import VideoIndex
from unreel.search.watch import WatchConfig, WatchSummary, watch_folder

READ = ReadConfig(clips_per_video=2, batch_size=2, num_workers=0)
QUICK = WatchConfig(interval_sec=0.01, settle_sec=0.02)
ONCE = WatchConfig(interval_sec=0.01, settle_sec=0.02, is_once=True)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return build_encoder()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three videos, which are read in the test's own process."""
    monkeypatch.setattr(scan, "run_jobs", run_jobs_here)
    for number in range(3):
        write_clip(tmp_path / "videos" / f"{number}.mp4", 3 + number)
    return tmp_path / "videos"


class Script:
    """Does something when so many videos are in the index, then ends the watch."""

    def __init__(self, steps: list[tuple[int, object]]) -> None:
        self.stop = threading.Event()
        self.statuses: list[WatchStatus] = []
        self._steps = steps

    def __call__(self, status: WatchStatus) -> None:
        self.statuses.append(status)
        if self._steps and status.videos == self._steps[0][0] and not status.undecided:
            action = self._steps.pop(0)[1]
            action()  # type: ignore[operator]
        if not self._steps or len(self.statuses) > 500:
            self.stop.set()


def test_a_folder_is_followed_until_the_stop(folder: Path, encoder: Encoder, tmp_path: Path) -> None:
    out = tmp_path / "videos.index"
    script = Script(
        [
            (3, lambda: write_clip(folder / "day" / "3.mp4", 5)),
            (4, (folder / "1.mp4").unlink),
            (3, lambda: None),
        ]
    )
    told: list[tuple[int, int, str]] = []
    summary = watch_folder(
        folder,
        out,
        encoder,
        encoder_folder="encoders/first",
        read=READ,
        config=QUICK,
        stop=script.stop,
        report=script,
        progress=lambda *state: told.append(state),
    )
    assert summary == WatchSummary(
        out=out,
        folder=folder,
        videos=3,
        waiting=0,
        rejected=0,
        rejected_path=tmp_path / "videos.index.rejected.csv",
        added=4,
        replaced=0,
        dropped=1,
        looks=len(script.statuses),
        seconds=summary.seconds,
    )
    messages = [message for status in script.statuses for message in status.messages]
    assert messages == ["added 3: 0.mp4, 1.mp4, 2.mp4", "added 1: day/3.mp4", "dropped 1: 1.mp4"]
    assert (3, 3, "") in told
    store = IndexStore.open(out)
    assert store.info.encoder_folder == "encoders/first"
    assert store.info.encoder_hash == encoder.hash
    with store.read() as reader:
        paths = [video.path for video in reader.find_videos()]
        (vector,) = reader.vectors("video", reader.keys_of("video", reader.find_videos()[0].id))
    assert paths == ["0.mp4", "2.mp4", "day/3.mp4"]
    assert [hit.path for hit in VideoIndex.open(out).search(vector, top_k=1)] == ["0.mp4"]
    assert not (tmp_path / "videos.index.lock").exists()


def test_once_waits_for_what_is_there_and_ends(folder: Path, encoder: Encoder, tmp_path: Path) -> None:
    out = tmp_path / "videos.index"
    first = watch_folder(folder, out, encoder, read=READ, config=ONCE)
    assert (first.videos, first.added, first.looks, first.waiting) == (3, 3, 2, 0)
    again = watch_folder(folder, out, encoder, read=READ, config=ONCE)
    assert (again.videos, again.added, again.looks) == (3, 0, 1)


def test_once_says_what_is_not_whole_yet(folder: Path, encoder: Encoder, tmp_path: Path) -> None:
    def grow(status: WatchStatus) -> None:
        with (folder / "2.mp4").open("ab") as file:
            file.write(b"more")

    summary = watch_folder(folder, tmp_path / "i", encoder, read=READ, config=ONCE, report=grow)
    assert (summary.videos, summary.waiting, summary.looks) == (2, 1, 2)


def test_a_stop_while_videos_are_embedded_keeps_those_that_are(
    folder: Path, encoder: Encoder, tmp_path: Path
) -> None:
    out, stop = tmp_path / "videos.index", threading.Event()

    def stop_after_two(done: int, total: int, note: str) -> None:
        if out.exists() and done == 2:
            stop.set()

    summary = watch_folder(folder, out, encoder, read=READ, config=ONCE, stop=stop, progress=stop_after_two)
    assert (summary.videos, summary.added) == (2, 2)
    summary = watch_folder(folder, out, encoder, read=READ, config=ONCE)
    assert (summary.videos, summary.added) == (3, 1)


def test_a_stop_while_files_are_read_keeps_what_was_read(
    folder: Path, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, stop = tmp_path / "videos.index", threading.Event()
    summary = watch_folder(
        folder, out, encoder, read=READ, config=ONCE, stop=stop, progress=lambda *_: stop.set()
    )
    assert (summary.videos, summary.looks) == (0, 1)
    assert watch_folder(folder, out, encoder, read=READ, config=ONCE).videos == 3


def test_the_vectors_are_those_of_an_index_made_at_once(
    folder: Path, encoder: Encoder, tmp_path: Path
) -> None:
    """To the bit, though here every video was embedded in a round of its own."""
    kept = {path: path.rename(tmp_path / path.name) for path in sorted(folder.iterdir())}
    for path, place in kept.items():
        place.rename(path)
        watch_folder(folder, tmp_path / "one.index", encoder, read=READ, config=ONCE)
    watch_folder(folder, tmp_path / "all.index", encoder, read=READ, config=ONCE)
    vectors = []
    for name in ("one.index", "all.index"):
        with IndexStore.open(tmp_path / name).read() as reader:
            keys = np.concatenate([reader.keys_of("clip", video.id) for video in reader.find_videos()])
            vectors.append(reader.vectors("clip", keys))
    np.testing.assert_array_equal(vectors[0], vectors[1])


def test_another_encoder_is_refused(folder: Path, encoder: Encoder, tmp_path: Path) -> None:
    out = tmp_path / "videos.index"
    watch_folder(folder, out, encoder, read=READ, config=ONCE)
    with pytest.raises(SearchError, match=r"holds vectors of encoder .* use the encoder of the index"):
        watch_folder(folder, out, build_encoder(seed=1), read=READ, config=ONCE)
    assert not (tmp_path / "videos.index.lock").exists()


def test_a_folder_that_was_never_there_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"nowhere: there is no such folder; make it, or watch another"):
        watch_folder(tmp_path / "nowhere", tmp_path / "i", encoder)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"interval_sec": 0.0}, "interval_sec must be positive, got 0.0"),
        ({"interval_sec": float("inf")}, "interval_sec must be positive, got inf"),
        ({"settle_sec": -1.0}, "settle_sec must be 0 or more, got -1.0"),
        ({"settle_sec": float("nan")}, "settle_sec must be 0 or more, got nan"),
    ],
)
def test_times_that_make_no_sense_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WatchConfig(**settings)  # type: ignore[arg-type]
