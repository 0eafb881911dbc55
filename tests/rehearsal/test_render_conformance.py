"""The emulated Render, held against Render's own OpenAPI document and, for the hook, against its documentation."""

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from scripts.rehearsal.clouds.render import Deploy, Status
from tests.rehearsal.tiny_service import API_KEY, HOOK_KEY, QUICK, Tiny, tiny_cloud

DOCUMENT = Path(__file__).parents[3] / "shared" / "data" / "render-openapi.json"
HOOK = "/deploy/{serviceId}"
SERVICE = "/v1/services/{serviceId}"
DEPLOYS = f"{SERVICE}/deploys"
DEPLOY = f"{DEPLOYS}/{{deployId}}"
CANCEL = f"{DEPLOY}/cancel"
ROLLBACK = f"{SERVICE}/rollback"
RESTART = f"{SERVICE}/restart"
UNKNOWN_SHA = "0" * 40

# Everything that the emulator can answer. An answer that is not provoked below, or not listed here, fails a test.
ANSWERS = {
    ("GET", SERVICE): {200, 401, 404, 503},
    ("PATCH", SERVICE): {200, 400, 401, 404, 503},
    ("GET", DEPLOYS): {200, 401, 404, 406, 503},
    ("POST", DEPLOYS): {201, 202, 400, 401, 404, 409, 503},
    ("GET", DEPLOY): {200, 401, 404, 503},
    ("POST", CANCEL): {200, 400, 401, 404, 503},
    ("POST", ROLLBACK): {201, 400, 401, 404, 503},
    ("POST", RESTART): {200, 400, 401, 404, 503},
    ("GET", HOOK): {200, 202, 400, 401, 404, 409},
    ("POST", HOOK): {200, 202, 400, 401, 404, 409},
}
API_ROUTES = sorted(route for route in ANSWERS if route[1] != HOOK)
REQUIRED_HEADERS = {
    "ratelimit-limit": r"\d+",
    "ratelimit-remaining": r"\d+",
    "ratelimit-reset": r"\d+",
    "render-request-id": r"\S+",
}


@dataclass(frozen=True)
class Exchange:
    """A request and what the emulator answered to it."""

    method: str
    route: str
    answer: httpx.Response

    @property
    def status(self) -> int:
        """The status of the answer."""
        return self.answer.status_code


class Recorder:
    """Calls the emulator and remembers every answer."""

    def __init__(self, tiny: Tiny) -> None:
        self.tiny = tiny
        self.exchanges: list[Exchange] = []

    async def call(
        self,
        method: str,
        route: str,
        *,
        deploy: str = "dep-unknown",
        service: str | None = None,
        key: str | None = None,
        query: str = "",
        body: Any = None,
    ) -> Exchange:
        """Call a route of the API or the hook; a body that is text goes out as it is."""
        root = self.tiny.cloud.api_url.removesuffix("/v1")
        path = route.format(serviceId=service or self.tiny.cloud.service_id, deployId=deploy)
        content = body if isinstance(body, str) or body is None else json.dumps(body)
        key = f"Bearer {API_KEY}" if key is None else key
        headers = {"authorization": key} if key and route != HOOK else {}
        answer = await self.tiny.client.request(method, root + path + query, content=content, headers=headers)
        self.exchanges.append(Exchange(method, route, answer))
        return self.exchanges[-1]

    async def refusals_of_every_route(self) -> None:
        """Provoke what every route of the API refuses alike: no key, a wrong one, a strange service, an outage."""
        for method, route in API_ROUTES:
            await self.call(method, route, key="")
            await self.call(method, route, key="Bearer wrong")
            await self.call(method, route, service="srv-strange", body={})
            self.tiny.faults.api_down = True
            await self.call(method, route)
            self.tiny.faults.api_down = False

    async def hook(self, query: str, *, key: str = HOOK_KEY, service: str | None = None) -> list[int]:
        """Call the hook by both of its methods and tell the statuses."""
        return [
            (await self.call(method, HOOK, query=f"?key={key}{query}", service=service)).status
            for method in ("GET", "POST")
        ]

    async def ended(self) -> Deploy:
        """Wait for the end of the newest deploy."""
        return await self.tiny.cloud.ended(self.tiny.cloud.deploys[-1].id)


async def record_before_the_first_deploy(recorder: Recorder) -> None:
    """Provoke what a service without deploys says."""
    await recorder.refusals_of_every_route()
    await recorder.call("GET", SERVICE)
    await recorder.call("GET", DEPLOYS)
    await recorder.call("POST", RESTART)


