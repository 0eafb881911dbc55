"""`deploy` and `verify`: the candidate is asked for once, and only its own answers prove it."""

import random
from pathlib import Path

import pytest

from scripts.errors import ConfigError, PlatformUnreachable
from scripts.identity import Identity, Seen
from scripts.preview import preview
from scripts.rehearsal.simulated.moments import NEW, NEWER, OLD, SIDE
from scripts.release import Stage
from scripts.report import Result
from tests.unit.stages.clouds import World, old_and_new


def test_good_deploy_is_proven(tmp_path: Path) -> None:
    """A candidate that goes live and answers passes deploy and verify, with one mutation."""
    world = old_and_new(tmp_path)
    assert world.run_forward(until=Stage.VERIFY) == 0
    assert world.cloud.mutations == [("deploy", NEW)]
    assert world.target.proven == NEW


def test_deploy_twice_asks_once(tmp_path: Path) -> None:
    """A deploy that is run again waits for the one that was asked for."""
    world = old_and_new(tmp_path)
    assert world.run_forward(until=Stage.DEPLOY) == 0
    assert world.run(Stage.DEPLOY) == 0
    assert world.run(Stage.VERIFY) == 0
    assert world.run(Stage.VERIFY) == 0
    assert world.cloud.mutations == [("deploy", NEW)]


@pytest.mark.parametrize("carried_out", [True, False])
def test_unknown_outcome_is_looked_for(tmp_path: Path, carried_out: bool) -> None:
    """A deploy without an answer passes where it is found, is given up where not, and is never asked for twice."""
    world = old_and_new(tmp_path)
    world.cloud.unknown_outcome = {"deploy": carried_out}
    assert world.run_forward(until=Stage.DEPLOY) == (0 if carried_out else 10)
    assert world.run(Stage.DEPLOY) == (0 if carried_out else 10)
    assert world.cloud.asked("deploy") == [NEW] * carried_out


def test_accepted_without_an_id_is_found(tmp_path: Path) -> None:
    """A 202 names no deploy: it is found by what was not there before, and followed to its end."""
    world = old_and_new(tmp_path)
    world.cloud.answers_202 = True
    world.cloud.fails_to_build = {NEW}
    assert world.run_forward(until=Stage.DEPLOY) == 10
    assert "dep-3 ended as failed" in world.verdicts[Stage.DEPLOY].reason


def test_same_commit_serves_already(tmp_path: Path) -> None:
    """A commit that is proven to serve is not deployed again, and a bad look at it rolls nothing back."""
    world = old_and_new(tmp_path)
    world.cloud.serve_since_long(NEW)
    assert world.run_forward(until=Stage.PROMOTE) == 0
    world.cloud.sick = {NEW}
    assert world.run(Stage.BAKE) == 10
    assert world.run(Stage.ROLLBACK) == 0
    assert world.run(Stage.RECOVER) == 0
    assert world.cloud.mutations == []


@pytest.mark.parametrize("rolled_back", [True, False])
def test_someone_moves_between_plan_and_deploy(tmp_path: Path, rolled_back: bool) -> None:
    """A deploy or a rollback by someone else since the plan supersedes the run: exit 10, nothing changed."""
    world = old_and_new(tmp_path)
    assert world.run(Stage.PLAN) == 0
    move = world.cloud.someone_rolls_back if rolled_back else world.cloud.someone_deploys
    move(OLD if rolled_back else NEWER)
    world.clock.sleep(60)
    assert world.run(Stage.DEPLOY) == 10
    assert world.verdicts[Stage.DEPLOY].superseded
    assert [world.run(Stage.ROLLBACK), world.run(Stage.RECOVER)] == [0, 0]
    assert world.cloud.mutations == []


def test_someone_is_about_to_move(tmp_path: Path) -> None:
    """A deploy by someone else that is still on its way supersedes the run."""
    world = old_and_new(tmp_path)
    assert world.run(Stage.PLAN) == 0
    world.cloud.someone_deploys(NEWER)
    assert world.run(Stage.DEPLOY) == 10
    assert world.verdicts[Stage.DEPLOY].superseded
    assert world.cloud.mutations == []


