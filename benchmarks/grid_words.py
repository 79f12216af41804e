"""Cut single words out of the sentences of GRID: clips of a mouth that only the order of frames tells apart.

Commands, colours and adverbs, twelve words in all; each clip has the twelve frames around a word's middle.

    python benchmarks/grid_words.py grid/labels.csv --out grid_words
    python benchmarks/small_corpus.py grid_words/videos.csv --suite words
"""

import argparse
import csv
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from unreel.data.decode import ClipDecoder
from unreel.data.pictures import FrameSize
from unreel.data.sample_videos import write_video

KINDS = ("command", "color", "adverb")
NUM_FRAMES = 12
FPS = 25


def cut(row: dict[str, str], source: Path, out: Path) -> list[list[str]]:
    """Write the clips of one sentence and return their lines of the list."""
    frames_FHWC = ClipDecoder(FrameSize(128, 0)).decode_all(source / row["path"])
    lines = []
    for kind in KINDS:
        first, last = map(int, row[f"f_{kind}"].split("-"))
        start = min(max((first + last + 1 - NUM_FRAMES) // 2, 0), len(frames_FHWC) - NUM_FRAMES)
        name = f"{Path(row['path']).stem}_{kind}.mp4"
        write_video(out / name, frames_FHWC[start : start + NUM_FRAMES], fps=FPS)
        lines.append([name, row[kind], row["split"], kind])
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("labels", type=Path, help="labels.csv, with the range of frames of every word")
    parser.add_argument("--out", type=Path, default=Path("grid_words"), help="folder for the clips")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with options.labels.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with ProcessPoolExecutor() as pool:
        jobs = [pool.submit(cut, row, options.labels.parent, options.out) for row in rows]
        lines = [line for job in jobs for line in job.result()]
    with (options.out / "videos.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "split", "group"], *lines])
    print(f"{len(lines)} clips of {NUM_FRAMES} frames; next: unreel scan {options.out / 'videos.csv'}")


if __name__ == "__main__":
    main()
