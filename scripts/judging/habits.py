"""What the old release does itself, learned from its own answers: how often it fails, how long it takes, how evenly.

What it does itself is nothing to hold against the new one. Everything here is learned from the past alone: a second is
judged by what was known before it.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from scripts.judging.betting import upper_bound
from scripts.verdict import Sample

BLIPS = 2  # seconds that are taken for accidents
Z = 1.6449  # of the 95 % to which a habit is bounded
MOST_RATE = 0.5  # tolerated of anything, whatever the old release does
RECENT, LEAST_RECENT = 15, 5
SLOW_TIMES = 3.0
MAD_TO_SPREAD = 1.4826  # of a normal distribution
LEAST_SPREAD, UNKNOWN_SPREAD, LEAST_FOR_SPREAD = 0.05, 0.5, 8


@dataclass
class Rate:
    """How often something happened, second by second."""

    sent: int = 0
    seen: int = 0  # events, blips and all
    _sent_squared: int = 0
    _seconds: list[tuple[int, int]] = field(default_factory=list)  # with events: how many, and of how many sent

    def observe(self, sent: int, events: int) -> None:
        """Take one second."""
        self.sent += sent
        self.seen += events
        self._sent_squared += sent**2
        if events:
            self._seconds.append((events, sent))
            self._seconds.sort(reverse=True)

    @property
    def events(self) -> int:
        """Events in all; the two worst seconds count no more than the third one, but one each."""
        return sum(events for events, _ in self._without_blips())

    def _without_blips(self) -> list[tuple[int, int]]:
        worst, rest = self._seconds[:BLIPS], self._seconds[BLIPS:]
        most = max(rest[0][0] if rest else 0, 1)
        return [(min(events, most), sent) for events, sent in worst] + rest

    def tolerated(self, promised: float) -> float:
        """Give the rate that the new release may have: what is promised, or the upper bound of what the old one shows.

        Where nothing happened the promise stands alone: a short clean look would else excuse several per cent.
        """
        return min(MOST_RATE, max(promised, self.bound)) if self._seconds else promised

    @property
    def bound(self) -> float:
        """The upper bound; what comes in runs counts as fewer trials, by its design effect (Kish 1965).

        That is how many times as large as a binomial's the variance of the counts of each second is.
        """
        seconds = self._without_blips()
        events = sum(count for count, _ in seconds)
        share = events / max(1, self.sent)
        if not 0 < share < 1:
            return upper_bound(events, self.sent, Z)
        spread = sum(count * (count - 2 * share * sent) for count, sent in seconds) + share**2 * self._sent_squared
        effect = max(1.0, spread / (self.sent * share * (1 - share)))
        return upper_bound(events / effect, self.sent / effect, Z)


@dataclass
class Pace:
    """How long an endpoint of the old release takes, in milliseconds."""

    recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    logs: list[float] = field(default_factory=list)
    _spread: float | None = None
    _slow_ms: float | None = None

    def observe(self, ms: Iterable[float], *, settled: bool) -> None:
        """Take a second's answers, in the order they came; once `settled`, the spread is no longer learned."""
        for value in ms:
            if value <= 0:  # it was not timed
                continue
            self.recent.append(value)
            if not settled:
                self.logs.append(math.log(value))
                self._spread = None
        if len(self.recent) >= LEAST_RECENT:
            self._slow_ms = SLOW_TIMES * statistics.median(self.recent)

    @property
    def slow_ms(self) -> float | None:
        """From how many milliseconds on an answer is slow: three times the median of the last 15; None: not known."""
        return self._slow_ms

    @property
    def spread(self) -> float:
        """The spread of ln(ms), robust: 1.4826 times the median distance from the median; large while unknown."""
        if self._spread is None:
            self._spread = _robust_spread(self.logs)
        return self._spread


def _robust_spread(logs: Sequence[float]) -> float:
    if len(logs) < LEAST_FOR_SPREAD:
        return UNKNOWN_SPREAD
    middle = statistics.median(logs)
    return max(LEAST_SPREAD, MAD_TO_SPREAD * statistics.median(abs(value - middle) for value in logs))


@dataclass
class Habits:
    """One endpoint's, or all endpoints' together."""

    failing: Rate = field(default_factory=Rate)
    slow: Rate = field(default_factory=Rate)
    pace: Pace = field(default_factory=Pace)


@dataclass
class Old:
    """The habits of the old release: pooled, and of each endpoint; fed with its own answers, a second at a time."""

    endpoints: Sequence[str]

    def __post_init__(self) -> None:
        self.pooled = Habits()
        self.by_endpoint = {name: Habits() for name in self.endpoints}

    def observe(self, rows: Sequence[Sample], *, settled: bool, shared: bool = False) -> None:
        """Take one second's answers; `shared` trouble is no habit, and teaches nothing of failures."""
        slow_rows = 0
        known_rows = 0
        for name, habits in self.by_endpoint.items():
            own = [row for row in rows if row.endpoint == name]
            if not own:
                continue
            if not shared:
                habits.failing.observe(len(own), sum(not row.ok for row in own))
            times = [row.ms for row in own if row.ok]
            if (limit := habits.pace.slow_ms) is not None:
                slow = sum(ms > limit for ms in times)
                habits.slow.observe(len(times), slow)
                slow_rows, known_rows = slow_rows + slow, known_rows + len(times)
            habits.pace.observe(times, settled=settled)
        self.pooled.slow.observe(known_rows, slow_rows)
        if not shared:
            known = [row for row in rows if self._answers(row.endpoint)]
            self.pooled.failing.observe(len(known), sum(not row.ok for row in known))

    def _answers(self, endpoint: str) -> bool:
        """Whether it has ever answered well there: what it does not have at all says nothing of the rest."""
        failing = self.by_endpoint[endpoint].failing
        return failing.seen < failing.sent

    def is_slow(self, row: Sample) -> bool | None:
        """Whether an answer is slow for its endpoint; None where the old release has not answered often enough."""
        limit = self.by_endpoint[row.endpoint].pace.slow_ms
        return None if limit is None else row.ms > limit
