"""What becomes of a comparison: doubts keep it from being a pass, and what was left out is said."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from scripts.config import LoadSection
from scripts.errors import PlatformError
from scripts.gates.calibrating import Tried
from scripts.gates.crowd import Block, add_up, read, split
from scripts.gates.epochs import Turn, as_epoch, side_figures, two_digits
from scripts.gates.load import add_comparison, comparison_as_json, told_of_objectives
from scripts.gates.objectives import judge_load
from scripts.gates.recorded import Epoch, Figures, Run
from scripts.gates.sides import Left, Versus
from scripts.gates.slower import judge_epochs
from scripts.gates.stats import Endpoint, Stats
from scripts.gates.versus import verdict_of
from scripts.release import Sha
from scripts.verdict import Outcome

COMMITS = {"base": Sha("a" * 40), "head": Sha("b" * 40)}
VERSUS = Versus(COMMITS, None, 1, Path("out"))
STATS = Stats(10, (Endpoint("GET /", 1000, 0, Counter({10.0: 1000})),))
BAD_STATS = Stats(10, (Endpoint("GET /", 1000, 500, Counter({10.0: 1000})),))
FIGURES = Figures(1000, 500.0, 2.0, 3.0, 0.5, 0.5)


def run_of(slowdown: float, *faults: str) -> Run:
    """Make a run of eight epochs in which all four metrics are slower by so much."""
    ratios = {name: [sign * (slowdown + n / 10_000) for n in range(8)] for name, sign in SIGNS.items()}
    epochs = [
        Epoch(n + 1, {name: row[n] for name, row in ratios.items()}, {"base": FIGURES, "head": FIGURES})
        for n in range(8)
    ]
    return Run(COMMITS, 1, 1, 50.0, tuple(epochs), judge_epochs(ratios), faults=faults, base_fails=BASE_FAILS in faults)


SIGNS: Mapping[str, int] = {"throughput": -1, "p50": 1, "cpu": 1, "p95": 1}
SATURATED = "the users' process takes 90% of a core: it, and not the service, may be what is measured"
BASE_FAILS = "9 of 100 requests to base failed: GET /: 500"


@pytest.mark.parametrize(
    ("slowdown", "faults", "outcome"),
    [
        (0.0, (), Outcome.PASS),
        (0.5, (), Outcome.FAIL),
        (0.0, (SATURATED,), Outcome.INCONCLUSIVE),
        (0.5, (SATURATED,), Outcome.FAIL),
        (0.5, (BASE_FAILS,), Outcome.INCONCLUSIVE),
        (0.0, (BASE_FAILS,), Outcome.INCONCLUSIVE),
        (-0.5, (), Outcome.PASS),
    ],
)
def test_a_doubt_is_never_a_pass(slowdown: float, faults: tuple[str, ...], outcome: Outcome) -> None:
    """A slowdown that was found stays one, unless the base fails: what fails may well be fast."""
    verdict = verdict_of(run_of(slowdown, *faults))
    assert verdict.outcome is outcome
    assert all(fault in verdict.reason for fault in faults if outcome is Outcome.INCONCLUSIVE)


@pytest.mark.parametrize(
    ("stats", "run", "outcome"),
    [
        (STATS, run_of(0.0), Outcome.PASS),
        (STATS, run_of(0.5), Outcome.FAIL),
        (BAD_STATS, run_of(0.0), Outcome.FAIL),
        (STATS, run_of(0.0, SATURATED), Outcome.INCONCLUSIVE),
        (STATS, Left("base does not start"), Outcome.PASS),
        (STATS, Left("HEAD fails", Outcome.INCONCLUSIVE), Outcome.INCONCLUSIVE),
        (BAD_STATS, Left("base does not start"), Outcome.FAIL),
    ],
)
def test_the_worse_of_objectives_and_comparison(stats: Stats, run: Run | Left, outcome: Outcome) -> None:
    """Neither hides the other; what was not compared is said."""
    limits = LoadSection()
    told = add_comparison(told_of_objectives(judge_load(stats, limits), stats, limits), run, VERSUS)
    assert told.verdict.outcome is outcome
    assert told.value["ok"] is (outcome is Outcome.PASS)
    assert bool(told.pages) is isinstance(run, Run)
    if isinstance(run, Left):
        assert run.reason in told.warning
        assert run.reason in told.verdict.reason or outcome is Outcome.FAIL


def test_a_comparison_for_tools() -> None:
    """Each metric with its change, its p and what was ruled out."""
    told = comparison_as_json(run_of(0.0).comparison)["comparison"]
    assert isinstance(told, dict)
    assert (told["verdict"], told["epochs"]) == ("pass", 8)
    assert [row["ruled_out"] for row in told["metrics"]] == [0.1, 0.1, 0.05, 0.3]


def block(requests: int, times_ms: tuple[float, ...] = (2.0, 3.0)) -> Block:
    """Make a block of half a second."""
    return Block(requests, 0, 0.5, 0.4, times_ms)


def test_an_epoch_of_its_pairs() -> None:
    """The median over the pairs counts, so that one bad pair moves nothing; CPU time is for its own requests."""
    good = {"base": Turn(block(100), 0.2, 400), "head": Turn(block(90), 0.25, 400)}
    odd = {"base": Turn(block(100), 0.2, 400), "head": Turn(block(1), 9.0, 400)}
    epoch = as_epoch(3, [good, odd, good])
    assert epoch.ratios["throughput"] == pytest.approx(-0.10536, abs=1e-4)
    assert epoch.ratios["cpu"] == pytest.approx(0.22314, abs=1e-4)
    assert side_figures([good["base"]]).cpu_ms == pytest.approx(0.5)
    assert epoch.sides["base"].per_s == 200


@pytest.mark.parametrize("turn", [Turn(block(0, ()), 0.2, 400), Turn(block(10), 0.0, 400), Turn(block(10), -1.0, 400)])
def test_a_service_that_answers_nothing_gives_no_epoch(turn: Turn) -> None:
    """Without an answer, or where a process ended and took its CPU time along, there is no ratio."""
    good = Turn(block(100), 0.2, 400)
    with pytest.raises(PlatformError, match="answered nothing, or ended"):
        as_epoch(1, [{"base": good, "head": turn}] * 2)


@pytest.mark.parametrize(
    ("asked", "failed", "failing"),
    [
        ((1000, 1000), (1, 1), []),
        ((1000, 1000), (0, 2), ["head"]),
        ((1000, 0), (0, 0), ["head"]),
        ((0, 9), (0, 9), ["base", "head"]),
    ],
)
def test_who_cannot_serve(asked: tuple[int, int], failed: tuple[int, int], failing: list[str]) -> None:
    """A side of which more fail than the objectives allow, or that answers nothing."""
    tried = Tried(
        Counter(dict(zip(("base", "head"), asked, strict=True))),
        Counter(dict(zip(("base", "head"), failed, strict=True))),
    )
    assert tried.failing(0.001) == failing


def test_users_are_split_and_added_up() -> None:
    """Each process has its share; together they are the users, and the busiest counts as the client."""
    assert [split(7, 3), split(2, 2), split(8, 1)] == [(3, 2, 2), (1, 1), (8,)]
    told = {"requests": 2, "failures": 1, "seconds": 0.5, "cpu_s": 0.1, "times_ms": [1, 2.5], "why": ["x"]}
    both = add_up([told, {**told, "seconds": 0.25}])
    assert both == Block(4, 2, 0.5, 0.4, (1.0, 2.5, 1.0, 2.5), ("x", "x"))
    with pytest.raises(PlatformError, match="nonsense"):
        read({**told, "requests": "2"})


def test_times_are_kept_to_two_digits() -> None:
    """As locust keeps them."""
    assert [two_digits(each) for each in (0.1234, 12.34, 1234.0)] == [0.12, 12.0, 1200.0]
