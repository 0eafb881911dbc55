"""A platform in memory that stages: a deployment is at a URL of its own, and users are on it only when promoted.

It is on the clock and the `Cut` of `moments`. What can go wrong is an attribute; all are absent at first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import httpx

from scripts.clock import Deadline
from scripts.errors import OutcomeUnknown, PlatformError, PlatformUnreachable, SlipwayError
from scripts.platforms import History
from scripts.platforms.vercel_answers import Move, find_rollback_time, find_undone
from scripts.rehearsal.simulated.api import Api
from scripts.rehearsal.simulated.moments import BEGIN, Cut, StillClock
from scripts.release import Baseline, Deployment, DeployState, Sha

PRODUCTION = "https://web.test"
STAGED_HOST = ".staged.test"
POLL_S = 1.0
ON_ITS_WAY = frozenset({DeployState.QUEUED, DeployState.BUILDING})


@dataclass
class Row:
    """One deployment as the cloud knows it; `public`: users follow when it is ready, as after a push."""

    id: str
    commit: Sha
    created_s: float
    ends_s: float
    listed_s: float = 0.0
    state: DeployState = DeployState.BUILDING
    public: bool = False

    @property
    def url(self) -> str:
        """Its own address."""
        return f"https://{self.id}{STAGED_HOST}"


@dataclass
class Job:
    """The last move of the users; `hidden` while it waits in a queue that nobody sees."""

    kind: str
    to_id: str
    from_id: str | None
    asked_s: float
    ends_s: float
    hidden: bool = False
    done: bool = False
    without_effect: bool = False


@dataclass
class StagedCloud(Api):
    """One project."""

    clock: StillClock
    cut: Cut
    name: str = "vercel"
    stages: bool = True
    blind: None = None
    build_s: float = 6.0
    move_s: float = 2.0
    slow: dict[Sha, float] = field(default_factory=dict)  # how long a build takes; inf: it is stuck
    fails_to_build: set[Sha] = field(default_factory=set)
    sick: set[Sha] = field(default_factory=set)
    sick_in_production: set[Sha] = field(default_factory=set)
    dies_on_import: set[Sha] = field(default_factory=set)
    nameless: set[Sha] = field(default_factory=set)  # commits without /version
    unknown_status: set[Sha] = field(default_factory=set)
    environment_sick_from_s: float | None = None
    lists_after_s: float = 0.0
    hindrance: str = ""
    unknown_outcome: dict[str, bool] = field(default_factory=dict)  # method: whether it was carried out all the same
    refuses: dict[str, SlipwayError] = field(default_factory=dict)
    down_after: dict[str, float] = field(default_factory=dict)  # method: seconds without an API once it is carried out
    interrupted_in: str = ""  # the method that is carried out, and whose answer the run does not live to see
    outages: list[tuple[float, float]] = field(default_factory=list)
    promote_never_ends: bool = False
    promote_queued_s: float | None = None  # taken, told nowhere, and done so much later unless another move comes
    promote_without_effect: bool = False
    rollback_never_ends: bool = False
    rollback_without_effect: bool = False
    refuses_while_moving: bool = False
    cancel_ignored: bool = False
    rows: list[Row] = field(default_factory=list)
    serving_id: str | None = None  # what the platform says that the production domain points to
    users_on: str | None = None  # what it really points to
    pinned: bool = False
    was_public: set[str] = field(default_factory=set)
    mutations: list[tuple[str, str]] = field(default_factory=list)
    when_moved: Callable[[Sha], None] = lambda commit: None
    _job: Job | None = None
    _events: list[tuple[float, Callable[[], object]]] = field(default_factory=list)
    _moment: float = 0.0

    # what the world does

    def serve_since_long(self, *commits: Sha) -> None:
        """Give the project a past: each commit had the users in turn, and the last one has them."""
        for commit in commits:
            row = self._add(commit, 0.0)
            row.state = DeployState.LIVE
            self._point(row.id)

    def someone_pushes(self, commit: Sha) -> str:
        """Deploy as a push does: users follow when it is ready, unless a rollback pins what serves."""
        row = self._add(commit, self.build_s)
        row.public = not self.pinned
        return row.id

    def someone_stages(self, commit: Sha) -> str:
        """Deploy as a person does who does not promote."""
        return self._add(commit, self.build_s).id

    def someone_promotes(self, commit: Sha) -> None:
        """Give the users to the newest deployment of a commit, as a person in the dashboard does."""
        self._move("promote", self._newest(commit))

    def someone_rolls_back(self, commit: Sha) -> None:
        """Give them back to one, as a person in the dashboard does."""
        self._move("rollback", self._newest(commit))

    def commits(self) -> set[Sha]:
        """Give the commits that users get now."""
        self._advance()
        row = self._find(self.users_on)
        return {row.commit} if row else set()

    def commits_later(self) -> set[Sha]:
        """Give every commit that users get from now until all that was begun has ended."""
        seen = self.commits()
        for _ in range(200):
            self.clock.now_s += 60
            seen |= self.commits()
        return seen

    @property
    def on_its_way(self) -> set[Sha]:
        """The commits that will get the users if nobody does anything."""
        self._advance()
        moving = self._find(self._job.to_id) if self._job and self._waits(self._job) else None
        building = {row.commit for row in self.rows if row.public and row.state in ON_ITS_WAY}
        return building | ({moving.commit} if moving else set())

    # what a platform does

    def fetch_history(self, deadline: Deadline) -> History | None:
        """Read the deployments and where the production domain points."""
        self._begin_call()
        rows = tuple(self._told(row) for row in reversed(self.rows) if row.listed_s <= self.clock.now_s)
        job, moving = self._job, self._job is not None and self._running(self._job)
        told = None if job is None or job.hidden else job
        status = "in-progress" if moving else "succeeded"
        asked_ms = int((BEGIN.timestamp() + told.asked_s) * 1000) if told else 0
        move = Move(told.kind, status, told.to_id, told.from_id, asked_ms) if told else None
        return History(
            deployments=rows,
            moving_to=told.to_id if told and moving else None,
            pinned=self.pinned,
            undone=find_undone(rows, move),
            rolled_back_at=find_rollback_time(move),
            moved_from=told.from_id if told else None,
            hindrance=self.hindrance,
        )

    def fetch_deployment(self, deployment_id: str, deadline: Deadline) -> Deployment:
        """Read one deployment."""
        self._begin_call()
        if (row := self._find(deployment_id)) is None:
            raise PlatformError(f"there is no deployment {deployment_id}")
        return self._told(row)

    def deploy(self, commit: Sha, deadline: Deadline) -> Deployment:
        """Stage a commit."""
        row = self._mutate("deploy", commit, lambda: self._stage(commit))
        return Deployment(row.id, commit, row.state, url=row.url)

    def promote(self, deployment: Deployment, deadline: Deadline) -> None:
        """Give the users to a deployment and wait until they are there."""
        self._ask_for("promote", "promote", deployment.id or "", deadline)

    def roll_back(self, to: Baseline, deadline: Deadline) -> tuple[Deployment, str]:
        """Give the users back to a deployment that had them, and wait until they are there."""
        row = self._find(to.deployment_id)
        if row is None or row.id not in self.was_public:
            raise PlatformError("no user was ever on it")
        self._ask_for("roll_back", "rollback", row.id, deadline)
        return self._told(row), ""

    def cancel(self, deployment: Deployment, deadline: Deadline) -> None:
        """Stop a build."""
        self._mutate("cancel", deployment.id or "", lambda: self._cancel(deployment.id))

    # what users and probes get

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer for production, and for each deployment at its own URL."""
        self._advance()
        host = request.url.host
        public = not host.endswith(STAGED_HOST)
        row = self._find(self.users_on if public else host.removesuffix(STAGED_HOST))
        if row is None or row.state in ON_ITS_WAY or row.state in {DeployState.FAILED, DeployState.CANCELED}:
            return httpx.Response(404, text="DEPLOYMENT_NOT_FOUND")
        if row.commit in self.dies_on_import:
            return httpx.Response(500, text="FUNCTION_INVOCATION_FAILED")
        if request.url.path == "/version":
            told = {"commit": row.commit, "instance": f"{row.id}-1"}
            return httpx.Response(404) if row.commit in self.nameless else httpx.Response(200, json=told)
        bad = row.commit in self.sick or (public and row.commit in self.sick_in_production)
        since = self.environment_sick_from_s
        bad = bad or (since is not None and self.clock.now_s >= since)
        return httpx.Response(500 if bad else 200, json={"status": "bad" if bad else "ready"})

    # how it works

    def _ask_for(self, method: str, kind: str, to_id: str, deadline: Deadline) -> None:
        """Ask for a move and wait until the production domain points there, as the adapter does."""
        self._begin_call()
        job = self._job
        if job and self._running(job) and job.to_id != to_id and self.refuses_while_moving:
            raise PlatformUnreachable(f"{method}: refused while another move is running")
        again = job is not None and job.to_id == to_id and job.kind == kind
        if not again or (job and not job.done and not self._running(job)):
            row = self._find(to_id)
            self._mutate(method, row.commit if row else to_id, lambda: self._move(kind, to_id))
        while not self._arrived(to_id):
            if deadline.passed:
                raise OutcomeUnknown(f"{method}: not done at the deadline")
            deadline.pause(POLL_S)

    def _arrived(self, to_id: str) -> bool:
        self._advance()
        away = self._job is not None and self._running(self._job) and self._job.to_id != to_id
        return self.serving_id == to_id and not away

    def _stage(self, commit: Sha) -> Row:
        row = self._add(commit, self.slow.get(commit, self.build_s))
        row.listed_s = self._moment + self.lists_after_s
        return row

    def _move(self, kind: str, to_id: str) -> None:
        """Begin a move; one that was begun before and has not ended does not come any more."""
        job = Job(kind, to_id, self.serving_id, self._moment, self._moment + self.move_s)
        if kind == "promote":
            job.hidden = self.promote_queued_s is not None
            job.ends_s = math.inf if self.promote_never_ends else job.ends_s + (self.promote_queued_s or 0.0)
            job.without_effect = self.promote_without_effect
        else:
            job.ends_s = math.inf if self.rollback_never_ends else job.ends_s
            job.without_effect = self.rollback_without_effect
        self._job = job

    def _running(self, job: Job) -> bool:
        return self._waits(job) and not job.hidden

    def _waits(self, job: Job) -> bool:
        return not job.done

    def _cancel(self, deployment_id: str | None) -> None:
        row = self._find(deployment_id)
        if row and not self.cancel_ignored and row.state in ON_ITS_WAY:
            row.state = DeployState.CANCELED

    def _add(self, commit: Sha, takes_s: float) -> Row:
        row = Row(f"dpl-{len(self.rows) + 1}", commit, self._moment, self._moment + takes_s, self._moment)
        self.rows.append(row)
        return row

    def _newest(self, commit: Sha) -> str:
        return next(row.id for row in reversed(self.rows) if row.commit == commit)

    def _find(self, deployment_id: str | None) -> Row | None:
        return next((row for row in self.rows if row.id == deployment_id), None)

    def _point(self, deployment_id: str, *, really: bool = True) -> None:
        self.serving_id = deployment_id
        self.was_public.add(deployment_id)
        row = self._find(deployment_id)
        if really and row is not None:
            self.users_on = deployment_id
            self.when_moved(row.commit)

    def _advance(self) -> None:
        while True:
            building = [row for row in self.rows if row.state in ON_ITS_WAY]
            steps = [row.ends_s for row in building] + [moment for moment, _ in self._events[:1]]
            steps += [self._job.ends_s] if self._job and self._waits(self._job) else []
            if not steps or min(steps) > self.clock.now_s:
                break
            self._moment = min(steps)
            self._step(building)
        self._moment = self.clock.now_s

    def _step(self, building: list[Row]) -> None:
        """Do the one thing that is due."""
        row = next((row for row in building if row.ends_s == self._moment), None)
        if row is not None:
            row.state = DeployState.FAILED if row.commit in self.fails_to_build else DeployState.STAGED
            if row.public and row.state is DeployState.STAGED:
                self._point(row.id)
        elif self._job and self._waits(self._job) and self._job.ends_s == self._moment:
            self._job.done, self._job.hidden = True, False
            self.pinned = self._job.kind == "rollback"
            self._point(self._job.to_id, really=not self._job.without_effect)
        else:
            self._events.pop(0)[1]()

    def _told(self, row: Row) -> Deployment:
        if row.commit in self.unknown_status and row.state in ON_ITS_WAY:
            raise PlatformError(f"deployment {row.id} is in a state that is not known: 'PONDERING'")
        state = row.state
        if state not in ON_ITS_WAY and state not in {DeployState.FAILED, DeployState.CANCELED}:
            before = DeployState.RETIRED if row.id in self.was_public else DeployState.STAGED
            state = DeployState.LIVE if row.id == self.serving_id else before
        created_at = BEGIN + timedelta(seconds=row.created_s)
        return Deployment(row.id, row.commit, state, created_at, str(state), url=row.url, size_bytes=1000)
