"""This machine: whether the pinned Vercel CLI could be run on it. A job on GitHub installs what it needs by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from scripts.doctoring.finding import Finding, Subject
from scripts.errors import ConfigError
from scripts.platforms.vercel_cli import INSTALL, find_cli

CLI = Subject(
    "vercel",
    "cli",
    "From this machine nothing could be deployed, promoted or rolled back; a job on GitHub installs its own.",
    INSTALL,
)
SUBJECTS = (CLI,)


def examine_cli(folder: Path, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Look for Node and for the CLI that `folder` pins."""
    if environment.get("GITHUB_ACTIONS") == "true":
        return
    try:
        find_cli(folder, environment)
    except ConfigError as error:
        yield CLI.warn(f"cannot be run here: {error.what}", error.next_step)
    else:
        yield CLI.ok("is installed as pinned, with a Node that runs it")
