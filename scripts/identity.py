"""Which commit answers: decided from answers of `/version`, from nothing else.

Neither a platform's "live" nor a tool's exit code is proof. Proof is the full commit in N answers over fresh
connections, in a row that no other answer broke; and where answers name their instance, from every one expected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from scripts.release import Sha, short

LEAST_ANSWERS = 3
MISS_PROBABILITY = 0.001


@dataclass(frozen=True)
class Seen:
    """One answer of `/version`: `commit` None means that it named none, and `reason` says why."""

    commit: Sha | None
    instance: str | None = None
    reason: str = ""
    answered: bool = False  # the service itself answered, and its answer names no commit: it has no /version


def answers_needed(instances: int, broken_rows: int = 0) -> int:
    """Give N = ⌈ln .001 / ln(1 − 1/(n + 1))⌉: after so many in a row an old instance beside the n would have been seen.

    With a fair balancer each answer misses one given instance of n + 1 with probability 1 − 1/(n + 1), so N of them
    miss it with at most .001 (geometric distribution): n = 1 gives 10, n = 3 gives 25. That every expected instance
    has answered does not show that no other one does, where a balancer asks them in turn.

    Each broken row is another try, so the k-th may miss it with .001/k² only: all together, however many there are,
    with at most .001·π²/6 (union bound).
    """
    allowed = MISS_PROBABILITY / (broken_rows + 1) ** 2
    return math.ceil(math.log(allowed) / math.log(1 - 1 / (max(1, instances) + 1)))


@dataclass(frozen=True)
class Identity:
    """What has been seen so far of one expected commit: an unbroken row, the instances in it, the last other answer."""

    expected: Sha
    row: int = 0
    instances: frozenset[str] = frozenset()
    named_all: bool = True
    stranger: Sha | None = None
    stranger_row: int = 0
    broken_rows: int = 0
    last: str = "no answer yet"

    def observe(self, seen: Seen) -> Identity:
        """Take one more answer: any other commit, and any answer without one, breaks the row."""
        if seen.commit == self.expected:
            return self._lengthened(seen)
        row = self.stranger_row + 1 if seen.commit and seen.commit == self.stranger else 1
        return Identity(
            self.expected,
            stranger=seen.commit or self.stranger,
            stranger_row=row if seen.commit else self.stranger_row,
            broken_rows=self.broken_rows + (self.row > 0),
            last=f"commit {short(seen.commit)} answered" if seen.commit else seen.reason,
        )

    def _lengthened(self, seen: Seen) -> Identity:
        return replace(
            self,
            row=self.row + 1,
            instances=self.instances | ({seen.instance} if seen.instance else frozenset()),
            named_all=(self.named_all or self.row == 0) and seen.instance is not None,
            stranger_row=0,
            last=f"commit {short(self.expected)} answered",
        )

    def proven(self, instances: int) -> bool:
        """Whether the commit serves from that many instances."""
        if self.named_all and len(self.instances) < instances:
            return False
        return self.row >= answers_needed(instances, self.broken_rows)

    def describe(self, instances: int) -> str:
        """Say what was seen, for a reason or a report."""
        have = f"{self.row} answers in a row" + (
            f" from {len(self.instances)} of {instances}" if self.instances else ""
        )
        return f"{have}; last: {self.last}"
