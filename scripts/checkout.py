"""The git checkout: which commits there are, and which descends from which."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from scripts.errors import UsageError
from scripts.release import Sha, parse_sha, short

LIMIT_S = 30
LONGEST_NAME = 250  # characters


@dataclass(frozen=True)
class Checkout:
    """A folder inside a git work tree."""

    folder: Path

    def resolve(self, text: str) -> Sha:
        """Give the full commit that a name, or a full or short id, stands for.

        Raises:
            UsageError: there is no such commit here.
        """
        commit = self._find(text) if text.isprintable() and len(text) <= LONGEST_NAME else None
        if commit is None:
            raise UsageError(
                f"commit {text[:LONGEST_NAME]!r} is not in this checkout",
                means="Nothing was started.",
                next_step="`git fetch` (in a workflow: actions/checkout with fetch-depth: 0), or correct the id",
            )
        return commit

    def _find(self, text: str) -> Sha | None:
        answer = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{text}^{{commit}}")
        return parse_sha(answer.stdout.strip())

    def descends(self, commit: Sha, ancestor: Sha) -> bool:
        """Whether `ancestor` is in the history of `commit`, or is it; an ancestor that is not here is not.

        Raises:
            UsageError: the checkout is shallow, so that its history cannot answer.
        """
        answer = self._git("merge-base", "--is-ancestor", ancestor, commit)
        shallow = self._git("rev-parse", "--is-shallow-repository").stdout.strip() == "true"
        if shallow and answer.returncode != 0:
            raise UsageError(
                f"this checkout is shallow: whether {short(commit)} descends from {short(ancestor)} cannot be seen",
                means="Nothing was started.",
                next_step="`git fetch --unshallow`; in a workflow: actions/checkout with fetch-depth: 0",
            )
        return answer.returncode == 0

    def list_files(self, commit: Sha, folder: str) -> frozenset[str] | None:
        """Give the names of the files right in a folder, as a commit has it; None where the commit is not here."""
        if self._git("cat-file", "-e", f"{commit}^{{commit}}").returncode != 0:
            return None
        answer = self._git("ls-tree", "--full-tree", "--name-only", "-z", commit, "--", f"{folder.rstrip('/')}/")
        return frozenset(path.rpartition("/")[2] for path in answer.stdout.split("\0") if path)

    def read_file(self, commit: Sha, path: str) -> str:
        """Give the text of a file as a commit has it; empty where it has none."""
        answer = self._git("show", f"{commit}:{path}")
        return answer.stdout if answer.returncode == 0 else ""

    def _git(self, *words: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                ["git", "-C", str(self.folder), *words],
                capture_output=True,
                encoding="utf-8",
                errors="surrogateescape",  # a file may hold anything
                timeout=LIMIT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            message = f"git {words[0]} did not run: {error.__class__.__name__}"
            raise UsageError(message, next_step="install git, and run this in a checkout") from error
