"""The Render adapter on scripted answers: the hook, every status, the API's refusals, and no key in any message."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.client import RETRIES, Client
from scripts.clock import Deadline
from scripts.errors import (
    ConfigError,
    OutcomeUnknown,
    PlatformError,
    PlatformUnreachable,
    SlipwayError,
    UnknownState,
)
from scripts.platforms.render import HOOK, KEY, STATES, Render, service_in_hook
from scripts.redaction import Secret
from scripts.release import Baseline, Deployment, DeployState, Sha
from tests.unit.fakes import FakeClock, Line, Reply, Script

NEW, OLD = Sha("a" * 40), Sha("b" * 40)
HOOK_KEY, API_KEY = "hk-aB3xYz9Q", "rnd_5Zq8wKx1"
HOOK_URL = f"https://api.render.com/deploy/srv-abc123?key={HOOK_KEY}"
API = "https://api.render.com/v1"
SERVICE = "/v1/services/srv-abc123"
TRIES = RETRIES + 1
# The facts table: what Render may say of a deploy, and whether it has ended.
RUNNING = ["created", "queued", "build_in_progress", "pre_deploy_in_progress", "update_in_progress"]
TERMINAL = ["live", "deactivated", "build_failed", "pre_deploy_failed", "update_failed", "canceled"]


def render(script: Script, *, key: bool = True, clock: FakeClock | None = None) -> Render:
    """Make an adapter that asks a script, with an API key or without."""
    secrets = {HOOK: Secret(HOOK_URL)} | ({KEY: Secret(API_KEY)} if key else {})
    return Render(Client(clock or FakeClock(), script.transport), secrets, API)


def soon() -> Deadline:
    """Give a deadline that the retries fit into."""
    return Deadline.after(FakeClock(), 600)


def deploy_row(**keys: object) -> dict[str, object]:
    """Make a deploy as the API gives it."""
    return {
        "id": "dep-1",
        "commit": {"id": NEW, "message": "m", "createdAt": "2026-03-04T05:06:07Z"},
        "status": "live",
        "trigger": "api",
        "createdAt": "2026-03-04T05:06:07.123456Z",
        "finishedAt": None,
        **keys,
    }


def baseline(commit: Sha | None = OLD, deployment_id: str | None = "dep-0") -> Baseline:
    """Make what served before."""
    return Baseline("render", commit, deployment_id, proven=True)


def tell(error: BaseException) -> str:
    """Give everything that an error may print: its text, its repr, its fields and its traceback with every cause."""
    return f"{error} {error!r} {vars(error)} {''.join(traceback.format_exception(error))}"


@contextmanager
def refused(kind: type[SlipwayError], words: str = "") -> Iterator[list[SlipwayError]]:
    """Expect exactly this kind of error, with these words, and neither key in anything that it prints."""
    found: list[SlipwayError] = []
    with pytest.raises(kind, match=words or None) as caught:
        yield found
    assert caught.type in {kind, UnknownState if kind is PlatformError else kind}
    assert HOOK_KEY not in tell(caught.value)
    assert API_KEY not in tell(caught.value)
    found.append(caught.value)


def test_the_hook_is_called_for_exactly_one_commit() -> None:
    """The hook gets the full commit as `ref`, once, without the API key; its answer names the deploy."""
    script = Script(Reply(json={"deploy": {"id": "dep-7"}}))
    assert render(script).deploy(NEW, soon()) == Deployment("dep-7", NEW, DeployState.QUEUED)
    (request,) = script.requests
    assert request.method == "POST"
    assert str(request.url) == f"{HOOK_URL}&ref={NEW}"
    assert "authorization" not in request.headers


@pytest.mark.parametrize("body", [b"", b'{"deploy": {"id": "dep-7"}}'])
def test_a_deploy_behind_another_one_has_no_id(body: bytes) -> None:
    """202 means that the deploy waits behind a running one, and names none."""
    told = render(Script(Reply(202, body=body))).deploy(NEW, soon())
    assert (told.id, told.commit, told.state) == (None, NEW, DeployState.QUEUED)
    assert told.detail


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (400, ConfigError, "does not know the commit"),
        (401, ConfigError, "does not accept the key"),
        (404, ConfigError, "no such service or commit"),
        (405, PlatformError, "does not accept this method"),
        (409, PlatformError, "suspended or unable"),
        (429, PlatformUnreachable, "wants fewer requests"),
        (403, PlatformError, "not known"),
        (302, PlatformError, "not known"),
        (418, PlatformError, "not known"),
    ],
)
def test_every_refusal_of_the_hook(status: int, kind: type[SlipwayError], words: str) -> None:
    """Each refusal is told with its status, that nothing was deployed, and what to do; one not known fails at once."""
    script = Script(*[Reply(status)] * (TRIES if status == 429 else 1))
    with refused(kind, words) as told:
        render(script).deploy(NEW, soon())
    assert f"Render's deploy hook for aaaaaaa: answered {status}: Render " in told[0].what
    assert told[0].means == "Nothing was deployed."
    assert told[0].next_step


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_broken_hook_is_an_unknown_outcome(status: int) -> None:
    """After a 5xx of the hook the deploy may or may not be on its way, so nobody says that it is not."""
    script = Script(*[Reply(status)] * (TRIES if status == 503 else 1))
    with refused(OutcomeUnknown, f"answered {status}"):
        render(script).deploy(NEW, soon())


@pytest.mark.parametrize(
    "reply",
    [
        Reply(),
        Reply(body=b"<html>"),
        Reply(json=[]),
        Reply(json={}),
        Reply(json={"deploy": None}),
        Reply(json={"deploy": {}}),
        Reply(json={"deploy": {"id": None}}),
        Reply(json={"deploy": {"id": 5}}),
        Reply(json={"status": "sync started"}),
    ],
)
def test_a_hook_that_names_no_deploy_is_an_unknown_outcome(reply: Reply) -> None:
    """200 without a deploy's id is not a deploy that we know."""
    with refused(OutcomeUnknown, "answered 200 without a deploy id"):
        render(Script(reply)).deploy(NEW, soon())


