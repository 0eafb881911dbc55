"""What programs that are cut short leave running: found and ended, also in sessions of their own.

A killed test cannot end the servers that it started, and those are not in its group. While somebody is being stopped,
this process takes the place of init for everything below it (Linux; elsewhere the group is all that is known).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Set
from pathlib import Path

SET_CHILD_SUBREAPER = 36  # prctl(2)
LOOK_S = 0.02
LIMIT_S = 5.0


@contextlib.asynccontextmanager
async def ending_orphans() -> AsyncIterator[None]:
    """Whoever loses its parent within the block is ended at its end; who was our child before is left alone.

    Only while stopping: a running test that waits for its own orphans to be gone would wait for us to bury them.
    """
    if sys.platform != "linux":
        yield
        return
    ours = _children()
    libc = ctypes.CDLL(None)
    libc.prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    burying = asyncio.create_task(_bury(ours))
    try:
        yield
    finally:
        burying.cancel()
        await _end(ours)
        libc.prctl(SET_CHILD_SUBREAPER, 0, 0, 0, 0)


async def _bury(ours: Set[int]) -> None:
    """Reap orphans that ended: a group counts as there while a dead member of it is not reaped."""
    while True:
        for orphan in _children() - ours:
            _reap(orphan)
        await asyncio.sleep(LOOK_S)


async def _end(ours: Set[int]) -> None:
    """Kill orphans until there are none: each may leave orphans of its own."""
    deadline = time.monotonic() + LIMIT_S
    while (orphans := _children() - ours) and time.monotonic() < deadline:
        for orphan in orphans:
            with contextlib.suppress(OSError):
                os.kill(orphan, signal.SIGKILL)
            _reap(orphan)
        await asyncio.sleep(LOOK_S)


def _reap(orphan: int) -> None:
    with contextlib.suppress(OSError):
        os.waitpid(orphan, os.WNOHANG)


def _children() -> Set[int]:
    """Give the process ids of our children; the kernel's own list of them is not in every kernel."""
    me = os.getpid()
    return {int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _parent(entry) == me}


def _parent(entry: Path) -> int:
    """Give the fourth field of `stat`, counted behind the name, which may hold anything: proc_pid_stat(5)."""
    try:
        return int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0
