"""The verb `load`: does the service keep its objectives under load, and does a change make it slower.

Decides what is measured and how it is told. What is kept is judged in `scripts.gates.objectives`, what is slower in
`scripts.gates.slower`; starting and measuring is left to `scripts.gates.measuring` and `scripts.gates.versus`.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from scripts.config import LoadSection
from scripts.console import Console
from scripts.errors import SlipwayError, UsageError
from scripts.foreign import for_markdown
from scripts.gates.load_page import render_load_page, render_table
from scripts.gates.measuring import measure
from scripts.gates.objectives import Judged, figures_of, judge_load, render_objectives
from scripts.gates.order import Order, plan_order, read_config, secrets_in
from scripts.gates.recorded import Run, read_epochs
from scripts.gates.sides import PAGE_FILE, Left, Versus, plan_versus
from scripts.gates.slower import Comparison, judge_epochs
from scripts.gates.stats import Stats
from scripts.gates.tables import Rows, append_summary, as_markdown, as_text
from scripts.gates.versus import compare, verdict_of
from scripts.redaction import Redactor
from scripts.verdict import Outcome, Verdict, worst


@dataclass(frozen=True)
class Told:
    """What came of a run: the tables and reasons for a person, the object for tools, and the verdict."""

    title: str
    tables: tuple[Rows, ...]
    verdict: Verdict
    value: Mapping[str, object]
    reasons: tuple[str, ...] = ()
    warning: str = ""
    pages: tuple[tuple[Path, str], ...] = ()


def run(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Carry out `load` and give the exit code.

    0; 10 where a limit was not kept, too little was measured, or HEAD is slower; 11 where that could not be told.
    """
    start = time.monotonic()
    console = Console(Redactor(secrets_in(environment)), actions=environment.get("GITHUB_ACTIONS") == "true")
    limits: list[LoadSection] = []
    try:
        told = _judge(arguments) if arguments.action == "judge" else _measure(arguments, environment, console, limits)
    except SlipwayError as error:
        console.fail(str(error))
        append_summary(environment, f"## Load: not measured\n\n{for_markdown(console.redact(str(error)))}\n")
        if arguments.json:
            console.result(as_json(None, limits[0] if limits else None, (error.what,)))
        return error.exit_code
    tell(told, console, environment, as_object=arguments.json)
    for path, page in told.pages:
        path.write_text(console.redact(page), encoding="utf-8")
        console.say(f"  its page: {path}")
    if told.warning:
        console.warn(told.warning)
    console.end("load", told.verdict.outcome, told.verdict.reason, time.monotonic() - start)
    if not told.verdict.passed:
        console.say(f"next   {told.verdict.next_step}")
    return told.verdict.exit_code


def _judge(arguments: argparse.Namespace) -> Told:
    if arguments.epochs is None:
        raise UsageError(
            "load judge needs a file of recorded epochs", next_step="load judge .slipway/load/epochs.jsonl"
        )
    comparison = judge_epochs(read_epochs(arguments.epochs))
    value = {"version": 1, "ok": comparison.outcome is Outcome.PASS, **comparison_as_json(comparison)}
    return Told(f"Load: {arguments.epochs.name}", (render_table(comparison, ()),), comparison.verdict, value)


def _measure(
    arguments: argparse.Namespace, environment: Mapping[str, str], console: Console, limits: list[LoadSection]
) -> Told:
    if arguments.epochs is not None:
        raise UsageError(f"{arguments.epochs} goes with `load judge`", means="Nothing was measured.")
    if arguments.workers < 1 or (arguments.users and not arguments.against):
        raise UsageError("--workers is 1 or more, and --users goes with --against", means="Nothing was measured.")
    config = read_config(arguments.config)
    limits.append(config.load)
    order = plan_order(Path.cwd(), config, environment, lambda text: console.say(f"  {text}"))
    order = replace(order, workers=arguments.workers)
    return asyncio.run(_until_interrupted(_both(order, arguments)))


