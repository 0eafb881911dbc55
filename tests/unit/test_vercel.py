"""The Vercel adapter: what it reads, and that no exit code of the CLI is ever taken for what became of a change."""

import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.client import RETRIES, Client
from scripts.clock import Deadline
from scripts.config import VercelSection
from scripts.errors import (
    ConfigError,
    OutcomeUnknown,
    PlatformError,
    PlatformUnreachable,
    SlipwayError,
    UnknownState,
    UsageError,
)
from scripts.platforms import History
from scripts.platforms.vercel import BYPASS as BYPASS_NAME
from scripts.platforms.vercel import Vercel, bypass_headers
from scripts.platforms.vercel_api import TOKEN as TOKEN_NAME
from scripts.platforms.vercel_cli import Ended
from scripts.redaction import Secret
from scripts.release import Baseline, Deployment, DeployState, Sha
from tests.unit.fake_vercel import (
    BYPASS,
    CREATED_MS,
    DOMAIN,
    KILLED,
    NEW,
    OK,
    OLD,
    OLDER,
    PROJECT,
    REFUSED,
    TOKEN,
    Bundle,
    Cli,
    Cloud,
    job,
    row,
    served,
)
from tests.unit.fakes import FakeClock, Reply, Script

SECRETS = {TOKEN_NAME: Secret(TOKEN), BYPASS_NAME: Secret(BYPASS)}
CREATED = datetime.fromtimestamp(CREATED_MS / 1000, UTC)
DAY_MS = 86_400_000
TRIES = RETRIES + 1
CANDIDATE = Deployment("dpl_new", NEW, DeployState.STAGED)


def section(org_id: str = "team_1") -> VercelSection:
    """Make the project's settings."""
    return VercelSection(url=f"https://{DOMAIN}", team="acme", org_id=org_id, project_id="prj_1")


class Bench:
    """An adapter with its cloud, its CLI and a clock."""

    def __init__(self, cloud: Cloud | Script | None = None, *, org_id: str = "team_1") -> None:
        self.clock = FakeClock()
        self.cloud = cloud if isinstance(cloud, Cloud) else Cloud()
        self.cli = Cli(self.clock)
        transport = (cloud or self.cloud).transport
        self.vercel = Vercel(Client(self.clock, transport), SECRETS, section(org_id), self.cli, lambda commit: Bundle())

    def soon(self, seconds: float = 120) -> Deadline:
        """Give a deadline that the retries fit into."""
        return Deadline.after(self.clock, seconds)

    def history(self) -> History:
        """Read the history."""
        return self.vercel.fetch_history(self.soon())


def production() -> Cloud:
    """Make a project in which OLD serves, OLDER did, and NEW is staged."""
    rows = [row(), served("dpl_old", OLD, CREATED_MS - DAY_MS), served("dpl_older", OLDER, CREATED_MS - 2 * DAY_MS)]
    return Cloud(rows=rows, serving="dpl_old", project={"lastAliasRequest": job("dpl_old", requestedAt=1)})


def released() -> Cloud:
    """Make the same with NEW promoted."""
    cloud = production()
    cloud.rows[0] = served("dpl_new", NEW, CREATED_MS)
    cloud.serving = "dpl_new"
    cloud.project["lastAliasRequest"] = job("dpl_new", requestedAt=2)
    return cloud


def baseline(deployment_id: str | None = "dpl_old", commit: Sha | None = OLD) -> Baseline:
    """Make what served before."""
    return Baseline("vercel", commit, deployment_id, proven=True)


def tell(error: BaseException) -> str:
    """Give everything that an error may print: its text, its repr, its fields and its traceback with every cause."""
    return f"{error} {error!r} {vars(error)} {''.join(traceback.format_exception(error))}"


@contextmanager
def refused(kind: type[SlipwayError], words: str = "") -> Iterator[list[SlipwayError]]:
    """Expect exactly this kind of error, with these words, and no secret in anything that it prints."""
    found: list[SlipwayError] = []
    with pytest.raises(kind, match=words or None) as caught:
        yield found
    assert caught.type in {kind, UnknownState if kind is PlatformError else kind}
    assert TOKEN not in tell(caught.value)
    assert BYPASS not in tell(caught.value)
    found.append(caught.value)


STATES = [
    ("QUEUED", None, DeployState.QUEUED),
    ("INITIALIZING", None, DeployState.QUEUED),
    ("BUILDING", None, DeployState.BUILDING),
    ("ERROR", None, DeployState.FAILED),
    ("CANCELED", None, DeployState.CANCELED),
    ("DELETED", None, DeployState.CANCELED),
    ("READY", "STAGED", DeployState.STAGED),
    ("READY", "ROLLING", DeployState.STAGED),
    ("READY", None, DeployState.STAGED),
    ("READY", "PROMOTED", DeployState.RETIRED),
]


