"""What the jobs before kept of a release: which of it a recovery goes on from.

A run may have several attempts, each of which keeps its baseline before anything changes, and its journal at the end
unless its machine is lost. Only the newest attempt's own files tell what is to be done; an older journal beside a newer
baseline would tell that nothing was.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scripts.clock import SystemClock
from scripts.errors import UsageError
from scripts.journal import NAME, Journal
from scripts.state import replay


@dataclass(frozen=True)
class Kept:
    """A folder with a journal: of which attempt of the run, and how much it tells."""

    folder: Path
    attempt: int
    events: int


def adopt(place: Path, state: Path) -> bool:
    """Put the newest attempt's files into an empty state folder; tell whether there is a journal now.

    Raises:
        UsageError: something was kept, and none of it can be read.
    """
    if (state / NAME).exists():
        return True
    found = [*place.glob(NAME), *place.glob(f"*/{NAME}")]
    chosen = choose(_read(path.parent) for path in found)
    if chosen is None and found:
        raise UsageError(
            f"{found[0]} cannot be read, nor anything else that was kept",
            means="What this release did is not known.",
            next_step="look at what serves; if it is the candidate, start the workflow Roll back",
        )
    if chosen is None:
        return False
    state.mkdir(parents=True, exist_ok=True)
    for path in chosen.folder.iterdir():
        if path.is_file() and not path.is_symlink():
            shutil.copyfile(path, state / path.name)
    return True


def choose(kept: Iterable[Kept | None]) -> Kept | None:
    """Choose the newest attempt's, and of that the one that tells most: the baseline is how its journal began."""
    rows = [row for row in kept if row is not None]
    return max(rows, key=lambda row: (row.attempt, row.events), default=None)


def _read(folder: Path) -> Kept | None:
    try:
        events = Journal(folder, SystemClock(), str).read()
        release = replay(events).release
    except (UsageError, OSError, ValueError, AssertionError):  # torn, or not ours
        return None
    return Kept(folder, release.attempt, len(events)) if release else None
