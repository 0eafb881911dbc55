"""The verb `propose`: newer locks as a pull request, opened or renewed; merging it is left to a person.

Judges what another job made (`scripts.proposal`), then asks GitHub (`scripts.pull_request`): in this order, so that a
file which is no lock is the end of it before any request is made. The locks' fingerprint is made here, of the locks
that are proposed and the .in files of this checkout: one that the other job brings is not looked at.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path

from scripts.client import Client
from scripts.clock import Deadline, SystemClock
from scripts.console import Console
from scripts.errors import ConfigError, UsageError
from scripts.gates.fingerprint import FILE, read_sources, render_fingerprint
from scripts.github import API, GitHub
from scripts.proposal import LOCKS, fetch_locks, fetch_table, render_body
from scripts.pull_request import BASE, Desk, Proposal, propose
from scripts.redaction import Redactor, Secret
from scripts.release import Sha, parse_sha
from scripts.resolve import write_outputs
from scripts.verdict import worst

PATIENCE_S = 120.0  # for all that is asked of GitHub


def run(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Open or renew the pull request, and leave its URL on stdout and as an output of the step.

    Raises:
        UsageError: there are no locks to propose, or this is not a run of main.
        ConfigError: something that a job is told is missing, or a setting of the repository is in the way.
        PlatformError: GitHub did not do it; the next run completes what is missing.
    """
    clock = SystemClock()
    client = Client(clock)
    try:
        return run_with(arguments, environment, client, Deadline.after(clock, PATIENCE_S))
    finally:
        client.close()


def run_with(arguments: argparse.Namespace, environment: Mapping[str, str], client: Client, deadline: Deadline) -> int:
    """Do what `run` does, with a client and a deadline that are handed in."""
    redact = Redactor([Secret(environment.get("GITHUB_TOKEN", "").strip())])
    console = Console(redact, actions=environment.get("GITHUB_ACTIONS") == "true")
    locks, table = fetch_locks(arguments.source), fetch_table(arguments.table)
    verdict = worst([table.verdict, *(lock.verdict for lock in locks)])
    if not verdict.passed:
        console.fail(f"{verdict.reason}\nNothing was asked of GitHub.\nnext: {verdict.next_step}")
        return verdict.exit_code
    before = {lock.path: _checked_out(lock.path) for lock in locks}
    files = {lock.path: lock.text for lock in locks if lock.text != before[lock.path]}
    url = ""
    if files:
        desk, base = read_desk(environment, client, deadline)
        proposed = {**files, FILE: make_fingerprint(Path.cwd(), files)}
        url = propose(desk, Proposal(base, proposed, render_body(before, files, table.text)))
    if url:
        write_outputs(environment, {"url": url})
    console.result(url or f"nothing to propose: {BASE} has these pins")
    return 0


def _checked_out(path: str) -> str:
    where = Path.cwd() / path
    return where.read_bytes().decode(errors="replace") if where.is_file() else ""


def make_fingerprint(root: Path, files: Mapping[str, str]) -> str:
    """Give the fingerprint of a checkout with these locks in place of its own; none that was brought is believed."""
    own = {path: (root / path).read_bytes() for path in LOCKS if path not in files and (root / path).is_file()}
    locks = own | {path: text.encode() for path, text in files.items()}
    return render_fingerprint(read_sources(root, locks), locks)


def read_desk(environment: Mapping[str, str], client: Client, deadline: Deadline) -> tuple[Desk, Sha]:
    """Read from what GitHub tells a job where to propose, and on which commit.

    Raises:
        ConfigError: something is missing or malformed; all of it is named.
        UsageError: the run is not of main: its commits would get into the proposal.
    """
    token, repository, base, branch, url = (
        environment.get(name, "").strip()
        for name in ("GITHUB_TOKEN", "GITHUB_REPOSITORY", "GITHUB_SHA", "GITHUB_REF_NAME", "GITHUB_API_URL")
    )
    commit = parse_sha(base)
    wrong = [
        *([] if token else ["GITHUB_TOKEN is not set: the job's own token"]),
        *([] if re.fullmatch(r"[\w.-]+/[\w.-]+", repository, re.ASCII) else ["GITHUB_REPOSITORY is not OWNER/NAME"]),
        *([] if commit else ["GITHUB_SHA is not a full commit id"]),
        *([] if re.fullmatch(r"(https?://[^\s?#@]+)?", url) else ["GITHUB_API_URL is not the address of an API"]),
    ]
    if wrong or commit is None:
        raise ConfigError("\n".join(wrong), means="Nothing was proposed.", next_step="run it as refresh-lock.yml does")
    if branch not in {"", BASE}:
        raise UsageError(
            f"newer pins are proposed for {BASE}, and this is a run of {branch}",
            means="Its commits would become part of the pull request, so nothing was asked of GitHub.",
            next_step=f"start the workflow on {BASE}",
        )
    return Desk(GitHub(client, Secret(token), repository, (url or API).rstrip("/")), repository, deadline), commit
