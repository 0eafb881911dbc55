"""When a workflow's run was asked for, as GitHub tells it."""

from datetime import UTC, datetime

import httpx
import pytest

from scripts.client import Client
from scripts.clock import Deadline
from scripts.errors import ConfigError, PlatformError, PlatformUnreachable, SlipwayError
from scripts.redaction import Secret
from scripts.resolve import fetch_created_at
from tests.unit.fakes import FakeClock

TOKEN = "ghs_t0kenThatNobodyMayRead"
ENVIRONMENT = {"GITHUB_REPOSITORY": "owner/name", "GITHUB_RUN_ID": "42", "GITHUB_API_URL": "https://github.test"}


def ask(answer: httpx.Response) -> tuple[datetime | SlipwayError, list[httpx.Request]]:
    """Ask a GitHub that always gives this answer; give what came of it and what it was asked."""
    asked: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return answer

    clock = FakeClock()
    client = Client(clock, httpx.MockTransport(take))
    try:
        return fetch_created_at(ENVIRONMENT, Secret(TOKEN), client, Deadline.after(clock, 20)), asked
    except SlipwayError as error:
        return error, asked


def test_the_moment_is_the_runs_creation() -> None:
    """A run that waited behind another one began when it was asked for, not when its first job did."""
    moment, (request,) = ask(httpx.Response(200, json={"created_at": "2026-01-02T03:04:05Z", "run_started_at": "x"}))
    assert moment == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (request.method, str(request.url)) == ("GET", "https://github.test/repos/owner/name/actions/runs/42")
    assert request.headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(200, json={}), PlatformError),
        (httpx.Response(200, json={"created_at": None}), PlatformError),
        (httpx.Response(200, json={"created_at": "yesterday"}), SlipwayError),
        (httpx.Response(200, json={"created_at": ["2026-01-02T03:04:05Z"]}), SlipwayError),
        (httpx.Response(200, text="no JSON"), PlatformError),
        (httpx.Response(200, json=[]), PlatformError),
        (httpx.Response(403, json={"message": f"no {TOKEN}"}), ConfigError),
        (httpx.Response(404, json={"message": "Not Found"}), PlatformError),
        (httpx.Response(500), PlatformUnreachable),
    ],
)
def test_no_moment(answer: httpx.Response, kind: type[SlipwayError]) -> None:
    """Whatever else GitHub answers is an error of our tree, and never holds the token."""
    error, _ = ask(answer)
    assert isinstance(error, kind)
    assert TOKEN not in str(error)
