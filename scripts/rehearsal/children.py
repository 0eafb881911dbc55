"""Child processes, each in a group of its own, ended together with everything they started."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

LONGEST_LINE = 64 * 1024 * 1024  # bytes, of what a program that talks says at once
GONE_LIMIT_S = 2.0  # for the kernel to take a killed group away

# Linux kills the child when the rehearsal itself is killed, and no code of ours runs any more: prctl(2), where 1 is
# PR_SET_PDEATHSIG, kept across exec. The child asks for it itself, because Python between fork and exec can deadlock.
_DIE_WITH_PARENT = "import ctypes,os,sys;ctypes.CDLL(None).prctl(1,9);os.execvp(sys.argv[1],sys.argv[1:])"


@dataclass(frozen=True, eq=False)
class Child:
    """A running program; its process id is also the id of its group."""

    process: asyncio.subprocess.Process
    log: Path

    @property
    def running(self) -> bool:
        """Whether the leader of the group has not ended."""
        return self.process.returncode is None


async def start_child(
    command: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path, talks: bool = False
) -> Child:
    """Start a program in a new session with exactly this environment, its output appended to a file.

    One that `talks` has pipes for stdin and stdout, and only its stderr goes to the file.
    """
    with _append(log) as output:
        started = await asyncio.create_subprocess_exec(
            *_dying_with_us(command),
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
            stdout=subprocess.PIPE if talks else output,
            stderr=output if talks else subprocess.STDOUT,
            start_new_session=True,
            limit=LONGEST_LINE,
        )
    return Child(started, log)


async def end_child(child: Child, kill_after_s: float) -> None:
    """Send SIGTERM to the leader, and SIGKILL to the whole group once it is gone or `kill_after_s` seconds are over."""
    group = child.process.pid
    try:
        if child.running and kill_after_s > 0:
            _signal(os.kill, group, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(child.process.wait(), kill_after_s)
    finally:
        _signal(os.killpg, group, signal.SIGKILL)
        await child.process.wait()
        await _group_gone(group)


async def run_child(
    command: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path, limit_s: float
) -> int:
    """Run a program to its end and return its exit code; raises TimeoutError, and leaves nothing running."""
    child = await start_child(command, environment=environment, folder=folder, log=log)
    try:
        return await asyncio.wait_for(child.process.wait(), limit_s)
    finally:
        await end_child(child, 0)


def last_lines(log: Path, count: int = 15) -> str:
    """Read the end of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])


def _append(log: Path) -> IO[bytes]:
    return log.open("ab")


def _dying_with_us(command: Sequence[str]) -> list[str]:
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, *command]


def _signal(send: Callable[[int, int], None], target: int, number: int) -> bool:
    """Send a signal; False when there is nobody left to get it (macOS says EPERM where only zombies are left)."""
    try:
        send(target, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


async def _group_gone(group: int) -> None:
    """Wait for the members that the leader left behind: init reaps them, not we."""
    deadline = time.monotonic() + GONE_LIMIT_S
    while _signal(os.killpg, group, 0) and time.monotonic() < deadline:  # noqa: ASYNC110  # the kernel sets no event
        await asyncio.sleep(0.01)
