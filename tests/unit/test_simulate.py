"""`simulate`: releases that are drawn from a seed, judged by the real judge, and counted with honest bounds."""

import json
import math
import time
from itertools import islice
from math import comb

import pytest

from scripts.cli import main
from scripts.judging.judge import Judge, Limits
from scripts.simulating.scenarios import SCENARIOS
from scripts.simulating.table import Setting, bounds, play, settings
from scripts.simulating.world import BASELINE_S, ENDPOINTS_MS, NOISES, Fault, World
from scripts.verdict import CANDIDATE, CURRENT, Outcome


@pytest.mark.parametrize(("count", "runs"), [(1, 10), (3, 40), (17, 200), (199, 200)])
def test_bounds_are_exact(count: int, runs: int) -> None:
    """Were the share a bound, so few or so many would come with 2.5 % (Clopper and Pearson)."""

    def chance(numbers: range, share: float) -> float:
        return sum(comb(runs, k) * share**k * (1 - share) ** (runs - k) for k in numbers)

    low, high = bounds(count, runs)
    assert chance(range(count, runs + 1), low) == pytest.approx(0.025, rel=1e-6)
    assert chance(range(count + 1), high) == pytest.approx(0.025, rel=1e-6)


def test_bounds_at_the_ends() -> None:
    """Of none or all there is one bound: 1 − .025^(1/n)."""
    assert bounds(0, 3000) == pytest.approx((0, 1 - 0.025 ** (1 / 3000)), abs=1e-9)
    assert bounds(10, 10) == pytest.approx((0.025**0.1, 1), abs=1e-9)


def test_a_seed_gives_the_same_release() -> None:
    """The same seed gives the same samples; another one gives others."""
    first, second, other = (
        World(NOISES["harsh"], Fault(), rate_per_s=10, paired=True, seed=seed) for seed in ("a", "a", "b")
    )
    blocks = [list(islice(world.seconds(), 3)) for world in (first, second, other)]
    assert blocks[0] == blocks[1] != blocks[2]


def test_a_world_is_probed_as_a_release_is() -> None:
    """Each second has its rate of the candidate, and of the old one beside it, in pairs; the baseline comes before."""
    world = World(NOISES["typical"], Fault(times=3.0, endpoint="search"), rate_per_s=50, paired=True, seed="a")
    before = world.baseline()
    assert (len(before), before[0].t_s, {row.pair for row in before}) == (50 * BASELINE_S, -BASELINE_S, {None})
    rows = [row for block in islice(world.seconds(), 20) for row in block]
    assert [len([row for row in rows if row.arm == arm]) for arm in (CANDIDATE, CURRENT)] == [1000, 1000]
    assert {row.endpoint for row in rows} == set(ENDPOINTS_MS)
    times = {
        (name, arm): math.exp(
            sum(math.log(row.ms) for row in rows if (row.endpoint, row.arm) == (name, arm))
            / sum((row.endpoint, row.arm) == (name, arm) for row in rows)
        )
        for name in ("search", "ready")
        for arm in (CANDIDATE, CURRENT)
    }
    assert times["search", CANDIDATE] / times["search", CURRENT] == pytest.approx(3, rel=0.15)
    assert times["ready", CANDIDATE] / times["ready", CURRENT] == pytest.approx(1, rel=0.15)


@pytest.mark.parametrize(
    ("name", "outcome", "least"),
    [
        ("no change", Outcome.PASS, 20),
        ("every request fails", Outcome.FAIL, 20),
        ("5 % errors", Outcome.FAIL, 18),
        ("×2 on one endpoint of five", Outcome.FAIL, 18),
        ("5 % errors in both", Outcome.PASS, 18),
    ],
)
def test_a_few_of_each_kind(name: str, outcome: Outcome, least: int) -> None:
    """Of twenty releases nearly all are judged as they should be."""
    setting = Setting(name, "typical", 10, paired=True, runs=20)
    ends = [play(setting, number, "test") for number in range(20)]
    assert sum(row.outcome is outcome for row in ends) >= least


def test_the_whole_table_has_every_kind() -> None:
    """Every release is simulated with each noise and rate, with the old one beside it and, where that may be, alone."""
    table = list(settings((10, 50), ("typical", "harsh"), 3000, 500))
    assert len(table) == sum(2 * len(row.rates) * len(row.paired) for row in SCENARIOS)
    assert {row.runs for row in table} == {3000, 500}


def test_the_verb_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """The table is Markdown, or one JSON object, with bounds beside each figure and the seed."""
    words = ["simulate", "--runs", "2", "--rate", "10", "--noise", "typical", "--scenario", "Fails"]
    assert main(words, {}) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| release | noise |")
    assert "| every request fails | typical | yes | 10 | 2 | 100.00% | 15.81% to 100.00% | 4 s |" in lines[2]
    assert main([*words, "--json"], {}) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["version"], told["lines"][0]["rolled_back"], told["lines"][0]["median_s"]) == (1, 1.0, 4.0)


@pytest.mark.parametrize("words", [("--runs", "0"), ("--scenario", "unheard of")])
def test_nothing_to_simulate(capsys: pytest.CaptureFixture[str], words: tuple[str, str]) -> None:
    """A number of runs that is none, or a name that no line has, ends with exit 2 and the next step."""
    assert main(["simulate", *words], {}) == 2
    assert "error" in capsys.readouterr().err


def test_the_judge_costs_less_than_a_hundredth_of_a_core() -> None:
    """At 50 probes a second, and as many of the old release beside them, a second of a watch takes at most 10 ms."""
    world = World(NOISES["harsh"], Fault(), rate_per_s=50, paired=True, seed="cost")
    judge = Judge(tuple(ENDPOINTS_MS), Limits())
    judge.learn(world.baseline())
    blocks = list(islice(world.seconds(), 120))
    begin_s = time.process_time()
    for number, block in enumerate(blocks, 1):
        judge.observe(float(number), block)
    share = (time.process_time() - begin_s) / len(blocks)
    print(f"the judge takes {share:.2%} of a core at 50 pairs a second")  # noqa: T201 - seen with -s
    assert share <= 0.01
