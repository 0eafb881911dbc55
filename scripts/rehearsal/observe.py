"""Measure a drill by what edges, platforms, users and journal saw, and hold it against the book. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from scripts.journal import Event, Kind
from scripts.rehearsal.book.drill import Drill, Expected
from scripts.rehearsal.recording import Recording
from scripts.rehearsal.runner import BUILD, Ran
from scripts.release import Stage
from scripts.report import Result, judge_result
from scripts.state import replay

LIVE, FAILED = "live", "failed"  # the platforms' own events, by the same names
ASKED = frozenset({"requested", "rollback_requested"})


class PlatformEvent(Protocol):
    """Something that happened on a platform."""

    @property
    def monotonic_s(self) -> float:
        """When."""
        ...

    @property
    def kind(self) -> str:
        """What."""
        ...

    @property
    def deploy_id(self) -> str | None:
        """Which deployment."""
        ...

    @property
    def commit(self) -> str | None:
        """Which commit."""
        ...


@dataclass(frozen=True)
class SiteFacts:
    """What was there to be seen of one target; `rollbacks` are the ids that a rollback was asked to bring back."""

    name: str
    serving_before: str | None
    serving_after: str | None
    platform: Sequence[PlatformEvent]
    rollbacks: frozenset[str]
    first_answer_s: float | None  # the candidate's, to any user
    first_failure_s: float | None = None  # that a user met from then on
    user_requests: int = 0
    user_failures: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)  # of users, by reason
    lingered: bool = True


@dataclass(frozen=True)
class Facts:
    """What was there to be seen, gathered at the end of a drill; all moments are monotonic seconds."""

    baseline: str
    candidate: str
    sites: Sequence[SiteFacts]
    ran: Sequence[Ran]
    journal: Sequence[Event]
    words: Mapping[str, str] = field(default_factory=dict)  # of other commits than these two
    fault_came: bool = True
    said: str = ""  # by the stages
    troubles: Sequence[str] = ()  # that no drill may have, such as a secret in a file
    recording: Recording = field(default_factory=Recording)

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the sites."""
        return tuple(site.name for site in self.sites)


@dataclass(frozen=True)
class Seen:
    """What a drill showed; None where there was nothing to time."""

    stage: str | None
    exit_code: int
    result: Result
    user_requests: int
    user_failures: int
    detected_s: float | None
    recovered_s: float | None
    platform_rollback_s: float | None
    serving: Mapping[str, str] = field(default_factory=dict)


def observe(facts: Facts, where: str | None = None) -> Seen:
    """Give what a drill showed; `where` is the target with the fault."""
    words = {facts.baseline: "baseline", facts.candidate: "candidate", **facts.words}
    return Seen(
        stage=next((row.stage for row in facts.ran if row.exit_code != 0), None),
        exit_code=run_exit_code(facts.ran),
        result=judge_result(replay(facts.journal)),
        user_requests=sum(site.user_requests for site in facts.sites),
        user_failures=sum(site.user_failures for site in facts.sites),
        detected_s=_detected_s(facts, where),
        recovered_s=_recovered_s(facts),
        platform_rollback_s=platform_rollback_s(facts.sites),
        serving={site.name: words.get(site.serving_after or "", "neither") for site in facts.sites},
    )


def run_exit_code(ran: Sequence[Ran]) -> int:
    """Give the one code of a run: 13 if that is the last word, else the first failure; of a lost run `recover`'s."""
    codes = [row.exit_code for row in ran]
    first = next((code for code in codes if code != 0), 0)
    return codes[-1] if codes[-1] == 13 or first < 0 else first


def _detected_s(facts: Facts, where: str | None) -> float | None:
    """Seconds from the first failure that a user met of the candidate, else from its first answer, to the verdict."""
    decided = _decided_at(facts)
    if decided is None:
        return None
    moments = [_visible_s(site, facts.candidate) for site in facts.sites if where in {None, site.name}]
    visible = min((moment for moment in moments if moment is not None), default=None)
    seconds = None if visible is None else round(_monotonic(decided) - visible, 2)
    return seconds if seconds is not None and seconds >= 0 else None  # decided before anybody could see it


