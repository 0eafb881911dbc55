"""A whole release, from plan to report, over many faults and cut at any moment: success is claimed where it is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.rehearsal.simulated.moments import NEW, NEWER, OLD, Killed
from scripts.rehearsal.simulated.render import Cloud
from scripts.release import Stage
from scripts.report import Result, as_json
from scripts.summary import render_markdown
from tests.unit.stages.clouds import World, old_and_new


def set_fault(name: str, value: object) -> Callable[[Cloud], None]:
    """Give what sets one attribute of a cloud."""
    return lambda cloud: setattr(cloud, name, value)


def fall_sick_at(moment_s: float) -> Callable[[Cloud], None]:
    """Give what makes the candidate sick at a moment."""
    return lambda cloud: cloud.at(moment_s, lambda: cloud.sick.add(NEW))


def together(*faults: Callable[[Cloud], None]) -> Callable[[Cloud], None]:
    """Give all of several faults at once."""

    def set_all(cloud: Cloud) -> None:
        for fault in faults:
            fault(cloud)

    return set_all


NOTHING = together()
KEYLESS = set_fault("has_key", value=False)
SICK = set_fault("sick", {NEW})
FAULTS: dict[str, tuple[Callable[[Cloud], None], Result]] = {
    "good": (NOTHING, Result.ROLLED_OUT),
    "keyless and good": (KEYLESS, Result.ROLLED_OUT),
    "202 and good": (set_fault("answers_202", value=True), Result.ROLLED_OUT),
    "outcome unknown and good": (set_fault("unknown_outcome", {"deploy": True}), Result.ROLLED_OUT),
    "outage in the build": (lambda cloud: cloud.api_is_down(60, from_s=10), Result.ROLLED_OUT),
    "asleep": (set_fault("asleep_s", 20.0), Result.ROLLED_OUT),
    "build fails": (set_fault("fails_to_build", {NEW}), Result.NEVER_STARTED),
    "202 and the build fails": (
        together(set_fault("answers_202", value=True), set_fault("fails_to_build", {NEW})),
        Result.NEVER_STARTED,
    ),
    "build too slow": (set_fault("slow", {NEW: 350.0}), Result.NEVER_STARTED),
    "deploy lost": (set_fault("unknown_outcome", {"deploy": False}), Result.NEVER_STARTED),
    "sick at once": (SICK, Result.ROLLED_BACK),
    "sick under traffic": (fall_sick_at(40), Result.ROLLED_BACK),
    "keyless and sick": (together(KEYLESS, SICK), Result.ROLLED_BACK),
    "keyless and sick under traffic": (together(KEYLESS, fall_sick_at(40)), Result.ROLLED_BACK),
    "keyless and too slow": (together(KEYLESS, set_fault("slow", {NEW: 350.0})), Result.ROLLED_BACK),
    "live without traffic": (set_fault("live_without_traffic", {NEW}), Result.ROLLED_BACK),
    "cannot name its commit": (set_fault("nameless", {NEW}), Result.ROLLED_BACK),
    "rollback outcome unknown": (
        together(SICK, set_fault("unknown_outcome", {"roll_back": True})),
        Result.ROLLED_BACK,
    ),
    "rollback without effect": (
        together(SICK, set_fault("rollback_without_effect", value=True)),
        Result.STILL_BROKEN,
    ),
    "cancel ignored": (
        together(set_fault("slow", {NEW: 5000.0}), set_fault("cancel_ignored", value=True)),
        Result.STILL_BROKEN,
    ),
    "environment": (set_fault("environment_sick_from_s", 40.0), Result.STILL_BROKEN),
    "person deploys in the build": (
        lambda cloud: cloud.at(10, lambda: cloud.someone_deploys(NEWER)),
        Result.SUPERSEDED,
    ),
    "person rolls back in the build": (
        lambda cloud: cloud.at(10, lambda: cloud.someone_rolls_back(OLD)),
        Result.SUPERSEDED,
    ),
}
SERVING = {
    Result.ROLLED_OUT: {NEW},
    Result.ROLLED_BACK: {OLD},
    Result.NEVER_STARTED: {OLD},
}


@pytest.mark.parametrize("name", FAULTS)
def test_result_is_what_users_get(tmp_path: Path, name: str) -> None:
    """Whatever goes wrong, the report tells what serves, now and later, and `recover` changes nothing."""
    fault, result = FAULTS[name]
    world = old_and_new(tmp_path)
    fault(world.cloud)
    code = world.run_release()
    assert world.result is result
    assert (code == 13) is (result is Result.STILL_BROKEN)
    assert as_json(world.state)["result"] == result
    assert NEW[:7] in render_markdown(world.ports().journal.read())
    before = list(world.cloud.mutations)
    assert (world.run(Stage.RECOVER) == 13) is (result is Result.STILL_BROKEN)
    assert world.result is result
    if result in SERVING:
        assert world.cloud.mutations == before
        assert world.cloud.commits_later() == SERVING[result]


CUT_FAULTS = (
    "good",
    "keyless and good",
    "202 and good",
    "outcome unknown and good",
    "build too slow",
    "build fails",
    "sick at once",
    "sick under traffic",
    "keyless and sick",
    "cancel ignored",
    "live without traffic",
    "rollback outcome unknown",
    "person deploys in the build",
)
MOMENTS = (*range(1, 20, 2), 330, 380)
WAYS = tuple((error, keeps) for error in (KeyboardInterrupt, Killed) for keeps in (True, False))


@pytest.mark.parametrize("name", CUT_FAULTS)
def test_cut_at_any_moment_then_recovered(tmp_path: Path, name: str) -> None:
    """A run cut at any moment is recovered: the baseline is proven, or 13, or superseded; never a false pass."""
    first = CUT_FAULTS.index(name)
    cuts = [
        recover_from_a_cut(tmp_path / str(at), name, at + first % 2, *WAYS[(first + place) % len(WAYS)])
        for place, at in enumerate(MOMENTS)
    ]
    assert sum(cuts) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("name", [*CUT_FAULTS, "keyless and too slow"])
def test_cut_at_every_moment_in_every_way(tmp_path: Path, name: str, way: tuple[type[BaseException], bool]) -> None:
    """The same at each call of deploy, verify and rollback, interrupted and killed, with the journal and without."""
    cuts = [recover_from_a_cut(tmp_path / str(at), name, at, *way) for at in (*range(1, 80), *range(370, 420))]
    assert sum(cuts) >= 10


def recover_from_a_cut(folder: Path, name: str, at: int, error: type[BaseException], keep_journal: bool) -> bool:
    """Cut a release at a call, recover it twice, and hold both claims against the truth; say whether the cut came."""
    world = old_and_new(folder)
    world.cloud.build_s = 12
    FAULTS[name][0](world.cloud)
    was_cut = cut_somewhere(world, at, error)
    world.lose_machine(keep_journal=keep_journal)
    where = f"{name}, {error.__name__} at call {at}, {'journal' if keep_journal else 'copy'}"
    claims_the_truth(world, world.run(Stage.RECOVER), where)
    claims_the_truth(world, world.run(Stage.RECOVER), f"{where}, recovered twice")
    return was_cut


def cut_somewhere(world: World, at: int, error: type[BaseException]) -> bool:
    """Run a release that is cut at a call after its plan; say whether the cut came."""
    assert world.run_forward(until=Stage.PLAN) == 0
    world.cut.arm(at, error)
    try:
        stages = (Stage.DEPLOY, Stage.VERIFY, Stage.PROMOTE, Stage.BAKE)
        code = next(filter(None, map(world.run, stages)), 0)
        if code not in {0, 130}:
            world.run(Stage.ROLLBACK)
    except Killed:
        return True
    return not world.cut.disarm()


def claims_the_truth(world: World, code: int, where: str) -> None:
    """Hold what a recover said against what users get, now and when all that was begun has ended."""
    verdict = world.verdicts.get(Stage.RECOVER)
    if code == 13 or (verdict is not None and (verdict.superseded or "their move stands" in verdict.reason)):
        return
    assert code == 0, f"{where}: exit {code}"
    claimed = {NEW} if world.state.passed(Stage.BAKE) else {OLD}
    seen, coming = world.cloud.commits(), world.cloud.on_its_way - {NEWER}
    assert seen == claimed, f"{where}: {verdict}, but {seen} serves"
    assert coming <= claimed, f"{where}: {verdict}, but {coming} is on its way"


@pytest.mark.parametrize("keep_journal", [True, False], ids=["journal", "copy"])
@pytest.mark.parametrize("at", [*range(2, 40, 4), 60])
def test_recover_that_is_cut_is_recovered(tmp_path: Path, at: int, keep_journal: bool) -> None:
    """A recover may itself be killed at any moment: the next one finishes it, with one rollback asked for."""
    world = old_and_new(tmp_path)
    world.cloud.sick = {NEW}
    assert world.run_forward() == 10
    world.lose_machine(keep_journal=keep_journal)
    world.cut.arm(at, Killed)
    try:
        world.run(Stage.RECOVER)
    except Killed:
        claims_the_truth(world, world.run(Stage.RECOVER), f"killed at call {at}")
    world.cut.disarm()
    assert len(world.cloud.asked("roll_back")) == 1
    assert world.cloud.commits_later() == {OLD}
