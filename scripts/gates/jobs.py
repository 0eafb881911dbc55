"""The one list of gates: what each asks, and the command that asks it; the jobs of checks.yml are these.

`check` runs them here, `required` judges them there. The release path imports this: standard library only.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

COMMAND = ("python3", "-m", "scripts")
DEFAULT_BRANCH = "origin/main"
ALL_BUT_REHEARSAL = ("--ignore=tests/integration", "--ignore=tests/load", "--ignore=tests/workflows")


@dataclass(frozen=True)
class Gate:
    """A gate: `words` follow `python3 -m scripts`, and `minutes` are the time limit of its job.

    `needs` must have passed before. `against`: it takes the commit that the change is for. `alone`: another's work
    would be measured too. `yields`: it only waits for the processor, so those that watch the time go first. `shards`
    are further words for each of several processes that together do what one would: on a laptop they run at once. Each
    says what it leaves out, so that what nobody thought of runs more than once, and never not at all.
    """

    name: str
    asks: str
    words: tuple[str, ...]
    minutes: int
    against: bool = False
    needs: tuple[str, ...] = ()
    alone: bool = False
    yields: bool = False
    shards: tuple[tuple[str, ...], ...] = ()


GATES = (
    Gate(
        "lock", "are the locks what the .in files give, and every hash the index's?", ("lock", "check"), 10, yields=True
    ),
    Gate("lint", "does every linter and the type checker find nothing?", ("lint",), 10, yields=True),
    Gate(
        "unit",
        "does every decision hold?",
        ("test", "--part", "unit"),
        20,
        yields=True,
        shards=(("--", "--ignore=tests/unit/stages"), ("--", "--ignore-glob=tests/unit/test_*.py")),
    ),
    Gate(
        "integration",
        "do the parts hold together, as real processes?",
        ("test", "--part", "integration"),
        20,
        shards=(
            ("--", "--ignore=tests/rehearsal"),
            ("--", *ALL_BUT_REHEARSAL, "--ignore-glob=tests/rehearsal/test_[a-q]*.py"),
            ("--", *ALL_BUT_REHEARSAL, "--ignore-glob=tests/rehearsal/test_[r-z]*.py"),
        ),
    ),
    Gate(
        "load",
        "does the service keep its objectives under load, and is it no slower?",
        ("load",),
        20,
        against=True,
        alone=True,
    ),
    Gate("coverage", "is enough of it tested?", ("coverage",), 10, against=True, needs=("unit", "integration")),
)


def command_of(gate: Gate) -> str:
    """Give the command that asks on a laptop what the gate's job asked, from a fresh clone on.

    A gate that adds up what others left needs that first, and all of it: `test` leaves it where the gate looks.
    """
    words = [*COMMAND, *gate.words, *(("--against", DEFAULT_BRANCH) if gate.against else ())]
    return f"{shlex.join([*COMMAND, 'test'])}; {shlex.join(words)}" if gate.needs else shlex.join(words)


def in_shards(gates: Sequence[Gate]) -> tuple[Gate, ...]:
    """Give the gates with each shard as one of its own, `integration-1`; who needs the gate needs all of them."""
    names = {
        gate.name: [f"{gate.name}-{number}" for number in range(1, len(gate.shards) + 1)] or [gate.name]
        for gate in gates
    }
    return tuple(
        replace(
            gate,
            name=name,
            words=(*gate.words, *words),
            needs=tuple(each for need in gate.needs for each in names[need]),
            shards=(),
        )
        for gate in gates
        for name, words in zip(names[gate.name], gate.shards or ((),), strict=True)
    )
