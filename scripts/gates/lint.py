"""The verb `lint`: every linter and the settings files, side by side; each finding once, and silence is no pass."""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from scripts.console import Console
from scripts.foreign import for_markdown, plain
from scripts.gates.findings import Finding, merge, render_findings
from scripts.gates.linters import TOOLS, Tool
from scripts.gates.settings_files import SETTINGS_FILES, SettingsFile, judge_file
from scripts.gates.tables import append_summary, as_markdown
from scripts.rehearsal.children import Child, end_child
from scripts.verdict import Verdict, failed, passed

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
LIMIT_S = 300.0
ANNOTATED = 10  # https://docs.github.com/en/rest/checks/runs: GitHub shows no more errors of a step
LAST_LINES = 15
OUTPUT = 10_000  # characters, of which those are the last lines


@dataclass(frozen=True)
class Order:
    """What is looked at and with what: `settings` are judged here, every tool is a process that may take `limit_s`."""

    root: Path = ROOT
    tools: Sequence[Tool] = TOOLS
    settings: Sequence[SettingsFile] = SETTINGS_FILES
    programs: Path = BIN
    limit_s: float = LIMIT_S
    at_once: int = os.cpu_count() or 1


@dataclass(frozen=True)
class Ended:
    """What a process left."""

    code: int | None
    out: str
    err: str


@dataclass(frozen=True)
class Report:
    """What one linter said; `broken` is why that cannot be believed, `skipped` why it had nothing to do."""

    name: str
    findings: Sequence[Finding] = ()
    broken: str = ""
    skipped: str = ""
    duration_s: float = 0.0

    @property
    def state(self) -> str:
        """One word for it."""
        return "fail" if self.findings or self.broken else "skip" if self.skipped else "ok"

    @property
    def says(self) -> str:
        """Its result in words; empty where nothing was found."""
        count = _count(self.findings) if self.findings else ""
        return self.broken.partition("\n")[0] or self.skipped or count


