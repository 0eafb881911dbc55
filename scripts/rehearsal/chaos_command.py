"""`rehearse --chaos`: play random runs, and say of each that is not as it claims how to repeat it."""

from __future__ import annotations

import argparse
import os
import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from scripts.console import Console
from scripts.errors import UsageError
from scripts.rehearsal.chaos import Outcome, describe, draw, play
from scripts.summary import append_summary


def run(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Play the runs from `--first` on; exit 0 only when every claim of every run was true.

    Raises:
        UsageError: there is nothing to play.
    """
    if arguments.runs < 1 or arguments.first < 0:
        raise UsageError(
            f"--runs {arguments.runs} --first {arguments.first}: at least one run, from number 0 on",
            means="Nothing was started.",
            next_step="python3 -m scripts rehearse --chaos --runs 200",
        )
    console, seed, began_s = Console(), arguments.seed or secrets.token_hex(4), time.monotonic()
    numbers = range(arguments.first, arguments.first + arguments.runs)
    outcomes = play_all(seed, numbers)
    for number, outcome in zip(numbers, outcomes, strict=True):
        for line in outcome.untrue:
            console.say(f"untrue {describe(outcome.draw)}: {line}")
            console.say(f"next   python3 -m scripts rehearse --chaos --runs 1 --seed {seed} --first {number}")
    untrue = [row for row in outcomes if row.untrue]
    if arguments.json:
        told = {"version": 1, "seed": seed, "first": arguments.first, "runs": [row.as_json() for row in outcomes]}
        console.result({**told, "ok": not untrue})
    else:
        console.result(render(seed, outcomes, time.monotonic() - began_s))
    append_summary(environment, f"## Chaos\n\n{render(seed, outcomes, time.monotonic() - began_s)}\n")
    return 10 if untrue else 0


def play_all(seed: str, numbers: Sequence[int]) -> list[Outcome]:
    """Play runs by number, in as many processes as there are cores."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(_play_one, (f"{seed}/{number}" for number in numbers), chunksize=5))


def _play_one(seed: str) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
        return play(draw(seed), Path(folder))


def render(seed: str, outcomes: Sequence[Outcome], seconds: float) -> str:
    """Say how many runs ended how."""
    untrue = sum(bool(row.untrue) for row in outcomes)
    ends = Counter(f"exit {row.exit_code}, {row.result}" for row in outcomes)
    lines = [f"- {count} × {end}" for end, count in sorted(ends.items(), key=lambda pair: -pair[1])]
    head = f"{len(outcomes)} random runs, seed {seed}, {seconds:.0f} s: {untrue} claimed what was not so"
    return "\n".join([head, "", *lines])
