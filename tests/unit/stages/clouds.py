"""A platform in memory with a service behind it, on a clock that does not wait, for tests of the stages.

Deployments queue, build and go live as the clock advances; going live moves the traffic. What can go wrong is an
attribute of the cloud. `Cut` raises at a chosen call, as a cancelled or a killed run does.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from scripts import bake, deploy, plan, promote, recover, rollback, verify
from scripts.checkout import Checkout
from scripts.client import Client
from scripts.clock import Deadline
from scripts.config import Config, parse
from scripts.console import Console
from scripts.errors import OutcomeUnknown, PlatformError, PlatformUnreachable, SlipwayError
from scripts.journal import NAME, Journal, Kind
from scripts.platforms import History
from scripts.probe import Witness
from scripts.release import Baseline, Deployment, DeployState, Release, Sha, Stage
from scripts.report import Result, judge_result
from scripts.stage import Ports, Target, Verdicts, run_stage
from scripts.state import RunState, TargetState
from scripts.verdict import Verdict

BEGIN = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
OLDER, OLD, NEW, NEWER, SIDE = (Sha(letter * 40) for letter in "abcde")
LINE = (OLDER, OLD, NEW, NEWER)
URL = "https://service.test"
RETRIES_S = 7.5  # what the client spends on an API that does not answer


class Killed(BaseException):
    """The machine is gone: nothing after this is carried out, not even a journal entry."""


class Cut:
    """Count the calls that a run makes of the outside world, and end it at one of them."""

    def __init__(self) -> None:
        self.calls = 0
        self._at: int | None = None
        self._error: type[BaseException] = KeyboardInterrupt

    def arm(self, after_calls: int, error: type[BaseException]) -> None:
        """End the run at that call, counted from now."""
        self._at, self._error = self.calls + after_calls, error

    def disarm(self) -> bool:
        """Let everything after this live; say whether the cut never came."""
        waiting, self._at = self._at is not None, None
        return waiting

    def tick(self) -> None:
        """Count one call."""
        self.calls += 1
        if self._at is not None and self.calls >= self._at:
            self._at = None
            raise self._error


class StillClock:
    """Time that passes only when somebody sleeps."""

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self.now_s = 0.0

    def now(self) -> datetime:
        """Give the time of day."""
        return BEGIN + timedelta(seconds=self.now_s)

    def monotonic(self) -> float:
        """Give the seconds slept so far."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Let that much time pass at once."""
        self._cut.tick()
        self.now_s += max(0.0, seconds)


class CutJournal(Journal):
    """A journal that a run can be cut at, just before and just after each line."""

    def __init__(self, folder: Path, clock: StillClock, cut: Cut) -> None:
        super().__init__(folder, clock, str)
        self._cut = cut

    def append(self, kind: Kind, target: str = "", **fields: object) -> None:
        """Write one event."""
        self._cut.tick()
        super().append(kind, target, **fields)
        self._cut.tick()


@dataclass(frozen=True)
class Instance:
    """One process behind the public URL."""

    id: str
    commit: Sha


@dataclass
class Row:
    """One deployment as the cloud knows it."""

    id: str
    commit: Sha
    created_s: float
    is_rollback: bool = False
    state: DeployState = DeployState.QUEUED
    ends_s: float = 0.0
    listed_s: float = 0.0


