"""How much CPU time a process and all that it started have used."""

from __future__ import annotations

import ctypes
import time

import psutil

LIBC = ctypes.CDLL(None)


def cpu_seconds(pid: int) -> float:
    """Give the CPU seconds, user's and system's, of a process, its descendants, and those that it has waited for.

    0.0 of a process that is not there.

    On Linux by the process's own clock (clock_getcpuclockid(3)), which counts nanoseconds: what /proc and so psutil
    tell comes in steps of 10 ms, a few per cent of a block of a quarter of a second.
    """
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    return sum(_of_one(each) for each in family)


def _of_one(process: psutil.Process) -> float:
    try:
        told = process.cpu_times()
        ended = told.children_user + told.children_system
        own = _by_clock(process.pid) if hasattr(LIBC, "clock_getcpuclockid") else told.user + told.system
    except (psutil.Error, OSError):  # it ended meanwhile
        return 0.0
    return float(own + ended)


def _by_clock(pid: int) -> float:
    clock = ctypes.c_int()
    error = LIBC.clock_getcpuclockid(ctypes.c_int(pid), ctypes.byref(clock))
    if error:
        raise OSError(error, "no clock of this process")
    return time.clock_gettime(clock.value)
