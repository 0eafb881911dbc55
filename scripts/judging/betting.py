"""Money on the logarithmic scale, and the rate that counts refute: the mathematics, without what is bet on.

Sources: Ville 1939; Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (2024); Howard
et al., "Time-uniform Chernoff bounds via nonnegative supermartingales" (2020). Pure, nothing but `math`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

MIRRORED_STAKES = (0.1, 0.3, 0.6, 0.95)
ENTRY_BLOCKS, MOST_ENTRIES = 10, 11
LATE_SHARE = 0.2  # of the money waits, for trouble, or its end, that comes later


class Bets:
    """Gamblers with different stakes λ, of whom some enter later: each has his share of one unit of money.

    Of the money `late` waits: the k-th of eleven entries, ten blocks apart, gets the share `late`/(k(k+1)) of it, and
    the rest is never bet. Without them what is well for a minute has ruined everybody who could see what comes then.
    What a block can win is capped for each stake; that only lowers the money, so it stays a fair game's.
    """

    def __init__(self, stakes: Sequence[float], cap: float = math.inf, late: float = LATE_SHARE) -> None:
        self.stakes = stakes
        self._cap = math.log(cap) if cap < math.inf else math.inf
        self._late = late
        # Of each stake: what a unit that was there from the first block on has become, and how many of those units all
        # that has entered is worth; both as logarithms. Who enters later buys in at the price of that moment.
        self._logs = [0.0] * len(stakes)
        self._units = [math.log((1 - late) / len(stakes))] * len(stakes)
        self._blocks = 0
        self._entries = 0

    def take(self, gains: Iterable[float]) -> None:
        """Take one block: for each stake the logarithm of what it multiplies money by."""
        for place, gain in enumerate(gains):
            self._logs[place] += min(gain, self._cap)
        self._blocks += 1
        if self._blocks % ENTRY_BLOCKS == 0 and self._entries < MOST_ENTRIES:
            self._enter()

    def _enter(self) -> None:
        self._entries += 1
        if not self._late:
            return
        share = self._late / len(self.stakes) / (self._entries * (self._entries + 1))
        for place, log in enumerate(self._logs):
            self._units[place] = log_sum([(1.0, self._units[place]), (share, -log)])

    @property
    def log_money(self) -> float:
        """The logarithm of all money: the e-value, 0 at the beginning."""
        bet = [(1.0, unit + log) for unit, log in zip(self._units, self._logs, strict=True)]
        waits = self._late / (self._entries + 1)
        return log_sum([*bet, (waits, 0.0)] if waits else bet)


def log_sum(rows: Sequence[tuple[float, float]]) -> float:
    """Give ln Σ share·exp(log), without overflow; of shares that sum to 1 it is a weighted mean."""
    top = max(log for share, log in rows if share > 0)
    return top + math.log(math.fsum(share * math.exp(log - top) for share, log in rows))


def event_gains(stakes: Sequence[float], rate: float, events: int, others: int) -> list[float]:
    """Give the log gains of betting on an event that is said to have at most probability `rate`.

    The score is s = (x − p)/p ≥ −1, whose mean is at most 0 if that is so; each answer multiplies by 1 + λ·s: that is
    1 − λ where the event stayed away.
    """
    best = (1 - rate) / rate
    return [events * math.log1p(stake * best) + others * math.log1p(-stake) for stake in stakes]


def mirrored_gains(stakes: Sequence[float], rate: float, events: int, others: int) -> list[float]:
    """Give the log gains of betting against an event that is said to have at least probability `rate`."""
    best = rate / (1 - rate)
    return [events * math.log1p(-stake) + others * math.log1p(stake * best) for stake in stakes]


def score_gains(stakes: Sequence[float], scores: Sequence[float]) -> list[float]:
    """Give the log gains of bets on scores between −1 and 1, whose mean is said to be at most 0."""
    return [math.fsum(math.log1p(stake * score) for score in scores) for stake in stakes]


def upper_bound(events: float, trials: float, z: float) -> float:
    """Give the largest rate that so many events of so many trials do not refute; 1.0 without any trial.

    The exact bound of a Poisson count, which is never under a binomial's, as Wilson and Hilferty (1931) approximate the
    chi-squared distribution: k + 1 times the cube of 1 − 1/(9(k+1)) + z/(3√(k+1)), within 1 % of it. `z` is the
    quantile of the standard normal distribution that belongs to the confidence.
    """
    if trials <= 0:
        return 1.0
    more = events + 1
    return min(1.0, more * (1 - 1 / (9 * more) + z / (3 * math.sqrt(more))) ** 3 / trials)