@pytest.mark.parametrize(("ready", "substate", "state"), STATES)
def test_every_state_is_read(ready: str, substate: str | None, state: DeployState) -> None:
    """Each state is read, and of what is ready only that which had production traffic has served."""
    bench = Bench(Cloud(rows=[row(readyState=ready, readySubstate=substate)], serving="dpl_other"))
    told = bench.vercel.fetch_deployment("dpl_new", bench.soon())
    assert (told.id, told.commit, told.state, told.created_at) == ("dpl_new", NEW, state, CREATED)
    assert (told.url, told.size_bytes) == ("https://dpl-new.vercel.app", 4096)
    assert ready in told.detail


@pytest.mark.parametrize("substate", ["STAGED", "PROMOTED", None])
def test_what_the_production_domain_points_to_is_live(substate: str | None) -> None:
    """A ready deployment is live where the production domain points to it, whatever its substate says."""
    bench = Bench(Cloud(rows=[row(readySubstate=substate)], serving="dpl_new"))
    assert bench.vercel.fetch_deployment("dpl_new", bench.soon()).state is DeployState.LIVE


def test_a_deployment_that_is_not_ready_is_never_live() -> None:
    """A domain that points to a failed deployment does not make it live."""
    bench = Bench(Cloud(rows=[row(readyState="ERROR", errorCode="BUILD_FAILED", errorMessage="no")], serving="dpl_new"))
    told = bench.vercel.fetch_deployment("dpl_new", bench.soon())
    assert (told.state, told.detail) == (DeployState.FAILED, "ERROR, BUILD_FAILED: no")


@pytest.mark.parametrize("state", ["ROLLING", "ready", "", None, 5, ["READY"]])
def test_an_unknown_state_fails_at_once(state: object) -> None:
    """A state that is not known is not waited for, and the message says which and of which deployment."""
    bench = Bench(Cloud(rows=[row(readyState=state)]))
    with refused(PlatformError, "state that is not known") as told:
        bench.vercel.fetch_deployment("dpl_new", bench.soon())
    assert "dpl_new" in told[0].what
    assert repr(state) in told[0].what
    assert told[0].next_step


@pytest.mark.parametrize(
    ("meta", "commit", "size"),
    [
        ({"slipwayCommit": NEW, "githubCommitSha": OLD, "slipwayBytes": "7"}, NEW, 7),
        ({"githubCommitSha": OLD}, OLD, 0),
        ({"slipwayCommit": "abc", "slipwayBytes": "many"}, None, 0),
        ({"slipwayBytes": -1}, None, 0),
        ("meta", None, 0),
        (None, None, 0),
    ],
)
def test_what_the_meta_names(meta: object, commit: Sha | None, size: int) -> None:
    """The commit is ours where we named it, else that of a connected repository; only a full one counts."""
    bench = Bench(Cloud(rows=[row(meta=meta)]))
    told = bench.vercel.fetch_deployment("dpl_new", bench.soon())
    assert (told.commit, told.size_bytes) == (commit, size)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("x.vercel.app", "https://x.vercel.app"),
        ("127.0.0.1:8123", "http://127.0.0.1:8123"),
        ("x.localhost:8123", "http://x.localhost:8123"),
        ("127.0.0.1.example.com", "https://127.0.0.1.example.com"),
        (None, ""),
    ],
)
def test_a_deployments_own_address(host: str | None, url: str) -> None:
    """A deployment is asked over https, except on loopback."""
    bench = Bench(Cloud(rows=[row(url=host)]))
    assert bench.vercel.fetch_deployment("dpl_new", bench.soon()).url == url


def test_history() -> None:
    """The history has the production deployments newest first, and which of them the production domain points to."""
    cloud = production()
    bench = Bench(cloud)
    history = bench.history()
    states = {one.id: one.state for one in history.deployments}
    assert states == {
        "dpl_new": DeployState.STAGED,
        "dpl_old": DeployState.LIVE,
        "dpl_older": DeployState.RETIRED,
    }
    assert history.current is history.find("dpl_old")
    assert (history.suspended, history.moving_to, history.pinned, history.hindrance) == (False, None, False, "")
    assert cloud.asked == [f"GET {PROJECT}", "GET /v6/deployments", f"GET /v4/aliases/{DOMAIN}"]
    asked = cloud.requests[1]
    assert dict(asked.url.params) == {
        "projectId": "prj_1",
        "target": "production",
        "limit": "100",
        "teamId": "team_1",
    }
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"


def test_a_person_has_no_team() -> None:
    """Only an id of a team is sent as one."""
    bench = Bench(production(), org_id="usr_1")
    bench.history()
    assert all("teamId" not in request.url.params for request in bench.cloud.requests)


def test_nothing_serves_yet() -> None:
    """A domain that points to nothing is a project in which nothing serves, not an error."""
    history = Bench(Cloud(rows=[row()])).history()
    assert history.current is None
    assert [one.state for one in history.deployments] == [DeployState.STAGED]