def run(_arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Run every linter and give the exit code: 0, or 10 where one found something or could not look."""
    return lint(Order(), Console(actions=environment.get("GITHUB_ACTIONS") == "true"), environment)


def lint(order: Order, console: Console, environment: Mapping[str, str]) -> int:
    """Do what is ordered, say what was found, and give the exit code."""
    start = time.monotonic()
    reports = asyncio.run(_look(order, environment))
    findings = merge(each for report in reports for each in report.findings)
    verdict = judge_reports(reports, findings)
    for report in reports:
        words = ": ".join(filter(None, (report.name, report.says)))
        console.say(f"{report.state:<6} {words} ({report.duration_s:.1f} s)")
    for report in filter(lambda report: report.broken, reports):
        console.fail(f"{report.name}: {report.broken}")
    marked = ANNOTATED if environment.get("GITHUB_ACTIONS") == "true" else 0
    for found in findings[:marked]:
        title = f"{found.tool}: {found.rule}"
        console.annotate("error", found.text, path=found.path, line=found.line, title=title)
    for found in findings[marked:]:
        console.say(found.text)
    append_summary(environment, render_summary(reports, findings, verdict))
    console.end("lint", verdict.outcome, verdict.reason, time.monotonic() - start)
    return verdict.exit_code


def judge_reports(reports: Sequence[Report], findings: Sequence[Finding]) -> Verdict:
    """Decide: whoever found something or could not look makes it a failure, and so does nobody having looked."""
    bad = [report.name for report in reports if report.state == "fail"]
    broken = sum(bool(report.broken) for report in reports)
    if bad:
        unread = f", {broken} without an answer" if broken else ""
        return failed(f"{_count(findings)}{unread}: {', '.join(bad)}", "mend what is named above")
    looked = sum(report.state == "ok" for report in reports)
    return passed(f"nothing found by {looked} linters") if looked else failed("nothing was looked at")


def judge_end(tool: Tool, ended: Ended, root: Path) -> Report:
    """Decide what the end of a linter means: findings, none, or that it did not do its work."""
    try:
        findings, torn = tuple(tool.read(ended.out, root, tool.name)), False
    except (ValueError, RecursionError):
        findings, torn = (), True
    broken = ""
    if ended.code not in {0, *tool.found} or (ended.code != 0 and not findings and not torn):
        broken = f"ended with {ended.code}, which is no answer"
    elif torn:
        broken = f"ended with {ended.code}, and what it wrote is not readable"
    elif tool.idle and tool.idle in ended.err:
        broken = "saw no file"
    return Report(tool.name, findings, broken and "\n".join([broken, *_last_lines(ended)]))


def _last_lines(ended: Ended) -> list[str]:
    lines = filter(None, map(plain, f"{ended.out[-OUTPUT:]}\n{ended.err[-OUTPUT:]}".splitlines()))
    return [f"  {line}" for line in lines][-LAST_LINES:]


async def _look(order: Order, environment: Mapping[str, str]) -> list[Report]:
    """Start all side by side, as many at once as there are cores; what is interrupted leaves nothing running."""
    slots = asyncio.Semaphore(order.at_once)
    path = f"{order.programs}{os.pathsep}{environment.get('PATH', os.defpath)}"  # actionlint looks for shellcheck there
    given = {**environment, "PATH": path, "NO_COLOR": "1", "RUST_BACKTRACE": "0"}  # a backtrace hides the reason
    tools = [_timed(slots, partial(_use, tool, order, given)) for tool in order.tools]
    files = [_timed(slots, partial(_settle, file, order.root)) for file in order.settings]
    return list(await asyncio.gather(*tools, *files))


async def _timed(slots: asyncio.Semaphore, look: Callable[[], Awaitable[Report]]) -> Report:
    async with slots:
        start = time.monotonic()
        return replace(await look(), duration_s=time.monotonic() - start)


async def _settle(file: SettingsFile, root: Path) -> Report:
    if reason := file.unneeded(root):
        return Report(file.name, skipped=reason)
    return Report(file.name, await asyncio.to_thread(judge_file, file, root))


async def _use(tool: Tool, order: Order, environment: Mapping[str, str]) -> Report:
    """Run one tool on what there is for it, and judge how it ended."""
    files = sorted({str(file.relative_to(order.root)) for glob in tool.files for file in order.root.glob(glob)})
    if tool.files and not files:
        reason = f"there is no {tool.files[0]}"
        return Report(tool.name, skipped=reason) if tool.optional else Report(tool.name, broken=reason)
    program, *words = tool.command
    for name in (program, *tool.beside):
        if not (order.programs / name).is_file():
            return Report(tool.name, broken=f"{name} is not installed; next: delete .venv, and start again")
    try:
        ended = await _run([str(order.programs / program), *words, *files], order, environment)
    except TimeoutError:
        return Report(tool.name, broken=f"did not end within {order.limit_s:g} s")
    except OSError as error:
        return Report(tool.name, broken=f"cannot be started: {error.strerror}")
    return judge_end(tool, ended, order.root)


async def _run(words: Sequence[str], order: Order, environment: Mapping[str, str]) -> Ended:
    """Run a program to its end in a group of its own, and leave nothing of the group running."""
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=order.root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), order.limit_s)
    finally:
        await end_child(Child(process, order.root), 0)
    return Ended(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))


def render_summary(reports: Sequence[Report], findings: Sequence[Finding], verdict: Verdict) -> str:
    """Give Markdown: how it ended, each linter, and what was found."""
    rows = [(report.name, report.state, report.says, f"{report.duration_s:.1f}") for report in reports]
    parts = [f"## Lint: {for_markdown(verdict.reason)}", as_markdown([("linter", "result", "what", "seconds"), *rows])]
    return "\n\n".join([*parts, *([render_findings(findings)] if findings else [])]) + "\n"


def _count(findings: Sequence[Finding]) -> str:
    return "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
