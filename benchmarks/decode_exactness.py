"""Check by hand, on any folder, that plans give the bits of a sequential decode and that memory stays flat.

python benchmarks/decode_exactness.py videos/ more_videos/
python benchmarks/decode_exactness.py videos/ --clips 5000
"""

import argparse
import collections
import resource
import sys
from pathlib import Path

import numpy as np

from unreel.data.decode import ClipDecoder, FrameSize
from unreel.data.frame_index import FrameIndex
from unreel.data.probe import probe_video
from unreel.errors import VideoError


def check_file(path: Path, decoder: ClipDecoder, rng: np.random.Generator, num_plans: int) -> str:
    """Return "exact", "WRONG" or why the file cannot be used, and print what the probe says."""
    try:
        info = probe_video(path)
    except VideoError as error:
        print(f"{path.name}: refused, {error.reason}")
        return "refused"
    index = FrameIndex.from_row(info.index.to_row())
    whole_FHWC = decoder.decode_all(path)
    is_exact = len(whole_FHWC) == info.frames
    for number in range(num_plans if is_exact else 0):
        frames_NT = rng.integers(0, info.frames, (2, 4))
        if number % 3:
            frames_NT = np.minimum(frames_NT[:, :1] + np.arange(8) * (number % 3), info.frames - 1)
        is_exact &= np.array_equal(decoder.decode(path, index, frames_NT), whole_FHWC[frames_NT])
    if info.note or not is_exact:
        print(f"{path.name}: {info.frames} frames, {'exact' if is_exact else 'WRONG'}, {info.note}")
    return "exact" if is_exact else "WRONG"


def watch_memory(paths: list[Path], decoder: ClipDecoder, rng: np.random.Generator, num_clips: int) -> None:
    """Read clips of random files; print the peak of resident memory as it grows."""
    indexes = {}
    for path in paths:
        try:
            indexes[path] = probe_video(path).index
        except VideoError:
            continue
    usable = list(indexes)
    for number in range(num_clips + 1):
        path = usable[rng.integers(len(usable))]
        last = indexes[path].num_frames - 1
        frames_T = np.minimum(rng.integers(last + 1) + np.arange(16) * 2, last)
        decoder.decode(path, indexes[path], frames_T[None])
        if number == 500 or number % 1000 == 0:
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"after {number} clips: {peak_mb:.1f} MiB at most")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, help="searched for files, also in subfolders")
    parser.add_argument("--plans", type=int, default=12, help="random plans per file")
    parser.add_argument(
        "--clips", type=int, default=0, help="instead, read so many clips and watch the memory"
    )
    arguments = parser.parse_args()
    paths = sorted(path for folder in arguments.folders for path in folder.rglob("*") if path.is_file())
    decoder, rng = ClipDecoder(FrameSize(64, 86)), np.random.default_rng(0)
    if arguments.clips:
        watch_memory(paths, decoder, rng, arguments.clips)
        return
    counts = collections.Counter(check_file(path, decoder, rng, arguments.plans) for path in paths)
    print(", ".join(f"{count} {word}" for word, count in counts.items()))
    sys.exit(1 if counts["WRONG"] else 0)


if __name__ == "__main__":
    main()