async def record_deploys(recorder: Recorder, one: str, two: str) -> None:
    """Provoke everything that deploys, cancels, and lists deploys."""
    await recorder.call("POST", DEPLOYS, body={"commitId": one, "clearCache": "clear"})
    await recorder.call("POST", DEPLOYS, body={})
    running, queued = recorder.tiny.cloud.deploys
    await recorder.call("GET", DEPLOY, deploy=queued.id)
    await recorder.call("POST", CANCEL, deploy=queued.id)
    await recorder.call("GET", DEPLOYS, query=f"?status=queued&status=canceled&createdBefore={_far_away()}")
    await recorder.tiny.cloud.ended(running.id)
    await recorder.call("GET", DEPLOY, deploy=running.id)
    await recorder.call("GET", DEPLOY)
    await recorder.call("POST", CANCEL, deploy=running.id)
    await recorder.call("POST", CANCEL)
    bodies: tuple[Any, ...] = (
        "{",
        "[]",
        {"commitId": "abc"},
        {"commitId": 1},
        {"clearCache": "maybe"},
        {"imageUrl": "x"},
    )
    for body in bodies:
        await recorder.call("POST", DEPLOYS, body=body)
    await recorder.call("POST", DEPLOYS, body={"commitId": UNKNOWN_SHA})
    for query in (
        "limit=0",
        "limit=101",
        "limit=x",
        "cursor=x",
        "status=x",
        "createdAfter=x",
        "createdAfter=2026-01-01",
    ):
        await recorder.call("GET", DEPLOYS, query=f"?{query}")


async def record_changes(recorder: Recorder) -> None:
    """Provoke what rolls back, restarts and changes the service."""
    live, canceled = recorder.tiny.cloud.deploys
    await recorder.call("GET", SERVICE)
    await recorder.call("POST", RESTART)
    await recorder.call("POST", ROLLBACK, body={"deployId": live.id})
    await recorder.ended()
    await recorder.call("POST", ROLLBACK, body={"deployId": canceled.id})
    await recorder.call("POST", ROLLBACK, body={"deployId": "dep-unknown"})
    await recorder.call("POST", ROLLBACK, body={})
    await recorder.call("PATCH", SERVICE, body={"autoDeploy": "no"})
    await recorder.call("PATCH", SERVICE, body={"autoDeployTrigger": "checksPass"})
    bodies: tuple[Any, ...] = (
        {"autoDeploy": "perhaps"},
        {"autoDeploy": []},
        {"autoDeployTrigger": 1},
        {},
        {"name": "x"},
    )
    for body in (*bodies, "x"):
        await recorder.call("PATCH", SERVICE, body=body)


async def record_hook(recorder: Recorder, commit: str) -> None:
    """Provoke every answer of the hook, by both methods."""
    assert await recorder.hook(f"&ref={commit}") == [200, 202]
    await recorder.ended()
    assert await recorder.hook("") == [200, 202]
    await recorder.ended()
    assert (await recorder.call("GET", HOOK, query=f"?key={HOOK_KEY}&ref=main")).status == 200
    assert (await recorder.call("GET", HOOK, query=f"?key={HOOK_KEY}&ref={commit}")).status == 202
    await recorder.ended()
    assert (await recorder.call("POST", HOOK, query=f"?key={HOOK_KEY}&ref=main")).status == 200
    for ref in ("nowhere", "abc123", "--all", "main..main", "main@{1}", ""):
        assert await recorder.hook(f"&ref={ref}") == [400, 400]
    assert await recorder.hook("", key="wrong") == [401, 401]
    assert await recorder.hook("", key="") == [401, 401]
    assert await recorder.hook("", service="srv-strange") == [404, 404]
    assert await recorder.hook(f"&ref={UNKNOWN_SHA}") == [404, 404]


async def record_suspended(recorder: Recorder, commit: str) -> None:
    """Provoke what a suspended service says."""
    await recorder.tiny.cloud.suspend()
    await recorder.call("GET", SERVICE)
    await recorder.call("POST", DEPLOYS, body={"commitId": commit})
    assert await recorder.hook(f"&ref={commit}") == [409, 409]


def _far_away() -> str:
    return "2999-01-01T00:00:00Z"


async def _record(folder: Path) -> tuple[list[Exchange], set[tuple[str, str]]]:
    async with tiny_cloud(folder, times=replace(QUICK, build_overhead_s=0.2)) as tiny:
        one, two = tiny.repository.commit("one"), tiny.repository.commit("two")
        recorder = Recorder(tiny)
        await record_before_the_first_deploy(recorder)
        await record_deploys(recorder, one, two)
        await record_changes(recorder)
        await record_hook(recorder, two)
        await record_suspended(recorder, one)
        served = {(method, route.path) for route in tiny.cloud.routes for method in route.methods or ()}
        return recorder.exchanges, served


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Exchange], set[tuple[str, str]]]:
    """Every exchange with one emulated Render, and the routes that it serves."""
    return asyncio.run(_record(tmp_path_factory.mktemp("conformance")))


