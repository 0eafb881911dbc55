"""Drills in which somebody else moves production, or the same run comes again."""

from __future__ import annotations

import asyncio

from scripts.rehearsal.book.drill import Drill, Expected, Setting, went_back
from scripts.rehearsal.changes import fails_a_fifth, fails_while_there_is
from scripts.rehearsal.clouds.render import Faults, Overlap
from scripts.rehearsal.runner import Ran
from scripts.rehearsal.scene import Scene
from scripts.release import Stage
from scripts.report import Result

THEIRS = "theirs"  # another person's commit
THEIR_LIMIT_S = 30.0


async def deploys_in_bake(scene: Scene) -> None:
    """Deploy another commit by hand, in the dashboard, while the bake watches."""
    await scene.begins(Stage.BAKE)
    await asyncio.sleep(1)
    await scene.render.deploy_by_hand(await scene.commit(THEIRS))


async def deploys_while_it_builds(scene: Scene) -> None:
    """Deploy another commit by hand while the candidate is being built."""
    theirs = await scene.commit(THEIRS)
    await scene.intends("deploy")
    await asyncio.sleep(1)
    scene.render.faults.build_extra_s = 0
    await scene.render.deploy_by_hand(theirs)


async def and_wait_for_theirs(scene: Scene) -> list[Ran]:
    """Ship the candidate, and wait until the other commit serves."""
    rows = await scene.runner.release(scene.world.candidate)
    async with asyncio.timeout(THEIR_LIMIT_S):
        await scene.serves(next(iter(scene.words)))
    return rows


async def deploys_before_plan(scene: Scene) -> None:
    """Deploy another commit by hand, so that one is under way when the plan looks."""
    scene.render.faults.build_extra_s = 20
    await scene.render.deploy_by_hand(await scene.commit(THEIRS))


async def rolls_back_in_bake(scene: Scene) -> None:
    """Roll back by hand, in the dashboard, while the bake watches."""
    await scene.begins(Stage.BAKE)
    await asyncio.sleep(1)
    scene.render.roll_back_by_hand(scene.world.baseline)


async def outage_from_bake(scene: Scene) -> None:
    """Let a dependency of the service end when the bake begins."""
    await scene.begins(Stage.BAKE)
    await asyncio.sleep(2)
    scene.outage.touch()


async def outage_from_rollback(scene: Scene) -> None:
    """Let a dependency end when the rollback has been asked for."""
    await scene.intends("roll_back")
    scene.outage.touch()


async def two_at_once(scene: Scene) -> list[Ran]:
    """Ship a second commit from a second machine, from the moment on at which the first one has planned."""
    second = scene.another_runner("runner-2")
    theirs = await scene.commit(THEIRS)

    async def later() -> list[Ran]:
        await scene.begins(Stage.VERIFY)
        return await second.release(theirs)

    first, _ = await asyncio.gather(scene.runner.release(scene.world.candidate), later())
    return first


async def same_again(scene: Scene) -> list[Ran]:
    """Ship a bad commit, and after its rollback ship it again."""
    await scene.runner.release(scene.world.candidate)
    scene.runner = scene.another_runner("runner-2")
    return await scene.runner.release(scene.world.candidate)


async def during_a_rollback(scene: Scene) -> list[Ran]:
    """Begin another release while the rollback of the first one runs; that other one is judged."""
    first = scene.runner

    async def later() -> list[Ran]:
        await scene.begins(Stage.ROLLBACK)
        scene.runner = scene.another_runner("runner-2")
        return await scene.runner.release(theirs)

    theirs = await scene.commit(THEIRS)
    _, rows = await asyncio.gather(first.release(scene.world.candidate), later())
    return rows


async def recovers_twice(scene: Scene) -> list[Ran]:
    """Ship a bad commit, then start `recover` on two machines at once, and once more after them."""
    rows = await scene.runner.release(scene.world.candidate)
    second = scene.another_runner("runner-2", with_state=True)
    await asyncio.gather(scene.runner.run(Stage.RECOVER), second.run(Stage.RECOVER))
    return [*rows, await scene.runner.run(Stage.RECOVER)]


PEOPLE: tuple[Drill, ...] = (
    Drill(
        "person-deploys-in-bake",
        "somebody deploys another commit in the dashboard while the bake watches: their move stands",
        Expected(Stage.BAKE, 10, THEIRS, Result.SUPERSEDED),
        meddle=deploys_in_bake,
        windows={"bake": {"least_s": 15, "most_s": 30}},
    ),
    Drill(
        "person-deploys-before-plan",
        "another deploy is under way when the release begins",
        Expected(Stage.PLAN, 10, "baseline", Result.SUPERSEDED),
        interludes={Stage.PLAN: deploys_before_plan},
    ),
    Drill(
        "person-rolls-back-in-bake",
        "somebody rolls back in the dashboard while the bake watches: their move stands",
        Expected(Stage.BAKE, 10, "baseline", Result.SUPERSEDED),
        meddle=rolls_back_in_bake,
        windows={"bake": {"least_s": 15, "most_s": 30}},
    ),
    Drill(
        "two-releases-at-once",
        "a second release goes from another machine while the first one is under way",
        Expected(Stage.BAKE, 10, THEIRS, Result.SUPERSEDED),
        act=two_at_once,
        windows={"bake": {"least_s": 15, "most_s": 30}},
    ),
    Drill(
        "overridden",
        "Override policy: somebody's deploy cancels ours while it builds",
        Expected(Stage.DEPLOY, 10, THEIRS, Result.SUPERSEDED),
        faults=lambda: Faults(build_extra_s=3),
        setting=Setting(overlap=Overlap.OVERRIDE),
        meddle=deploys_while_it_builds,
        act=and_wait_for_theirs,
    ),
    Drill(
        "same-bad-commit-again",
        "a commit that was rolled back is shipped again",
        Expected(Stage.PLAN, 10, "baseline", Result.NEVER_STARTED, user_failures=250),
        fails_a_fifth,
        act=same_again,
    ),
    Drill(
        "release-during-a-rollback",
        "another release begins while a rollback runs",
        Expected(Stage.PLAN, 10, "baseline", Result.SUPERSEDED, user_failures=250),
        fails_a_fifth,
        act=during_a_rollback,
    ),
    Drill(
        "dependency-down",
        "what both releases need goes down in the bake: the old one fails alike, and it is said",
        Expected(Stage.BAKE, 13, "baseline", Result.STILL_BROKEN, user_failures=3000, told="environment"),
        setting=Setting(old=fails_while_there_is),
        windows={"rollback": {"deadline_s": 6}},
        meddle=outage_from_bake,
    ),
    Drill(
        "old-release-bad-too",
        "the commit is bad, and the old one fails when it is back: it is not chosen twice, and a person is called",
        Expected(Stage.BAKE, 13, "baseline", Result.STILL_BROKEN, user_failures=3000),
        fails_a_fifth,
        setting=Setting(old=fails_while_there_is),
        windows={"rollback": {"deadline_s": 6}},
        meddle=outage_from_rollback,
    ),
    Drill(
        "recover-twice",
        "after a rollback `recover` runs on two machines at once, and once more",
        went_back(Stage.BAKE, user_failures=250),
        fails_a_fifth,
        act=recovers_twice,
    ),
)
