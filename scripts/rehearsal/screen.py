"""The live screen of a rehearsal: what each target serves, what its users meet, how the evidence grows.

It draws what `recording` saw, and knows no more. Drills that ended stay above it, a line each.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

from rich.console import Console as RichConsole
from rich.console import Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from scripts.console import Console
from scripts.foreign import plain
from scripts.rehearsal import strips
from scripts.rehearsal.recording import Recorder, Recording, SiteRecording

if TYPE_CHECKING:
    from scripts.rehearsal.play import Played
    from scripts.rehearsal.playing import Watcher

LOOK_S = 0.5
NAMES, FIGURES, FRAME = 9, 28, 8  # columns
LEAST_SECONDS, MOST_SECONDS = 15, 180
LINES_ALONE, LINES_BESIDE = 5, 1
MOST_MARKS = 3


class View(io.StringIO):
    """One drill on the screen: a file to which its console prints, and what there is to be seen of it."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__()
        self.name, self.what = name, what
        self.lines: deque[str] = deque(maxlen=LINES_ALONE)
        self.recorder: Recorder | None = None

    def write(self, text: str) -> int:
        """Keep the last lines."""
        self.lines.extend(line for line in text.splitlines() if line.strip())
        return len(text)

    def watch(self, recorder: Recorder) -> None:
        """Look at this from now on."""
        self.recorder = recorder


class Screen:
    """A terminal on which drills come and go."""

    def __init__(self, total: int, file: TextIO) -> None:
        self._total = total
        self._rich = RichConsole(file=file, highlight=False)
        self._views: list[View] = []
        self._played: list[Played] = []
        self._live = Live(console=self._rich, auto_refresh=False, transient=True, redirect_stdout=False)

    @contextlib.asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """Keep it fresh meanwhile; at the end only the lines of what was played stay."""
        with self._live:
            drawing = asyncio.ensure_future(self._keep_fresh())
            try:
                yield
            finally:
                drawing.cancel()
                await asyncio.wait({drawing})

    @contextlib.contextmanager
    def view(self, name: str, what: str) -> Iterator[tuple[Console, Watcher]]:
        """Show a drill while it is played."""
        view = View(name, what)
        self._views.append(view)
        try:
            yield Console(err=view), view.watch
        finally:
            self._views.remove(view)

    def say(self, line: str) -> None:
        """Say it above the drills."""
        self._rich.print(Text(line))

    def end(self, played: Played) -> None:
        """Write down how a drill ended."""
        self._played.append(played)
        self._rich.print(*tell_end(played), sep="\n")

    async def _keep_fresh(self) -> None:
        while True:
            self._live.update(self.render(), refresh=True)
            await asyncio.sleep(LOOK_S)

    def render(self) -> RenderableType:
        """Give what is to be seen now."""
        room = self._rich.width - NAMES - FIGURES - FRAME
        seconds = max(LEAST_SECONDS, min(MOST_SECONDS, room))
        most = LINES_ALONE if len(self._views) == 1 else LINES_BESIDE
        parts = []
        for view in list(self._views):
            seen = view.recorder.look(seconds + 2) if view.recorder else Recording()
            parts.append(render_drill(view.name, view.what, seen, list(view.lines)[-most:], seconds))
        return Group(*parts, tell_progress(self._played, self._total))


def render_drill(name: str, what: str, seen: Recording, lines: Sequence[str], seconds: int) -> RenderableType:
    """Draw one drill, its strips `seconds` wide, with the last lines that its stages said."""
    window = strips.Window.ending(seen.now_s, seconds)
    table = Table.grid(padding=(0, 1))
    table.add_column(width=NAMES, no_wrap=True, style="dim")
    table.add_column(width=seconds, no_wrap=True)
    table.add_column(max_width=FIGURES, no_wrap=True)
    running = [row.stage for row in seen.stages if row.end_s is None]
    stages = strips.strip_of_stages(seen.stages, window, seen.now_s)
    table.add_row("stages", stages, Text(", ".join(running), "bold"))
    for site in seen.sites:
        for cells in rows_of(site, window):
            table.add_row(*cells)
    marks = [
        Text.assemble((f"{site.name}  ", "dim"), strips.tell_marks(site, seen.now_s, MOST_MARKS)) for site in seen.sites
    ]
    said = [Text(plain(line, 300), no_wrap=True, overflow="ellipsis") for line in lines]
    title = Text.assemble((name, "bold"), f"  {plain(what)}", (f"  {seen.now_s:.0f} s", "dim"))
    for line in marks:
        line.no_wrap, line.overflow = True, "ellipsis"
    return Panel(Group(title, table, *marks, *said), border_style="dim")


def rows_of(site: SiteRecording, window: strips.Window) -> Iterator[tuple[RenderableType, ...]]:
    """Give the strips of a target, each with its name and its last figure."""
    ticks, bets = site.ticks, site.bets
    yield Text(site.name, "bold"), strips.strip_of_answers(ticks, window), strips.tell_serving(site)
    yield "failed", strips.strip_of_failures(ticks, window), strips.tell_users(site)
    yield "p95", strips.strip_of_latency(ticks, window), strips.tell_latency(ticks)
    if bets:
        yield "evidence", strips.strip_of_bets(bets, window), strips.tell_bets(bets)


def tell_end(played: Played) -> list[Text]:
    """Give a line on a drill that ended, and one for each thing that was not as stated."""
    seen = played.seen
    serving = ", ".join(dict.fromkeys(seen.serving.values()))
    mark = Text("fail  ", strips.BAD) if played.wrong else Text("ok    ", strips.GOOD)
    told = f"{played.drill.name}: exit {seen.exit_code}, {serving} serves, {seen.user_failures} of {seen.user_requests}"
    return [
        Text.assemble(mark, f"{told} user requests failed"),
        *(Text(f"       {plain(line)}") for line in played.wrong),
    ]


def tell_progress(played: Sequence[Played], total: int) -> Text:
    """Say how far the rehearsal is."""
    wrong = sum(bool(row.wrong) for row in played)
    told = f"{len(played)} of {total} drills played, {len(played) - wrong} as stated"
    return Text.assemble(told, ("; Ctrl-C ends in order", "dim"), style=strips.BAD if wrong else "")
