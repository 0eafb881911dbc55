"""The commits of the repository that a platform is connected to: found, described, checked out."""

import asyncio
import os
import re
import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

FULL_SHA = re.compile(r"[0-9a-f]{40}")
GIT_LIMIT_S = 60.0


@dataclass(frozen=True)
class Commit:
    """A commit: full SHA, first line of its message, committer date."""

    sha: str
    message: str
    created_at: datetime


class UnknownCommitError(LookupError):
    """No such commit in the repository."""


async def find_commit(repository: Path, ref: str) -> Commit:
    """Resolve a full SHA or any other name of a commit; raises UnknownCommitError."""
    try:
        said = await git("-C", str(repository), "log", "-1", "--format=%H%n%cI%n%s", "--end-of-options", ref, "--")
    except GitError as error:
        raise UnknownCommitError(f"{ref} is no commit of {repository.name}") from error
    sha, created_at, message = said.split("\n", 2)
    return Commit(sha, message.strip(), datetime.fromisoformat(created_at))


async def check_out(repository: Path, commit: str, folder: Path) -> None:
    """Put one commit into a new folder; objects are shared, so that the copy costs milliseconds. Raises GitError."""
    await git("clone", "--quiet", "--shared", "--no-checkout", str(repository), str(folder))
    await git("-C", str(folder), "checkout", "--quiet", "--detach", commit)


class GitError(RuntimeError):
    """A git command that failed, with what it said."""


async def git(*arguments: str, dated: str = "") -> str:
    """Run git away from the user's configuration and return its output; raises GitError.

    `dated` is the date of what it commits, else that is now.
    """
    dates = {"GIT_AUTHOR_DATE": dated, "GIT_COMMITTER_DATE": dated} if dated else {}
    running = await asyncio.create_subprocess_exec(
        "git",
        *arguments,
        env={**_environment(), **dates},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        said, complaint = await asyncio.wait_for(running.communicate(), GIT_LIMIT_S)
    except BaseException:
        await _kill(running)
        raise
    if running.returncode != 0:
        raise GitError(f"git {arguments[-1]}: {complaint.decode(errors='replace').strip()}")
    return said.decode(errors="replace")


async def _kill(running: asyncio.subprocess.Process) -> None:
    if running.returncode is None:
        running.kill()
    await running.wait()


def _environment() -> dict[str, str]:
    """Leave out GIT_DIR and its like: inside a hook they would point all of this at another repository."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }
