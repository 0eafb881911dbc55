"""What the pipeline and the platform ask: is this process alive, is it ready, and which commit is it.

Nothing here may be cached: an old answer would be taken for the release that serves now.
"""

from collections.abc import Mapping
from typing import Literal

from fastapi import APIRouter, Depends, Request, Response, status
from pydantic import AwareDatetime, BaseModel, Field

from app.checks import OK, Checks, Finding
from app.identity import Identity
from app.lifecycle import Lifecycle, Phase

STARTUP = "startup"


class Liveness(BaseModel):
    """The process answers; it says nothing about what it depends on."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Whether this instance should get traffic, and why: `ready`, or what keeps it from that."""

    status: Literal["starting", "ready", "failing", "stopping"]
    checks: dict[str, str] = Field(examples=[{"startup": "ok", "database": "ok", "redis": "ok"}])


class Version(BaseModel):
    """Which commit answers, from which deploy and which instance."""

    commit: str | None = Field(description="The full SHA, or null where nobody told the service.", examples=["0" * 40])
    deploy: str | None = Field(description="The platform's id of the deploy, or null where it tells none.")
    instance: str = Field(examples=["srv-c1a2b3-7d9f8"])
    started_at: AwareDatetime


async def forbid_caching(response: Response) -> None:
    """Keep every cache on the way from storing the answer."""
    response.headers["Cache-Control"] = "no-store"


router = APIRouter(tags=["health"], dependencies=[Depends(forbid_caching)])


@router.get("/health/live")
async def answer_alive() -> Liveness:
    """Answer while the process can; touches nothing, so that a slow dependency never gets it restarted."""
    return Liveness()


@router.get("/health", responses={503: {"model": Readiness}})
@router.get("/health/ready", responses={503: {"model": Readiness}})
async def answer_ready(request: Request, response: Response) -> Readiness:
    """Answer 200 while this instance should get traffic, else 503 with the reason."""
    lifecycle: Lifecycle = request.app.state.lifecycle
    checks: Checks = request.app.state.checks
    readiness = judge_readiness(lifecycle.phase, await checks.ask())
    if readiness.status != "ready":
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return readiness


@router.get("/version")
async def answer_version(request: Request) -> Version:
    """Say which commit answers: the proof that a release is the one that was shipped."""
    who: Identity = request.app.state.identity
    return Version(commit=who.commit, deploy=who.deploy, instance=who.instance, started_at=who.started_at)


def judge_readiness(phase: Phase, findings: Mapping[str, Finding]) -> Readiness:
    """Decide whether the instance is ready: everything is open, every required check is well, and no stop has begun."""
    failing = phase is Phase.READY and not all(finding.well for finding in findings.values())
    told = {name: finding.told for name, finding in findings.items()}
    return Readiness(
        status="failing" if failing else phase.value,
        checks={STARTUP: "pending" if phase is Phase.STARTING else OK, **told},
    )
