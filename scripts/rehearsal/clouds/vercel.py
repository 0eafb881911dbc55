"""The emulated Vercel as one thing to enter: a project, its API, its deployments; nothing is left running."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from scripts.rehearsal.clouds.refusals import ApiErrors
from scripts.rehearsal.clouds.vercel_api import VercelApi
from scripts.rehearsal.clouds.vercel_files import Files
from scripts.rehearsal.clouds.vercel_functions import Functions
from scripts.rehearsal.clouds.vercel_gate import Exchange, Gate
from scripts.rehearsal.clouds.vercel_json import Wanted
from scripts.rehearsal.clouds.vercel_output import Output
from scripts.rehearsal.clouds.vercel_project import Project, Settings
from scripts.rehearsal.clouds.vercel_site import Site
from scripts.rehearsal.clouds.vercel_values import (
    AliasJob,
    Deployment,
    Event,
    Job,
    JobStatus,
    Kind,
    Plan,
    State,
    VercelFaults,
    VercelTimes,
    new_id,
    now,
)
from scripts.rehearsal.edge import Edge, Upstream
from scripts.rehearsal.serving import serve
from scripts.rehearsal.sniffer import Sniffer, sniffed

__all__ = [
    "AliasJob",
    "ApiErrors",
    "Deployment",
    "Event",
    "Job",
    "JobStatus",
    "Kind",
    "Plan",
    "State",
    "VercelCloud",
    "VercelFaults",
    "VercelTimes",
]

TIDY_S = 1.0  # between two looks for functions that are to be stopped


class VercelCloud:
    """Vercel with one project of one team, whose production domain is an edge that has been entered.

    `folder` takes uploads, unpacked deployments and logs. `bypass`: with it, a deployment's own URL answers 401 to
    all who do not send that secret. More than `most_functions` functions run for a moment only. `faults` may be
    replaced at any time.
    """

    def __init__(
        self,
        *,
        folder: Path,
        edge: Edge,
        times: VercelTimes,
        faults: VercelFaults,
        token: str,
        org_id: str = "team_rehearsal000000000000",
        team: str = "rehearsal",
        project_id: str = "prj_rehearsal0000000000000",
        name: str = "rehearsal",
        plan: Plan = Plan.PRO,
        bypass: str | None = None,
        most_functions: int = 6,
        trees: Path | None = None,
    ) -> None:
        self.faults = faults
        self.sniffer = Sniffer("a request to Vercel")
        self.production_host = urlsplit(edge.url).netloc
        self.api_url = ""
        self._settings = Settings(org_id, team, project_id, name, self.production_host, plan, times)
        self._folder = folder.resolve()
        self._edge = edge
        self._token = token
        self._bypass = bypass
        self._most_functions = most_functions
        self._trees = trees  # that other clouds share
        self._inner: dict[str, str] = {}
        self._servers: list[contextlib.AsyncExitStack] = []
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            self._project = Project(self._settings, lambda: self.faults, self._route, tasks)
            stack.callback(self._project.close)
            self._files = await asyncio.to_thread(Files, self._folder, self._trees)
            self._functions = Functions(
                self._folder / "logs", self._settings.times, self._most_functions, self._project.history.note
            )
            stack.push_async_callback(self._functions.close)
            self._project.spawn(self._tidy())
            api = VercelApi(self._project, self._files, lambda: self.faults, self._create)
            self._unknown = api.unknown
            self._gate = Gate(api.app, project=self._project, faults=lambda: self.faults, token=self._token)
            stack.push_async_callback(self._close_servers)
            self.api_url = await self._serve(sniffed(self._gate, self.sniffer))
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
    def settings(self) -> Settings:
        """What was set up: ids, names, the plan."""
        return self._settings

    @property
    def deployments(self) -> tuple[Deployment, ...]:
        """Every deployment, oldest first."""
        return tuple(self._project.history.deployments.values())

    @property
    def jobs(self) -> tuple[AliasJob, ...]:
        """Every promotion and rollback that was begun, oldest first."""
        return tuple(self._project.history.jobs)

    @property
    def events(self) -> tuple[Event, ...]:
        """Everything that happened so far, in order."""
        return tuple(self._project.history.events)

    @property
    def requests(self) -> tuple[Exchange, ...]:
        """What the API was asked, and the statuses of its answers."""
        return tuple(self._gate.exchanges)

    @property
    def unknown_requests(self) -> tuple[str, ...]:
        """What the API was asked that it has no route for."""
        return tuple(self._unknown)

    @property
    def production(self) -> Deployment | None:
        """The deployment that the API names for the production domain."""
        return (
            self._project.history.deployments[self._project.history.production]
            if self._project.history.production
            else None
        )

    @property
    def serving_commit(self) -> str | None:
        """The commit that users are on; None while nothing gets traffic."""
        return next((upstream.commit for upstream in self._edge.upstreams), None)

    @property
    def pinned(self) -> bool:
        """Whether a rollback keeps new deployments from the production domain."""
        return not self._project.auto_assign

    @property
    def running_functions(self) -> int:
        """How many functions run."""
        return self._functions.running

    @property
    def unpacked(self) -> Sequence[Path]:
        """What was unpacked for this cloud first, of all that share its trees."""
        return tuple(self._files.made)

    async def first_deploy(self, source: Path, commit: str) -> Deployment:
        """Make a built `.vercel/output` folder, or an archive that holds it, the production deployment at once.

        Raises RefusedUploadError if it is neither, BadOutputError if it cannot be served here.
        """
        output = await self._files.adopt(source)
        await asyncio.to_thread(Output, output)
        deployment = await self._add(Wanted(self._settings.name, {"slipwayCommit": commit}, (), True, True), output)
        self._project.finish(deployment.id)
        return self._project.history.deployments[deployment.id]

    async def ended(self, deployment_id: str) -> Deployment:
        """Wait until a deployment is in a terminal state."""
        while not self._project.history.deployments[deployment_id].state.terminal:  # noqa: ASYNC110  # there is no event
            await asyncio.sleep(0.01)
        return self._project.history.deployments[deployment_id]

    async def pause(self) -> None:
        """Pause the project, as its owner can: nobody is served any more."""
        self._project.paused = True
        self._edge.route_to([])

    async def _create(self, wanted: Wanted) -> Deployment:
        deployment = await self._add(wanted, await self._files.unpack(wanted.files))
        self._project.begin(deployment.id)
        return deployment

    async def _add(self, wanted: Wanted, output: Path) -> Deployment:
        """Give a deployment its id and its own URL, where it answers when it is ready."""
        deployment_id = new_id("dpl_")
        site = Site(lambda: self._project.history.deployments[deployment_id], self._functions, self._bypass)
        public = await self._serve(site.public)
        self._inner[deployment_id] = await self._serve(site.production)
        deployment = Deployment(
            id=deployment_id,
            host=urlsplit(public).netloc,
            name=wanted.name,
            commit=wanted.commit,
            created_at=now(),
            output=output,
            meta=wanted.meta,
            production=wanted.production,
            takes_domain=wanted.takes_domain,
        )
        self._project.history.add(deployment)
        return deployment

    async def _serve(self, app: Any) -> str:
        """Serve an application until the cloud is left."""
        server = contextlib.AsyncExitStack()
        self._servers.append(server)
        return await server.enter_async_context(serve(app))

    async def _close_servers(self) -> None:
        """Stop all at once: each takes its tenth of a second."""
        await asyncio.gather(*(server.aclose() for server in self._servers))

    def _route(self, deployment: Deployment) -> None:
        self._edge.route_to([Upstream(self._inner[deployment.id], deployment.commit, deployment.id)])

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(TIDY_S)
            await self._functions.keep_few()
