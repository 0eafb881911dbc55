"""Drills with many users: release after release, and none of them may notice."""

from __future__ import annotations

from scripts.rehearsal.book.drill import Drill, Expected, Setting
from scripts.rehearsal.runner import Ran
from scripts.rehearsal.scene import Scene
from scripts.report import Result

RELEASES = 10
LAST = "last"


async def ten_in_a_row(scene: Scene) -> list[Ran]:
    """Ship ten commits one after the other; the last one is judged."""
    rows = await scene.runner.release(scene.world.candidate)
    for number in range(2, RELEASES + 1):
        if rows[-1].exit_code != 0:
            break
        scene.runner = scene.another_runner(f"runner-{number}")
        rows = await scene.runner.release(await scene.commit(LAST))
    return rows


LOAD: tuple[Drill, ...] = tuple(
    Drill(
        f"ten-releases-on-{instances}",
        f"ten good commits in a row on {instances} instances, and 300 user requests a second",
        Expected(None, 0, LAST, Result.ROLLED_OUT),
        setting=Setting(instances=instances),
        act=ten_in_a_row,
        windows={"baseline": {"duration_s": 1}, "bake": {"least_s": 3, "most_s": 20}, "probe": {"rate_per_s": 100}},
        users_per_s=300.0,
        alone=True,
    )
    for instances in (2, 4)
)
