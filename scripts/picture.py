"""A release as pictures: SVG of when each stage ran, and of every probe of a target. Pure, without scripts or links.

Classes name what a mark means; `page` gives them their colours. Every coordinate lies inside the view box.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from scripts.evidence import Evidence, Watch
from scripts.foreign import for_html
from scripts.journal import Event, Kind
from scripts.report import LOST
from scripts.timeline import MOST_MOMENTS, MOST_SPANS, Moment, Span, both_ends, moments_of, spans_of, tell_end
from scripts.verdict import BASELINE, CANDIDATE, Sample

WIDTH = 720.0
RIGHT = 12.0
NAMES = 112.0  # the column of names, left of a Gantt's bars
SCALE = 92.0  # the column of milliseconds, left of the probes
HEAD, ROW, BAR = 34.0, 32.0, 18.0
ROOM = 120.0  # that a bar's words need on a telephone
STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
MOST_TICKS = 5
MINUTE_S, DAY_S = 60, 86400
PLOT = 190.0
LANE = 44.0  # below the plot: what was not timed
MOST_POINTS = 1500
MOST_FAILURES = 500
MOST_WATCHES = 6
GAP, INSET = 8.0, 6.0
LOWEST_MS, HIGHEST_MS = 1.0, 100_000.0


def render_gantt(events: Sequence[Event]) -> str:
    """Draw the stages as bars and the changes of each target as marks, over the time of day (UTC)."""
    spans, _ = both_ends(spans_of(events), MOST_SPANS)
    moments, _ = both_ends(moments_of(events), MOST_MOMENTS)
    if not spans:
        return ""
    ends = [*(span.begin for span in spans), *(span.end for span in spans), *(moment.at for moment in moments)]
    axis = Axis(min(ends).timestamp(), max(ends).timestamp(), NAMES, WIDTH - RIGHT)
    targets = list(dict.fromkeys(moment.target for moment in moments))
    height = HEAD + ROW * (len(spans) + len(targets)) + GAP
    parts = [*_time_axis(axis, height)]
    for place, span in enumerate(spans):
        parts += _bar(span, axis, HEAD + ROW * place)
    for place, name in enumerate(targets, len(spans)):
        parts += _marks([moment for moment in moments if moment.target == name], name, axis, HEAD + ROW * place)
    return as_svg(height, "When each stage ran, and what was done to each target", parts)


@dataclass(frozen=True)
class Axis:
    """From a value to a coordinate."""

    low: float
    high: float
    begin: float
    end: float

    def at(self, value: float) -> float:
        """Give the coordinate, never outside; where all values are one, the beginning."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.0
        return self.begin + min(1.0, max(0.0, share)) * (self.end - self.begin)


def as_svg(height: float, label: str, parts: Iterable[str]) -> str:
    """Give a picture as wide as all are, with a label for whoever hears the page."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {height:g}" role="img"'
    return "\n".join([f'{head} aria-label="{for_html(label)}">', *parts, "</svg>"])


def text(x: float, y: float, told: str, kind: str = "", anchor: str = "start") -> str:
    """Give words at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{for_html(told)}</text>'


def ticks(low: float, high: float) -> list[float]:
    """Give a few round moments between two, in seconds."""
    step = next((step for step in STEPS_S if (high - low) / step <= MOST_TICKS), (high - low) / MOST_TICKS)
    first = math.ceil(low / step) * step
    return [first + number * step for number in range(MOST_TICKS + 1) if first + number * step <= high]


def _time_axis(axis: Axis, height: float) -> Iterator[str]:
    long = axis.high - axis.low
    form = "%m-%d %H:%M" if long > DAY_S else "%H:%M" if long > MOST_TICKS * 10 * MINUTE_S else "%H:%M:%S"
    for moment in ticks(axis.low, axis.high):
        x = axis.at(moment)
        told = datetime.fromtimestamp(moment, UTC).strftime(form)
        yield f'<path class="grid" d="M{x:.1f} {HEAD - 8:g}V{height:g}"/>'
        yield text(min(max(x, axis.begin + 36), WIDTH - 48), HEAD - 14, told, "dim", "middle")


def _bar(span: Span, axis: Axis, top: float) -> Iterator[str]:
    begin, end = axis.at(span.begin.timestamp()), axis.at(span.end.timestamp())
    width = max(4.0, end - begin)
    yield text(0, top + 15, span.stage)
    yield (
        f'<rect class="bar {span.outcome}" x="{begin:.1f}" y="{top:.1f}" width="{width:.1f}" height="{BAR:g}" rx="3">'
        f"<title>{for_html(f'{span.stage}: {span.outcome}, from {span.begin:%H:%M:%S} UTC')}</title></rect>"
    )
    told = tell_end(span)
    if WIDTH - begin - width > ROOM:
        yield text(begin + width + 6, top + 14, told, "dim")
    elif begin - NAMES > ROOM:
        yield text(begin - 6, top + 14, told, "dim", "end")
    else:
        yield text(begin + width - 6, top + 14, told, "dim" if span.outcome == LOST else "inside", "end")


SHAPES: dict[Kind, str] = {
    Kind.INTENT: "M{x:.1f} {y:.1f}m-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z",
    Kind.DONE: "M{x:.1f} {y:.1f}m-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z",
    Kind.FAILED: "M{x:.1f} {y:.1f}m-5 -5l10 10m0 -10l-10 10",
    Kind.PROOF: "M{x:.1f} {y:.1f}m0 -7l7 7l-7 7l-7 -7z",
}