def test_someone_moves_without_a_key(tmp_path: Path) -> None:
    """Without a key a move by someone else is seen in what the service answers."""
    world = old_and_new(tmp_path)
    world.cloud.has_key = False
    assert world.run(Stage.PLAN) == 0
    world.cloud.someone_deploys(NEWER)
    world.clock.sleep(60)
    assert world.run(Stage.DEPLOY) == 10
    assert world.verdicts[Stage.DEPLOY].superseded
    assert world.cloud.mutations == []


def test_someone_was_a_moment_faster(tmp_path: Path) -> None:
    """A deploy of ours that waits behind someone else's (202) does not undo theirs: it is cancelled, theirs stands."""
    world = old_and_new(tmp_path)
    world.cloud.answers_202 = True
    world.cloud.someone_is_faster = SIDE
    world.cloud.sick = {NEW}
    world.run_release()
    world.clock.sleep(120)
    assert world.cloud.commits_later() == {SIDE}
    assert world.result is Result.SUPERSEDED


def test_failed_build_fails(tmp_path: Path) -> None:
    """A deploy that the platform ends as failed fails the stage."""
    world = old_and_new(tmp_path)
    world.cloud.fails_to_build = {NEW}
    assert world.run_forward() == 10
    assert Stage.VERIFY not in world.verdicts


def test_slow_build_is_given_up(tmp_path: Path) -> None:
    """A deploy that has not ended at its deadline fails the stage."""
    world = old_and_new(tmp_path)
    world.cloud.slow = {NEW: 10_000}
    assert world.run_forward(until=Stage.DEPLOY) == 10
    assert "given up" in world.verdicts[Stage.DEPLOY].reason


def test_unknown_status_ends_at_once(tmp_path: Path) -> None:
    """A status that is not known ends the wait with 12, long before the deadline."""
    world = old_and_new(tmp_path)
    world.cloud.unknown_status = {NEW}
    assert world.run_forward(until=Stage.DEPLOY) == 12
    assert world.clock.now_s < 60


@pytest.mark.parametrize(
    ("error", "code"), [(ConfigError("no such commit"), 2), (PlatformUnreachable("no connection"), 12)]
)
def test_refused_deploy_leaves_nothing_to_undo(tmp_path: Path, error: ConfigError, code: int) -> None:
    """A deploy that the platform refused was not begun: nothing is rolled back, and a second try may ask again."""
    world = old_and_new(tmp_path)
    world.cloud.refuses = {"deploy": error}
    assert world.run_forward() == code
    assert world.run(Stage.ROLLBACK) == 0
    assert world.cloud.mutations == []
    world.cloud.refuses = {}
    assert world.run(Stage.DEPLOY) == 0


def test_outage_right_after_the_ask_is_waited_out(tmp_path: Path) -> None:
    """An outage of the API that begins with the accepted deploy, and ends before the deadline, does not fail it."""
    world = old_and_new(tmp_path)
    world.cloud.down_after = {"deploy": 60}
    assert world.run_forward(until=Stage.DEPLOY) == 0


def test_long_outage_gives_up(tmp_path: Path) -> None:
    """An outage that outlasts the deadline ends the stage, without a pass."""
    world = old_and_new(tmp_path)
    assert world.run(Stage.PLAN) == 0
    world.cloud.api_is_down(10_000, from_s=world.clock.now_s + 10)
    assert world.run(Stage.DEPLOY) == 10


def test_live_without_traffic_is_not_proven(tmp_path: Path) -> None:
    """A deploy that the platform calls live does not pass while the old commit answers."""
    world = old_and_new(tmp_path)
    world.cloud.live_without_traffic = {NEW}
    assert world.run_forward() == 10
    assert "was not proven to answer" in world.verdicts[Stage.VERIFY].reason


