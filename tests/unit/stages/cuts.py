"""End a release of two targets at a call, continue it elsewhere, and hold what is claimed against what users get."""

from __future__ import annotations

from pathlib import Path

from scripts.rehearsal.simulated.faults import Fault
from scripts.rehearsal.simulated.moments import Killed
from scripts.rehearsal.simulated.truth import find_untruths
from scripts.rehearsal.simulated.world import PairWorld, pair
from scripts.release import Stage

KEEPS = ("journal", "copy", "nothing")
WAYS = tuple((error, keeps) for error in (KeyboardInterrupt, Killed) for keeps in KEEPS)
FORWARD = (Stage.DEPLOY, Stage.VERIFY, Stage.PROMOTE, Stage.BAKE)


def recover_from_a_cut(
    folder: Path, fault: Fault, at: int, error: type[BaseException], keeps: str, *targets: str, together: bool = True
) -> PairWorld | None:
    """Cut a release at a call, recover it twice, hold each claim against the truth; None where the cut never came."""
    world = pair(folder, *targets, together=together)
    fault(world)
    if not _cut_somewhere(world, at, error):
        return None
    world.lose_machine(keeps)
    where = f"{error.__name__} at call {at}, with {keeps}"
    first = world.run(Stage.RECOVER)
    claim_the_truth(world, first, where)
    before = world.mutations
    claim_the_truth(world, world.run(Stage.RECOVER), f"{where}, recovered twice")
    assert first != 0 or world.mutations == before, f"{where}: what is recovered is asked for again"
    return world


def _cut_somewhere(world: PairWorld, at: int, error: type[BaseException]) -> bool:
    """Run a release that is cut at a call after its plan, as the workflow would; say whether the cut came."""
    assert world.run_forward(until=Stage.PLAN) == 0
    world.cut.arm(at, error)
    try:
        code = next(filter(None, map(world.run, FORWARD)), 0)
        if code not in {0, 130}:
            world.run(Stage.ROLLBACK)
    except Killed:
        world.cut.disarm()
        return True
    return not world.cut.disarm()


def claim_the_truth(world: PairWorld, code: int, where: str) -> None:
    """Hold what a recover said against what users get now and later."""
    assert find_untruths(world, code) == [], f"{where}: exit {code}, {world.verdicts.get(Stage.RECOVER)}"
