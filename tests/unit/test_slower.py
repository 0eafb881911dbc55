"""Whether a change makes the service slower: what is found, what passes, and how rarely it is wrong."""

import math
import random
from collections.abc import Mapping

import pytest

from scripts.gates.slower import (
    BY_NAME,
    LOOKS,
    METRICS,
    MOST_EPOCHS,
    Comparison,
    Finding,
    estimate,
    judge_epochs,
    look,
)
from scripts.verdict import Outcome

NOISE = {"throughput": 0.02, "p50": 0.02, "cpu": 0.01, "p95": 0.06}
ALIKE = dict.fromkeys(NOISE, 0.0)


def epochs(
    effect: Mapping[str, float], count: int = MOST_EPOCHS, times: float = 1.0, seed: int = 0
) -> dict[str, list[float]]:
    """Make epochs of a slowdown by metric, as a share, with noise that the metrics have half in common."""
    chance = random.Random(seed)
    found: dict[str, list[float]] = {name: [] for name in effect}
    for _ in range(count):
        common = chance.gauss(0, 1)
        for name, slowdown in effect.items():
            noise = NOISE[name] * times * (common + chance.gauss(0, 1)) / math.sqrt(2)
            found[name].append(BY_NAME[name].slower * (math.log1p(slowdown) + noise))
    return found


def test_the_whole_budget_is_a_hundredth() -> None:
    """What is spent on false alarms over all looks is 1 %."""
    assert sum(LOOKS.values()) == pytest.approx(0.01)
    assert list(LOOKS) == sorted(LOOKS) == [8, 12, 16, 24]


@pytest.mark.parametrize(
    ("effect", "slower"),
    [
        ({**ALIKE, "cpu": 0.05}, ["cpu"]),
        ({**ALIKE, "throughput": 0.1, "p50": 0.1}, ["throughput", "p50"]),
        (dict.fromkeys(NOISE, 0.4), ["throughput", "p50", "cpu", "p95"]),
    ],
)
def test_a_slowdown_is_found(effect: Mapping[str, float], slower: list[str]) -> None:
    """A slowdown that is promised to be found is found, and the metrics that show it are named."""
    found = judge_epochs(epochs(effect))
    assert found.outcome is Outcome.FAIL
    assert {row.metric.name for row in found.of(Finding.SLOWER)} >= set(slower[:1])
    assert found.verdict.exit_code == 10
    assert all(BY_NAME[name].title in found.verdict.reason for name in slower)


def test_nothing_changed_is_a_pass_at_the_first_look() -> None:
    """What is alike passes after eight epochs where the noise is that of a quiet machine."""
    found = judge_epochs(epochs(ALIKE))
    assert (found.outcome, found.epochs) == (Outcome.PASS, 8)
    assert found.verdict.exit_code == 0


def test_faster_is_told_and_passes() -> None:
    """A fifth less time is faster, and no alarm."""
    found = judge_epochs(epochs(dict.fromkeys(NOISE, -0.2)))
    assert found.outcome is Outcome.PASS
    assert {row.metric.name for row in found.of(Finding.FASTER)} >= {"throughput", "p50", "cpu"}
    assert "faster" in found.verdict.reason


@pytest.mark.parametrize("count", range(8))
def test_too_few_epochs_decide_nothing(count: int) -> None:
    """Before the first look nothing is found, however large it is: inconclusive, exit 11."""
    found = judge_epochs(epochs(dict.fromkeys(NOISE, 3.0), count=count))
    assert found.outcome is None
    assert found.verdict.outcome is Outcome.INCONCLUSIVE
    assert found.verdict.exit_code == 11
    assert not found.of(Finding.SLOWER)


def test_eight_epochs_are_enough_for_what_all_metrics_show() -> None:
    """A single metric, or several that agree, decide at the first look."""
    found = judge_epochs({"throughput": [-0.1 - n / 1000 for n in range(8)]})
    assert (found.outcome, found.epochs, found.measured[0].p) == (Outcome.FAIL, 8, 1 / 256)
    both = {"throughput": [-0.1 - n / 1000 for n in range(8)], "p50": [0.1 + n / 1000 for n in range(8)]}
    assert judge_epochs(both).outcome is Outcome.FAIL


@pytest.mark.parametrize(("slowdown", "outcome"), [(0.0299, Outcome.PASS), (0.0301, Outcome.FAIL)])
def test_an_alarm_asks_for_three_per_cent(slowdown: float, outcome: Outcome) -> None:
    """However sure it is, less than 3 % is no alarm; p95 needs 20 %."""
    row = [-math.log1p(slowdown) * (1 + n * 1e-9) for n in range(8)]
    assert judge_epochs({"throughput": row}).outcome is outcome


