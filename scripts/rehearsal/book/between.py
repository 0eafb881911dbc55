"""Drills in which something between the service and those who ask it is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from scripts.rehearsal.book.drill import Drill, Expected, never_started, shipped, went_back
from scripts.rehearsal.edge import Front
from scripts.rehearsal.fronts import PAGE, TOO_MANY, always, caching, limiting
from scripts.rehearsal.scene import Meddle, Scene
from scripts.release import Stage
from scripts.report import Result

PROBER = b"slipway"
BLIP_S = 1.5


def put(front: Callable[[], Front], target: str = "render") -> Meddle:
    """Put something in front of a target, for good."""

    async def meddle(scene: Scene) -> None:
        scene.edge(target).front = front()

    return meddle


def put_when_it_serves(front: Callable[[], Front], seconds: float | None) -> Meddle:
    """Put something in front of Render when the candidate has first answered: for that long, or for good."""

    async def meddle(scene: Scene) -> None:
        await scene.serves(scene.world.candidate)
        scene.edge("render").front = front()
        if seconds is not None:
            await asyncio.sleep(seconds)
            scene.edge("render").front = None

    return meddle


def cut_off(seconds: float | None) -> Meddle:
    """Let nobody connect to Render once the bake has begun: for that long, or for good."""

    async def meddle(scene: Scene) -> None:
        await scene.begins(Stage.BAKE)
        await asyncio.sleep(2)
        await scene.edge("render").break_connections()
        if seconds is not None:
            await asyncio.sleep(seconds)
            await scene.edge("render").come_up()

    return meddle


BETWEEN: tuple[Drill, ...] = (
    Drill(
        "cached-for-a-while",
        "a cache answers for the service for 4 s after the deploy, and does not tell the age",
        shipped(),
        windows={"verify": {"deadline_s": 10}},
        interludes={Stage.DEPLOY: put(lambda: caching(10, tells_age=False))},
    ),
    Drill(
        "cached-for-ever",
        "a cache answers for the service, and tells the age of its answers",
        Expected(Stage.VERIFY, 13, "baseline", Result.STILL_BROKEN),
        windows={"verify": {"deadline_s": 4}, "rollback": {"deadline_s": 5}},
        interludes={Stage.DEPLOY: put(lambda: caching(600, tells_age=True))},
    ),
    Drill(
        "placeholder-page",
        "everything is answered by a page that says 200, from the first answer of the new release on",
        Expected(Stage.VERIFY, 13, "neither", Result.STILL_BROKEN, user_failures=5000),
        windows={"verify": {"deadline_s": 4}, "rollback": {"deadline_s": 5}},
        meddle=put_when_it_serves(lambda: always(PAGE), None),
    ),
    Drill(
        "placeholder-page-for-a-while",
        "everything is answered by a page that says 200, for 3 s after the first answer of the new release",
        shipped(),
        meddle=put_when_it_serves(lambda: always(PAGE), 3),
    ),
    Drill(
        "probes-limited",
        "the prober gets 429 beyond 10 requests a second: no proof would be possible",
        never_started(Stage.PLAN, 2, told="answered 429"),
        interludes={Stage.PLAN: put(lambda: limiting(10, PROBER))},
    ),
    Drill(
        "everyone-limited",
        "everybody gets 429 from the first answer of the new release on, for good",
        Expected(Stage.VERIFY, 13, "neither", Result.STILL_BROKEN, user_failures=5000),
        windows={"verify": {"deadline_s": 4}, "rollback": {"deadline_s": 5}},
        meddle=put_when_it_serves(lambda: always(TOO_MANY), None),
    ),
    Drill(
        "blip",
        "nobody gets a connection for a second and a half of the bake",
        shipped(user_failures=200),
        windows={"bake": {"least_s": 10, "most_s": 60}},
        meddle=cut_off(BLIP_S),
    ),
    Drill(
        "cut-off",
        "nobody gets a connection from the bake on: a wrong certificate, or a name that DNS does not have",
        Expected(Stage.BAKE, 13, "neither", Result.STILL_BROKEN, user_failures=3000),
        windows={"rollback": {"deadline_s": 5}},
        meddle=cut_off(None),
    ),
    Drill(
        "cut-off-until-the-rollback",
        "nobody gets a connection in the bake; when the rollback is asked for they do again",
        went_back(Stage.BAKE, user_failures=1500),
        meddle=cut_off(None),
        interludes={Stage.ROLLBACK: lambda scene: scene.edge("render").come_up()},
    ),
)
