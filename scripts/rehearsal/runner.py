"""What a workflow run does, without GitHub: the stages in order, each a process of its own, as in release.yml.

The stages are the real command line. Nothing here knows whether the release is good.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.rehearsal.children import Child, end_child, start_child
from scripts.release import STAGES, Stage

PACKAGE = Path(__file__).resolve().parents[1]
STAGE_LIMIT_S = 120.0
PASSED_ON = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")


@dataclass(frozen=True)
class Ran:
    """One stage's process: its exit code (negative: the signal that ended it) and its monotonic start and end."""

    stage: Stage
    exit_code: int
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Runner:
    """A machine with a checkout, a configuration and secrets; `say` gets each line that a stage prints."""

    checkout: Path
    config: Path
    folder: Path
    secrets: Mapping[str, str]
    say: Callable[[str], None]
    python: str = sys.executable

    @property
    def state(self) -> Path:
        """Where the journal is."""
        return self.folder / "state"

    @property
    def log(self) -> Path:
        """Everything that the stages printed."""
        return self.folder / "stages.log"

    async def release(self, commit: str, kill_in: Stage | None, kill_after_s: float) -> list[Ran]:
        """Do what the job `release` does, and `recover` where it failed; `kill_in` loses the machine in that stage."""
        self.folder.mkdir(parents=True, exist_ok=True)
        rows: list[Ran] = []
        for stage in STAGES:
            kill_s = kill_after_s if stage is kill_in else None
            words = ["--commit", commit] if stage is Stage.PLAN else []
            rows.append(await self.run(stage, *words, kill_after_s=kill_s))
            if stage is Stage.PLAN:
                self._save_baseline()
            if rows[-1].exit_code != 0:
                break
        if rows[-1].exit_code == 0:
            await self.run(Stage.REPORT)
            return rows
        if rows[-1].exit_code == -signal.SIGKILL:
            self._lose_machine()
        else:
            rows.append(await self.run(Stage.ROLLBACK))
        rows.append(await self.run(Stage.RECOVER))
        await self.run(Stage.REPORT)
        return rows

    async def run(self, stage: Stage, *words: str, kill_after_s: float | None = None) -> Ran:
        """Run one stage to its end, or kill it after that many seconds; what it prints is passed on as it comes."""
        start_s = time.monotonic()
        options = ("--config", str(self.config), "--state", str(self.state), "--json")
        command = [self.python, str(PACKAGE), stage, *options, *words]
        seen = self.log.stat().st_size if self.log.exists() else 0
        child = await start_child(command, environment=self._environment(), folder=self.checkout, log=self.log)
        try:
            async with asyncio.timeout(STAGE_LIMIT_S):
                await self._follow(child, seen, kill_after_s)
        finally:
            await end_child(child, 0)
        code = child.process.returncode
        return Ran(stage, -signal.SIGKILL if code is None else code, start_s, time.monotonic())

    async def _follow(self, child: Child, seen: int, kill_after_s: float | None) -> None:
        ending = asyncio.ensure_future(child.process.wait())
        kill_at = time.monotonic() + kill_after_s if kill_after_s is not None else None
        try:
            while not ending.done():
                await asyncio.wait({ending}, timeout=0.1)
                seen = self._pass_on(seen)
                if kill_at is not None and time.monotonic() >= kill_at:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(child.process.pid, signal.SIGKILL)
        finally:
            ending.cancel()

    def _pass_on(self, seen: int) -> int:
        with self.log.open("rb") as file:
            file.seek(seen)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        for line in whole.decode(errors="replace").splitlines():
            if not line.startswith("{"):
                self.say(line)
        return seen + len(whole)

    def _environment(self) -> dict[str, str]:
        passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        home = str(self.folder)
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": home,
            "LANG": "C.UTF-8",
            **passed_on,
            **self.secrets,
        }

    def _save_baseline(self) -> None:
        """Keep what the workflow uploads after `plan`: all that another machine will have."""
        shutil.copytree(self.state, self.folder / "uploaded", dirs_exist_ok=True)

    def _lose_machine(self) -> None:
        shutil.rmtree(self.state)
        shutil.copytree(self.folder / "uploaded", self.state)
