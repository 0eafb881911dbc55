"""The life of deployments on the emulated Vercel, and of the production domain that is moved between them.

How all this looks over HTTP is not decided here (`vercel_api`, `vercel_json`), and neither is how a deployment
answers (`vercel_site`).
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from scripts.rehearsal.clouds.vercel_history import History
from scripts.rehearsal.clouds.vercel_output import BadOutputError, Output
from scripts.rehearsal.clouds.vercel_values import (
    Deployment,
    Job,
    JobStatus,
    Plan,
    State,
    VercelFaults,
    VercelTimes,
    now,
)

BROKEN_BUILD = "Command failed: the build of this deployment was made to fail"


@dataclass(frozen=True)
class Settings:
    """What was set up: the team, its project, the domain that users know, what the team pays for."""

    org_id: str
    team: str
    project_id: str
    name: str
    production_host: str
    plan: Plan
    times: VercelTimes


class RefusedError(Exception):
    """An act that the API does not take, with the status and the code that it says."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Project:
    """One project. `route` moves the users to a deployment; events before `asked_from` are of first releases."""

    def __init__(
        self,
        settings: Settings,
        faults: Callable[[], VercelFaults],
        route: Callable[[Deployment], None],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self.settings = settings
        self.history = History()
        self.auto_assign = True
        self.paused = False
        self.asked_from = 0
        self._faults = faults
        self._route = route
        self._tasks = tasks
        self._work: dict[str, asyncio.Task[None]] = {}
        self._job: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()

    def find(self, id_or_host: str) -> Deployment:
        """Find a deployment by its id, its own host or the production domain; raises RefusedError."""
        deployments, production = self.history.deployments, self.history.production
        if id_or_host == self.settings.production_host and production:
            return deployments[production]
        for deployment in deployments.values():
            if id_or_host in {deployment.id, deployment.host}:
                return deployment
        raise RefusedError(404, "not_found", f"The deployment {id_or_host} could not be found")

    def begin(self, deployment_id: str) -> None:
        """Build a deployment in the background."""
        self._work[deployment_id] = self.spawn(self._carry_out(deployment_id))

    def finish(self, deployment_id: str) -> None:
        """Make a deployment ready and give it the domain at once, as if it had always been there."""
        self.history.move(deployment_id, State.READY)
        self.history.change(deployment_id, aliased_at=now())
        self._give_domain(deployment_id)
        self.asked_from = len(self.history.events)

    def cancel(self, deployment_id: str) -> Deployment:
        """Cancel a deployment that has not ended; raises RefusedError."""
        deployment = self.find(deployment_id)
        if deployment.state.terminal:
            raise RefusedError(400, "bad_request", f"The deployment is {deployment.state} and cannot be canceled")
        self.history.move(deployment.id, State.CANCELED)
        if work := self._work.get(deployment.id):
            work.cancel()
        return self.find(deployment.id)

    def promote(self, deployment_id: str) -> bool:
        """Begin to give a deployment the domain; False where the job only waits. Raises RefusedError."""
        deployment = self._movable(deployment_id)
        if self._faults().promote_refused:
            raise RefusedError(409, "conflict", "The deployment cannot be promoted now")
        if self._faults().promote_queued:
            return False
        self._begin_job(Job.PROMOTE, deployment)
        return True

    def roll_back(self, deployment_id: str) -> None:
        """Begin to give the domain back to a deployment that had it; raises RefusedError."""
        deployment = self._movable(deployment_id)
        if self._faults().rollback_refused:
            raise RefusedError(409, "conflict", "The deployment cannot be rolled back to now")
        if not deployment.has_served:
            raise RefusedError(400, "bad_request", "The deployment has never been in production")
        if deployment.id != self.history.production and not self.is_rollback_candidate(deployment):
            raise RefusedError(402, "payment_required", "This plan can roll back to the previous deployment only")
        self._begin_job(Job.ROLLBACK, deployment)

    def is_rollback_candidate(self, deployment: Deployment) -> bool:
        """Tell whether a deployment is one that a rollback on this plan reaches."""
        reachable = self.settings.plan is Plan.PRO or deployment.id == self.history.previous
        return deployment.has_served and deployment.id != self.history.production and reachable

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something until it ends or the cloud does; an unexpected error in it ends the cloud."""
        task = self._tasks.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    def close(self) -> None:
        """Stop all background work."""
        for task in tuple(self._background):
            task.cancel()

    def _movable(self, deployment_id: str) -> Deployment:
        deployment = self.find(deployment_id)
        if deployment.state is not State.READY:
            raise RefusedError(409, "not_ready", f"The deployment is {deployment.state}")
        if not deployment.production:
            raise RefusedError(400, "bad_request", "The deployment is not a production deployment")
        return deployment

    def _begin_job(self, kind: Job, deployment: Deployment) -> None:
        """Begin a job; one that is under way is given up for it."""
        if self._job:
            self._job.cancel()
        self._job = self.spawn(self._carry_job(self.history.ask(kind, deployment), kind, deployment.id))

    async def _carry_out(self, deployment_id: str) -> None:
        times = self.settings.times
        await asyncio.sleep(times.queued_s)
        if self._faults().stuck_in_queue:
            return
        self.history.move(deployment_id, State.BUILDING)
        await asyncio.sleep(times.build_s)
        if error := await self._build_error(deployment_id):
            self.history.move(deployment_id, State.ERROR, error)
            return
        self.history.move(deployment_id, State.READY)
        if not self._faults().alias_never_assigned:
            self._assign(deployment_id)

    async def _build_error(self, deployment_id: str) -> str:
        if self._faults().deploy_ends_in_error:
            return BROKEN_BUILD
        try:
            await asyncio.to_thread(Output, self.history.deployments[deployment_id].output)
        except BadOutputError as error:
            return str(error)
        return ""

    def _assign(self, deployment_id: str) -> None:
        """Give a ready deployment its aliases, the production domain too if it is to have it and no pin is set."""
        deployment = self.history.change(deployment_id, aliased_at=now())
        if deployment.production and deployment.takes_domain and self.auto_assign:
            self._give_domain(deployment_id)

    async def _carry_job(self, number: int, kind: Job, to_id: str) -> None:
        times = self.settings.times
        await asyncio.sleep(times.job_pending_s)
        self.history.change_job(number, JobStatus.IN_PROGRESS)
        await asyncio.sleep(times.job_s)
        faults = self._faults() if kind is Job.PROMOTE else VercelFaults()
        if faults.alias_never_assigned:
            return
        status = self._outcome(kind, to_id, faults)
        if status is JobStatus.SUCCEEDED:
            self.auto_assign = kind is Job.PROMOTE
            self._give_domain(to_id, users=not faults.promote_without_traffic)
        self.history.change_job(number, status)

    def _outcome(self, kind: Job, to_id: str, faults: VercelFaults) -> JobStatus:
        """Tell how a job ends; a rollback with nothing to move is skipped, a promotion still clears the pin."""
        if faults.promote_fails:
            return JobStatus.FAILED
        nothing_to_move = kind is Job.ROLLBACK and to_id == self.history.production
        return JobStatus.SKIPPED if faults.promote_skipped or nothing_to_move else JobStatus.SUCCEEDED

    def _give_domain(self, deployment_id: str, *, users: bool = True) -> None:
        deployment = self.history.give_domain(deployment_id)
        if users and not self.paused:
            self._route(deployment)
