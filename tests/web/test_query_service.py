import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.web.served import Served, open_client, read_error
from tests.web.videos import write_pattern
from unreel.features.encoder import Encoder
from unreel.search.query import embed_query, read_query_clips
from unreel.web.problems import Problem
from unreel.web.query_service import QueryService, Slots, read_stretch
from unreel.web.settings import QueryLimits
from unreel.web.uploads import ReceivedForm


def send(client: httpx.Client, content: bytes, **fields: str) -> httpx.Response:
    return client.post("/api/queries", files={"file": ("query.mp4", content)}, data=fields)


@pytest.fixture(scope="module")
def strict(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server that takes very little."""
    limits = QueryLimits(max_upload_mb=1, max_sec=2.0, max_frame_px=5000, decode_time_limit_sec=5.0)
    with open_client(served.settings(query=limits)) as client:
        yield client


def list_uploads(served: Served) -> list[Path]:
    folder = served.index.with_name(f"{served.index.name}.cache") / "uploads"
    return [path for path in folder.glob("*/*") if path.name != "lock"]


def test_a_file_is_searched_with_and_not_kept(client: httpx.Client, served: Served) -> None:
    answer = send(client, served.files[3].read_bytes())
    assert answer.status_code == 201
    query = answer.json()
    assert query["name"] == "query.mp4"
    assert query["seconds"] == pytest.approx(0.8, abs=0.05)
    assert (query["start_sec"], query["end_sec"]) == (None, None)
    assert list_uploads(served) == []
    hits = client.get("/api/search", params={"query": query["query_id"], "top_k": 3}).json()["hits"]
    assert hits[0]["video_id"] == served.video_ids[3]
    assert hits[0]["score"] == pytest.approx(1.0, abs=1e-5)


def test_the_score_is_the_cosine_of_the_encoders_vectors(client: httpx.Client, served: Served) -> None:
    encoder = Encoder.load(served.encoder)

    def embed(path: Path, **stretch: float) -> np.ndarray:
        return embed_query(read_query_clips(path, encoder.spec, 2, **stretch), encoder, "average").mean(
            axis=0
        )

    query = send(client, served.files[5].read_bytes(), start_sec="0.2", end_sec="0.6").json()
    assert (query["start_sec"], query["end_sec"]) == (0.2, 0.6)
    hits = client.get("/api/search", params={"query": query["query_id"], "top_k": 12}).json()["hits"]
    mine = embed(served.files[5], start_sec=0.2, end_sec=0.6)
    for hit in hits[:4]:
        own = embed(served.files[served.video_ids.index(hit["video_id"])])
        cosine = mine @ own / np.linalg.norm(mine) / np.linalg.norm(own)
        assert hit["score"] == pytest.approx(float(cosine), abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("text", 415, "not_a_video"),
        ("empty", 415, "not_a_video"),
        ("play list", 415, "not_a_video"),
        ("picture", 415, "not_a_video"),
        ("long", 413, "too_large"),
        ("wide", 413, "too_large"),
        ("large", 413, "too_large"),
    ],
)
def test_what_cannot_be_taken_is_refused_and_leaves_nothing(
    strict: httpx.Client, served: Served, tmp_path: Path, kind: str, status: int, code: str
) -> None:
    contents = {
        "text": b"this is no video" * 100,
        "empty": b"",
        "play list": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        "picture": b"\xff\xd8\xff" + bytes(1000),
        "large": bytes((1 << 20) + 20_000),
    }
    if kind == "long":
        contents[kind] = write_pattern(tmp_path / "a.mp4", num_frames=75).read_bytes()
    if kind == "wide":
        contents[kind] = write_pattern(tmp_path / "a.mp4", num_frames=2, size=(64, 128)).read_bytes()
    answer = send(strict, contents[kind])
    assert answer.status_code == status
    assert read_error(answer)["code"] == code
    assert str(served.folder) not in answer.text
    assert list_uploads(served) == []


def test_a_video_that_lies_about_its_length_is_still_bounded(strict: httpx.Client, tmp_path: Path) -> None:
    path = write_pattern(tmp_path / "a.mkv", num_frames=3, times=[0, 1, 25 * 3600])
    answer = send(strict, path.read_bytes())
    assert (answer.status_code, read_error(answer)["code"]) == (413, "too_large")


def test_a_play_list_makes_no_connection(strict: httpx.Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.3)
        port = trap.getsockname()[1]
        for text in (
            f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n",
            f"ffconcat version 1.0\nfile 'http://127.0.0.1:{port}/a.mp4'\n",
            f"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video {port} RTP/AVP 96\n",
        ):
            assert send(strict, text.encode()).status_code == 415
        with pytest.raises(TimeoutError):
            trap.accept()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"start_sec": "-1"}, "start_sec must be seconds, 0 or more, got '-1'"),
        ({"end_sec": "nan"}, "end_sec must be seconds"),
        ({"end_sec": "inf"}, "end_sec must be seconds"),
        ({"start_sec": "x"}, "start_sec must be seconds, 0 or more, got 'x'"),
        ({"start_sec": "2", "end_sec": "1"}, "end_sec must be above start_sec, got 2 and 1"),
        ({"end_sec": "0"}, "end_sec must be above start_sec"),
    ],
)
def test_a_stretch_of_time_that_makes_no_sense_is_refused(
    client: httpx.Client, served: Served, fields: dict[str, str], message: str
) -> None:
    answer = send(client, served.files[0].read_bytes(), **fields)
    assert answer.status_code == 422
    assert message in read_error(answer)["message"]


def test_a_stretch_behind_the_end_is_refused(client: httpx.Client, served: Served) -> None:
    answer = send(client, served.files[0].read_bytes(), start_sec="100")
    assert answer.status_code == 415
    assert "no frame between 100 s" in read_error(answer)["message"]


def test_an_open_end_stays_open() -> None:
    assert read_stretch(ReceivedForm(fields={"start_sec": " 1.5 ", "end_sec": ""})) == (1.5, None)
    assert read_stretch(ReceivedForm()) == (None, None)


def test_places_are_given_back_and_one_too_many_is_refused() -> None:
    slots = Slots("files arrive", 2)
    with slots.take(), slots.take():
        with pytest.raises(Problem, match="too many files arrive") as caught, slots.take():
            pass
        assert (caught.value.status, caught.value.retry_after_sec) == (429, 5)
    with pytest.raises(RuntimeError), slots.take():
        raise RuntimeError
    with slots.take(), slots.take():
        pass


def test_many_at_once_are_served_or_told_to_come_again(served: Served) -> None:
    """One is computed and one waits; of twelve more, each is taken later or refused, and none fails."""
    limits = QueryLimits(max_waiting=1, max_uploads=16)
    content = served.files[0].read_bytes()

    async def send_all(address: str) -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=address, timeout=60) as client:
            sent = [client.post("/api/queries", files={"file": ("a.mp4", content)}) for _ in range(12)]
            return list(await asyncio.gather(*sent))

    with open_client(served.settings(query=limits)) as client:
        answers = asyncio.run(send_all(str(client.base_url)))
        assert {answer.status_code for answer in answers} == {201, 429}
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.headers["retry-after"] == "5"
        assert read_error(refused)["code"] == "busy"
        assert send(client, content).status_code == 201
    assert list_uploads(served) == []


def test_what_is_decoded_does_not_pile_up_before_the_network(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def embed(self: QueryService, clips: Path) -> np.ndarray:
        release.wait(30)
        return np.ones(32, dtype=np.float32)

    monkeypatch.setattr(QueryService, "_embed", embed)
    content = served.files[0].read_bytes()

    async def send_all(address: str) -> list[int]:
        async with httpx.AsyncClient(base_url=address, timeout=60) as client:
            codes = []
            tasks = []
            for _ in range(3):  # one after the other, so that each has been decoded before the next comes
                tasks.append(
                    asyncio.create_task(client.post("/api/queries", files={"file": ("a.mp4", content)}))
                )
                await asyncio.wait(tasks[-1:], timeout=3)
            release.set()
            for answer in await asyncio.gather(*tasks):
                codes.append(answer.status_code)
            return codes

    with open_client(served.settings(query=QueryLimits(max_waiting=1))) as client:
        assert asyncio.run(send_all(str(client.base_url))) == [201, 201, 429]
