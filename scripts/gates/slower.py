"""Judges whether a change makes the service slower, from epochs in which both ran by turns on the same machine.

Pure: no clock, no IO. Each epoch gives a log ratio, head over base, for each metric, and the four are looked at after
8, 12, 16 and 24 epochs. The chance of an alarm where nothing changed is at most 1 % for all metrics and all looks
together, whatever the noise: .4 % at the first look and .2 % at each later one, corrected for the family at each
(`scripts.gates.ranks.family_p`). An alarm also asks for an estimate of at least 3 %, of p95 20 %. A change passes as
soon as the slowdown that is promised to be found is ruled out for each metric, each at 1 % a look; after the last one
also where the estimates of those that are left are too small for an alarm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from scripts.gates.ranks import as_share, family_p, shift, signed_rank_p
from scripts.verdict import Outcome, Verdict, failed, passed

LOOKS: Mapping[int, float] = {8: 0.004, 12: 0.002, 16: 0.002, 24: 0.002}  # epochs to the share of the 1 % spent there
MOST_EPOCHS = max(LOOKS)
MISSED = 0.01  # probability, a look, that a metric rules out a slowdown that is there
AGAIN = "run it once more, with less else on the machine"


@dataclass(frozen=True)
class Metric:
    """One thing that is compared: which way is slower, from what estimate on it counts, and what is to be ruled out."""

    name: str
    title: str
    slower: int  # the sign of a log ratio that means slower
    alarm: float  # as a share: 0.03 is 3 %
    ruled_out: float


METRICS = (
    Metric("throughput", "throughput", -1, 0.03, 0.10),
    Metric("p50", "p50", 1, 0.03, 0.10),
    Metric("cpu", "CPU per request", 1, 0.03, 0.05),
    Metric("p95", "p95", 1, 0.20, 0.30),
)
BY_NAME = {metric.name: metric for metric in METRICS}

Ratios = Mapping[str, Sequence[float]]  # by metric: the log ratio of each epoch, in order


class Finding(StrEnum):
    """What is known of one metric."""

    SLOWER = "slower"
    FASTER = "faster"
    SAME = "not slower"
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class Measured:
    """One metric at a look: `change` is head against base as a share, `p` that of "slower", for all metrics at once."""

    metric: Metric
    finding: Finding
    change: float
    p: float
    ruled_out: bool
    twice_ruled_out: bool = False  # a slowdown twice as large is

    @property
    def slowdown(self) -> float:
        """How much slower, as a positive share of what is seen; negative where it is faster."""
        return self.change * self.metric.slower

    def __str__(self) -> str:
        """Give it as a person reads it."""
        return f"{self.metric.title} {self.change:+.1%}"


@dataclass(frozen=True)
class Comparison:
    """Where the comparison stands after so many epochs; `outcome` None means that more are needed."""

    epochs: int
    outcome: Outcome | None
    measured: tuple[Measured, ...] = ()

    def of(self, finding: Finding) -> tuple[Measured, ...]:
        """Give the metrics with a finding."""
        return tuple(row for row in self.measured if row.finding is finding)

    @property
    def verdict(self) -> Verdict:
        """The verdict of the gate; what is not decided yet is inconclusive."""
        told = f"{', '.join(map(str, self.measured))} after {self.epochs} epochs"
        match self.outcome:
            case Outcome.FAIL:
                slower = ", ".join(map(str, self.of(Finding.SLOWER)))
                return failed(f"slower: {slower} ({told})", "see what the change does for each request")
            case Outcome.PASS:
                faster = ", ".join(map(str, self.of(Finding.FASTER)))
                return passed(f"{f'faster: {faster}' if faster else 'not slower'} ({told})")
            case _:
                unclear = ", ".join(row.metric.title for row in self.of(Finding.UNCLEAR)) or "nothing"
                return Verdict(Outcome.INCONCLUSIVE, f"{unclear} could not be told from noise ({told})", AGAIN)


def judge_epochs(ratios: Ratios) -> Comparison:
    """Look as often as there are epochs for it, and give the first look that decides; else how it stands.

    Raises:
        ValueError: the metrics have not the same number of epochs.
    """
    count = epochs_in(ratios)
    for epochs in LOOKS:
        if epochs <= count and (found := look(ratios, epochs)).outcome is not None:
            return found
    reached = max((epochs for epochs in LOOKS if epochs <= count), default=0)
    return look(ratios, reached) if reached else Comparison(count, None, estimate(ratios))


def epochs_in(ratios: Ratios) -> int:
    """Give how many epochs there are; raises ValueError where metrics differ in that."""
    counts = {len(row) for row in ratios.values()} or {0}
    if len(counts) != 1:
        raise ValueError("each epoch has a log ratio for each metric")
    return counts.pop()


def look(ratios: Ratios, epochs: int) -> Comparison:
    """Decide after so many epochs, one of `LOOKS`: slower, not slower, or go on; at the last one there is no going on.

    At the last look what was not ruled out passes where its estimate is too small for an alarm and a slowdown twice as
    large is ruled out; otherwise nobody knows.
    """
    alpha = LOOKS[epochs]
    metrics = [BY_NAME[name] for name in ratios]
    rows = [[metric.slower * value for value in ratios[metric.name][:epochs]] for metric in metrics]
    measured = tuple(
        _measure(metric, row, p, alpha) for metric, row, p in zip(metrics, rows, family_p(rows), strict=True)
    )
    return Comparison(epochs, _outcome(measured, last=epochs == MOST_EPOCHS), measured)


def _measure(metric: Metric, row: Sequence[float], slower: float, alpha: float) -> Measured:
    size = shift(row)
    faster = signed_rank_p([-value for value in row])  # not corrected for the family: nothing hangs on it
    excluded, twice = (_excludes(row, times * metric.ruled_out) for times in (1, 2))
    if slower <= alpha and size >= math.log1p(metric.alarm):
        finding = Finding.SLOWER
    elif faster <= alpha and size <= -math.log1p(metric.alarm):
        finding = Finding.FASTER
    else:
        finding = Finding.SAME if excluded else Finding.UNCLEAR
    return Measured(metric, finding, as_share(metric.slower * size), slower, excluded, twice)


def _excludes(row: Sequence[float], slowdown: float) -> bool:
    return signed_rank_p([math.log1p(slowdown) - value for value in row]) <= MISSED


def _outcome(measured: Sequence[Measured], *, last: bool) -> Outcome | None:
    if any(row.finding is Finding.SLOWER for row in measured):
        return Outcome.FAIL
    if not last:  # what may be an alarm at the next look is not let pass at this one
        done = all(row.ruled_out and row.slowdown < row.metric.alarm for row in measured)
        return Outcome.PASS if done else None
    small = all(row.ruled_out or (row.twice_ruled_out and row.slowdown < row.metric.alarm) for row in measured)
    return Outcome.PASS if small else Outcome.INCONCLUSIVE


def estimate(ratios: Ratios) -> tuple[Measured, ...]:
    """Give the running estimates before the first look: nothing is found by them."""
    shifts = ((BY_NAME[name], shift(row)) for name, row in ratios.items() if row)
    return tuple(Measured(metric, Finding.UNCLEAR, as_share(size), 1.0, ruled_out=False) for metric, size in shifts)
