"""What happened on the emulated Vercel: deployments, moves of the production domain, events."""

import time
from dataclasses import replace
from typing import Any

from scripts.rehearsal.clouds.vercel_values import AliasJob, Deployment, Event, Job, JobStatus, Kind, State, now

KIND_OF = {
    State.BUILDING: Kind.BUILD_STARTED,
    State.READY: Kind.READY,
    State.ERROR: Kind.FAILED,
    State.CANCELED: Kind.CANCELED,
}
ASKED = {Job.PROMOTE: Kind.PROMOTE_REQUESTED, Job.ROLLBACK: Kind.ROLLBACK_REQUESTED}


class History:
    """Deployments, oldest first, jobs and events; `served` lists the owners of the production domain in turn."""

    def __init__(self) -> None:
        self.deployments: dict[str, Deployment] = {}
        self.jobs: list[AliasJob] = []
        self.events: list[Event] = []
        self.served: list[str] = []

    @property
    def production(self) -> str | None:
        """The id of the deployment that has the production domain."""
        return self.served[-1] if self.served else None

    @property
    def previous(self) -> str | None:
        """The id of the one that had it before."""
        return next((each for each in reversed(self.served) if each != self.production), None)

    def add(self, deployment: Deployment) -> None:
        """Take a new deployment in."""
        self.deployments[deployment.id] = deployment
        self.note(Kind.REQUESTED, deployment)

    def move(self, deployment_id: str, state: State, error: str = "") -> None:
        """Move a deployment to another state; `error` says why it failed."""
        deployment = self.change(deployment_id, state=state, error=error)
        match state:
            case State.BUILDING:
                self.change(deployment_id, building_at=now())
            case State.READY:
                self.change(deployment_id, ready_at=now())
            case _:
                pass
        self.note(KIND_OF[state], deployment, error)

    def change(self, deployment_id: str, **changes: Any) -> Deployment:
        """Change what is known of a deployment."""
        self.deployments[deployment_id] = replace(self.deployments[deployment_id], **changes)
        return self.deployments[deployment_id]

    def give_domain(self, deployment_id: str) -> Deployment:
        """Give a deployment the production domain."""
        before = self.production
        deployment = self.change(deployment_id, has_served=True)
        self.note(Kind.LIVE, deployment)
        if before != deployment_id:
            self.served.append(deployment_id)
            if before:
                self.note(Kind.DEACTIVATED, self.deployments[before])
        return deployment

    def ask(self, kind: Job, deployment: Deployment) -> int:
        """Take a job in and return its number."""
        self.jobs.append(AliasJob(kind, self.production, deployment.id, now(), time.monotonic()))
        self.note(ASKED[kind], deployment)
        return len(self.jobs) - 1

    def change_job(self, number: int, status: JobStatus) -> None:
        """Move a job to another status."""
        ended_s = None if status is JobStatus.IN_PROGRESS else time.monotonic()
        self.jobs[number] = replace(self.jobs[number], status=status, ended_s=ended_s)

    def note(self, kind: Kind, deployment: Deployment, detail: str = "") -> None:
        """Write an event."""
        self.events.append(Event(time.monotonic(), now(), kind, deployment.id, deployment.commit, detail))