def _visible_s(site: SiteFacts, candidate: str) -> float | None:
    if site.first_answer_s is not None:
        return site.first_failure_s or site.first_answer_s
    own = (row for row in site.platform if row.commit == candidate and row.kind in {LIVE, FAILED})
    return next((row.monotonic_s for row in own), None)


def _recovered_s(facts: Facts) -> float | None:
    """Seconds from the verdict until the old release was proven on the last of the targets that were on the new one."""
    decided = _decided_at(facts)
    rows = [row for row in facts.journal if row.kind is Kind.PROOF and row.text("commit") == facts.baseline]
    if decided is None:
        return None
    first = {row.target: row.at for row in reversed(rows) if row.at >= decided}
    if not first or set(first) != {row.target for row in facts.journal if row.kind is Kind.BASELINE}:
        return None
    return round((max(first.values()) - decided).total_seconds(), 2)


def platform_rollback_s(sites: Sequence[SiteFacts]) -> float | None:
    """Seconds that the slowest platform took from being asked to roll back until the old release had the traffic."""
    took = [seconds for site in sites if (seconds := _own_rollback_s(site)) is not None]
    return max(took, default=None)


def _own_rollback_s(site: SiteFacts) -> float | None:
    asked = [row for row in site.platform if row.kind in ASKED and row.deploy_id in site.rollbacks]
    if not asked:
        return None
    begin = asked[-1] if asked[-1].kind != "requested" else asked[0]
    done = (
        row.monotonic_s
        for row in site.platform
        if row.kind == LIVE and row.deploy_id == begin.deploy_id and row.monotonic_s >= begin.monotonic_s
    )
    return next((round(at_s - begin.monotonic_s, 2) for at_s in done), None)


def _decided_at(facts: Facts) -> datetime | None:
    stages = {Stage.DEPLOY, Stage.VERIFY, Stage.PROMOTE, Stage.BAKE}
    ends = (row for row in facts.journal if row.kind is Kind.STAGE_ENDED and row.text("stage") in stages)
    return next((row.at for row in ends if row.text("outcome") != "pass"), None)


def _monotonic(at: datetime) -> float:
    """Put a wall-clock moment on the monotonic scale of this process."""
    return at.timestamp() - time.time() + time.monotonic()


def compare(drill: Drill, facts: Facts, seen: Seen) -> list[str]:
    """Say in what a drill did not end as its book states; empty where it did."""
    want = drill.expected
    wrong = [
        f"{name}: expected {getattr(want, name)}, saw {getattr(seen, name)}"
        for name in ("stage", "exit_code", "result")
        if getattr(want, name) != getattr(seen, name)
    ]
    for site in facts.sites:
        if seen.serving[site.name] != want.serving_on(site.name):
            wrong.append(f"{site.name}: expected the {want.serving_on(site.name)}, saw {seen.serving[site.name]}")
        if site.serving_before != (None if drill.setting.first else facts.baseline):
            wrong.append(f"{site.name}: the old release did not serve at the start")
        if not site.lingered:
            wrong.append(f"{site.name}: what serves changed by itself after the end")
        if site.user_requests == 0 and want.stage != BUILD:
            wrong.append(f"{site.name}: no user asked for anything, so nothing is known of them")
    if not facts.fault_came:
        wrong.append("the release ended before the fault came")
    if want.told not in facts.said:
        wrong.append(f"the release did not say {want.told!r}")
    return [*wrong, *facts.troubles, *_limits_broken(want, facts, seen)]


def _limits_broken(want: Expected, facts: Facts, seen: Seen) -> list[str]:
    wrong = []
    if seen.user_failures > want.user_failures:
        told = [f"{site.name} {count} × {why}" for site in facts.sites for why, count in site.failures.items()]
        wrong.append(f"user failures: at most {want.user_failures}, saw {seen.user_failures}: {', '.join(told)}")
    if want.detected_s is not None and (seen.detected_s is None or seen.detected_s > want.detected_s):
        wrong.append(f"detection: within {want.detected_s:g} s, saw {seen.detected_s}")
    if want.recovered_s is not None:
        floor = seen.platform_rollback_s or 0.0
        if seen.recovered_s is None or seen.recovered_s > floor + want.recovered_s:
            wrong.append(f"recovery: within {floor:g} + {want.recovered_s:g} s, saw {seen.recovered_s}")
    return wrong