@pytest.mark.parametrize("status", [201, 204])
def test_an_unusual_success_of_the_hook_is_an_unknown_outcome(status: int) -> None:
    """A hook that accepts in another way may have begun a deploy, which must not be written down as refused."""
    with refused(OutcomeUnknown):
        render(Script(Reply(status, json={"deploy": {"id": "dep-7"}}))).deploy(NEW, soon())


@pytest.mark.parametrize("error", [httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("closed")])
def test_a_hook_that_does_not_answer_is_an_unknown_outcome(error: Exception) -> None:
    """A hook that was called and did not answer is not called again."""
    script = Script(error)
    with refused(OutcomeUnknown, "sent, but not answered"):
        render(script).deploy(NEW, soon())
    assert len(script.requests) == 1


def test_a_hook_that_cannot_be_reached_was_not_called() -> None:
    """Without a connection nothing was deployed, which is not an unknown outcome."""
    with refused(PlatformUnreachable, "no answer"):
        render(Script(*[httpx.ConnectError("refused")] * TRIES)).deploy(NEW, soon())


def test_the_facts_table_is_whole() -> None:
    """Every status of Render's documentation is known, and no other."""
    assert set(STATES) == {*RUNNING, *TERMINAL}


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("created", DeployState.QUEUED),
        ("queued", DeployState.QUEUED),
        ("build_in_progress", DeployState.BUILDING),
        ("pre_deploy_in_progress", DeployState.STARTING),
        ("update_in_progress", DeployState.STARTING),
        ("live", DeployState.LIVE),
        ("deactivated", DeployState.RETIRED),
        ("build_failed", DeployState.FAILED),
        ("pre_deploy_failed", DeployState.FAILED),
        ("update_failed", DeployState.FAILED),
        ("canceled", DeployState.CANCELED),
    ],
)
def test_every_status_is_read(status: str, state: DeployState) -> None:
    """Each status has its state, those that end a deploy end it, and only one that was live has served."""
    script = Script(Reply(json=deploy_row(status=status)))
    told = render(script).fetch_deployment("dep-1", soon())
    created = datetime(2026, 3, 4, 5, 6, 7, 123456, tzinfo=UTC)
    assert told == Deployment("dep-1", NEW, state, created, detail=status, is_rollback=False)
    assert told.state.ended == (status in TERMINAL)
    assert told.state.has_served == (status in {"live", "deactivated"})
    assert script.asked == [f"GET {SERVICE}/deploys/dep-1"]
    assert script.requests[0].headers["authorization"] == f"Bearer {API_KEY}"


