"""A drill by the second: which stages ran, who answered, what users met, what the platforms did, how the evidence grew.

The live screen shows it while it grows, the page when it is whole. Seconds count from the first request of a user.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.evidence import draw_curve, quantile
from scripts.judging.curve import Point
from scripts.rehearsal.runner import Ran
from scripts.samples import path_of

if TYPE_CHECKING:
    from scripts.rehearsal.clouds.render_values import Event as RenderEvent
    from scripts.rehearsal.clouds.vercel_values import Event as VercelEvent
    from scripts.rehearsal.scene import Scene
    from scripts.rehearsal.traffic import Second, Traffic
    from scripts.rehearsal.world import Site

BASELINE, CANDIDATE, NEITHER = "baseline", "candidate", "neither"
BAKE = "bake"


@dataclass(frozen=True)
class StageRun:
    """One process of a run; it has no end and no exit code while it runs."""

    stage: str
    begin_s: float
    end_s: float | None = None
    exit_code: int | None = None


@dataclass(frozen=True)
class Tick:
    """One second of a target: what its users sent and met, and how many answers each release gave to anybody."""

    t_s: float
    sent: int
    failed: int
    p50_ms: float
    p95_ms: float
    answers: Mapping[str, int] = field(default_factory=dict)  # by the word for the commit


@dataclass(frozen=True)
class Mark:
    """Something that a platform did, and to which release."""

    t_s: float
    what: str
    word: str


@dataclass(frozen=True)
class Bet:
    """How strong the evidence against the candidate was: log10 of E, of which 3 is proof."""

    t_s: float
    log10_e: float


@dataclass(frozen=True)
class SiteRecording:
    """One target; `sent` and `failed` count all requests of its users, also those of seconds that are not here."""

    name: str
    sent: int = 0
    failed: int = 0
    ticks: tuple[Tick, ...] = ()
    marks: tuple[Mark, ...] = ()
    bets: tuple[Bet, ...] = ()


@dataclass(frozen=True)
class Recording:
    """A drill up to `now_s`."""

    now_s: float = 0.0
    stages: tuple[StageRun, ...] = ()
    sites: tuple[SiteRecording, ...] = ()


class Recorder:
    """Looks at a drill while it is played; nothing that it does is seen by the release."""

    def __init__(self, scene: Scene, users: Mapping[str, Traffic]) -> None:
        self._scene = scene
        self._users = users
        self._begin_s = time.monotonic()
        self._curves: dict[str, tuple[tuple[int, Path], tuple[Point, ...]]] = {}

    def look(self, last_s: float = math.inf) -> Recording:
        """Give the recording so far; of the users' seconds the last ones alone, if so many are asked for."""
        now = time.monotonic()
        since = max(0, math.floor(max(self._begin_s, now - last_s)))
        stages = tuple(self._stages(self._scene.runner.begun, self._scene.runner.ran))
        sites = tuple(self._site(site, since, stages) for site in self._scene.world.sites)
        return Recording(now - self._begin_s, stages, sites)

    def _stages(self, begun: Iterable[tuple[str, float]], ran: Iterable[Ran]) -> Iterable[StageRun]:
        ended = {(row.stage, row.start_s): row for row in ran}
        for stage, start_s in begun:
            row = ended.get((stage, start_s))
            end_s = row.end_s - self._begin_s if row else None
            yield StageRun(stage, start_s - self._begin_s, end_s, row.exit_code if row else None)

    def _site(self, site: Site, since: int, stages: Sequence[StageRun]) -> SiteRecording:
        users = self._users[site.name]
        ticks = tuple(self._tick(site, second) for second in users.seconds_since(since))
        marks = tuple(self._mark(event) for event in site.cloud.events if event.monotonic_s >= self._begin_s)
        bets = tuple(self._bets(site.name, stages))
        return SiteRecording(site.name, users.requests, users.failures, ticks, marks, bets)

    def _tick(self, site: Site, second: Second) -> Tick:
        answers: dict[str, int] = {}
        for commit, count in site.edge.answers_in(second.second).items():
            word = self._word(commit)
            answers[word] = answers.get(word, 0) + count
        p50, p95 = (quantile(second.latencies_ms, share) for share in (0.5, 0.95))
        return Tick(second.second - self._begin_s, second.sent, second.failed, p50, p95, answers)

    def _mark(self, event: RenderEvent | VercelEvent) -> Mark:
        return Mark(
            event.monotonic_s - self._begin_s, str(event.kind), self._word(event.commit) if event.commit else ""
        )

    def _word(self, commit: str) -> str:
        world = self._scene.world
        return {world.baseline: BASELINE, world.candidate: CANDIDATE, **self._scene.words}.get(commit, NEITHER)

    def _bets(self, name: str, stages: Sequence[StageRun]) -> Iterable[Bet]:
        """Put the bets beside the rest: the last second that was judged is the bake's last, or the present one."""
        points = self._curve(name)
        bakes = [row for row in stages if row.stage == BAKE]
        if not points or not bakes:
            return
        end_s = bakes[-1].end_s
        shift_s = (time.monotonic() - self._begin_s if end_s is None else end_s) - points[-1].t_s
        for point in points:
            yield Bet(point.t_s + shift_s, point.log10_e)

    def _curve(self, name: str) -> tuple[Point, ...]:
        """Give the bets as they stand; they are reckoned anew where the samples have grown."""
        runner = self._scene.runner
        places = (runner.state, runner.folder / "kept" / "release")  # after a recovery on another machine
        path = next((path_of(place, name) for place in places if path_of(place, name).is_file()), None)
        if path is None:
            return self._curves[name][1] if name in self._curves else ()
        key = (path.stat().st_size, path)
        if name not in self._curves or self._curves[name][0] != key:
            self._curves[name] = (key, draw_curve(path, self._scene.world.error_rate))
        return self._curves[name][1]
