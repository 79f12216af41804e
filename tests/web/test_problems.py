import errno
import json

import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from tests.web.served import call_app
from unreel.errors import SearchError
from unreel.web.problems import (
    Problem,
    ProblemAnswer,
    add_problem_handlers,
    answer_problem,
    echo,
    explain_index_error,
)


def build_app() -> FastAPI:
    app = FastAPI()
    add_problem_handlers(app)

    @app.get("/number")
    def get_number(value: int) -> int:
        return value

    @app.get("/index")
    def get_index() -> None:
        raise SearchError("videos.index is damaged; make it again")

    @app.get("/busy")
    def get_busy() -> None:
        raise Problem(429, "busy", "too much", "come again", retry_after_sec=7)

    @app.get("/full")
    def get_full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    @app.get("/fault")
    def get_fault() -> None:
        raise OSError(errno.ENOENT, "No such file")

    return app


def test_a_problem_becomes_an_answer_of_the_documented_form() -> None:
    answer = answer_problem(Problem(413, "too_large", "the file is too large", "send a smaller one"))
    assert answer.status_code == 413
    told = ProblemAnswer.model_validate_json(bytes(answer.body)).error
    assert (told.code, told.message) == ("too_large", "the file is too large")
    assert told.remedy == "send a smaller one"
    assert "retry-after" not in answer.headers
    with pytest.raises(ValidationError):
        ProblemAnswer.model_validate({"detail": "as FastAPI has it"})


def test_when_to_come_again_stands_in_the_header() -> None:
    answer = call_app(build_app(), "GET", "/busy")
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("POST", "/number", 405, "method_not_allowed"),
        ("GET", "/number?value=x", 422, "invalid_parameter"),
        ("GET", "/number", 422, "invalid_parameter"),
        ("GET", "/index", 503, "index_unavailable"),
        ("GET", "/full", 503, "no_room"),
    ],
)
def test_whatever_goes_wrong_is_told_in_the_same_form(method: str, path: str, status: int, code: str) -> None:
    answer = call_app(build_app(), method, path)
    assert answer.status == status
    error = json.loads(answer.body)["error"]
    assert error["code"] == code
    assert error["message"]
    assert error["remedy"]


def test_an_invalid_parameter_is_named_with_its_value() -> None:
    error = json.loads(call_app(build_app(), "GET", "/number?value=x%00y").body)["error"]
    assert error["message"].startswith("value: ")
    assert error["message"].endswith("got 'x?y'")


def test_the_index_is_named_and_what_to_do() -> None:
    problem = explain_index_error(SearchError("videos.index is gone"))
    assert (problem.status, problem.retry_after_sec) == (503, 5)
    assert problem.message == "the index cannot be read: videos.index is gone"
    assert explain_index_error(FileNotFoundError(2, "No such file")).message.endswith("No such file")


def test_what_a_visitor_sent_is_shown_short_and_without_commands() -> None:
    assert echo("a\x1b[31m\u202eb") == "'a?[31m?b'"
    assert len(echo("x" * 10_000)) < 100


def test_a_fault_of_the_server_is_not_taken_for_a_full_disk() -> None:
    with pytest.raises(OSError, match="No such file"):
        call_app(build_app(), "GET", "/fault")
