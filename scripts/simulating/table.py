"""Run simulated releases through the judge, and count: how many are rolled back, pass, or stay open, and when."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

from scripts.judging.judge import Judge, Limits
from scripts.simulating.scenarios import BY_NAME, SCENARIOS, Scenario
from scripts.simulating.world import ENDPOINTS_MS, NOISES, World
from scripts.verdict import Outcome

SEED = "2026-11-23"
SURE = 0.95
PASS_BY_S = 35.0
CHUNK = 25
LIMITS = Limits()


@dataclass(frozen=True)
class Setting:
    """One line of the table."""

    scenario: str
    noise: str
    rate_per_s: int
    paired: bool
    runs: int


@dataclass(frozen=True)
class Ending:
    """How one simulated release was judged."""

    outcome: Outcome
    at_s: float


@dataclass(frozen=True)
class Row:
    """What came of a setting: the share of each outcome, with 95 % bounds, and when."""

    setting: Setting
    endings: tuple[Ending, ...]

    @property
    def counts(self) -> Counter[Outcome]:
        """How many ended how."""
        return Counter(row.outcome for row in self.endings)

    @property
    def failed(self) -> tuple[float, float, float]:
        """The share that was rolled back, and its bounds."""
        count, runs = self.counts[Outcome.FAIL], len(self.endings)
        return count / runs, *bounds(count, runs)

    def share(self, outcome: Outcome, by_s: float = math.inf) -> float:
        """Give the share that ended so, by a moment."""
        return sum(row.outcome is outcome and row.at_s <= by_s for row in self.endings) / len(self.endings)

    def median_s(self, outcome: Outcome) -> float | None:
        """Give the median moment of that ending."""
        times = [row.at_s for row in self.endings if row.outcome is outcome]
        return statistics.median(times) if times else None


def settings(rates: Sequence[int], noises: Sequence[str], fine_runs: int, bad_runs: int) -> Iterator[Setting]:
    """Give the lines of the table in order."""
    for scenario in SCENARIOS:
        for noise in noises:
            for paired in scenario.paired:
                for rate in (rate for rate in rates if rate in scenario.rates):
                    yield Setting(scenario.name, noise, rate, paired, bad_runs if scenario.bad else fine_runs)


def play(setting: Setting, number: int, seed: str = SEED, limits: Limits = LIMITS) -> Ending:
    """Simulate one release to its verdict; the same seed gives the same."""
    scenario: Scenario = BY_NAME[setting.scenario]
    noise = replace(NOISES[setting.noise], **scenario.noise)
    name = f"{seed}/{setting.scenario}/{setting.noise}/{setting.rate_per_s}/{setting.paired}/{number}"
    world = World(noise, scenario.fault, rate_per_s=setting.rate_per_s, paired=setting.paired, seed=name)
    judge = Judge(tuple(ENDPOINTS_MS), limits)
    judge.learn(world.baseline())
    for second, block in enumerate(world.seconds(), 1):
        found = judge.observe(float(second), block)
        if found.outcome is not None:
            return Ending(found.outcome, float(second))
    raise AssertionError("the watch has an end")


def _play_some(work: tuple[Setting, range, str]) -> tuple[Setting, list[Ending]]:
    setting, numbers, seed = work
    return setting, [play(setting, number, seed) for number in numbers]


def simulate(
    table: Iterable[Setting], processes: int, seed: str = SEED, told: Callable[[Row], None] = lambda row: None
) -> list[Row]:
    """Simulate every line, in several processes; `told` hears of each as soon as it is complete."""
    lines = list(table)
    work = [
        (line, range(begin, min(line.runs, begin + CHUNK)), seed)
        for line in lines
        for begin in range(0, line.runs, CHUNK)
    ]
    ended: dict[Setting, list[Ending]] = {line: [] for line in lines}
    rows: dict[Setting, Row] = {}
    with ProcessPoolExecutor(processes) as pool:
        for setting, endings in pool.map(_play_some, work):
            ended[setting] += endings
            if len(ended[setting]) == setting.runs:
                rows[setting] = Row(setting, tuple(ended[setting]))
                told(rows[setting])
    return [rows[line] for line in lines]


def bounds(count: int, runs: int, sure: float = SURE) -> tuple[float, float]:
    """Give the exact two-sided bounds of a binomial share (Clopper and Pearson 1934)."""
    each = (1 - sure) / 2
    low = 0.0 if count == 0 else _solve(lambda p: 1 - _at_most(count - 1, runs, p), each)
    high = 1.0 if count == runs else 1 - _solve(lambda p: _at_most(count, runs, 1 - p), each)
    return low, high


def _solve(rising: Callable[[float], float], value: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < value else (low, middle)
    return (low + high) / 2


def _at_most(count: int, runs: int, p: float) -> float:
    """Give P(X ≤ count) for X of `runs` trials with probability p."""
    if p <= 0:
        return 1.0
    if p >= 1:
        return float(count >= runs)
    log_p, log_q = math.log(p), math.log1p(-p)
    whole = math.lgamma(runs + 1)
    terms = (
        whole - math.lgamma(k + 1) - math.lgamma(runs - k + 1) + k * log_p + (runs - k) * log_q
        for k in range(count + 1)
    )
    return min(1.0, math.fsum(map(math.exp, terms)))
