"""Holds what locust measured against the objectives in `[load]` of slipway.toml: absolute ones, with generous limits.

Pure. What a shared machine's noise hides from them is for the comparison to see (`scripts.gates.slower`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scripts.config import LoadSection
from scripts.foreign import plain
from scripts.gates.stats import Stats, percentile_ms
from scripts.gates.tables import Rows
from scripts.verdict import Verdict, failed, passed

LEAST_REQUESTS = 100  # fewer say nothing about the slowest five of a hundred


@dataclass(frozen=True)
class Held:
    """A figure beside its limit; `measured` is None where there was nothing to measure, which keeps no limit."""

    name: str
    measured: float | None
    limit: float
    unit: str = ""
    at_most: bool = True

    @property
    def ok(self) -> bool:
        """Whether the limit is kept."""
        if self.measured is None:
            return False
        return self.measured <= self.limit if self.at_most else self.measured >= self.limit

    @property
    def row(self) -> tuple[str, str, str, str]:
        """Name, figure, limit and result as text."""
        limit = f"{'at most' if self.at_most else 'at least'} {_shown(self.limit, self.unit)}"
        return self.name, _shown(self.measured, self.unit), limit, "ok" if self.ok else "FAIL"


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return "unknown"
    value = value * 100 if unit == " %" else value
    return f"{value:.0f}{unit}" if value >= 1000 else f"{value:.4g}{unit}"


@dataclass(frozen=True)
class Judged:
    """Every figure beside its limit, and what went wrong beside them."""

    held: tuple[Held, ...]
    faults: tuple[str, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """What was not kept, a sentence each; empty for a pass."""
        broken = [row.row for row in self.held if not row.ok]
        return (
            *self.faults,
            *(f"{name}: {measured}, and {limit} was asked for" for name, measured, limit, _ in broken),
        )

    @property
    def verdict(self) -> Verdict:
        """The verdict of the gate."""
        if self.reasons:
            return failed(
                "; ".join(self.reasons), "mend what is slow or fails; the limits are in [load] of slipway.toml"
            )
        return passed(", ".join(f"{row.name} {row.row[1]}" for row in self.held))


def judge_load(stats: Stats, limits: LoadSection) -> Judged:
    """Hold what was measured against the limits; too few requests are no evidence, and so no pass."""
    return Judged(
        (
            Held("requests", stats.requests, LEAST_REQUESTS, at_most=False),
            Held("error rate", stats.error_rate, limits.error_rate, " %"),
            Held("p95", percentile_ms(stats.times, 0.95), limits.p95_ms, " ms"),
            Held("throughput", stats.per_s, limits.least_per_s, "/s", at_most=False),
        ),
        stats.faults,
    )


def render_objectives(judged: Judged, stats: Stats) -> tuple[Rows, Rows]:
    """Give each figure beside its limit, and the figures of each kind of request."""
    held = [("figure", "measured", "limit", ""), *(row.row for row in judged.held)]
    return held, [("request", "count", "failed", "p50", "p95"), *_endpoint_rows(stats)]


def _endpoint_rows(stats: Stats) -> list[tuple[str, ...]]:
    return [
        (
            plain(row.name),
            str(row.requests),
            str(row.failures),
            *(_shown(percentile_ms(row.times, p), " ms") for p in (0.5, 0.95)),
        )
        for row in stats.endpoints
    ]


def figures_of(stats: Stats) -> Mapping[str, object]:
    """Give what was measured for tools."""
    return {
        "requests": stats.requests,
        "failures": stats.failures,
        "error_rate": stats.error_rate,
        "per_s": stats.per_s,
        "window_s": stats.window_s,
        "p50_ms": percentile_ms(stats.times, 0.5),
        "p95_ms": percentile_ms(stats.times, 0.95),
        "p99_ms": percentile_ms(stats.times, 0.99),
    }