def test_what_serves_is_found_behind_the_list() -> None:
    """A deployment that serves and is older than the page is read by its id, or nobody could go back to it."""
    cloud = production()
    oldest = cloud.rows.pop(1)

    def hide(request: httpx.Request) -> httpx.Response | None:
        found = request.url.path == "/v13/deployments/dpl_old"
        return httpx.Response(200, json=oldest) if found else None

    cloud.before = hide
    current = Bench(cloud).history().current
    assert current is not None
    assert (current.id, current.commit) == ("dpl_old", OLD)


@pytest.mark.parametrize(
    ("keys", "name", "value"),
    [
        ({"paused": True}, "suspended", True),
        ({"paused": "no"}, "suspended", False),
        ({"autoAssignCustomDomains": False}, "pinned", True),
        ({"autoAssignCustomDomains": True}, "pinned", False),
        ({"autoAssignCustomDomains": None}, "pinned", False),
        ({"lastAliasRequest": job("dpl_new", "pending")}, "moving_to", "dpl_new"),
        ({"lastAliasRequest": job("dpl_new", "in-progress")}, "moving_to", "dpl_new"),
        ({"lastAliasRequest": job("dpl_new", "succeeded")}, "moving_to", None),
        ({"lastAliasRequest": job("dpl_new", "failed")}, "moving_to", None),
        ({"lastAliasRequest": None}, "moving_to", None),
        ({"rollingRelease": None}, "hindrance", ""),
        ({"rollingRelease": {"enabled": False}}, "hindrance", ""),
    ],
)
def test_how_the_project_is_set(keys: dict[str, object], name: str, value: object) -> None:
    """A pause, a pin and a move under way are seen; only the word itself counts."""
    cloud = production()
    cloud.project |= keys
    assert getattr(Bench(cloud).history(), name) == value


def test_a_rolling_release_is_in_the_way() -> None:
    """Rolling releases would give users in shares, so no release begins, and a person is told what to turn off."""
    cloud = production()
    cloud.project["rollingRelease"] = {"target": "production", "stages": [{"targetPercentage": 10}]}
    assert "turn them off" in Bench(cloud).history().hindrance


def test_a_rollback_is_remembered() -> None:
    """What the last rollback took users off, and when it was asked for, is told, whoever asked."""
    cloud = production()
    cloud.project["lastAliasRequest"] = job("dpl_old", kind="rollback", fromDeploymentId="dpl_new")
    history = Bench(cloud).history()
    assert (history.undone, history.rolled_back_at) == (frozenset({NEW}), CREATED)


@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_a_rollback_that_moved_nothing_is_none(status: str) -> None:
    """A rollback that did not happen undid nothing."""
    cloud = released()
    cloud.project["lastAliasRequest"] = job("dpl_old", status, "rollback", fromDeploymentId="dpl_new")
    history = Bench(cloud).history()
    assert (history.undone, history.rolled_back_at) == (frozenset(), None)


def test_what_served_after_the_live_one_was_rolled_back_from() -> None:
    """A newer deployment that has served, while an older one is live, is one that users were taken off."""
    cloud = released()
    cloud.serving = "dpl_older"
    cloud.project["lastAliasRequest"] = job("dpl_older")
    assert Bench(cloud).history().undone == {NEW, OLD}


def test_the_commit_that_serves_is_never_undone() -> None:
    """A commit deployed twice, and gone back to, is not told as rolled back."""
    cloud = released()
    cloud.rows[0] = served("dpl_new", OLD, CREATED_MS)
    cloud.serving = "dpl_old"
    assert Bench(cloud).history().undone == frozenset()


def test_a_release_in_order_undoes_nothing() -> None:
    """The deployments before the live one were not rolled back."""
    history = Bench(released()).history()
    assert (history.undone, history.rolled_back_at) == (frozenset(), None)


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (PROJECT, [], "reading the project: expected a JSON object"),
        (PROJECT, {"lastAliasRequest": {"jobStatus": "paused", "toDeploymentId": "dpl_1"}}, "is not known"),
        (PROJECT, {"lastAliasRequest": {"jobStatus": "failed"}}, "is not known"),
        (PROJECT, {"lastAliasRequest": 5}, "is not known"),
        ("/v6/deployments", {}, "expected a list of deployments"),
        ("/v6/deployments", {"deployments": ["dpl_1"]}, "expected a list of deployments"),
        ("/v6/deployments", {"deployments": [{}]}, "not a deployment"),
        (f"/v4/aliases/{DOMAIN}", [], "reading the production domain: expected a JSON object"),
    ],
)
def test_a_history_that_is_nonsense(path: str, body: object, words: str) -> None:
    """An answer that cannot be read is exit 12 and never an empty history."""
    cloud = production()
    cloud.before = lambda request: httpx.Response(200, json=body) if request.url.path == path else None
    with refused(PlatformError, words):
        Bench(cloud).history()


