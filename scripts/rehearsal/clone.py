"""A throw-away clone of the repository, to which commits are added."""

from __future__ import annotations

import contextlib
from pathlib import Path

from scripts.errors import UsageError
from scripts.rehearsal.changes import Change
from scripts.rehearsal.commits import GitError, git

AUTHOR = ("-c", "user.name=Rehearsal", "-c", "user.email=rehearsal@localhost", "-c", "commit.gpgsign=false")
ENTRY = Path("app") / "main.py"


async def make_clone(repository: Path, folder: Path) -> str:
    """Clone the repository's HEAD; give its full SHA.

    Raises:
        UsageError: there is no repository with a commit, or it holds no service.
    """
    try:
        await git("clone", "--quiet", "--no-local", str(repository), str(folder))
        head = (await git("-C", str(folder), "rev-parse", "HEAD")).strip()
    except GitError as error:
        raise UsageError(
            f"{repository} cannot be cloned: {error}",
            means="A rehearsal ships real commits, so it needs a git repository with at least one.",
            next_step="`git init`, `git add -A`, `git commit`",
        ) from error
    if not (folder / ENTRY).is_file():
        raise UsageError(f"the commit {head[:7]} holds no {ENTRY}", next_step="commit the service, then rehearse again")
    return head


async def differs_from_head(repository: Path) -> bool:
    """Whether the work tree has changes that a clone will not have; False where there is no repository to ask."""
    with contextlib.suppress(GitError):
        return bool(await git("-C", str(repository), "status", "--porcelain"))
    return False


async def commit_change(folder: Path, name: str, change: Change, file: Path = ENTRY) -> str:
    """Commit a changed file, by default the entry module, on top of HEAD; give the full SHA.

    It has the date of HEAD, so that the same change on the same commit, by the same name, is the same commit.
    """
    entry = folder / file
    entry.write_text(change(entry.read_text(encoding="utf-8")), encoding="utf-8")
    dated = (await git("-C", str(folder), "log", "-1", "--format=%cI")).strip()
    words = ("commit", "--quiet", "--all", "--no-verify", "--message", f"Rehearsal: {name}")
    await git("-C", str(folder), *AUTHOR, *words, dated=dated)
    return (await git("-C", str(folder), "rev-parse", "HEAD")).strip()
