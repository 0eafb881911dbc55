"""A platform that deploys in place, in memory, with a service behind it.

Deployments queue, build and go live as the clock advances; going live moves the traffic. What can go wrong is an
attribute of the cloud.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import httpx

from scripts.clock import Deadline
from scripts.errors import ConfigError, PlatformError, SlipwayError, UnknownState
from scripts.platforms import History
from scripts.rehearsal.simulated.api import Api
from scripts.rehearsal.simulated.moments import BEGIN, Cut, StillClock
from scripts.release import Baseline, Deployment, DeployState, Sha

URL = "https://service.test"


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
class Cloud(Api):
    """One service; the attributes are its faults, all absent at first."""

    clock: StillClock
    cut: Cut
    name: str = "render"
    stages: bool = False
    instances: int = 1
    has_key: bool = True
    key_revoked: bool = False
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
    _balancer: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311 - the same each time
    _awake_s: float | None = None
    _moment: float = 0.0

    # what the world does

    def serve_since_long(self, *commits: Sha) -> None:
        """Give the service a past: each commit was live in turn, and the last one serves."""
        for commit in commits:
            self._finish(self._add(commit), DeployState.LIVE)

    def someone_deploys(self, commit: Sha) -> str:
        """Deploy as a person in the dashboard does."""
        return self._enqueue(commit).id

    def someone_rolls_back(self, commit: Sha) -> str:
        """Roll back as a person in the dashboard does."""
        return self._enqueue(commit, is_rollback=True).id

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

    # what a platform does

    @property
    def blind(self) -> Blind | None:
        """The same service by its hook alone."""
        return Blind(self) if self.has_key else None

    def fetch_history(self, deadline: Deadline) -> History | None:
        """Read the deployments."""
        if not self.has_key:
            return None
        self._begin_call()
        if self.key_revoked:
            raise ConfigError("the key is revoked")
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

    def take_by_hook(self, commit: Sha) -> None:
        """Take a commit while nobody can look."""
        self.cut.tick()
        self._advance()
        self.mutations.append(("deploy", commit))
        self._enqueue(commit)
        self.cut.tick()

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
            raise UnknownState(f"deploy {row.id} is in a status that is not known: 'pondering'")
        created_at = BEGIN + timedelta(seconds=row.created_s)
        return Deployment(row.id, row.commit, row.state, created_at, str(row.state), row.is_rollback)


@dataclass
class Blind:
    """A service without what its API tells: the hook takes a commit, and an outage of the API is none of the hook."""

    cloud: Cloud
    name: str = "render"
    stages: bool = False
    blind: None = None

    def fetch_history(self, deadline: Deadline) -> None:
        """Nobody can look."""

    def fetch_deployment(self, deployment_id: str, deadline: Deadline) -> Deployment:
        """Nobody can look at one either."""
        raise PlatformError(f"without a key {deployment_id} cannot be read")

    def deploy(self, commit: Sha, deadline: Deadline) -> Deployment:
        """Take a commit."""
        self.cloud.take_by_hook(commit)
        return Deployment(None, commit, DeployState.QUEUED)

    def promote(self, deployment: Deployment, deadline: Deadline) -> None:
        """Do nothing: going live moves the traffic."""

    def roll_back(self, to: Baseline, deadline: Deadline) -> tuple[Deployment, str]:
        """Take the commit that served before."""
        if to.commit is None:
            raise PlatformError("the release that served before has no known commit")
        return self.deploy(to.commit, deadline), ""

    def cancel(self, deployment: Deployment, deadline: Deadline) -> None:
        """Nothing can be cancelled."""
