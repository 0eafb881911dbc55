"""What the gates' ends come to: the worst of them, a table with the command of each, and the same for tools."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.gates.jobs import COMMAND
from scripts.gates.side_by_side import Ended, Result, Run
from scripts.gates.transcript import count_lines
from scripts.release import parse_sha, short
from scripts.verdict import Outcome, Verdict, worst

INTERRUPTED = 130
OUTCOMES = {
    Result.OK: Outcome.PASS,
    Result.FAIL: Outcome.FAIL,
    Result.ERROR: Outcome.ERROR,
    Result.UNSURE: Outcome.INCONCLUSIVE,
    Result.STOPPED: Outcome.INCONCLUSIVE,
    Result.NOT_RUN: Outcome.INCONCLUSIVE,
}
NEVER_ENDED = {Result.STOPPED, Result.NOT_RUN}


@dataclass(frozen=True)
class Sum:
    """What all gates together came to."""

    outcome: str
    code: int
    reason: str
    next_step: str
    seconds: float


def sum_up(rows: Sequence[Ended], seconds: float, *, interrupted: bool) -> Sum:
    """Give the verdict's words and exit code; an interrupted check has no verdict, whatever passed before."""
    verdict = judge_gates(rows)
    if interrupted:
        return Sum("interrupted", INTERRUPTED, f"interrupted; {verdict.reason}", "", seconds)
    return Sum(verdict.outcome, verdict.exit_code, verdict.reason, verdict.next_step, seconds)


def judge_gates(rows: Sequence[Ended]) -> Verdict:
    """Give the worst of all gates; one that was stopped or not run is never a pass."""
    outcome = worst([Verdict(OUTCOMES[row.result], row.name) for row in rows]).outcome
    bad = sorted((row for row in rows if row.result is not Result.OK), key=lambda row: row.result in NEVER_ENDED)
    kinds = {row.result: ", ".join(each.name for each in bad if each.result is row.result) for row in bad}
    told = [
        f"{len(rows) - len(bad)} of {len(rows)} gates passed",
        *(f"{kind}: {names}" for kind, names in kinds.items()),
    ]
    return Verdict(outcome, "; ".join(told), tell_command(bad[0].run) if bad else "")


def tell_command(run: Run) -> str:
    """Give what a person types in the repository's root to run a gate alone."""
    commits = {word: short(commit) for word in run.command if (commit := parse_sha(word))}
    return shlex.join([*COMMAND, *(commits.get(word, word) for word in run.command[len(COMMAND) :])])


def render_rows(rows: Sequence[Ended], root: Path) -> list[tuple[str, ...]]:
    """Give a row for each gate, and for one that is not ok where its last lines are."""
    head = ("gate", "result", "seconds", "command", "last lines")
    return [head, *(_row(row, root) for row in rows)]


def _row(row: Ended, root: Path) -> tuple[str, ...]:
    log = row.run.log.relative_to(root)
    lines = 0 if row.result is Result.OK else count_lines(row.run.log)
    return row.name, row.result, f"{row.seconds:.1f}", tell_command(row.run), f"{log}:{lines}" if lines else ""


def as_json(rows: Sequence[Ended], told: Sum, against: str | None) -> dict[str, object]:
    """Give the result as one versioned object."""
    return {
        "version": 1,
        "outcome": told.outcome,
        "exit_code": told.code,
        "reason": told.reason,
        "seconds": round(told.seconds, 3),
        "against": against,
        "gates": [
            {
                "name": row.name,
                "result": row.result,
                "why": row.why,
                "exit_code": row.code,
                "seconds": round(row.seconds, 3),
                "command": tell_command(row.run),
                "log": str(row.run.log) if row.run.log.exists() else None,
            }
            for row in rows
        ],
    }
