"""A rehearsal that is interrupted leaves nothing behind."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST_S = 30.0  # of `rehearse --drill good,errors`: interrupts come up to here
SEED = 20_261_122


def processes_of(marker: str) -> list[str]:
    """Give the command lines of processes whose command, folder or environment names the marker."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            where = str((entry / "cwd").readlink())
        except OSError:
            continue
        if int(entry.name) != os.getpid() and (marker.encode() in told or marker in where):
            found.append(told[:200].decode(errors="replace"))
    return found


def interrupt_after(seconds: float, folder: Path, number: signal.Signals = signal.SIGINT) -> int:
    """Start a rehearsal, interrupt it as a terminal does, and give its exit code."""
    environment = {**os.environ, "TMPDIR": str(folder)}
    jobs = "2" if seconds < LONGEST_S / 2 - 2 else "1"  # side by side they are over sooner
    command = [sys.executable, "-m", "scripts", "rehearse", "--targets", "render", "--jobs", jobs]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as rehearsal:
        time.sleep(seconds)
        os.killpg(rehearsal.pid, number)
        return rehearsal.wait(timeout=30)


def moments(count: int) -> list[float]:
    """Give seeded moments, spread over a rehearsal's whole length."""
    chance = random.Random(SEED)
    return [round(LONGEST_S * (place + chance.random()) / count, 2) for place in range(count)]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc, which only Linux has")
@pytest.mark.parametrize(
    "seconds",
    [pytest.param(moment, marks=[] if place == 6 else pytest.mark.slow) for place, moment in enumerate(moments(20))],
)
def test_interrupted_rehearsal_leaves_nothing(seconds: float, tmp_path: Path) -> None:
    """SIGINT at any moment ends a rehearsal with exit 130, no process and no file left."""
    assert interrupt_after(seconds, tmp_path) == 130
    assert list(tmp_path.iterdir()) == []
    assert processes_of(str(tmp_path)) == []
