"""`plan`: what it takes as the baseline, and which releases it refuses."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from scripts import plan
from scripts.errors import ConfigError
from scripts.journal import NAME
from scripts.plan import may_start_afresh
from scripts.rehearsal.simulated.moments import BEGIN, NEW, NEWER, OLD, OLDER, SIDE
from scripts.release import Stage
from scripts.stage import run_stage
from tests.unit.stages.clouds import World, old_and_new


def test_baseline_is_what_platform_and_service_agree_on(tmp_path: Path) -> None:
    """A plan passes on a service that serves, writes down what serves as proven, and changes nothing."""
    world = old_and_new(tmp_path)
    assert world.run(Stage.PLAN) == 0
    assert (world.baseline.commit, world.baseline.deployment_id, world.baseline.proven) == (OLD, "dep-2", True)
    assert world.baseline.healthy
    assert not world.baseline.first
    assert world.cloud.mutations == []


@pytest.mark.parametrize(("instances", "answering"), [(1, 1), (3, 3), pytest.param(3, 1)])
def test_platform_and_version_must_agree(tmp_path: Path, instances: int, answering: int) -> None:
    """A service that answers as another commit than the platform's live one is refused, however few answer."""
    world = old_and_new(tmp_path, instances=instances)
    world.cloud.live_without_traffic = {SIDE}
    world.cloud.serve_since_long(SIDE)
    world.cloud.serving = world.cloud.serving[:answering]
    assert world.run(Stage.PLAN, again=True) == 10
    assert world.verdicts[Stage.PLAN].superseded


def test_deploy_in_flight_refuses(tmp_path: Path) -> None:
    """A release does not begin while someone else's deploy is on its way."""
    world = old_and_new(tmp_path)
    world.cloud.someone_deploys(NEWER)
    assert world.run(Stage.PLAN) == 10
    assert world.verdicts[Stage.PLAN].superseded
    assert world.run(Stage.DEPLOY) == 2
    assert world.cloud.mutations == []


def test_not_a_descendant_is_refused(tmp_path: Path) -> None:
    """A commit that does not descend from what serves is refused, unless `--again`."""
    world = old_and_new(tmp_path)
    world.release = replace(world.release, commit=OLDER)
    assert world.run(Stage.PLAN) == 10
    assert world.run(Stage.DEPLOY) == 2
    assert world.run(Stage.PLAN, again=True) == 0


@pytest.mark.parametrize(("run_id", "code"), [("77-1", 0), ("77-2", 10), ("77-10", 10), ("local-2", 0)])
def test_a_later_attempt_takes_no_candidate_for_its_way_back(tmp_path: Path, run_id: str, code: int) -> None:
    """Where an earlier attempt of the run left its commit serving, a later one refuses to start from it unasked."""
    world = old_and_new(tmp_path)
    world.cloud.serve_since_long(NEW)
    world.release = replace(world.release, run_id=run_id)
    assert world.run(Stage.PLAN) == code
    assert world.run(Stage.PLAN, again=True) == 0


def test_rolled_back_before_is_refused(tmp_path: Path) -> None:
    """A commit that a rollback took out of service is refused, unless `--again`; a fix on top of it may go."""
    world = old_and_new(tmp_path)
    world.cloud.serve_since_long(NEW)
    world.cloud.someone_rolls_back(OLD)
    world.clock.sleep(60)
    world.release = replace(world.release, started_at=world.clock.now())
    assert world.run(Stage.PLAN) == 10
    assert "rolled back before" in world.verdicts[Stage.PLAN].reason
    assert world.run(Stage.PLAN, again=True) == 0
    world.release = replace(world.release, commit=NEWER)
    assert world.run(Stage.PLAN) == 0


@pytest.mark.parametrize(("started_s", "code"), [(9, 10), (11, 0)])
def test_run_from_before_the_latest_rollback_is_refused(tmp_path: Path, started_s: int, code: int) -> None:
    """A run that began before the latest rollback is refused, one that began after it may go."""
    world = old_and_new(tmp_path)
    world.cloud.at(5, lambda: world.cloud.serve_since_long(NEW))
    world.cloud.at(10, lambda: world.cloud.someone_rolls_back(OLD))
    world.clock.sleep(60)
    world.release = replace(world.release, commit=NEWER, started_at=BEGIN + timedelta(seconds=started_s))
    assert world.run(Stage.PLAN) == code
    assert world.run(Stage.PLAN, again=True) == 0


def test_without_a_key_the_guard_is_said_to_be_off(tmp_path: Path) -> None:
    """Without an API key the memory of rollbacks is missing, and `plan` says so."""
    world = old_and_new(tmp_path)
    world.cloud.has_key = False
    world.cloud.serve_since_long(NEW)
    world.cloud.someone_rolls_back(OLD)
    world.clock.sleep(60)
    assert world.run(Stage.PLAN) == 0
    assert "without an API key, commits that were rolled back before are not known" in world.told.getvalue()


def test_first_release(tmp_path: Path) -> None:
    """Where nothing has ever served, the plan passes and the baseline says so."""
    world = World(tmp_path)
    assert world.run(Stage.PLAN) == 0
    assert world.baseline.first
    assert world.baseline.commit is None