@pytest.mark.parametrize("status", ["exploded", "LIVE", "", None, 5, ["live"]])
def test_an_unknown_status_fails_at_once(status: object) -> None:
    """A status that is not known is not waited for, and the message says which and of which deploy."""
    with refused(UnknownState, "status that is not known") as told:
        render(Script(Reply(json=deploy_row(status=status)))).fetch_deployment("dep-1", soon())
    assert "dep-1" in told[0].what
    assert repr(status) in told[0].what
    assert told[0].next_step


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b'{"id": 5, "status": "live"}', b"<html>"])
def test_what_is_not_a_deploy_is_nonsense(body: bytes) -> None:
    """An answer that is not a deploy is exit 12."""
    with refused(PlatformError, "not a deploy"):
        render(Script(Reply(body=body))).fetch_deployment("dep-1", soon())


@pytest.mark.parametrize(
    ("keys", "commit"),
    [
        ({"commit": None}, None),
        ({"commit": {}}, None),
        ({"commit": {"id": "abc"}}, None),
        ({"commit": "a" * 40}, None),
        ({"commit": {"id": "A" * 40}}, NEW),
    ],
)
def test_a_deploy_without_a_full_commit_has_none(keys: dict[str, object], commit: Sha | None) -> None:
    """An image deploy, or a short id, is a deploy of no known commit."""
    assert render(Script(Reply(json=deploy_row(**keys)))).fetch_deployment("dep-1", soon()).commit == commit


@pytest.mark.parametrize("created_at", [None, 5, "", "yesterday"])
def test_a_deploy_without_a_time_has_none(created_at: object) -> None:
    """A time that cannot be read is none."""
    row = Reply(json=deploy_row(createdAt=created_at))
    assert render(Script(row)).fetch_deployment("dep-1", soon()).created_at is None


def test_a_time_always_has_its_zone() -> None:
    """A time without a zone is taken as UTC or not at all, because it is compared with one that has."""
    row = Reply(json=deploy_row(createdAt="2026-03-04T05:06:07"))
    created_at = render(Script(row)).fetch_deployment("dep-1", soon()).created_at
    assert created_at is None or created_at.tzinfo is not None


@given(st.recursive(st.none() | st.text(max_size=4) | st.integers(), lambda inner: st.dictionaries(st.sampled_from(["id", "status", "commit", "createdAt", "trigger"]), inner) | st.lists(inner, max_size=2)))  # fmt: skip  # noqa: E501
def test_no_answer_is_a_bug(body: object) -> None:
    """Whatever Render answers is a deploy or an error of our tree."""
    asked = render(Script(Reply(json=body if body is not None else {})))
    try:
        told = asked.fetch_deployment("dep-1", soon()).state in DeployState
    except PlatformError as error:
        told = error.exit_code == 12
    assert told


def service(**keys: object) -> Reply:
    """Make the service as the API gives it."""
    return Reply(json={"id": "srv-abc123", "suspended": "not_suspended", "serviceDetails": {"numInstances": 2}, **keys})


def test_history() -> None:
    """The history has the deployments newest first, which one is live, the instances, and whether it is suspended."""
    rows = [
        {"deploy": deploy_row(id="dep-2", status="update_in_progress"), "cursor": "c2"},
        {"deploy": deploy_row(id="dep-1", status="live", trigger="rollback"), "cursor": "c1"},
        {"deploy": deploy_row(id="dep-0", status="deactivated", commit={"id": OLD}), "cursor": "c0"},
    ]
    script = Script(service(), Reply(json=rows))
    history = render(script).fetch_history(soon())
    assert history is not None
    assert [row.id for row in history.deployments] == ["dep-2", "dep-1", "dep-0"]
    assert [row.is_rollback for row in history.deployments] == [False, True, False]
    assert history.current is history.deployments[1]
    assert history.find("dep-0") is history.deployments[2]
    assert history.find("dep-9") is None
    assert history.find(None) is None
    assert history.new_since(frozenset({"dep-1"}), NEW) is history.deployments[0]
    assert history.new_since(frozenset({"dep-1", "dep-2"}), NEW) is None
    assert (history.instances, history.suspended) == (2, False)
    assert script.asked == [f"GET {SERVICE}", f"GET {SERVICE}/deploys"]
    assert script.requests[1].url.params["limit"] == "100"


