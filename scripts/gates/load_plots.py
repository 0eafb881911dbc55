"""Draws a comparison epoch by epoch: the change of each metric as SVG. Pure, without scripts or links.

Classes name what a mark means, and no colour says anything alone; the colours' names are those of `scripts.page`. What
both sides did, one beside the other, is drawn by `load_spread`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from scripts.foreign import for_html
from scripts.gates.recorded import LARGEST, Epoch, Run
from scripts.gates.slower import LOOKS, Comparison, Measured, Metric
from scripts.picture import Axis
from scripts.verdict import Outcome

WIDTH, HEIGHT = 360.0, 224.0
LEFT, SIDE = 52.0, 76.0  # the columns of numbers, and of what the lines mean
TOP, BOTTOM = 42.0, 188.0
LINE = 14.0  # of text
MOST_TICKS = 5
MOST_TOLD = 24  # figures in a description
STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
BASES = (2, 10, 10**3, 10**6, 10**12)
WIDE = 2.0  # a log ratio: from there on changes are read as factors
PLOT_STYLE = """
.plots svg text { font-size: 12px; } .plots svg text.head { font-size: 13px; font-weight: 600; }
.plots svg text.strong { font-weight: 600; } .plots svg text.slower { fill: var(--bad); }
.plots svg text.faster { fill: var(--good); }
.slow { fill: var(--bad); opacity: .09; } .zero { stroke: var(--text); fill: none; }
.limit { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 5 3; fill: none; }
.estimate { stroke: var(--own); stroke-width: 2; fill: none; }
.look { stroke: var(--dim); stroke-dasharray: 1 3; fill: none; }
.look.decided { stroke: var(--text); stroke-dasharray: none; }
.dot { fill: var(--own); stroke: var(--own); stroke-width: 1; } .dot.slower { fill: var(--bad); stroke: var(--bad); }
.dot.later { fill: var(--back); } .median { stroke: var(--text); stroke-width: 2; }
path.base, path.head { fill: none; stroke-width: 2; } path.base { stroke: var(--was); stroke-dasharray: 6 3; }
path.head { stroke: var(--own); } path.mark.base { fill: var(--back); stroke-dasharray: none; stroke-width: 1.5; }
path.mark.head { fill: var(--own); stroke-width: 1; fill-opacity: .7; }
"""
DECIDED = {Outcome.PASS, Outcome.FAIL}
DOT, DIAMOND = "m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z", "m0 -5l5 5l-5 5l-5 -5z"


def tell_change(share: float) -> str:
    """Give a change as a person reads it: in per cent, and as a factor where it is tenfold or more."""
    if not math.isfinite(share):
        return "unknown"
    if share >= 9:
        return f"×{_large(1 + share)}"
    if -1 < share <= -0.9:
        return f"÷{_large(1 / (1 + share))}"
    told = f"{share:+.1%}".replace("%", " %").replace("-", "−")
    return "0.0 %" if told[1:] == "0.0 %" else told


def _large(factor: float) -> str:
    return f"{factor:.0f}" if factor < 10_000 else f"{factor:.1e}".replace("e+0", "e").replace("e+", "e")


def change_at(metric: Metric, slowdown: float) -> float:
    """Give what a slowdown makes of a metric, as a change of it: a throughput is divided by so much."""
    return math.expm1(metric.slower * math.log1p(slowdown))


def measured_of(comparison: Comparison, metric: Metric) -> Measured | None:
    """Give what was found of a metric, if anything."""
    return next((row for row in comparison.measured if row.metric.name == metric.name), None)


def svg(name: str, height: float, title: str, described: str, parts: Iterable[str]) -> str:
    """Give a picture with its words for who cannot see it; `name` is its own on the page."""
    return "\n".join(
        [
            f'<svg viewBox="0 0 {WIDTH:g} {height:g}" role="img" aria-labelledby="{name}-title {name}-words">',
            f'<title id="{name}-title">{for_html(title)}</title>',
            f'<desc id="{name}-words">{for_html(described, 4000)}</desc>',
            *parts,
            "</svg>",
        ]
    )


def text(x: float, y: float, told: str, kind: str = "", anchor: str = "start") -> str:
    """Give words of a picture."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{for_html(told)}</text>'


