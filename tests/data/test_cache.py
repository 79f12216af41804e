import multiprocessing
import os
import socket
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from unreel.data import cache as module
from unreel.data.cache import FrameCache
from unreel.data.catalog import Catalog
from unreel.data.decode import ClipDecoder, FrameSize
from unreel.data.device_frames import DeviceClips, stack_clips
from unreel.distributed import Rank, start_process_group, stop_process_group

SIZE = FrameSize(12, 16)
CPU = torch.device("cpu")
PLAN = np.array([[3, 1], [0, 19]])


def fill(
    catalog: Catalog,
    *,
    limit_mb: int = 100,
    device: torch.device | None = None,
    size: FrameSize = SIZE,
    time_limit_sec: float = 10,
    told: list[str] | None = None,
) -> FrameCache:
    def progress(done: int, total: int, note: str) -> None:
        assert total == len(catalog)
        if told is not None:
            told.append(f"{done} {note}")

    return FrameCache(
        catalog,
        size,
        limit_mb=limit_mb,
        num_threads=2,
        time_limit_sec=time_limit_sec,
        device=device,
        progress=progress,
    )


def read(cache: FrameCache, path: Path, plan: NDArray[np.int64] = PLAN) -> NDArray[np.uint8] | None:
    clips = cache.find(path, plan)
    return stack_clips([clips])[0].numpy() if isinstance(clips, DeviceClips) else clips


@pytest.mark.parametrize("device", [None, CPU])
@pytest.mark.parametrize("size", [SIZE, FrameSize(12), FrameSize()])
def test_frames_in_memory_are_those_of_the_file(
    corpus: Path, device: torch.device | None, size: FrameSize
) -> None:
    catalog, told = Catalog.load(corpus), list[str]()
    cache = fill(catalog, device=device, size=size, told=told)
    assert told == [f"{done} decoding into memory" for done in range(1, 13)]
    for video in catalog:
        expected = ClipDecoder(size).decode(video.path, video.index, PLAN)
        assert np.array_equal(read(cache, video.path), expected)  # type: ignore[arg-type]
        assert isinstance(cache.find(video.path, PLAN), DeviceClips if device else np.ndarray)


def test_what_is_handed_out_can_be_changed_and_memory_stays(corpus: Path) -> None:
    catalog = Catalog.load(corpus)
    cache, path = fill(catalog), catalog.video(0).path
    first = read(cache, path)
    assert first is not None
    before = first.copy()
    first[:] = 0
    assert np.array_equal(read(cache, path), before)  # type: ignore[arg-type]


