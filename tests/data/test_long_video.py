"""Frames from all over a video, read from real files: of 100,000 frames, of two, and of one.

Every picture says which frame it is: a square of 4 x 4 pixels is bright where the frame's number has a bit.
"""

import dataclasses
import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from av.packet import Packet
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from unreel.augment.compose import ClipAugmentation
from unreel.data.batch import VideoBatch
from unreel.data.catalog import Catalog
from unreel.data.clip_reader import ClipReader, ReadVideo, collate_videos
from unreel.data.clips import ClipSampling
from unreel.data.decode import ClipDecoder, FrameSize
from unreel.data.frame_index import FrameIndex
from unreel.data.packets import VideoFile
from unreel.data.pictures import RgbConverter
from unreel.data.scan import scan_videos
from unreel.data.segments import OppositeHalves, SegmentFrames, SegmentPairs
from unreel.methods.vclr import VCLR
from unreel.models.resnet2d import ResNetConfig

# N frames of a tuple, H W pixels, C channels

HEIGHT, WIDTH, GROUP, NUM_B_FRAMES = 24, 32, 250, 2
NUM_FRAMES, NUM_DIFFERENT = 100_000, 10_000
BITS = np.arange(14)
PEAK_SWITCH = Path("/proc/self/clear_refs")
RULES: list[ClipSampling] = [SegmentPairs(3), SegmentFrames(8), OppositeHalves(2)]