NAMES = ["id", "uid", "readyState", "readySubstate", "meta", "createdAt", "created", "url", "deployments",
         "lastAliasRequest", "jobStatus", "toDeploymentId", "requestedAt", "type", "rollingRelease", "deploymentId",
         "aliases", "alias", "slipwayCommit", "slipwayBytes"]  # fmt: skip
WORDS = st.sampled_from(["READY", "PROMOTED", "rollback", "failed", "dpl_1", NEW, "99999999999999999999"])
VALUES = st.none() | st.booleans() | WORDS | st.integers() | st.floats() | st.text(max_size=3)
BODIES = st.recursive(
    VALUES, lambda inner: st.dictionaries(st.sampled_from(NAMES), inner) | st.lists(inner, max_size=2)
)


@given(st.lists(BODIES, min_size=4, max_size=4))
def test_no_answer_is_a_bug(bodies: list[object]) -> None:
    """Whatever Vercel answers is a history or an error of our tree."""
    replies = [Reply(body=json.dumps(body).encode()) for body in bodies]
    try:
        told = isinstance(Bench(Script(*replies)).history(), History)
    except PlatformError as error:
        told = error.exit_code == 12
    assert told


REFUSALS: list[tuple[int, type[SlipwayError]]] = [
    (400, PlatformError),
    (401, ConfigError),
    (403, ConfigError),
    (409, PlatformError),
    (202, PlatformError),
    (302, PlatformError),
    (429, PlatformUnreachable),
    (500, PlatformUnreachable),
    (503, PlatformUnreachable),
]


@pytest.mark.parametrize(("status", "kind"), REFUSALS)
def test_every_refusal_of_the_api(status: int, kind: type[SlipwayError]) -> None:
    """Each refusal is told with its status and Vercel's own words: a token is exit 2, all else exit 12."""
    body = {"error": {"code": "x", "message": "said so"}}
    bench = Bench(Script(*[Reply(status, json=body)] * TRIES))
    with refused(kind) as told:
        bench.vercel.fetch_deployment("dpl_1", bench.soon())
    assert told[0].what == f"Vercel, reading the deployment: answered {status} (said so)"
    assert (TOKEN_NAME in told[0].next_step) == (kind is ConfigError)


def test_a_project_that_is_not_there() -> None:
    """A project that this token does not see is a setting to mend, and the message says which."""
    with refused(ConfigError, "no project prj_1") as told:
        Bench(Script(Reply(404, json={}))).history()
    assert "vercel.project_id" in told[0].next_step
    assert "vercel.org_id" in told[0].next_step


def test_a_deployment_that_is_not_there() -> None:
    """A deployment that was deleted is exit 12."""
    bench = Bench()
    with refused(PlatformError, "no deployment dpl_gone"):
        bench.vercel.fetch_deployment("dpl_gone", bench.soon())


def test_the_bypass_is_for_probes() -> None:
    """The bypass is a header where there is a secret for it, and nothing otherwise."""
    assert bypass_headers(SECRETS) == {"x-vercel-protection-bypass": BYPASS}
    assert bypass_headers({TOKEN_NAME: Secret(TOKEN)}) == {}


def deploying(ended: Ended, *made: dict[str, object]) -> Bench:
    """Make a bench whose CLI ends so, after these deployments were made."""
    bench = Bench(Cloud(rows=[row("dpl_before", NEW)]))
    bench.cli.ended = ended
    bench.cli.act = lambda: bench.cloud.rows.__setitem__(slice(0, 0), list(made))
    return bench


def test_deploy_runs_the_cli_once_with_what_was_built() -> None:
    """The CLI gets the files, full commit and size, waits for nothing, and has the token in its environment only."""
    bench = deploying(Ended(0, "https://dpl-new.vercel.app", ""), row())
    told = bench.vercel.deploy(NEW, bench.soon())
    assert (told.id, told.commit, told.state) == ("dpl_new", NEW, DeployState.STAGED)
    (call,) = bench.cli.calls
    assert call.words == (
        *("deploy", "--prebuilt", "--prod", "--skip-domain", "--archive=tgz", "--no-wait", "--yes"),
        *("--meta", f"slipwayCommit={NEW}", "--meta", "slipwayBytes=4096", "--scope", "acme"),
    )
    assert call.files == ("output.txt",)
    assert call.added == {"VERCEL_TOKEN": TOKEN, "VERCEL_ORG_ID": "team_1", "VERCEL_PROJECT_ID": "prj_1"}
    assert not any(TOKEN in word for word in call.words)


@pytest.mark.parametrize(("left_s", "limit_s"), [(1500, 300), (40, 40)])
def test_the_cli_never_outlives_the_deadline(left_s: float, limit_s: float) -> None:
    """The CLI has five minutes, or what is left."""
    bench = deploying(OK, row())
    bench.vercel.deploy(NEW, bench.soon(left_s))
    assert bench.cli.calls[0].limit_s == limit_s


