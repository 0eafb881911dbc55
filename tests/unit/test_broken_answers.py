"""True answers of a platform, spoilt somewhere: whatever comes back is a value of ours or an error of our tree."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from scripts.client import Client
from scripts.clock import Deadline
from scripts.errors import SlipwayError
from scripts.platforms import History, Platform
from scripts.platforms.render import HOOK, KEY, Render
from scripts.platforms.vercel_cli import Ended
from scripts.redaction import Secret
from scripts.release import Baseline, Deployment, DeployState, Sha
from tests.unit.fake_vercel import NEW, TOKEN, Cloud
from tests.unit.fakes import FakeClock
from tests.unit.openapi_values import values_of
from tests.unit.test_render import API, API_KEY, HOOK_KEY, HOOK_URL, deploy_row
from tests.unit.test_vercel import CANDIDATE, Bench, baseline, production, released

OLD = Sha("b" * 40)
LIMIT_S = 60.0
GOOD = {"200", "201", "202"}
FILE = Path(__file__).parents[3] / "shared" / "data" / "render-openapi.json"
DOCUMENT: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
SERVICE: Mapping[str, object] = {
    "id": "srv-abc123",
    "suspended": "not_suspended",
    "autoDeploy": "no",
    "serviceDetails": {"numInstances": 1, "url": "https://a.example"},
}
TRUE: Mapping[str, object] = {
    "GET /v1/services/srv-abc123": SERVICE,
    "PATCH /v1/services/srv-abc123": SERVICE,
    "GET /v1/services/srv-abc123/deploys": [{"deploy": deploy_row(), "cursor": "c"}],
    "GET /v1/services/srv-abc123/deploys/dep-1": deploy_row(),
    "POST /v1/services/srv-abc123/deploys/dep-1/cancel": deploy_row(status="canceled"),
    "POST /v1/services/srv-abc123/rollback": deploy_row(status="created", trigger="rollback"),
    "POST /deploy/srv-abc123": {"deploy": {"id": "dep-1"}},
}
ACTS: Mapping[str, Callable[[Platform, Deadline], object]] = {
    "history": lambda platform, deadline: platform.fetch_history(deadline),
    "deployment": lambda platform, deadline: platform.fetch_deployment("dep-1", deadline),
    "deploy": lambda platform, deadline: platform.deploy(OLD, deadline),
    "cancel": lambda platform, deadline: platform.cancel(Deployment("dep-1", OLD, DeployState.BUILDING), deadline),
    "roll back": lambda platform, deadline: platform.roll_back(Baseline("render", OLD, "dep-1", proven=True), deadline),
}


@st.composite
def spoilt(draw: st.DrawFn, value: Any) -> Any:
    """Give a true answer with one place in it replaced by anything, or left out."""
    if isinstance(value, dict) and value and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(value)))
        if draw(st.booleans()):
            return {other: inner for other, inner in value.items() if other != name}
        return {**value, name: draw(spoilt(value[name]))}
    if isinstance(value, list) and value and draw(st.booleans()):
        return [draw(spoilt(value[0])), *value[1:]]
    return draw(ANYTHING)


@st.composite
def responses(draw: st.DrawFn, true: object) -> httpx.Response:
    """Give an answer in place of the true one: spoilt JSON, cut-off JSON, another status, or bytes."""
    text = json.dumps(draw(spoilt(true))).encode()
    body = draw(st.sampled_from([text, text[: len(text) // 2], b"", b"<html>busy</html>", b"\xff\xfe{}"]))
    status = draw(st.sampled_from([200, 200, 200, 201, 202, 204, 400, 404, 409, 418, 500]))
    return httpx.Response(status, content=body)


def platform_that(answer: Callable[[httpx.Request], httpx.Response], clock: FakeClock) -> Render:
    """Make the adapter, on a platform that answers so."""
    secrets = {HOOK: Secret(HOOK_URL), KEY: Secret(API_KEY)}
    return Render(Client(clock, httpx.MockTransport(answer)), secrets, API)


@pytest.mark.parametrize("act", ACTS)
@given(data=st.data())
def test_a_spoilt_answer_is_ours_or_an_error(act: str, data: st.DataObject) -> None:
    """No traceback, nothing but our own values, no secret in what is told, and no wait beyond the deadline."""
    clock = FakeClock()

    def answer(request: httpx.Request) -> httpx.Response:
        return data.draw(responses(TRUE[f"{request.method} {request.url.path}"]))

    platform = platform_that(answer, clock)
    told, given_back = "", None
    try:
        given_back = ACTS[act](platform, Deadline.after(clock, LIMIT_S))
    except SlipwayError as error:
        told = f"exit {error.exit_code}: {error}"
    deployment = given_back[0] if isinstance(given_back, tuple) else given_back
    assert deployment is None or isinstance(deployment, History | Deployment)
    assert told[:8] in {"", "exit 2: ", "exit 12:"}
    assert HOOK_KEY not in told
    assert API_KEY not in told
    assert clock.passed_s <= LIMIT_S


def documented(method: str, path: str) -> dict[str, Any]:
    """Give the schema of what Render's document says of the good answers to a request."""
    found = re.fullmatch(r"/v1(/services)/srv-abc123((?:/deploys(?:/dep-1)?)?(?:/cancel|/rollback)?)", path)
    assert found
    route = f"{found[1]}/{{serviceId}}{found[2].replace('dep-1', '{deployId}')}"
    answers = DOCUMENT["paths"][route][method.lower()]["responses"]
    schemas = [answers[status]["content"]["application/json"]["schema"] for status in answers if status in GOOD]
    return {"oneOf": schemas}