@pytest.mark.parametrize(
    ("keys", "instances", "suspended"),
    [
        ({"suspended": "suspended"}, 2, True),
        ({"suspended": None}, 2, False),
        ({"serviceDetails": None}, None, False),
        ({"serviceDetails": {}}, None, False),
        ({"serviceDetails": {"numInstances": 0}}, None, False),
        ({"serviceDetails": {"numInstances": 1}}, 1, False),
        ({"serviceDetails": {"numInstances": "2"}}, None, False),
    ],
)
def test_what_the_service_is_set_to(keys: dict[str, object], instances: int | None, suspended: bool) -> None:
    """A count of instances that makes no sense is none, and only the word itself means suspended."""
    history = render(Script(service(**keys), Reply(json=[]))).fetch_history(soon())
    assert history is not None
    assert (history.instances, history.suspended, history.deployments, history.current) == (
        instances,
        suspended,
        (),
        None,
    )


def test_without_a_key_nobody_looks() -> None:
    """Without an API key there is no history, and nothing is asked."""
    script = Script()
    assert render(script, key=False).fetch_history(soon()) is None
    assert script.requests == []


def test_without_a_key_no_deployment_is_read() -> None:
    """What needs the API says which secret is missing."""
    with refused(ConfigError, f"needs {KEY}"):
        render(Script(), key=False).fetch_deployment("dep-1", soon())


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (Reply(json=[]), None, "expected a JSON object"),
        (Reply(body=b"<html>"), None, "expected a JSON object"),
        (service(), Reply(json={}), "expected a list of deploys"),
        (service(), Reply(body=b""), "expected a list of deploys"),
        (service(), Reply(json=["dep-1"]), "not a deploy"),
        (service(), Reply(json=[{"cursor": "c"}]), "not a deploy"),
        (service(), Reply(json=[{"deploy": deploy_row(status="new")}]), "status that is not known"),
    ],
)
def test_a_history_that_is_nonsense(first: Reply, second: Reply | None, words: str) -> None:
    """An answer that cannot be read is exit 12 and never an empty history."""
    with refused(PlatformError, words):
        render(Script(*filter(None, (first, second)))).fetch_history(soon())


REFUSALS: list[tuple[int, type[SlipwayError]]] = [
    (400, PlatformError),
    (401, ConfigError),
    (403, ConfigError),
    (404, ConfigError),
    (410, ConfigError),
    (409, PlatformError),
    (202, PlatformError),
    (302, PlatformError),
    (429, PlatformUnreachable),
    (499, PlatformError),
    (500, PlatformUnreachable),
    (502, PlatformUnreachable),
    (503, PlatformUnreachable),
]


@pytest.mark.parametrize(("status", "kind"), REFUSALS)
def test_every_refusal_of_the_api(status: int, kind: type[SlipwayError]) -> None:
    """Each refusal of the API is told with its status and Render's own words: settings are exit 2, all else exit 12."""
    script = Script(*[Reply(status, json={"id": "x", "message": "said so"})] * TRIES)
    with refused(kind) as told:
        render(script).fetch_deployment("dep-1", soon())
    assert told[0].what == f"Render, reading the deploy: answered {status} (said so)"
    assert told[0].exit_code == (2 if kind is ConfigError else 12)
    assert len(script.requests) == (TRIES if status == 429 or status >= 500 else 1)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"message": ""}'])
def test_a_refusal_without_words(body: bytes) -> None:
    """A refusal whose body says nothing is told by its status alone."""
    with refused(PlatformError) as told:
        render(Script(Reply(400, body=body))).fetch_deployment("dep-1", soon())
    assert told[0].what == "Render, reading the deploy: answered 400"