@pytest.mark.parametrize("ended", [OK, REFUSED, KILLED, Ended(-9, "", ""), Ended(0, "https://gone.vercel.app", "")])
def test_a_deployment_that_was_made_is_found(ended: Ended) -> None:
    """However the CLI ended, a deployment of ours that was not there before is the one, and an older one never is."""
    bench = deploying(ended, row())
    assert bench.vercel.deploy(NEW, bench.soon()).id == "dpl_new"


def test_a_deployment_that_is_listed_late_is_found() -> None:
    """The list may lag behind."""
    bench = deploying(KILLED)

    def appear(request: httpx.Request) -> None:
        if bench.clock.passed_s > 8 and len(bench.cloud.rows) == 1:
            bench.cloud.rows.insert(0, row())

    bench.cloud.before = appear
    assert bench.vercel.deploy(NEW, bench.soon()).id == "dpl_new"


@pytest.mark.parametrize("state", ["ERROR", "CANCELED", "QUEUED", "BUILDING"])
def test_a_deployment_is_what_the_api_says(state: str) -> None:
    """An exit code of 0 over a deployment that failed is not a success."""
    bench = deploying(Ended(0, "https://dpl-new.vercel.app", ""), row(readyState=state))
    expected = {"ERROR": DeployState.FAILED, "CANCELED": DeployState.CANCELED}
    told = bench.vercel.deploy(NEW, bench.soon())
    assert told.state is expected.get(state, told.state)
    assert not told.state.has_served


@pytest.mark.parametrize(
    "other",
    [
        row("dpl_git", meta={"githubCommitSha": NEW}),
        row("dpl_else", OLD),
    ],
    ids=["Vercel's own for the push", "another commit"],
)
def test_what_others_deployed_is_not_ours(other: dict[str, object]) -> None:
    """A deployment of the same push by Vercel itself was not verified, and is not taken for ours."""
    bench = deploying(REFUSED, other)
    with refused(PlatformError, "no deployment is listed"):
        bench.vercel.deploy(NEW, bench.soon())


@pytest.mark.parametrize("ended", [OK, REFUSED, Ended(-9, "", "")])
def test_a_deploy_that_made_nothing_was_refused(ended: Ended) -> None:
    """Where the CLI ended by itself and nothing is listed, nothing was deployed: its exit code and last lines tell."""
    bench = deploying(ended)
    with refused(PlatformError, f"exit code {ended.exit_code}") as told:
        bench.vercel.deploy(NEW, bench.soon())
    assert told[0].means == "Nothing was deployed."
    assert told[0].next_step
    assert ("Fetching it / Error: cannot now" in told[0].what) == (ended is REFUSED)
    assert bench.clock.passed_s < 20


def test_a_deploy_that_was_killed_is_an_unknown_outcome() -> None:
    """A CLI killed at its limit may have been about to make one."""
    bench = deploying(KILLED)
    with refused(OutcomeUnknown, "killed at its limit"):
        bench.vercel.deploy(NEW, bench.soon())


@pytest.mark.parametrize("status", [401, 500])
def test_a_deploy_that_cannot_be_looked_for_is_an_unknown_outcome(status: int) -> None:
    """Once the CLI has run, what cannot be read is not written down as refused."""
    bench = deploying(REFUSED)
    bench.cloud.before = lambda request: httpx.Response(status, json={}) if bench.cli.calls else None
    with refused(OutcomeUnknown, f"answered {status}"):
        bench.vercel.deploy(NEW, bench.soon())


def test_secrets_in_the_clis_last_lines_are_not_told() -> None:
    """What the CLI says is told without secrets and without colours, and in part."""
    said = "".join(f"line {number}\n" for number in range(50)) + f"\x1b[31mError:\x1b[0m {TOKEN} {'x' * 5000}\n"
    bench = deploying(Ended(1, "", said))
    with refused(PlatformError, r"/ Error: \[redacted\]") as told:
        bench.vercel.deploy(NEW, bench.soon())
    assert len(told[0].what) < 1500
    assert "line 0" not in told[0].what


def test_what_was_not_built_is_not_deployed() -> None:
    """Without an artifact of this commit nothing is asked at all."""
    bench = Bench()

    def missing(commit: Sha) -> Bundle:
        raise UsageError(f"nothing was built from {commit}")

    vercel = Vercel(Client(bench.clock, bench.cloud.transport), SECRETS, section(), bench.cli, missing)
    with refused(UsageError):
        vercel.deploy(NEW, bench.soon())
    assert (bench.cli.calls, bench.cloud.requests) == ([], [])


def begin(bench: Bench, to_id: str, kind: str, *, status: str = "pending") -> None:
    """Begin a move, as the API does when the CLI asks."""
    from_id = bench.cloud.serving
    bench.cloud.project["lastAliasRequest"] = job(to_id, status, kind, requestedAt=99, fromDeploymentId=from_id)


def arrive(bench: Bench, to_id: str) -> None:
    """End a move well."""
    bench.cloud.move(jobStatus="succeeded")
    bench.cloud.serving = to_id