@pytest.mark.skipif(not DOCUMENT, reason="needs Render's OpenAPI document, shared/data/render-openapi.json")
@pytest.mark.parametrize("act", [name for name in ACTS if name != "deploy"])  # the hook is not in the document
@given(data=st.data())
def test_whatever_the_document_allows_is_ours_or_an_error(act: str, data: st.DataObject) -> None:
    """Render's own document leaves most fields out if it likes, and lets texts be anything."""
    clock = FakeClock()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/deploy/"):
            return httpx.Response(200, json=TRUE["POST /deploy/srv-abc123"])
        return httpx.Response(200, json=data.draw(values_of(documented(request.method, request.url.path), DOCUMENT)))

    told, given_back = "", None
    try:
        given_back = ACTS[act](platform_that(answer, clock), Deadline.after(clock, LIMIT_S))
    except SlipwayError as error:
        told = f"exit {error.exit_code}: {error}"
    deployment = given_back[0] if isinstance(given_back, tuple) else given_back
    assert deployment is None or isinstance(deployment, History | Deployment)
    assert told[:8] in {"", "exit 12:"}
    assert API_KEY not in told


@pytest.mark.skipif(not DOCUMENT, reason="needs Render's OpenAPI document, shared/data/render-openapi.json")
@pytest.mark.parametrize("path", ["/v1/services/srv-abc123", "/v1/services/srv-abc123/deploys"])
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_what_is_made_of_the_document_is_what_it_allows(path: str, data: st.DataObject) -> None:
    """By a validator's own word: so it is Render's answers that the adapter meets above."""
    schema = documented("GET", path)["oneOf"][0]
    value = data.draw(values_of(schema, DOCUMENT))
    whole = json.dumps({**schema, "components": DOCUMENT["components"]})
    Draft202012Validator(json.loads(whole.replace('"oneOf"', '"anyOf"'))).validate(value)  # its alternatives overlap


VERCEL_ACTS: Mapping[str, Callable[[Platform, Deadline], object]] = {
    "history": lambda platform, deadline: platform.fetch_history(deadline),
    "deployment": lambda platform, deadline: platform.fetch_deployment("dpl_new", deadline),
    "deploy": lambda platform, deadline: platform.deploy(NEW, deadline),
    "promote": lambda platform, deadline: platform.promote(CANDIDATE, deadline),
    "cancel": lambda platform, deadline: platform.cancel(replace(CANDIDATE, state=DeployState.BUILDING), deadline),
    "roll back": lambda platform, deadline: platform.roll_back(baseline(), deadline),
}
WORDS = st.text(max_size=30) | st.sampled_from(
    [
        "https://api-x.vercel.app\n",
        '{"deployment": {"id": 1}}',
        "Error: Not authorized (403)",
        "\x1b[31mError\x1b[0m",
        TOKEN,
    ]
)


@pytest.mark.parametrize("act", VERCEL_ACTS)
@given(data=st.data())
def test_a_spoilt_answer_of_vercel_is_ours_or_an_error(act: str, data: st.DataObject) -> None:
    """The same of Vercel's API, while its CLI says anything and ends with any code."""
    bench = Bench(released() if act == "roll back" else production())
    whole = Cloud(bench.cloud.rows, bench.cloud.serving, bench.cloud.project)

    def answer(request: httpx.Request) -> httpx.Response | None:
        if data.draw(st.booleans()):
            return None
        true = whole(request).json()
        return data.draw(responses(true))

    bench.cloud.before = answer
    bench.cli.ended = Ended(data.draw(st.sampled_from([0, 0, 1, 130, None])), data.draw(WORDS), data.draw(WORDS))
    told, given_back = "", None
    try:
        given_back = VERCEL_ACTS[act](bench.vercel, bench.soon(LIMIT_S))
    except SlipwayError as error:
        told = f"exit {error.exit_code}: {error}"
    deployment = given_back[0] if isinstance(given_back, tuple) else given_back
    assert deployment is None or isinstance(deployment, History | Deployment)
    assert told[:8] in {"", "exit 2: ", "exit 12:"}
    assert TOKEN not in told
    assert bench.clock.passed_s <= LIMIT_S


def test_the_true_answers_are_taken() -> None:
    """Unspoilt, each act gives what it is for: so it is the spoiling that the others are about."""
    clock = FakeClock()

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=TRUE[f"{request.method} {request.url.path}"])

    platform = platform_that(answer, clock)
    for act in ACTS.values():
        act(platform, Deadline.after(clock, LIMIT_S))