def _marks(moments: Sequence[Moment], name: str, axis: Axis, top: float) -> Iterator[str]:
    middle = top + BAR / 2
    yield text(0, top + 15, name[:10])
    yield f'<path class="grid" d="M{NAMES:g} {middle:.1f}H{WIDTH - RIGHT:g}"/>'
    for moment in moments:
        x = axis.at(moment.at.timestamp())
        commit = f" {moment.commit[:7]}" if moment.commit else ""
        title = for_html(f"{moment.at:%H:%M:%S} UTC: {moment.what}{commit}")
        yield f'<path class="mark {moment.kind}" d="{SHAPES[moment.kind].format(x=x, y=middle)}">'
        yield f"<title>{title}</title></path>"


def render_probes(evidence: Evidence) -> str:
    """Draw every probe of a target: a panel for each watch, from its own zero, milliseconds on a logarithmic scale."""
    watches = shown_watches(evidence)
    if not watches:
        return ""
    slowest = max((row.ms for watch in watches for row in watch.samples), default=0.0)
    high = min(HIGHEST_MS, 10.0 ** max(2, math.ceil(math.log10(max(slowest, LOWEST_MS)))))
    y = _log(Axis(0.0, math.log10(high), HEAD + PLOT, HEAD))
    height = HEAD + PLOT + LANE + 26
    share = MOST_POINTS / max(1, sum(len(watch.samples) for watch in watches))
    panels = [(watch, Axis(*watch.span_s, *inner)) for watch, inner in zip(watches, _panels(watches), strict=True)]
    parts = [line for watch, x in panels for line in _panel(watch, x)]
    parts += _ms_axis(y, high)
    parts += [line for watch, x in panels for line in _dots(watch, x, y, share)]
    return as_svg(height, f"Probes of {evidence.target}", parts)


def shown_watches(evidence: Evidence) -> list[Watch]:
    """Give the watches that are drawn: the first and the last ones, where there are many."""
    return both_ends(evidence.watches, MOST_WATCHES)[0]


def _log(axis: Axis) -> Callable[[float], float]:
    return lambda ms: axis.at(math.log10(min(max(ms, LOWEST_MS), HIGHEST_MS)))


def _ms_axis(y: Callable[[float], float], high: float) -> Iterator[str]:
    for power in range(round(math.log10(high)) + 1):
        ms = 10**power
        told = f"{ms} ms" if ms < 1000 else f"{ms // 1000} s"
        yield f'<path class="grid" d="M{SCALE:g} {y(ms):.1f}H{WIDTH - RIGHT:g}"/>'
        yield text(SCALE - 8, y(ms) + 5, told, "dim", "end")
    yield text(SCALE - 8, HEAD + PLOT + LANE / 2 + 5, "untimed", "dim", "end")


def _panels(watches: Sequence[Watch]) -> Iterator[tuple[float, float]]:
    """Share the width: by how long each watch took, but enough for its name."""
    lengths = [watch.span_s[1] - watch.span_s[0] for watch in watches]
    total = sum(lengths)
    weights = [max(length, 0.2 * total, 0.1) for length in lengths]
    width = WIDTH - RIGHT - SCALE - GAP * (len(watches) - 1)
    left = SCALE
    for weight in weights:
        right = left + width * weight / sum(weights)
        yield left + INSET, right - INSET
        left = right + GAP


def _panel(watch: Watch, x: Axis) -> Iterator[str]:
    left, right, bottom = x.begin - INSET, x.end + INSET, HEAD + PLOT + LANE
    yield f'<rect class="panel" x="{left:.1f}" y="{HEAD:g}" width="{right - left:.1f}" height="{PLOT + LANE:g}"/>'
    yield text(left + 2, HEAD - 12, watch.stage[:10])
    yield text(right, bottom + 18, f"{x.high:.0f} s", "dim", "end")
    if right - left > ROOM:
        yield text(left, bottom + 18, f"{x.low:.0f} s".replace("-", "−"), "dim")


def _dots(watch: Watch, x: Axis, y: Callable[[float], float], share: float) -> Iterator[str]:
    lane = HEAD + PLOT + LANE / 2
    for name, shape, rows in _groups(thin(watch.samples, share)):
        dots = "".join(f"M{x.at(row.t_s):.1f} {y(row.ms) if row.ms else lane:.1f}{shape}" for row in rows)
        if dots:
            yield f'<path class="{name}" d="{dots}"/>'


def _groups(rows: Sequence[Sample]) -> Iterator[tuple[str, str, list[Sample]]]:
    """Tell apart who answered, and what failed, which is drawn last so that nothing hides it."""
    dot, square, cross = "h.01", "m-2 -2h4v4h-4z", "m-4 -4l8 8m0 -8l-8 8"
    arms = ((BASELINE, "was", dot), ("", "other", square), (CANDIDATE, "own", dot))
    for arm, name, shape in arms:
        yield name, shape, [row for row in rows if row.ok and _arm(row) == arm]
    for arm, name, _ in arms:
        yield f"{name} bad", cross, [row for row in rows if not row.ok and _arm(row) == arm]


def _arm(row: Sample) -> str:
    return row.arm if row.arm in {BASELINE, CANDIDATE} else ""


def thin(rows: Sequence[Sample], share: float) -> list[Sample]:
    """Leave out good probes, evenly, and failures only where there are very many."""
    bad, good = [row for row in rows if not row.ok], [row for row in rows if row.ok]
    return [*_evenly(good, math.ceil(share * len(rows))), *_evenly(bad, MOST_FAILURES)]


def _evenly(rows: Sequence[Sample], most: int) -> list[Sample]:
    if len(rows) <= most:
        return list(rows)
    return [rows[number * len(rows) // most] for number in range(most)]
