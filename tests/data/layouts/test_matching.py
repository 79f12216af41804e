from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from unreel.data.layouts.layout import AnnotatedVideo, Annotations
from unreel.data.layouts.matching import Match, iterate_counts, match_files
from unreel.data.layouts.published import Published


def match(names: list[str], paths: list[str], *, ignores_case: bool = False, other: str = "") -> Match:
    videos = [AnnotatedVideo(name, "x", "test", other_name=other) for name in names]
    return match_files(Annotations(videos, Published(), ignores_case=ignores_case), paths)


def found(result: Match) -> dict[str, str]:
    return {video.name: path for video, path in result.found}


def test_a_file_is_found_in_any_folder_and_with_any_ending() -> None:
    result = match(["Archery/a.avi", "b.webm"], ["/d/train/a.mp4", "/d/b.webm", "/d/c.mp4"])
    assert found(result) == {"Archery/a.avi": "/d/train/a.mp4", "b.webm": "/d/b.webm"}
    assert (result.missing, result.unnamed) == ([], ["/d/c.mp4"])


def test_what_is_not_there_is_missing() -> None:
    ((video, reason),) = match(["a.avi"], ["/d/b.avi"]).missing
    assert video.name == "a.avi"
    assert reason == "missing: the annotations name it for test, no file has this name"


def test_the_folder_decides_between_files_of_one_name() -> None:
    paths = ["/d/air_drumming/a.mp4", "/d/Zumba/a.mp4"]
    assert found(match(["air drumming/a.mp4"], paths)) == {"air drumming/a.mp4": paths[0]}
    assert found(match(["zumba/a.mp4"], paths)) == {"zumba/a.mp4": paths[1]}


def test_then_the_ending_decides() -> None:
    assert found(match(["a.webm"], ["/d/a.mp4", "/e/a.webm"])) == {"a.webm": "/e/a.webm"}


def test_when_nothing_decides_no_file_is_taken() -> None:
    result = match(["x/a.mp4"], ["/d/a.mp4", "/e/a.mp4"])
    assert [reason for _, reason in result.missing] == [
        "ambiguous: 2 files have this name; keep one below the sources"
    ]


def test_a_link_is_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"video")
    (tmp_path / "link").symlink_to(".")
    paths = [str(tmp_path / "a.mp4"), str(tmp_path / "link" / "a.mp4")]
    assert found(match(["a.mp4"], paths)) == {"a.mp4": paths[0]}


def test_annotations_of_one_name_take_only_files_of_their_folders() -> None:
    """The file in ``catch`` must not pass for the one of ``throw`` that is missing."""
    result = match(["catch/a.avi", "throw/a.avi"], ["/d/catch/a.avi"])
    assert found(result) == {"catch/a.avi": "/d/catch/a.avi"}
    ((video, reason),) = result.missing
    assert video.name == "throw/a.avi"
    assert reason == "missing: 2 annotations share this name, none of its files lies in such a folder"


def test_one_annotation_given_twice_is_found_twice() -> None:
    assert len(match(["x/a.avi", "x/a.avi"], ["/d/a.avi"]).found) == 2


def test_capitals_count_unless_the_data_set_says_otherwise() -> None:
    """Identifiers of YouTube differ in capitals alone."""
    assert match(["aB.mp4"], ["/d/Ab.mp4"]).found == []
    assert found(match(["v_HandStand.avi"], ["/d/v_Handstand.avi"], ignores_case=True))


def test_another_name_will_do_but_comes_second() -> None:
    assert found(match(["v_a.mp4"], ["/d/a.mkv"], other="a")) == {"v_a.mp4": "/d/a.mkv"}
    assert found(match(["v_a.mp4"], ["/d/a.mkv", "/d/v_a.mkv"], other="a")) == {"v_a.mp4": "/d/v_a.mkv"}


def test_a_path_that_is_known_is_taken_as_it_is() -> None:
    videos = [AnnotatedVideo(path, path=path) for path in ("/d/1/walk.mp4", "/d/2/walk.mp4")]
    result = match_files(Annotations(videos, Published()), ["/d/1/walk.mp4", "/d/2/walk.mp4"])
    assert sorted(found(result).values()) == ["/d/1/walk.mp4", "/d/2/walk.mp4"]


def test_counts_are_of_split_and_label() -> None:
    assert list(iterate_counts([AnnotatedVideo("a", "x", "test")])) == [("test", "x")]


NAMES = st.lists(st.sampled_from([f"{folder}/{stem}.mp4" for folder in "xy" for stem in "abc"]), max_size=6)


@given(NAMES, NAMES)
def test_every_annotation_and_every_file_is_accounted_for(names: list[str], files: list[str]) -> None:
    paths = sorted({f"/d/{name}" for name in files})
    result = match(names, paths)
    assert len(result.found) + len(result.missing) == len(names)
    assert sorted({path for _, path in result.found} | set(result.unnamed)) == paths
    for video, path in result.found:
        assert Path(path).stem == Path(video.name).stem
        assert path == f"/d/{video.name}" or f"/d/{video.name}" not in paths
