"""The verb `required`: the one gate that branch protection asks for.

Decides from what GitHub says of every job whether all of them passed; a skip is a failure unless the workflow names it,
and so is a job that nobody knows, or that is gone. The release path runs this: standard library only.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.console import Console
from scripts.errors import SlipwayError, UsageError
from scripts.foreign import for_markdown, plain
from scripts.gates.jobs import GATES, Gate, command_of
from scripts.gates.tables import append_summary, as_markdown
from scripts.verdict import Verdict, failed, passed

NEEDS = "NEEDS"
WORKFLOW = Path(".github/workflows/checks.yml")
SAID_LIMIT = 40  # characters of a foreign name or result
PASSED, SKIPPED, MISSING = "success", "skipped", "missing"
BAD = {
    "failure": "it failed",
    "cancelled": "it was cancelled",
    SKIPPED: "it was skipped, and nothing says that it may be",
    MISSING: "it is not among the jobs that this one needs",
}


@dataclass(frozen=True)
class Job:
    """A job with what GitHub says of it; `wrong` is empty where that is fine."""

    name: str
    result: str
    wrong: str = ""
    gate: Gate | None = None

    @property
    def word(self) -> str:
        """Give ok, skip or fail."""
        if self.wrong:
            return "fail"
        return "ok" if self.result == PASSED else "skip"

    @property
    def command(self) -> str:
        """Give what asks the same on a laptop; empty for a job that is not in the list."""
        return command_of(self.gate) if self.gate else ""


def run(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Judge every job and give the exit code: 0, 10 where one did not pass, 2 where what GitHub says cannot be read."""
    start = time.monotonic()
    console = Console(actions=environment.get("GITHUB_ACTIONS") == "true")
    try:
        results = read_results(environment.get(NEEDS, ""))
        jobs = judge_jobs(results, read_may_skip(arguments.may_skip))
    except SlipwayError as error:
        console.fail(str(error))
        append_summary(environment, f"## Required: not known\n\n{for_markdown(str(error))}\n")
        return error.exit_code
    verdict = judge_required(jobs)
    tell(jobs, verdict, console, environment)
    console.end("required", verdict.outcome, verdict.reason, time.monotonic() - start)
    if not verdict.passed:
        console.say(f"next   {verdict.next_step}")
    return verdict.exit_code


def read_results(text: str) -> dict[str, str]:
    """Read the result of each job from GitHub's `toJSON(needs)`; one that has none has the result "".

    Source: GitHub's reference of contexts, "needs context": success, failure, cancelled or skipped.

    Raises:
        UsageError: it is missing or torn, or names a job twice, so that one result would hide the other.
    """
    try:
        needs = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise _unreadable(text) from error
    if not isinstance(needs, dict):
        raise _unreadable(text)
    return {name: _result(told) for name, told in needs.items()}


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def _result(told: object) -> str:
    result = told.get("result") if isinstance(told, dict) else None
    return result if isinstance(result, str) else ""


def _unreadable(text: str) -> UsageError:
    what = f"is no object of jobs ({len(text)} characters)" if text.strip() else "is not set"
    return UsageError(  # what it says is not repeated: a job's outputs are in it
        f"{NEEDS} {what}",
        means="Nobody knows which jobs passed, and that is not a pass.",
        next_step=f"in the job's env: `{NEEDS}: ${{{{ toJSON(needs) }}}}`",
    )


def read_may_skip(names: Sequence[str]) -> frozenset[str]:
    """Give the names of the jobs that may be skipped.

    Raises:
        UsageError: one is no gate: its writer meant another one, which would then not be excused.
    """
    known = [gate.name for gate in GATES]
    unknown = [plain(name, SAID_LIMIT) for name in names if name not in known]
    if unknown:
        raise UsageError(
            f"--may-skip {', '.join(unknown)}: there is no such gate",
            means="Nothing was judged.",
            next_step=f"name one of {', '.join(known)}",
        )
    return frozenset(names)


def judge_jobs(results: Mapping[str, str], may_skip: Collection[str] = ()) -> list[Job]:
    """Say of every gate, and of every job that is none, what is wrong with it."""
    gates = [_judge(gate, results.get(gate.name, MISSING), may_skip) for gate in GATES]
    known = {gate.name for gate in GATES}
    strangers = [name for name in results if name not in known]
    wrong = "it is not in the list of scripts/gates/jobs.py, so `check` does not run it"
    return [*gates, *(Job(plain(name, SAID_LIMIT), plain(results[name], SAID_LIMIT), wrong) for name in strangers)]


def _judge(gate: Gate, result: str, may_skip: Collection[str]) -> Job:
    if result == PASSED or (result == SKIPPED and gate.name in may_skip):
        return Job(gate.name, result, gate=gate)
    said = plain(result, SAID_LIMIT)
    return Job(gate.name, said, BAD.get(result, f"its result is unknown: {said or 'none'}"), gate)


def judge_required(jobs: Sequence[Job]) -> Verdict:
    """Pass where nothing is wrong with any job and at least one has passed."""
    bad = [job for job in jobs if job.wrong]
    if bad:
        command = next((job.command for job in bad if job.command), "python3 -m scripts check")
        return failed(f"{len(bad)} of {len(jobs)} jobs did not pass: {', '.join(job.name for job in bad)}", command)
    ran = sum(job.result == PASSED for job in jobs)
    if not ran:
        return failed("no job passed, every one was skipped: this proves nothing", "python3 -m scripts check")
    skipped = f", and {len(jobs) - ran} may be skipped" if len(jobs) > ran else ""
    return passed(f"{ran} of {len(jobs)} jobs passed{skipped}")


def tell(jobs: Sequence[Job], verdict: Verdict, console: Console, environment: Mapping[str, str]) -> None:
    """Print a line for each job and how to see on a laptop why not, mark the bad ones, and write the step's summary."""
    workflow = _read_workflow()
    for job in jobs:
        console.say(f"{job.word:<6} {job.name}{f': {job.wrong}' if job.wrong else ''}")
        if job.wrong:
            console.say(f"       on a laptop: {job.command or 'no command is known'}")
            where = find_line(workflow, job.name)
            told = f"{job.name}: {job.wrong}; on a laptop: {job.command or 'no command is known'}"
            console.annotate("error", told, path=str(WORKFLOW), line=where, title=job.name or "a job")
    title = f"## Required: {'passed' if verdict.passed else 'not passed'}"
    parts = [title, for_markdown(verdict.reason), as_markdown(render_rows(jobs))]
    append_summary(environment, "\n\n".join(parts) + "\n")


def render_rows(jobs: Sequence[Job]) -> list[tuple[str, ...]]:
    """Give a row for each job."""
    head = ("job", "", "what it asks", "what is wrong", "on a laptop")
    asks = {gate.name: gate.asks for gate in GATES}
    return [head, *((job.name, job.word, asks.get(job.name, ""), job.wrong, job.command) for job in jobs)]


def _read_workflow() -> str:
    try:
        return WORKFLOW.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def find_line(workflow: str, job: str) -> int:
    """Give the line on which a workflow file begins a job; 1 where it does not."""
    lines = workflow.splitlines()
    return next((at for at, line in enumerate(lines, 1) if re.fullmatch(rf"  {re.escape(job)}:\s*", line)), 1)
