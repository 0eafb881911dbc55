"""The verb `load`: users on the service of this checkout, and what was measured held against `[load]` of slipway.toml.

Decides which figures keep their limits, and says so. Starting and measuring is left to `scripts.gates.measuring`.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.config import LoadSection
from scripts.console import Console
from scripts.errors import SlipwayError
from scripts.foreign import for_markdown, plain
from scripts.gates.measuring import measure
from scripts.gates.order import Order, plan_order, read_config, secrets_in
from scripts.gates.stats import Stats, percentile_ms
from scripts.gates.tables import append_summary, as_markdown, as_text
from scripts.redaction import Redactor
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


def run(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Put the load on and give the exit code: 0, or 10 where a limit was not kept or too little was measured."""
    start = time.monotonic()
    console = Console(Redactor(secrets_in(environment)), actions=environment.get("GITHUB_ACTIONS") == "true")
    limits = None
    try:
        config = read_config(arguments.config)
        limits = config.load
        order = plan_order(Path.cwd(), config, environment, lambda text: console.say(f"  {text}"))
        stats = asyncio.run(_until_interrupted(order))
    except SlipwayError as error:
        console.fail(str(error))
        append_summary(environment, f"## Load: not measured\n\n{for_markdown(console.redact(str(error)))}\n")
        if arguments.json:
            console.result(as_json(None, limits, (error.what,)))
        return error.exit_code
    judged = judge_load(stats, limits)
    tell(judged, stats, console, environment, as_json(stats, limits, judged.reasons) if arguments.json else None)
    console.end("load", judged.verdict.outcome, judged.verdict.reason, time.monotonic() - start)
    if judged.reasons:
        console.say(f"next   {judged.verdict.next_step}")
    return judged.verdict.exit_code


async def _until_interrupted(order: Order) -> Stats:
    """Measure; SIGINT and SIGTERM end locust and the service first."""
    measuring = asyncio.create_task(measure(order))

    def end() -> None:
        if not measuring.cancelling():  # a second signal would cut the cleaning up
            measuring.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, end)
    try:
        return await measuring
    except asyncio.CancelledError as error:
        raise KeyboardInterrupt from error


def tell(
    judged: Judged, stats: Stats, console: Console, environment: Mapping[str, str], as_object: object | None
) -> None:
    """Give the result on stdout, as tables or as one object, and the tables to the step's summary."""
    held = [("figure", "measured", "limit", ""), *(row.row for row in judged.held)]
    endpoints = [("request", "count", "failed", "p50", "p95"), *_endpoint_rows(stats)]
    console.result(f"{as_text(held)}\n\n{as_text(endpoints)}" if as_object is None else as_object)
    title = f"## Load: {'not kept' if judged.reasons else 'kept'}"
    reasons = [f"- {for_markdown(reason)}" for reason in judged.reasons]
    parts = [title, as_markdown(held), *reasons, as_markdown(endpoints)]
    append_summary(environment, console.redact("\n\n".join(parts)) + "\n")


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


def as_json(stats: Stats | None, limits: LoadSection | None, reasons: tuple[str, ...]) -> dict[str, object]:
    """Give the result as one versioned object; `figures` is null where nothing could be measured."""
    return {
        "version": 1,
        "ok": stats is not None and not reasons,
        "figures": _figures(stats) if stats else None,
        "limits": limits.model_dump() if limits else None,
        "reasons": list(reasons),
    }


def _figures(stats: Stats) -> dict[str, object]:
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
