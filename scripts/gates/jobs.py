"""The one list of gates: what each asks, and the command that asks it; the jobs of checks.yml are these.

`check` runs them here, `required` judges them there. The release path imports this: standard library only.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

COMMAND = ("python3", "-m", "scripts")
DEFAULT_BRANCH = "origin/main"


@dataclass(frozen=True)
class Gate:
    """A gate: `words` follow `python3 -m scripts`, and `minutes` are the time limit of its job.

    `needs` must have passed before. `against`: it takes the commit that the change is for. `alone`: another's work
    would be measured too. `yields`: it only waits for the processor, so those that watch the time go first.
    """

    name: str
    asks: str
    words: tuple[str, ...]
    minutes: int
    against: bool = False
    needs: tuple[str, ...] = ()
    alone: bool = False
    yields: bool = False


GATES = (
    Gate(
        "lock", "are the locks what the .in files give, and every hash the index's?", ("lock", "check"), 10, yields=True
    ),
    Gate("lint", "does every linter and the type checker find nothing?", ("lint",), 10, yields=True),
    Gate("unit", "does every decision hold?", ("test", "--part", "unit"), 20, yields=True),
    Gate("integration", "do the parts hold together, as real processes?", ("test", "--part", "integration"), 20),
    Gate("load", "does the service keep its objectives under load?", ("load",), 20, against=True, alone=True),
    Gate("coverage", "is enough of it tested?", ("coverage",), 10, against=True, needs=("unit", "integration")),
)


def command_of(gate: Gate) -> str:
    """Give the command that asks on a laptop what the gate's job asked, from a fresh clone on.

    A gate that adds up what others left needs that first, and all of it: `test` leaves it where the gate looks.
    """
    words = [*COMMAND, *gate.words, *(("--against", DEFAULT_BRANCH) if gate.against else ())]
    return f"{shlex.join([*COMMAND, 'test'])}; {shlex.join(words)}" if gate.needs else shlex.join(words)