def draw_number(number: int) -> VideoFrame:
    bits = np.zeros(HEIGHT * WIDTH // 16, np.uint8)
    bits[BITS] = number >> BITS & 1
    luma = (32 + 190 * bits).reshape(HEIGHT // 4, WIDTH // 4).repeat(4, 0).repeat(4, 1)
    chroma = np.full((HEIGHT // 2, WIDTH), 128, np.uint8)
    return VideoFrame.from_ndarray(np.concatenate([luma, chroma]), "yuv420p")


def read_number(picture_HWC: NDArray[np.uint8]) -> int:
    bits = picture_HWC[1::4, 1::4, 1].flatten()[BITS] > 127
    return int((bits.astype(np.int64) << BITS).sum())


def write_numbers(path: Path, num_frames: int, num_different: int) -> None:
    """Encode some frames, a key frame first, and repeat their packets: a long file in a second."""
    options = {"preset": "ultrafast", "g": str(GROUP), "bf": str(NUM_B_FRAMES), "threads": "1"}
    options["x264-params"] = "b-pyramid=none"  # no other frame needs a B-frame
    step = Fraction(1, 25)
    packets = []
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for number in range(num_different):
            frame = draw_number(number)
            frame.pts, frame.time_base = number, step
            packets += stream.encode(frame)
        packets += stream.encode(None)
        ticks = [(packet.pts, packet.dts) for packet in packets]
        for first in range(0, num_frames, num_different):
            for packet, (pts, dts) in zip(packets, ticks, strict=True):
                again = Packet(bytes(packet))
                again.time_base, again.stream, again.is_keyframe = step, stream, packet.is_keyframe
                assert pts is not None
                assert dts is not None
                again.pts, again.dts = pts + first, dts + first
                file.mux(again)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Return the catalog of a video of 100,000 frames, one of two frames and one of a single frame."""
    folder = tmp_path_factory.mktemp("long")
    write_numbers(folder / "0_long.mp4", NUM_FRAMES, NUM_DIFFERENT)
    write_numbers(folder / "1_two.mp4", 2, 2)
    write_numbers(folder / "2_one.mp4", 1, 1)
    scan_videos([folder], folder / "catalog.parquet", check="packets", num_workers=1)
    found = Catalog.load(folder / "catalog.parquet")
    assert [found.video(row).frames for row in range(3)] == [NUM_FRAMES, 2, 1]
    return found


def build_reader(catalog: Catalog, rule: ClipSampling) -> ClipReader:
    return ClipReader(catalog, rule, ClipDecoder(FrameSize(HEIGHT, WIDTH)), seed=0)


def read(reader: ClipReader, row: int, epoch: int = 0) -> ReadVideo:
    video = reader.read(row, epoch)
    assert isinstance(video, ReadVideo)
    return video


def numbers_of(video: ReadVideo) -> list[list[int]]:
    return [[read_number(picture) for picture in clip] for clip in video.frames_NTHWC]


def watch_decoder(monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], list[int]]:
    """Return timestamps of frames that leave the decoder, and of those that become pictures."""
    decoded: list[int] = []
    converted: list[int] = []
    decode, convert = VideoFile.decode, RgbConverter.convert

    def spy_decode(self: VideoFile, packet: Any, *, skip: bool = False) -> list[VideoFrame]:
        frames = decode(self, packet, skip=skip)
        decoded.extend(frame.pts or 0 for frame in frames)
        return frames

    def spy_convert(self: RgbConverter, frame: VideoFrame, height: int, width: int) -> NDArray[np.uint8]:
        converted.append(frame.pts or 0)
        return convert(self, frame, height, width)

    monkeypatch.setattr(VideoFile, "decode", spy_decode)
    monkeypatch.setattr(RgbConverter, "convert", spy_convert)
    return decoded, converted


def frames_shown_at(index: FrameIndex, pts: list[int]) -> NDArray[np.int64]:
    return np.searchsorted(index.pts, pts)


def peak_growth_mb(run: Callable[[], object]) -> float:
    """Return how far memory rises above what it was, while something runs.

    It is the memory of the process; where the kernel keeps no peak that can start anew, that of NumPy.
    """
    if not PEAK_SWITCH.exists():
        tracemalloc.start()
        run()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak / 2**20

    def status_kb(name: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))

    PEAK_SWITCH.write_text("5")  # the peak starts anew
    before = status_kb("VmRSS")
    run()
    return (status_kb("VmHWM") - before) / 1024


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_pictures_are_those_of_the_planned_frames(catalog: Catalog, rule: ClipSampling) -> None:
    reader = build_reader(catalog, rule)
    for row, epoch in ((0, 0), (0, 1), (0, 2), (1, 0), (2, 0)):
        video = read(reader, row, epoch)
        assert numbers_of(video) == (video.frame_index_NT % NUM_DIFFERENT).tolist()


def test_only_the_groups_of_wanted_frames_are_decoded_and_no_frame_twice(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most from the key frame to the wanted frame, and the P-frame that B-frames before it look at."""
    reader, index = build_reader(catalog, SegmentPairs(3)), catalog.video(0).index
    assert np.array_equal(index.key_frames, np.arange(0, NUM_FRAMES, GROUP))
    decoded, converted = watch_decoder(monkeypatch)
    for epoch in range(8):
        decoded.clear()
        converted.clear()
        plan = np.unique(read(reader, 0, epoch).frame_index_NT)
        seen = frames_shown_at(index, decoded)
        last_of_group = {int(frame // GROUP): int(frame % GROUP) for frame in plan}
        assert set(seen // GROUP) == last_of_group.keys()
        assert len(seen) == len(set(seen))
        assert len(seen) <= sum(last + 1 + NUM_B_FRAMES for last in last_of_group.values())
        # Two of three frames are B-frames, which nobody needs but who wants them.
        assert len(seen) <= sum(last / (1 + NUM_B_FRAMES) + 3 for last in last_of_group.values()) + len(plan)
        assert frames_shown_at(index, converted).tolist() == plan.tolist()


def test_memory_stays_bounded_however_long_the_video_is(catalog: Catalog) -> None:
    """All pictures of the video would be 220 MiB; the container's own table of frames takes four."""
    reader = build_reader(catalog, SegmentPairs(3))
    read(reader, 1)
    assert peak_growth_mb(lambda: [read(reader, 0, epoch) for epoch in range(10)]) < 16


def test_a_peak_of_memory_would_be_seen() -> None:
    assert peak_growth_mb(lambda: np.ones(32 << 20, np.uint8).sum()) > 24


def build_vclr() -> VCLR:
    config = VCLR.Config(
        clips=SegmentPairs(3),
        augmentation=ClipAugmentation(size_px=16),
        backbone=ResNetConfig(depth=18, width=0.125),
        initial_weights=Path("random"),
        embedding_dim=8,
        hidden_dim=8,
        queue_length=16,
    )
    return config.build().train()


def read_batch(catalog: Catalog) -> VideoBatch:
    reader = build_reader(catalog, SegmentPairs(3))
    return collate_videos([read(reader, row) for row in range(3)])


def test_short_videos_repeat_frames_and_are_learned_from_like_others(catalog: Catalog) -> None:
    """Two frames, and one, in three segments: both tuples have the same frames (decision V18)."""
    torch.manual_seed(0)
    batch, method = read_batch(catalog), build_vclr()
    assert batch.frame_index_BNT[1:].tolist() == [[[0, 1, 1], [0, 1, 1]], [[0, 0, 0], [0, 0, 0]]]
    views = method.make_views(batch)
    assert views.positive_BNCHW is not None
    assert views.twin_BCHW is not None
    assert views.anchor_BNCHW.shape == views.positive_BNCHW.shape == (3, 3, 3, 16, 16)
    # The same picture again and again, never in the same augmentation.
    one_frame = [*views.anchor_BNCHW[2], *views.positive_BNCHW[2], views.twin_BCHW[2]]
    assert len({view.numpy().tobytes() for view in one_frame}) == 7
    output = method(views)
    output.loss.backward()
    assert torch.isfinite(output.loss)
    assert all(torch.isfinite(value) for value in output.terms.values())
    method.after_step(0.5)


def test_without_other_videos_of_more_frames_short_ones_are_learned_from_too(catalog: Catalog) -> None:
    torch.manual_seed(0)
    reader, method = build_reader(catalog, SegmentPairs(3)), build_vclr()
    for row in (1, 2):
        output = method(method.make_views(collate_videos([read(reader, row)] * 2)))
        assert torch.isfinite(output.loss)


def test_every_frame_is_augmented_once_and_the_query_once_more(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2 N + 1 pictures of a video: both tuples, and the query's frame again."""
    from unreel.augment import compose

    num_augmented = []
    render = compose.render_clips

    def count(frames_BTHWC: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        num_augmented.append(frames_BTHWC.shape[0] * frames_BTHWC.shape[1])
        return render(frames_BTHWC, *args, **options)

    monkeypatch.setattr(compose, "render_clips", count)
    batch = read_batch(catalog)
    build_vclr().make_views(batch)
    assert sum(num_augmented) == len(batch) * (2 * 3 + 1)


def test_the_query_is_the_very_picture_of_its_tuple_and_the_network_sees_it_once(catalog: Catalog) -> None:
    """The online network sees N frames of a video, the other one the other tuple, the twin and N - 1."""
    method, batch = build_vclr(), read_batch(catalog)
    views = method.make_views(batch)
    inputs: dict[str, list[torch.Tensor]] = {"online": [], "key": []}
    networks = {"online": method.online, "key": method.key_encoder.network}
    for name, network in networks.items():
        network.backbone.register_forward_pre_hook(
            lambda _, arguments, name=name: inputs[name].append(arguments[0].detach().clone())
        )
    method(views)
    (online_FCTHW,), (key_FCTHW,) = inputs["online"], inputs["key"]
    assert torch.equal(online_FCTHW.flatten(1), views.anchor_BNCHW.flatten(0, 1).flatten(1))
    assert len(key_FCTHW) == len(batch) * (3 + 1 + 2)
    # What differs from the query's picture in the tuple is the twin, which the other network sees.
    query_BCHW = views.anchor_BNCHW[torch.arange(len(batch)), views.query_place_B]
    assert views.twin_BCHW is not None
    assert not any(torch.equal(*pair) for pair in zip(query_BCHW, views.twin_BCHW, strict=True))
    pictures = {picture.numpy().tobytes() for picture in key_FCTHW}
    assert all(picture.numpy().tobytes() in pictures for picture in views.twin_BCHW)
    assert not any(picture.numpy().tobytes() in pictures for picture in query_BCHW)


def test_another_place_of_the_query_takes_another_picture_of_the_same_tuple(catalog: Catalog) -> None:
    """Nothing but the place says which picture the query is."""
    method = build_vclr().eval()
    views = method.make_views(read_batch(catalog))
    moved = dataclasses.replace(views, query_place_B=2 - views.query_place_B)
    first, second = (method(each).terms["inter"].item() for each in (views, moved))
    assert first != second
