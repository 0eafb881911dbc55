"""What a workflow run does, without GitHub: the stages in order, each a process of its own, as in release.yml.

The stages are the real command line. Nothing here knows whether the release is good.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from scripts.rehearsal.children import Child, end_child, start_child
from scripts.release import STAGES, Stage

PACKAGE = Path(__file__).resolve().parents[1]
STAGE_LIMIT_S = 120.0
END_LIMIT_S = 3.0
MOST_RECOVERS = 2
COVERAGE = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
FOR_BUILDS = re.compile(r"(UV|PIP)_[A-Z0-9_]+|HTTPS?_PROXY|https?_proxy|SSL_CERT_(FILE|DIR)")  # a way to the packages
BUILD = "build"
ELSEWHERE = ("nice", "-n", "15")  # it runs on a machine of its own, and takes nothing from the service and its users


@dataclass(frozen=True)
class Ran:
    """A process of a run: its verb, its exit code (negative: the signal that ended it), its monotonic start and end."""

    stage: str
    exit_code: int
    start_s: float
    end_s: float

    @property
    def lost(self) -> bool:
        """Whether it was killed, and its machine is gone with it."""
        return self.exit_code == -signal.SIGKILL


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
    built_before: dict[str, Path] = field(default_factory=dict)  # by commit; and where more of it is kept
    keeps_builds: Path | None = None
    keeps_artifacts: bool = True  # the baseline's upload, that another machine goes on from
    variables: Mapping[str, str] = field(default_factory=dict)  # of the machine, beyond the secrets
    interludes: dict[Stage, Callable[[], Awaitable[None]]] = field(default_factory=dict)  # before a stage begins
    processes: dict[str, int] = field(default_factory=dict)  # what runs now: by verb, the process id
    begun: list[tuple[str, float]] = field(default_factory=list)  # each verb, and when; of all runners of a drill
    ran: list[Ran] = field(default_factory=list)  # those of them that ended
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())

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

    async def release(self, commit: str) -> list[Ran]:
        """Do what the workflow does: build, release, and where that fails roll back and recover."""
        self.folder.mkdir(parents=True, exist_ok=True)
        rows = [await self.build(commit)] if self.builds else []
        if rows and rows[0].exit_code != 0:
            return rows
        for stage in STAGES:
            rows.append(await self.run(stage, *(["--commit", commit] if stage is Stage.PLAN else [])))
            if stage is Stage.PLAN:
                self._keep("baseline")
            if rows[-1].exit_code != 0:
                rows += await self._recover(commit, lost=rows[-1].lost)
                break
        await self.run(Stage.REPORT)
        return rows

    async def _recover(self, commit: str, *, lost: bool) -> list[Ran]:
        """Do what is left after a failure: the job's own rollback, unless its machine is lost, then the job `recover`.

        That one begins on another machine, with what was kept. Where it is lost too, somebody starts it again.
        """
        rows = [] if lost else [await self.run(Stage.ROLLBACK)]
        if not (lost or rows[-1].lost):
            self._keep("release")
        shutil.rmtree(self.state, ignore_errors=True)
        fetched = "success" if self.keeps_artifacts else "failure"
        words = ["--commit", commit, "--kept", str(self.folder / "kept"), "--fetched", fetched]
        for _ in range(MOST_RECOVERS):
            rows.append(await self.run(Stage.RECOVER, *words))
            if not rows[-1].lost:
                break
        return rows

    async def build(self, commit: str) -> Ran:
        """Do what the job `build` does: without any secret, with a way to the package index.

        What another drill had built of the same commit is taken as it is.
        """
        if commit in self.built_before:
            return await self._take_built(self.built_before[commit])
        words = ["--config", str(self.config), "--commit", commit, "--output", str(self.built), "--json"]
        passed_on = {name: value for name, value in os.environ.items() if FOR_BUILDS.fullmatch(name)}
        home = os.environ.get("HOME", str(self.folder))  # where uv keeps what it downloaded, and pip its settings
        ran = await self._run_verb(BUILD, words, {**self._environment({}), **passed_on, "HOME": home})
        if ran.exit_code == 0 and self.keeps_builds:
            await asyncio.to_thread(shutil.copytree, self.built, self.keeps_builds / commit)
            self.built_before[commit] = self.keeps_builds / commit
        return ran

    async def _take_built(self, built: Path) -> Ran:
        start_s = time.monotonic()
        self.begun.append((BUILD, start_s))
        await asyncio.to_thread(shutil.copytree, built, self.built)
        self.say("build: taken from a drill that shipped the same commit")
        self.ran.append(Ran(BUILD, 0, start_s, time.monotonic()))
        return self.ran[-1]

    async def run(self, stage: Stage, *words: str) -> Ran:
        """Run one stage to its end; what it prints is passed on as it comes."""
        if stage in self.interludes:
            await self.interludes[stage]()
        options = ["--config", str(self.config), "--state", str(self.state), "--json"]
        if stage in {Stage.PLAN, Stage.DEPLOY}:
            options += ["--build", str(self.built)]
        given = {**self._environment(self.secrets), "SLIPWAY_RUN_STARTED": self.started_at, **self.variables}
        return await self._run_verb(stage, [*options, *words], given)

    async def _run_verb(self, verb: str, words: list[str], environment: Mapping[str, str]) -> Ran:
        start_s = time.monotonic()
        self.begun.append((verb, start_s))
        command = [*(ELSEWHERE if verb == BUILD else ()), self.python, str(PACKAGE), verb, *words]
        seen = self.log.stat().st_size if self.log.exists() else 0
        child = await start_child(command, environment=environment, folder=self.checkout, log=self.log)
        self.processes[verb] = child.process.pid
        try:
            async with asyncio.timeout(STAGE_LIMIT_S):
                await self._follow(child, seen)
        finally:
            del self.processes[verb]
            await end_child(child, END_LIMIT_S)  # it may have the CLI running, in a group of its own
        code = child.process.returncode
        self.ran.append(Ran(verb, -signal.SIGKILL if code is None else code, start_s, time.monotonic()))
        return self.ran[-1]

    async def _follow(self, child: Child, seen: int) -> None:
        ending = asyncio.ensure_future(child.process.wait())
        try:
            while not ending.done():
                await asyncio.wait({ending}, timeout=0.1)
                seen = self._pass_on(seen)
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

    def _keep(self, name: str) -> None:
        """Keep what the workflow uploads at that moment: all that another machine will have."""
        if self.keeps_artifacts and self.state.is_dir():
            shutil.copytree(self.state, self.folder / "kept" / name)
