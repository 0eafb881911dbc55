"""End a release of two targets at a call, continue it elsewhere, and hold what is claimed against what users get."""

from __future__ import annotations

from pathlib import Path

from scripts.release import Stage
from tests.unit.stages.clouds import NEW, OLD, Killed
from tests.unit.stages.faults import Fault
from tests.unit.stages.pair import IS_OLD, LEFT, SERVES_NEW, PairWorld, pair

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
    """Hold what a recover said, as a whole and of each target, against what users get now and later."""
    verdict = world.verdicts.get(Stage.RECOVER)
    told = f"{where}: exit {code}, {verdict}, {world.states}, {world.users}"
    assert not world.unverified, told
    assert code in {0, 13} or (code == 10 and LEFT in world.states.values()), told
    for name, state in world.states.items():
        users = world.users[name]
        assert state not in IS_OLD or users == {OLD}, told
        assert state != SERVES_NEW or users == {NEW}, told
        if code == 0:
            assert state in IS_OLD or state in {SERVES_NEW, LEFT}, told
            coming = world.clouds[name].on_its_way
            assert state == LEFT or coming <= users, f"{told}: {coming} is on its way"
    if code == 0 and LEFT not in world.states.values() and world.config.release.together:
        assert len(set(map(frozenset, world.users.values()))) == 1, f"{told}: the unit is torn"