@pytest.mark.parametrize("ended", [OK, REFUSED, KILLED])
def test_promote_waits_until_the_domain_points_to_it(ended: Ended) -> None:
    """However the CLI ended, the promotion is done when the production domain points to the candidate."""
    bench = Bench(production())
    bench.cli.ended = ended
    bench.cli.act = lambda: begin(bench, "dpl_new", "promote")
    idle = [lambda: None] * 4
    bench.cloud.moving = [*idle, lambda: bench.cloud.move(jobStatus="in-progress"), lambda: arrive(bench, "dpl_new")]
    bench.vercel.promote(CANDIDATE, bench.soon())
    assert bench.cloud.serving == "dpl_new"
    (call,) = bench.cli.calls
    assert call.words == ("promote", "dpl_new", "--yes", "--timeout=0", "--scope", "acme")
    assert call.added["VERCEL_TOKEN"] == TOKEN
    assert bench.clock.pauses == [1.0] * 4


def test_what_is_promoted_already_is_not_promoted_again() -> None:
    """Where the production domain points to it, the CLI is not called."""
    bench = Bench(released())
    bench.vercel.promote(CANDIDATE, bench.soon())
    assert bench.cli.calls == []


def test_a_promotion_that_the_cli_claims_is_not_believed() -> None:
    """An exit code of 0 while nothing moves ends at the deadline, with what the platform said last."""
    bench = Bench(production())
    with refused(OutcomeUnknown, "production points to dpl_old") as told:
        bench.vercel.promote(CANDIDATE, bench.soon(30))
    assert "exit code 0" in told[0].what
    assert bench.clock.passed_s == pytest.approx(30)


def test_a_promotion_that_never_ends_is_an_unknown_outcome() -> None:
    """A job that stays in progress is told as such at the deadline."""
    bench = Bench(production())
    bench.cli.act = lambda: begin(bench, "dpl_new", "promote", status="in-progress")
    with refused(OutcomeUnknown, "promote to dpl_new in-progress, production points to dpl_old"):
        bench.vercel.promote(CANDIDATE, bench.soon(30))


def test_a_job_that_succeeded_is_no_proof() -> None:
    """A job that Vercel calls succeeded, while the domain stays, is not a promotion."""
    bench = Bench(production())
    bench.cli.act = lambda: begin(bench, "dpl_new", "promote", status="succeeded")
    with refused(OutcomeUnknown, "promote to dpl_new succeeded, production points to dpl_old"):
        bench.vercel.promote(CANDIDATE, bench.soon(30))


def test_a_promotion_that_is_refused_moved_nothing() -> None:
    """Where the CLI failed and nothing moves within a short grace, it was refused, with the CLI's last lines."""
    bench = Bench(production())
    bench.cli.ended = REFUSED
    with refused(PlatformError, "promote to dpl_new: refused; .*exit code 1: Fetching it / Error: cannot now") as told:
        bench.vercel.promote(CANDIDATE, bench.soon())
    assert "production points to dpl_old" in told[0].means
    assert bench.clock.passed_s < 10


@pytest.mark.parametrize("ended", [REFUSED, KILLED])
def test_a_promotion_that_is_told_late_was_taken(ended: Ended) -> None:
    """The project may tell of a move a moment after it was asked for."""
    bench = Bench(production())
    bench.cli.ended = ended
    late = [lambda: None, lambda: None, lambda: begin(bench, "dpl_new", "promote")]
    bench.cloud.moving = [*late, *[lambda: None] * 8, lambda: arrive(bench, "dpl_new")]
    bench.vercel.promote(CANDIDATE, bench.soon())
    assert bench.cloud.serving == "dpl_new"


def test_a_promotion_that_was_killed_is_looked_for_and_then_unknown() -> None:
    """A CLI that hung may have asked: that nothing moves yet is not told as a refusal."""
    bench = Bench(production())
    bench.cli.ended = KILLED
    bench.cli.takes_s = 1000
    with refused(OutcomeUnknown, "killed at its limit"):
        bench.vercel.promote(CANDIDATE, bench.soon())
    assert bench.cli.calls[0].limit_s == 60


def test_a_promotion_that_fails_names_the_domains() -> None:
    """A job that failed may have moved some domains, so it is not told as refused; the failed ones are named."""
    bench = Bench(production())
    bench.cli.act = lambda: begin(bench, "dpl_new", "promote", status="failed")
    with refused(OutcomeUnknown, "not moved: www.example.com"):
        bench.vercel.promote(CANDIDATE, bench.soon())
    assert bench.cloud.asked[-1] == f"GET {PROJECT}/promote/aliases"
    assert dict(bench.cloud.requests[-1].url.params)["failedOnly"] == "true"


