"""Drills as plots: SVG whose colours are those of the page around it, light or dark.

matplotlib knows no CSS: it draws with stand-ins, one colour for each name, which are replaced in what it wrote.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from scripts.foreign import for_html
from scripts.judging.curve import PROOF
from scripts.rehearsal.recording import BASELINE, CANDIDATE, Mark, Recording, SiteRecording, Tick

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scripts.rehearsal.play import Played

NAMES = ("text", "dim", "soft", "line", "good", "bad", "odd", "own", "was")
STAND_IN: Mapping[str, str] = {name: f"#0a0b{number:02x}" for number, name in enumerate(NAMES, 0x10)}
WIDTH_IN = 4.2
BAND, PLOT, GAP, EDGES = 0.22, 0.95, 0.3, 0.55  # inches
FIRST_LABEL = 0.35
CLASS_GAP, LEFTMOST = 0.55, -0.5
TOLD = {
    *("live", "failed", "canceled", "ready", "promote_requested", "rollback_requested"),
    *("traffic_stopped", "suspended", "asleep"),
}
RC: dict[Any, Any] = {  # its types name each of some three hundred
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.linewidth": 0.6,
    "axes.edgecolor": STAND_IN["line"],
    "axes.labelcolor": STAND_IN["dim"],
    "axes.titlecolor": STAND_IN["text"],
    "axes.facecolor": "none",
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titlepad": 3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": STAND_IN["line"],
    "ytick.color": STAND_IN["line"],
    "xtick.labelcolor": STAND_IN["dim"],
    "ytick.labelcolor": STAND_IN["dim"],
    "text.color": STAND_IN["text"],
    "figure.facecolor": "none",
}
COLOURS: Mapping[str, str] = {BASELINE: "was", CANDIDATE: "own"}
LEAST_MS = 1.0
LOWEST, HIGHEST = -2.0, 5.0  # of log10 E


def render_drill(name: str, recording: Recording) -> str:
    """Draw one drill over its seconds; empty where nothing was recorded."""
    if not any(site.ticks for site in recording.sites):
        return ""
    with mpl.rc_context({**RC, "svg.hashsalt": name}):
        return as_svg(_draw(recording), f"The drill {name} by the second")


def _draw(recording: Recording) -> Figure:
    sites = [site for site in recording.sites if site.ticks]
    rows: list[tuple[float, Callable[[Axes], None]]] = [(BAND, lambda axes: _stages(axes, recording))]
    for site in sites:
        rows += _rows_of(site)
    height = EDGES + sum(inches + GAP for inches, _ in rows)
    figure = Figure(figsize=(WIDTH_IN, height))
    grid = figure.add_gridspec(
        len(rows),
        height_ratios=[inches for inches, _ in rows],
        left=0.13,
        right=0.985,
        top=1 - FIRST_LABEL / height,
        bottom=FIRST_LABEL / height,
        hspace=GAP * len(rows) / sum(inches for inches, _ in rows),
    )
    first: Axes | None = None
    for place, (_, draw) in enumerate(rows):
        axes = figure.add_subplot(grid[place], sharex=first)
        first = first or axes
        draw(axes)
        axes.tick_params(axis="x", labelbottom=place == len(rows) - 1)
    if first is not None:
        first.set_xlim(0, max(1.0, recording.now_s))
        first.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        first.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s"))
    return figure


def _rows_of(site: SiteRecording) -> Iterator[tuple[float, Callable[[Axes], None]]]:
    yield BAND, lambda axes: _answers(axes, site)
    yield PLOT, lambda axes: _requests(axes, site.ticks)
    yield PLOT, lambda axes: _latency(axes, site.ticks)
    if site.bets:
        yield PLOT, lambda axes: _evidence(axes, site)


def _stages(axes: Axes, recording: Recording) -> None:
    axes.set_title("stages")
    _as_band(axes)
    for row in recording.stages:
        end_s = recording.now_s if row.end_s is None else row.end_s
        colour = STAND_IN["good" if row.exit_code == 0 else "odd" if row.exit_code is None else "bad"]
        axes.broken_barh([(row.begin_s, end_s - row.begin_s)], (0, 1), facecolor=colour, alpha=0.35, edgecolor=colour)
        if end_s - row.begin_s > len(row.stage) * recording.now_s / 52:
            axes.text(row.begin_s, 0.5, f" {row.stage}", va="center", fontsize=8, clip_on=True)


def _answers(axes: Axes, site: SiteRecording) -> None:
    """Colour the seconds by whose answers they were, each share of two at once."""
    axes.set_title(f"{site.name}: who answers, and what the platform did")
    _as_band(axes)
    for word in sorted({word for tick in site.ticks for word in tick.answers}):
        colour = STAND_IN[COLOURS.get(word, "odd")]
        shares = [tick.answers.get(word, 0) / max(1, sum(tick.answers.values())) for tick in site.ticks]
        below = [_below(tick, word) for tick in site.ticks]
        tops = [low + share for low, share in zip(below, shares, strict=True)]
        axes.fill_between(_edges(site.ticks), *_stepped(below, tops), step="post", color=colour, linewidth=0)
    silent = [(tick.t_s, 1.0) for tick in site.ticks if not tick.answers]
    axes.broken_barh(silent, (0, 1), facecolor=STAND_IN["bad"])
    for mark in worth_telling(site.marks):
        axes.plot([mark.t_s], [-0.25], marker="^", markersize=4, color=STAND_IN["text"], clip_on=False)


def worth_telling(marks: Iterable[Mark]) -> list[Mark]:
    """Give the moments at which traffic moved, or was to, and those at which a deployment ended."""
    return [mark for mark in marks if mark.what in TOLD]


def _below(tick: Tick, word: str) -> float:
    return sum(count for name, count in tick.answers.items() if name < word) / max(1, sum(tick.answers.values()))


def _requests(axes: Axes, ticks: Sequence[Tick]) -> None:
    axes.set_title("users' requests a second, and failed ones")
    for values, name in (([tick.sent for tick in ticks], "line"), ([tick.failed for tick in ticks], "bad")):
        axes.fill_between(_edges(ticks), 0, [*values, values[-1]], step="post", color=STAND_IN[name], linewidth=0)
    axes.set_ylim(0, 1.1 * max(1, *(tick.sent for tick in ticks[:-1] or ticks)))
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))


def _latency(axes: Axes, ticks: Sequence[Tick]) -> None:
    axes.set_title("their latency: p50, and p95 bold")
    for values, width in (([tick.p50_ms for tick in ticks], 0.9), ([tick.p95_ms for tick in ticks], 1.8)):
        shown = [max(LEAST_MS, value) for value in values]
        axes.step(_edges(ticks), [*shown, shown[-1]], where="post", color=STAND_IN["own"], linewidth=width)
    axes.set_yscale("log")
    top = max(tick.p95_ms for tick in ticks)
    axes.set_ylim(LEAST_MS, 10 ** max(2.0, len(str(int(top)))))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda ms, _: f"{ms:g} ms" if ms < 1000 else f"{ms / 1000:g} s"))


def _evidence(axes: Axes, site: SiteRecording) -> None:
    axes.set_title("evidence against the candidate; the dashed line is proof")
    moments = [bet.t_s for bet in site.bets]
    axes.plot(moments, [min(HIGHEST, bet.log10_e) for bet in site.bets], color=STAND_IN["own"], linewidth=1.6)
    axes.axhline(PROOF, color=STAND_IN["bad"], linewidth=1, linestyle=(0, (5, 3)))
    axes.set_ylim(LOWEST, HIGHEST)
    axes.set_yticks([0, PROOF])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda power, _: f"{10**power:.0f}"))


def _as_band(axes: Axes) -> None:
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def _edges(ticks: Sequence[Tick]) -> list[float]:
    """Give where each second begins, and where the last one ends."""
    return [*(tick.t_s for tick in ticks), ticks[-1].t_s + 1]


def _stepped(low: Sequence[float], high: Sequence[float]) -> tuple[list[float], list[float]]:
    return [*low, low[-1]], [*high, high[-1]]


def render_classes(played: Sequence[Played]) -> str:
    """Draw for each class of fault how long detection and recovery took, beside the platform's own part of it."""
    groups = list(dict.fromkeys(row.drill.group for row in reversed(played)))
    detected = [
        (groups.index(row.drill.group), row.seen.detected_s) for row in played if row.seen.detected_s is not None
    ]
    back = [(groups.index(row.drill.group), row.seen) for row in played if row.seen.recovered_s is not None]
    if not detected and not back:
        return ""
    with mpl.rc_context({**RC, "svg.hashsalt": "classes"}):
        inches = 0.2 + 0.24 * len(groups)
        height = 2 * (inches + CLASS_GAP)
        figure = Figure(figsize=(WIDTH_IN, height))
        upper, lower = figure.subplots(2, 1, sharey=True)
        figure.subplots_adjust(
            left=0.33, right=0.96, top=1 - 0.25 / height, bottom=0.3 / height, hspace=CLASS_GAP / inches
        )
        own = [(place, seen.platform_rollback_s) for place, seen in back if seen.platform_rollback_s is not None]
        _dots(upper, "from what a user could see to the verdict", {("o", "own"): detected})
        proven = [(place, seen.recovered_s or 0.0) for place, seen in back]
        title = "from the verdict to proven back; |: the platform's own part of it"
        _dots(lower, title, {("|", "was"): [(place + 0.25, value) for place, value in own], ("o", "good"): proven})
        upper.set_yticks(range(len(groups)), groups)
        upper.set_ylim(-0.6, len(groups) - 0.4)
        return as_svg(figure, "Detection and recovery by class of fault")


def _dots(axes: Axes, title: str, rows: Mapping[tuple[str, str], Sequence[tuple[float, float]]]) -> None:
    """Draw each drill's seconds in the row of its class."""
    for (marker, colour), dots in rows.items():
        heights, values = [place for place, _ in dots], [value for _, value in dots]
        axes.plot(values, heights, marker, color=STAND_IN[colour], alpha=0.6, markersize=5)
    axes.set_title(title, x=LEFTMOST)
    axes.set_xlim(0, 1.05 * max((value for dots in rows.values() for _, value in dots), default=1.0))
    axes.grid(axis="x", color=STAND_IN["line"], linewidth=0.5)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s"))


def as_svg(figure: Figure, label: str) -> str:
    """Give a figure as an element of a page: with the page's colours, a label for whoever hears it, and no links."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # the same in every figure
    for name, stand_in in STAND_IN.items():
        text = text.replace(stand_in, f"var(--{name})")
    text = re.sub(r' (width|height)="[0-9.]+pt"', "", text, count=2)
    return text.replace("<svg ", f'<svg role="img" aria-label="{for_html(label)}" ', 1).strip()
