"""What a few frames from all over a long video cost: a part of what benchmarks/decode.py measures.

The pairs of tuples of VCLR, two frames of each third of a video of ten minutes. Counted are the frames that
leave the decoder, against what cannot be avoided; timed are unreel, the same peers, and decoding from the
start until the last frame is there.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from decode_backends import FLOOR, HEIGHT, OURS, WIDTH, Clip, build_backends
from machine import describe_machine
from numpy.typing import NDArray

from unreel.data.frame_index import FrameIndex
from unreel.data.packets import VideoFile
from unreel.data.probe import probe_video
from unreel.data.segments import SegmentPairs
from unreel.seeding import build_generator

FPS, NUM_FRAMES, NUM_DIFFERENT = 30, 18_000, 1_800
FROM_START = "PyAV from the start"
KINDS: dict[str, dict[str, Any]] = {
    "as libx264 makes it by default: 320x240, a key frame every 250 frames or at a cut": {
        "size": (320, 240),
        "options": {},
    },
    "as a small copy: 170x128, a key frame every 16 frames, tuned for fast decoding": {
        "size": (170, 128),
        "options": {"g": "16", "crf": "20", "tune": "fastdecode"},
    },
}
"""Ways to encode the long video."""

# T frames of a sample


def write_long_video(path: Path, size: tuple[int, int], options: dict[str, str]) -> Path:
    """Encode one minute and repeat its packets ten times; every repetition starts with a key frame."""
    width, height = size
    source = f"life=size=320x240:rate={FPS}:mold=10:ratio=0.1:death_color=#C83232:life_color=#00ff00:seed=1"
    step = Fraction(1, FPS)
    packets = []
    with av.open(source, format="lavfi") as pictures, av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=FPS, options={"threads": "1", **options})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number, picture in enumerate(pictures.decode(video=0)):
            if number == NUM_DIFFERENT:
                break
            frame = picture.reformat(width, height, "yuv420p")
            frame.pts, frame.time_base = number, step
            packets += stream.encode(frame)
        packets += stream.encode(None)
        ticks = [(packet.pts, packet.dts) for packet in packets]
        for first in range(0, NUM_FRAMES, NUM_DIFFERENT):
            for packet, (pts, dts) in zip(packets, ticks, strict=True):
                again = av.Packet(bytes(packet))
                again.time_base, again.stream, again.is_keyframe = step, stream, packet.is_keyframe
                again.pts, again.dts = pts + first, dts + first
                file.mux(again)
    return path


def draw_sample(number: int) -> NDArray[np.int64]:
    """Return six frames in order of time."""
    plan = SegmentPairs(3).sample(NUM_FRAMES, build_generator("benchmark", number))
    return np.unique(plan.frames_NT)


def build_from_start() -> Clip:
    """Read as one would write it first: decode everything, keep what is wanted, stop at the last."""

    def read(path: Path, frames_T: NDArray[np.int64]) -> NDArray[np.uint8]:
        wanted = set(frames_T.tolist())
        pictures = []
        with av.open(str(path)) as file:
            file.streams.video[0].codec_context.thread_count = 1
            for number, frame in enumerate(file.decode(video=0)):
                if number in wanted:
                    pictures.append(frame.to_ndarray(width=WIDTH, height=HEIGHT, format="rgb24"))
                if len(pictures) == len(wanted):
                    break
        return np.stack(pictures)

    return read


class Floor:
    """What a decoder cannot be spared: packets in the order of decoding, and whether others need them."""

    def __init__(self, path: Path, index: FrameIndex) -> None:
        with av.open(str(path)) as file:
            packets = [packet for packet in file.demux(video=0) if packet.size]
        self._index = index
        self._is_needed = np.array([is_reference(bytes(packet)) for packet in packets])
        place_of = {packet.pts: place for place, packet in enumerate(packets)}
        self._place = np.array([place_of[pts] for pts in index.pts.tolist()])

    def count(self, frames_T: NDArray[np.int64]) -> tuple[int, int]:
        """Return frames from each key frame to the last wanted frame of its group, all and with skips.

        All are counted as they are shown. With skips, frames that no other needs are left out unless they are
        wanted, and what comes later but is needed, the next P-frame of a B-frame, is counted.
        """
        keys_T = self._index.find_key_frames(frames_T)
        shown = needed = 0
        for key in np.unique(keys_T):
            run = frames_T[keys_T == key]
            shown += int(run[-1] - key) + 1
            first, places = int(self._place[key]), self._place[run]
            is_decoded = self._is_needed[first : places.max() + 1].copy()
            is_decoded[places - first] = True
            needed += int(is_decoded.sum())
        return shown, needed

    def group_of(self, pts: int) -> int:
        """Return the key frame of the group that a timestamp lies in."""
        frame = np.searchsorted(self._index.pts, pts)
        return int(self._index.find_key_frames(np.array([frame]))[0])

    def groups_of(self, frames_T: NDArray[np.int64]) -> set[int]:
        """Return the key frames of the groups in which frames lie."""
        return set(self._index.find_key_frames(frames_T).tolist())


def is_reference(packet: bytes) -> bool:
    """Tell whether other frames may need this one: nal_ref_idc of the slices, each behind four bytes."""
    start = 0
    while start < len(packet):
        kind, ref_idc = packet[start + 4] & 31, packet[start + 4] >> 5 & 3
        if kind in (1, 5):
            return ref_idc > 0
        start += 4 + int.from_bytes(packet[start : start + 4], "big")
    raise ValueError("a packet without a slice")


@contextmanager
def watch_decoder() -> Iterator[list[int]]:
    """Give a list that is told the timestamp of every frame that leaves the decoder."""
    seen: list[int] = []
    decode = VideoFile.decode

    def watch(self: VideoFile, packet: Any, *, skip: bool = False) -> Any:  # noqa: ANN401
        frames = decode(self, packet, skip=skip)
        seen.extend(frame.pts or 0 for frame in frames)
        return frames

    VideoFile.decode = watch  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        VideoFile.decode = decode  # type: ignore[method-assign]


def count_frames(path: Path, index: FrameIndex, read: Clip, num_samples: int) -> str:
    """Say what our reader decodes and touches, against the floor."""
    floor = Floor(path, index)
    counts = []
    for number in range(num_samples):
        frames_T = draw_sample(number)
        with watch_decoder() as seen:
            read(path, frames_T)
        touched, wanted = {floor.group_of(pts) for pts in seen}, floor.groups_of(frames_T)
        counts.append((len(seen), *floor.count(frames_T), len(touched), len(wanted), len(touched - wanted)))
    decoded, shown, needed, touched_groups, wanted_groups, others = np.mean(counts, axis=0)
    return (
        f"Per sample, mean of {num_samples}: **{decoded:.1f}** frames leave the decoder. From the key frames "
        f"to the wanted frames lie {shown:.1f}; without those that nobody wants and no other needs, the "
        f"floor is {needed:.1f}. {touched_groups:.1f} of {len(index.key_frames)} groups are touched, "
        f"{wanted_groups:.1f} hold a wanted frame; {others:.1f} others are touched."
    )


def time_samples(
    backends: dict[str, Clip], path: Path, num_samples: int, num_from_start: int
) -> dict[str, float]:
    """Let the backends take turns; return CPU milliseconds per sample."""
    seconds: dict[str, list[float]] = {name: [] for name in backends}
    for number in range(num_samples):
        for name, read in backends.items():
            if name == FROM_START and number >= num_from_start:
                continue
            started = time.process_time()
            read(path, draw_sample(number))
            seconds[name].append(time.process_time() - started)
    return {name: 1000 * float(np.mean(each)) for name, each in seconds.items()}


def compare_pictures(backends: dict[str, Clip], path: Path, num_samples: int) -> dict[str, NDArray[Any]]:
    """Return the mean difference of every frame from ours, in levels of 255."""
    differences: dict[str, list[float]] = {name: [] for name in backends if name not in (OURS, FLOOR)}
    for number in range(num_samples):
        frames_T = draw_sample(number)
        ours = backends[OURS](path, frames_T).astype(float)
        for name, each in differences.items():
            pictures = backends[name](path, frames_T)
            each.extend(np.abs(pictures - ours).mean(axis=(1, 2, 3)).tolist())
    return {name: np.array(each) for name, each in differences.items()}


def note_wrong_frames(differences: dict[str, NDArray[Any]]) -> list[str]:
    """Name the backends that give other frames than asked for: these differ far more than its others do."""
    notes = []
    for name, each in differences.items():
        num_wrong = int((each > 3 * np.median(each) + 1).sum())
        if num_wrong:
            notes.append(f"{name}: {num_wrong} of {len(each)} pictures are of other frames than asked for.")
    return notes


def report_kind(path: Path, kind: str, *, quick: bool) -> str:
    """Measure one way of encoding; return its part of the report."""
    write_long_video(path, **KINDS[kind])
    index = probe_video(path, check="packets").index
    backends, missing = build_backends({path: index}, draw_sample(0))
    backends[FROM_START] = build_from_start()
    counted = count_frames(path, index, backends[OURS], 4 if quick else 20)
    num_from_start = 1 if quick else 3
    times = time_samples(backends, path, 3 if quick else 15, num_from_start)
    differences = compare_pictures(backends, path, num_from_start)
    lines = [
        f"### {kind[0].upper()}{kind[1:]}",
        "",
        "| backend | CPU ms per sample | unreel is faster by | mean difference |",
        "|---|---:|---:|---:|",
    ]
    for name, milliseconds in sorted(times.items(), key=lambda item: item[1]):
        difference = f"{differences[name].mean():.1f}" if name in differences else ""
        ratio = milliseconds / times[OURS]
        lines.append(f"| {name} | {milliseconds:.0f} | {ratio:.2f} | {difference} |")
    notes = note_wrong_frames(differences)
    notes += [f"Not measured: {name} ({error})." for name, error in missing.items()]
    return "\n".join([*lines, "", counted, *notes])


def report_segments(folder: Path, *, quick: bool) -> str:
    """Measure both ways of encoding; return the part of the report."""
    title = (
        "## Six frames of ten minutes\n\n"
        f"Task: two frames of each third of a video, as VCLR draws them; {NUM_FRAMES} frames, {FPS} per "
        f"second, one minute of a cellular automaton ten times over. Scaled to {HEIGHT}x{WIDTH} RGB, the "
        "file opened anew for each sample, one thread; seconds are of its work, not of the clock."
    )
    machine = describe_machine("av", "torchcodec", "decord2", "opencv-python-headless", "numpy")
    parts = [
        report_kind(folder / f"long_{number}.mp4", kind, quick=quick) for number, kind in enumerate(KINDS)
    ]
    return "\n\n".join([title, machine, *parts])
