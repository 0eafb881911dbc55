"""A service under probes, as numbers: how long each answer takes, which fail, with the noise of real machines.

All is drawn from a seed, so a run is the same on every machine. What it does not have: whatever nobody thought of.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scripts.verdict import BASELINE, CANDIDATE, CURRENT, Sample

ENDPOINTS_MS = {"version": 25.0, "ready": 30.0, "items": 45.0, "search": 70.0, "report": 140.0}  # over the internet
BASELINE_S = 60
BLIP_TIMES = 4.0


@dataclass(frozen=True)
class Noise:
    """How uneven two copies of the same release are on the same platform."""

    spread: float  # of ln(ms), from request to request
    drift: float  # of both together, as a share of the time, over minutes
    host: float  # spread of the difference between two hosts, as a share
    wobble: float  # spread of what lasts for seconds on one host, as a share
    heavy: float  # share of answers that take four times as long
    error_rate: float
    blip_every_s: float  # on each host: a second or so, in which answers are slow and some fail
    blip_s: float = 1.0
    blip_errors: float = 0.3


NOISES: Mapping[str, Noise] = {
    "typical": Noise(0.25, 0.10, 0.02, 0.02, 0.005, 0.0001, math.inf),
    "harsh": Noise(0.45, 0.30, 0.06, 0.06, 0.01, 0.0003, 600.0),
}


@dataclass(frozen=True)
class Fault:
    """What is wrong with the candidate, or with both; the empty one is a release that is fine."""

    errors: float = 0.0
    times: float = 1.0
    slow_share: float = 1.0  # of the answers, that `times` is for
    endpoint: str = ""  # of all, where it is empty
    shared: bool = False  # the old release has it too
    from_s: float = -math.inf
    to_s: float = math.inf
    memory_s: float = 0.0  # how long what is drawn for one moment lasts: 0 where each request is drawn apart

    def hits(self, arm: str, endpoint: str, t_s: float) -> bool:
        """Whether it is there."""
        here = self.shared or arm == CANDIDATE
        return here and self.from_s <= t_s < self.to_s and self.endpoint in {"", endpoint}


class Host:
    """One side: what it has that lasts longer than a request."""

    def __init__(self, noise: Noise, chance: random.Random) -> None:
        self._noise = noise
        self._chance = chance
        self._offset = chance.gauss(0, noise.host / math.sqrt(2))
        self._wobble = 0.0
        self._blip_from_s = self._next_blip(-BASELINE_S)
        self._blip_to_s = self._blip_from_s + chance.expovariate(1 / noise.blip_s)

    def _next_blip(self, after_s: float) -> float:
        every = self._noise.blip_every_s
        return math.inf if every == math.inf else after_s + self._chance.expovariate(1 / every)

    def step(self, t_s: float) -> None:
        """Go on by a second: the wobble forgets a third of itself, as an AR(1) does."""
        keep = 2 / 3
        self._wobble = keep * self._wobble + math.sqrt(1 - keep**2) * self._chance.gauss(0, self._noise.wobble)
        if t_s > self._blip_to_s:
            self._blip_from_s = self._next_blip(t_s)
            self._blip_to_s = self._blip_from_s + self._chance.expovariate(1 / self._noise.blip_s)

    def answer(self, t_s: float, usual_ms: float) -> tuple[float, bool]:
        """Give milliseconds and whether it is a good answer, of a release that is fine."""
        chance, noise = self._chance, self._noise
        ms = usual_ms * math.exp(self._offset + self._wobble + chance.gauss(0, noise.spread))
        ok = chance.random() >= noise.error_rate
        if chance.random() < noise.heavy:
            ms *= 4
        if self._blip_from_s <= t_s < self._blip_to_s:
            ms, ok = ms * BLIP_TIMES, ok and chance.random() >= noise.blip_errors
        return ms, ok


class World:
    """One simulated release: its baseline, and then a block of samples each second."""

    def __init__(self, noise: Noise, fault: Fault, *, rate_per_s: int, paired: bool, seed: str) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - the same on every machine is what is wanted
        self._fault = fault
        self._rate_per_s = rate_per_s
        self._hosts = {arm: Host(noise, self._chance) for arm in (CURRENT, CANDIDATE)}
        self._paired = paired
        self._drift = noise.drift
        self._period_s = self._chance.uniform(60, 600)
        self._phase = self._chance.uniform(0, 2 * math.pi)
        self._number = 0
        self._lasting: dict[str, tuple[float, bool]] = {}

    def baseline(self) -> list[Sample]:
        """Give what the old release answers before."""
        return [row for second in range(-BASELINE_S, 0) for row in self._second(second, {BASELINE: CURRENT})]

    def seconds(self) -> Iterator[list[Sample]]:
        """Give the blocks of the watch, without end."""
        arms = {CANDIDATE: CANDIDATE} | ({CURRENT: CURRENT} if self._paired else {})
        for second in range(1 << 20):
            yield self._second(second, arms)

    def _second(self, second: int, arms: Mapping[str, str]) -> list[Sample]:
        for host in self._hosts.values():
            host.step(second)
        names = tuple(ENDPOINTS_MS)
        drift = math.exp(self._drift * math.sin(2 * math.pi * second / self._period_s + self._phase))
        rows = []
        for place in range(self._rate_per_s):
            t_s = second + place / self._rate_per_s
            endpoint = names[self._number % len(names)]
            pair = self._number if self._paired and second >= 0 else None
            usual_ms = ENDPOINTS_MS[endpoint] * drift
            for arm, side in arms.items():
                ms, ok = self._answer(t_s, endpoint, arm, self._hosts[side].answer(t_s, usual_ms))
                rows.append(Sample(t_s, endpoint, arm, ms, ok, "" if ok else "status 500", pair))
            self._number += 1
        return rows

    def _answer(self, t_s: float, endpoint: str, arm: str, well: tuple[float, bool]) -> tuple[float, bool]:
        """Give what becomes of an answer of a release that is fine, where something is wrong."""
        (ms, ok), fault = well, self._fault
        if not fault.hits(arm, endpoint, t_s):
            return well
        if fault.times != 1 and self._chance.random() < fault.slow_share:
            ms *= fault.times
        return ms, ok and not self._fails(arm, t_s)

    def _fails(self, arm: str, t_s: float) -> bool:
        fault = self._fault
        if not fault.memory_s:
            return self._chance.random() < fault.errors
        until_s, fails = self._lasting.get(arm, (-math.inf, False))
        if t_s >= until_s:
            fails = self._chance.random() < fault.errors
            self._lasting[arm] = (t_s + self._chance.expovariate(1 / fault.memory_s), fails)
        return fails
