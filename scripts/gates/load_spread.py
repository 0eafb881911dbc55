"""Draws what both sides of a comparison did, one beside the other: how long answers took, and each epoch's figures.

Pure, without scripts or links; the style is that of `load_plots`.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from scripts.gates.load_plots import DIAMOND, DOT, LINE, WIDTH, line, svg, text
from scripts.gates.recorded import SIDES, Epoch, Figures, Run
from scripts.gates.slower import Metric
from scripts.gates.stats import percentile_ms
from scripts.picture import Axis

UNITS = {"throughput": "/s", "p50": " ms", "cpu": " ms", "p95": " ms"}
MARKS = {"base": DOT, "head": DIAMOND}
SHARES = (0.5, 0.95)
LEFT, RIGHT = 46.0, 14.0
TOP, BOTTOM, HEIGHT = 34.0, 188.0, 210.0
EDGE = 0.005  # the share of the answers beyond either end of the axis
LEAST_MS, MOST_MS = 0.001, 1e7
MOST_TICKS = 6
ROUND = ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9))
NAMES, VALUES = 46.0, 78.0  # the columns left and right of a strip
ROW = 27.0


def figure_of(figures: Figures, name: str) -> float:
    """Give the figure of a metric."""
    known = {"throughput": figures.per_s, "p50": figures.p50_ms, "p95": figures.p95_ms, "cpu": figures.cpu_ms}
    return known[name]


def figures_of(epochs: Sequence[Epoch], side: str, name: str) -> list[float]:
    """Give what a side did, epoch by epoch; what is no number is left out."""
    found = [figure_of(epoch.sides[side], name) for epoch in epochs if side in epoch.sides]
    return [value for value in found if math.isfinite(value)]


def tell_figure(value: float | None, name: str) -> str:
    """Give a figure with its unit."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{three(value)}{UNITS[name]}"


def three(value: float) -> str:
    """Give a number to three digits, or to the last four places where it is small."""
    if abs(value) >= 1e9:
        return f"{value:.1e}"
    places = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{min(4, max(0, places))}f}"


def tell_median(epochs: Sequence[Epoch], side: str, name: str) -> str:
    """Give the median of a side's epochs with its unit; a dash of nothing."""
    found = figures_of(epochs, side, name)
    return tell_figure(median(found) if found else None, name)


def render_times(run: Run) -> str:
    """Draw how long the answers of both sides took, as the share that came within a time; nothing of nothing."""
    times = {side: kept for side in SIDES if (kept := _kept(run.times.get(side, {})))}
    if not times:
        return ""
    x, y = _scale(times), Axis(0.0, 1.0, BOTTOM, TOP)
    parts = [text(0, LINE, "answers within a time", "head"), *_key(), *_frame(x, y)]
    for side, counts in times.items():
        parts.append(line(side, _steps(counts, x, y)))
    marks = {(side, share): percentile_ms(counts, share) for side, counts in times.items() for share in SHARES}
    for (side, share), ms in marks.items():
        if ms is not None:
            path = f"M{x.at(math.log10(ms)):.1f} {y.at(share):.1f}{MARKS[side]}"
            parts.append(line(f"mark {side}", path, f"{side}: p{share * 100:.0f} {three(ms)} ms"))
    parts += [_percentiles(marks, share, x, y) for share in SHARES]
    return svg("times", HEIGHT, "How long the answers took", _describe_times(times, marks), parts)


def _kept(counts: Mapping[float, int]) -> Counter[float]:
    """Leave out what is no time, and bring the others to where a logarithm is."""
    kept: Counter[float] = Counter()
    for ms, count in counts.items():
        if count > 0 and not math.isnan(ms):
            kept[min(MOST_MS, max(LEAST_MS, ms))] += count
    return kept


def _scale(times: Mapping[str, Counter[float]]) -> Axis:
    """Give an axis of the logarithm; the slowest few do not press all others together."""
    ends = [percentile_ms(counts, share) or LEAST_MS for counts in times.values() for share in (EDGE, 1 - EDGE)]
    low, high = min(ends), max(ends)
    if high < 1.2 * low:
        low, high = low / 1.2, high * 1.2
    return Axis(math.log10(low), math.log10(high), LEFT, WIDTH - RIGHT)


