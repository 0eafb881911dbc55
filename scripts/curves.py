"""The evidence against a release as a picture: SVG of its money over time, with what would be proof. Pure.

Classes name what a line means; `page` gives them their colours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scripts.judging.curve import PROOF, Point
from scripts.picture import HEAD, INSET, PLOT, RIGHT, SCALE, WIDTH, Axis, as_svg, text, ticks

LOWEST, HIGHEST = -3.0, 5.0  # of log10 E
TICKS = (-2, 0, 2)
FOOT = 26.0


def render_bets(points: Sequence[Point], target: str) -> str:
    """Draw E and the money of each stream, on a logarithmic scale; empty for no points."""
    if not points:
        return ""
    x = Axis(0.0, max(1.0, points[-1].t_s), SCALE + INSET, WIDTH - RIGHT - INSET)
    y = Axis(LOWEST, HIGHEST, HEAD + PLOT, HEAD)
    parts = [*_frame(x, y)]
    parts += [
        _line(f"bet {name}", points, x, y, [point.streams[name] for point in points]) for name in points[0].streams
    ]
    parts.append(_line("bet sum", points, x, y, [point.log10_e for point in points]))
    return as_svg(HEAD + PLOT + FOOT, f"Evidence against the release of {target}", parts)


def _frame(x: Axis, y: Axis) -> Iterator[str]:
    left, right = x.begin - INSET, x.end + INSET
    yield f'<rect class="panel" x="{left:.1f}" y="{HEAD:g}" width="{right - left:.1f}" height="{PLOT:g}"/>'
    for power in TICKS:
        yield f'<path class="grid" d="M{left:.1f} {y.at(power):.1f}H{right:.1f}"/>'
        yield text(SCALE - 8, y.at(power) + 5, "1" if power == 0 else f"{10.0**power:g}", "dim", "end")
    yield f'<path class="proof" d="M{left:.1f} {y.at(PROOF):.1f}H{right:.1f}"/>'
    yield text(SCALE - 8, y.at(PROOF) + 5, f"{10**PROOF:g}", "", "end")
    for moment in ticks(x.low, x.high):
        yield text(x.at(moment), HEAD + PLOT + 18, f"{moment:g} s", "dim", "middle")


def _line(kind: str, points: Sequence[Point], x: Axis, y: Axis, values: Sequence[float]) -> str:
    steps = " ".join(f"L{x.at(point.t_s):.1f} {y.at(value):.1f}" for point, value in zip(points, values, strict=True))
    return f'<path class="{kind}" d="M{x.at(0):.1f} {y.at(0):.1f} {steps}"/>'
