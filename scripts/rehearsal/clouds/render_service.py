"""The life of deploys on the emulated Render: asked for, queued, built, started, live, replaced, cancelled.

How all this looks over HTTP is not decided here (`render_api`, `render_json`), and neither is what a running instance
needs (`render_instances`).
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.rehearsal.blueprint import Blueprint
from scripts.rehearsal.clouds.render_history import History
from scripts.rehearsal.clouds.render_instances import Instances, StartFailedError
from scripts.rehearsal.clouds.render_values import (
    AutoDeploy,
    Deploy,
    Faults,
    Kind,
    Overlap,
    Status,
    Times,
    Trigger,
    new_id,
    now,
)
from scripts.rehearsal.commits import Commit, find_commit
from scripts.rehearsal.edge import Edge
from scripts.rehearsal.supervisor import Artifact, BuildFailedError, Instance, PreDeployFailedError, Supervisor


@dataclass(frozen=True)
class Settings:
    """What was set up for the service: the repository and branch it is connected to, artifacts kept, how many run."""

    service_id: str
    repository: Path
    branch: str
    keep_artifacts: int
    times: Times
    instances: int = 1
    overlap: Overlap = Overlap.WAIT


class RefusedError(Exception):
    """An act that the state of the deploy or of the service does not allow."""


class RenderService:
    """One web service: its deploys and what they do to its instances.

    One deploy at a time. By Render's Wait policy the newest queued one is next, and those between are canceled; by
    Override a new one cancels the one that runs.
    """

    def __init__(
        self,
        settings: Settings,
        supervisor: Supervisor,
        edge: Edge,
        faults: Faults,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self.settings = settings
        self.history = History(settings.keep_artifacts)
        self.created_at = self.updated_at = now()
        self.auto_deploy = AutoDeploy.COMMIT
        self.suspended = False
        self.public_url = edge.url
        self._reused: dict[str, Artifact] = {}
        self._active: str | None = None
        self._queued: str | None = None
        self._work: asyncio.Task[None] | None = None
        self._closing = False
        self._background: set[asyncio.Task[None]] = set()
        self._faults = faults
        self._tasks = tasks
        self._supervisor = supervisor
        self._instances = Instances(supervisor, edge, settings.times, self)

    @property
    def blueprint(self) -> Blueprint:
        """The settings of the live deploy; empty ones before the first."""
        artifact = self.history.live_artifact
        return artifact.blueprint if artifact else Blueprint()

    async def find_commit(self, ref: str | None) -> Commit:
        """Find a commit by SHA or name, or the head of the connected branch; raises UnknownCommitError."""
        return await find_commit(self.settings.repository, ref or f"refs/heads/{self.settings.branch}")

    def request(self, commit: Commit, trigger: Trigger, artifact: Artifact | None = None) -> Deploy:
        """Create a deploy, of an artifact if there already is one; raises RefusedError."""
        if self.suspended:
            raise RefusedError("the service is suspended")
        deploy = self.history.create(commit, trigger)
        if artifact:
            self._reused[deploy.id] = artifact
        if self._active:
            self._queue(deploy.id)
            if self.settings.overlap is Overlap.OVERRIDE:
                self._cancel(self._active)
        else:
            self._begin(deploy.id)
        return self.history.deploy(deploy.id)

    def roll_back(self, deploy_id: str) -> Deploy:
        """Create a deploy of the artifact of an earlier one; raises KeyError or RefusedError."""
        target = self.history.deploy(deploy_id)
        if not self.history.was_live(deploy_id):
            raise RefusedError(f"deploy {deploy_id} was never live")
        artifact = self.history.kept_artifact(deploy_id)
        if not artifact:
            raise RefusedError(f"the artifact of deploy {deploy_id} is no longer kept")
        return self.request(target.commit, Trigger.ROLLBACK, artifact)

    def cancel(self, deploy_id: str) -> Deploy:
        """Cancel a deploy that has not ended; raises KeyError or RefusedError."""
        if self.history.deploy(deploy_id).status.terminal:
            raise RefusedError(f"deploy {deploy_id} already ended")
        if not self._faults.cancel_ignored:
            self._cancel(deploy_id)
        return self.history.deploy(deploy_id)

    def restart(self) -> None:
        """Replace the instance of the live deploy by a new one of the same artifact; raises RefusedError."""
        artifact = self.history.live_artifact
        if not artifact or self.suspended:
            raise RefusedError("the service has no live deploy")
        self.note(Kind.RESTART_REQUESTED, commit=artifact.commit)
        self._instances.restart(artifact, self.settings.instances)

    def set_auto_deploy(self, value: AutoDeploy) -> None:
        """Say when the platform deploys by itself."""
        if value is not self.auto_deploy:
            self.auto_deploy = value
            self.updated_at = now()
            self.note(Kind.AUTO_DEPLOY_CHANGED, detail=value.value)

    async def suspend(self) -> None:
        """Stop the service as its owner can in the dashboard: no deploys, no instances, no traffic."""
        self.suspended = True
        for deploy_id in filter(None, (self._queued, self._active)):
            self._cancel(deploy_id)
        self.note(Kind.SUSPENDED)
        await self._instances.stop_all()

    async def sleep(self) -> None:
        """Fall asleep, as a free service does after a quarter of an hour without a request."""
        if artifact := self.history.live_artifact:
            self.note(Kind.ASLEEP)
            await self._instances.sleep(artifact)

    def close(self) -> None:
        """Stop all background work; the instances are left to the supervisor."""
        self._closing = True
        for task in tuple(self._background):
            task.cancel()

    def note(self, kind: Kind, *, commit: str | None = None, detail: str = "") -> None:
        """Write an event that is not about one deploy."""
        self.history.note(kind, commit=commit, detail=detail)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something until it ends or the cloud does; an unexpected error in it ends the cloud."""
        task = self._tasks.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        if self._closing:
            task.cancel()
        return task

    def environment(self, artifact: Artifact, instance_id: str) -> dict[str, str]:
        """Make Render's own variables (render.com/docs/environment-variables)."""
        return {
            "RENDER": "true",
            "RENDER_GIT_COMMIT": artifact.commit,
            "RENDER_GIT_BRANCH": self.settings.branch,
            "RENDER_EXTERNAL_URL": self.public_url,
            "RENDER_SERVICE_ID": self.settings.service_id,
            "RENDER_INSTANCE_ID": instance_id,
            "WEB_CONCURRENCY": artifact.blueprint.variables.get("WEB_CONCURRENCY", "1"),
        }

    def _queue(self, deploy_id: str) -> None:
        if self._queued:
            self._cancel(self._queued)
        self._queued = deploy_id
        self.history.move(deploy_id, Status.QUEUED)

    def _begin(self, deploy_id: str) -> None:
        self._active = deploy_id
        self._work = self.spawn(self._carry_out(deploy_id))
        self._work.add_done_callback(self._begin_queued)  # also when it is cancelled before its first step

    def _begin_queued(self, _: asyncio.Task[None]) -> None:
        self._active = None
        queued, self._queued = self._queued, None
        if queued and not self._closing:
            self._begin(queued)

    def _cancel(self, deploy_id: str) -> None:
        self.history.move(deploy_id, Status.CANCELED)
        if deploy_id == self._queued:
            self._queued = None
        elif self._work:
            self._work.cancel()

    async def _carry_out(self, deploy_id: str) -> None:
        try:
            artifact = self._reused.get(deploy_id) or await self._build(deploy_id)
            await self._prepare(deploy_id, artifact)
            self.history.move(deploy_id, Status.UPDATE_IN_PROGRESS)
            first = await self._instances.start_until_healthy(artifact)
            await self._go_live(deploy_id, first)
        except BuildFailedError as error:
            self.history.move(deploy_id, Status.BUILD_FAILED, str(error))
        except PreDeployFailedError as error:
            self.history.move(deploy_id, Status.PRE_DEPLOY_FAILED, str(error))
        except StartFailedError as error:
            self.history.move(deploy_id, Status.UPDATE_FAILED, str(error))

    async def _build(self, deploy_id: str) -> Artifact:
        self.history.move(deploy_id, Status.BUILD_IN_PROGRESS)
        await asyncio.sleep(self.settings.times.build_overhead_s)
        artifact = await self._supervisor.build(self.history.deploy(deploy_id).commit.sha)
        await asyncio.sleep(self._faults.build_extra_s)
        return artifact

    async def _prepare(self, deploy_id: str, artifact: Artifact) -> None:
        """Run the pre-deploy command, for a rollback too: whether Render does is unknown, and it is the worse case."""
        if artifact.blueprint.pre_deploy_command:
            self.history.move(deploy_id, Status.PRE_DEPLOY_IN_PROGRESS)
            environment = self.environment(artifact, new_id("srv-job-"))
            await self._supervisor.prepare(artifact, environment, limit_s=self.settings.times.pre_deploy_limit_s)

    async def _go_live(self, deploy_id: str, first: Instance) -> None:
        """Replace the instances one by one, and say that the deploy is live when the last one has been.

        Render does not state when a deploy is called live, relative to the traffic and the drain of the old instances.
        """
        faults, trigger = self._faults, self.history.deploy(deploy_id).trigger
        early_s = 0.0 if trigger is Trigger.MANUAL else faults.live_early_s
        early = faults.keep_traffic_from(trigger) or early_s > 0
        if early:
            self.history.go_live(deploy_id, first.artifact)
            await asyncio.sleep(early_s)
        if not faults.keep_traffic_from(trigger):
            await self._instances.roll_out(first, self.settings.instances, kept=faults.old_instances_kept)
        if not early:
            self.history.go_live(deploy_id, first.artifact)