def line(kind: str, path: str, told: str = "") -> str:
    """Give a line or a mark of a picture, with its words where somebody points at it."""
    head = f'<path class="{kind}" d="{path}"'
    return f"{head}><title>{for_html(told)}</title></path>" if told else f"{head}/>"


@dataclass(frozen=True)
class Label:
    """Words beside a line: where they belong, and what they say, a text a line."""

    at: float
    lines: tuple[str, ...]
    kind: str

    @property
    def height(self) -> float:
        """What they need."""
        return LINE * len(self.lines)


def keep_apart(labels: Sequence[Label], low: float, high: float) -> list[tuple[float, Label]]:
    """Give each label with the place of its upper edge: as near as can be to where it belongs, one below another."""
    placed: list[tuple[float, Label]] = []
    edge = low
    for label in sorted(labels, key=lambda label: label.at):
        edge = max(edge, label.at - label.height / 2)
        placed.append((edge, label))
        edge += label.height
    edge = high
    for number in reversed(range(len(placed))):
        top, label = placed[number]
        edge = min(top, edge - label.height)
        placed[number] = edge, label
    return placed


def render_ratios(run: Run, metric: Metric) -> str:
    """Draw the change of a metric in each epoch; nothing where no epoch has it."""
    dots = [(place, value) for place, epoch in enumerate(run.epochs, 1) if (value := _ratio(epoch, metric)) is not None]
    if not dots:
        return ""
    found = measured_of(run.comparison, metric)
    limit = metric.slower * math.log1p(metric.alarm)
    estimate = None if found is None else _log(found.change)
    values = [limit, -limit, *(value for _, value in dots), *([] if estimate is None else [estimate])]
    room = 0.08 * (max(values) - min(values))
    y = Axis(min(values) - room, max(values) + room, BOTTOM, TOP)
    x = Axis(0.5, len(run.epochs) + 0.5, LEFT, WIDTH - SIDE)
    parts = [
        text(0, LINE, _tell(metric, found), "head"),
        *_ground(y, limit),
        *_looks(run, x),
        *_lines(y, limit, None if estimate is None else (estimate, x.at(run.comparison.epochs + 0.5))),
        *_dots(dots, run.comparison, x, y, limit),
        *_words(metric, found, y, limit, estimate),
    ]
    return svg(f"ratios-{metric.name}", HEIGHT, f"{metric.title} by epoch", _describe(metric, found, dots), parts)


def _ratio(epoch: Epoch, metric: Metric) -> float | None:
    value = epoch.ratios.get(metric.name)
    return None if value is None or math.isnan(value) else min(LARGEST, max(-LARGEST, value))


def _log(share: float) -> float:
    return min(LARGEST, max(-LARGEST, math.log1p(share))) if share > -1 else -LARGEST


def _tell(metric: Metric, found: Measured | None) -> str:
    return f"{metric.title}: {tell_change(found.change)}, {found.finding}" if found else f"{metric.title}: not judged"


def _describe(metric: Metric, found: Measured | None, dots: Sequence[tuple[int, float]]) -> str:
    told = ", ".join(tell_change(math.expm1(value)) for _, value in dots[:MOST_TOLD])
    more = f" and {len(dots) - MOST_TOLD} more" if len(dots) > MOST_TOLD else ""
    alarm = tell_change(change_at(metric, metric.alarm))
    estimate = f"The Hodges–Lehmann estimate is {tell_change(found.change)}: {found.finding}. " if found else ""
    return f"Head against base in {len(dots)} epochs: {told}{more}. {estimate}An alarm asks for {alarm} or worse."


def ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Give a few round changes between two log ratios, each with its words."""
    if high - low > WIDE:
        base = next(base for base in BASES if (high - low) / math.log(base) <= MOST_TICKS)
        powers = range(math.ceil(low / math.log(base)), math.floor(high / math.log(base)) + 1)
        return [(power * math.log(base), _factor(base, power)) for power in powers]
    least, most = math.expm1(low), math.expm1(high)
    step = next((step for step in STEPS if (most - least) / step <= MOST_TICKS), 1.0)
    counts = range(math.ceil(least / step), math.floor(most / step) + 1)
    return [(math.log1p(count * step), f"{count * step:+.0%}".replace("%", " %").replace("-", "−")) for count in counts]


def _factor(base: int, power: int) -> str:
    return f"{'×' if power > 0 else '÷'}{_large(base ** abs(power))}" if power else "+0 %"


def _ground(y: Axis, limit: float) -> Iterator[str]:
    """Draw what lies behind: the side that is slow enough for an alarm, and the scale."""
    top, bottom = sorted((y.at(limit), BOTTOM if limit < 0 else TOP))
    right = WIDTH - SIDE
    yield f'<rect class="slow" x="{LEFT:g}" y="{top:.1f}" width="{right - LEFT:g}" height="{bottom - top:.1f}"/>'
    for value, told in ticks(y.low, y.high):
        yield line("grid", f"M{LEFT:g} {y.at(value):.1f}H{right:g}")
        yield text(LEFT - 6, y.at(value) + 4, told.replace("+0 %", "0 %"), "dim", "end")


def _looks(run: Run, x: Axis) -> Iterator[str]:
    """Mark after which epochs it was looked, and number these, the first and the last one."""
    count, free, taken = len(run.epochs), LEFT, [x.at(1)]
    for look in [look for look in LOOKS if look <= count]:
        decided = look == run.comparison.epochs and run.comparison.outcome in DECIDED
        yield line("look decided" if decided else "look", f"M{x.at(look + 0.5):.1f} {TOP - 4:g}V{BOTTOM:g}")
        told = "decided" if decided else "look"
        if x.at(look + 0.5) - 7 * len(told) >= free:
            yield text(x.at(look + 0.5) - 2, TOP - 7, told, "dim", "end")
            free = x.at(look + 0.5)
        if x.at(look) - taken[-1] >= LINE + 2:
            taken.append(x.at(look))
            yield text(x.at(look), BOTTOM + LINE, str(look), "dim", "middle")
    yield text(x.at(1), BOTTOM + LINE, "1", "dim", "middle")
    if x.at(count) - taken[-1] >= LINE + 2:
        yield text(x.at(count), BOTTOM + LINE, str(count), "dim", "middle")
    yield text((LEFT + WIDTH - SIDE) / 2, BOTTOM + 2 * LINE + 2, "epoch", "dim", "middle")


def _lines(y: Axis, limit: float, estimate: tuple[float, float] | None) -> Iterator[str]:
    yield line("zero", f"M{LEFT:g} {y.at(0):.1f}H{WIDTH - SIDE:g}")
    yield line("limit", f"M{LEFT:g} {y.at(limit):.1f}H{WIDTH - SIDE:g}")
    if estimate:
        yield line("estimate", f"M{LEFT:g} {y.at(estimate[0]):.1f}H{estimate[1]:.1f}")


def _dots(dots: Sequence[tuple[int, float]], comparison: Comparison, x: Axis, y: Axis, limit: float) -> Iterator[str]:
    for place, value in dots:
        slow = value / limit >= 1
        told = f"epoch {place}: {tell_change(math.expm1(value))}"
        judged = place <= comparison.epochs
        kind = f"dot{' slower' if slow else ''}{'' if judged else ' later'}"
        path = f"M{x.at(place):.1f} {y.at(value):.1f}{DIAMOND if slow else DOT}"
        yield line(kind, path, told if judged else f"{told}, not judged")


def _words(metric: Metric, found: Measured | None, y: Axis, limit: float, estimate: float | None) -> Iterator[str]:
    """Say beside the plot which side is slower, where an alarm begins and where the estimate lies."""
    slow, fast = (BOTTOM, TOP) if limit < 0 else (TOP, BOTTOM)
    labels = [Label(slow, ("slower",), "slower"), Label(fast, ("faster",), "faster")]
    labels.append(Label(y.at(limit), ("alarm", tell_change(change_at(metric, metric.alarm))), "dim"))
    if found and estimate is not None:
        labels.append(Label(y.at(estimate), ("estimate", tell_change(found.change)), "strong"))
    for top, label in keep_apart(labels, TOP - LINE / 2, BOTTOM + LINE / 2):
        for number, told in enumerate(label.lines, 1):
            yield text(WIDTH - SIDE + 10, top + LINE * number - 3, told, label.kind)
        if len(label.lines) > 1:
            yield line("grid", f"M{WIDTH - SIDE:g} {label.at:.1f}L{WIDTH - SIDE + 8:g} {top + label.height / 2:.1f}")
