"""The old release, asked beside the candidate where it has an address of its own: what one of them has, and both."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from scripts.judging.judge import Limits
from scripts.judging.recorded import judge_samples
from scripts.rehearsal.simulated.moments import NEW, OLD
from scripts.rehearsal.simulated.vercel import PRODUCTION
from scripts.rehearsal.simulated.world import SERVES_NEW, PairWorld, pair
from scripts.release import Stage
from scripts.samples import read_samples
from scripts.verdict import BASELINE, CANDIDATE, CURRENT, Outcome


class TimedWorld(PairWorld):
    """A world in which an answer takes its time, and an address of a deployment may be protected."""

    new_s = 0.010
    old_s = 0.010
    protected = False

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Take the time of whoever answers."""
        if self.protected and self.verdicts.get(Stage.PROMOTE) and request.url.host != httpx.URL(PRODUCTION).host:
            return httpx.Response(401)
        own = request.url.host == httpx.URL(PRODUCTION).host and NEW in self.vercel.commits()
        self.clock.now_s += self.new_s if own else self.old_s
        return super().answer(request)


def baking(folder: Path) -> TimedWorld:
    """Give a world whose candidate has just been promoted."""
    world = pair(folder, "vercel", of=TimedWorld)
    assert isinstance(world, TimedWorld)
    assert world.run_forward(until=Stage.PROMOTE) == 0
    return world


def test_both_are_asked_at_the_same_moments(tmp_path: Path) -> None:
    """Every probe of the bake is one of a pair, and what is written down is judged again as it was judged."""
    world = baking(tmp_path)
    assert world.run(Stage.BAKE) == 0
    assert "answers beside it" in world.told.getvalue()
    rows = read_samples(world.folder / "samples-vercel.jsonl")
    pairs = {
        arm: sorted(row.pair for row in rows if row.arm == arm and row.pair is not None) for arm in (CANDIDATE, CURRENT)
    }
    assert pairs[CANDIDATE] == pairs[CURRENT] == list(range(len(pairs[CURRENT])))
    assert [row.arm for row in rows[:20]] == [BASELINE] * 20
    before_s = len(world.state.targets["vercel"].verified)
    again = judge_samples(rows, Limits(before_s + 5.0, before_s + 40.0))
    assert again.verdict is Outcome.PASS
    assert again.reason in world.verdicts[Stage.BAKE].reason


def test_a_slower_candidate_is_rolled_back(tmp_path: Path) -> None:
    """One that takes far longer than the old release beside it fails, though every answer is good."""
    world = baking(tmp_path)
    world.new_s = 0.060
    assert world.run(Stage.BAKE) == 10
    assert "as long as the current release's" in world.verdicts[Stage.BAKE].reason
    assert world.run(Stage.ROLLBACK) == 0
    assert world.users == {"vercel": {OLD}}


def test_trouble_of_both_holds(tmp_path: Path) -> None:
    """Where the old release fails beside it alike, nobody is rolled back: exit 12, and the environment is named."""
    world = baking(tmp_path)
    world.vercel.environment_sick_from_s = world.clock.now_s + 3
    assert world.run(Stage.BAKE) == 12
    assert world.verdicts[Stage.BAKE].environment
    assert "environment or a shared dependency" in world.verdicts[Stage.BAKE].reason
    assert world.run(Stage.ROLLBACK) == 12
    assert world.states == {"vercel": SERVES_NEW}
    assert world.mutations == {"vercel": [("deploy", NEW), ("promote", NEW)]}


@pytest.mark.parametrize("sick", [False, True])
def test_an_old_release_that_may_not_be_asked(tmp_path: Path, sick: bool) -> None:
    """A protected address is no witness: it is said, and the candidate is judged by its own failures alone."""
    world = baking(tmp_path)
    world.protected = True
    if sick:
        world.vercel.sick_in_production.add(NEW)
    assert world.run(Stage.BAKE) == (10 if sick else 0)
    assert "the old release cannot be asked beside it (/version answered 401)" in world.told.getvalue()
    lines = (world.folder / "samples-vercel.jsonl").read_text().splitlines()
    assert {json.loads(line)["arm"] for line in lines} == {BASELINE, CANDIDATE}


def test_a_bake_that_is_run_again(tmp_path: Path) -> None:
    """What an earlier bake wrote is put away, so that the file holds one watch, and can be judged."""
    world = baking(tmp_path)
    assert [world.run(Stage.BAKE), world.run(Stage.BAKE)] == [0, 0]
    for name in ("samples-vercel.jsonl", "earlier-samples-vercel.jsonl"):
        assert judge_samples(read_samples(world.folder / name), Limits(5.0, 60.0)).verdict is Outcome.PASS


def test_a_busy_runner_is_said(tmp_path: Path) -> None:
    """Where this machine cannot keep its rate, the seconds count for nothing, and the release is not blamed."""
    world = baking(tmp_path)
    world.new_s = world.old_s = 0.4
    assert world.run(Stage.BAKE) == 12
    assert "the runner was too busy to probe" in world.verdicts[Stage.BAKE].reason
    assert not world.verdicts[Stage.BAKE].environment
    assert world.states == {"vercel": SERVES_NEW}
