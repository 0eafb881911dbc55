"""The verb `simulate`: the table of how often the judge is wrong, made anew."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence

from scripts.errors import UsageError
from scripts.simulating.scenarios import BY_NAME
from scripts.simulating.table import PASS_BY_S, SEED, Row, settings, simulate
from scripts.simulating.world import NOISES
from scripts.verdict import Outcome

FINE_RUNS, BAD_RUNS = 3000, 500
RATES = (10, 50)
HEAD = ("release", "noise", "old beside", "probes/s", "runs", "rolled back", "95 % bounds", "after", "pass", "by 35 s")
HEAD_MORE = ("open", "environment")


def run(arguments: argparse.Namespace, _: Mapping[str, str]) -> int:
    """Simulate, and print the table as Markdown, or as one JSON object.

    Raises:
        UsageError: no line has that name, or there is nothing to run.
    """
    rates = (arguments.rate,) if arguments.rate else RATES
    noises = (arguments.noise,) if arguments.noise else tuple(NOISES)
    runs = arguments.runs
    if runs is not None and runs < 1:
        raise UsageError(f"--runs {runs}: at least one is needed", next_step="name a number, such as 500")
    word = (arguments.scenario or "").casefold()
    table = [
        row for row in settings(rates, noises, runs or FINE_RUNS, runs or BAD_RUNS) if word in row.scenario.casefold()
    ]
    if not table:
        raise UsageError(f"no release is named {word!r}", next_step=f"there are: {', '.join(BY_NAME)}")
    began, seed = time.monotonic(), arguments.seed or SEED
    rows = simulate(table, os.cpu_count() or 1, seed, lambda row: _say(_cells(row)))
    _say([f"{len(rows)} lines in {time.monotonic() - began:.0f} s"])
    print(json.dumps(_as_json(rows, seed)) if arguments.json else render_table(rows, seed))  # noqa: T201
    return 0


def _say(cells: Sequence[str]) -> None:
    print("  ".join(cells), file=sys.stderr, flush=True)  # noqa: T201


def render_table(rows: Sequence[Row], seed: str) -> str:
    """Give the table as Markdown."""
    lines = [_line([*HEAD, *HEAD_MORE]), _line(["---"] * (len(HEAD) + len(HEAD_MORE)))]
    return "\n".join([*lines, *(_line(_cells(row)) for row in rows), "", f"Seed: {seed}."])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(row: Row) -> list[str]:
    setting = row.setting
    share, low, high = row.failed
    after = row.median_s(Outcome.FAIL)
    return [
        setting.scenario,
        setting.noise,
        "yes" if setting.paired else "no",
        str(setting.rate_per_s),
        str(setting.runs),
        f"{share:.2%}",
        f"{low:.2%} to {high:.2%}",
        "" if after is None else f"{after:.0f} s",
        f"{row.share(Outcome.PASS):.1%}",
        f"{row.share(Outcome.PASS, PASS_BY_S):.1%}",
        f"{row.share(Outcome.INCONCLUSIVE):.2%}",
        f"{row.share(Outcome.ERROR):.2%}",
    ]


def _as_json(rows: Sequence[Row], seed: str) -> dict[str, object]:
    return {"version": 1, "seed": seed, "lines": [_row_as_json(row) for row in rows]}


def _row_as_json(row: Row) -> dict[str, object]:
    setting = row.setting
    share, low, high = row.failed
    return {
        "release": setting.scenario,
        "bad": BY_NAME[setting.scenario].bad,
        "noise": setting.noise,
        "paired": setting.paired,
        "rate_per_s": setting.rate_per_s,
        "runs": setting.runs,
        "rolled_back": share,
        "bounds": [low, high],
        "median_s": row.median_s(Outcome.FAIL),
        "passed": row.share(Outcome.PASS),
        "passed_by_35_s": row.share(Outcome.PASS, PASS_BY_S),
        "inconclusive": row.share(Outcome.INCONCLUSIVE),
        "environment": row.share(Outcome.ERROR),
    }
