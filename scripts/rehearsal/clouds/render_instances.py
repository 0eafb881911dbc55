"""The running instances of one service: started until healthy, given traffic, watched, drained.

Which deploy they belong to, and what becomes of it, is the life cycle's concern (`render_service`).
"""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Protocol

from scripts.rehearsal.clouds.render_values import Kind, Times, new_id
from scripts.rehearsal.edge import Edge, Upstream
from scripts.rehearsal.supervisor import Artifact, Instance, Supervisor
from scripts.rehearsal.wire import Client, Request


class Platform(Protocol):
    """What the instances need of the service that they belong to."""

    def note(self, kind: Kind, *, commit: str | None = None, detail: str = "") -> None:
        """Write an event."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something in the background."""

    def environment(self, artifact: Artifact, instance_id: str) -> dict[str, str]:
        """Make the platform's own variables."""


class StartFailedError(RuntimeError):
    """No instance of an artifact became healthy within the start limit."""


class Instances:
    """The instances of one service behind one edge; the one that has the traffic is watched."""

    def __init__(self, supervisor: Supervisor, edge: Edge, times: Times, platform: Platform) -> None:
        self._supervisor = supervisor
        self._edge = edge
        self._client = Client(answer_limit_s=times.health_limit_s)
        self._times = times
        self._platform = platform
        self._leaving: set[Instance] = set()
        self._watch: asyncio.Task[None] | None = None

    async def start_until_healthy(self, artifact: Artifact) -> Instance:
        """Start an instance, again whenever it ends by itself, until one is healthy; raises StartFailedError."""
        limit_s = self._times.start_limit_s
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    if instance := await self._start_once(artifact):
                        return instance
                    await asyncio.sleep(self._times.health_interval_s)
        except TimeoutError as error:
            raise StartFailedError(f"no instance was healthy within {limit_s:g} s") from error

    def give_traffic(self, instance: Instance) -> None:
        """Move all traffic to this instance at once; every other one is drained and stopped."""
        self._move_traffic(instance)
        self._watch_by(self._keep_well(instance))

    def restart(self, artifact: Artifact) -> None:
        """Start a new instance in the background and move the traffic when it is healthy."""
        self._watch_by(self._renew(artifact))

    async def stop_all(self) -> None:
        """Take the traffic away and stop every instance."""
        self._stop_watching()
        self._stop_traffic("suspended")
        await asyncio.gather(*(self._stop(instance) for instance in self._supervisor.instances))

    async def _start_once(self, artifact: Artifact) -> Instance | None:
        """Start one instance and wait until it is healthy; None if it ended before that. Cancelled, it stops it."""
        instance_id = new_id("srv-instance-")
        environment = self._platform.environment(artifact, instance_id)
        instance = await self._supervisor.start(artifact, environment, instance_id=instance_id)
        self._platform.note(Kind.INSTANCE_STARTED, commit=instance.commit, detail=instance.id)
        try:
            if await self._becomes_healthy(instance):
                return instance
        except asyncio.CancelledError:
            await self._stop(instance)
            raise
        await self._stop(instance)
        return None

    async def _becomes_healthy(self, instance: Instance) -> bool:
        while instance.running:
            if await self._healthy(instance):
                return True
            await asyncio.sleep(self._times.health_interval_s)
        return False

    async def _healthy(self, instance: Instance) -> bool:
        """Ask the health path once: 2xx and 3xx are healthy; without a health path any answer is."""
        path = instance.artifact.blueprint.health_check_path
        try:
            answer = await self._client.ask(instance.url, Request("GET", (path or "/").encode()))
        except OSError:
            return False
        return not path or 200 <= answer.status < 400

    async def _keep_well(self, instance: Instance) -> None:
        """Watch the instance that has the traffic, and replace it whenever it ended or is unhealthy for too long."""
        while True:
            await self._until_restart_is_due(instance)
            self._stop_traffic(instance.id)
            await self._stop(instance)
            instance = await self._started_again(instance.artifact)
            self._move_traffic(instance)

    async def _until_restart_is_due(self, instance: Instance) -> None:
        """Take the traffic from an unhealthy instance, give it back to a healthy one; return when it must be replaced.

        Render: no traffic after 15 s of failed checks, a restart after 60 s (render.com/docs/health-checks).
        """
        well_s = time.monotonic()
        while instance.running and time.monotonic() - well_s < self._times.restart_after_s:
            await asyncio.sleep(self._times.health_interval_s)
            if await self._healthy(instance):
                well_s = time.monotonic()
                self._ensure_traffic(instance)
            elif time.monotonic() - well_s >= self._times.no_traffic_after_s:
                self._stop_traffic(instance.id)

    async def _started_again(self, artifact: Artifact) -> Instance:
        while True:
            try:
                return await self.start_until_healthy(artifact)
            except StartFailedError as error:
                self._platform.note(Kind.FAILED, commit=artifact.commit, detail=str(error))

    async def _renew(self, artifact: Artifact) -> None:
        instance = await self._started_again(artifact)
        self._move_traffic(instance)
        await self._keep_well(instance)

    def _watch_by(self, work: Coroutine[Any, Any, None]) -> None:
        self._stop_watching()
        self._watch = self._platform.spawn(work)

    def _stop_watching(self) -> None:
        if self._watch:
            self._watch.cancel()

    def _move_traffic(self, instance: Instance) -> None:
        self._ensure_traffic(instance)
        for other in set(self._supervisor.instances) - self._leaving - {instance}:
            self._leaving.add(other)
            self._platform.spawn(self._drain(other))

    def _ensure_traffic(self, instance: Instance) -> None:
        upstream = Upstream(instance.url, instance.commit, instance.id)
        if self._edge.upstreams != (upstream,):
            self._edge.route_to([upstream])
            self._platform.note(Kind.TRAFFIC_SWITCHED, commit=instance.commit, detail=instance.id)

    def _stop_traffic(self, reason: str) -> None:
        if self._edge.upstreams:
            self._edge.route_to([])
            self._platform.note(Kind.TRAFFIC_STOPPED, detail=reason)

    async def _drain(self, instance: Instance) -> None:
        await asyncio.sleep(self._times.drain_s)
        if instance in self._supervisor.instances:
            await self._stop(instance)

    async def _stop(self, instance: Instance) -> None:
        await self._supervisor.stop(instance, self._times.shutdown_delay_s)
        self._leaving.discard(instance)
        self._platform.note(Kind.INSTANCE_STOPPED, commit=instance.commit, detail=instance.id)