def test_a_long_refusal_is_told_in_part() -> None:
    """Of a platform's words no more than 200 characters are told."""
    with refused(PlatformError) as told:
        render(Script(Reply(400, json={"message": "x" * 5000}))).fetch_deployment("dep-1", soon())
    assert told[0].what.count("x") == 200


def test_an_api_that_recovers_is_waited_for() -> None:
    """Reading goes on after a 429 once the pause that Render asks for is over."""
    clock = FakeClock()
    script = Script(Reply(429, headers={"retry-after": "3"}), Reply(json=deploy_row()))
    assert render(script, clock=clock).fetch_deployment("dep-1", Deadline.after(clock, 60)).id == "dep-1"
    assert clock.pauses == [3]


def test_promote_asks_nothing() -> None:
    """Render moves the traffic by itself, so there is nothing to ask."""
    script = Script()
    render(script).promote(Deployment("dep-1", NEW, DeployState.LIVE), soon())
    assert script.requests == []


ROLLED_BACK = Reply(201, json=deploy_row(id="dep-3", commit={"id": OLD}, status="created", trigger="rollback"))


def test_a_rollback_by_the_api_turns_auto_deploy_off() -> None:
    """The API's rollback first turns auto-deploy off, or the next push undoes it, then asks for the old deploy."""
    script = Script(Reply(json={}), ROLLED_BACK)
    deployment, warning = render(script).roll_back(baseline(), soon())
    assert (deployment.id, deployment.commit, deployment.state, warning) == ("dep-3", OLD, DeployState.QUEUED, "")
    assert deployment.is_rollback
    assert script.asked == [f"PATCH {SERVICE}", f"POST {SERVICE}/rollback"]
    assert script.requests[0].content == b'{"autoDeploy": "no"}'
    assert script.requests[1].content == b'{"deployId": "dep-0"}'


@pytest.mark.parametrize(
    "lines",
    [
        [Reply(401)],
        [Reply(404)],
        [Reply(500)],
        [Reply(400, json={"message": "no"})],
        [Reply(429)] * TRIES,
        [httpx.ReadTimeout("slow")],
        [httpx.ConnectError("refused")] * TRIES,
    ],
)
def test_a_rollback_stands_when_auto_deploy_cannot_be_turned_off(lines: list[Line]) -> None:
    """Where turning auto-deploy off fails, the rollback stands and a warning says what may happen."""
    deployment, warning = render(Script(*lines, ROLLED_BACK)).roll_back(baseline(), soon())
    assert deployment.id == "dep-3"
    assert "auto-deploy may still be on" in warning
    assert API_KEY not in warning
    assert HOOK_KEY not in warning


@pytest.mark.parametrize(("status", "kind"), [row for row in REFUSALS if row[0] < 500])
def test_a_rollback_that_is_refused(status: int, kind: type[SlipwayError]) -> None:
    """A rollback that the API refuses is an error where nothing else is possible, never a deployment."""
    no = [Reply(status, json={"message": "no such artifact"})] * (TRIES if status == 429 else 1)
    script = Script(Reply(json={}), *no)
    with refused(kind, "rolling back: answered"):
        render(script).roll_back(baseline(None), soon())


@pytest.mark.parametrize("status", ["live", "deactivated"])
def test_a_build_that_is_not_kept_is_built_anew(status: str) -> None:
    """What served and is not rolled back to is deployed by the hook from its commit, and that is said."""
    served = Reply(json=deploy_row(id="dep-0", status=status))
    script = Script(Reply(json={}), Reply(400, json={"message": "no"}), served, Reply(json={"deploy": {"id": "dep-4"}}))
    deployment, warning = render(script).roll_back(baseline(), soon())
    assert deployment == Deployment("dep-4", OLD, DeployState.QUEUED)
    assert "built anew from its commit" in warning
    assert str(script.requests[-1].url) == f"{HOOK_URL}&ref={OLD}"


