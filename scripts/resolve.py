"""The verb `resolve`: which commit a run is to release, and since when, before anything of it is tested or built."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from scripts.checkout import Checkout
from scripts.console import Console
from scripts.wiring import commit_of, read_time


def run(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Print the full commit, and leave it and the moment the run began as outputs of the workflow's step.

    Raises:
        UsageError: there is no such commit, or it is not on the branch that the run is of.
    """
    console = Console(actions=environment.get("GITHUB_ACTIONS") == "true")
    commit = commit_of(arguments, environment, Checkout(Path.cwd()))
    started_at = read_time(environment.get("SLIPWAY_RUN_STARTED", "")) or datetime.now(UTC)
    told = {"commit": commit, "started_at": started_at.isoformat()}
    write_outputs(environment, told)
    console.result({"version": 1, **told} if arguments.json else commit)
    return 0


def write_outputs(environment: Mapping[str, str], values: Mapping[str, str]) -> None:
    """Leave values as outputs of the workflow's step; each is one line. Without a runner there is nobody to read."""
    if file := environment.get("GITHUB_OUTPUT"):
        with Path(file).open("a", encoding="utf-8") as outputs:
            outputs.writelines(f"{name}={value}\n" for name, value in values.items())