@pytest.fixture(scope="module")
def exchanges(recorded: tuple[list[Exchange], set[tuple[str, str]]]) -> list[Exchange]:
    """The exchanges with the API; those with the hook are not in the document."""
    return [exchange for exchange in recorded[0] if exchange.route != HOOK]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """Render's OpenAPI document, its schemas turned into JSON Schema."""
    if not DOCUMENT.exists():
        pytest.skip(f"Render's OpenAPI document is not at {DOCUMENT.name} in the shared data: nothing to compare with")
    return as_json_schema(json.loads(DOCUMENT.read_text()))  # type: ignore[no-any-return]  # an object stays one


def as_json_schema(node: Any) -> Any:
    """Turn OpenAPI 3.0.3 into JSON Schema: `nullable` becomes a type, and `oneOf` becomes `anyOf`.

    The document's alternatives overlap (a web service is also a valid private service), which `oneOf` would refuse.
    """
    if isinstance(node, list):
        return [as_json_schema(each) for each in node]
    if not isinstance(node, dict):
        return node
    turned = {("anyOf" if name == "oneOf" else name): as_json_schema(value) for name, value in node.items()}
    if turned.pop("nullable", False) is True:
        return {"anyOf": [turned, {"type": "null"}]}
    return turned


def is_time(value: object) -> bool:
    """Tell whether a text is a time in UTC as Render writes it; anything else is not this check's concern."""
    return not isinstance(value, str) or (value.endswith("Z") and bool(datetime.fromisoformat(value)))


def problems(document: dict[str, Any], schema: dict[str, Any], value: object) -> Iterator[str]:
    """Tell everything that is wrong with a body."""
    checker = FormatChecker(formats=())
    checker.checks("date-time", raises=ValueError)(is_time)
    validator = Draft202012Validator({"components": document["components"], **schema}, format_checker=checker)
    for error in validator.iter_errors(value):
        yield f"{error.json_path}: {error.message}"


def expected_answer(document: dict[str, Any], exchange: Exchange) -> dict[str, Any]:
    """Find what the document says about the answer to an exchange."""
    operation = document["paths"][exchange.route.removeprefix("/v1")][exchange.method.lower()]
    answer = operation["responses"][str(exchange.status)]
    if "$ref" in answer:
        return document["components"]["responses"][answer["$ref"].rpartition("/")[2]]  # type: ignore[no-any-return]
    return answer  # type: ignore[no-any-return]


def test_every_route_is_compared(recorded: tuple[list[Exchange], set[tuple[str, str]]]) -> None:
    """Every route and method that the emulator serves is compared here, and no other."""
    assert recorded[1] == set(ANSWERS)


@pytest.mark.parametrize(("method", "route"), sorted(ANSWERS))
def test_every_answer_is_provoked(
    recorded: tuple[list[Exchange], set[tuple[str, str]]], method: str, route: str
) -> None:
    """Each route gave every status that it can give, and none else."""
    given = {each.status for each in recorded[0] if (each.method, each.route) == (method, route)}
    assert given == ANSWERS[method, route]


@pytest.mark.parametrize(("method", "route"), API_ROUTES)
def test_statuses_are_allowed(document: dict[str, Any], method: str, route: str) -> None:
    """Every status that a route gives is one that the document allows for it."""
    allowed = document["paths"][route.removeprefix("/v1")][method.lower()]["responses"]
    assert {str(status) for status in ANSWERS[method, route]} <= set(allowed)


def test_bodies_are_as_documented(document: dict[str, Any], exchanges: list[Exchange]) -> None:
    """Every body validates against the schema of its status; where the document has none, there is no body."""
    wrong: list[object] = []
    for exchange in exchanges:
        content = expected_answer(document, exchange).get("content")
        if content is None:
            wrong += [exchange] if exchange.answer.content else []
        else:
            schema = content["application/json"]["schema"]
            wrong += [(exchange, problem) for problem in problems(document, schema, exchange.answer.json())]
    assert wrong == []


def test_web_service_details_are_complete(document: dict[str, Any], exchanges: list[Exchange]) -> None:
    """The service's details are those of a web service, the one alternative that it must satisfy."""
    schema = {"$ref": "#/components/schemas/webServiceDetails"}
    details = [
        each.answer.json()["serviceDetails"] for each in exchanges if each.route == SERVICE and each.status == 200
    ]
    assert details
    assert [problem for each in details for problem in problems(document, schema, each)] == []


