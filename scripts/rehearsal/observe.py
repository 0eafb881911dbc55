"""Measure a drill by what edge, platform, users and journal saw, and hold it against the book. Pure."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from scripts.journal import Event, Kind
from scripts.rehearsal.clouds import render
from scripts.rehearsal.clouds.render import Trigger
from scripts.rehearsal.drills import Drill, Expected
from scripts.rehearsal.runner import Ran
from scripts.release import Stage
from scripts.report import Result, judge_result
from scripts.state import replay


@dataclass(frozen=True)
class Facts:
    """What was there to be seen, gathered at the end of a drill; all moments are monotonic seconds."""

    baseline: str
    candidate: str
    serving_before: str | None
    serving_after: str | None
    ran: Sequence[Ran]
    journal: Sequence[Event]
    platform: Sequence[render.Event]
    rollbacks: frozenset[str]
    first_answer_s: float | None
    user_requests: int
    user_failures: int
    lingered: bool = True


@dataclass(frozen=True)
class Seen:
    """What a drill showed; None where there was nothing to time."""

    stage: Stage | None
    exit_code: int
    serving: str
    result: Result
    user_requests: int
    user_failures: int
    detected_s: float | None
    recovered_s: float | None
    platform_rollback_s: float | None


def observe(facts: Facts) -> Seen:
    """Give what a drill showed."""
    return Seen(
        stage=next((row.stage for row in facts.ran if row.exit_code != 0), None),
        exit_code=run_exit_code(facts.ran),
        serving={facts.baseline: "baseline", facts.candidate: "candidate"}.get(facts.serving_after or "", "neither"),
        result=judge_result(replay(facts.journal)),
        user_requests=facts.user_requests,
        user_failures=facts.user_failures,
        detected_s=_detected_s(facts),
        recovered_s=_recovered_s(facts),
        platform_rollback_s=platform_rollback_s(facts),
    )


def run_exit_code(ran: Sequence[Ran]) -> int:
    """Give the one code of a run: 13 if that is the last word, else the first failure; of a lost run `recover`'s."""
    codes = [row.exit_code for row in ran]
    if codes[-1] == 13 or any(code < 0 for code in codes):
        return codes[-1]
    return next((code for code in codes if code != 0), 0)


def _detected_s(facts: Facts) -> float | None:
    """Seconds from the first moment at which the fault could be seen to the verdict that stopped the release."""
    decided = _decided_at(facts)
    if decided is None:
        return None
    own = [row for row in facts.platform if row.commit == facts.candidate]
    live = next((row.monotonic_s for row in own if row.kind in {render.Kind.LIVE, render.Kind.FAILED}), None)
    visible = facts.first_answer_s if facts.first_answer_s is not None else live
    return None if visible is None else round(_monotonic(decided) - visible, 2)


def _recovered_s(facts: Facts) -> float | None:
    """Seconds from the verdict to the proof that the old release answers again."""
    decided = _decided_at(facts)
    proofs = [row.at for row in facts.journal if row.kind is Kind.PROOF and row.text("commit") == facts.baseline]
    after = [at for at in proofs if decided is not None and at >= decided]
    return round((after[0] - decided).total_seconds(), 2) if decided is not None and after else None


def platform_rollback_s(facts: Facts) -> float | None:
    """Seconds that the platform itself took from being asked to roll back until the old release had the traffic."""
    asked = [row for row in facts.platform if row.kind is render.Kind.REQUESTED and row.deploy_id in facts.rollbacks]
    if not asked:
        return None
    done = (row for row in facts.platform if row.kind is render.Kind.LIVE and row.deploy_id == asked[0].deploy_id)
    return next((round(row.monotonic_s - asked[0].monotonic_s, 2) for row in done), None)


def _decided_at(facts: Facts) -> datetime | None:
    stages = {Stage.DEPLOY, Stage.VERIFY, Stage.PROMOTE, Stage.BAKE}
    ends = (row for row in facts.journal if row.kind is Kind.STAGE_ENDED and row.text("stage") in stages)
    return next((row.at for row in ends if row.text("outcome") != "pass"), None)


def _monotonic(at: datetime) -> float:
    """Put a wall-clock moment on the monotonic scale of this process."""
    return at.timestamp() - time.time() + time.monotonic()


def rollback_ids(deploys: Sequence[render.Deploy]) -> frozenset[str]:
    """Give the ids of the platform's rollbacks."""
    return frozenset(row.id for row in deploys if row.trigger is Trigger.ROLLBACK)


def compare(drill: Drill, facts: Facts, seen: Seen) -> list[str]:
    """Say in what a drill did not end as its book states; empty where it did."""
    want = drill.expected
    wrong = [
        f"{name}: expected {getattr(want, name)}, saw {getattr(seen, name)}"
        for name in ("stage", "exit_code", "serving", "result")
        if getattr(want, name) != getattr(seen, name)
    ]
    if facts.serving_before != facts.baseline:
        wrong.append("the old release did not serve at the start")
    if not facts.lingered:
        wrong.append("what serves changed by itself after the end")
    return wrong + _limits_broken(want, seen)


def _limits_broken(want: Expected, seen: Seen) -> list[str]:
    wrong = []
    if seen.user_failures > want.user_failures:
        wrong.append(f"user failures: at most {want.user_failures}, saw {seen.user_failures}")
    if seen.user_requests == 0:
        wrong.append("no user asked for anything, so nothing is known of them")
    if want.detected_s is not None and (seen.detected_s is None or seen.detected_s > want.detected_s):
        wrong.append(f"detection: within {want.detected_s:g} s, saw {seen.detected_s}")
    if want.recovered_s is not None:
        floor = seen.platform_rollback_s or 0.0
        if seen.recovered_s is None or seen.recovered_s > floor + want.recovered_s:
            wrong.append(f"recovery: within {floor:g} + {want.recovered_s:g} s, saw {seen.recovered_s}")
    return wrong
