"""What a workflow run does, without GitHub: the stages in order, each a process of its own, as in release.yml.

The stages are the real command line. Nothing here knows whether the release is good.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
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
END_LIMIT_S = 3.0
COVERAGE = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
FOR_BUILDS = re.compile(r"(UV|PIP)_[A-Z0-9_]+|HTTPS?_PROXY|https?_proxy|SSL_CERT_(FILE|DIR)")  # a way to the packages
BUILD = "build"


@dataclass(frozen=True)
class Ran:
    """A process of a run: its verb, its exit code (negative: the signal that ended it), its monotonic start and end."""

    stage: str
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
    builds: bool = False  # a function is built first, as the job `build` does
    node_options: str = ""

    @property
    def state(self) -> Path:
        """Where the journal is."""
        return self.folder / "state"

    @property
    def built(self) -> Path:
        """What was built for Vercel."""
        return self.folder / "build"

    @property
    def log(self) -> Path:
        """Everything that the stages printed."""
        return self.folder / "stages.log"

    async def release(self, commit: str, kill_in: Stage | None, kill_after_s: float) -> list[Ran]:
        """Do what the workflow does: build, release, `recover` where that failed; `kill_in` loses the machine there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        rows = [await self.build(commit)] if self.builds else []
        if rows and rows[0].exit_code != 0:
            return rows
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

    async def build(self, commit: str) -> Ran:
        """Do what the job `build` does: without any secret, with a way to the package index."""
        words = ["--config", str(self.config), "--commit", commit, "--output", str(self.built), "--json"]
        passed_on = {name: value for name, value in os.environ.items() if FOR_BUILDS.fullmatch(name)}
        home = os.environ.get("HOME", str(self.folder))  # where uv keeps what it downloaded, and pip its settings
        return await self._run_verb(BUILD, words, {**self._environment({}), **passed_on, "HOME": home}, None)

    async def run(self, stage: Stage, *words: str, kill_after_s: float | None = None) -> Ran:
        """Run one stage to its end, or kill it after that many seconds; what it prints is passed on as it comes."""
        options = ["--config", str(self.config), "--state", str(self.state), "--json"]
        if stage in {Stage.PLAN, Stage.DEPLOY}:
            options += ["--build", str(self.built)]
        return await self._run_verb(stage, [*options, *words], self._environment(self.secrets), kill_after_s)

    async def _run_verb(
        self, verb: str, words: list[str], environment: Mapping[str, str], kill_after_s: float | None
    ) -> Ran:
        start_s = time.monotonic()
        command = [self.python, str(PACKAGE), verb, *words]
        seen = self.log.stat().st_size if self.log.exists() else 0
        child = await start_child(command, environment=environment, folder=self.checkout, log=self.log)
        try:
            async with asyncio.timeout(STAGE_LIMIT_S):
                await self._follow(child, seen, kill_after_s)
        finally:
            await end_child(child, END_LIMIT_S)  # it may have the CLI running, in a group of its own
        code = child.process.returncode
        return Ran(verb, -signal.SIGKILL if code is None else code, start_s, time.monotonic())

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

    def _environment(self, secrets: Mapping[str, str]) -> dict[str, str]:
        passed_on = {name: os.environ[name] for name in COVERAGE if name in os.environ}
        if self.node_options:
            passed_on["NODE_OPTIONS"] = self.node_options
        home = str(self.folder)
        scratch = self.folder / "tmp"  # so that what a killed stage leaves goes with the drill's folder
        scratch.mkdir(parents=True, exist_ok=True)
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": home,
            "LANG": "C.UTF-8",
            "TMPDIR": str(scratch),
            **passed_on,
            **secrets,
        }

    def _save_baseline(self) -> None:
        """Keep what the workflow uploads after `plan`: all that another machine will have."""
        shutil.copytree(self.state, self.folder / "uploaded", dirs_exist_ok=True)

    def _lose_machine(self) -> None:
        shutil.rmtree(self.state)
        shutil.copytree(self.folder / "uploaded", self.state)
