"""Chaos: random releases with random faults, cut off at random moments; what is claimed at the end must be true.

Here on platforms in memory and a clock that does not wait, through the same stages as in production. A run is drawn
from its seed alone, so one that fails can be repeated.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.errors import SlipwayError
from scripts.rehearsal.simulated.faults import PEOPLE, RENDER, ROLLBACK, VERCEL, Fault
from scripts.rehearsal.simulated.moments import Killed
from scripts.rehearsal.simulated.truth import find_false_success, find_untruths, recovered_again
from scripts.rehearsal.simulated.world import PairWorld, pair
from scripts.release import STAGES, Stage

TARGETS = (("render", "vercel"), ("render", "vercel"), ("render",), ("vercel",))
FAULTS_AT_ONCE = (0, 0, 1, 1, 2, 3)
KEEPS = ("journal", "copy", "nothing")
MOST_CALLS = 400  # of the outside world, that a release makes before its bake ends
CUTS_IN_A_ROW = (0, 0, 1, 1, 2, 3)


@dataclass(frozen=True)
class Draw:
    """What a seed stands for: targets, faults by name, and after how many calls the run is cut off, and how."""

    seed: str
    targets: tuple[str, ...]
    together: bool
    faults: tuple[str, ...]
    cuts: tuple[int, ...]
    killed: bool
    keeps: str


@dataclass(frozen=True)
class Outcome:
    """What came of one run; `untrue` is empty where every claim holds."""

    draw: Draw
    exit_code: int
    result: str
    untrue: Sequence[str]

    def as_json(self) -> dict[str, object]:
        """Give it as `rehearse --chaos --json` prints it."""
        return {**asdict(self), "ok": not self.untrue}


def draw(seed: str) -> Draw:
    """Draw a run."""
    chance = random.Random(seed)  # noqa: S311 - the same on every machine is what is wanted
    targets = chance.choice(TARGETS)
    names = sorted(name for name, target in _targets_of_faults().items() if target in targets)
    return Draw(
        seed=seed,
        targets=targets,
        together=chance.random() < 0.8,
        faults=tuple(chance.sample(names, chance.choice(FAULTS_AT_ONCE))),
        cuts=tuple(chance.randint(1, MOST_CALLS) for _ in range(chance.choice(CUTS_IN_A_ROW))),
        killed=chance.random() < 0.5,
        keeps=chance.choice(KEEPS),
    )


def _targets_of_faults() -> dict[str, str]:
    return {name: "render" if name.startswith("render") else "vercel" for name in _all_faults()}


def _all_faults() -> dict[str, Fault]:
    return VERCEL | RENDER | ROLLBACK | PEOPLE


def play(drawn: Draw, folder: Path) -> Outcome:
    """Play a run in an empty folder: the release, what the workflow does after it, and one more recovery."""
    world = pair(folder, *drawn.targets, together=drawn.together)
    faults = _all_faults()
    for name in drawn.faults:
        faults[name](world)
    cuts = list(drawn.cuts)
    code = _release(world, drawn, cuts)
    if code == 0:
        return Outcome(drawn, 0, str(world.result), find_false_success(world))
    alone = not set(drawn.faults) & set(PEOPLE)
    recovered = _until_it_lives(world, drawn, cuts, [Stage.RECOVER])
    untrue = find_untruths(world, recovered, alone=alone) + recovered_again(world, recovered, alone=alone)
    try:
        world.state  # noqa: B018 - it can be read, or it is told what cannot
    except SlipwayError as error:
        untrue.append(f"the journal cannot be read: {error.what}")
    return Outcome(drawn, 13 if recovered == 13 else code, str(world.result), untrue)


def _release(world: PairWorld, drawn: Draw, cuts: list[int]) -> int:
    """Run the stages, and the job's own rollback after one that failed; give the first code that is not 0."""
    code = _until_it_lives(world, drawn, cuts, list(STAGES), again=False)
    if code > 0:
        _until_it_lives(world, drawn, cuts, [Stage.ROLLBACK], again=False)
    return code


def _until_it_lives(world: PairWorld, drawn: Draw, cuts: list[int], stages: list[Stage], *, again: bool = True) -> int:
    """Run stages until one fails, each attempt cut off where the draw says; -9 for a machine that is lost."""
    while True:
        if cuts:
            world.cut.arm(cuts.pop(0), Killed if drawn.killed else KeyboardInterrupt)
        try:
            code = next(filter(None, (world.run_and_keep(stage) for stage in stages)), 0)
        except Killed:
            code = -9
        waiting = world.cut.disarm()
        if code == -9:
            world.lose_machine(drawn.keeps)
        if waiting or code not in {-9, 130} or not again:
            return code


def describe(drawn: Draw) -> str:
    """Say for a person what was drawn."""
    unit = "" if drawn.together else ", each alone"
    cut = f"{'killed' if drawn.killed else 'interrupted'} after {', '.join(map(str, drawn.cuts))} calls"
    faults = " and ".join(drawn.faults) or "no fault"
    kept = f", kept: {drawn.keeps}" if drawn.cuts and drawn.killed else ""
    return f"{'+'.join(drawn.targets)}{unit}: {faults}; {cut if drawn.cuts else 'not cut off'}{kept}"
