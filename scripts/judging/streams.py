"""What is bet on: failures, slow answers, and which of a pair is slower; each for all endpoints and for each of them.

A stream has two sorts of bets: `fine` proves that the release is worse, `bad` proves that it is not that bad.
Formulas are given where they stand; they are those of `scripts.judging.betting`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from scripts.judging.betting import (
    MIRRORED_STAKES,
    Bets,
    event_gains,
    mirrored_gains,
    score_gains,
)
from scripts.verdict import Sample

ALPHA = 0.001  # probability of a false proof
BETA = 0.01  # probability that what is as bad as the bar passes, for each question

# Of errors a stake λ is best where a share λ fails; of slow answers, too; of pairs the more, the larger the shift.
ERRORS, SLOW, PAIRS = "errors", "tail", "latency"
STAKES = {
    ERRORS: (0.01, 0.04, 0.2, 0.8),
    SLOW: (0.03, 0.07, 0.15, 0.4, 0.9),
    PAIRS: (0.05, 0.15, 0.4, 0.7, 0.95),
}
CAPS = {ERRORS: 10.0, SLOW: 4.0, PAIRS: 4.0}
MOST_BAR = 0.9
MARGIN, SLACK_MS = 0.20, 5.0  # a release may be that much slower


class Worse:
    """Both sorts of bets of a stream."""

    def __init__(self, name: str) -> None:
        self.fine = Bets(STAKES[name], CAPS[name])
        self.bad = Bets(MIRRORED_STAKES)

    @property
    def ruled_out(self) -> bool:
        """Whether "it is as bad as the bar" is refuted."""
        return self.bad.log_money >= math.log(1 / BETA)


class Events(Worse):
    """Bets on how often something happens, that a fine release does at most at rate p0.

    Failures: s = (failed − p0)/p0. Slow answers the same, with 1[ms > three times the old release's median].
    """

    def __init__(self, name: str, bar: float) -> None:
        super().__init__(name)
        self._bar = bar
        self.sent, self.events, self.tolerated = 0, 0, 0.0

    def observe(self, sent: int, events: int, tolerated: float) -> None:
        """Take one second's counts; the bar rises to twice what is tolerated."""
        self.sent, self.events, self.tolerated = self.sent + sent, self.events + events, tolerated
        others = sent - events
        self.fine.take(event_gains(self.fine.stakes, tolerated, events, others))
        self.bad.take(mirrored_gains(MIRRORED_STAKES, self.bar, events, others))

    @property
    def bar(self) -> float:
        """The rate that must be refuted before a release passes."""
        return min(MOST_BAR, max(self._bar, 2 * self.tolerated))


@dataclass(frozen=True)
class Pair:
    """The two answers to requests that were sent together, in milliseconds; `spread` is that of ln(ms)."""

    endpoint: str
    new_ms: float
    old_ms: float
    spread: float

    def score(self, times: float) -> float:
        """Give s = ln(new/(times·old + 5 ms)) / (2√2·spread), between −1 and 1.

        The logarithm of the quotient of two alike has √2 times the spread, and is as often above 0 as below it, so that
        the mean of s is at most 0 where the new one is not slower than that.
        """
        distance = math.log(max(self.new_ms, 0.01) / (times * self.old_ms + SLACK_MS))
        return max(-1.0, min(1.0, distance / (2 * math.sqrt(2) * self.spread)))


class Shift(Worse):
    """Bets on which of a pair is slower, by more than a fifth and 5 ms."""

    def __init__(self, bad_times: float) -> None:
        super().__init__(PAIRS)
        self.bad_times = bad_times
        self.pairs = 0
        self.log_ratios: list[float] = []

    def observe(self, pairs: Sequence[Pair]) -> None:
        """Take one second's pairs."""
        self.pairs += len(pairs)
        self.log_ratios += [math.log(max(pair.new_ms, 0.01) / max(pair.old_ms, 0.01)) for pair in pairs]
        self.fine.take(score_gains(self.fine.stakes, [pair.score(1 + MARGIN) for pair in pairs]))
        self.bad.take(score_gains(MIRRORED_STAKES, [-pair.score(self.bad_times) for pair in pairs]))

    @property
    def times(self) -> float:
        """How many times as long as the old release the new one takes: the median of the pairs; 1 without any."""
        if not self.log_ratios:
            return 1.0
        return math.exp(sorted(self.log_ratios)[len(self.log_ratios) // 2])


class Beside:
    """Bets that the new release fails more often than the old one at the same time, by more than the promised rate.

    s = (new failed − old failed − budget)/(1 + budget), which has no positive mean however both change over time. A
    failure that both have at the same moment is 0; where moments are not known, each failure is taken to stand alone,
    which can only lower the money.
    """

    STAKES = (0.2, 0.5, 0.9)

    def __init__(self, budget: float) -> None:
        self._budget = budget
        self._bets = Bets(self.STAKES)
        self.new_failed = self.old_failed = 0.0

    def observe(self, sent: float, new_failed: float, old_failed: float) -> None:
        """Take one second, in which as many were sent to each; what failed is what failed on one side alone."""
        self.new_failed, self.old_failed = self.new_failed + new_failed, self.old_failed + old_failed
        self._bets.take(
            new_failed * math.log1p(stake * (1 - self._budget) / (1 + self._budget))
            + old_failed * math.log1p(-stake)
            + max(0, sent - new_failed - old_failed) * math.log1p(-stake * self._budget / (1 + self._budget))
            for stake in self.STAKES
        )

    @property
    def proven(self) -> bool:
        """Whether it is proven, or the old one has not failed at all."""
        return not self.old_failed or self._bets.log_money >= math.log(1 / BETA)


@dataclass
class Waiting:
    """Answers of pairs of which the other half is not back yet."""

    halves: dict[int, Sample] = field(default_factory=dict)

    def match(self, rows: Sequence[Sample], candidate: str) -> list[tuple[Sample, Sample]]:
        """Give the pairs that are whole now, the candidate's answer first."""
        whole = []
        for row in rows:
            if row.pair is None:
                continue
            other = self.halves.pop(row.pair, None)
            if other is None or other.arm == row.arm:
                self.halves[row.pair] = row
            else:
                whole.append((row, other) if row.arm == candidate else (other, row))
        return whole
