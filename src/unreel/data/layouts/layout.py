"""What the annotation files of a data set say, in one form for all data sets."""

from collections.abc import Callable
from dataclasses import dataclass, field

from unreel.data.catalog import Segment
from unreel.data.layouts.annotation_files import AnnotationFiles
from unreel.data.layouts.published import Published


@dataclass(frozen=True, slots=True)
class AnnotatedVideo:
    """A video that the annotations name.

    Attributes:
        name: end of its path, such as ``"Archery/v_Archery_g01_c01.avi"``. The file may lie elsewhere and end
            otherwise; its folder counts where several files or annotations share the rest.
        label: class, "" where the annotations keep it back.
        split: such as ``"train"``.
        group: what a split must not tear apart, "" when unknown.
        segments: labelled stretches, if any.
        other_name: what the file may be called instead, without folder and ending; "" for nothing.
        path: of the file, where the path itself is the annotation; "" otherwise.
    """

    name: str
    label: str = ""
    split: str = ""
    group: str = ""
    segments: tuple[Segment, ...] = ()
    other_name: str = ""
    path: str = ""


@dataclass(frozen=True)
class Annotations:
    """All that is annotated.

    Attributes:
        videos: in the order of the files.
        published: what the annotations should hold.
        ignores_case: whether names on the disk may differ in capitals.
        notes: what the user should know.
        warnings: what the user should mend.
    """

    videos: list[AnnotatedVideo]
    published: Published
    ignores_case: bool = False
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Layout:
    """How a data set lies on a disk.

    Attributes:
        origin: where its annotation files are published, in words.
        read: reads the annotation files for one of ``splits``.
        splits: ways to divide it; the first is the usual one, "" stands for the only one.
    """

    origin: str
    read: Callable[[AnnotationFiles, str], Annotations]
    splits: tuple[str, ...] = ("",)
