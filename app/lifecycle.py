"""Where the process is between its first and its last moment, and what each of those moments does.

A resource (a pool, a client) is opened in the background, so that the port answers at once and says what is missing;
and closed after the last request. SIGTERM makes the service unready at once, a second one ends it.
"""

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from enum import StrEnum
from types import FrameType
from typing import Protocol

log = logging.getLogger("app")

CLOSING_LIMIT_S = 5.0  # for all resources: what does not close within it is left to the end of the process
AGAIN_S = 1.0
STOPPING_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Phase(StrEnum):
    """Where the process is."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"


class Resource(Protocol):
    """What the service holds from start to end."""

    name: str

    async def open(self) -> None:
        """Make it ready; asked again where it fails, so it leaves nothing half open."""

    async def close(self) -> None:
        """Give it back; it may never have been opened."""


class Lifecycle:
    """The phase of one process, and the resources that come and go with it; `opened` is told when all are there."""

    def __init__(self, resources: Iterable[Resource] = (), opened: Callable[[], object] = lambda: None) -> None:
        self.phase = Phase.STARTING
        self._resources = tuple(resources)
        self._opened = opened

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Be ready once everything is open, until a signal or the server ends it; then close everything."""
        with self._stopping_on_signals():
            opening = asyncio.create_task(self._open())
            await asyncio.sleep(0)  # what opens without waiting is open before the first request
            try:
                yield
            finally:
                self.phase = Phase.STOPPING
                opening.cancel()
                await asyncio.wait([opening])
                await self._close()

    async def _open(self) -> None:
        await asyncio.gather(*map(_open_in_the_end, self._resources))
        self._opened()
        if self.phase is Phase.STARTING:
            self.phase = Phase.READY

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(CLOSING_LIMIT_S):
                for resource in reversed(self._resources):
                    await _close_quietly(resource)
        except TimeoutError:
            log.warning("what the service holds did not close within %g s", CLOSING_LIMIT_S)

    @contextlib.contextmanager
    def _stopping_on_signals(self) -> Iterator[None]:
        """Turn unready on the server's own stop signals; the server goes on to do what it does with them.

        Of two signals the second one is passed on as SIGINT, which to uvicorn means: now.
        """
        if threading.current_thread() is not threading.main_thread():  # a test, or a server that stops in another way
            yield
            return
        before = {number: signal.getsignal(number) for number in STOPPING_SIGNALS}

        def stop(number: int, frame: FrameType | None) -> None:
            again, self.phase = self.phase is Phase.STOPPING, Phase.STOPPING
            theirs = before[signal.Signals(number)]
            if callable(theirs):
                theirs(signal.SIGINT if again else number, frame)

        ours = [number for number, theirs in before.items() if callable(theirs)]
        for number in ours:
            signal.signal(number, stop)
        try:
            yield
        finally:
            for number in ours:
                if signal.getsignal(number) is stop:
                    signal.signal(number, before[number])


async def _open_in_the_end(resource: Resource) -> None:
    """Open it, however often that takes: the service is not ready until then, and says which one is missing."""
    while True:
        try:
            return await resource.open()
        except Exception as error:  # noqa: BLE001 - whatever a driver raises means: not yet
            log.warning("%s cannot be opened: %s", resource.name, type(error).__name__)
            await asyncio.sleep(AGAIN_S)


async def _close_quietly(resource: Resource) -> None:
    try:
        await resource.close()
    except Exception as error:  # noqa: BLE001 - the others are to be closed all the same
        log.warning("%s did not close: %s", resource.name, type(error).__name__)
