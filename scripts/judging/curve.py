"""How the evidence against a release grew: the bets of recorded samples, second by second, for a person to see."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scripts.judging.judge import Judge, Limits, seconds_of
from scripts.judging.streams import ALPHA, ERRORS, PAIRS, SLOW
from scripts.verdict import BASELINE, Sample

PROOF = math.log10(1 / ALPHA)
STREAMS = (ERRORS, PAIRS, SLOW)
LEVELS = "▁▂▃▄▅▆▇█"
LOWEST = -1.0  # of log10 E: what is less says no more
MOST_BARS = 40


@dataclass(frozen=True)
class Point:
    """Where the bets stood after `t_s` seconds: log10 of E, and of the money of each stream."""

    t_s: float
    log10_e: float
    streams: Mapping[str, float]


def follow(samples: Sequence[Sample], error_rate: float) -> tuple[Point, ...]:
    """Let the judge see a watch again, to its end, and note where the bets stood after each second."""
    watched = [row for row in samples if row.arm != BASELINE]
    judge = Judge(sorted({row.endpoint for row in watched}), Limits(error_rate=error_rate))
    judge.learn(row for row in samples if row.arm == BASELINE and row.endpoint in judge.endpoints)
    points = []
    for second, block in seconds_of(watched):
        log_e = judge.observe(second + 1.0, block).log_e
        streams = {name: judge.log_e_of(name) / math.log(10) for name in STREAMS}
        points.append(Point(second + 1.0, log_e / math.log(10), streams))
    return tuple(points)


def render_line(points: Sequence[Point]) -> str:
    """Give a curve as a line of bars: the highest is proof, and the lowest is none; empty for no curve.

    Each bar is the most of its seconds.
    """
    width = max(1, math.ceil(len(points) / MOST_BARS))
    most = [max(point.log10_e for point in points[place : place + width]) for place in range(0, len(points), width)]
    return "".join(LEVELS[_level(value)] for value in most)


def _level(log10_e: float) -> int:
    """Give the bar: the last one from proof on, and not before."""
    share = (log10_e - LOWEST) / (PROOF - LOWEST)
    return len(LEVELS) - 1 if share >= 1 else max(0, math.floor(share * (len(LEVELS) - 1)))


def tell(points: Sequence[Point]) -> str:
    """Say how strong the evidence was at its most, when, and which stream it came from."""
    top = max(points, key=lambda point: point.log10_e)
    if top.log10_e <= 0:
        return "none"
    name = max(top.streams, key=lambda name: top.streams[name])
    return f"E = {10 ** min(top.log10_e, 99):.3g} of {1 / ALPHA:.0f} after {top.t_s:.0f} s, most of it from {name}"
