import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.web.served import Served, make_served, open_client, read_error, wait_for
from tests.web.videos import write_pattern
from unreel.data.scan import scan_videos
from unreel.search.index_store import IndexStore
from unreel.web.answers import MapAnswer, PlaybackAnswer, VideoDetailAnswer, VideosAnswer


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Videos of which one plays, one does not, and one will have changed."""
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "videos").mkdir()
    write_pattern(folder / "videos" / "a.mp4")
    write_pattern(folder / "videos" / "b.avi", codec="mpeg4")
    write_pattern(folder / "videos" / "c.mp4", num_frames=30)
    scan_videos([folder / "videos"], folder / "catalog.parquet", num_workers=1)
    return make_served(folder / "catalog.parquet", folder)


@pytest.fixture(scope="module")
def mixed_client(mixed: Served) -> Iterator[httpx.Client]:
    with open_client(mixed.settings()) as client:
        yield client


def test_videos_are_listed_in_parts(client: httpx.Client) -> None:
    found = VideosAnswer.model_validate(client.get("/api/videos", params={"offset": 2, "limit": 3}).json())
    assert (found.total, found.offset) == (12, 2)
    assert [video.path for video in found.videos] == ["02.mp4", "03.mp4", "04.mp4"]
    assert client.get("/api/videos", params={"label": "speed0"}).json()["total"] == 4


@pytest.mark.parametrize("query", ["offset=-1", "limit=0", "limit=201", "offset=10000000000", "limit=x"])
def test_parts_that_make_no_sense_are_refused(client: httpx.Client, query: str) -> None:
    assert client.get(f"/api/videos?{query}").status_code == 422


def test_a_video_has_its_form(client: httpx.Client, served: Served) -> None:
    found = VideoDetailAnswer.model_validate(client.get(f"/api/videos/{served.video_ids[4]}").json())
    assert found.video.path == "04.mp4"
    assert found.is_available


def test_what_plays_is_ready_at_once(mixed_client: httpx.Client, mixed: Served) -> None:
    found = PlaybackAnswer.model_validate(
        mixed_client.get(f"/api/videos/{mixed.video_ids[0]}/playback").json()
    )
    assert (found.state, found.url) == ("ready", f"/media/{mixed.video_ids[0]}")


def test_what_does_not_play_is_prepared_and_plays_then(mixed_client: httpx.Client, mixed: Served) -> None:
    name = mixed.video_ids[1]
    early = mixed_client.get(f"/media/{name}/converted")
    assert (early.status_code, read_error(early)["code"]) == (404, "not_converted")
    first = mixed_client.get(f"/api/videos/{name}/playback").json()
    assert first == {"state": "preparing", "url": "", "reason": ""}
    wait_for(lambda: mixed_client.get(f"/api/videos/{name}/playback").json()["state"] == "ready")
    url = mixed_client.get(f"/api/videos/{name}/playback").json()["url"]
    assert url == f"/media/{name}/converted"
    answer = mixed_client.get(url, headers={"Range": "bytes=4-7"})
    assert (answer.status_code, answer.content) == (206, b"ftyp")
    assert answer.headers["content-type"] == "video/mp4"
    assert mixed_client.get(f"/media/{name}").headers["content-type"] == "video/x-msvideo"
    assert mixed_client.get(f"/api/videos/{name}").json()["video"]["is_playable"] is False


def test_a_file_that_changed_is_neither_played_nor_sent(mixed_client: httpx.Client, mixed: Served) -> None:
    name, path = mixed.video_ids[2], mixed.files[2]
    assert mixed_client.get(f"/media/{name}").status_code == 200
    path.write_bytes(b"something else, and secret")
    for address in (f"/media/{name}", f"/thumbnails/{name}", f"/api/videos/{name}/playback"):
        answer = mixed_client.get(address)
        assert (answer.status_code, read_error(answer)["code"]) == (404, "file_unavailable")
    assert mixed_client.get(f"/api/videos/{name}").json()["is_available"] is False


@pytest.mark.parametrize("path", ["/api/videos/absent", "/api/videos/absent/playback", "/api/videos/%00"])
def test_an_unknown_video_is_not_found(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_the_map_is_computed_in_the_background(client: httpx.Client) -> None:
    for method in ("pca", "tsne"):
        wait_for(lambda method=method: client.get(f"/api/map?method={method}").json()["state"] == "ready")
        found = MapAnswer.model_validate(client.get(f"/api/map?method={method}").json())
        assert (found.shown, found.total, found.method) == (12, 12, method)
    assert client.get("/api/map?method=umap").status_code == 422


def test_what_others_change_is_seen_by_the_next_request(served: Served, tmp_path: Path) -> None:
    """Another process removes a video while the server runs; then the index goes, and comes back."""
    shutil.copy(served.index, tmp_path / "videos.index")
    first, second = served.video_ids[:2]
    with open_client(served.settings(index=tmp_path / "videos.index")) as client:
        assert len(client.get(f"/api/search?video={first}").json()["hits"]) == 11
        IndexStore.open(tmp_path / "videos.index").remove([second])
        hits = client.get(f"/api/search?video={first}").json()["hits"]
        assert len(hits) == 10
        assert second not in {hit["video_id"] for hit in hits}
        assert client.get(f"/media/{second}").status_code == 404
        assert client.get("/api/status").json()["num_videos"] == 11
        (tmp_path / "videos.index").rename(tmp_path / "aside")
        for path in ("/api/status", "/api/videos", f"/media/{first}", "/api/map", "/api/filters"):
            answer = client.get(path)
            assert (answer.status_code, read_error(answer)["code"]) == (503, "index_unavailable")
            assert answer.headers["retry-after"] == "5"
        assert not (tmp_path / "videos.index").exists()
        (tmp_path / "aside").rename(tmp_path / "videos.index")
        assert client.get("/api/status").status_code == 200


def test_answers_come_quickly(client: httpx.Client, served: Served) -> None:
    """Two packets that wait for each other would cost 40 ms each time."""
    client.get("/api/status")
    times = []
    for _ in range(20):
        started = time.monotonic()
        client.get("/api/nothing")
        times.append(time.monotonic() - started)
    assert sorted(times)[4] < 0.03
