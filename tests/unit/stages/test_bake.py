"""`bake`: which commit answers is watched as closely as errors, and a pass is never for want of evidence."""

from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.journal import Kind
from scripts.rehearsal.simulated.moments import NEW, NEWER, OLD
from scripts.release import Stage
from scripts.report import Result
from tests.unit.stages.clouds import World, old_and_new


def baking(folder: Path, *, instances: int = 1, on_unproven: str = "roll_back") -> World:
    """Give a world whose candidate is live, proven and promoted."""
    world = old_and_new(folder, instances=instances, on_unproven=on_unproven)
    assert world.run_forward(until=Stage.PROMOTE) == 0
    return world


def in_a_while(world: World, event: Callable[[], object], seconds: float = 3) -> None:
    """Let something happen a few seconds from now."""
    world.cloud.at(world.clock.now_s + seconds, event)


def test_good_release_is_rolled_out(tmp_path: Path) -> None:
    """A healthy candidate passes, keeps serving, and the report says so."""
    world = baking(tmp_path)
    assert world.run(Stage.BAKE) == 0
    assert world.result is Result.ROLLED_OUT
    assert world.cloud.commits_later() == {NEW}


def test_bake_twice_is_safe(tmp_path: Path) -> None:
    """A bake that is run again passes again and changes nothing; neither does a rollback or a recover after it."""
    world = baking(tmp_path)
    codes = [world.run(stage) for stage in (Stage.BAKE, Stage.BAKE, Stage.ROLLBACK, Stage.RECOVER)]
    assert codes == [0, 0, 0, 0]
    assert world.cloud.mutations == [("deploy", NEW)]


def test_sick_candidate_is_rolled_back(tmp_path: Path) -> None:
    """A candidate that falls sick under traffic fails, and the old release is proven to serve again."""
    world = baking(tmp_path)
    in_a_while(world, lambda: world.cloud.sick.add(NEW))
    assert world.run(Stage.BAKE) == 10
    assert world.run(Stage.ROLLBACK) == 0
    assert world.result is Result.ROLLED_BACK
    assert world.cloud.commits_later() == {OLD}


@pytest.mark.parametrize(("seconds", "within_s"), [(0, 4), (1, 4), (3, 2), (5, 1)])
def test_errors_under_verify_count(tmp_path: Path, seconds: int, within_s: float) -> None:
    """What failed while the candidate was being verified is evidence, so the bake needs less."""
    world = baking(tmp_path)
    sick = {check.name: [5, 5] for check in world.ports().targets[0].witness.deciding}
    world.ports().journal.append(Kind.PROOF, "render", commit=NEW, seconds=[sick] * seconds)
    world.cloud.sick.add(NEW)
    began_s = world.clock.now_s
    assert world.run(Stage.BAKE) == 10
    assert within_s - 1 <= world.clock.now_s - began_s <= within_s + 1


def test_rollback_by_a_person_stands(tmp_path: Path) -> None:
    """A person's rollback during the bake is not fought: no pass, superseded, nothing changed."""
    world = baking(tmp_path)
    world.cloud.build_s = 1
    in_a_while(world, lambda: world.cloud.someone_rolls_back(OLD))
    assert world.run(Stage.BAKE) == 10
    assert world.run(Stage.ROLLBACK) == 10
    assert world.verdicts[Stage.ROLLBACK].superseded
    assert world.run(Stage.RECOVER) == 0
    assert world.cloud.mutations == [("deploy", NEW)]
    assert world.cloud.commits_later() == {OLD}


def test_deploy_by_a_person_stands(tmp_path: Path) -> None:
    """Someone else's deploy during the bake supersedes the run, and nothing is changed."""
    world = baking(tmp_path)
    world.cloud.build_s = 1
    in_a_while(world, lambda: world.cloud.someone_deploys(NEWER))
    assert world.run(Stage.BAKE) == 10
    assert world.verdicts[Stage.BAKE].superseded
    assert [world.run(Stage.ROLLBACK), world.run(Stage.RECOVER)] == [0, 0]
    assert world.result is Result.SUPERSEDED
    assert world.cloud.mutations == [("deploy", NEW)]


