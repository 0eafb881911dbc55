"""The judge of a release: what is proof of bad, what may pass, what is nobody's fault, and what it may never say."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.judging.judge import Judge, Judgement, Limits, by_second
from scripts.judging.streams import ALPHA
from scripts.verdict import BASELINE, CANDIDATE, CURRENT, Outcome, Sample

ENDPOINTS = ("ready", "version")
LIMITS = Limits()

Counts = tuple[int, int]  # successes, failures
Block = Sequence[Counts]  # for each endpoint


def answers(block: Block, arm: str = CANDIDATE, ms: float = 20.0) -> list[Sample]:
    """Make one second's answers."""
    return [
        Sample(0.0, name, arm, ms, ok=place < good, reason="" if place < good else "status 500")
        for name, (good, bad) in zip(ENDPOINTS, block, strict=True)
        for place in range(good + bad)
    ]


def paired(
    second: int, new_ms: float, old_ms: float, count: int = 10, *, bad: int = 0, old_bad: int = 0
) -> list[Sample]:
    """Make one second's pairs, of which the first ones fail."""
    rows = []
    for number in range(count):
        t_s, name, pair = second + number / count, ENDPOINTS[number % 2], second * count + number
        rows.append(Sample(t_s, name, CANDIDATE, new_ms, number >= bad, "status 500" * (number < bad), pair))
        rows.append(Sample(t_s, name, CURRENT, old_ms, number >= old_bad, "", pair))
    return rows


def watch(blocks: Iterable[Sequence[Sample]], limits: Limits = LIMITS, baseline: Sequence[Sample] = ()) -> Judgement:
    """Judge seconds to the first decision, or to their end."""
    judge = Judge(ENDPOINTS, limits)
    judge.learn(baseline)
    found = judge.judge()
    for second, block in enumerate(blocks, 1):
        found = judge.observe(float(second), block)
        if found.outcome is not None:
            break
    return found


