"""Drills in which Render does not do what it says, or does not answer."""

import asyncio

from scripts.rehearsal.book.drill import Drill, Expected, Setting, never_started, shipped, went_back
from scripts.rehearsal.changes import fails_a_fifth
from scripts.rehearsal.clouds.refusals import ApiErrors
from scripts.rehearsal.clouds.render import Faults
from scripts.rehearsal.scene import Meddle, Scene
from scripts.release import Stage
from scripts.report import Result

API, HOOK = r"\w+ /v1/", "POST /deploy/"


def api_down(stage: Stage, seconds: float | None) -> Meddle:
    """From the beginning of a stage on the API answers 503: for that long, or for good."""

    async def meddle(scene: Scene) -> None:
        scene.render.faults.api_down = True
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, setattr, scene.render.faults, "api_down", False)

    meddle.__name__ = f"api_down_in_{stage}"
    return meddle


def refusing(errors: ApiErrors) -> Meddle:
    """From a moment on the API refuses."""

    async def meddle(scene: Scene) -> None:
        scene.render.faults.api_errors = errors

    return meddle


async def fall_asleep(scene: Scene) -> None:
    """Let the service fall asleep; its users wake it at once, and wait."""
    await scene.render.sleep()


async def suspend(scene: Scene) -> None:
    """Suspend the service, as its owner can."""
    await scene.render.suspend()


REVOKED = ApiErrors(401, API)
SHORT_S, LONG_S = 3.0, 12.0  # of an outage: here a minute is a few seconds, as all of the platform's times are

PLATFORMS: tuple[Drill, ...] = (
    Drill(
        "wrong-commit",
        "the platform says live, the old commit still answers",
        went_back(Stage.VERIFY, recovered_s=None),
        faults=lambda: Faults(live_without_traffic=True),
        windows={"verify": {"deadline_s": 4}},
        everywhere=True,
    ),
    Drill(
        "live-too-early",
        "the platform says live 3 s before the new release gets its traffic",
        shipped(),
        faults=lambda: Faults(live_early_s=3),
    ),
    Drill(
        "mixed-for-ever",
        "one of three old instances keeps its traffic beside three new ones",
        went_back(Stage.VERIFY),
        faults=lambda: Faults(old_instances_kept=1),
        windows={"verify": {"deadline_s": 5}},
        setting=Setting(instances=3),
    ),
    Drill(
        "rollback-does-nothing",
        "the platform accepts the rollback of a bad commit and says live, the bad commit still answers",
        Expected(Stage.BAKE, 13, "candidate", Result.STILL_BROKEN, user_failures=1500, detected_s=12),
        fails_a_fifth,
        faults=lambda: Faults(rollback_without_traffic=True),
        windows={"rollback": {"deadline_s": 5}},
    ),
    Drill(
        "late-live",
        "the build takes so long that the deploy is given up; it must not go live afterwards",
        never_started(Stage.DEPLOY),
        faults=lambda: Faults(build_extra_s=6),
        windows={"deploy": {"deadline_s": 3}},
        linger_s=6,
    ),
    Drill(
        "hook-202",
        "the hook does not tell which deploy it began",
        shipped(),
        faults=lambda: Faults(hook_answers_202=True),
    ),
    Drill(
        "cancel-ignored",
        "the deploy is given up, and the platform answers 200 to the cancel and goes on",
        Expected(Stage.DEPLOY, 10, "baseline", Result.ROLLED_BACK),
        faults=lambda: Faults(build_extra_s=6, cancel_ignored=True),
        windows={"deploy": {"deadline_s": 3}},
        linger_s=6,
    ),
    Drill(
        "unknown-status",
        "the deploy is in a status that nobody knows, and goes live from there",
        went_back(Stage.DEPLOY, 12, recovered_s=None),
        faults=lambda: Faults(unknown_status="hibernating", build_extra_s=3),
    ),
    Drill(
        "api-down-at-plan",
        "the API is down for good",
        never_started(Stage.PLAN, 12),
        interludes={Stage.PLAN: api_down(Stage.PLAN, None)},
    ),
    Drill(
        "api-out-at-plan",
        "the API is down for a few seconds before the plan",
        shipped(),
        interludes={Stage.PLAN: api_down(Stage.PLAN, SHORT_S)},
    ),
    Drill(
        "api-out-at-deploy",
        "the API is down for a few seconds when the deploy begins",
        shipped(),
        interludes={Stage.DEPLOY: api_down(Stage.DEPLOY, SHORT_S)},
    ),
    Drill(
        "api-down-at-deploy",
        "the API is down for good when the deploy begins",
        never_started(Stage.DEPLOY, 12),
        interludes={Stage.DEPLOY: api_down(Stage.DEPLOY, None)},
    ),
    Drill(
        "api-down-at-verify",
        "the API is down for good after a good deploy: no proof needs it",
        shipped(),
        interludes={Stage.VERIFY: api_down(Stage.VERIFY, None)},
    ),
    Drill(
        "api-out-at-rollback",
        "the commit is bad, and the API is down for long when it has to go back",
        went_back(Stage.BAKE, user_failures=600, recovered_s=20),
        fails_a_fifth,
        windows={"rollback": {"deadline_s": 30}},
        interludes={Stage.ROLLBACK: api_down(Stage.ROLLBACK, LONG_S)},
    ),
    Drill(
        "api-down-at-rollback",
        "the commit is bad, and the API is down for good when it has to go back: the hook needs none",
        went_back(Stage.BAKE, user_failures=800, recovered_s=15, told="without the API"),
        fails_a_fifth,
        windows={"rollback": {"deadline_s": 6}},
        interludes={Stage.ROLLBACK: api_down(Stage.ROLLBACK, None)},
    ),
    Drill(
        "rate-limited",
        "the API answers 429 to three requests of the deploy, and names the seconds to wait",
        shipped(),
        interludes={Stage.DEPLOY: refusing(ApiErrors(429, r"GET /v1/", after=1, count=3, retry_after_s=1))},
    ),
    Drill(
        "hook-limited",
        "the hook answers 429, again and again",
        never_started(Stage.DEPLOY, 12),
        interludes={Stage.DEPLOY: refusing(ApiErrors(429, HOOK))},
    ),
    Drill(
        "hook-refused",
        "the hook's key is wrong",
        never_started(Stage.DEPLOY, 2),
        interludes={Stage.DEPLOY: refusing(ApiErrors(401, HOOK))},
    ),
    Drill(
        "key-revoked",
        "the API key is revoked after the deploy, and the commit is bad: the hook needs none",
        went_back(Stage.BAKE, user_failures=800, recovered_s=15, told="without the API"),
        fails_a_fifth,
        windows={"rollback": {"deadline_s": 6}},
        interludes={Stage.VERIFY: refusing(REVOKED)},
    ),
    Drill(
        "suspended",
        "the service is suspended",
        Expected(Stage.PLAN, 12, "neither", Result.NEVER_STARTED, user_failures=3000),
        interludes={Stage.PLAN: suspend},
    ),
    Drill(
        "asleep",
        "a free service that sleeps: the first request wakes it, and waits",
        shipped(user_failures=100),
        interludes={Stage.PLAN: fall_asleep},
    ),
    Drill(
        "target-not-kept",
        "the commit is bad, and the platform no longer keeps the build of the old one",
        went_back(Stage.BAKE, user_failures=600, recovered_s=20),
        fails_a_fifth,
        setting=Setting(keep_artifacts=1),
    ),
)