@pytest.mark.parametrize("status", ["build_failed", "canceled", "update_failed", "build_in_progress"])
def test_what_never_served_is_not_built_for_a_rollback(status: str) -> None:
    """A rollback to it is refused, and nothing else is tried."""
    script = Script(Reply(json={}), Reply(400), Reply(json=deploy_row(id="dep-0", status=status)))
    with refused(PlatformError, "rolling back: answered 400"):
        render(script).roll_back(baseline(), soon())
    assert script.asked[-1] == f"GET {SERVICE}/deploys/dep-0"


@pytest.mark.parametrize(("status", "kind"), [(401, ConfigError), (404, ConfigError), (409, PlatformError)])
def test_a_rollback_that_is_forbidden_is_not_tried_otherwise(status: int, kind: type[SlipwayError]) -> None:
    """Only what says that there is nothing to go back to is a reason to build it anew."""
    script = Script(Reply(json={}), Reply(status))
    with refused(kind, "rolling back: answered"):
        render(script).roll_back(baseline(), soon())
    assert len(script.requests) == 2


def test_the_hook_is_what_is_left_without_the_api() -> None:
    """The blind platform sees nothing, and goes back by the hook; without a key there is nothing more blind."""
    script = Script(Reply(json={"deploy": {"id": "dep-4"}}))
    blind = render(script).blind
    assert blind is not None
    assert blind.fetch_history(soon()) is None
    assert blind.roll_back(baseline(), soon())[0].id == "dep-4"
    assert blind.blind is None


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_rollback_that_broke_is_an_unknown_outcome(status: int) -> None:
    """After a 5xx the rollback may have begun, so it is looked for and not written down as refused."""
    with refused(OutcomeUnknown):
        render(Script(Reply(json={}), Reply(status))).roll_back(baseline(), soon())


@pytest.mark.parametrize("reply", [Reply(201), Reply(201, json={}), Reply(200, json=deploy_row(status="new"))])
def test_a_rollback_that_names_no_deploy_is_an_unknown_outcome(reply: Reply) -> None:
    """An accepted rollback whose answer cannot be read may have begun, as with the hook."""
    with refused(OutcomeUnknown):
        render(Script(Reply(json={}), reply)).roll_back(baseline(), soon())


def test_a_rollback_that_is_not_answered_is_an_unknown_outcome() -> None:
    """A rollback that was sent and not answered is not sent again."""
    script = Script(Reply(json={}), httpx.ReadTimeout("slow"))
    with refused(OutcomeUnknown, "rolling back: sent, but not answered"):
        render(script).roll_back(baseline(), soon())
    assert [line for line in script.asked if line.startswith("POST")] == [f"POST {SERVICE}/rollback"]


def test_auto_deploy_is_off_after_an_unknown_rollback_too() -> None:
    """A rollback that may have happened leaves auto-deploy off, or the next push brings the bad commit back."""
    script = Script(Reply(json={}), httpx.ReadTimeout("slow"))
    with refused(OutcomeUnknown):
        render(script).roll_back(baseline(), soon())
    assert f"PATCH {SERVICE}" in script.asked


@pytest.mark.parametrize(("key", "deployment_id"), [(False, "dep-0"), (False, None), (True, None)])
def test_a_rollback_by_the_hook(key: bool, deployment_id: str | None) -> None:
    """Without a key, or without a deploy to name, the hook is called with the old commit; it turns auto-deploy off."""
    script = Script(Reply(json={"deploy": {"id": "dep-4"}}))
    told = render(script, key=key).roll_back(baseline(OLD, deployment_id), soon())
    assert told == (Deployment("dep-4", OLD, DeployState.QUEUED), "")
    assert str(script.requests[0].url) == f"{HOOK_URL}&ref={OLD}"
    assert len(script.requests) == 1


@pytest.mark.parametrize("key", [False, True])
def test_a_rollback_to_a_commit_that_nobody_knows(key: bool) -> None:
    """Without a deploy and without a commit there is nothing to ask for, and nothing is asked."""
    script = Script()
    with refused(PlatformError, "no known commit"):
        render(script, key=key).roll_back(baseline(None, None), soon())
    assert script.requests == []


