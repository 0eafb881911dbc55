"""What a change is held against: the commit that a person names, else the one where HEAD left the default branch."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from scripts.checkout import Checkout
from scripts.gates.jobs import Gate
from scripts.release import Sha, parse_sha, short

BRANCHES = ("origin/HEAD", "origin/main", "main")
LIMIT_S = 30


@dataclass(frozen=True)
class Base:
    """The commit that the change is for; `load` is None where there is nothing to measure beside HEAD."""

    commit: Sha | None = None
    load: Sha | None = None
    told: str = ""

    def of(self, gate: Gate) -> Sha | None:
        """Give what the gate is held against, if anything."""
        if not gate.against:
            return None
        return self.load if gate.alone else self.commit


def choose_base(named: str | None, root: Path) -> Base:
    """Give the commit to hold the change against.

    Raises:
        UsageError: the named one is not in this checkout.
    """
    if named is not None:
        commit = Checkout(root).resolve(named)
        return Base(commit, commit)
    branch = _git(root, "symbolic-ref", "--short", "--quiet", "HEAD")
    for name in [name for name in BRANCHES if name != branch]:
        base = parse_sha(_git(root, "merge-base", "HEAD", name))
        if base:
            return _since(base, name, parse_sha(_git(root, "rev-parse", "HEAD")))
    return Base(told=f"no default branch is known ({', '.join(BRANCHES)}): load and coverage run without --against")


def _since(base: Sha, name: str, head: Sha | None) -> Base:
    if base == head:
        told = f"HEAD has no commit that {name} has not: load runs without --against"
        return Base(base, None, told)
    return Base(base, base, f"held against {short(base)}, where HEAD left {name}")


def _git(root: Path, *words: str) -> str:
    """Give what git says; empty where it fails: then nothing is known, and that is told."""
    try:
        ran = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout.strip() if ran.returncode == 0 else ""