def ms_ticks(low: float, high: float) -> list[float]:
    """Give a few round times between two logarithms of milliseconds; both ends where there are none."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    best: list[float] = []
    for set_of in ROUND:
        found = [each * 10.0**power for power in powers for each in set_of if low <= math.log10(each) + power <= high]
        best = found if len(best) < len(found) <= MOST_TICKS else best
    return best if len(best) > 1 else [10**low, 10**high]


def _key() -> Iterator[str]:
    for place, side in enumerate(SIDES):
        x = WIDTH - RIGHT - 124 + 66 * place
        yield line(side, f"M{x:g} {LINE - 4:g}h24")
        yield text(x + 28, LINE, side, "dim")


def _frame(x: Axis, y: Axis) -> Iterator[str]:
    for share in (0.0, 0.25, 0.5, 0.75, 0.95, 1.0):
        yield line("grid", f"M{LEFT:g} {y.at(share):.1f}H{WIDTH - RIGHT:g}")
        if share != 1.0:
            yield text(LEFT - 6, y.at(share) + 4, f"{share:.0%}".replace("%", " %"), "dim", "end")
    free = 0.0
    for ms in ms_ticks(x.low, x.high):
        at, told = x.at(math.log10(ms)), f"{ms:.3g} ms" if ms < 1000 else f"{ms / 1000:.3g} s"
        wide = 3.2 * len(told)
        if at - wide >= free:
            yield line("grid", f"M{at:.1f} {TOP:g}V{BOTTOM + 4:g}")
            yield text(min(at, WIDTH - wide), BOTTOM + LINE + 2, told, "dim", "middle")
            free = at + wide + 4


def _steps(counts: Counter[float], x: Axis, y: Axis) -> str:
    """Give the distribution as steps, one for each half of a point of the axis: there may be 100 000 times."""
    shares: dict[float, float] = {}
    total, seen = counts.total(), 0
    for ms in sorted(counts):
        seen += counts[ms]
        shares[round(2 * x.at(math.log10(ms))) / 2] = seen / total
    steps = "".join(f"H{at:.1f}V{y.at(share):.1f}" for at, share in shares.items())
    return f"M{LEFT:.1f} {BOTTOM:.1f}{steps}H{WIDTH - RIGHT:.1f}"


def _percentiles(marks: Mapping[tuple[str, float], float | None], share: float, x: Axis, y: Axis) -> str:
    """Say a percentile of both below its line, on the side where the steps are not."""
    found = [(side, ms) for (side, each), ms in marks.items() if each == share and ms is not None]
    told = f"p{share * 100:.0f} " + " → ".join(
        three(ms) if len(found) == 2 else f"{side} {three(ms)}" for side, ms in found
    )
    right = max(x.at(math.log10(ms)) for _, ms in found)
    if right < WIDTH - RIGHT - 130:
        return text(WIDTH - RIGHT - 2, y.at(share) + LINE, f"{told} ms", "strong", "end")
    return text(LEFT + 4, y.at(share) - 4 if share < 0.9 else y.at(share) + LINE, f"{told} ms", "strong")


def _describe_times(times: Mapping[str, Counter[float]], marks: Mapping[tuple[str, float], float | None]) -> str:
    rows = []
    for side, counts in times.items():
        told = ", ".join(f"p{share * 100:.0f} {three(marks[side, share] or 0.0)} ms" for share in SHARES)
        rows.append(f"{side}: {counts.total():,} answers, {told}, the slowest {three(max(counts))} ms")
    return f"{'; '.join(rows)}. The axis leaves out the fastest and the slowest of 200."


def render_strips(run: Run, metrics: Sequence[Metric]) -> str:
    """Draw the figures of the epochs, a strip for each side of each metric; nothing where there are none."""
    parts: list[str] = []
    told: list[str] = []
    top = 0.0
    for metric in metrics:
        rows = {side: figures_of(run.epochs, side, metric.name) for side in SIDES}
        values = list(itertools.chain(*rows.values()))
        if values:
            parts += _strip(metric, rows, _around(values), top)
            told.append(f"{metric.title}: {'; '.join(_describe(side, metric, row) for side, row in rows.items())}")
            top += HEIGHT / 2
    if not parts:
        return ""
    title = f"{' and '.join(metric.title for metric in metrics)} of each epoch"
    return svg("strips", HEIGHT, title, f"{'. '.join(told)}.", parts)


def _around(values: Sequence[float]) -> Axis:
    low, high = min(values), max(values)
    room = 0.04 * (high - low) or 0.1 * abs(high) or 1.0
    return Axis(low - room, high + room, NAMES, WIDTH - VALUES)


def _strip(metric: Metric, rows: Mapping[str, Sequence[float]], x: Axis, top: float) -> Iterator[str]:
    yield text(0, top + LINE, f"{metric.title} of each epoch", "head")
    for number, (side, values) in enumerate(rows.items()):
        middle = top + 2 * LINE + 8 + ROW * number
        yield text(0, middle + 4, side)
        yield line("grid", f"M{NAMES:g} {middle:.1f}H{WIDTH - VALUES:g}")
        for value in values:
            yield line(f"mark {side}", f"M{x.at(value):.1f} {middle:.1f}{MARKS[side]}", tell_figure(value, metric.name))
        if values:
            yield line("median", f"M{x.at(median(values)):.1f} {middle - 10:.1f}v20")
            yield text(WIDTH - VALUES + 8, middle + 4, tell_figure(median(values), metric.name), "strong")
    for value, anchor in ((x.low, "start"), (x.high, "end")):
        yield text(x.at(value), top + 2 * LINE + 8 + 2 * ROW - 3, tell_figure(value, metric.name), "dim", anchor)


def _describe(side: str, metric: Metric, row: Sequence[float]) -> str:
    if not row:
        return f"{side} was not measured"
    ends = f"from {tell_figure(min(row), metric.name)} to {tell_figure(max(row), metric.name)}"
    return f"{side} {ends}, median {tell_figure(median(row), metric.name)}"