async def _both(order: Order, arguments: argparse.Namespace) -> Told:
    """Measure the objectives, then the comparison where one is asked for."""
    versus = None
    if arguments.against and not order.load.compare:
        order.say("nothing is compared: [load] compare = false")
    elif arguments.against:  # before anything is measured: a commit that is not there ends it
        versus = await plan_versus(order.root, arguments.against, arguments.users, arguments.workers, arguments.output)
    stats = await measure(order)
    judged = judge_load(stats, order.load)
    told = told_of_objectives(judged, stats, order.load)
    return told if versus is None else add_comparison(told, await compare(order, versus), versus)


async def _until_interrupted[T](work: Coroutine[object, object, T]) -> T:
    """Measure; SIGINT and SIGTERM end the users and the services first."""
    measuring = asyncio.ensure_future(work)

    def end() -> None:
        if not measuring.cancelling():  # a second signal would cut the cleaning up
            measuring.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, end)
    try:
        return await measuring
    except asyncio.CancelledError as error:
        raise KeyboardInterrupt from error


def told_of_objectives(judged: Judged, stats: Stats, limits: LoadSection) -> Told:
    """Say what came of the objectives."""
    title = f"Load: {'not kept' if judged.reasons else 'kept'}"
    value = as_json(stats, limits, judged.reasons)
    return Told(title, render_objectives(judged, stats), judged.verdict, value, judged.reasons)


def add_comparison(told: Told, run: Run | Left, versus: Versus) -> Told:
    """Add what came of the comparison, and its page; where there is none, why, and whether that is to pass."""
    if isinstance(run, Left):
        reason = f"nothing was compared: {run.reason}"
        verdict = worst([told.verdict, Verdict(run.outcome, reason, "see what the change does to these requests")])
        if verdict.passed:
            verdict = replace(verdict, reason=f"{told.verdict.reason}; {reason}")
        value = {**told.value, "ok": verdict.passed, "comparison": None, "reasons": [*told.reasons, reason]}
        return replace(told, verdict=verdict, value=value, reasons=(*told.reasons, reason), warning=reason)
    found = verdict_of(run)
    reasons = (*told.reasons, found.reason)
    value = {
        **told.value,
        "ok": told.verdict.passed and found.passed,
        **comparison_as_json(run.comparison),
        "commits": run.commits,
        "users": run.users,
        "measured_s": round(run.measured_s, 1),
        "faults": list(run.faults),
        "reasons": list(reasons) if not (told.verdict.passed and found.passed) else [],
    }
    verdict = worst([told.verdict, found])
    if verdict.passed:
        verdict = replace(verdict, reason=f"{told.verdict.reason}; {found.reason}")
    tables = (*told.tables, render_table(run.comparison, run.epochs))
    pages = ((versus.output / PAGE_FILE, render_load_page(run)),)
    return Told(f"{told.title}, {found.reason}", tables, verdict, value, reasons, pages=pages)


def tell(told: Told, console: Console, environment: Mapping[str, str], *, as_object: bool) -> None:
    """Give the result on stdout, as tables or as one object, and the tables to the step's summary."""
    console.result(told.value if as_object else "\n\n".join(map(as_text, told.tables)))
    reasons = [f"- {for_markdown(reason)}" for reason in told.reasons]
    parts = [f"## {for_markdown(told.title)}", *map(as_markdown, told.tables[:1]), *reasons]
    append_summary(environment, console.redact("\n\n".join([*parts, *map(as_markdown, told.tables[1:])])) + "\n")


def as_json(stats: Stats | None, limits: LoadSection | None, reasons: tuple[str, ...]) -> dict[str, object]:
    """Give the result as one versioned object; `figures` is null where nothing could be measured."""
    return {
        "version": 1,
        "ok": stats is not None and not reasons,
        "figures": figures_of(stats) if stats else None,
        "limits": limits.model_dump() if limits else None,
        "reasons": list(reasons),
    }


def comparison_as_json(comparison: Comparison) -> dict[str, object]:
    """Give a comparison for tools; `change` is head against base as a share, `p` for "slower", of all metrics."""
    metrics = [
        {
            "metric": row.metric.name,
            "finding": row.finding,
            "change": round(row.change, 5),
            "p": row.p,
            "ruled_out": row.metric.ruled_out if row.ruled_out else None,
        }
        for row in comparison.measured
    ]
    verdict = comparison.verdict
    told = {"verdict": verdict.outcome, "reason": verdict.reason, "epochs": comparison.epochs, "metrics": metrics}
    return {"comparison": told}
