"""Drills in which Vercel is at fault, or the commit only there; all are played on both platforms."""

import asyncio
from pathlib import Path

from scripts.rehearsal.book.drill import BOTH, Drill, Expected, Setting, never_started, shipped, went_back
from scripts.rehearsal.book.people import outage_from_bake
from scripts.rehearsal.changes import (
    crashes_on_vercel,
    fails_a_fifth_on_render,
    fails_a_fifth_on_vercel,
    fails_on_vercel,
    fails_on_vercel_while_there_is,
    names_no_package,
)
from scripts.rehearsal.clouds.refusals import ApiErrors
from scripts.rehearsal.clouds.vercel import VercelFaults
from scripts.rehearsal.runner import BUILD
from scripts.rehearsal.scene import Meddle, Scene
from scripts.release import Stage
from scripts.report import Result


def api_out(seconds: float) -> Meddle:
    """From now on the API answers 503, for that long."""

    async def meddle(scene: Scene) -> None:
        scene.vercel.faults = VercelFaults(api_errors=ApiErrors(503))
        asyncio.get_running_loop().call_later(seconds, setattr, scene.vercel, "faults", VercelFaults())

    return meddle


async def revoke(scene: Scene) -> None:
    """Let the token be worth nothing."""
    scene.vercel.faults = VercelFaults(api_errors=ApiErrors(403))


VERCEL: tuple[Drill, ...] = (
    Drill(
        "vercel-build-fails",
        "a requirement that no index has: the function cannot be built, and Render is not touched",
        never_started(BUILD),
        names_no_package,
        file=Path("requirements.txt"),
        needs=BOTH,
        where="vercel",
    ),
    Drill(
        "vercel-function-dies-on-import",
        "the commit starts on Render and fails on import on Vercel: `build` starts the function and sees it",
        never_started(BUILD),
        crashes_on_vercel,
        needs=BOTH,
        where="vercel",
    ),
    Drill(
        "vercel-staged-errors",
        "the function answers 500 on Vercel only: seen at its staged URL, before any user",
        went_back(Stage.VERIFY),
        fails_on_vercel,
        windows={"verify": {"deadline_s": 5}},
        needs=BOTH,
        where="vercel",
    ),
    Drill(
        "vercel-deploy-false-success",
        "the CLI exits 0, and the deployment ends in ERROR",
        went_back(Stage.DEPLOY),
        vercel_faults=lambda: VercelFaults(deploy_ends_in_error=True),
        needs=BOTH,
        where="vercel",
    ),
    Drill(
        "vercel-promote-refused",
        "the platform refuses the promotion",
        went_back(Stage.PROMOTE, 12),
        vercel_faults=lambda: VercelFaults(promote_refused=True),
        needs=BOTH,
        where="vercel",
    ),
    Drill(
        "vercel-alias-never-assigned",
        "the promotion is accepted and never ends",
        went_back(Stage.PROMOTE),
        vercel_faults=lambda: VercelFaults(alias_never_assigned=True),
        windows={"verify": {"deadline_s": 8}},
        needs=BOTH,
        where="vercel",
    ),
    Drill(
        "vercel-rollback-refused",
        "a bad commit on Vercel, and the platform refuses the rollback",
        Expected(
            *(Stage.BAKE, 13, "baseline", Result.STILL_BROKEN),
            user_failures=1200,
            except_on={"vercel": "candidate"},
        ),
        fails_a_fifth_on_vercel,
        vercel_faults=lambda: VercelFaults(rollback_refused=True),
        needs=BOTH,
        where="vercel",
    ),
    Drill(
        "render-fails-vercel-returns",
        "errors on Render only: the pair goes back as one",
        went_back(Stage.BAKE, user_failures=1000),
        fails_a_fifth_on_render,
        needs=BOTH,
        where="render",
    ),
    Drill(
        "vercel-fails-render-returns",
        "errors on Vercel only: the pair goes back as one",
        went_back(Stage.BAKE, user_failures=500),
        fails_a_fifth_on_vercel,
        needs=BOTH,
        where="vercel",
    ),
    Drill(
        "vercel-stuck-in-queue",
        "the deployment stays queued for ever",
        went_back(Stage.DEPLOY),
        vercel_faults=lambda: VercelFaults(stuck_in_queue=True),
        windows={"deploy": {"deadline_s": 20}},
        needs=BOTH,
        where="vercel",
    ),
    Drill(
        "vercel-promote-without-traffic",
        "the promotion succeeds, says the platform, and users stay where they were",
        went_back(Stage.PROMOTE),
        vercel_faults=lambda: VercelFaults(promote_without_traffic=True),
        windows={"verify": {"deadline_s": 8}},
        needs=BOTH,
        where="vercel",
    ),
    Drill(
        "vercel-api-out-at-promote",
        "the API is down for a few seconds when the promotion is due",
        shipped(),
        interludes={Stage.PROMOTE: api_out(3)},
        needs=BOTH,
        where="vercel",
    ),
    Drill(
        "vercel-token-revoked",
        "the commit is bad on Vercel, and the token is revoked when it has to go back",
        Expected(
            *(Stage.BAKE, 13, "baseline", Result.STILL_BROKEN),
            user_failures=1500,
            except_on={"vercel": "candidate"},
        ),
        fails_a_fifth_on_vercel,
        windows={"rollback": {"deadline_s": 8}},
        interludes={Stage.ROLLBACK: revoke},
        needs=BOTH,
        where="vercel",
    ),
    Drill(
        "dependency-down-on-vercel",
        "what both releases need goes down in the bake: the old one is seen to fail beside it, and nothing moves",
        Expected(Stage.BAKE, 12, "candidate", Result.STILL_BROKEN, user_failures=3000, told="environment"),
        setting=Setting(old=fails_on_vercel_while_there_is),
        meddle=outage_from_bake,
        needs=BOTH,
        where="vercel",
    ),
)
