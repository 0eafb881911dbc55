"""What whoever meddles with a drill has in hands: its world, the run that goes on in it, and moments to wait for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.journal import NAME
from scripts.rehearsal.changes import Change, harmless
from scripts.rehearsal.clone import commit_change

if TYPE_CHECKING:
    from scripts.rehearsal.clouds.render import RenderCloud
    from scripts.rehearsal.clouds.vercel import VercelCloud
    from scripts.rehearsal.edge import Edge
    from scripts.rehearsal.runner import Ran, Runner
    from scripts.rehearsal.world import World
    from scripts.release import Stage

LOOK_S = 0.02

type Meddle = Callable[[Scene], Awaitable[None]]
type Act = Callable[[Scene], Awaitable[list[Ran]]]


class Scene:
    """One drill while it is played. `runner` is the run that the drill is judged by; `words` name further commits."""

    def __init__(self, world: World, runner: Runner) -> None:
        self.world = world
        self.runner = runner
        self.words: dict[str, str] = {}

    @property
    def render(self) -> RenderCloud:
        """The emulated Render."""
        return self.world.cloud

    @property
    def vercel(self) -> VercelCloud:
        """The emulated Vercel."""
        return self.world.vercel

    async def begins(self, stage: Stage) -> None:
        """Wait until a stage has written down that it began."""
        mark = f'"stage": "{stage}"'
        while not self._journal_tells("stage_started", mark):  # noqa: ASYNC110  # a file sets no event
            await asyncio.sleep(LOOK_S)

    async def intends(self, action: str) -> None:
        """Wait until a change is about to be asked for: `deploy`, `promote`, `roll_back`, `cancel`."""
        mark = f'"action": "{action}"'
        while not self._journal_tells("intent", mark):  # noqa: ASYNC110  # as above
            await asyncio.sleep(LOOK_S)

    def _journal_tells(self, kind: str, mark: str) -> bool:
        with contextlib.suppress(OSError):
            lines = (self.runner.state / NAME).read_text(encoding="utf-8", errors="replace").splitlines()
            return any(f'"{kind}"' in line and mark in line for line in lines)
        return False

    async def serves(self, commit: str, target: str = "render") -> None:
        """Wait until a commit has answered somebody at the public URL."""
        while self.edge(target).first_answer(commit) is None:  # noqa: ASYNC110  # an edge sets no event
            await asyncio.sleep(LOOK_S)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to what runs now; a kill takes everything along that it started, as a lost machine does."""
        for process in self.runner.processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process, number) if number is signal.SIGKILL else os.kill(process, number)

    async def commit(self, word: str, change: Change = harmless) -> str:
        """Make another commit on top of all others; what serves it at the end is told by that word."""
        commit = await commit_change(self.world.clone, word, change)
        self.words[commit] = word
        return commit

    def another_runner(self, name: str, *, with_state: bool = False) -> Runner:
        """Give another machine, that knows nothing yet or, `with_state`, all that this one does."""
        another = replace(self.runner, folder=self.runner.folder.with_name(name), interludes={}, processes={})
        if with_state:
            shutil.copytree(self.runner.state, another.state)
        return another

    def edge(self, target: str) -> Edge:
        """What stands in front of a target."""
        return next(site.edge for site in self.world.sites if site.name == target)

    @property
    def outage(self) -> Path:
        """The file that makes what both releases need fail, while it is there."""
        return self.world.outage
