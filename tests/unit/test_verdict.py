"""Four answers, of which the worst wins; each has its exit code."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.verdict import (
    EXIT_CODES,
    Outcome,
    Verdict,
    failed,
    passed,
    superseded_by,
    unproven_rollback,
    worst,
)

ORDER = [Outcome.PASS, Outcome.INCONCLUSIVE, Outcome.ERROR, Outcome.FAIL]
VERDICTS = st.builds(
    Verdict, st.sampled_from(Outcome), st.sampled_from(["a", "b", "c"]), not_proven=st.booleans()
).filter(lambda row: not (row.passed and row.not_proven))


def rank(verdict: Verdict) -> tuple[bool, int]:
    """Rank as the design does: not proven beats all, then the order of the four."""
    return verdict.not_proven, ORDER.index(verdict.outcome)


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        (passed("fine"), 0),
        (failed("bad"), 10),
        (superseded_by("someone"), 10),
        (Verdict(Outcome.INCONCLUSIVE, "little"), 11),
        (Verdict(Outcome.ERROR, "blind"), 12),
        (Verdict(Outcome.ERROR, "both fail", environment=True), 12),
        (unproven_rollback("old one silent"), 13),
    ],
)
def test_exit_codes(verdict: Verdict, code: int) -> None:
    """Each answer has the exit code of the design, and only a pass is 0."""
    assert verdict.exit_code == code
    assert verdict.passed == (code == 0)


def test_every_outcome_has_a_code_of_its_own() -> None:
    """No two answers share an exit code, and none is without."""
    assert len({EXIT_CODES[outcome] for outcome in Outcome}) == len(Outcome)


def test_badness_is_the_order_of_the_design() -> None:
    """From best to worst: pass, inconclusive, error, fail."""
    assert sorted(Outcome, key=lambda outcome: outcome.badness) == ORDER


@pytest.mark.parametrize(("first", "second"), list(itertools.product(ORDER, ORDER)))
def test_worst_of_two(first: Outcome, second: Outcome) -> None:
    """Of two answers the worse one wins, whichever comes first."""
    expected = ORDER[max(ORDER.index(first), ORDER.index(second))]
    assert worst([Verdict(first, "a"), Verdict(second, "b")]).outcome is expected


def test_worst_of_none_is_inconclusive() -> None:
    """No evidence is never a pass."""
    assert worst([]) == Verdict(Outcome.INCONCLUSIVE, "nothing was judged")
    assert worst([]).exit_code == 11


def test_not_proven_is_worse_than_any_fail() -> None:
    """A rollback that is not proven is said before all else, exit 13."""
    told = worst([failed("bad"), unproven_rollback("render: silent", "call it"), passed("fine")])
    assert (told.exit_code, told.reason, told.next_step) == (13, "render: silent", "call it")


def test_reasons_of_the_worst_are_all_told() -> None:
    """Every reason of the winning answer is kept once, and none of a better one."""
    told = worst([failed("one"), passed("fine"), failed("two"), failed("one"), Verdict(Outcome.ERROR, "blind")])
    assert told.reason == "one; two"


def test_flags_go_with_the_winner() -> None:
    """What a verdict means beyond its answer is kept when it wins, and not taken from a better one."""
    told = worst([passed("fine"), superseded_by("render: someone moved it")])
    assert told.superseded
    assert told.next_step
    environment = Verdict(Outcome.ERROR, "both", environment=True)
    assert worst([environment, passed("fine")]).environment
    assert not worst([environment, failed("bad")]).environment


@given(st.lists(VERDICTS, min_size=1))
def test_worst_wins(verdicts: list[Verdict]) -> None:
    """The worst of any answers ranks as the worst of them, so one that is not a pass is never lost."""
    told = worst(verdicts)
    assert rank(told) == max(map(rank, verdicts))
    assert told.passed == all(verdict.passed for verdict in verdicts)


@given(st.permutations([passed("a"), failed("b"), unproven_rollback("c"), Verdict(Outcome.ERROR, "d")]), st.data())
def test_order_does_not_matter(verdicts: list[Verdict], data: st.DataObject) -> None:
    """The exit code of several answers does not depend on which came first."""
    part = data.draw(st.lists(st.sampled_from(verdicts), min_size=1, unique_by=id))
    assert worst(part).exit_code == worst(reversed(part)).exit_code


def test_superseded_is_not_lost_behind_another_fail() -> None:
    """That someone else moved production is known even where another target failed before it."""
    assert worst([failed("render: 5 % errors"), superseded_by("vercel")]).superseded
    assert worst([superseded_by("vercel"), failed("render: 5 % errors")]).superseded


@pytest.mark.parametrize("verdict", [unproven_rollback("silent"), unproven_rollback("silent", "")])
def test_an_unproven_rollback_always_says_what_to_do(verdict: Verdict) -> None:
    """Exit 13 never comes without a next step, because a person is needed."""
    assert verdict.next_step
