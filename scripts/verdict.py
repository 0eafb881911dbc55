"""Values: a check, what it saw, and a verdict of four answers, of which the worst wins.

*fail* is proof of bad; *error* means that we could not look; *inconclusive* means too little evidence; neither is a
pass, and no evidence is never a pass.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


class Outcome(enum.StrEnum):
    """The four answers, from best to worst."""

    PASS = "pass"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"
    FAIL = "fail"

    @property
    def badness(self) -> int:
        """Rank, 0 for a pass; of several answers the highest rank wins."""
        return list(Outcome).index(self)


EXIT_CODES = {Outcome.PASS: 0, Outcome.FAIL: 10, Outcome.INCONCLUSIVE: 11, Outcome.ERROR: 12}
NOT_PROVEN = 13


@dataclass(frozen=True)
class Verdict:
    """An answer with its reason; `exit_code` is the outcome's own unless a rollback was not proven (13)."""

    outcome: Outcome
    reason: str
    next_step: str = ""
    not_proven: bool = False
    superseded: bool = False
    environment: bool = False

    @property
    def exit_code(self) -> int:
        """The process exit code that says the same."""
        return NOT_PROVEN if self.not_proven else EXIT_CODES[self.outcome]

    @property
    def passed(self) -> bool:
        """Whether it is a pass."""
        return self.outcome is Outcome.PASS


def passed(reason: str) -> Verdict:
    """Give a pass."""
    return Verdict(Outcome.PASS, reason)


def failed(reason: str, next_step: str = "") -> Verdict:
    """Give a fail."""
    return Verdict(Outcome.FAIL, reason, next_step)


def superseded_by(what: str) -> Verdict:
    """Give the fail that means: someone else moved production, and their move stands."""
    reason = f"superseded: {what}; their move stands and nothing was changed"
    return Verdict(Outcome.FAIL, reason, "look at who moved production, then release again from main", superseded=True)


def unproven_rollback(reason: str, next_step: str = "") -> Verdict:
    """Give exit 13: a person is needed."""
    return Verdict(Outcome.FAIL, reason, next_step or "open the platform's dashboard now", not_proven=True)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Give the worst of several; of none: inconclusive, because no evidence is never a pass."""
    rows = list(verdicts)
    if not rows:
        return Verdict(Outcome.INCONCLUSIVE, "nothing was judged")
    bad = max(rows, key=lambda row: (row.not_proven, row.outcome.badness))
    same = [row for row in rows if (row.outcome, row.not_proven) == (bad.outcome, bad.not_proven)]
    return Verdict(
        bad.outcome,
        "; ".join(dict.fromkeys(row.reason for row in same)),
        next((row.next_step for row in same if row.next_step), ""),
        not_proven=bad.not_proven,
        superseded=any(row.superseded for row in same),
        environment=any(row.environment for row in same),
    )


@dataclass(frozen=True)
class Check:
    """A request with an expectation; `json` maps a dotted path in the answer to the value it must have."""

    name: str
    path: str
    method: str = "GET"
    status: int = 200
    json: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 5.0
    critical: bool = True


CANDIDATE, CURRENT, BASELINE = ARMS = ("candidate", "current", "baseline")


@dataclass(frozen=True, slots=True)
class Sample:
    """One observation of one check; `t_s` counts from the first probe of the candidate, negative for the baseline.

    `arm` is who answered: the candidate, the current release beside it, or, before it, as the baseline. `pair` joins
    two that were sent together.
    """

    t_s: float
    endpoint: str
    arm: str
    ms: float
    ok: bool
    reason: str = ""
    pair: int | None = None