@pytest.mark.parametrize(
    "reply", [Reply(200, json=deploy_row(status="canceled")), Reply(400, json={"message": "ended"})]
)
def test_cancel(reply: Reply) -> None:
    """A deploy is asked to stop; one that has ended meanwhile is refused with 400, which is fine."""
    script = Script(reply)
    render(script).cancel(Deployment("dep-2", NEW, DeployState.BUILDING), soon())
    assert script.asked == [f"POST {SERVICE}/deploys/dep-2/cancel"]


@pytest.mark.parametrize(("status", "kind"), [(401, ConfigError), (404, ConfigError), (409, PlatformError)])
def test_a_cancel_that_is_refused(status: int, kind: type[SlipwayError]) -> None:
    """Any other refusal of a cancel is an error: the deploy may still go live."""
    with refused(kind, "cancelling the deploy"):
        render(Script(Reply(status))).cancel(Deployment("dep-2", NEW, DeployState.BUILDING), soon())


@pytest.mark.parametrize(("key", "deployment_id"), [(False, "dep-2"), (True, None)])
def test_what_cannot_be_cancelled_is_left(key: bool, deployment_id: str | None) -> None:
    """Without a key, or without a deploy that has a name, nothing is asked."""
    script = Script()
    render(script, key=key).cancel(Deployment(deployment_id, NEW, DeployState.QUEUED), soon())
    assert script.requests == []


@pytest.mark.parametrize(
    "url",
    [
        HOOK_URL,
        f"http://127.0.0.1:8123/deploy/srv-abc123?key={HOOK_KEY}",
        f"https://api.render.com/deploy/srv-abc123?a=b&key={HOOK_KEY}",
    ],
)
def test_the_service_in_a_hook(url: str) -> None:
    """The hook's URL names the service that the API is asked about."""
    assert service_in_hook(Secret(url)) == "srv-abc123"


@pytest.mark.parametrize(
    ("url", "found"),
    [
        (f"https://api.render.com/deploy/exs-abc123?key={HOOK_KEY}", "Blueprint"),
        ("https://api.render.com/deploy/srv-abc123", "something else"),
        ("https://api.render.com/deploy/srv-abc123?key=", "something else"),
        (f"https://api.render.com/deploy/srv-abc123/more?key={HOOK_KEY}", "something else"),
        (f"https://api.render.com/v1/srv-abc123?key={HOOK_KEY}", "something else"),
        (f"https://api.render.com/deploy/srv-?key={HOOK_KEY}", "something else"),
        (f"/deploy/srv-abc123?key={HOOK_KEY}", "something else"),
        (HOOK_KEY, "something else"),
        ("", "something else"),
    ],
)
def test_what_is_no_services_hook_is_refused(url: str, found: str) -> None:
    """A Blueprint's hook, which deploys nothing, and anything else is refused without being shown, exit 2."""
    with refused(ConfigError, found) as told:
        service_in_hook(Secret(url))
    assert told[0].exit_code == 2
    assert told[0].next_step
    with refused(ConfigError, found):
        Render(Client(FakeClock(), Script().transport), {HOOK: Secret(url)}, API)


@pytest.mark.parametrize(
    "url",
    [
        f"http://api.render.com/deploy/srv-abc123?key={HOOK_KEY}",
        f"ftp://api.render.com/deploy/srv-abc123?key={HOOK_KEY}",
        f"https://api.render.com/deploy/srv-abc123?key={HOOK_KEY}#top",
        f"https://api.render.com/deploy/srv-abc123?key={HOOK_KEY}&ref=main",
    ],
    ids=["plain http", "ftp", "fragment", "ref"],
)
def test_a_hook_that_would_do_something_else_is_refused(url: str) -> None:
    """A hook over plain http, and one whose own fragment or `ref` would take the place of our commit, are refused."""
    with refused(ConfigError):
        service_in_hook(Secret(url))


def test_a_hook_that_is_no_url_at_all_is_refused() -> None:
    """A hook that cannot even be taken apart is a wrong setting, not a bug."""
    with refused(ConfigError):
        service_in_hook(Secret(f"https://[api.render.com/deploy/srv-abc123?key={HOOK_KEY}"))
