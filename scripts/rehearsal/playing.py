"""Drills played side by side, as many as may be, with what is to be seen of them on a screen or line by line."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from typing import Protocol

from scripts.console import Console
from scripts.rehearsal.book.drill import Drill
from scripts.rehearsal.clone import make_clone
from scripts.rehearsal.kit import Kit, prepare
from scripts.rehearsal.play import Played, nobody, play
from scripts.rehearsal.recording import Recorder
from scripts.release import Sha

type Watcher = Callable[[Recorder], None]


class Show(Protocol):
    """What a person sees of the drills."""

    def shown(self) -> AbstractAsyncContextManager[None]:
        """Be there meanwhile."""
        ...

    def view(self, name: str, what: str) -> AbstractContextManager[tuple[Console, Watcher]]:
        """Give one drill a console, and somebody to look at it."""
        ...

    def say(self, line: str) -> None:
        """Tell something of all of them."""
        ...

    def end(self, played: Played) -> None:
        """Take note of how a drill ended."""
        ...


class Lines:
    """Line by line, as in CI: whoever plays says it all by itself."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextlib.asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """Do nothing: there is nothing to keep fresh."""
        yield

    @contextlib.contextmanager
    def view(self, name: str, what: str) -> Iterator[tuple[Console, Watcher]]:
        """Let it speak."""
        del name, what
        yield self._console, nobody

    def say(self, line: str) -> None:
        """Say it."""
        self._console.say(line)

    def end(self, played: Played) -> None:
        """Do nothing: it was said."""


async def play_all(
    drills: Sequence[Drill], targets: Sequence[str], root: Path, environment: Mapping[str, str], show: Show, jobs: int
) -> tuple[str | None, list[Played]]:
    """Play each in a temporary folder; the first SIGINT or SIGTERM ends it in order, later ones change nothing.

    Gives the CLI's version, where it was needed, and how each drill ended, those that are played alone at the end.

    Raises:
        KeyboardInterrupt: it was interrupted, and everything that was started has ended.
        SlipwayError: a drill cannot be played on this machine.
    """
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    ended = False

    def end() -> None:
        nonlocal ended
        if not ended and task is not None:
            show.say("interrupted: stopping everything that was started")
            task.cancel()
        ended = True

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    try:
        async with show.shown():
            return await _play_each(drills, targets, root, environment, show, jobs)
    except asyncio.CancelledError as error:
        if ended:
            raise KeyboardInterrupt from error
        raise


async def _play_each(
    drills: Sequence[Drill], targets: Sequence[str], root: Path, environment: Mapping[str, str], show: Show, jobs: int
) -> tuple[str | None, list[Played]]:
    with tempfile.TemporaryDirectory(prefix="slipway-") as kept:
        needed = "vercel" in targets and any(drill.plays_on("vercel") for drill in drills)
        kit = await _show_kit(root, Path(kept), environment, show) if needed else None

        async def play_one(drill: Drill) -> Played:
            own = kit if drill.plays_on("vercel") else None
            with (
                tempfile.TemporaryDirectory(prefix="slipway-") as folder,
                show.view(drill.name, drill.what) as (console, watcher),
            ):
                played = await play(drill, root, Path(folder), console, own, watcher)
            show.end(played)
            return played

        together = [drill for drill in drills if not drill.alone]
        lanes = Lanes([kit is not None and drill.plays_on("vercel") for drill in together])
        played = await lanes.run(jobs, lambda place: play_one(together[place]))
        played += [await play_one(drill) for drill in drills if drill.alone]
    return (kit.cli_version if kit else None), played


class Lanes:
    """Drills side by side, of which `builds` says whether they build a function.

    One builds at a time: a build takes a core and more. And those begin first: they take the longest.
    """

    def __init__(self, builds: Sequence[bool]) -> None:
        self._builds = builds
        self._waiting = sorted(range(len(builds)), key=lambda place: not builds[place])
        self._building = False
        self._changed = asyncio.Condition()

    async def run[Row](self, jobs: int, play_one: Callable[[int], Awaitable[Row]]) -> list[Row]:
        """Play all of them, as many at once; what one raises ends the others, each in its own order."""
        rows: dict[int, Row] = {}

        async def go() -> None:
            while (place := await self._take()) is not None:
                try:
                    rows[place] = await play_one(place)
                finally:
                    await self._end(place)

        lanes = [asyncio.ensure_future(go()) for _ in range(jobs)]
        try:
            await asyncio.gather(*lanes)
        finally:
            for lane in lanes:
                if not lane.cancelling():  # a second time would break off what it does to end
                    lane.cancel()
            await asyncio.gather(*lanes, return_exceptions=True)
        return [rows[place] for place in sorted(rows)]

    async def _take(self) -> int | None:
        async with self._changed:
            while self._waiting:
                place = next((row for row in self._waiting if not (self._builds[row] and self._building)), None)
                if place is not None:
                    self._waiting.remove(place)
                    self._building = self._building or self._builds[place]
                    return place
                await self._changed.wait()
            return None

    async def _end(self, place: int) -> None:
        async with self._changed:
            if self._builds[place]:
                self._building = False
            self._changed.notify_all()


async def _show_kit(root: Path, folder: Path, environment: Mapping[str, str], show: Show) -> Kit:
    with show.view("function", "the one of the release that serves is built, once") as (console, _):
        return await open_kit(root, folder, environment, console)


async def open_kit(root: Path, folder: Path, environment: Mapping[str, str], console: Console) -> Kit:
    """Prepare what a rehearsal of Vercel needs, from the repository's HEAD.

    Raises:
        SlipwayError: it is not to be had here.
    """
    console.say("building the function of the release that serves")
    head = await make_clone(root, folder / "clone")
    return await prepare(root, folder / "clone", Sha(head), folder, environment, lambda line: console.say(f"  {line}"))