@pytest.mark.parametrize(("device", "kind"), [(None, "ram"), (CPU, "device")])
def test_the_budget_is_checked_by_the_catalog_alone(
    corpus: Path, device: torch.device | None, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog.load(corpus)
    # 12 videos of 20 frames of 12 x 16 x 3 bytes are 0.13 MiB
    assert fill(catalog, limit_mb=1, device=device).num_bytes == 12 * 20 * 12 * 16 * 3
    monkeypatch.delattr(ClipDecoder, "decode")
    with pytest.raises(
        ValueError, match=rf"'{kind}' needs 0 MiB for 12 videos, data.cache_limit_mb is 0; raise the limit"
    ):
        fill(catalog, limit_mb=0, device=device)


@pytest.mark.parametrize(("device", "kind"), [(None, "ram"), (CPU, "device")])
def test_memory_that_is_not_free_is_not_spent(
    corpus: Path, device: torch.device | None, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """240 frames of 100 x 100 pixels are 6.9 MiB."""
    catalog, size = Catalog.load(corpus), FrameSize(100, 100)
    monkeypatch.setattr(module, "read_free_mb", lambda device: 6)
    monkeypatch.delattr(ClipDecoder, "decode")
    match = (
        rf"'{kind}' needs 7 MiB for 12 videos, but only 6 MiB are free on this machine; end other programs"
    )
    with pytest.raises(ValueError, match=match):
        fill(catalog, device=device, size=size)


def test_where_it_is_not_known_what_is_free_the_limit_alone_counts(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "read_free_mb", lambda device: 0)
    assert read(fill(Catalog.load(corpus)), Catalog.load(corpus).video(0).path) is not None


@pytest.mark.parametrize("device", [None, CPU])
def test_a_video_that_changed_stays_in_its_file_and_that_is_told(
    tmp_path: Path, device: torch.device | None
) -> None:
    from tests.corpus import build_corpus, write_video

    catalog, told = Catalog.load(build_corpus(tmp_path, num_videos=4)), list[str]()
    (tmp_path / "00.mp4").write_bytes(b"noise")
    write_video(tmp_path / "01.mp4", np.zeros((5, 24, 32, 3), dtype=np.uint8), fps=25)
    write_video(tmp_path / "02.mp4", np.zeros((20, 48, 32, 3), dtype=np.uint8), fps=25)
    # with a length of the shorter side alone, 02.mp4 has another shape than its place
    cache = fill(catalog, device=device, size=FrameSize(12), told=told)
    assert told[-1] == "4 decoding into memory, 3 videos stay in their files"
    kept = [read(cache, video.path) is not None for video in catalog]
    assert kept == [False, False, False, True]


def test_a_video_that_takes_too_long_to_decode_whole_stays_in_its_file(corpus: Path) -> None:
    catalog, told = Catalog.load(corpus), list[str]()
    cache = fill(catalog, time_limit_sec=1e-9, told=told)
    assert told[-1] == "12 decoding into memory, 12 videos stay in their files"
    assert cache.find(catalog.video(0).path, PLAN) is None


def test_a_file_that_is_listed_twice_is_kept_once(corpus: Path) -> None:
    catalog = Catalog.load(corpus)
    twice = catalog.take([0, 0, 1])
    cache = FrameCache(twice, SIZE, limit_mb=1, num_threads=1, time_limit_sec=10)
    assert cache.num_bytes == 2 * 20 * 12 * 16 * 3
    assert read(cache, catalog.video(0).path) is not None


def fill_as(rank: int, port: int, catalog: Path, device: str, pipe: Connection) -> None:
    """Fill a cache as one of two processes and tell what it has."""
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    start_process_group(Rank(rank, 2, rank), CPU, timeout_sec=60)
    videos, own = Catalog.load(catalog), list[str]()
    cache = FrameCache(
        videos,
        SIZE,
        limit_mb=1,
        num_threads=2,
        time_limit_sec=10,
        device=torch.device(device) if device else None,
        progress=lambda done, total, note: own.append(f"{done}/{total}"),
    )
    memory = None if cache._block is None else os.fstat(cache._block.address.file).st_ino
    pipe.send((own[-1], memory, [read(cache, video.path) for video in videos]))
    stop_process_group()


@pytest.mark.parametrize("device", ["", "cpu"])
def test_training_processes_of_a_machine_decode_together_and_have_one_copy(corpus: Path, device: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe() for _ in range(2)]
    processes = [
        context.Process(target=fill_as, args=(rank, port, corpus, device, pipes[rank][1])) for rank in (0, 1)
    ]
    for process in processes:
        process.start()
    try:
        answers = [mine.recv() if mine.poll(60) else None for mine, _ in pipes]
    finally:
        for process in processes:
            process.join(10)
            process.kill()
    alone = fill(Catalog.load(corpus))
    expected = [read(alone, video.path) for video in Catalog.load(corpus)]
    for own, memory, frames in answers:
        assert own == "6/6"
        assert np.array_equal(frames, expected)  # type: ignore[arg-type]
        assert memory == answers[0][1]
        assert (memory is None) == bool(device)


@pytest.mark.gpu
def test_frames_on_a_gpu_are_those_of_the_file(corpus: Path) -> None:
    catalog, device = Catalog.load(corpus), torch.device("cuda")
    cache = fill(catalog, device=device)
    plans = [np.array([[row, 1], [0, 19]]) for row in range(len(catalog))]
    clips = [cache.find(video.path, plan) for video, plan in zip(catalog, plans, strict=True)]
    stacked = stack_clips([clip for clip in clips if clip is not None])
    assert stacked.device.type == "cuda"
    for video, plan, clip in zip(catalog, plans, stacked, strict=True):
        assert np.array_equal(clip.cpu(), ClipDecoder(SIZE).decode(video.path, video.index, plan))
