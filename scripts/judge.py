"""Judge errors by betting, so that one may look after every second and still be wrong at most once in a thousand.

The bet: "this release is fine" says that a request fails with probability at most p0. A gambler who believes otherwise
puts a share λ of their money on each next failure, at odds that are fair if the release is fine. Then their money is a
game that cannot be won on average, and by Ville's inequality it reaches a thousand times the stake with probability at
most 1/1000, *whenever one stops to look*. So money ≥ 1000 is the proof of bad. Several λ play side by side and the mean
counts, since nobody knows the size of the trouble beforehand. What one second can win is capped at tenfold, and half
of the money is never bet, so a short blip is not proof: failures must last four seconds. The mirrored bets, against "it
is bad", decide when a release may pass.

Sources: Ville 1939; Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting"; Howard et al.,
"Time-uniform Chernoff bounds". Pure: no clock, no IO; nothing but the standard library.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from scripts.release import Baseline
from scripts.verdict import Outcome, Sample

ALPHA = 0.001  # probability of a false fail, over the whole watch
BETA = 0.01  # probability that a release at a "bad" rate passes, for each such hypothesis
STAKES = (0.02, 0.05, 0.15, 0.4, 0.9)
MIRRORED_STAKES = (0.1, 0.3, 0.6, 0.95)
BLOCK_CAP = 10.0
POOLED_SHARE, ENDPOINTS_SHARE = 0.3, 0.2
IDLE_SHARE = 0.5  # never bet: without it three all-failing blocks, 10³, would be proof already
BAD_POOLED, BAD_ENDPOINT = 0.02, 0.25
BOUND_CONFIDENCE = 0.999
WORST_SECONDS_DROPPED = 2


class Wealth:
    """Money of gamblers with different stakes, on the logarithmic scale, each starting with 1."""

    def __init__(self, stakes: Sequence[float], cap: float = math.inf) -> None:
        self._stakes = stakes
        self._logs = [0.0] * len(stakes)
        self._cap = math.log(cap) if cap < math.inf else math.inf

    def observe(self, scores: Mapping[float, int]) -> None:
        """Take one block of scores s ≥ −1 (score to count): each stake λ multiplies by min(Π(1 + λ·s), cap)."""
        for index, stake in enumerate(self._stakes):
            gain = math.fsum(count * math.log1p(stake * score) for score, count in scores.items())
            self._logs[index] += min(gain, self._cap)

    @property
    def log_mean(self) -> float:
        """The logarithm of the mean over the stakes: the e-value."""
        top = max(self._logs)
        return top + math.log(math.fsum(math.exp(value - top) for value in self._logs) / len(self._logs))


def upper_bound(failures: int, probes: int, confidence: float = BOUND_CONFIDENCE) -> float:
    """Give the largest rate u that `failures` of `probes` does not refute: n·KL(p̂‖u) = ln(1/(1 − confidence)).

    Chernoff's bound for a binomial, inverted by bisection; 1.0 without any probe.
    """
    if probes == 0:
        return 1.0
    seen, limit = failures / probes, math.log(1 / (1 - confidence)) / probes
    low, high = seen, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _divergence(seen, middle) < limit else (low, middle)
    return high


def _divergence(p: float, q: float) -> float:
    """Give KL(p‖q) of two Bernoulli distributions, in nats."""
    if q >= 1.0:
        return 0.0 if p >= 1.0 else math.inf
    rare = 0.0 if p == 0 else p * math.log(p / q)
    return rare + (0.0 if p == 1 else (1 - p) * math.log((1 - p) / (1 - q)))


def tolerated_rate(baseline: Baseline | None, budget: float) -> float:
    """Give p0, the failure rate up to which the release is fine: the objective's budget, or what the old one shows.

    The old release's own rate counts only where it was seen to fail outside its two worst seconds: then by its upper
    bound. A short clean baseline proves nothing worse than the budget, and its bound would be so wide (0 of 100 does
    not refute 6.7 %) that no error could be proven against it.
    """
    if baseline is None or not baseline.probes:
        return budget
    kept = sorted(baseline.failures_by_s)[:-WORST_SECONDS_DROPPED]
    failures = sum(kept)
    return min(0.5, max(budget, upper_bound(failures, baseline.probes))) if failures else budget


@dataclass(frozen=True)
class Judgement:
    """Where the bets stand: `outcome` None means go on."""

    outcome: Outcome | None
    reason: str
    log_e: float
    open_questions: tuple[str, ...] = ()


@dataclass
class Tally:
    """One endpoint's or all endpoints' bets and counts."""

    fine: Wealth
    bad: Wealth
    rate_fine: float
    rate_bad: float
    sent: int = 0
    failed: int = 0

    def observe(self, samples: Sequence[Sample]) -> None:
        """Take one block."""
        failures = sum(not sample.ok for sample in samples)
        successes = len(samples) - failures
        self.sent, self.failed = self.sent + len(samples), self.failed + failures
        self.fine.observe({(1 - self.rate_fine) / self.rate_fine: failures, -1.0: successes})
        self.bad.observe({-1.0: failures, self.rate_bad / (1 - self.rate_bad): successes})

    @property
    def refuted_bad(self) -> bool:
        """Whether "it fails at the bad rate or more" is rejected."""
        return self.bad.log_mean >= math.log(1 / BETA)


@dataclass
class ErrorJudge:
    """The error stream, pooled and for each endpoint; fed a block of samples a second."""

    rate_fine: float
    endpoints: Sequence[str]
    why: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.pooled = self._tally(BAD_POOLED)
        self.by_endpoint = {name: self._tally(BAD_ENDPOINT) for name in self.endpoints}

    def _tally(self, bad: float) -> Tally:
        bad = min(0.9, max(bad, 2 * self.rate_fine))  # the bar rises with what the old release does itself
        return Tally(Wealth(STAKES, BLOCK_CAP), Wealth(MIRRORED_STAKES), self.rate_fine, bad)

    def observe(self, samples: Iterable[Sample]) -> None:
        """Take the samples of one second; their order does not matter."""
        rows = list(samples)
        self.why.update(f"{row.endpoint}: {row.reason}" for row in rows if not row.ok)
        self.pooled.observe(rows)
        for name, tally in self.by_endpoint.items():
            tally.observe([row for row in rows if row.endpoint == name])

    @property
    def log_e(self) -> float:
        """The logarithm of E = .5 + .3·E(pooled) + .2·mean E(endpoint): shares of 1, so an e-value."""
        each = ENDPOINTS_SHARE / len(self.by_endpoint)
        rows = [(IDLE_SHARE, 0.0), (POOLED_SHARE, self.pooled.fine.log_mean)]
        rows += [(each, tally.fine.log_mean) for tally in self.by_endpoint.values()]
        top = max(log for _, log in rows)
        return top + math.log(math.fsum(share * math.exp(log - top) for share, log in rows))

    def judge(self, t_s: float, least_s: float, most_s: float) -> Judgement:
        """Decide after `t_s` seconds: fail at any time, pass from `least_s`, inconclusive at `most_s`."""
        log_e, still = self.log_e, self._open_questions()
        if log_e >= math.log(1 / ALPHA):
            return Judgement(Outcome.FAIL, f"{self._counts()}, proven at {t_s:.0f} s", log_e)
        if t_s >= least_s and log_e <= 0 and not still:
            return Judgement(Outcome.PASS, self._counts(), log_e)
        if t_s >= most_s:
            doubt = "; ".join(still) or f"evidence against it remains (E = {math.exp(log_e):.2g})"
            return Judgement(Outcome.INCONCLUSIVE, f"{self._counts()} after {t_s:.0f} s; {doubt}", log_e, still)
        return Judgement(None, self._counts(), log_e, still)

    def _open_questions(self) -> tuple[str, ...]:
        rows = {"all endpoints": self.pooled, **self.by_endpoint}
        return tuple(
            f"{tally.rate_bad:.0%} errors on {name} not ruled out"
            for name, tally in rows.items()
            if not tally.refuted_bad
        )

    def _counts(self) -> str:
        text = f"{self.pooled.failed} of {self.pooled.sent} probes failed"
        if self.pooled.failed:
            text += f" ({self.pooled.failed / self.pooled.sent:.1%}, tolerated {self.rate_fine:.2%})"
            text += f", most often {self.why.most_common(1)[0][0]}"
        return text
