"""A throw-away clone with good and bad commits: a bad release is a bad commit, never a switch in production code."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

from scripts.errors import UsageError
from scripts.rehearsal.commits import GitError, git

AUTHOR = ("-c", "user.name=Rehearsal", "-c", "user.email=rehearsal@localhost", "-c", "commit.gpgsign=false")
ENTRY = Path("app") / "main.py"

HARMLESS = "\n# Rehearsal: a commit that changes nothing.\n"

RAISES = '\nraise RuntimeError("rehearsal: this commit cannot start")\n'

SICK = '''

class _Sick:
    """Rehearsal: a share of the answers are 500, but the platform's health check stays well.

    Spread by the golden ratio and not by dice: whoever asks, and however regularly, meets the share, so that a drill's
    figures do not hang on a lucky second.
    """

    def __init__(self, app):
        import os

        self.app, self.phase = app, 0.0
        self.share = SHARE if os.environ.get("VARIABLE") else 0.0
        self.well = 12 if self.share < 1 else 0  # the first answers: a short look passes what is only partly sick

    def is_next_sick(self):
        self.phase = (self.phase + 0.6180339887498949) % 1
        self.well -= 1
        return self.well < 0 and self.phase < self.share

    async def __call__(self, scope, receive, send):
        sick = scope["type"] == "http" and not scope["path"].startswith("/health") and self.is_next_sick()
        if not sick:
            return await self.app(scope, receive, send)
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b"sick"})


app = _Sick(app)
'''

CRASHES_ON_VERCEL = """
import os

if os.environ.get("VERCEL"):
    raise RuntimeError("rehearsal: this commit cannot start as a function")
"""

Change = Callable[[str], str]


def harmless(source: str) -> str:
    """Change the entry module without changing what it does."""
    return source + HARMLESS


def crashes_at_start(source: str) -> str:
    """Make the entry module fail on import."""
    return source + RAISES


def fails_a_fifth(source: str) -> str:
    """Wrap the application so that a fifth of the answers outside `/health` are 500."""
    return _sick(source, "0.2", "PATH")


def fails_a_fifth_on_render(source: str) -> str:
    """Do the same, but only where Render's own variable is set."""
    return _sick(source, "0.2", "RENDER")


def fails_a_fifth_on_vercel(source: str) -> str:
    """Do the same, but only where Vercel's own variable is set."""
    return _sick(source, "0.2", "VERCEL")


def fails_on_vercel(source: str) -> str:
    """Answer 500 to everything under `/api`, where Vercel's own variable is set."""
    return _sick(source, "1.0", "VERCEL").replace(
        'not scope["path"].startswith("/health")', 'scope["path"].startswith("/api")'
    )


def crashes_on_vercel(source: str) -> str:
    """Make the entry module fail on import, where Vercel's own variable is set."""
    return source + CRASHES_ON_VERCEL


def names_no_package(source: str) -> str:
    """Pin a version in requirements.txt that no package index has."""
    return re.sub(r"^fastapi==\S+", "fastapi==0.0.0.1", source, flags=re.MULTILINE)


def _sick(source: str, share: str, variable: str) -> str:
    return source + SICK.replace("SHARE", share).replace("VARIABLE", variable)


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
    """Commit a changed file, by default the entry module, on top of HEAD; give the full SHA."""
    entry = folder / file
    entry.write_text(change(entry.read_text(encoding="utf-8")), encoding="utf-8")
    await git(
        "-C", str(folder), *AUTHOR, "commit", "--quiet", "--all", "--no-verify", "--message", f"Rehearsal: {name}"
    )
    return (await git("-C", str(folder), "rev-parse", "HEAD")).strip()
