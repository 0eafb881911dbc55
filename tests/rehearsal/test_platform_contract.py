"""What every platform's adapter promises a release, held against its emulated cloud: the same cases for all of them."""

import contextlib
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from scripts.clock import SystemClock
from scripts.errors import ConfigError, OutcomeUnknown, PlatformError, PlatformUnreachable
from scripts.plan import judge_state, last_rollback, rolled_back
from scripts.release import Baseline, Deployment, DeployState
from tests.rehearsal.contract.attempts import READS, Settled, attempt, attempt_each
from tests.rehearsal.contract.front import JSON, Weather
from tests.rehearsal.contract.ground import Ground
from tests.rehearsal.contract.on_render import render_ground
from tests.rehearsal.contract.on_vercel import real_cli, vercel_ground
from tests.rehearsal.contract.story import PAUSE_S, Scene, Story

OPEN: Mapping[str, Callable[[Path], contextlib.AbstractContextManager[Ground]]] = {
    "render": render_ground,
    "vercel": vercel_ground,
    "vercel-cli": functools.partial(vercel_ground, make_tool=real_cli),
}
BY_THE_CLI = {"GET /v2/user", "GET /v1/teams"}  # which only the CLI asks for
WITH_REAL_CLI = pytest.param("vercel-cli", marks=pytest.mark.slow)
ON_THE_WAY = [DeployState.QUEUED, DeployState.BUILDING, DeployState.STARTING]
WALL = SystemClock()
CHANGES = "(POST|PATCH) "
A_MOMENT = timedelta(seconds=1)
LATE_S = 3  # by which a call may be over its deadline


@pytest.fixture(scope="module", params=["render", "vercel", WITH_REAL_CLI])
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """One service on one platform; its story is told as far as the cases need it."""
    with OPEN[request.param](tmp_path_factory.mktemp("story")) as ground:
        yield Story(ground)


@pytest.fixture(scope="module")
def settled(story: Story) -> Settled:
    """The same at the end of the story, with releases that no case moves, for all that is refused or gets lost."""
    ground, history = story.ground, story.end.history
    assert history.current is not None
    candidate = history.current
    if ground.traits.stages:
        candidate = ground.follow(ground.adapter().deploy(ground.commit("candidate"), ground.limit()))[-1][0]
    old = next(row for row in history.deployments if row.state is DeployState.RETIRED and row.commit == story.fix)
    return Settled(ground, old, history.current, candidate, ground.commit("next"))


@pytest.fixture(params=["render", "vercel", WITH_REAL_CLI])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    """One platform of a case's own, on which nothing was ever deployed."""
    with OPEN[request.param](tmp_path) as opened:
        yield opened


@contextlib.contextmanager
def nothing_moves(settled: Settled) -> Iterator[None]:
    """Hold that the platform tells afterwards what it told before, and that users stay."""
    before = settled.ground.history()
    yield
    assert settled.ground.history() == before
    assert settled.ground.serving == settled.live.commit


def current(scene: Scene) -> Deployment:
    """Give the current deployment of a scene, which is the one that users are on."""
    assert scene.history.current is not None
    assert scene.history.current.commit == scene.serving
    return scene.history.current


# A release


def test_a_fresh_service_serves_nothing(story: Story) -> None:
    """A service on which nothing was ever deployed has no deployments, no current one and no memory of rollbacks."""
    history = story.fresh.history
    assert (history.deployments, history.current, history.moving_to) == ((), None, None)
    assert (history.suspended, history.pinned, history.hindrance) == (False, False, "")
    assert (rolled_back(history), last_rollback(history)) == (frozenset(), None)
    assert story.fresh.serving is None


def test_a_first_release_needs_no_baseline(story: Story) -> None:
    """Where nothing served a candidate can be deployed and promoted; it is current then, with its commit and time."""
    only = current(story.first)
    assert (only.commit, only.state) == (story.old, DeployState.LIVE)
    assert story.first.history.deployments == (only,)
    assert only.created_at is not None
    assert story.fresh.at - A_MOMENT <= only.created_at <= story.first.at + A_MOMENT
    assert (rolled_back(story.first.history), last_rollback(story.first.history)) == (frozenset(), None)


def test_a_failed_build_is_a_state(story: Story) -> None:
    """A deployment that cannot be built ends as failed and says why; it raises nothing, and users stay."""
    failed = story.failed
    assert (failed.asked.id, failed.ended.state) == (failed.ended.id, DeployState.FAILED)
    assert failed.ended.detail
    assert current(failed.scene) == current(story.first)
    assert {serving for _, serving in failed.seen} == {story.old}


