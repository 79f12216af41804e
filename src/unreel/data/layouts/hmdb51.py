"""HMDB51: 6766 clips of 51 classes, in three splits.

``brush_hair_test_split1.txt`` has lines ``April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1``, where 1 trains, 2
tests and 0 is used for neither; the last get the split ``unused``.

Reference: Kuehne et al., HMDB: a large video database for human motion recognition, ICCV 2011.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from unreel.data.layouts.annotation_files import AnnotationFiles
from unreel.data.layouts.annotation_text import check_name, read_lines
from unreel.data.layouts.layout import AnnotatedVideo, Annotations, Layout
from unreel.data.layouts.published import Published

_SPLITS = {"0": "unused", "1": "train", "2": "test"}


def read_hmdb51(files: AnnotationFiles, split: str) -> Annotations:
    """Read the lists of one split; a group is the film that clips were cut from.

    Args:
        files: the annotation files.
        split: "1", "2" or "3".

    Raises:
        CatalogError: there are no lists.
        ValueError: a line makes no sense.
    """
    # Recalled: 70 and 30 videos of every class, 6766 in all.
    published = Published(
        51, {"train": 3570, "test": 1530, "unused": 1666}, videos_per_class={"train": 70, "test": 30}
    )
    return Annotations(read_class_lists(files, split), published)


def read_class_lists(files: AnnotationFiles, split: str) -> list[AnnotatedVideo]:
    """Read the lists ``CLASS_test_splitN.txt`` of all classes.

    Args:
        files: the annotation files.
        split: N.

    Raises:
        CatalogError: there are no lists.
        ValueError: a line makes no sense.
    """
    ending = f"_test_split{split}.txt"
    return [
        video
        for path in files.need_all(rf".+_test_split{split}\.txt")
        for video in _read_list(path, path.name.removesuffix(ending))
    ]


def _read_list(path: Path, label: str) -> Iterator[AnnotatedVideo]:
    for where, line in read_lines(path):
        name, _, use = line.rpartition(" ")
        if use not in _SPLITS or not name.strip():
            raise ValueError(
                f"{where}: {line!r} is no `file 0`, `file 1` or `file 2` line; download the file again"
            )
        name = check_name(name.strip(), where)
        film = re.match(rf"(.+?)_{re.escape(label)}_", name)
        yield AnnotatedVideo(f"{label}/{name}", label, _SPLITS[use], film[1] if film else "")


HMDB51 = Layout(
    '"three splits" (test_train_splits.rar) of the HMDB51 page of the Serre Lab, Brown University',
    read_hmdb51,
    ("1", "2", "3"),
)
