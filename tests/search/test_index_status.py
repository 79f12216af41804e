from pathlib import Path

import pytest

from tests.search.small_indexes import build_store, build_video
from unreel.errors import SearchError
from unreel.search.index_rows import RejectedVideo
from unreel.search.index_status import IndexStatus, describe_index
from unreel.search.video_index import VideoIndex

BROKEN = RejectedVideo("c", "c.mp4", "no frame decodes", 10, 20)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    store = build_store(
        tmp_path / "v.index",
        [
            build_video("a", [[1, 0], [0, 1]], label="run", seconds=3600.0),
            build_video("b", [[1, 1]], label=""),
            build_video("d", [[1, 1]], label="dive"),
        ],
    )
    store.reject([BROKEN])
    return store.path


def test_all_that_is_in_an_index_is_said(path: Path) -> None:
    status = describe_index(path)
    assert status == IndexStatus(
        path=path,
        info=status.info,
        num_videos=3,
        num_clips=4,
        seconds=3603.0,
        num_labels=2,
        num_bytes=path.stat().st_size,
        cache_bytes=0,
        rejected=(BROKEN,),
    )
    assert (status.info.encoder, status.info.dimension) == ("tiny", 2)


def test_what_can_be_made_again_is_counted_apart(path: Path) -> None:
    """Four vectors of two numbers: a header of 4,096 bytes, and 8 + 4 + 2 x 4 bytes for each."""
    before = describe_index(path).num_bytes
    VideoIndex.open(path).search([1, 0], unit="clip")
    assert describe_index(path).cache_bytes == 4096 + 4 * 20
    assert describe_index(path).num_bytes == before


def test_an_empty_index_has_nothing(tmp_path: Path) -> None:
    build_store(tmp_path / "v.index")
    status = describe_index(tmp_path / "v.index")
    assert (status.num_videos, status.num_clips, status.seconds, status.num_labels) == (0, 0, 0.0, 0)
    assert (status.rejected, status.cache_bytes) == ((), 0)


def test_asking_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    describe_index(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["v.index"]


def test_a_missing_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"absent\.index does not exist; give the file"):
        describe_index(tmp_path / "absent.index")
    assert list(tmp_path.iterdir()) == []