def test_a_deployment_is_named_and_listed(story: Story) -> None:
    """What is asked for is a new deployment of that commit; the list has it among those that were not known."""
    asked, listed = story.deployed.asked, story.deployed.listed
    before = {row.id or "" for row in story.failed.scene.history.deployments}
    assert asked.id not in {None, *before}
    assert asked.commit == story.new
    assert listed is not None
    assert (listed.id, listed.commit) == (asked.id, story.new)
    assert story.deployed.scene.history.new_since(frozenset({*before, asked.id or ""}), story.new) is None


def test_users_come_when_the_platform_says_so(story: Story) -> None:
    """A deployment passes known states to its end; users are on it then or, where it is staged, on promotion."""
    traits, seen = story.ground.traits, story.deployed.seen
    states = list(dict.fromkeys(row.state for row, _ in seen))
    assert states[:-1] == [state for state in ON_THE_WAY if state in states], "known states, each once, in order"
    assert states[-1] is (DeployState.STAGED if traits.stages else DeployState.LIVE)
    assert bool(story.deployed.ended.url) is traits.stages
    assert seen[0][1] == story.old
    assert story.deployed.scene.serving == (story.old if traits.stages else story.new)
    assert all(serving == story.old for _, serving in seen) is traits.stages


def test_a_promoted_candidate_is_current(story: Story) -> None:
    """After promotion the candidate is current and users are on it; what served before is retired, nothing undone."""
    history = story.promoted.history
    assert (current(story.promoted).id, story.promoted.serving) == (story.deployed.asked.id, story.new)
    retired = history.find(story.baseline.deployment_id)
    assert retired is not None
    assert (retired.commit, retired.state) == (story.old, DeployState.RETIRED)
    assert (history.moving_to, history.pinned) == (None, False)
    assert (rolled_back(history), last_rollback(history)) == (frozenset(), None)


def test_one_and_all_are_told_alike(settled: Settled) -> None:
    """A deployment read by itself is what the list says of it, whatever became of it."""
    platform, limit = settled.ground.adapter(), settled.ground.limit()
    rows = settled.ground.history().deployments
    ends = {DeployState.LIVE, DeployState.RETIRED, DeployState.FAILED, DeployState.CANCELED}
    assert {row.state for row in rows} == ends | ({DeployState.STAGED} if settled.ground.traits.stages else set())
    alone = [platform.fetch_deployment(row.id or "", limit) for row in rows]
    assert [replace(row, detail="") for row in alone] == [replace(row, detail="") for row in rows]


def test_promoting_what_is_current_changes_nothing(settled: Settled) -> None:
    """A promotion of what users are on already is no error, and asks for no change."""
    with nothing_moves(settled):
        asked = len(settled.ground.front.changes)
        settled.ground.adapter().promote(settled.live, settled.ground.limit())
        assert len(settled.ground.front.changes) == asked


# The way back


def test_a_rollback_brings_the_baseline_back(story: Story) -> None:
    """After a rollback the old commit is current and serves, and the candidate is retired."""
    back, warning, scene = story.back
    assert (back.commit, back.state, warning) == (story.old, DeployState.LIVE, "")
    assert (back.id != story.baseline.deployment_id) is story.ground.traits.rollback_is_a_deploy
    assert (current(scene).id, scene.serving) == (back.id, story.old)
    candidate = scene.history.find(story.deployed.asked.id)
    assert candidate is not None
    assert candidate.state is DeployState.RETIRED
    assert scene.history.moving_to is None


def test_a_rollback_is_remembered(story: Story) -> None:
    """The platform's own list tells which commit was rolled back, and when; whether it pins is told too."""
    history = story.back[2].history
    assert rolled_back(history) == {story.new}
    asked_at = last_rollback(history)
    assert asked_at is not None
    assert story.promoted.at - A_MOMENT <= asked_at <= story.back[2].at + A_MOMENT
    assert history.pinned is story.ground.traits.rollback_pins


def test_a_fix_goes_ahead_after_a_rollback(story: Story) -> None:
    """After a rollback the next release is promoted like any other, and then nothing is pinned."""
    assert current(story.fixed).commit == story.fix
    assert (story.fixed.history.pinned, story.fixed.history.moving_to) == (False, None)


