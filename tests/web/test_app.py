import json
from collections.abc import Iterator

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from tests.web.served import Served, open_client, read_error
from unreel.web.security import HEADERS

CHECKS = [not_a_server_error, response_schema_conformance, status_code_conformance]
TOKEN = "correct-horse-battery"


@pytest.fixture(scope="module")
def locked(served: Served) -> Iterator[httpx.Client]:
    with open_client(served.settings(token=TOKEN)) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/api/status"),
        ("GET", "/api/openapi.json"),
        ("GET", "/nothing"),
        ("GET", "/api/search"),
        ("PUT", "/api/search"),
        ("POST", "/api/queries"),
        ("GET", "/media/absent"),
        ("GET", "/docs"),
        ("GET", "/redoc"),
    ],
)
def test_every_answer_carries_the_headers(client: httpx.Client, method: str, path: str) -> None:
    answer = client.request(method, path)
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    assert "server" not in answer.headers
    assert answer.status_code < 500


def test_documentation_that_loads_scripts_from_elsewhere_is_off(client: httpx.Client) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert client.get(path).status_code == 404


def test_every_endpoint_is_documented(client: httpx.Client) -> None:
    schema = client.get("/api/openapi.json").json()
    assert set(schema["paths"]) == {
        "/api/status",
        "/api/filters",
        "/api/search",
        "/api/queries",
        "/api/videos",
        "/api/videos/{video_id}",
        "/api/videos/{video_id}/playback",
        "/api/map",
        "/api/runs",
        "/api/runs/{name}",
        "/api/compare",
        "/media/{video_id}",
        "/media/{video_id}/converted",
        "/thumbnails/{video_id}",
    }
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            assert operation["description"].endswith("."), path
            assert all("description" in parameter for parameter in operation.get("parameters", ())), path
            for status, answer in operation["responses"].items():
                if status.startswith(("4", "5")):
                    reference = answer["content"]["application/json"]["schema"]["$ref"]
                    assert reference == "#/components/schemas/ProblemAnswer"
    assert "HTTPValidationError" not in json.dumps(schema)


def test_nothing_is_told_without_the_token(locked: httpx.Client, served: Served) -> None:
    for path in (
        "/",
        "/api/status",
        "/api/openapi.json",
        f"/media/{served.video_ids[0]}",
        "/static/unreel.css",
    ):
        answer = locked.get(path)
        assert answer.status_code == 401
        assert read_error(answer)["code"] == "unauthorized"
        assert served.video_ids[0] not in answer.text
    assert locked.post("/api/queries", files={"file": ("a", b"x")}).status_code == 401


def test_the_address_with_the_token_opens_the_page(locked: httpx.Client) -> None:
    with httpx.Client(base_url=locked.base_url, follow_redirects=True) as visitor:
        answer = visitor.get("/", params={"token": TOKEN})
        assert answer.status_code == 200
        assert "token" not in str(answer.url)
        assert visitor.get("/api/status").status_code == 200
    bearer = locked.get("/api/status", headers={"Authorization": f"Bearer {TOKEN}"})
    assert bearer.status_code == 200


def test_a_foreign_name_is_refused(client: httpx.Client) -> None:
    answer = client.get("/api/status", headers={"Host": "evil.example"})
    assert (answer.status_code, read_error(answer)["code"]) == (400, "unknown_host")


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_whatever_is_sent_nothing_breaks_and_every_answer_is_as_documented(
    client: httpx.Client, mode: GenerationMode
) -> None:
    """Requests that are made from the documentation, sound and unsound ones."""
    schema = schemathesis.openapi.from_url(f"{str(client.base_url).rstrip('/')}/api/openapi.json")
    num_operations = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @hypothesis_settings(max_examples=6, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=CHECKS)

        try:
            check()
        except Unsatisfiable:  # nothing that could be sent would be unsound
            continue
        num_operations += 1
    assert num_operations >= 10
