"""Several targets at work at the same time, on threads of their own, and what their verdicts make of a stage."""

import io
import threading
from dataclasses import asdict
from pathlib import Path

import pytest

from scripts.checkout import Checkout
from scripts.clock import SystemClock
from scripts.console import Console
from scripts.errors import PlatformError
from scripts.journal import Journal, Kind
from scripts.rehearsal.simulated.moments import BEGIN, NEW
from scripts.rehearsal.simulated.world import pair_config
from scripts.release import STAGES, Release, Stage
from scripts.stage import Ports, conclude, side_by_side
from scripts.state import Ended, RunState
from scripts.verdict import Outcome, Verdict, failed, passed

LIMIT_S = 10
GOOD, BAD = passed("good"), failed("bad")


def make_ports(folder: Path, *, together: bool = True) -> Ports:
    """Give ports with a journal of a release to two targets, and threads as they are outside tests."""
    journal = Journal(folder, SystemClock(), str)
    release = Release(NEW, "7", BEGIN, ("render", "vercel"), together)
    journal.append(Kind.RELEASE, **asdict(release))
    config = pair_config(("render", "vercel"), together=together, on_unproven="roll_back")
    console = Console(err=io.StringIO(), out=io.StringIO())
    return Ports(config, (), journal, SystemClock(), console, Checkout(folder), folder)


def test_targets_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """Each act runs while the other does: two that meet half-way both end."""
    meeting = threading.Barrier(2, timeout=LIMIT_S)

    def meet() -> Verdict:
        meeting.wait()
        return GOOD

    assert side_by_side(make_ports(tmp_path), {"render": meet, "vercel": meet}) == {"render": GOOD, "vercel": GOOD}


def test_what_one_raises_waits_for_the_other(tmp_path: Path) -> None:
    """An error of one target is raised when the other one has ended too, so that nothing is left half done."""
    raised, ended = threading.Event(), threading.Event()

    def fail() -> Verdict:
        raised.set()
        raise PlatformError("no")

    def last() -> Verdict:
        assert raised.wait(LIMIT_S)
        ended.set()
        return GOOD

    with pytest.raises(PlatformError, match="no"):
        side_by_side(make_ports(tmp_path), {"render": fail, "vercel": last})
    assert ended.is_set()


def test_alone_an_error_is_one_targets_verdict(tmp_path: Path) -> None:
    """Where each goes alone, an error of one is its verdict; a bug or an interrupt is still raised."""

    def fail() -> Verdict:
        raise PlatformError("no", next_step="look")

    verdicts = side_by_side(make_ports(tmp_path, together=False), {"render": fail, "vercel": lambda: GOOD})
    assert verdicts == {"render": Verdict(Outcome.ERROR, "no", "look"), "vercel": GOOD}

    def interrupt() -> Verdict:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        side_by_side(make_ports(tmp_path / "again", together=False), {"render": interrupt, "vercel": lambda: GOOD})


def test_the_order_is_that_of_the_targets(tmp_path: Path) -> None:
    """Whichever ends first, verdicts are told in the order of the targets."""
    first = threading.Event()

    def late() -> Verdict:
        assert first.wait(LIMIT_S)
        return BAD

    def early() -> Verdict:
        first.set()
        return GOOD

    assert list(side_by_side(make_ports(tmp_path), {"render": late, "vercel": early})) == ["render", "vercel"]


def run_of(*, together: bool, **ended: Verdict) -> RunState:
    """Give a release in which one target failed in an earlier stage."""
    release = Release(NEW, "7", BEGIN, ("render", "vercel"), together)
    return RunState(release, {}, {Stage.VERIFY: Ended(BEGIN, BEGIN, GOOD, 0, ended)} if ended else {})


@pytest.mark.parametrize("stage", Stage)
def test_a_unit_passes_as_one(stage: Stage) -> None:
    """In a release that is one unit a stage is as good as its worst target."""
    both = {"render": GOOD, "vercel": BAD}
    assert not conclude(run_of(together=True), stage, both).passed
    assert conclude(run_of(together=True), stage, {"render": GOOD, "vercel": GOOD}).passed
    assert not conclude(run_of(together=True), stage, {}).passed


@pytest.mark.parametrize("stage", Stage)
def test_alone_a_stage_passes_while_one_goes_on(stage: Stage) -> None:
    """Where each goes alone one pass lets a stage pass; the bake, and every way back, tell what failed."""
    alone = run_of(together=False)
    goes_on = stage in STAGES and stage is not Stage.BAKE
    assert conclude(alone, stage, {"render": GOOD, "vercel": BAD}).passed is goes_on
    assert not conclude(alone, stage, {"render": BAD, "vercel": BAD}).passed
    assert not conclude(alone, stage, {}).passed
    assert not conclude(run_of(together=False, render=BAD), Stage.BAKE, {"vercel": GOOD}).passed
    assert conclude(run_of(together=False, vercel=GOOD), Stage.BAKE, {"vercel": GOOD}).passed