@pytest.mark.parametrize("configured", [1, 3])
def test_old_instance_that_comes_back_never_passes(tmp_path: Path, configured: int) -> None:
    """An old instance among three that comes back during the bake breaks the proof, wherever the count comes from."""
    world = old_and_new(tmp_path, instances=3)
    world.configured_instances = configured
    assert world.run_forward(until=Stage.PROMOTE) == 0
    world.cloud.serving[1] = type(world.cloud.serving[1])("dep-2-1", OLD)
    assert world.run(Stage.BAKE) != 0


def test_too_little_evidence_is_no_pass(tmp_path: Path) -> None:
    """A bake that ends with too few probes is inconclusive, exit 11, and is rolled back by default."""
    world = baking(tmp_path)
    world.config = world.config.model_copy(update={"probe": world.config.probe.model_copy(update={"rate_per_s": 1})})
    assert world.run(Stage.BAKE) == 11
    assert world.run(Stage.ROLLBACK) == 0
    assert world.result is Result.ROLLED_BACK
    assert world.cloud.commits_later() == {OLD}


def test_hold_leaves_the_candidate(tmp_path: Path) -> None:
    """With `on_unproven = "hold"` an inconclusive bake changes nothing."""
    world = baking(tmp_path, on_unproven="hold")
    world.config = world.config.model_copy(update={"probe": world.config.probe.model_copy(update={"rate_per_s": 1})})
    assert world.run(Stage.BAKE) == 11
    world.run(Stage.ROLLBACK)
    world.run(Stage.RECOVER)
    assert world.cloud.mutations == [("deploy", NEW)]
    assert world.cloud.commits_later() == {NEW}


def test_recover_of_a_held_release_is_no_pass(tmp_path: Path) -> None:
    """A `recover` that leaves an unproven candidate in place says that production is not on a proven release."""
    world = baking(tmp_path, on_unproven="hold")
    world.config = world.config.model_copy(update={"probe": world.config.probe.model_copy(update={"rate_per_s": 1})})
    assert world.run(Stage.BAKE) == 11
    world.run(Stage.ROLLBACK)
    assert world.run(Stage.RECOVER) != 0


def test_hold_rolls_back_what_is_proven_bad(tmp_path: Path) -> None:
    """`hold` is for doubt only: a candidate that is proven bad goes back."""
    world = baking(tmp_path, on_unproven="hold")
    in_a_while(world, lambda: world.cloud.sick.add(NEW))
    assert world.run(Stage.BAKE) == 10
    assert world.run(Stage.ROLLBACK) == 0
    assert world.cloud.commits_later() == {OLD}


def test_trouble_of_the_environment_is_said(tmp_path: Path) -> None:
    """Where the old release fails just as the new one did, the rollback ends with 13 and names the environment."""
    world = baking(tmp_path)
    world.cloud.environment_sick_from_s = world.clock.now_s + 3
    assert world.run(Stage.BAKE) == 10
    assert world.run(Stage.ROLLBACK) == 13
    assert "environment is likely at fault" in world.verdicts[Stage.ROLLBACK].reason
    assert world.result is Result.STILL_BROKEN


def test_interrupted_bake_is_rolled_back(tmp_path: Path) -> None:
    """A bake that is interrupted ends with 130, and the rollback step goes back although nothing was proven bad."""
    world = baking(tmp_path)
    world.cut.arm(50, KeyboardInterrupt)
    assert world.run(Stage.BAKE) == 130
    assert world.run(Stage.ROLLBACK) == 0
    assert world.cloud.commits_later() == {OLD}


def test_short_outage_of_the_api_does_not_touch_a_bake(tmp_path: Path) -> None:
    """A bake looks at the service only, so the platform's API may be down."""
    world = baking(tmp_path)
    world.cloud.api_is_down(1000)
    assert world.run(Stage.BAKE) == 0
