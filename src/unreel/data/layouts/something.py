"""Something-Something V2: 220847 videos of 174 classes, in train, val and a test split without labels.

``something-something-v2-train.json`` is a list of ``{"id": "78687", "label": ..., "template": "Holding
[something] next to [something]", "placeholders": [...]}``. The class is the template without brackets; files
are called ``78687.webm``.

Reference: Goyal et al., The "something something" video database for learning and evaluating visual common
sense, ICCV 2017.
"""

from collections.abc import Iterator
from pathlib import Path

from unreel.data.layouts.annotation_files import AnnotationFiles
from unreel.data.layouts.annotation_text import check_name, read_json, take
from unreel.data.layouts.layout import AnnotatedVideo, Annotations, Layout
from unreel.data.layouts.published import Published

_PREFIX = "something-something-v2-"
# Verified: these numbers and the removal of brackets, in public repositories.
_PUBLISHED = Published(174, {"train": 168913, "val": 24777, "test": 27157}, is_verified=True)


def read_something_v2(files: AnnotationFiles, _: str) -> Annotations:
    """Read the lists of all splits; those of ``test`` have no label and need not be there.

    Args:
        files: the annotation files.

    Raises:
        CatalogError: the list of train or val is missing.
        ValueError: an entry makes no sense.
    """
    train, val = (_need(files, word) for word in ("train", "validation"))
    test, labels = (files.find(f"{_PREFIX}{word}.json", f"{word}.json") for word in ("test", "labels"))
    classes = None if labels is None else {str(name) for name in read_json(labels, dict)}
    videos = [*_read_list(train, "train", classes), *_read_list(val, "val", classes)]
    notes = []
    if test is None:
        notes.append("no list was found of test, which is left out")
    else:
        videos += _read_list(test, "test", None)
    return Annotations(videos, _PUBLISHED, notes=notes)


def _need(files: AnnotationFiles, word: str) -> Path:
    return files.need(f"{_PREFIX}{word}.json", f"{word}.json")


def _read_list(path: Path, split: str, classes: set[str] | None) -> Iterator[AnnotatedVideo]:
    for number, entry in enumerate(read_json(path, list), start=1):
        where = f"{path}, entry {number}"
        name = check_name(take(entry, "id", where), where)
        label = "" if split == "test" else take(entry, "template", where).replace("[", "").replace("]", "")
        if classes is not None and label not in classes:
            raise ValueError(
                f"{where}: {label!r} is no class of {_PREFIX}labels.json; the two belong together"
            )
        yield AnnotatedVideo(f"{name}.webm", label, split)


SOMETHING_V2 = Layout(
    '"Labels" of the Something-Something V2 page of Qualcomm (formerly of Twenty Billion Neurons)',
    read_something_v2,
)