def test_the_same_again_on_purpose(story: Story) -> None:
    """What was rolled back can be released once more, and then nothing is pinned."""
    assert current(story.again).commit == story.fix
    assert (story.again.history.pinned, story.again.history.moving_to) == (False, None)


def test_a_refused_rollback_says_what_to_do(story: Story) -> None:
    """A baseline that the platform does not reach any more is an error with a next step, and users stay."""
    refused = story.too_old
    assert not isinstance(refused.error, PlatformUnreachable)
    assert refused.error.next_step
    assert current(refused.after) == current(refused.before)


def test_no_rollback_to_what_failed(story: Story) -> None:
    """A deployment that never served is refused as a baseline: before anything is asked where it might be taken."""
    refused = story.never_served
    assert not isinstance(refused.error, PlatformUnreachable)
    assert str(story.failed.ended.id) in str(refused.error)
    assert current(refused.after) == current(refused.before)
    assert (refused.after.changes == refused.before.changes) is story.ground.traits.stages


def test_no_rollback_to_what_only_waits(settled: Settled) -> None:
    """A candidate that no user was ever on is refused as a baseline, before anything is asked."""
    if not settled.ground.traits.stages:
        pytest.skip("here nothing is ever built and not served: a deployment is live, or it failed")
    with nothing_moves(settled):
        asked = len(settled.ground.front.changes)
        with pytest.raises(PlatformError, match="no user was ever on it"):
            settled.ground.adapter().roll_back(settled.ground.baseline(settled.candidate), settled.ground.limit())
        assert len(settled.ground.front.changes) == asked


# Giving up, and what stands in the way


def test_a_cancelled_deployment_never_serves(story: Story) -> None:
    """A deployment that is cancelled under way ends as canceled, users never meet it, and the next one goes ahead."""
    given_up = story.cancelled
    assert not given_up.asked.state.ended
    assert given_up.ended.state is DeployState.CANCELED
    assert {serving for _, serving in given_up.seen} == {story.fix}
    assert current(story.end).commit not in {story.fix, given_up.asked.commit}
    row = story.end.history.find(given_up.asked.id)
    assert row is not None
    assert row.state is DeployState.CANCELED


@pytest.mark.parametrize("known", [True, False], ids=["known-as-ended", "thought-under-way"])
def test_cancelling_what_ended_is_harmless(settled: Settled, *, known: bool) -> None:
    """To cancel a deployment that has ended, also when we do not know it yet, is no error and changes nothing."""
    with nothing_moves(settled):
        for row in settled.ground.history().deployments:
            asked = row if known else replace(row, state=DeployState.QUEUED)
            settled.ground.adapter().cancel(asked, settled.ground.limit())


def test_a_stopped_service_is_told(ground: Ground) -> None:
    """A service that its owner has stopped is told as such, and no release begins on it."""
    ground.first(ground.commit("only"))
    ground.suspend()
    history = ground.history()
    assert history.suspended
    with pytest.raises(PlatformError, match="suspended"):
        judge_state("target", history, Baseline("target", None, None, proven=False), None)


def test_an_unknown_deployment_is_an_error_of_ours(settled: Settled) -> None:
    """Reading a deployment that the platform does not have ends at once, in an error that names it."""
    with pytest.raises((ConfigError, PlatformError), match="dep-unheard-of"):
        settled.ground.adapter().fetch_deployment("dep-unheard-of", settled.ground.limit())


# What can go wrong on the way


def test_wrong_credentials_are_ours_to_mend(settled: Settled) -> None:
    """A secret that the platform does not accept is a ConfigError that names its variable; nothing is changed."""
    traits = settled.ground.traits
    wrong = {name: settled.ground.wrong(name) for name in {traits.key, traits.deploy_key}}
    with nothing_moves(settled):
        for name, row in attempt_each(settled, settled.acts(), wrong, 20, settled.ground.clock).items():
            assert isinstance(row.error, ConfigError), (name, row.error)
            assert row.error.exit_code == 2
            assert (traits.deploy_key if name == "deploy" else traits.key) in str(row.error), name


@pytest.mark.slow
@pytest.mark.parametrize("status", [503, None], ids=["503", "silence"])
def test_an_outage_ends_at_the_deadline(settled: Settled, status: int | None) -> None:
    """An API that is down is PlatformUnreachable, for a change perhaps with an unknown outcome, and never a hang."""
    with nothing_moves(settled):
        for name, row in attempt(settled, Weather(status), 0.7, WALL).items():
            assert isinstance(row.error, PlatformUnreachable), (name, row.error)
            assert name not in READS or not isinstance(row.error, OutcomeUnknown), (name, row.error)
            assert row.took_s < 0.7 + LATE_S, name


