"""UCF101: 13320 videos of 101 classes, in three splits.

``classInd.txt`` has ``1 ApplyEyeMakeup`` lines, ``trainlist01.txt`` lines
``ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1``, ``testlist01.txt`` the same without the number. The files
of one class are called ``v_HandStandPushups_...`` in a folder ``HandstandPushups``, and lists of both
spellings are about; so capitals do not count.

Reference: Soomro, Zamir and Shah, UCF101: a dataset of 101 human actions classes from videos in the wild,
2012.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from unreel.data.layouts.annotation_files import AnnotationFiles
from unreel.data.layouts.annotation_text import check_name, read_lines
from unreel.data.layouts.layout import AnnotatedVideo, Annotations, Layout
from unreel.data.layouts.published import Published

# Verified in public repositories: split 1 and the classes. The other two splits are recalled.
_SIZES = {"1": (9537, 3783), "2": (9586, 3734), "3": (9624, 3696)}


def read_ucf101(files: AnnotationFiles, split: str) -> Annotations:
    """Read the lists of one split; a group is the film that clips of a class were cut from.

    Args:
        files: the annotation files.
        split: "1", "2" or "3".

    Raises:
        CatalogError: a list is missing.
        ValueError: a line makes no sense.
    """
    classes = _read_classes(files.need("classInd.txt"))
    num_train, num_test = _SIZES[split]
    return Annotations(
        [
            *_read_list(files.need(f"trainlist0{split}.txt"), "train", classes),
            *_read_list(files.need(f"testlist0{split}.txt"), "test", classes),
        ],
        Published(101, {"train": num_train, "test": num_test}, is_verified=split == "1"),
        ignores_case=True,
    )


def _read_classes(path: Path) -> dict[str, tuple[str, str]]:
    """Return class in small letters -> its name and its number."""
    classes = {}
    for where, line in read_lines(path):
        number, _, name = line.partition(" ")
        if not number.isdecimal() or not name.strip():
            raise ValueError(f"{where}: {line!r} is no `number class` line; download the file again")
        classes[name.strip().casefold()] = (name.strip(), number)
    return classes


def _read_list(path: Path, split: str, classes: dict[str, tuple[str, str]]) -> Iterator[AnnotatedVideo]:
    for where, line in read_lines(path):
        name, _, number = line.partition(" ")
        check_name(name, where, has_folder=True)
        folder = name.partition("/")[0]
        if folder.casefold() not in classes:
            raise ValueError(f"{where}: {folder!r} is no class of classInd.txt; the two belong together")
        label, own_number = classes[folder.casefold()]
        if number.strip() not in ("", own_number):
            raise ValueError(
                f"{where}: class {number.strip()} for {folder!r}, which is {own_number} in classInd.txt; the "
                "two belong together"
            )
        group = re.search(r"_(g\d+)_c\d+\.\w+$", name)
        yield AnnotatedVideo(name, label, split, f"{label}_{group[1]}" if group else "")


UCF101 = Layout(
    '"The Train/Test Splits for Action Recognition" of the UCF101 page of the Center for Research in Computer'
    " Vision, University of Central Florida",
    read_ucf101,
    ("1", "2", "3"),
)