@dataclass
class Cloud:
    """One service; the attributes are its faults, all absent at first."""

    clock: StillClock
    cut: Cut
    name: str = "render"
    stages: bool = False
    instances: int = 1
    has_key: bool = True
    tells_instances: bool = True  # numInstances in the API's answer
    names_instances: bool = True  # `instance` in the answer of /version
    suspended: bool = False
    build_s: float = 30.0
    slow: dict[Sha, float] = field(default_factory=dict)
    fails_to_build: set[Sha] = field(default_factory=set)
    sick: set[Sha] = field(default_factory=set)
    nameless: set[Sha] = field(default_factory=set)  # commits without /version
    environment_sick_from_s: float | None = None
    answers_202: bool = False
    someone_is_faster: Sha | None = None  # a person's deploy that begins just before ours
    lists_after_s: float = 0.0
    unknown_outcome: dict[str, bool] = field(default_factory=dict)  # method: whether it was carried out all the same
    refuses: dict[str, SlipwayError] = field(default_factory=dict)
    down_after: dict[str, float] = field(default_factory=dict)  # method: seconds without an API once it is carried out
    interrupted_in: str = ""  # the method that is carried out, and whose answer the run does not live to see
    outages: list[tuple[float, float]] = field(default_factory=list)
    unknown_status: set[Sha] = field(default_factory=set)
    live_without_traffic: set[Sha] = field(default_factory=set)
    rollback_without_effect: bool = False
    rollback_fails: bool = False
    cancel_ignored: bool = False
    stale_instances: int = 0
    asleep_s: float = 0.0  # how long the first caller of a sleeping service waits
    rows: list[Row] = field(default_factory=list)
    serving: list[Instance] = field(default_factory=list)
    mutations: list[tuple[str, str]] = field(default_factory=list)
    _events: list[tuple[float, Callable[[], object]]] = field(default_factory=list)
    _balancer: random.Random = field(default_factory=lambda: random.Random(7))
    _awake_s: float | None = None
    _moment: float = 0.0

    # what the world does

    def serve_since_long(self, *commits: Sha) -> None:
        """Give the service a past: each commit was live in turn, and the last one serves."""
        for commit in commits:
            self._finish(self._add(commit), DeployState.LIVE)

    def at(self, moment_s: float, event: Callable[[], object]) -> None:
        """Let something happen at a moment."""
        self._events.append((moment_s, event))
        self._events.sort(key=lambda pair: pair[0])

    def someone_deploys(self, commit: Sha) -> str:
        """Deploy as a person in the dashboard does."""
        return self._enqueue(commit).id

    def someone_rolls_back(self, commit: Sha) -> str:
        """Roll back as a person in the dashboard does."""
        return self._enqueue(commit, is_rollback=True).id

    def api_is_down(self, seconds: float, *, from_s: float | None = None) -> None:
        """Let the API, not the service, be unreachable for a while."""
        begin = self.clock.now_s if from_s is None else from_s
        self.outages.append((begin, begin + seconds))

    def commits(self) -> set[Sha]:
        """Give the commits that users get now."""
        self._advance()
        return {row.commit for row in self.serving}

    def commits_later(self) -> set[Sha]:
        """Give every commit that users get from now until all that was begun has ended."""
        seen = self.commits()
        for _ in range(200):
            self.clock.now_s += 60
            seen |= self.commits()
        return seen

    @property
    def on_its_way(self) -> set[Sha]:
        """The commits that will go live if nobody does anything."""
        self._advance()
        return {row.commit for row in self.rows if not row.state.ended and row.commit not in self.fails_to_build}

    def asked(self, method: str) -> list[str]:
        """Give the arguments of every mutation of one kind."""
        return [argument for name, argument in self.mutations if name == method]

    # what a platform does

    def fetch_history(self, deadline: Deadline) -> History | None:
        """Read the deployments."""
        if not self.has_key:
            return None
        self._begin_call()
        rows = [row for row in self.rows if row.listed_s <= self.clock.now_s]
        return History(
            tuple(self._told(row) for row in reversed(rows)),
            self.instances if self.tells_instances else None,
            self.suspended,
        )

    def fetch_deployment(self, deployment_id: str, deadline: Deadline) -> Deployment:
        """Read one deployment."""
        self._begin_call()
        return self._told(next(row for row in self.rows if row.id == deployment_id))

    def deploy(self, commit: Sha, deadline: Deadline) -> Deployment:
        """Take a commit."""
        if self.someone_is_faster is not None:
            self._enqueue(self.someone_is_faster)
            self.someone_is_faster = None
        row = self._mutate("deploy", commit, lambda: self._enqueue(commit, listed_after_s=self.lists_after_s))
        return Deployment(None if self.answers_202 else row.id, commit, DeployState.QUEUED)

    def promote(self, deployment: Deployment, deadline: Deadline) -> None:
        """Do nothing: going live moves the traffic."""

    def roll_back(self, to: Baseline, deadline: Deadline) -> tuple[Deployment, str]:
        """Deploy the baseline's commit again; without a key by the hook, which leaves no mark of a rollback."""
        if not self.has_key:
            if to.commit is None:
                raise PlatformError("the release that served before has no known commit")
            return self.deploy(to.commit, deadline), ""
        old = next(row for row in self.rows if row.id == to.deployment_id)
        row = self._mutate("roll_back", old.commit, lambda: self._enqueue(old.commit, is_rollback=True))
        return Deployment(row.id, row.commit, DeployState.QUEUED, is_rollback=True), ""

    def cancel(self, deployment: Deployment, deadline: Deadline) -> None:
        """Stop a deployment that has not ended."""
        if self.has_key:
            self._mutate("cancel", deployment.id or "", lambda: self._cancel(deployment.id))

    # what users get

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer as the service does, each request by any of its instances."""
        self._advance()
        self._wake(request)
        if not self.serving:
            raise httpx.ConnectError("nothing listens")
        instance = self._balancer.choice(self.serving)
        if request.url.path == "/version":
            return self._version(instance)
        since = self.environment_sick_from_s
        bad = instance.commit in self.sick or (since is not None and self.clock.now_s >= since)
        return httpx.Response(500 if bad else 200, json={"status": "bad" if bad else "ready"})

    def _version(self, instance: Instance) -> httpx.Response:
        if instance.commit in self.nameless:
            return httpx.Response(404)
        told = {"commit": instance.commit}
        return httpx.Response(200, json=told | ({"instance": instance.id} if self.names_instances else {}))

    def _wake(self, request: httpx.Request) -> None:
        if not self.asleep_s:
            return
        if self._awake_s is None:
            self._awake_s = self.clock.now_s + self.asleep_s
        if self.clock.now_s < self._awake_s:
            limit: float = request.extensions["timeout"]["read"]
            self.clock.now_s = min(self._awake_s, self.clock.now_s + limit)
            raise httpx.ReadTimeout("still asleep", request=request)

    # how it works

    def _begin_call(self) -> None:
        self.cut.tick()
        self._advance()
        if any(begin <= self.clock.now_s < end for begin, end in self.outages):
            self.clock.sleep(RETRIES_S)
            raise PlatformUnreachable("the API does not answer")

    def _mutate[T](self, method: str, argument: str, act: Callable[[], T]) -> T:
        self._begin_call()
        if method in self.refuses:
            raise self.refuses[method]
        if method in self.unknown_outcome and not self.unknown_outcome[method]:
            raise OutcomeUnknown(f"{method}: sent, but not answered")
        self.mutations.append((method, argument))
        given = act()
        if method in self.down_after:
            self.api_is_down(self.down_after[method])
        if method == self.interrupted_in:
            self.interrupted_in = ""
            raise KeyboardInterrupt
        self.cut.tick()
        if method in self.unknown_outcome:
            raise OutcomeUnknown(f"{method}: sent, but not answered")
        return given

    def _add(self, commit: Sha, *, is_rollback: bool = False) -> Row:
        self.rows.append(Row(f"dep-{len(self.rows) + 1}", commit, self._moment, is_rollback))
        return self.rows[-1]

    def _enqueue(self, commit: Sha, *, is_rollback: bool = False, listed_after_s: float = 0.0) -> Row:
        row = self._add(commit, is_rollback=is_rollback)
        row.listed_s = self._moment + listed_after_s
        self._start_next()
        return row

    def _start_next(self) -> None:
        """Start the newest that waits, drop the older ones (the policy that Render calls Wait)."""
        waiting = [row for row in self.rows if row.state is DeployState.QUEUED]
        if not waiting or self._running() is not None:
            return
        for row in waiting[:-1]:
            row.state = DeployState.CANCELED
        row = waiting[-1]
        row.state, row.ends_s = DeployState.BUILDING, self._moment + self.slow.get(row.commit, self.build_s)

    def _running(self) -> Row | None:
        return next((row for row in self.rows if row.state is DeployState.BUILDING), None)

    def _advance(self) -> None:
        while True:
            running = self._running()
            steps = [running.ends_s] if running else []
            steps += [self._events[0][0]] if self._events else []
            if not steps or min(steps) > self.clock.now_s:
                break
            self._moment = min(steps)
            if running and running.ends_s == self._moment:
                bad = running.commit in self.fails_to_build or (self.rollback_fails and running.is_rollback)
                self._finish(running, DeployState.FAILED if bad else DeployState.LIVE)
            else:
                self._events.pop(0)[1]()
            self._start_next()
        self._moment = self.clock.now_s

    def _finish(self, row: Row, state: DeployState) -> None:
        if state is DeployState.LIVE:
            for other in self.rows:
                other.state = DeployState.RETIRED if other.state is DeployState.LIVE else other.state
            idle = row.commit in self.live_without_traffic or (row.is_rollback and self.rollback_without_effect)
            self.serving = self.serving if idle else self._new_instances(row)
        row.state = state

    def _new_instances(self, row: Row) -> list[Instance]:
        fresh = [Instance(f"{row.id}-{number}", row.commit) for number in range(self.instances)]
        kept = self.serving[: self.stale_instances]
        return [*kept, *fresh[len(kept) :]]

    def _cancel(self, deployment_id: str | None) -> None:
        row = next(row for row in self.rows if row.id == deployment_id)
        if not self.cancel_ignored and not row.state.ended:
            row.state = DeployState.CANCELED
            self._start_next()

    def _told(self, row: Row) -> Deployment:
        if row.commit in self.unknown_status and not row.state.ended:
            raise PlatformError(f"deploy {row.id} is in a status that is not known: 'pondering'")
        created_at = BEGIN + timedelta(seconds=row.created_s)
        return Deployment(row.id, row.commit, row.state, created_at, str(row.state), row.is_rollback)


@dataclass(frozen=True)
class StraightLine(Checkout):
    """A checkout whose history is one line of commits; any other commit descends from nothing."""

    def descends(self, commit: Sha, ancestor: Sha) -> bool:
        """Whether one commit comes after the other."""
        return commit in LINE and ancestor in LINE and LINE.index(commit) >= LINE.index(ancestor)


BODIES: dict[Stage, Callable[[Ports], Verdicts]] = {
    Stage.DEPLOY: deploy.deploy,
    Stage.VERIFY: verify.verify,
    Stage.PROMOTE: promote.promote,
    Stage.BAKE: bake.bake,
    Stage.ROLLBACK: rollback.roll_back,
    Stage.RECOVER: recover.recover,
}
FORWARD = (Stage.PLAN, Stage.DEPLOY, Stage.VERIFY, Stage.PROMOTE, Stage.BAKE)


class World:
    """A cloud where OLD has served since long, a release of NEW, and the real stages between them."""

    def __init__(self, folder: Path, *, on_unproven: str = "roll_back", instances: int = 1) -> None:
        self.cut = Cut()
        self.clock = StillClock(self.cut)
        self.cloud = Cloud(self.clock, self.cut, instances=instances)
        self.folder = folder / "state"
        self.config = make_config(on_unproven)
        self.configured_instances = instances
        self.release = Release(NEW, "run-1", BEGIN, ("render",))
        self.verdicts: dict[Stage, Verdict] = {}
        self.told = io.StringIO()
        self._kept = b""

    def ports(self) -> Ports:
        """Wire the stages to the cloud."""
        client = Client(self.clock, httpx.MockTransport(self.cloud.answer))
        checks = self.config.checks_with({})
        witness = Witness(client, self.clock, checks, self.config.probe.rate_per_s, spawn=lambda work: work())
        return Ports(
            config=self.config,
            targets=(Target("render", self.cloud, URL, self.configured_instances, witness),),
            journal=CutJournal(self.folder, self.clock, self.cut),
            clock=self.clock,
            console=Console(err=self.told, out=self.told),
            checkout=StraightLine(self.folder),
            folder=self.folder,
        )

    def run(self, stage: Stage, *, again: bool = False) -> int:
        """Run a stage as the command line does, and give its exit code."""
        try:
            body = BODIES.get(stage, lambda given: plan.plan(given, self.release, again=again))
            if stage is Stage.PLAN:
                plan.prepare_folder(self.ports(), self.release)
            self.verdicts[stage] = run_stage(self.ports(), stage, body)
        except SlipwayError as error:
            return error.exit_code
        except KeyboardInterrupt:
            return 130
        return self.verdicts[stage].exit_code

    def run_forward(self, *, until: Stage = Stage.BAKE) -> int:
        """Run the stages of a release up to one of them; stop at the first that does not pass and give its code."""
        for stage in FORWARD[: FORWARD.index(until) + 1]:
            code = self.run(stage)
            if stage is Stage.PLAN:
                self._kept = (self.folder / NAME).read_bytes()
            if code != 0:
                return code
        return 0

    def run_release(self) -> int:
        """Run the stages as the workflow does: the rollback step follows a stage that did not pass."""
        code = self.run_forward()
        return self.run(Stage.ROLLBACK) if code else 0

    def lose_machine(self, *, keep_journal: bool) -> None:
        """Continue on another machine, with the whole journal or with the copy that was made right after plan."""
        if not keep_journal:
            (self.folder / NAME).write_bytes(self._kept)

    @property
    def state(self) -> RunState:
        """What the journal adds up to."""
        return self.ports().state()

    @property
    def target(self) -> TargetState:
        """What the journal says of the target."""
        return self.state.targets["render"]

    @property
    def baseline(self) -> Baseline:
        """What the plan wrote down."""
        assert self.target.baseline is not None
        return self.target.baseline

    @property
    def result(self) -> Result:
        """What the report says."""
        return judge_result(self.state)


def make_config(on_unproven: str = "roll_back") -> Config:
    """Give a configuration with short windows; the number of probes that a pass needs is the real one."""
    return parse(
        {
            "version": 1,
            "release": {"on_unproven": on_unproven},
            "render": {"url": URL},
            "baseline": {"duration_s": 2},
            "deploy": {"deadline_s": 300, "poll_s": 5},
            "verify": {"deadline_s": 30},
            "bake": {"least_s": 5, "most_s": 40},
            "rollback": {"deadline_s": 120},
            "checks": [{"name": "ready", "path": "/health/ready", "expect": {"status": "ready"}}],
        }
    )


def old_and_new(folder: Path, *, instances: int = 1, on_unproven: str = "roll_back") -> World:
    """Give a world in which OLDER and then OLD were live."""
    world = World(folder, instances=instances, on_unproven=on_unproven)
    world.cloud.serve_since_long(OLDER, OLD)
    return world