def test_a_promotion_of_some_domains_only_is_not_done() -> None:
    """The production domain alone is not the promotion, where Vercel says that others failed."""
    bench = Bench(production())

    def half() -> None:
        begin(bench, "dpl_new", "promote", status="failed")
        bench.cloud.serving = "dpl_new"

    bench.cli.act = half
    with refused(OutcomeUnknown, "not moved: www.example.com"):
        bench.vercel.promote(CANDIDATE, bench.soon())


def test_a_promotion_that_is_skipped_moved_nothing() -> None:
    """A job that Vercel skipped, which the CLI calls a success, is a refusal."""
    bench = Bench(production())
    bench.cli.act = lambda: begin(bench, "dpl_new", "promote", status="skipped")
    with refused(PlatformError, "skipped by Vercel"):
        bench.vercel.promote(CANDIDATE, bench.soon())


def test_an_old_failure_is_not_taken_for_this_one() -> None:
    """A job for the same deployment that failed before is not the one that was asked for now."""
    bench = Bench(production())
    bench.cloud.project["lastAliasRequest"] = job("dpl_new", "failed", requestedAt=1)
    bench.cloud.moving = [lambda: None] * 3 + [lambda: begin(bench, "dpl_new", "promote")]
    bench.cloud.moving += [lambda: arrive(bench, "dpl_new")]
    bench.vercel.promote(CANDIDATE, bench.soon())
    assert bench.cloud.serving == "dpl_new"


def test_an_outage_after_the_promotion_was_asked_for_is_waited_out() -> None:
    """What cannot be read is asked again until the deadline."""
    bench = Bench(production())
    bench.cli.act = lambda: arrive(bench, "dpl_new")
    until = 40
    bench.cloud.before = lambda request: (
        httpx.Response(503) if bench.cli.calls and bench.clock.passed_s < until else None
    )
    bench.vercel.promote(CANDIDATE, bench.soon())
    assert bench.clock.passed_s >= until


@pytest.mark.parametrize(("status", "body"), [(403, {}), (200, []), (200, {"lastAliasRequest": 5}), (500, {})])
def test_a_promotion_that_cannot_be_seen_is_an_unknown_outcome(status: int, body: object) -> None:
    """Once the CLI has asked, an answer that says nothing is never told as a refusal."""
    bench = Bench(production())
    bench.cloud.before = lambda request: httpx.Response(status, json=body) if bench.cli.calls else None
    with refused(OutcomeUnknown):
        bench.vercel.promote(CANDIDATE, bench.soon())


def test_without_time_nothing_is_asked() -> None:
    """A promotion whose deadline is over is not begun."""
    bench = Bench(production())

    def slow(request: httpx.Request) -> None:
        bench.clock.advance(5)

    bench.cloud.before = slow
    with refused(PlatformUnreachable, "no time was left"):
        bench.vercel.promote(CANDIDATE, bench.soon(10))
    assert bench.cli.calls == []


def test_what_has_no_id_cannot_be_promoted() -> None:
    """A deployment that Vercel did not name cannot be asked for."""
    bench = Bench(production())
    with refused(PlatformError, "no known id"):
        bench.vercel.promote(Deployment(None, NEW, DeployState.QUEUED), bench.soon())
    assert bench.cli.calls == []


@pytest.mark.parametrize("ended", [OK, REFUSED, KILLED])
@pytest.mark.parametrize("commit", [OLD, None])
def test_a_rollback_waits_until_the_domain_points_back(ended: Ended, commit: Sha | None) -> None:
    """However the CLI ended, the rollback is done when the domain points back; no commit is needed."""
    bench = Bench(released())
    bench.cli.ended = ended
    bench.cli.act = lambda: begin(bench, "dpl_old", "rollback")
    bench.cloud.moving = [lambda: None] * 3 + [lambda: arrive(bench, "dpl_old")]
    told, warning = bench.vercel.roll_back(baseline(commit=commit), bench.soon())
    assert (told.id, told.commit, told.state, warning) == ("dpl_old", OLD, DeployState.LIVE, "")
    assert bench.cli.calls[0].words == ("rollback", "dpl_old", "--yes", "--timeout=0", "--scope", "acme")


@pytest.mark.parametrize(
    "state",
    [{}, {"readySubstate": None}, {"readyState": "ERROR"}, {"readyState": "CANCELED"}, {"readyState": "QUEUED"}],
)
def test_what_never_served_is_no_way_back(state: dict[str, object]) -> None:
    """A deployment that no user was ever on is never rolled back to, though Vercel calls it a production one."""
    cloud = released()
    cloud.rows.append(row("dpl_staged", OLD, **state))
    bench = Bench(cloud)
    with refused(PlatformError, "no user was ever on it"):
        bench.vercel.roll_back(baseline("dpl_staged"), bench.soon())
    assert bench.cli.calls == []


