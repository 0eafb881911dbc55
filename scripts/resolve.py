"""The verb `resolve`: which commit a run is to release, and since when, before anything of it is tested or built."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from scripts.checkout import Checkout
from scripts.client import Client, expect_object
from scripts.clock import Deadline, SystemClock
from scripts.console import Console
from scripts.errors import PlatformError, SlipwayError
from scripts.github import API, GitHub
from scripts.redaction import Redactor, Secret
from scripts.wiring import commit_of, read_time

LOOK_S = 20


def run(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Print the full commit, and leave it and the moment the run began as outputs of the workflow's step.

    Raises:
        UsageError: there is no such commit, or it is not on the branch that the run is of.
    """
    token = environment.get("GITHUB_TOKEN", "").strip()
    console = Console(Redactor([Secret(token)]), actions=environment.get("GITHUB_ACTIONS") == "true")
    commit = commit_of(arguments, environment, Checkout(Path.cwd()))
    told = {"commit": commit, "started_at": _began_at(environment, token, console).isoformat()}
    write_outputs(environment, told)
    console.result({"version": 1, **told} if arguments.json else commit)
    return 0


def _began_at(environment: Mapping[str, str], token: str, console: Console) -> datetime:
    """Give the moment that the run was asked for: a push says it; a run by hand may have waited, so GitHub is asked."""
    told = read_time(environment.get("SLIPWAY_RUN_STARTED", ""))
    if told or not token:
        return told or datetime.now(UTC)
    clock = SystemClock()
    client = Client(clock)
    try:
        return fetch_created_at(environment, Secret(token), client, Deadline.after(clock, LOOK_S))
    except SlipwayError as error:
        console.warn(f"{error.what}; so the run counts as begun now, and a rollback before this moment is not seen")
        return datetime.now(UTC)
    finally:
        client.close()


def fetch_created_at(environment: Mapping[str, str], token: Secret, client: Client, deadline: Deadline) -> datetime:
    """Read when the workflow's run was created: the same moment for every attempt of it.

    Source: GitHub's REST API reference, "Get a workflow run".

    Raises:
        PlatformError: it cannot be read.
    """
    repository, run = environment.get("GITHUB_REPOSITORY", ""), environment.get("GITHUB_RUN_ID", "")
    github = GitHub(client, token, repository, environment.get("GITHUB_API_URL") or API)
    what = "reading this run"
    answer = expect_object(github.ask("GET", f"/actions/runs/{run}", what, deadline), f"GitHub, {what}")
    moment = read_time(str(answer.get("created_at") or ""))
    if moment is None:
        raise PlatformError(f"GitHub, {what}: it says not when the run was created")
    return moment


def write_outputs(environment: Mapping[str, str], values: Mapping[str, str]) -> None:
    """Leave values as outputs of the workflow's step; each is one line. Without a runner there is nobody to read."""
    if file := environment.get("GITHUB_OUTPUT"):
        with Path(file).open("a", encoding="utf-8") as outputs:
            outputs.writelines(f"{name}={value}\n" for name, value in values.items())
