"""What the pipeline and the platform ask: is this process alive, is it ready, and which commit is it.

Nothing here may be cached: an old answer would be taken for the release that serves now.
"""

from enum import StrEnum
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response, status
from pydantic import AwareDatetime, BaseModel, Field

from app.settings import Settings


class Phase(StrEnum):
    """Where the process is between its first and its last moment."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"


class Liveness(BaseModel):
    """The process answers; it says nothing about what it depends on."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Whether this instance should get traffic, and why."""

    status: Phase
    checks: dict[str, Literal["ok", "pending"]] = Field(examples=[{"startup": "ok"}])


class Version(BaseModel):
    """Which commit answers, and from which instance."""

    commit: str | None = Field(description="The full SHA, or null where nobody told the service.", examples=["0" * 40])
    instance: str = Field(examples=["srv-c1a2b3-7d9f8"])
    started_at: AwareDatetime


async def forbid_caching(response: Response) -> None:
    """Keep every cache on the way from storing the answer."""
    response.headers["Cache-Control"] = "no-store"


async def get_phase(request: Request) -> Phase:
    """Give the phase that the application's lifespan has reached."""
    phase: Phase = request.app.state.phase
    return phase


async def get_settings(request: Request) -> Settings:
    """Give the settings that the application was made with."""
    settings: Settings = request.app.state.settings
    return settings


router = APIRouter(tags=["health"], dependencies=[Depends(forbid_caching)])


@router.get("/health/live")
async def answer_alive() -> Liveness:
    """Answer while the process can; touches nothing, so that a slow dependency never gets it restarted."""
    return Liveness()


@router.get("/health", responses={503: {"model": Readiness}})
@router.get("/health/ready", responses={503: {"model": Readiness}})
async def answer_ready(phase: Annotated[Phase, Depends(get_phase)], response: Response) -> Readiness:
    """Answer 200 while this instance should get traffic, else 503."""
    readiness = judge_readiness(phase)
    if readiness.status is not Phase.READY:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return readiness


@router.get("/version")
async def answer_version(settings: Annotated[Settings, Depends(get_settings)]) -> Version:
    """Say which commit answers: the proof that a release is the one that was shipped."""
    return Version(commit=settings.commit, instance=settings.instance, started_at=settings.started_at)


def judge_readiness(phase: Phase) -> Readiness:
    """Decide whether the instance is ready.

    A dependency gets a check of its own here; all of them together must answer well inside Render's limit of 5 s.
    """
    return Readiness(status=phase, checks={"startup": "pending" if phase is Phase.STARTING else "ok"})
