"""Plays a scene in a process that has a loopback of its own and no other network, where the kernel lets it.

So a run of the workflows that needs anything from outside fails here, and nothing that it does can reach anybody.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

# From <linux/sockios.h> and <linux/if.h>: what `ip link set lo up` does, on machines that have no `ip`.
SIOCSIFFLAGS = 0x8914
UP_LOOPBACK_RUNNING = 0x1 | 0x8 | 0x40
END_LIMIT_S = 15.0


def may_be_cut_off() -> bool:
    """Tell whether the kernel lets a process leave the network; tried in one of its own."""
    code = "import os; os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNET)"
    return subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, check=False).returncode == 0


def play_cut_off(scene: Callable[[], None]) -> None:
    """Play a scene in a process of its own, cut off from the network where that is possible; fail as it failed."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child is one thread and execs nothing of ours
        child = os.fork()
    if child == 0:
        os.close(reading)
        _be_the_child(scene, writing)
    os.close(writing)
    try:
        with os.fdopen(reading, encoding="utf-8", errors="replace") as told:
            trouble = told.read()
    finally:
        status = _end(child)
    if trouble or status != 0:
        pytest.fail(trouble or f"the scene's process ended with {status}", pytrace=False)


def _be_the_child(scene: Callable[[], None], writing: int) -> None:
    """Play and end, whatever happens: nothing of the test session may run on in this process."""
    try:
        cut_off()
        scene()
    except BaseException:  # noqa: BLE001 - it is told to the parent
        with os.fdopen(writing, "w", encoding="utf-8") as told:
            told.write(traceback.format_exc())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def cut_off() -> None:
    """Leave the network for a namespace with nothing but a loopback, where the kernel allows it."""
    user, group = os.getuid(), os.getgid()
    try:
        os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNET)
    except (AttributeError, OSError):  # not Linux, or a machine that forbids it
        return
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", UP_LOOPBACK_RUNNING))


def _end(child: int) -> int:
    """Wait for the child that has told its end; one that has not is interrupted, so that it cleans up, then killed."""
    deadline = time.monotonic() + END_LIMIT_S
    asked = False
    while time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
        if not asked and time.monotonic() > deadline - END_LIMIT_S + 1:
            os.kill(child, signal.SIGINT)
            asked = True
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