@pytest.mark.parametrize(("slowdown", "outcome"), [(0.1999, Outcome.PASS), (0.2001, Outcome.FAIL)])
def test_p95_is_judged_from_a_fifth(slowdown: float, outcome: Outcome) -> None:
    """The slowest answers are noise up to there."""
    assert judge_epochs({"p95": [math.log1p(slowdown) * (1 + n * 1e-9) for n in range(8)]}).outcome is outcome


def test_what_is_not_ruled_out_goes_on() -> None:
    """As long as the promised slowdown may be there, another look is taken."""
    row = [0.06, -0.06, 0.05, -0.05, 0.07, -0.07, 0.04, -0.04]
    assert look({"cpu": row}, 8).outcome is None


def test_at_the_last_look_noise_is_no_pass_where_the_estimate_alarms() -> None:
    """What may well be slower, or is so noisy that twice the promised slowdown may be there, is inconclusive."""
    noise = [0.08 * (-1) ** n for n in range(24)]
    assert look({"cpu": noise}, 24).outcome is Outcome.PASS
    assert look({"cpu": [value + 0.04 for value in noise]}, 24).outcome is Outcome.INCONCLUSIVE
    assert look({"cpu": [value * 4 for value in noise]}, 24).outcome is Outcome.INCONCLUSIVE
    assert "could not be told from noise" in look({"cpu": [value * 4 for value in noise]}, 24).verdict.reason


def test_what_may_alarm_later_does_not_pass_now() -> None:
    """5 % in two metrics, with others that keep the family from deciding at 8 epochs, is found at the next look."""
    signs = [1, -1, 1, 1, -1, 1, -1, -1, 1, -1, 1, -1]
    rows = {
        "throughput": [-0.05 - n / 1000 for n in range(12)],
        "p50": [0.05 + n / 1000 for n in range(12)],
        "cpu": [0.001 * sign for sign in signs],
        "p95": [-0.002 * sign * (1 if n % 3 else -1) for n, sign in enumerate(signs)],
    }
    eight = {name: row[:8] for name, row in rows.items()}
    assert (look(eight, 8).outcome, all(row.ruled_out for row in look(eight, 8).measured)) == (None, True)
    assert (judge_epochs(rows).outcome, judge_epochs(rows).epochs) == (Outcome.FAIL, 12)


def test_later_epochs_change_no_decision() -> None:
    """The first look that decides is the answer, whatever comes after it."""
    rows = epochs(ALIKE, count=8)
    later = {name: [*row, *[5.0 * BY_NAME[name].slower] * 16] for name, row in rows.items()}
    assert judge_epochs(later) == judge_epochs(rows)


def test_metrics_with_different_epochs_are_refused() -> None:
    """Each epoch has each metric."""
    with pytest.raises(ValueError, match="each epoch"):
        judge_epochs({"p50": [0.1], "p95": []})


def test_running_estimates_find_nothing() -> None:
    """Between looks there are estimates only."""
    (row,) = estimate({"p50": [0.1, 0.1], "p95": []})
    assert (row.finding, str(row)) == (Finding.UNCLEAR, "p50 +10.5%")
    assert estimate({}) == ()
    assert judge_epochs({}) == Comparison(0, None)


@pytest.mark.parametrize("times", [1.0, 5.0])
def test_few_false_alarms(times: float) -> None:
    """Of 150 runs of the same code none alarms in usual noise, and with five times the noise at most four do."""
    alarms = sum(judge_epochs(epochs(ALIKE, times=times, seed=seed)).outcome is Outcome.FAIL for seed in range(150))
    assert alarms <= (0 if times == 1.0 else 4)


@pytest.mark.slow
@pytest.mark.parametrize("times", [1.0, 3.0, 10.0])
def test_false_alarms_keep_to_the_budget(times: float) -> None:
    """Of 4,000 runs of the same code at most 1 % alarm, however wild the noise is, but for chance."""
    alarms = sum(judge_epochs(epochs(ALIKE, times=times, seed=seed)).outcome is Outcome.FAIL for seed in range(4_000))
    assert alarms <= 40 + 3 * math.sqrt(40)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: str(metric.name))
def test_what_is_promised_is_found(metric: object) -> None:
    """Of 40 runs with the slowdown that a pass is said to rule out, at least 36 alarm."""
    name, slowdown = next((each.name, each.ruled_out) for each in METRICS if each is metric)
    found = [judge_epochs(epochs({**ALIKE, name: slowdown}, seed=seed)).outcome for seed in range(40)]
    assert sum(outcome is Outcome.FAIL for outcome in found) >= 36
