"""How many videos a data set has by its authors, compared with what its annotation files name."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_CLASSES_SHOWN = 3


@dataclass(frozen=True)
class Published:
    """Numbers of a data set.

    Attributes:
        classes: how many; 0 is not compared.
        videos: split -> how many; splits that are not named are not compared.
        videos_per_class: split -> how many in every class; likewise.
        is_verified: whether the numbers were looked up in a public source; otherwise they are recalled.
    """

    classes: int = 0
    videos: Mapping[str, int] = field(default_factory=dict)
    videos_per_class: Mapping[str, int] = field(default_factory=dict)
    is_verified: bool = False


def compare_counts(videos: Iterable[tuple[str, str]], published: Published) -> list[str]:
    """Say where annotations differ from the published numbers.

    Args:
        videos: split and label of every annotated video.
        published: what there should be. Splits of which nothing is annotated are not compared: their file
            may not be wanted.

    Returns:
        One line per difference.
    """
    counts = Counter(videos)
    splits: Counter[str] = Counter()
    for (split, _), number in counts.items():
        splits[split] += number
    origin = "published" if published.is_verified else "published, as far as is recalled,"
    lines = [
        f"the annotations name {splits[split]} videos for {split}, {origin} are {number}"
        for split, number in published.videos.items()
        if splits[split] not in (0, number)
    ]
    classes = {label for _, label in counts if label}
    if published.classes and len(classes) != published.classes:
        lines.append(f"the annotations name {len(classes)} classes, {origin} are {published.classes}")
    for split, number in published.videos_per_class.items():
        odd = sorted(name for name in classes if splits[split] and counts[split, name] != number)
        if odd:
            shown = ", ".join(f"{name} {counts[split, name]}" for name in odd[:_CLASSES_SHOWN])
            lines.append(
                f"{len(odd)} classes do not have {number} videos for {split}, as {origin} "
                f"({shown}{', ...' if len(odd) > _CLASSES_SHOWN else ''})"
            )
    return lines


def describe_missing(missing: Iterable[tuple[str, str]], videos: Iterable[tuple[str, str]]) -> str:
    """Say how much of every split is missing and where most; "" when nothing is.

    Args:
        missing: split and label of every annotated video that is not on the disk.
        videos: split and label of all annotated videos.
    """
    lacking, named = Counter(missing), Counter(split for split, _ in videos)
    if not lacking:
        return ""
    splits: Counter[str] = Counter()
    classes: Counter[str] = Counter()
    for (split, label), number in lacking.items():
        splits[split] += number
        classes[label] += number
    del classes[""]
    parts = [f"{name or 'no split'}: {splits[name]} of {named[name]} missing" for name in sorted(named)]
    most = ", ".join(f"{name} {number}" for name, number in classes.most_common(_CLASSES_SHOWN))
    where = f"; by class: {most}{', ...' if len(classes) > _CLASSES_SHOWN else ''}" if classes else ""
    return f"videos that the annotations name are not on the disk ({', '.join(parts)}{where})"
