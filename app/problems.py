"""The service's errors as application/problem+json (RFC 9457), in the answers and in the OpenAPI document."""

import logging
from collections.abc import Mapping
from http.client import responses as phrases
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from app.database import Unavailable

log = logging.getLogger("app")

METHOD_NOT_ALLOWED = 405
MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """An error without a type of its own: `title` is the phrase of the HTTP status, as `about:blank` asks for."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


class InvalidRequest(Problem):
    """A request that does not fit its description: for each place, what is wrong there."""

    errors: dict[str, str] = Field(examples=[{"body.name": "String should have at least 1 character"}])


class WrongContent(Exception):
    """A request that fits its description and names what does not exist: for each place, what is wrong there."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(*errors.values())
        self.errors = dict(errors)


def answer_in_problems(app: FastAPI) -> None:
    """Make the errors of the application problem documents."""
    app.exception_handler(HTTPException)(_answer_http_error)
    app.exception_handler(RequestValidationError)(_answer_invalid_request)
    app.exception_handler(WrongContent)(_answer_wrong_content)
    app.exception_handler(Unavailable)(_answer_unavailable)
    app.exception_handler(Exception)(_answer_crash)


def describe_problem(status: int, model: type[Problem] = Problem) -> dict[int | str, dict[str, Any]]:
    """Describe an error answer for OpenAPI, under the media type that is really sent."""
    content = {MEDIA_TYPE: {"schema": model.model_json_schema()}}
    return {status: {"description": _title(status), "content": content}}


def tell_headers(request: Request, response: Response, headers: Mapping[str, str]) -> None:
    """Give the answer these headers, also where it turns out to be an error."""
    request.state.headers = headers
    response.headers.update(headers)


def _told(request: Request) -> Mapping[str, str]:
    headers: Mapping[str, str] = getattr(request.state, "headers", {})
    return headers


async def _answer_http_error(request: Request, error: HTTPException) -> Response:
    problem = Problem(title=_title(error.status_code), status=error.status_code, detail=str(error.detail))
    headers = {**_told(request), **(error.headers or {})}
    if error.status_code == METHOD_NOT_ALLOWED and (allowed := _allowed(request)):
        headers["Allow"] = ", ".join(allowed)
    return as_response(problem, headers)


def _allowed(request: Request) -> list[str]:
    """Give the methods of all routes of a path: the framework's own error names those of the first one."""
    matching = (route for route in request.app.state.routes if route.matches(request.scope)[0] is not Match.NONE)
    return sorted({method for route in matching for method in route.methods})


async def _answer_invalid_request(request: Request, error: RequestValidationError) -> Response:
    # No value that was sent is repeated: it may be a secret in the wrong field, and answers end up in logs.
    return _refuse(request, {".".join(map(str, found["loc"])): str(found["msg"]) for found in error.errors()})


async def _answer_wrong_content(request: Request, error: WrongContent) -> Response:
    return _refuse(request, error.errors)


def _refuse(request: Request, errors: dict[str, str]) -> Response:
    problem = InvalidRequest(title=_title(422), status=422, detail="The request is not valid.", errors=errors)
    return as_response(problem, _told(request))


async def _answer_unavailable(request: Request, error: Unavailable) -> Response:
    log.warning("the database is unavailable: %s", error)
    problem = Problem(title=_title(503), status=503, detail="The database does not answer. Try again in a moment.")
    return as_response(problem, {**_told(request), "Retry-After": "1"})


async def _answer_crash(_: Request, __: Exception) -> Response:
    # The server's log gets the traceback; in the answer it would tell strangers about the code.
    return as_response(Problem(title=_title(500), status=500, detail="The service failed to answer."))


def as_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Give the answer that tells a problem."""
    return Response(problem.model_dump_json(by_alias=True), problem.status, headers, MEDIA_TYPE)


def _title(status: int) -> str:
    return phrases.get(status, "Error")


REFUSED = {**describe_problem(400), **describe_problem(422, InvalidRequest)}  # where there is a body to read
