"""A cloud in a thread of its own, so that an adapter that blocks can talk to it."""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

LIMIT_S = 30


@dataclass(frozen=True)
class Beside[T]:
    """Something that lives on another thread's loop; its plain values may be read from anywhere."""

    value: T
    loop: asyncio.AbstractEventLoop
    leave: asyncio.Event

    def call[R](self, work: Coroutine[Any, Any, R]) -> R:
        """Do something on that loop, and wait for it; raises TimeoutError."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(LIMIT_S)


@contextlib.contextmanager
def beside[T](opened: contextlib.AbstractAsyncContextManager[T]) -> Iterator[Beside[T]]:
    """Enter something on a loop of its own and leave it there, in the same task as it was entered in."""
    ready: Future[Beside[T]] = Future()
    with ThreadPoolExecutor(1) as threads:
        ended = threads.submit(asyncio.run, _live(opened, ready))
        there = ready.result(LIMIT_S)
        try:
            yield there
        finally:
            there.loop.call_soon_threadsafe(there.leave.set)
            ended.result(LIMIT_S)


async def _live[T](opened: contextlib.AbstractAsyncContextManager[T], ready: Future[Beside[T]]) -> None:
    try:
        async with opened as value:
            leave = asyncio.Event()
            ready.set_result(Beside(value, asyncio.get_running_loop(), leave))
            await leave.wait()
    except BaseException as error:
        if ready.done():
            raise
        ready.set_exception(error)