def usual(*ms: float) -> list[Sample]:
    """Make a baseline of twenty seconds that takes these times in turn."""
    return [
        Sample(-20 + number / 10, ENDPOINTS[number % 2], BASELINE, ms[number // 2 % len(ms)], ok=True)
        for number in range(200)
    ]


ALL_FAIL, ALL_HOLD = answers(((0, 5), (0, 5))), answers(((5, 0), (5, 0)))


def test_four_seconds_of_failures_are_proof() -> None:
    """Where every probe fails, the fourth second is proof, long before a pass is possible; the reason says why."""
    found = watch([ALL_FAIL] * 20)
    assert found.outcome is Outcome.FAIL
    counts = "40 of 40 probes failed (100.0%, tolerated 0.10%)"
    assert found.reason == f"{counts}, most often ready: status 500, proven at 4 s"


@pytest.mark.parametrize("before", [0, 10, 29])
@pytest.mark.parametrize("per_second", [1, 5, 50])
@pytest.mark.parametrize("seconds", [1, 2, 3])
def test_a_blip_is_no_proof(before: int, per_second: int, seconds: int) -> None:
    """A failure must last four seconds before it can roll back, however complete it is, and whenever it comes."""
    bad = answers(((0, per_second), (0, per_second)))
    assert watch([ALL_HOLD] * before + [bad] * seconds).outcome is None


def test_a_blip_is_forgotten() -> None:
    """Two seconds of an outage, and the release may still pass within two minutes."""
    assert watch([ALL_HOLD] * 12 + [ALL_FAIL] * 2 + [ALL_HOLD] * 106).outcome is Outcome.PASS


def test_late_trouble_is_found_soon() -> None:
    """A fifth of all requests that fails after 25 good seconds is proof within seven more."""
    judge = Judge(ENDPOINTS, LIMITS)
    for second in range(25):
        judge.observe(second + 1.0, ALL_HOLD)
    ends = [judge.observe(26.0 + second, answers(((4, 1), (4, 1)))).outcome for second in range(7)]
    assert Outcome.FAIL in ends


@pytest.mark.parametrize("endpoints", [5, 20])
def test_one_endpoint_that_fails_is_proof(endpoints: int) -> None:
    """One endpoint that always fails is found within seconds, though all other probes hold."""
    judge = Judge([f"e{number}" for number in range(endpoints)], LIMITS)
    for second in range(20):
        rows = [Sample(second, name, CANDIDATE, 9.0, ok=name != "e0") for name in judge.endpoints]
        found = judge.observe(second + 1.0, rows)
        if found.outcome:
            break
    assert found.outcome is Outcome.FAIL
    assert judge.t_s <= 6
    assert "e0: failed" in found.reason


@pytest.mark.parametrize(("least_s", "passes_at"), [(30, 32), (60, 60), (20, 32)])
def test_a_clean_watch_passes_when_it_may(least_s: float, passes_at: int) -> None:
    """A pass needs its least time, and so many answers that 2 % errors are ruled out: 32 s at ten probes a second."""
    limits = Limits(least_s=least_s)
    assert watch([ALL_HOLD] * passes_at, limits).outcome is Outcome.PASS
    assert watch([ALL_HOLD] * (passes_at - 1), limits).outcome is None


def test_no_samples_never_pass() -> None:
    """Without a sample there is no pass, and at the end it is inconclusive with what was not ruled out."""
    assert watch([[]] * 119).outcome is None
    found = watch([[]] * 120)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.open_questions == (
        "2% errors on all endpoints not ruled out",
        "25% errors on ready not ruled out",
        "25% errors on version not ruled out",
    )


@pytest.mark.parametrize("silent", [0, 1])
def test_every_bad_hypothesis_must_be_rejected(silent: int) -> None:
    """A release of which one endpoint was never asked does not pass, though all else was clean for long."""
    block = answers([(0, 0) if place == silent else (20, 0) for place in range(2)])
    found = watch([block] * 120)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.open_questions == (f"25% errors on {ENDPOINTS[silent]} not ruled out",)


def test_what_the_old_release_does_is_tolerated() -> None:
    """Errors that the baseline has, too, are no proof; with a clean baseline they are."""
    old = [
        Sample(-40 + number / 10, ENDPOINTS[number % 2], BASELINE, 9.0, ok=number % 20 != 7) for number in range(400)
    ]
    new = [answers(((5, 0), (4, 1))) if second % 2 else ALL_HOLD for second in range(120)]
    assert watch(new, baseline=old).outcome is Outcome.PASS
    assert watch(new).outcome is Outcome.FAIL


def test_slower_pairs_are_proof() -> None:
    """An answer that takes twice as long as the one beside it, again and again, is proof after the warm-up."""
    slow = [paired(second, 100.0, 50.0) for second in range(60)]
    found = watch(slow, baseline=usual(40, 50, 62))
    assert found.outcome is Outcome.FAIL
    assert found.reason.startswith("answers take ×2.00 as long as the current release's (")
    even = [paired(second, 55.0, 50.0) for second in range(60)]
    assert watch(even, baseline=usual(40, 50, 62)).outcome is Outcome.PASS


def test_slow_without_the_old_release_beside_it_is_no_proof() -> None:
    """Where the old release cannot be asked at the same time, slower may be drift, and decides nothing."""
    slow = [answers(((5, 0), (5, 0)), ms=500.0)] * 60
    assert watch(slow, baseline=usual(40, 50, 62)).outcome is Outcome.PASS


def test_a_slow_start_is_no_proof() -> None:
    """In the first five seconds nothing is said about times."""
    rows = [paired(second, 500.0 if second < 5 else 50.0, 50.0) for second in range(60)]
    assert watch(rows, baseline=usual(40, 50, 62)).outcome is Outcome.PASS


def test_a_tail_is_proof() -> None:
    """A tenth of the answers that take five times as long as usual is proof, though the median is the same."""
    rows = [paired(second, 50.0, 50.0) for second in range(120)]
    late = [
        [replace(row, ms=250.0) if row.arm == CANDIDATE and row.t_s == block[0].t_s else row for row in block]
        for block in rows
    ]
    found = watch(late, baseline=usual(40, 50, 62))
    assert found.outcome is Outcome.FAIL
    assert "three times as slow as usual" in found.reason


def test_trouble_of_both_is_the_environments() -> None:
    """Where the old release fails beside the new one for long, it is held, and said who is at fault."""
    found = watch([paired(second, 50.0, 50.0, bad=8, old_bad=8) for second in range(120)])
    assert (found.outcome, found.environment) == (Outcome.ERROR, True)
    assert found.reason.startswith("environment or a shared dependency: the current release fails beside it; ")


def test_trouble_of_both_that_ends_is_no_reason() -> None:
    """An outage of three seconds that hit both is not held against the new one."""
    rows = [
        paired(second, 50.0, 50.0, bad=10 * (10 <= second < 13), old_bad=10 * (10 <= second < 13))
        for second in range(120)
    ]
    assert watch(rows, baseline=usual(40, 50, 62)).outcome is Outcome.PASS


def test_a_release_that_mends_what_fails_passes() -> None:
    """Where only the old release fails, the new one is not sent back to it."""
    rows = [paired(second, 50.0, 50.0, old_bad=9) for second in range(120)]
    assert watch(rows).outcome is Outcome.PASS


def test_a_candidate_that_fails_beside_a_dead_one_does_not_pass() -> None:
    """Where the old release is gone and the candidate fails a tenth, nobody can say more than that both are ill."""
    rows = [paired(second, 50.0, 50.0, bad=int(second % 10 > 3), old_bad=10 * (second >= 5)) for second in range(120)]
    found = watch(rows, baseline=usual(40, 50, 62))
    assert (found.outcome, found.environment) == (Outcome.ERROR, True)


def test_one_failure_of_the_old_release_is_no_excuse() -> None:
    """A candidate that fails far more often than the old one beside it fails, though that one failed, too, once."""
    rows = [paired(second, 50.0, 50.0, bad=int(second % 5 == 0), old_bad=int(second == 3)) for second in range(120)]
    assert watch(rows, baseline=usual(40, 50, 62)).outcome is Outcome.FAIL


def test_what_the_old_release_lacks_is_no_excuse() -> None:
    """A check that the old release cannot answer at all says nothing of what is tolerated on the others."""
    old = [Sample(-40 + number / 10, ENDPOINTS[number % 2], BASELINE, 9.0, ok=number % 2 == 0) for number in range(400)]
    assert watch([answers(((3, 2), (5, 0)))] * 60, baseline=old).outcome is Outcome.FAIL
    assert watch([ALL_HOLD] * 60, baseline=old).outcome is Outcome.PASS


def test_an_old_release_that_breaks_on_one_endpoint_is_no_hindrance() -> None:
    """Where the old release cannot answer one endpoint any more, the candidate passes without a comparison of it."""
    rows = []
    for second in range(120):
        block = paired(second, 50.0, 50.0)
        rows.append([replace(row, ok=row.arm == CANDIDATE or row.endpoint == "ready") for row in block])
    assert watch(rows, baseline=usual(40, 50, 62)).outcome is Outcome.PASS


def test_slow_answers_beside_failures_are_no_proof() -> None:
    """A candidate that answers slowly what the old release cannot answer at all is not the worse one."""
    rows = []
    for second in range(120):
        ill = second >= 8
        block = paired(second, 400.0 if ill else 50.0, 50.0)
        rows.append([replace(row, ok=row.arm == CANDIDATE or not ill) for row in block])
    assert watch(rows, baseline=usual(40, 50, 62)).outcome is not Outcome.FAIL


def test_a_busy_runner_is_not_the_releases_fault() -> None:
    """Seconds in which the prober was late count for nothing; where there are many, it is said at the end."""
    judge = Judge(ENDPOINTS, LIMITS)
    ends = [judge.observe(second + 1.0, ALL_FAIL, starved=True) for second in range(120)]
    assert {row.outcome for row in ends[:-1]} == {None}
    assert ends[-1].outcome is Outcome.ERROR
    assert "the runner was too busy to probe in 120 of 120 s" in ends[-1].reason


@pytest.mark.parametrize("t_s", [0.5, -1.0, math.nan])
def test_time_never_goes_backwards(t_s: float) -> None:
    """A moment before the last one, or none, is refused."""
    judge = Judge(ENDPOINTS, LIMITS)
    judge.observe(1.0, ALL_HOLD)
    with pytest.raises(ValueError, match="time went from"):
        judge.observe(t_s, ALL_HOLD)


def test_an_unknown_endpoint_is_refused() -> None:
    """An answer of an endpoint that is not judged is a mistake, not evidence."""
    with pytest.raises(ValueError, match="no endpoint to judge: other"):
        Judge(ENDPOINTS, LIMITS).observe(1.0, [Sample(0.0, "other", CANDIDATE, 1.0, ok=True)])


@given(st.permutations(paired(0, 30.0, 20.0, bad=2, old_bad=1)))
def test_order_within_a_second_does_not_matter(rows: list[Sample]) -> None:
    """Threads may answer in any order: the judgement and every stream are the same."""
    first, second = Judge(ENDPOINTS, LIMITS), Judge(ENDPOINTS, LIMITS)
    for judge, block in ((first, rows), (second, paired(0, 30.0, 20.0, bad=2, old_bad=1))):
        judge.observe(5.0, ALL_HOLD)
        judge.observe(6.0, block)
        judge.observe(7.0, paired(1, 30.0, 20.0))
    assert first.judge() == second.judge()
    assert first.streams == second.streams


BLOCKS = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 4), st.integers(0, 12), st.integers(0, 4), st.booleans()), max_size=40
)


