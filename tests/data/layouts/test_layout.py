from unreel.data.layouts.layout import AnnotatedVideo, Annotations, Layout
from unreel.data.layouts.published import Published


def test_of_a_video_only_the_name_need_be_known() -> None:
    video = AnnotatedVideo("a/b.mp4")
    assert (video.label, video.split, video.group, video.segments) == ("", "", "", ())
    assert (video.other_name, video.path) == ("", "")


def test_annotations_do_not_share_their_notes() -> None:
    first, second = Annotations([], Published()), Annotations([], Published())
    first.notes.append("a")
    first.warnings.append("b")
    assert (second.notes, second.warnings, second.ignores_case) == ([], [], False)


def test_a_layout_has_one_split_unless_it_says_otherwise() -> None:
    assert Layout("", lambda _, __: Annotations([], Published())).splits == ("",)
