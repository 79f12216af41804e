"""Diving-48 with its cleaned labels, V2: 48 kinds of dives.

``Diving48_V2_train.json`` is a list of ``{"vid_name": "-mmq0PT-u8k_00155", "label": 0, "start_frame": 0,
"end_frame": 48}``, ``Diving48_vocab.json`` a list of ``["Back", "15som", "05Twis", "FREE"]`` in the order of
the labels. The files hold one dive each, so the frame numbers play no role.

Reference: Li, Li and Vasconcelos, RESOUND: towards action recognition without representation bias, ECCV 2018.
"""

from collections.abc import Iterator
from pathlib import Path

from unreel.data.layouts.annotation_files import AnnotationFiles
from unreel.data.layouts.annotation_text import check_name, read_json, take
from unreel.data.layouts.layout import AnnotatedVideo, Annotations, Layout
from unreel.data.layouts.published import Published

# Recalled; verified are the classes and the syntax.
_PUBLISHED = Published(48, {"train": 15027, "test": 1970})


def read_diving48(files: AnnotationFiles, _: str) -> Annotations:
    """Read both lists; a group is the competition that dives were cut from.

    Args:
        files: the annotation files.

    Raises:
        CatalogError: a list or the vocabulary is missing.
        ValueError: an entry makes no sense.
    """
    vocabulary_path = files.need("Diving48_vocab.json")
    vocabulary = [
        "+".join(map(str, words)) if isinstance(words, list) else str(words)
        for words in read_json(vocabulary_path, list)
    ]
    train, test = (files.need(f"Diving48_V2_{split}.json") for split in ("train", "test"))
    return Annotations(
        [*_read_list(train, "train", vocabulary), *_read_list(test, "test", vocabulary)], _PUBLISHED
    )


def _read_list(path: Path, split: str, vocabulary: list[str]) -> Iterator[AnnotatedVideo]:
    for number, entry in enumerate(read_json(path, list), start=1):
        where = f"{path}, entry {number}"
        name = check_name(take(entry, "vid_name", where), where)
        label = take(entry, "label", where)
        if not label.isdecimal() or int(label) >= len(vocabulary):
            raise ValueError(
                f"{where}: label {label!r} is none of the {len(vocabulary)} dives of Diving48_vocab.json"
            )
        yield AnnotatedVideo(f"{name}.mp4", vocabulary[int(label)], split, name.rpartition("_")[0])


DIVING48 = Layout(
    "the Diving48 page of the Statistical Visual Computing Lab, University of California San Diego (the "
    '"updated" labels, V2)',
    read_diving48,
)
