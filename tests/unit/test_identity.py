"""Which commit answers: how many answers are proof, and what breaks a row of them."""

import random
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.identity import Identity, Seen, answers_needed
from scripts.release import Sha

NEW, OLD, THIRD = Sha("a" * 40), Sha("b" * 40), Sha("c" * 40)
SILENT = Seen(None, reason="no answer (ConnectError)")
ANSWERS = st.lists(
    st.builds(Seen, st.sampled_from([NEW, NEW, NEW, OLD, THIRD, None]), st.sampled_from([None, "i1", "i2", "i3"])),
    max_size=60,
)


def watch(*answers: Seen) -> Identity:
    """Take answers in order."""
    identity = Identity(NEW)
    for seen in answers:
        identity = identity.observe(seen)
    return identity


def named(*instances: str) -> list[Seen]:
    """Make answers of the expected commit from these instances."""
    return [Seen(NEW, instance) for instance in instances]


@pytest.mark.parametrize(("instances", "answers"), [(0, 10), (1, 10), (2, 18), (3, 25), (4, 31), (10, 73), (100, 695)])
def test_answers_needed(instances: int, answers: int) -> None:
    """N = ⌈ln .001 / ln(1 − 1/(n + 1))⌉: an old instance beside the n would have been seen."""
    assert answers_needed(instances) == answers


@given(st.integers(1, 400))
def test_answers_needed_is_the_least_number_that_is_enough(instances: int) -> None:
    """N answers miss one beside n instances with at most one in a thousand, and one answer fewer would not do."""
    n = answers_needed(instances)
    assert 1000 * instances**n <= (instances + 1) ** n
    assert 1000 * instances ** (n - 1) > (instances + 1) ** (n - 1)


@given(st.integers(1, 399))
def test_more_instances_never_need_fewer_answers(instances: int) -> None:
    """The number of answers grows with the number of instances."""
    assert answers_needed(instances) <= answers_needed(instances + 1)


@pytest.mark.parametrize(
    ("answers", "instances", "proven"),
    [
        ([], 1, False),
        (named(*["a"] * 9), 1, False),
        (named(*["a"] * 10), 1, True),
        (named(*"ab" * 8, "a"), 2, False),
        (named(*"ab" * 9), 2, True),
        (named(*"ab" * 50), 3, False),
        (named(*"abc" * 8), 3, False),
        (named(*"abc" * 8, "a"), 3, True),
        (named(*["a"] * 50), 2, False),
        ([Seen(NEW)] * 9, 1, False),
        ([Seen(NEW)] * 10, 1, True),
        ([Seen(NEW)] * 24, 3, False),
        ([Seen(NEW)] * 25, 3, True),
        ([*named(*"abc" * 7), Seen(NEW)], 3, False),
        ([*named(*["a"] * 24), Seen(NEW)], 3, True),
    ],
)
def test_proof(answers: list[Seen], instances: int, proven: bool) -> None:
    """Proof is N answers, and not one fewer; where all name their instance, from every one expected."""
    assert watch(*answers).proven(instances) is proven


@pytest.mark.parametrize("other", [Seen(OLD, "a"), Seen(None, reason="/version answered 502"), SILENT])
def test_any_other_answer_breaks_the_row(other: Seen) -> None:
    """One answer of another commit, or of none, and the row and its instances begin anew."""
    broken = watch(*named("a", "b"), other)
    assert (broken.row, broken.instances) == (0, frozenset())
    assert not watch(*named(*"a" * 50), other, *named(*"c" * 9)).proven(1)
    assert not watch(*named(*"ab" * 50), other, *named(*"c" * 50)).proven(3)
    assert watch(*named("a", "b"), other, *named(*"abc" * 20)).proven(3)


def test_instances_asked_in_turn_with_an_old_one_are_no_proof() -> None:
    """All three new instances answer in a row, and then the old one does, for ever."""
    assert not watch(*[*named("a", "b", "c"), Seen(OLD, "o")] * 500, *named("a", "b", "c")).proven(3)


@pytest.mark.parametrize("seed", range(20))
def test_instances_asked_by_chance_with_an_old_one_are_no_proof(seed: int) -> None:
    """Whatever chance does, in a thousand answers no row is long enough: the more rows broke, the longer it must be."""
    chance, identity = random.Random(seed), Identity(NEW)
    for _ in range(1000):
        identity = identity.observe(chance.choice([*named("a", "b", "c"), Seen(OLD, "o")]))
        assert not identity.proven(3)


def test_an_unnamed_answer_is_forgotten_with_its_row() -> None:
    """After a break a new row is judged by its own answers, named or not."""
    assert watch(Seen(NEW), Seen(OLD), *named(*"abc" * 20)).proven(3)


@pytest.mark.parametrize(
    ("answers", "stranger", "row"),
    [
        ([Seen(OLD)], OLD, 1),
        ([Seen(OLD)] * 3, OLD, 3),
        ([Seen(OLD), Seen(THIRD)], THIRD, 1),
        ([Seen(OLD), Seen(OLD), Seen(THIRD), Seen(THIRD)], THIRD, 2),
        ([Seen(OLD), Seen(OLD), Seen(NEW)], OLD, 0),
        ([Seen(OLD), Seen(OLD), Seen(NEW), Seen(OLD)], OLD, 1),
        ([SILENT, SILENT, SILENT], None, 0),
    ],
)
def test_strangers(answers: list[Seen], stranger: Sha | None, row: int) -> None:
    """A stranger is counted as long as it alone answers; the expected commit, or another stranger, ends its row."""
    identity = watch(*answers)
    assert (identity.stranger, identity.stranger_row) == (stranger, row)


@given(ANSWERS)
def test_row_is_what_came_last(answers: list[Seen]) -> None:
    """The row is exactly the answers of the expected commit since the last other one, and its instances are theirs."""
    identity = watch(*answers)
    last = list(takewhile(lambda seen: seen.commit == NEW, reversed(answers)))
    assert identity.row == len(last)
    assert identity.instances == {seen.instance for seen in last if seen.instance}


@given(ANSWERS, st.integers(1, 3))
def test_proof_needs_answers(answers: list[Seen], instances: int) -> None:
    """Nothing is proven by fewer than N answers in a row, nor by named ones from too few instances."""
    identity = watch(*answers)
    if identity.proven(instances):
        assert identity.row >= answers_needed(instances)
        assert len(identity.instances) >= instances or not identity.named_all


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        ([], "0 answers in a row; last: no answer yet"),
        (named("a", "b"), "2 answers in a row from 2 of 3; last: commit aaaaaaa answered"),
        ([Seen(NEW)], "1 answers in a row; last: commit aaaaaaa answered"),
        ([*named("a"), Seen(OLD)], "0 answers in a row; last: commit bbbbbbb answered"),
        ([SILENT], "0 answers in a row; last: no answer (ConnectError)"),
    ],
)
def test_description_has_the_evidence(answers: list[Seen], text: str) -> None:
    """A reason says how many answers there were, from how many instances, and what came last."""
    assert watch(*answers).describe(3) == text