@pytest.mark.slow
def test_a_platform_lost_in_the_middle_of_a_change(settled: Settled) -> None:
    """An API that falls silent as a change is asked for leaves the outcome unknown, by the deadline too."""
    with nothing_moves(settled):
        weather = Weather(None, since=CHANGES)
        for name, row in attempt(settled, weather, 0.3, WALL, without=READS).items():
            assert isinstance(row.error, OutcomeUnknown), (name, row.error)
            assert row.took_s < 0.3 + LATE_S, name


def test_an_outage_that_begins_with_a_change(settled: Settled) -> None:
    """An API that is down from the moment a change is asked for is one that could not be reached."""
    with nothing_moves(settled):
        weather = Weather(503, since=CHANGES)
        for name, row in attempt(settled, weather, 4, settled.ground.clock, without=READS).items():
            assert isinstance(row.error, PlatformUnreachable), (name, row.error)


def test_changes_that_are_refused_while_reads_work(settled: Settled) -> None:
    """Where only changes are refused, each ends in an error of the platform within its deadline."""
    with nothing_moves(settled):
        weather = Weather(503, pattern=CHANGES)
        for name, row in attempt(settled, weather, 4, settled.ground.clock, without=READS).items():
            assert isinstance(row.error, PlatformError), (name, row.error)


def test_a_limit_of_requests_is_waited_out(story: Story) -> None:
    """After 429 the same is asked again when the platform said, and then it is done, once."""
    last = current(story.end)
    assert set(story.waits_s) == {"fetch_history", "deploy", "cancel", "roll_back"}
    assert all(waited_s >= PAUSE_S for waited_s in story.waits_s.values()), story.waits_s
    assert [row.id for row in story.end.history.deployments if row.commit == last.commit] == [last.id]


def test_a_limit_of_requests_over_the_deadline(settled: Settled) -> None:
    """Where the platform wants a longer pause than there is time, the call ends at once, as one to be made again."""
    weather = Weather(429, b"{}", ((b"retry-after", b"60"), JSON))
    with nothing_moves(settled):
        for name, row in attempt(settled, weather, 5, settled.ground.clock).items():
            assert isinstance(row.error, PlatformUnreachable), (name, row.error)


@pytest.mark.parametrize(
    "body",
    [b"<html>It works!</html>", b"", b"null", b"[7]", b"{}", b"\xff\xfe", b"[" * 100_000],
    ids=["html", "empty", "null", "list", "object", "bytes", "deep"],
)
def test_nonsense_is_an_error_of_the_platform(settled: Settled, body: bytes) -> None:
    """An answer that is not what was asked for is a PlatformError, and after it nothing has changed."""
    with nothing_moves(settled):
        attempts = attempt(settled, Weather(200, body), 20, settled.ground.clock, without=frozenset({"cancel"}))
        for name, row in attempts.items():
            assert isinstance(row.error, PlatformError), (name, row.error)


@pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 409, 418, 500])
def test_a_platform_that_repeats_a_secret(settled: Settled, status: int) -> None:
    """No error tells a secret, not even where the platform's own words do."""
    words = " ".join(secret.reveal() for secret in settled.ground.secrets.values())
    body = json.dumps({"message": words, "error": {"code": "bad", "message": words}}).encode()
    with nothing_moves(settled):
        attempts = attempt(settled, Weather(status, body), 3, settled.ground.clock)
        assert any(row.error for row in attempts.values())


# The stand-in


def test_the_stand_in_asks_what_the_real_cli_asks(tmp_path: Path) -> None:
    """A release and its way back by the real CLI end alike, and change things by the same requests as the stand-in."""

    def journey(name: str) -> list[str]:
        with OPEN[name](tmp_path / name) as ground:
            first = ground.first(old := ground.commit("old"))
            baseline = ground.baseline()
            shipped = ground.ship(ground.commit("new"))
            assert ground.serving == shipped.commit
            ground.adapter().roll_back(baseline, ground.limit())
            assert ground.serving == old
            asked = [line.replace(first, "OLD").replace(shipped.id or "", "NEW") for line in ground.front.asked]
            return [line for line in asked if line in BY_THE_CLI or not line.startswith("GET ")]

    assert journey("vercel-cli") == journey("vercel")
