"""J-HMDB-21: 928 clips of HMDB51 in 21 classes, in three splits with lists like those of HMDB51.

Reference: Jhuang et al., Towards understanding action recognition, ICCV 2013.
"""

from unreel.data.layouts.annotation_files import AnnotationFiles
from unreel.data.layouts.hmdb51 import read_class_lists
from unreel.data.layouts.layout import Annotations, Layout
from unreel.data.layouts.published import Published


def read_jhmdb(files: AnnotationFiles, split: str) -> Annotations:
    """Read the lists of one split; a group is the film that clips were cut from.

    Args:
        files: the annotation files.
        split: "1", "2" or "3".

    Raises:
        CatalogError: there are no lists.
        ValueError: a line makes no sense.
    """
    # Counted in the data: split 1. Nothing is known here of the others.
    sizes = {"train": 660, "test": 268} if split == "1" else {}
    return Annotations(read_class_lists(files, split), Published(21, sizes, is_verified=True))


JHMDB = Layout(
    '"splits" of the J-HMDB page of the Perceiving Systems department, Max Planck Institute for Intelligent '
    "Systems",
    read_jhmdb,
    ("1", "2", "3"),
)
