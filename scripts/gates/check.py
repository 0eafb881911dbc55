"""The verb `check`: on this machine what a pull request runs, side by side, with one summary.

The gates are those of `scripts.gates.jobs`. Lock, lint, unit and the shards of integration run at once; what only
waits for the processor lets integration go first, whose tests watch the time. Coverage waits for all of the tests. Load
comes last and alone: it measures this machine, and another's work would be measured too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from scripts.console import Console
from scripts.errors import UsageError
from scripts.foreign import for_markdown
from scripts.gates.against import Base, choose_base
from scripts.gates.jobs import GATES, Gate, in_shards
from scripts.gates.order import secrets_in
from scripts.gates.side_by_side import Ended, Ground, Run, run_side_by_side
from scripts.gates.summing_up import Sum, as_json, render_rows, sum_up
from scripts.gates.tables import append_summary, as_markdown, as_text
from scripts.gates.transcript import Teller
from scripts.redaction import Redactor

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(".slipway") / "check"
DATA = "COVERAGE_FILE"  # coverage's name for where its data goes: without it all of them would write the same file
WHOLE = ".coverage"
HERE = in_shards(GATES)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Run every gate and give the exit code: 0, else the worst one's (10, 11 or 12), 130 where it was interrupted.

    A gate that ends in any other way has proven nothing and is a failure, with 2 too: that code is this verb's own.

    Raises:
        UsageError: there is no such commit, or another check runs here.
    """
    start = time.monotonic()
    console = Console(Redactor(secrets_in(environment)), actions=environment.get("GITHUB_ACTIONS") == "true")
    base = choose_base(arguments.against, ROOT)
    if base.told:
        console.say(f"note   {base.told}")
    with own_folder(ROOT / FOLDER):
        ground, runs = Ground(ROOT, environment), plan_runs(HERE, base, ROOT)
        going = run_until_stopped(runs, ground, console, fail_fast=arguments.fail_fast)
        rows, interrupted = asyncio.run(going)
        told = sum_up(rows, time.monotonic() - start, interrupted=interrupted)
        tell(rows, told, console, environment, as_json(rows, told, base.commit) if arguments.json else None)
    return told.code


async def run_until_stopped(
    runs: Sequence[Run], ground: Ground, console: Console, *, fail_fast: bool
) -> tuple[list[Ended], bool]:
    """Run gates, and say whether it was interrupted: the first signal ends all in order, later ones change nothing."""
    stop = asyncio.Event()

    def end() -> None:
        if not stop.is_set():
            console.say("interrupted: stopping everything that was started")
        stop.set()

    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, end)
    rows = await run_side_by_side(runs, ground, Teller(console), stop, fail_fast=fail_fast)
    return rows, stop.is_set()


def plan_runs(gates: Sequence[Gate], base: Base, root: Path) -> list[Run]:
    """Give the command of each gate; the parts of the tests leave their data apart, and coverage adds those up."""
    parts = {name for gate in gates for name in gate.needs}
    return [
        _plan_run(gate, base, root, {DATA: str(root / _data_of(gate.name) / WHOLE)} if gate.name in parts else {})
        for gate in gates
    ]


def _plan_run(gate: Gate, base: Base, root: Path, settings: Mapping[str, str]) -> Run:
    commit = base.of(gate)
    against = ("--against", commit) if commit else ()
    words = (*gate.words, *(str(_data_of(name)) for name in gate.needs), *against)
    return Run(gate, (sys.executable, "-m", "scripts", *words), root / FOLDER / f"{gate.name}.log", settings)


def _data_of(part: str) -> Path:
    return FOLDER / f"coverage-{part}"


def tell(
    rows: Sequence[Ended], told: Sum, console: Console, environment: Mapping[str, str], as_object: object | None
) -> None:
    """Give the summary on stdout, as a table or as one object, and to the step's summary; then how it ended."""
    table = render_rows(rows, ROOT)
    console.result(as_text(table) if as_object is None else as_object)
    append_summary(environment, console.redact(f"## Check: {for_markdown(told.reason)}\n\n{as_markdown(table)}\n"))
    console.end("check", told.outcome, told.reason, told.seconds)
    if told.next_step:
        console.say(f"next   {told.next_step}")


@contextlib.contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Hold the folder for logs and data, emptied: old data would count as a part of the tests that ran.

    Raises:
        UsageError: another check holds it, or it cannot be made.
    """
    held = -1
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _make_empty(folder)
    except OSError as error:
        if held >= 0:
            os.close(held)
        raise _refused(folder, error) from error
    try:
        yield
    finally:
        os.close(held)


def _make_empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    for gate in HERE:
        for part in gate.needs:
            (folder / _data_of(part).name).mkdir(exist_ok=True)


def _refused(folder: Path, error: OSError) -> UsageError:
    if isinstance(error, BlockingIOError):
        what, next_step = f"another check runs in this checkout: it holds {folder}", "wait for its end, or end it"
    else:
        what, next_step = f"{folder} cannot be made ready: {error.strerror}", f"move {folder} away"
    return UsageError(what, means="Nothing was started.", next_step=next_step)
