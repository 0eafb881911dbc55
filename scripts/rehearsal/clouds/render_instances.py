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
    """The instances of one service behind one edge; those that are to have traffic are watched."""

    def __init__(self, supervisor: Supervisor, edge: Edge, times: Times, platform: Platform) -> None:
        self._supervisor = supervisor
        self._edge = edge
        self._client = Client(answer_limit_s=times.health_limit_s)
        self._times = times
        self._platform = platform
        self._leaving: set[Instance] = set()
        self._members: dict[Instance, asyncio.Task[None]] = {}  # what is to have traffic, and what watches it
        self._waking: asyncio.Task[None] | None = None

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

    async def roll_out(self, first: Instance, count: int, *, kept: int = 0) -> None:
        """Replace what has traffic, one by one; `first` is started already, and `kept` old ones are forgotten there.

        Raises:
            StartFailedError: another one did not become healthy; the old release has all its instances again, soon.
        """
        self._edge.on_request = None  # it is awake
        new: list[Instance] = []
        try:
            for number in range(count):
                new.append(first if number == 0 else await self.start_until_healthy(first.artifact))
                self._join(new[-1])
                if number < count - 1:
                    for instance in self._others(new)[kept:][:1]:
                        self._retire(instance)
        except (StartFailedError, asyncio.CancelledError):
            self._platform.spawn(self._turn_back(new, count))
            raise
        for instance in self._others(new)[kept:]:
            self._retire(instance)
        for instance in set(self._supervisor.instances) - self._leaving - set(self._members):
            self._drain_soon(instance)  # one that never got the traffic it was started for

    def _others(self, new: list[Instance]) -> list[Instance]:
        return [instance for instance in self._members if instance not in new]

    def restart(self, artifact: Artifact, count: int) -> None:
        """Start new instances in the background and move the traffic when they are healthy."""
        self._platform.spawn(self._renew(artifact, count))

    async def sleep(self, artifact: Artifact) -> None:
        """Stop every instance, as a free service does that nobody asks; the next request starts one, and waits."""
        await self.stop_all("asleep")
        self._edge.on_request = lambda: self._wake(artifact)

    async def stop_all(self, reason: str = "suspended") -> None:
        """Take the traffic away and stop every instance."""
        self._edge.on_request = None
        for instance in tuple(self._members):
            self._members.pop(instance).cancel()
        self._tell_edge(reason)
        await asyncio.gather(*(self._stop(instance) for instance in self._supervisor.instances))

    async def _wake(self, artifact: Artifact) -> None:
        if self._waking is None:
            self._waking = self._platform.spawn(self._started_by_request(artifact))
        await asyncio.shield(self._waking)

    async def _started_by_request(self, artifact: Artifact) -> None:
        await asyncio.sleep(self._times.wake_s)
        instance = await self._started_again(artifact)
        self._waking = None
        if self._edge.on_request:
            self._edge.on_request = None
            self._join(instance)
        else:  # a deploy has taken its place meanwhile
            self._drain_soon(instance)

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
        """Watch an instance that has traffic until it ended or is unhealthy for too long; then another takes its place.

        Render: no traffic after 15 s of failed checks, a restart after 60 s (render.com/docs/health-checks).
        """
        well_s = time.monotonic()
        while instance.running and time.monotonic() - well_s < self._times.restart_after_s:
            await asyncio.sleep(self._times.health_interval_s)
            if await self._healthy(instance):
                well_s = time.monotonic()
                self._give_traffic(instance)
            elif time.monotonic() - well_s >= self._times.no_traffic_after_s:
                self._take_traffic(instance)
        self._take_traffic(instance)
        await self._stop(instance)
        another = await self._started_again(instance.artifact)
        del self._members[instance]
        self._join(another)

    async def _started_again(self, artifact: Artifact) -> Instance:
        while True:
            try:
                return await self.start_until_healthy(artifact)
            except StartFailedError as error:
                self._platform.note(Kind.FAILED, commit=artifact.commit, detail=str(error))

    async def _renew(self, artifact: Artifact, count: int) -> None:
        await self.roll_out(await self._started_again(artifact), count)

    async def _turn_back(self, new: list[Instance], count: int) -> None:
        """Give up a replacement half-way: what was replaced already is started again, and takes its place back."""
        old = self._others(new)
        for _ in range(count - len(old) if old else 0):
            self._join(await self._started_again(old[0].artifact))
        for instance in new:
            self._retire(instance)

    def _join(self, instance: Instance) -> None:
        self._members[instance] = self._platform.spawn(self._keep_well(instance))
        self._give_traffic(instance)

    def _retire(self, instance: Instance) -> None:
        if watch := self._members.pop(instance, None):
            watch.cancel()
            self._take_traffic(instance)
            self._drain_soon(instance)

    def _drain_soon(self, instance: Instance) -> None:
        self._leaving.add(instance)
        self._platform.spawn(self._drain(instance))

    def _give_traffic(self, instance: Instance) -> None:
        upstream = Upstream(instance.url, instance.commit, instance.id)
        if instance in self._members and upstream not in self._edge.upstreams:
            self._edge.route_to([*self._edge.upstreams, upstream])
            self._platform.note(Kind.TRAFFIC_SWITCHED, commit=instance.commit, detail=instance.id)

    def _take_traffic(self, instance: Instance) -> None:
        self._tell_edge(instance.id, gone=instance.id)

    def _tell_edge(self, reason: str, gone: str = "") -> None:
        before = self._edge.upstreams
        self._edge.route_to([row for row in before if gone and row.instance_id != gone])
        if before and not self._edge.upstreams:
            self._platform.note(Kind.TRAFFIC_STOPPED, detail=reason)

    async def _drain(self, instance: Instance) -> None:
        await asyncio.sleep(self._times.drain_s)
        if instance in self._supervisor.instances:
            await self._stop(instance)

    async def _stop(self, instance: Instance) -> None:
        await self._supervisor.stop(instance, self._times.shutdown_delay_s)
        self._leaving.discard(instance)
        self._platform.note(Kind.INSTANCE_STOPPED, commit=instance.commit, detail=instance.id)
