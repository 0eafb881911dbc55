"""What the old release does itself is tolerated of the new one: its failures, its slow answers, its unevenness."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.judging.betting import upper_bound
from scripts.judging.habits import UNKNOWN_SPREAD, Old, Pace, Rate, Z
from scripts.verdict import CURRENT, Sample

PROMISED = 0.001


def rate_of(*events_by_s: int, sent: int = 10) -> Rate:
    """Give what was learned from seconds with so many events each."""
    rate = Rate()
    for events in events_by_s:
        rate.observe(sent, events)
    return rate


@pytest.mark.parametrize(
    ("rate", "events"),
    [
        (rate_of(), 0),
        (rate_of(0, 0, 0), 0),
        (rate_of(1, 0, 0), 1),
        (rate_of(9, 0, 0, 9), 2),
        (rate_of(9, 0, 9, 1), 3),
        (rate_of(9, 0, 9, 3), 9),
        (rate_of(2, 2, 2, 2), 8),
    ],
)
def test_two_blips_count_for_little(rate: Rate, events: int) -> None:
    """The two worst seconds count no more than the third one, but one event each."""
    assert rate.events == events


def test_what_is_tolerated() -> None:
    """What never happened is tolerated as promised alone; what happened by its bound, that more clean seconds lower."""
    assert rate_of(*[0] * 20).tolerated(PROMISED) == PROMISED
    assert rate_of().tolerated(PROMISED) == PROMISED
    once = rate_of(1, *[0] * 19).tolerated(PROMISED)
    assert once == pytest.approx(upper_bound(1, 200, Z))
    assert PROMISED < rate_of(1, *[0] * 99).tolerated(PROMISED) < once
    assert rate_of(*[10] * 20).tolerated(PROMISED) == 0.5


def test_what_comes_in_runs_counts_as_fewer_trials() -> None:
    """Thirty failures in three seconds say less of the rate than thirty that are spread over thirty."""
    assert rate_of(*[10] * 3, *[0] * 57).bound > 1.5 * rate_of(*[1] * 30, *[0] * 30).bound


@given(st.lists(st.integers(0, 10), max_size=30), st.floats(0.0001, 0.49))
def test_tolerated_rate_is_never_under_the_promise(failures: list[int], promised: float) -> None:
    """No baseline makes us stricter than the objective, or lets more than half of all requests fail."""
    assert promised <= rate_of(*failures).tolerated(promised) <= 0.5


def test_the_pace_of_an_endpoint() -> None:
    """Slow is three times the median of the last 15 answers, and nothing before there are five."""
    pace = Pace()
    pace.observe([10.0] * 4, settled=False)
    limits = [pace.slow_ms]
    pace.observe([10.0], settled=False)
    limits.append(pace.slow_ms)
    pace.observe([20.0] * 15, settled=True)
    assert [*limits, pace.slow_ms] == [None, 30, 60]


def test_the_spread_is_robust() -> None:
    """The spread is that of ln(ms) whatever a few outliers do; large while little is known, never almost none."""
    few, even, wild = Pace(), Pace(), Pace()
    few.observe([10.0, 11.0], settled=False)
    even.observe([10.0] * 50, settled=False)
    wild.observe([10.0, 12.0] * 20 + [5000.0] * 5, settled=False)
    assert (few.spread, even.spread) == (UNKNOWN_SPREAD, 0.05)
    assert 0.05 < wild.spread < 0.3
    before = wild.spread
    wild.observe([900.0] * 500, settled=True)
    assert wild.spread == before


def test_shared_trouble_is_no_habit() -> None:
    """What fails in a second in which both fail is not learned; times are."""
    old = Old(("ready",))
    rows = [Sample(0.0, "ready", CURRENT, 10.0, ok=number > 0) for number in range(10)]
    old.observe(rows, settled=False, shared=True)
    assert old.pooled.failing.sent == 0
    assert old.by_endpoint["ready"].pace.slow_ms == 30
    old.observe(rows, settled=False)
    assert (old.pooled.failing.sent, old.pooled.failing.events) == (10, 1)
    assert old.is_slow(Sample(0.0, "ready", "candidate", 31.0, ok=True))
    assert not old.is_slow(Sample(0.0, "ready", "candidate", 30.0, ok=True))
