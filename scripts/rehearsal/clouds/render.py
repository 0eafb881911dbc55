"""The emulated Render as one thing to enter: a service, its API and its hook, and nothing left running afterwards."""

import asyncio
import contextlib
from pathlib import Path
from types import TracebackType
from typing import Self

from scripts.rehearsal.clouds.render_api import RenderApi
from scripts.rehearsal.clouds.render_service import RenderService, Settings
from scripts.rehearsal.clouds.render_values import Deploy, Event, Faults, Kind, Overlap, Status, Times, Trigger
from scripts.rehearsal.edge import Edge
from scripts.rehearsal.serving import serve
from scripts.rehearsal.sniffer import Sniffer, sniffed
from scripts.rehearsal.supervisor import Supervisor

__all__ = ["Deploy", "Event", "Faults", "Kind", "Overlap", "RenderCloud", "Status", "Times", "Trigger"]


class RenderCloud:
    """Render with one Python web service, connected to a local repository and to an edge.

    `folder` takes builds and logs. `requirements` is the text of the requirements.txt that the running environment was
    installed from. `keep_artifacts` counts the builds that can be rolled back to, the live one included. Beyond
    `reads_per_minute` the API answers 429.
    """

    def __init__(
        self,
        *,
        repository: Path,
        folder: Path,
        edge: Edge,
        times: Times,
        faults: Faults,
        api_key: str,
        hook_key: str,
        requirements: str,
        service_id: str = "srv-rehearsal00000000000",
        keep_artifacts: int = 2,
        branch: str = "main",
        instances: int = 1,
        overlap: Overlap = Overlap.WAIT,
        reads_per_minute: int | None = None,
    ) -> None:
        self.sniffer = Sniffer("a request to Render")
        self._settings = Settings(service_id, repository.resolve(), branch, keep_artifacts, times, instances, overlap)
        self._reads_per_minute = reads_per_minute
        self._supervisor = Supervisor(
            self._settings.repository,
            folder.resolve(),
            requirements,
            build_limit_s=times.build_limit_s,
            share_databases=True,
        )
        self._edge = edge
        self.faults = faults
        self._api_key = api_key
        self._hook_key = hook_key
        self._stack = contextlib.AsyncExitStack()
        self._url = ""

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            supervisor = await stack.enter_async_context(self._supervisor)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            self.service = RenderService(self._settings, supervisor, self._edge, self.faults, tasks)
            stack.callback(self.service.close)
            api = RenderApi(
                self.service, self.faults, api_key=self._api_key, hook_key=self._hook_key, reads=self._reads_per_minute
            )
            self.routes = api.routes
            self._url = await stack.enter_async_context(serve(sniffed(api.app, self.sniffer)))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything; what the caller raised stays as it is, and does not become one of a group."""
        try:
            await self._stack.__aexit__(kind, raised, trace)
        except BaseExceptionGroup as group:
            if group.exceptions != (raised,):
                raise

    @property
    def api_url(self) -> str:
        """The base URL of the API."""
        return f"{self._url}/v1"

    @property
    def hook_url(self) -> str:
        """The deploy hook's URL, its key included."""
        return f"{self._url}/deploy/{self._settings.service_id}?key={self._hook_key}"

    @property
    def service_id(self) -> str:
        """The id of the service."""
        return self._settings.service_id

    @property
    def deploys(self) -> tuple[Deploy, ...]:
        """Every deploy, oldest first."""
        return self.service.history.deploys

    @property
    def events(self) -> tuple[Event, ...]:
        """Everything that happened so far, in order."""
        return tuple(self.service.history.events)

    @property
    def serving_commit(self) -> str | None:
        """The commit that the edge routes to; None while nothing gets traffic."""
        return next((upstream.commit for upstream in self._edge.upstreams), None)

    async def first_deploy(self, commit: str) -> Deploy:
        """Deploy a commit as a person would by hand, until it is live; raises RuntimeError if it ends otherwise."""
        requested = self.service.request(await self.service.find_commit(commit), Trigger.MANUAL)
        deploy = await self.ended(requested.id)
        if deploy.status is not Status.LIVE:
            details = [event.detail for event in self.events if event.deploy_id == deploy.id and event.detail]
            raise RuntimeError(f"deploy {deploy.id} of {commit} ended {deploy.status}: {' '.join(details[1:])}")
        return deploy

    async def ended(self, deploy_id: str) -> Deploy:
        """Wait until a deploy is in a terminal status."""
        return await self.service.history.ended(deploy_id)

    async def deploy_by_hand(self, commit: str) -> Deploy:
        """Ask for a deploy as a person does in the dashboard; it is not waited for."""
        return self.service.request(await self.service.find_commit(commit), Trigger.MANUAL)

    def roll_back_by_hand(self, commit: str) -> Deploy:
        """Ask for a rollback to a commit that served, as a person does in the dashboard; it is not waited for."""
        history = self.service.history
        return self.service.roll_back(
            next(row.id for row in self.deploys if row.commit.sha == commit and history.was_live(row.id))
        )

    async def suspend(self) -> None:
        """Suspend the service, as its owner can."""
        await self.service.suspend()

    async def sleep(self) -> None:
        """Let the service fall asleep, as a free one does; the next request wakes it, and waits."""
        await self.service.sleep()
