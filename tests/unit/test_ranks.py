"""The exact rank statistics, held against counting every case and against their definitions."""

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.gates.ranks import as_share, doubled_ranks, family_p, shift, signed_rank_p, tail

VALUES = st.lists(st.sampled_from([-3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 2.5, 7.0]), min_size=1, max_size=8)


def by_counting(values: list[float]) -> float:
    """Give the p by looking at every way to sign the values."""
    ranks = doubled_ranks(values)
    seen = sum(rank for rank, value in zip(ranks, values, strict=True) if value > 0)
    signs = list(itertools.product((0, 1), repeat=len(values)))
    return sum(sum(map(math.prod, zip(ranks, row, strict=True))) >= seen for row in signs) / len(signs)


@pytest.mark.parametrize(
    ("values", "p"),
    [
        ([], 1.0),
        ([0.0, 0.0], 1.0),
        ([1.0], 0.5),
        ([-1.0], 1.0),
        ([float(n) for n in range(1, 9)], 1 / 256),
        ([-1.0, *map(float, range(2, 9))], 2 / 256),
        ([1.0, -2.0, *map(float, range(3, 9))], 3 / 256),
        ([1.0, 2.0, -3.0, *map(float, range(4, 9))], 5 / 256),
        ([float(n) for n in range(1, 25)], 2**-24),
    ],
)
def test_known_values(values: list[float], p: float) -> None:
    """The smallest sums of ranks have as many ways as there are partitions into different parts."""
    assert signed_rank_p(values) == pytest.approx(p, rel=1e-9)


@given(VALUES)
def test_p_is_that_of_counting(values: list[float]) -> None:
    """Ties share their ranks and zeros have none: still the exact share of all signs."""
    assert signed_rank_p(values) == pytest.approx(by_counting(values))


@given(VALUES)
def test_tail_begins_with_certainty_and_falls(values: list[float]) -> None:
    """At least nothing is certain, and more is never likelier than less."""
    told = tail(doubled_ranks(values))
    assert told[0] == 1.0
    assert all(one >= other for one, other in itertools.pairwise(told))


@given(VALUES, st.floats(-5, 5))
def test_the_shift_moves_with_the_values(values: list[float], by: float) -> None:
    """Hodges and Lehmann's estimate lies among the values, moves with them, and turns with their sign."""
    assert min(values) <= shift(values) <= max(values)
    assert shift([value + by for value in values]) == pytest.approx(shift(values) + by, abs=1e-9)
    assert shift([-value for value in values]) == pytest.approx(-shift(values))


def test_shift_of_known_values() -> None:
    """The median of all means of two: of 1, 2 and 9 those are 1, 1.5, 2, 5, 5.5 and 9."""
    assert shift([1.0, 2.0, 9.0]) == 3.5


@settings(max_examples=30)
@given(st.lists(st.lists(st.floats(0.1, 9), min_size=7, max_size=7), min_size=1, max_size=4))
def test_the_family_is_wrong_as_often_as_it_says(rows: list[list[float]]) -> None:
    """Of all ways to sign the epochs at most a share x has a corrected p of at most x in any row: exactly."""
    signed = list(itertools.product((1, -1), repeat=7))
    found = sorted(
        min(family_p([[sign * value for sign, value in zip(signs, row, strict=True)] for row in rows]))
        for signs in signed
    )
    for alpha in {*found, 0.004, 0.05}:
        assert sum(p <= alpha for p in found) / len(signed) <= alpha + 1e-9


def test_rows_that_move_together_cost_nothing() -> None:
    """Four rows with the same signs have the p of one; four of their own have at most four times as much."""
    row = [float(n) for n in range(1, 9)]
    assert family_p([row] * 4) == [1 / 256] * 4
    chance = random.Random(7)
    others = [[chance.choice((-1, 1)) * value for value in row] for _ in range(3)]
    assert family_p([row, *others])[0] == 4 / 256


def test_more_than_twelve_epochs_have_bonferronis_bound() -> None:
    """It is never smaller than what counting would give."""
    row = [float(n) for n in range(1, 17)]
    assert family_p([row, [-value for value in row]]) == [2 * 2**-16, 1.0]
    assert family_p([]) == []


def test_a_log_ratio_as_a_share() -> None:
    """The log of 1.1 is a tenth more, and that of 0.5 half as much."""
    assert as_share(math.log(1.1)) == pytest.approx(0.1)
    assert as_share(math.log(0.5)) == pytest.approx(-0.5)
