"""HACS Segments 1.1.1: long videos of ActivityNet's 200 classes, annotated in its syntax.

Files are called ``v_ID.mp4`` or ``ID.mp4``, in folders of their classes or none.

Reference: Zhao et al., HACS: human action clips and segments dataset for recognition and temporal
localization, ICCV 2019.
"""

from unreel.data.layouts.activitynet import read_database
from unreel.data.layouts.annotation_files import AnnotationFiles
from unreel.data.layouts.layout import Annotations, Layout
from unreel.data.layouts.published import Published

# Verified in the README of the data set's repository.
_PUBLISHED = Published(200, {"train": 37613, "val": 5981, "test": 5987}, is_verified=True)


def read_hacs(files: AnnotationFiles, _: str) -> Annotations:
    """Read the videos of all subsets with their segments; ``test`` has none.

    Args:
        files: the annotation files.

    Raises:
        CatalogError: the file is missing.
        ValueError: an entry makes no sense.
    """
    return read_database(files.need("HACS_segments_v1.1.1.json", "HACS_segments_v1.1.json"), _PUBLISHED)


HACS = Layout("HACS_v1.1.1.zip of the repository HACS-dataset of the data set's authors", read_hacs)