def test_service_without_version_is_an_unproven_baseline(tmp_path: Path) -> None:
    """A service without `/version` is recorded by platform id and health, marked unproven."""
    world = old_and_new(tmp_path)
    world.cloud.nameless = {OLD}
    assert world.run(Stage.PLAN) == 0
    assert (world.baseline.deployment_id, world.baseline.proven, world.baseline.first) == ("dep-2", False, False)


def test_service_without_version_and_without_key_is_not_a_first_release(tmp_path: Path) -> None:
    """A healthy service that nobody can name is no empty place: it serves users."""
    world = old_and_new(tmp_path)
    world.cloud.has_key = False
    world.cloud.nameless = {OLD}
    world.run(Stage.PLAN)
    assert not world.baseline.first


def test_sleeping_service_is_waited_for(tmp_path: Path) -> None:
    """A service that needs a while to wake is proven, not taken for one that does not serve."""
    world = old_and_new(tmp_path)
    world.cloud.asleep_s = 20
    assert world.run(Stage.PLAN) == 0
    assert world.baseline.proven


def test_stale_instance_leaves_the_baseline_unproven(tmp_path: Path) -> None:
    """One instance of another commit among three never makes a proven baseline."""
    world = old_and_new(tmp_path, instances=3)
    world.cloud.stale_instances = 1
    world.cloud.serve_since_long(OLD, NEW)
    world.release = replace(world.release, commit=NEWER)
    world.run(Stage.PLAN)
    assert not world.baseline.proven


def test_suspended_service_is_an_error(tmp_path: Path) -> None:
    """A suspended service ends the plan with 12, and nothing can be deployed after it."""
    world = old_and_new(tmp_path)
    world.cloud.suspended = True
    world.cloud.serving = []
    assert world.run(Stage.PLAN) == 12
    assert world.run(Stage.DEPLOY) == 2
    assert world.cloud.mutations == []


def test_unreachable_platform_is_an_error(tmp_path: Path) -> None:
    """A plan that cannot read the platform ends with 12."""
    world = old_and_new(tmp_path)
    world.cloud.api_is_down(1000)
    assert world.run(Stage.PLAN) == 12


def test_baseline_of_a_begun_release_is_kept(tmp_path: Path) -> None:
    """A plan that is run again after the deploy keeps the baseline, although the candidate serves now."""
    world = old_and_new(tmp_path)
    assert world.run_forward(until=Stage.DEPLOY) == 0
    assert world.cloud.commits() == {NEW}
    assert world.run(Stage.PLAN) == 0
    assert world.baseline.commit == OLD
    assert not may_start_afresh(world.state)


def test_other_release_does_not_take_a_begun_journal(tmp_path: Path) -> None:
    """A plan of another commit in the folder of a begun release is a usage error, and the first can go on."""
    world = old_and_new(tmp_path)
    assert world.run_forward(until=Stage.DEPLOY) == 0
    first, world.release = world.release, replace(world.release, commit=NEWER)
    assert world.run(Stage.PLAN) == 2
    world.release = first
    assert world.baseline.commit == OLD
    assert world.run(Stage.VERIFY) == 0


def test_rollback_from_before_the_deploy_does_not_end_a_release(tmp_path: Path) -> None:
    """A journal whose only finished rollback is older than its deploy holds a begun release, not an ended one."""
    world = old_and_new(tmp_path)
    assert world.run(Stage.PLAN) == 0
    assert world.run(Stage.ROLLBACK) == 0
    assert world.run_forward(until=Stage.DEPLOY) == 0
    assert not may_start_afresh(world.state)


def test_held_release_keeps_its_baseline(tmp_path: Path) -> None:
    """A release that is held has not ended: the next plan must not take the unproven candidate as its baseline."""
    world = old_and_new(tmp_path, on_unproven="hold")
    world.cloud.unknown_status = {NEW}
    assert world.run_release() == 12
    assert not may_start_afresh(world.state)


def test_plan_twice_is_safe(tmp_path: Path) -> None:
    """A plan that is run twice before anything moved passes twice, with the same baseline."""
    world = old_and_new(tmp_path)
    assert [world.run(Stage.PLAN), world.run(Stage.PLAN)] == [0, 0]
    assert world.baseline.commit == OLD
    assert (world.folder / NAME).exists()


def test_a_limit_on_our_probes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where probes get 429, neither a release nor a rollback could be proven: nothing begins, and it is said why."""
    world = old_and_new(tmp_path)
    answer, asked = world.cloud.answer, iter(range(10_000))
    limited = httpx.Response(429)
    monkeypatch.setattr(
        world.cloud,
        "answer",
        lambda request: limited if next(asked) > 14 and "health" in str(request.url) else answer(request),
    )
    with pytest.raises(ConfigError, match="were answered 429") as caught:
        run_stage(world.ports(), Stage.PLAN, lambda ports: plan.plan(ports, world.release, again=False))
    assert "rate_per_s" in caught.value.next_step
    assert world.cloud.mutations == []
