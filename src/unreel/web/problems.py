"""What a visitor is told when something cannot be done: a code, a sentence, and what to do about it."""

import errno
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from unreel.errors import SearchError
from unreel.legible import make_legible

_REASONS = {
    404: ("not_found", "there is nothing at this address"),
    405: ("method_not_allowed", "this address takes other methods"),
}
_LONGEST_ECHO = 80
_WANTS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE}
"""What a server may run out of, with which it can go on when there is some again."""


class Problem(Exception):  # noqa: N818 (it is no error of the program)
    """A request that is refused.

    Attributes:
        status: of the HTTP answer.
        code: for programs, such as ``"too_large"``.
        message: what is wrong, one sentence.
        remedy: what the visitor can do.
        retry_after_sec: when it makes sense to try again; 0 when it does not.
    """

    def __init__(
        self, status: int, code: str, message: str, remedy: str = "", *, retry_after_sec: int = 0
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.remedy = status, code, message, remedy
        self.retry_after_sec = retry_after_sec


class ProblemText(BaseModel):
    """Why a request was refused."""

    code: str = Field(description="For programs: a word that does not change.", examples=["too_large"])
    message: str = Field(description="For people: what is wrong.")
    remedy: str = Field(description='For people: what to do about it; "" where nothing can be done.')


class ProblemAnswer(BaseModel):
    """The answer to a request that was refused."""

    error: ProblemText


def answer_problem(problem: Problem) -> JSONResponse:
    """Return the JSON answer that tells of a problem."""
    text = {"code": problem.code, "message": problem.message, "remedy": problem.remedy}
    headers = {"Retry-After": str(problem.retry_after_sec)} if problem.retry_after_sec else None
    return JSONResponse({"error": text}, status_code=problem.status, headers=headers)


def echo(text: object) -> str:
    """Return what a visitor sent, made fit for a message."""
    legible = make_legible(str(text))
    return repr(legible if len(legible) <= _LONGEST_ECHO else legible[:_LONGEST_ECHO] + "...")


def explain_index_error(error: SearchError | OSError) -> Problem:
    """Return what is told when the index, which may vanish at any time, cannot be read."""
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return Problem(
        503,
        "index_unavailable",
        f"the index cannot be read: {reason}",
        "put the file of the index back; the server goes on by itself when it is there",
        retry_after_sec=5,
    )


def add_problem_handlers(app: FastAPI) -> None:
    """Have every refusal of an application answered in the same form."""

    @app.exception_handler(Problem)
    async def on_problem(request: Request, error: Problem) -> JSONResponse:
        return answer_problem(error)

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, error: HTTPException) -> JSONResponse:
        code, message = _REASONS.get(error.status_code, ("refused", str(error.detail)))
        remedy = "see /api for the addresses that there are"
        answer = answer_problem(Problem(error.status_code, code, message, remedy))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        message = "; ".join(_describe_invalid(dict(fault)) for fault in error.errors()[:3])
        return answer_problem(Problem(422, "invalid_parameter", message, "see /api for what is accepted"))

    @app.exception_handler(OSError)
    async def on_want(request: Request, error: OSError) -> JSONResponse:
        return answer_problem(_explain_want(error))

    @app.exception_handler(SearchError)
    async def on_search_error(request: Request, error: SearchError) -> JSONResponse:
        return answer_problem(explain_index_error(error))


def _explain_want(error: OSError) -> Problem:
    if error.errno not in _WANTS:
        raise error
    message = f"the server cannot write: {str(error.strerror).lower()}"
    return Problem(503, "no_room", message, "tell its owner", retry_after_sec=60)


def _describe_invalid(fault: dict[str, Any]) -> str:
    name = ".".join(str(part) for part in fault.get("loc", ())[1:]) or "the request"
    text = str(fault.get("msg", "is invalid")).removeprefix("Value error, ")
    return f"{name}: {make_legible(text)}, got {echo(fault.get('input'))}"
