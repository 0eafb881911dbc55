"""The drill book: every fault that is rehearsed, by what is at fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scripts.errors import UsageError
from scripts.rehearsal.book.between import BETWEEN
from scripts.rehearsal.book.commits import COMMITS
from scripts.rehearsal.book.drill import BOTH, Drill
from scripts.rehearsal.book.load import LOAD
from scripts.rehearsal.book.machine import MACHINE
from scripts.rehearsal.book.people import PEOPLE
from scripts.rehearsal.book.platforms import PLATFORMS
from scripts.rehearsal.book.vercel import VERCEL

GROUPS = {
    "commit": COMMITS,
    "Render": PLATFORMS,
    "Vercel": VERCEL,
    "between": BETWEEN,
    "people": PEOPLE,
    "machine": MACHINE,
    "load": LOAD,
}
DRILLS: tuple[Drill, ...] = tuple(replace(drill, group=name) for name, rows in GROUPS.items() for drill in rows)


def choose(names: str, targets: Sequence[str] = BOTH) -> list[Drill]:
    """Give the drills of a comma-separated list, or all that can be played with these targets.

    Raises:
        UsageError: a name that is not in the book, or a drill that needs another target.
    """
    if names.strip() == "all":
        return [drill for drill in DRILLS if set(drill.needs) <= set(targets)]
    book = {drill.name: drill for drill in DRILLS}
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in chosen if name not in book]
    if unknown or not chosen:
        raise UsageError(
            f"there is no drill {unknown[0]!r}" if unknown else "no drill was named",
            means=f"The book has: {', '.join(book)}.",
            next_step="python3 -m scripts rehearse --list",
        )
    short = next((name for name in chosen if not set(book[name].needs) <= set(targets)), None)
    if short is not None:
        raise UsageError(
            f"the drill {short!r} needs {' and '.join(book[short].needs)}",
            means=f"Only {', '.join(targets)} can be rehearsed here.",
            next_step="install Node 20 or newer, and rehearse with --targets render,vercel",
        )
    return [book[name] for name in chosen]