def test_deploys_have_what_clients_read(exchanges: list[Exchange]) -> None:
    """A deploy says its commit, status, trigger and times, although the document requires only its id."""
    of_deploys = {(DEPLOY, 200), (CANCEL, 200), (ROLLBACK, 201), (DEPLOYS, 201)}
    bodies = [each.answer.json() for each in exchanges if (each.route, each.status) in of_deploys]
    wanted = {"id", "commit", "status", "trigger", "createdAt", "updatedAt"}
    assert bodies
    assert [body for body in bodies if not wanted <= set(body)] == []
    assert [body for body in bodies if not re.fullmatch(r"dep-[0-9a-z]{20}", body["id"])] == []


def test_every_answer_has_the_headers(recorded: tuple[list[Exchange], set[tuple[str, str]]]) -> None:
    """Every answer, a refusal too, says what is left of the rate limit and has a request id."""
    wrong = [
        (exchange, name)
        for exchange in recorded[0]
        for name, form in REQUIRED_HEADERS.items()
        if not re.fullmatch(form, exchange.answer.headers.get(name, ""))
    ]
    assert wrong == []


def test_refusals_say_why(recorded: tuple[list[Exchange], set[tuple[str, str]]]) -> None:
    """Every refusal has an id and a message."""
    refusals = [exchange.answer.json() for exchange in recorded[0] if exchange.status >= 400]
    assert refusals
    assert [body for body in refusals if not (body.get("id") and body.get("message"))] == []


def test_hook_answers_as_documented(recorded: tuple[list[Exchange], set[tuple[str, str]]]) -> None:
    """The hook tells the id of the deploy and nothing else; a 202 tells nothing at all."""
    bodies = [each.answer for each in recorded[0] if each.route == HOOK and each.status in {200, 202}]
    started = [answer.json() for answer in bodies if answer.status_code == 200]
    assert all(re.fullmatch(r"\{'deploy': \{'id': 'dep-[0-9a-z]{20}'\}\}", str(body)) for body in started)
    assert [answer.content for answer in bodies if answer.status_code == 202] == [b""] * 3


@pytest.mark.parametrize("method", ["HEAD", "PUT", "PATCH", "DELETE"])
def test_hook_refuses_other_methods(tmp_path: Path, method: str) -> None:
    """Only GET and POST deploy: any other method is a 405 and deploys nothing."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path) as tiny:
            tiny.repository.commit("only")
            assert (await tiny.client.request(method, tiny.cloud.hook_url)).status_code == 405
            assert tiny.cloud.deploys == ()

    asyncio.run(rehearse())


def test_hook_with_ref_turns_auto_deploy_off(tmp_path: Path) -> None:
    """A hook with `ref` turns auto-deploy off; one without, and an API deploy, leave it on."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path) as tiny:
            commit = tiny.repository.commit("only")
            await tiny.client.get(tiny.cloud.hook_url)
            await tiny.api("POST", "/deploys", commitId=commit)
            assert (await tiny.api("GET")).json()["autoDeployTrigger"] == "commit"
            await tiny.hook(commit)
            service = (await tiny.api("GET")).json()
            assert (service["autoDeploy"], service["autoDeployTrigger"]) == ("no", "off")

    asyncio.run(rehearse())


def test_pages_are_newest_first_and_complete(tmp_path: Path) -> None:
    """Following the cursors yields every deploy once, newest first, and ends with an empty page."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path) as tiny:
            commit = tiny.repository.commit("only")
            for _ in range(5):
                await tiny.hook(commit)
            expected = [deploy.id for deploy in reversed(tiny.cloud.deploys)]
            found: list[str] = []
            cursor = ""
            while page := (await tiny.api("GET", f"/deploys?limit=2{cursor}")).json():
                assert len(page) <= 2
                found += [each["deploy"]["id"] for each in page]
                cursor = f"&cursor={page[-1]['cursor']}"
            assert found == expected

    asyncio.run(rehearse())


def test_pages_are_filtered(tmp_path: Path) -> None:
    """Deploys are found by their status and by when they were created."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path, times=replace(QUICK, build_overhead_s=5.0)) as tiny:
            commit = tiny.repository.commit("only")
            for _ in range(3):
                await tiny.hook(commit)
            running, canceled, queued = tiny.cloud.deploys
            assert (running.status, canceled.status) == (Status.BUILD_IN_PROGRESS, Status.CANCELED)
            at = canceled.created_at.isoformat().replace("+00:00", "Z")
            for query, expected in {
                "status=queued": [queued],
                "status=queued&status=canceled": [queued, canceled],
                f"createdAfter={at}": [queued],
                f"createdBefore={at}": [running],
                f"createdBefore={at}&status=queued": [],
            }.items():
                page = (await tiny.api("GET", f"/deploys?{query}")).json()
                assert [each["deploy"]["id"] for each in page] == [deploy.id for deploy in expected]

    asyncio.run(rehearse())
