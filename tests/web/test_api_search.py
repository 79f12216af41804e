from collections.abc import Iterator

import httpx
import pytest

from tests.web.served import Served, open_client, read_error
from unreel.search.filters import Filter
from unreel.web.answers import FiltersAnswer, SearchAnswer, StatusAnswer
from unreel.web.api_search import describe_problems, read_filter
from unreel.web.collection import MAX_TOP_K
from unreel.web.problems import Problem, ProblemAnswer


def test_the_status_has_its_form(client: httpx.Client) -> None:
    answer = client.get("/api/status")
    assert StatusAnswer.model_validate(answer.json()).num_videos == 12
    assert answer.headers["content-type"] == "application/json"


def test_the_filters_have_their_form(client: httpx.Client) -> None:
    assert FiltersAnswer.model_validate(client.get("/api/filters").json()).longest_sec > 0


def test_a_search_has_its_form(client: httpx.Client, served: Served) -> None:
    answer = client.get("/api/search", params={"video": served.video_ids[0], "top_k": 4, "unit": "clip"})
    found = SearchAnswer.model_validate(answer.json())
    assert (len(found.hits), found.unit) == (4, "clip")
    for url in (found.hits[0].media_url, found.hits[0].thumbnail_url):
        assert client.get(url).status_code == 200


def test_filters_may_be_repeated_and_combined(client: httpx.Client, served: Served) -> None:
    def count(**params: object) -> int:
        answer = client.get("/api/search", params={"video": served.video_ids[0], **params})  # type: ignore[arg-type]
        return len(answer.json()["hits"])

    assert count() == 11
    assert count(label=["speed1"]) == 4
    assert count(label=["speed1", "speed2"]) == 8
    assert count(label=["speed1"], split="test") == 1
    assert count(group="3") == 1
    assert count(label="") == 11
    assert count(label="absent") == 0
    assert count(min_sec=0.5) == 11
    assert count(min_sec=5) == 0
    assert count(max_sec=0.5) == 0
    assert count(path_prefix="0") == 9
    assert count(path_prefix="%") == 0


@pytest.mark.parametrize(
    "query",
    [
        "",
        "video=x&query=y",
        "video=x&top_k=0",
        f"video=x&top_k={MAX_TOP_K + 1}",
        "video=x&top_k=ten",
        "video=x&unit=frame",
        "video=x&min_sec=-1",
        "video=x&min_sec=nan",
        "video=x&max_sec=inf",
        "video=x&min_sec=2&max_sec=1",
        "video=x&start_sec=-1",
        "video=" + "x" * 300,
        "video=x&" + "&".join(["label=a"] * 101),
        "video=x&label=" + "a" * 201,
    ],
)
def test_parameters_that_make_no_sense_are_refused(client: httpx.Client, query: str) -> None:
    answer = client.get(f"/api/search?{query}")
    assert answer.status_code == 422
    assert read_error(answer)["code"] == "invalid_parameter"
    assert len(answer.text) < 1000


@pytest.mark.parametrize(
    "query", ["video=absent", "query=absent", "video=%00", "video=..%2F..%2Fetc%2Fpasswd"]
)
def test_what_is_not_there_is_not_found(client: httpx.Client, query: str) -> None:
    assert client.get(f"/api/search?{query}").status_code == 404


def test_parameters_become_a_filter() -> None:
    found = read_filter(label=["a", ""], split=["b"], group=[], min_sec=1.0, max_sec=None, path_prefix="c")
    assert found == Filter(labels=("a",), splits=("b",), min_sec=1.0, path_prefix="c")
    assert read_filter().is_empty
    with pytest.raises(Problem, match="max_sec not below it"):
        read_filter(min_sec=2.0, max_sec=1.0)


def test_refusals_are_documented_in_one_form() -> None:
    found = describe_problems(404, 429)
    assert set(found) == {404, 429}
    assert all(entry["model"] is ProblemAnswer for entry in found.values())
    assert "Retry-After" in found[429]["description"]


@pytest.fixture(scope="module")
def without_encoder(served: Served) -> Iterator[httpx.Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unreel.web.context._load_encoder", lambda settings, info: (None, "it is not there"))
        with open_client(served.settings()) as client:
            yield client


def test_without_an_encoder_files_are_refused_with_the_remedy(
    without_encoder: httpx.Client, served: Served
) -> None:
    assert without_encoder.get("/api/status").json()["has_encoder"] is False
    assert without_encoder.get("/api/status").json()["encoder_note"] == "it is not there"
    answer = without_encoder.post("/api/queries", files={"file": ("a.mp4", b"x")})
    assert answer.status_code == 503
    assert "--encoder" in read_error(answer)["remedy"]
    found = without_encoder.get("/api/search", params={"video": served.video_ids[0]})
    assert len(found.json()["hits"]) == 11


def test_another_site_cannot_send_a_file(client: httpx.Client) -> None:
    files = {"file": ("a.mp4", b"x")}
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = client.post("/api/queries", files=files, headers=headers)
        assert (answer.status_code, read_error(answer)["code"]) == (403, "cross_site")