def made(blocks: list[tuple[int, int, int, int, bool]], more: Sequence[int] = ()) -> list[list[Sample]]:
    """Make seconds from counts, with an old release beside where that is told, and with more failures."""
    rows = []
    for place, (good, bad, other_good, other_bad, beside) in enumerate(blocks):
        added = more[place] if place < len(more) else 0
        block = answers(((good, bad + added), (other_good, other_bad)))
        rows.append(block + (answers(((5, 1), (5, 1)), CURRENT) if beside else []))
    return rows


@given(BLOCKS, st.lists(st.integers(0, 5), max_size=40))
def test_adding_failures_never_helps(blocks: list[tuple[int, int, int, int, bool]], more: list[int]) -> None:
    """More failures of the candidate never turn a fail into a pass, nor anything else into one."""
    limits = Limits(least_s=5.0, most_s=40.0)
    before, after = watch(made(blocks), limits), watch(made(blocks, more), limits)
    if before.outcome is not Outcome.PASS:
        assert after.outcome is not Outcome.PASS


@given(BLOCKS)
def test_every_judgement_keeps_its_promise(blocks: list[tuple[int, int, int, int, bool]]) -> None:
    """A fail has money of 1000, a pass has none to speak of and no open question, and only the end is inconclusive."""
    limits = Limits(least_s=5.0, most_s=20.0)
    judge = Judge(ENDPOINTS, limits)
    for second, block in enumerate(made(blocks), 1):
        found = judge.observe(float(second), block)
        match found.outcome:
            case Outcome.FAIL:
                assert found.log_e >= math.log(1 / ALPHA)
            case Outcome.PASS:
                assert (judge.t_s >= limits.least_s, found.log_e <= 0, found.open_questions) == (True, True, ())
            case Outcome.INCONCLUSIVE:
                assert judge.t_s >= limits.most_s
            case _:
                assert found.outcome is Outcome.ERROR or judge.t_s < limits.most_s


def test_seconds_of_samples() -> None:
    """Samples are parted by whole seconds, those before the start too."""
    rows = [Sample(t_s, "ready", CANDIDATE, 1.0, ok=True) for t_s in (-1.5, -0.5, -0.2, 0.0, 0.9, 3.1)]
    assert [(second, len(block)) for second, block in by_second(rows)] == [(-2, 1), (-1, 2), (0, 2), (3, 1)]
