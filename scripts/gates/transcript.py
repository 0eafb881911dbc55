"""Tells what gates do: a line for each that starts or ends, a heartbeat, and the whole output of a bad one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.console import Console
from scripts.gates.side_by_side import Ended, Result, Run

LONGEST_BYTES = 2_000_000  # of a bad gate's output; what came before is in its log
QUIET = (Result.OK, Result.NOT_RUN, Result.STOPPED)

# A tool that thinks it has a terminal colours its words, moves the cursor, or sets the window's title.
CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Teller:
    """Says it on a console."""

    console: Console

    def began(self, run: Run) -> None:
        """Say that a gate was started, and what it asks."""
        self.console.say(f"start  {run.gate.name}: {run.gate.asks}")

    def ended(self, row: Ended) -> None:
        """Say how a gate ended, and after one that is bad all it said."""
        self.console.say(f"{row.result:<6} {row.name}{f': {row.why}' if row.why else ''} ({row.seconds:.1f} s)")
        if row.result in QUIET:
            return
        for line in read_transcript(row.run.log):
            self.console.say(f"  {line}")
        self.console.say(f"       that was {row.name}, from {row.run.log}")

    def waited(self, going: Mapping[str, float]) -> None:
        """Say what still runs."""
        self.console.state("running", ", ".join(f"{name} ({seconds:.0f} s)" for name, seconds in going.items()))


def read_transcript(log: Path) -> Iterator[str]:
    """Give the lines of a log as plain text; of a very long one its end."""
    try:
        with log.open("rb") as file:
            left_out = max(0, log.stat().st_size - LONGEST_BYTES)
            file.seek(left_out)
            text = file.read().decode(errors="replace")
    except OSError as error:
        yield f"its output cannot be read: {error.strerror}"
        return
    if left_out:
        yield f"… {left_out} bytes before this are in the log"
    yield from (CONTROL.sub("", line) for line in text.split("\n") if line.strip() or not text.strip())


def count_lines(log: Path) -> int:
    """Count the lines of a log; 0 where there is none."""
    try:
        with log.open("rb") as file:
            return sum(1 for _ in file)
    except OSError:
        return 0
