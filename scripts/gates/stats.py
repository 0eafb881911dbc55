"""What locust measured, read strictly: figures that make no sense are no figures.

What they mean is decided in `scripts.gates.objectives`.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scripts.errors import PlatformError


@dataclass(frozen=True)
class Endpoint:
    """What was measured of one kind of request; `times` counts answers by milliseconds, to two digits."""

    name: str
    requests: int
    failures: int
    times: Counter[float]


@dataclass(frozen=True)
class Stats:
    """What locust measured after the warm-up; `faults` are what else went wrong, a sentence each."""

    window_s: float
    endpoints: tuple[Endpoint, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def requests(self) -> int:
        """How many requests were made."""
        return sum(row.requests for row in self.endpoints)

    @property
    def failures(self) -> int:
        """How many of them failed."""
        return sum(row.failures for row in self.endpoints)

    @property
    def error_rate(self) -> float | None:
        """The share that failed; None of nothing."""
        return self.failures / self.requests if self.requests else None

    @property
    def per_s(self) -> float:
        """Requests a second."""
        return self.requests / self.window_s

    @property
    def times(self) -> Counter[float]:
        """How many answers took how many milliseconds."""
        return sum((row.times for row in self.endpoints), Counter[float]())


def percentile_ms(times: Counter[float], share: float) -> float | None:
    """Give the time within which that share of the answers came (nearest rank); None of nothing."""
    rank, seen = math.ceil(share * times.total()), 0
    for ms in sorted(times):
        seen += times[ms]
        if seen >= rank:
            return ms
    return None


def read_stats(text: str, least_window_s: float) -> Stats:
    """Read locust's figures; the window is at least what was asked for, so that a stalled service has no fine rate.

    Raises:
        PlatformError: they are torn or make no sense.
    """
    try:
        rows = json.loads(text)
        endpoints = tuple(_endpoint(row) for row in rows)
        window_s = _window_s(rows)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PlatformError(
            f"locust's figures cannot be read ({type(error).__name__}: {error})",
            means="Nothing is known of the service under load: this is not a pass.",
            next_step="python3 -m scripts load, once more",
        ) from error
    return Stats(max(window_s, least_window_s), endpoints)


def _window_s(rows: Sequence[Mapping[str, float]]) -> float:
    window_s = max((row["last_request_timestamp"] for row in rows), default=0.0)
    window_s -= min((row["start_time"] for row in rows), default=0.0)
    if not math.isfinite(window_s):
        raise ValueError("the moments are no moments")
    return window_s


def _endpoint(row: Mapping[str, object]) -> Endpoint:
    requests, failures = _count(row["num_requests"]), _count(row["num_failures"])
    table = row["response_times"]
    if not isinstance(table, dict) or failures > requests:
        raise ValueError("the counts contradict one another")
    times = Counter({float(ms): _count(count) for ms, count in table.items()})
    if times.total() != requests - _count(row["num_none_requests"]) or not all(0 <= ms < math.inf for ms in times):
        raise ValueError("the times contradict the counts")
    return Endpoint(f"{row['method']} {row['name']}", requests, failures, times)


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r:.40} is no count")
    return value
