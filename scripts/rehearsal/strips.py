"""A drill as strips for a terminal: a cell is a second, and all have the same seconds above one another. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.text import Text

from scripts.judging.curve import LEVELS, LOWEST, PROOF
from scripts.rehearsal.recording import BASELINE, CANDIDATE, Bet, SiteRecording, StageRun, Tick

STYLES: Mapping[str, str] = {BASELINE: "bright_black", CANDIDATE: "blue"}
ANOTHER, NOBODY = "magenta", "red"
SERVED, MIXED, SILENT = "█", "▚", "·"
STAGE_STYLES = ("reverse", "reverse dim")
ENDED_BADLY = "white on red"
GOOD, BAD = "green", "bold red"
SLOW_MS = 1000.0
WIDE, ENOUGH_S = 2, 30  # cells for a second, where so many seconds fit


@dataclass(frozen=True)
class Window:
    """The seconds that are shown: `seconds` of them, from `first` on, each so many cells wide."""

    first: int
    seconds: int
    cells: int = 1

    @classmethod
    def ending(cls, now_s: float, width: int) -> Window:
        """Give the window that ends with the present second, as wide as that; where there is room, of wide seconds."""
        cells = WIDE if width >= WIDE * ENOUGH_S else 1
        seconds = width // cells
        return cls(max(0, math.floor(now_s) + 1 - seconds), seconds, cells)

    def cell(self, t_s: float) -> int | None:
        """Give the place of a moment among the seconds; None where it is not shown."""
        place = math.ceil(t_s) - self.first
        return place if 0 <= place < self.seconds else None

    def placed[Row](self, rows: Iterable[Row], moment: Callable[[Row], float]) -> dict[int, Row]:
        """Give the last row of each place."""
        return {place: row for row in rows if (place := self.cell(moment(row))) is not None}


def strip_of_stages(stages: Sequence[StageRun], window: Window, now_s: float) -> Text:
    """Name each stage where it began; one that did not pass is red."""
    width = window.seconds * window.cells
    cells: list[tuple[str, str]] = [(" ", "")] * width
    for number, row in enumerate(stages):
        end_s = now_s if row.end_s is None else row.end_s
        style = ENDED_BADLY if row.exit_code else STAGE_STYLES[number % len(STAGE_STYLES)]
        begin, end = (math.floor((moment - window.first) * window.cells) for moment in (row.begin_s, end_s))
        shown = range(max(0, begin), min(width, max(end, begin + 1)))
        name = row.stage.ljust(len(shown))
        for place in shown:
            cells[place] = (name[place - shown.start], style)
    return Text.assemble(*cells)


def strip_of_answers(ticks: Sequence[Tick], window: Window) -> Text:
    """Colour each second by who answered in it; two releases at once are seen as two."""
    placed = window.placed(ticks, lambda tick: tick.t_s)
    text = Text()
    for place in range(_length(placed)):
        mark, style = _answered(placed.get(place))
        text.append(mark * window.cells, style)
    return text


def _answered(tick: Tick | None) -> tuple[str, str]:
    if tick is None:
        return " ", ""
    if not tick.answers:
        return SILENT, NOBODY
    most, *others = sorted(tick.answers, key=lambda word: -tick.answers[word])
    style = style_of(most)
    return (MIXED, f"{style} on {style_of(others[0])}") if others else (SERVED, style)


def style_of(word: str) -> str:
    """Give the colour of a release."""
    return STYLES.get(word, ANOTHER)


def strip_of_failures(ticks: Sequence[Tick], window: Window) -> Text:
    """Give for each second how large a share of the users' requests failed."""
    return _bars(ticks, window, lambda tick: tick.failed / max(1, tick.sent), BAD)


def strip_of_latency(ticks: Sequence[Tick], window: Window) -> Text:
    """Give for each second the latency that 95 of 100 kept to, on a logarithmic scale from 1 ms to 1 s."""
    share: Callable[[Tick], float] = lambda tick: math.log10(max(tick.p95_ms, 1.0)) / math.log10(SLOW_MS)  # noqa: E731
    return _bars(ticks, window, share, "cyan")


def strip_of_bets(bets: Sequence[Bet], window: Window) -> Text:
    """Give how strong the evidence was; a full bar is proof."""
    share: Callable[[Bet], float] = lambda bet: (bet.log10_e - LOWEST) / (PROOF - LOWEST)  # noqa: E731
    return _bars(bets, window, share, "yellow", full=BAD)


def _bars[Row: Tick | Bet](
    rows: Sequence[Row], window: Window, share: Callable[[Row], float], style: str, full: str = ""
) -> Text:
    text, placed = Text(), window.placed(rows, lambda row: row.t_s)
    for place in range(_length(placed)):
        part = share(placed[place]) if place in placed else 0.0
        level = min(len(LEVELS) - 1, max(0, math.ceil(part * (len(LEVELS) - 1))))
        level = level - 1 if part < 1 and level == len(LEVELS) - 1 else level
        mark = LEVELS[level] if part > 0 else " "
        text.append(mark * window.cells, full if full and part >= 1 else style)
    return text


def _length(rows: Mapping[int, object]) -> int:
    return max(rows, default=-1) + 1


def tell_serving(site: SiteRecording) -> Text:
    """Say who answered last, and what share of a second's answers was whose where there were two."""
    ticks = list(site.ticks[:-1] or site.ticks)  # the present second has only begun
    last = ticks[-1].answers if ticks else {}
    if not last:
        return Text("nobody answers" if ticks else "", NOBODY)
    total = sum(last.values())
    told = (f"{word} {count / total:.0%}" if len(last) > 1 else word for word, count in sorted(last.items()))
    return Text(", ".join(told), style_of(max(last, key=lambda word: last[word])))


def tell_users(site: SiteRecording) -> Text:
    """Say how many requests users sent in the last whole second, and how many failed of all."""
    rate = site.ticks[-2].sent if len(site.ticks) > 1 else 0
    return Text(f"{rate}/s, {site.failed} of {site.sent} failed", BAD if site.failed else "")


def tell_latency(ticks: Sequence[Tick]) -> Text:
    """Say how long the last whole second's requests took."""
    return Text(f"p50 {ticks[-2].p50_ms:.0f} ms, p95 {ticks[-2].p95_ms:.0f} ms" if len(ticks) > 1 else "")


def tell_bets(bets: Sequence[Bet]) -> Text:
    """Say how strong the evidence against the candidate is."""
    if not bets:
        return Text("")
    most = max(bet.log10_e for bet in bets)
    told = 10 ** min(bets[-1].log10_e, 99)
    return Text(f"{told:.3g} of {10**PROOF:.0f}", BAD if most >= PROOF else "")


def tell_marks(site: SiteRecording, now_s: float, most: int) -> Text:
    """Say what the platform did last."""
    told = []
    for mark in site.marks[-most:]:
        what = mark.what.replace("_", " ")
        told.append(f"{what} {mark.word}".strip() + f" {now_s - mark.t_s:.0f} s ago")
    return Text("; ".join(told), "dim")
