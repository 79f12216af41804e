import asyncio
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.web.served import Served, open_client, read_error, send_raw
from unreel.web.pictures import PictureService
from unreel.web.problems import Problem

TRAVERSALS = [
    "../../../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/etc/passwd",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%252f..%252fetc%252fpasswd",
    "%252e%252e%252fetc%252fpasswd",
    "....//....//etc/passwd",
    "..%c0%af..%c0%afetc/passwd",
    "..%e0%80%af..%e0%80%afetc/passwd",
    "..\\..\\windows\\win.ini",
    "..%5c..%5cwindows%5cwin.ini",
    "/etc/passwd",
    "//etc/passwd",
    "%2fetc%2fpasswd",
    "file:///etc/passwd",
    "C:%5cwindows%5cwin.ini",
    "%5c%5cserver%5cshare%5cfile",
    "//server/share/file",
    "%00",
    "00.mp4",
    "00.mp4%00.html",
    "%00/etc/passwd",
    "%ef%bc%8e%ef%bc%8e/etc/passwd",
    "%e2%80%ae4pm.00",
    "%ff%fe",
    "%ed%a0%80",
    ".",
    "..",
    "~root",
    "|cat%20/etc/passwd",
    "' OR 1=1 --".replace(" ", "%20"),
    "a" * 300,
    "%41" * 3000,
    "../" * 2000,
]
"""Ways to ask for a file that is no video of the collection."""


@pytest.mark.parametrize("path", TRAVERSALS, ids=range(len(TRAVERSALS)))
def test_only_ids_of_the_collection_lead_to_files(client: httpx.Client, path: str) -> None:
    for prefix in ("/media/", "/thumbnails/", "/api/videos/", "/static/", "/videos/"):
        request = f"GET {prefix}{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answer = send_raw(str(client.base_url).rstrip("/"), request.encode())
        status = int(answer.split(b" ", 2)[1])
        assert status in (400, 404, 422), (prefix, path)
        assert b"root:" not in answer
        assert len(answer) < 30_000


def test_a_file_that_lies_beside_the_videos_is_not_sent(client: httpx.Client, served: Served) -> None:
    for name in ("catalog.parquet", "videos.csv", served.files[0].name):
        assert (served.files[0].parent / name).exists()
        assert client.get(f"/media/{name}").status_code == 404


def test_a_video_is_sent_as_it_is(client: httpx.Client, served: Served) -> None:
    answer = client.get(f"/media/{served.video_ids[0]}")
    assert answer.status_code == 200
    assert answer.content == served.files[0].read_bytes()
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_parts_of_it_are_sent(client: httpx.Client, served: Served) -> None:
    url, content = f"/media/{served.video_ids[0]}", served.files[0].read_bytes()
    answer = client.get(url, headers={"Range": "bytes=10-19"})
    assert (answer.status_code, answer.content) == (206, content[10:20])
    assert answer.headers["content-range"] == f"bytes 10-19/{len(content)}"
    assert client.get(url, headers={"Range": "bytes=-7"}).content == content[-7:]
    behind = client.get(url, headers={"Range": f"bytes={len(content)}-"})
    assert (behind.status_code, behind.headers["content-range"]) == (416, f"bytes */{len(content)}")
    assert read_error(behind)["code"] == "bad_range"
    etag = answer.headers["etag"]
    assert client.get(url, headers={"If-None-Match": etag}).status_code == 304
    assert client.get(url, headers={"Range": "bytes=0-1", "If-Range": '"old"'}).status_code == 200


def test_head_tells_the_size(client: httpx.Client, served: Served) -> None:
    answer = client.head(f"/media/{served.video_ids[0]}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) == served.files[0].stat().st_size
    assert client.head("/media/absent").status_code == 404


def test_a_picture_is_drawn_and_may_be_kept(client: httpx.Client, served: Served) -> None:
    for _ in range(2):  # drawn, then found
        answer = client.get(f"/thumbnails/{served.video_ids[6]}?at_sec=0.5")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.content[:3] == b"\xff\xd8\xff"
        assert "max-age" in answer.headers["cache-control"]


def test_a_picture_that_was_removed_just_now_is_drawn_again(client: httpx.Client, served: Served) -> None:
    url = f"/thumbnails/{served.video_ids[7]}"
    assert client.get(url).status_code == 200
    for path in (served.index.with_name("videos.index.cache") / "thumbnails").iterdir():
        path.unlink()
    assert client.get(url).status_code == 200


@pytest.mark.parametrize("query", ["at_sec=-1", "at_sec=nan", "at_sec=inf", "at_sec=x"])
def test_times_that_are_none_are_refused(client: httpx.Client, served: Served, query: str) -> None:
    assert client.get(f"/thumbnails/{served.video_ids[0]}?{query}").status_code == 422


def test_pictures_that_wait_do_not_keep_others_waiting(served: Served) -> None:
    """Sixty pictures are asked for while none can be drawn; a search is answered all the same."""
    with open_client(served.settings()) as client, pytest.MonkeyPatch.context() as patch:
        from concurrent.futures import Future

        promises: list[Future[bytes]] = []

        def draw(self: PictureService, video: object, at_sec: float) -> "Future[bytes]":
            promises.append(Future())
            return promises[-1]

        patch.setattr(PictureService, "draw", draw)

        async def ask() -> tuple[list[httpx.Response], httpx.Response]:
            async with httpx.AsyncClient(base_url=client.base_url, timeout=20, limits=httpx.Limits()) as many:
                name = served.video_ids[8]
                tasks = [
                    asyncio.create_task(many.get(f"/thumbnails/{name}?at_sec=0.{number}"))
                    for number in range(10, 70)
                ]
                while len(promises) < 60:
                    await asyncio.sleep(0.01)
                found = await many.get(f"/api/search?video={name}")
                for promise in promises:
                    promise.set_result(b"jpeg")
                return list(await asyncio.gather(*tasks)), found

        pictures, found = asyncio.run(ask())
    assert found.status_code == 200
    assert {picture.content for picture in pictures} == {b"jpeg"}


@pytest.fixture
def busy(served: Served) -> Iterator[httpx.Client]:
    def refuse(*args: object) -> None:
        raise Problem(429, "busy", "too many pictures are waiting", "try again", retry_after_sec=2)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PictureService, "draw", refuse)
        patch.setattr(PictureService, "find", lambda *args: None)
        with open_client(served.settings()) as client:
            yield client


def test_a_picture_too_many_is_refused(busy: httpx.Client, served: Served) -> None:
    answer = busy.get(f"/thumbnails/{served.video_ids[0]}")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")


def test_no_address_of_a_file_is_in_the_log_of_the_browser(client: httpx.Client, served: Served) -> None:
    """What the pages are told of a video holds its path in the collection, never where that is."""
    text = client.get(f"/api/videos/{served.video_ids[0]}").text
    assert not re.search(re.escape(str(served.files[0].parent)), text)