@pytest.mark.parametrize("names", [True, False])
@pytest.mark.parametrize("configured", [1, 3])
def test_stale_instance_never_passes(tmp_path: Path, names: bool, configured: int) -> None:
    """One old instance among three never passes, whether the count comes from the API or from slipway.toml."""
    world = old_and_new(tmp_path, instances=3)
    world.configured_instances = configured
    world.cloud.names_instances = names
    assert world.run(Stage.PLAN) == 0
    world.cloud.stale_instances = 1
    assert world.run_forward(until=Stage.VERIFY) == 10


def test_stale_instance_without_names_is_not_missed_by_patience() -> None:
    """One old instance among three that name no ids passes in at most one of a hundred verify stages of 180 s."""
    balancer = random.Random(3)
    missed = 0
    for _ in range(200):
        identity = Identity(NEW)
        for _ in range(1800):
            identity = identity.observe(Seen(balancer.choice((NEW, NEW, OLD))))
            if identity.proven(3):
                missed += 1
                break
    assert missed <= 2


def test_three_new_instances_pass(tmp_path: Path) -> None:
    """Three instances of the new commit pass, named or not."""
    for names in (True, False):
        world = old_and_new(tmp_path / str(names), instances=3)
        world.cloud.names_instances = names
        assert world.run_forward(until=Stage.VERIFY) == 0


def test_someone_takes_over_during_verify(tmp_path: Path) -> None:
    """A third commit that answers during verify supersedes the run, and nothing is rolled back."""
    world = old_and_new(tmp_path)
    assert world.run_forward(until=Stage.DEPLOY) == 0
    world.cloud.someone_deploys(NEWER)
    world.clock.sleep(60)
    assert world.run(Stage.VERIFY) == 10
    assert world.verdicts[Stage.VERIFY].superseded
    assert [world.run(Stage.ROLLBACK), world.run(Stage.RECOVER)] == [0, 0]
    assert world.cloud.mutations == [("deploy", NEW)]


def test_without_a_key_the_service_tells(tmp_path: Path) -> None:
    """Without a key a deploy passes when the candidate answers, and fails when it does not within the deadline."""
    good = old_and_new(tmp_path / "good")
    good.cloud.has_key = False
    assert good.run_forward(until=Stage.VERIFY) == 0
    bad = old_and_new(tmp_path / "bad")
    bad.cloud.has_key = False
    bad.cloud.fails_to_build = {NEW}
    assert bad.run_forward() == 10


def test_preview_tells_what_would_happen(tmp_path: Path) -> None:
    """`--dry-run` says which commit would go where, and touches nothing."""
    world = old_and_new(tmp_path)
    assert "nothing" in preview("deploy", world.state, "roll_back")
    assert world.run(Stage.PLAN) == 0
    assert preview("deploy", world.state, "roll_back") == "render: would ask the platform to deploy ccccccc"
    assert preview("promote", world.state, "roll_back") == "render: would give user traffic to ccccccc"
    assert world.cloud.mutations == []


def test_preview_of_a_refused_release(tmp_path: Path) -> None:
    """`--dry-run` does not announce a deploy that the stage would refuse."""
    world = old_and_new(tmp_path)
    world.cloud.someone_deploys(NEWER)
    assert world.run(Stage.PLAN) == 10
    assert "would ask the platform" not in preview("deploy", world.state, "roll_back")


def test_preview_of_a_commit_that_serves_already(tmp_path: Path) -> None:
    """`--dry-run` does not announce a deploy of what serves already."""
    world = old_and_new(tmp_path)
    world.cloud.serve_since_long(NEW)
    assert world.run(Stage.PLAN) == 0
    assert "would ask the platform" not in preview("deploy", world.state, "roll_back")


def test_first_release_goes_out(tmp_path: Path) -> None:
    """A first release is deployed, proven and baked like any other."""
    world = World(tmp_path)
    assert world.run_forward() == 0
    assert world.cloud.commits_later() == {NEW}