@pytest.mark.parametrize(("deployment_id", "words"), [(None, "no known id"), ("dpl_gone", "no deployment dpl_gone")])
def test_what_is_not_kept_is_no_way_back(deployment_id: str | None, words: str) -> None:
    """A baseline without an id, or whose deployment was deleted, is told as that, and nothing is asked."""
    bench = Bench(released())
    with refused(PlatformError, words):
        bench.vercel.roll_back(baseline(deployment_id), bench.soon())
    assert bench.cli.calls == []


@pytest.mark.parametrize(("deployment_id", "hobby"), [("dpl_old", False), ("dpl_older", True)])
def test_a_rollback_that_is_refused_names_the_likely_cause(deployment_id: str, hobby: bool) -> None:
    """A refused rollback past the previous deployment names the plan that reaches no further."""
    bench = Bench(released())
    bench.cli.ended = REFUSED
    with refused(PlatformError, "refused; .*Error: cannot now") as told:
        bench.vercel.roll_back(baseline(deployment_id), bench.soon())
    assert ("Hobby" in told[0].means) == hobby
    assert "production points to dpl_new" in told[0].means


def test_a_rollback_against_a_running_promotion_is_asked_for_again() -> None:
    """A rollback refused while a promotion is running was not refused for good, and the old domain is no proof."""
    bench = Bench(production())
    begin(bench, "dpl_new", "promote", status="in-progress")
    bench.cli.ended = REFUSED
    with refused(PlatformUnreachable, "refused while another move is running"):
        bench.vercel.roll_back(baseline(), bench.soon())
    assert len(bench.cli.calls) == 1


def test_a_rollback_is_asked_for_though_the_domain_points_there() -> None:
    """After a promotion that may still come, the old domain is no reason not to ask."""
    bench = Bench(production())
    bench.vercel.roll_back(baseline(), bench.soon())
    assert len(bench.cli.calls) == 1


def test_a_rollback_that_was_done_is_not_asked_for_again() -> None:
    """Where the last move was this rollback, nothing is asked."""
    cloud = production()
    cloud.project["lastAliasRequest"] = job("dpl_old", kind="rollback")
    bench = Bench(cloud)
    assert bench.vercel.roll_back(baseline(), bench.soon())[0].state is DeployState.LIVE
    assert bench.cli.calls == []


def test_a_rollback_that_left_domains_behind_warns() -> None:
    """Users of the production domain are back, so the rollback stands, and the other domains are named."""
    bench = Bench(released())

    def half() -> None:
        begin(bench, "dpl_old", "rollback", status="failed")
        bench.cloud.serving = "dpl_old"

    bench.cli.act = half
    told, warning = bench.vercel.roll_back(baseline(), bench.soon())
    assert told.state is DeployState.LIVE
    assert "www.example.com" in warning


def test_a_rollback_that_never_ends_is_an_unknown_outcome() -> None:
    """At the deadline it is told what the platform said last."""
    bench = Bench(released())
    bench.cli.act = lambda: begin(bench, "dpl_old", "rollback")
    with refused(OutcomeUnknown, "rollback to dpl_old pending, production points to dpl_new"):
        bench.vercel.roll_back(baseline(), bench.soon(30))


@pytest.mark.parametrize("status", [200, 400])
def test_cancel(status: int) -> None:
    """A deployment is asked to stop; one that has ended meanwhile is refused with 400, which is fine."""
    script = Script(Reply(status, json={}))
    bench = Bench(script)
    bench.vercel.cancel(Deployment("dpl_new", NEW, DeployState.BUILDING), bench.soon())
    assert script.asked == ["PATCH /v12/deployments/dpl_new/cancel"]


@pytest.mark.parametrize(
    ("status", "kind"), [(403, ConfigError), (404, PlatformError), (409, PlatformError), (500, OutcomeUnknown)]
)
def test_a_cancel_that_is_refused(status: int, kind: type[SlipwayError]) -> None:
    """Any other refusal of a cancel is an error: the deployment may still become ready."""
    bench = Bench(Script(Reply(status, json={})))
    with refused(kind, "cancelling the deployment"):
        bench.vercel.cancel(Deployment("dpl_new", NEW, DeployState.BUILDING), bench.soon())


@pytest.mark.parametrize(
    "deployment", [CANDIDATE, Deployment("dpl_new", NEW, DeployState.FAILED), Deployment(None, NEW, DeployState.QUEUED)]
)
def test_what_has_ended_is_not_cancelled(deployment: Deployment) -> None:
    """For a deployment that has ended, or has no name, there is nothing to ask."""
    bench = Bench()
    bench.vercel.cancel(deployment, bench.soon())
    assert bench.cloud.requests == []


def test_moments_are_read_as_utc() -> None:
    """Vercel's milliseconds are told in UTC, and what is no moment is none."""
    cloud = Cloud(rows=[row(createdAt=CREATED_MS + 500), row("dpl_2", createdAt=10**20), row("dpl_3", createdAt="now")])
    first, second, third = (one.created_at for one in Bench(cloud).history().deployments)
    assert (first, second, third) == (CREATED + timedelta(seconds=0.5), None, None)
