"""The evidence against a release, drawn: what the judge saw, with the line from which on it is proof."""

import math
import xml.etree.ElementTree as ET

import pytest

from scripts.curves import render_bets
from scripts.judging.curve import LEVELS, PROOF, Point, follow, render_line, tell
from scripts.verdict import BASELINE, CANDIDATE, Sample

SVG = "{http://www.w3.org/2000/svg}"


def watch(seconds: int, *, bad_from_s: float = math.inf) -> list[Sample]:
    """Make a baseline, and ten answers a second."""
    before = [Sample(-20 + number / 10, "ready", BASELINE, 20.0, ok=True) for number in range(200)]
    own = [Sample(n / 10, "ready", CANDIDATE, 20.0, ok=n / 10 < bad_from_s) for n in range(10 * seconds)]
    return before + own


def test_a_curve_is_what_the_judge_saw() -> None:
    """Each second has a point; money is lost while all is well, and reaches proof in the fifth bad one."""
    points = follow(watch(20, bad_from_s=10), 0.001)
    assert [point.t_s for point in points] == [second + 1.0 for second in range(20)]
    assert points[9].log10_e < 0
    assert [point.log10_e >= PROOF for point in points[10:15]] == [False, False, False, False, True]
    assert points[14].streams["errors"] > points[14].log10_e > 0
    assert points[14].streams["latency"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("log10_e", "bar"), [(-9, 0), (-1, 0), (2.99, 6), (3, 7), (300, 7)])
def test_a_full_bar_is_proof_and_nothing_else(log10_e: float, bar: int) -> None:
    """The highest bar is for what is proof, however little is missing."""
    assert render_line([Point(1.0, log10_e, {})]) == LEVELS[bar]


def test_a_line_is_short_and_keeps_its_peaks() -> None:
    """A long watch is a line of forty bars at most, and no peak of it is lost."""
    points = [Point(float(second), 3.0 if second == 777 else -5.0, {}) for second in range(1000)]
    assert len(render_line(points)) <= 40
    assert render_line(points).count(LEVELS[-1]) == 1
    assert render_line([]) == ""


def test_what_is_told_of_a_curve() -> None:
    """It is said how strong the evidence was, when, and of what; and that there was none."""
    assert tell(follow(watch(20), 0.001)) == "none"
    told = tell(follow(watch(15, bad_from_s=10), 0.001))
    assert told.endswith(" of 1000 after 15 s, most of it from errors")


def test_the_picture_of_the_bets() -> None:
    """The picture has a line for each stream and for all, from the beginning on, within its frame; and the proof's."""
    drawn = ET.fromstring(render_bets(follow(watch(20, bad_from_s=10), 0.001), "render"))  # noqa: S314 - our own
    kinds = [part.get("class") for part in drawn.iter(f"{SVG}path")]
    assert [kind for kind in kinds if kind != "grid"] == ["proof", "bet errors", "bet latency", "bet tail", "bet sum"]
    _, _, width, height = map(float, drawn.attrib["viewBox"].split())
    for part in drawn.iter(f"{SVG}path"):
        words = part.attrib["d"].replace("M", " ").replace("L", " ").replace("H", " ").split()
        assert all(0 <= float(word) <= max(width, height) for word in words)
    assert render_bets([], "render") == ""
