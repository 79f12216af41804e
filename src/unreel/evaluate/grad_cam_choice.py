"""Which videos, and which of their frames, a person looks at."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unreel.data.catalog import Catalog
from unreel.data.clips import ClipPlan, ClipSampling
from unreel.errors import CatalogError
from unreel.features.input_spec import InputSpec
from unreel.seeding import build_generator

MOST_VIDEOS, MOST_FRAMES = 32, 32
"""What a person can look at, and what fits into memory."""


@dataclass(frozen=True)
class MiddleClip(ClipSampling):
    """The clip in the middle of the video, out of three that another rule spreads over it."""

    of_three: ClipSampling
    """The other rule."""

    @property
    def num_clips(self) -> int:
        """One clip."""
        return 1

    def sample(self, num_frames: int, generator: np.random.Generator) -> ClipPlan:
        """Return the second of the three."""
        return ClipPlan(self.of_three.sample(num_frames, generator).frames_NT[1:2])


def choose_videos(
    catalog: Catalog, *, names: Sequence[str] = (), num_videos: int = 4, seed: int | None = None
) -> Catalog:
    """Return a few videos to look at, in the order of their names or else of the catalog.

    Args:
        catalog: to choose from.
        names: ids, or paths as in the catalog; a video that is named twice comes once.
        num_videos: without names, so many are chosen; all when there are fewer.
        seed: None chooses evenly over the catalog, which is sorted by path; a number at random.

    Raises:
        CatalogError: a name is not in the catalog, or there is no video.
        ValueError: there are more videos than can be looked at, or less than one.
    """
    num_wanted = len(names) or num_videos
    if not 1 <= num_wanted <= MOST_VIDEOS:
        raise ValueError(
            f"num_videos must lie between 1 and {MOST_VIDEOS}, got {num_wanted}; draw several figures"
        )
    if names:
        return catalog.take(_find_rows(catalog, names))
    count = min(num_videos, len(catalog))
    if seed is not None:
        return catalog.take(np.sort(build_generator(seed, "gradcam").permutation(len(catalog))[:count]))
    # The middles of so many equal parts.
    return catalog.take((2 * np.arange(count) + 1) * len(catalog) // max(1, 2 * count))


def _find_rows(catalog: Catalog, names: Sequence[str]) -> list[int]:
    paths: list[str] = catalog.table["path"].to_pylist()
    row_of = {name: row for known in (paths, catalog.ids) for row, name in enumerate(known)}
    rows: dict[int, None] = {}
    for name in names:
        if name not in row_of:
            close = difflib.get_close_matches(name, [*paths, *catalog.ids], n=2)
            hint = (
                f"did you mean {' or '.join(close)}?" if close else "give its id, or its path from the root"
            )
            raise CatalogError(f"no video {name!r} among the {len(catalog)} to choose from; {hint}")
        rows[row_of[name]] = None
    return list(rows)


def choose_frames(spec: InputSpec, num_frames: int) -> ClipSampling:
    """Return the rule that chooses what an encoder sees of a video, without chance.

    A network of single frames sees ``num_frames`` of them, spread over the video as extraction spreads its
    clips; a network of clips sees the clip in the middle of the video.

    Raises:
        ValueError: ``num_frames`` is out of range.
    """
    if not 1 <= num_frames <= MOST_FRAMES:
        raise ValueError(f"num_frames must lie between 1 and {MOST_FRAMES}, got {num_frames}")
    return spec.build_sampling(num_frames) if spec.num_frames == 1 else MiddleClip(spec.build_sampling(3))
