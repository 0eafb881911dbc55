"""`rollback`: what goes back, what is left alone, and what counts as proof that it is back."""

from pathlib import Path

import pytest

from scripts.errors import PlatformError, PlatformUnreachable
from scripts.preview import preview
from scripts.rehearsal.simulated.moments import NEW, NEWER, OLD
from scripts.release import Sha, Stage
from scripts.report import Result
from tests.unit.stages.clouds import World, old_and_new


def live_and_sick(folder: Path, *, instances: int = 1, key: bool = True) -> World:
    """Give a world whose candidate went live and did not pass verify."""
    world = old_and_new(folder, instances=instances)
    world.cloud.has_key = key
    world.cloud.sick = {NEW}
    assert world.run_forward() == 10
    assert world.cloud.commits() == {NEW}
    return world


def given_up(folder: Path, *, key: bool = True, build_s: float = 350) -> World:
    """Give a world whose candidate is still building after its deadline (300 s)."""
    world = old_and_new(folder)
    world.cloud.has_key = key
    world.cloud.slow = {NEW: build_s}
    assert world.run_forward() == 10
    assert world.cloud.commits() == {OLD}
    return world


def failed_build(folder: Path) -> World:
    """Give a world whose candidate never went live."""
    world = old_and_new(folder)
    world.cloud.fails_to_build = {NEW}
    assert world.run_forward() == 10
    return world


def test_bad_release_goes_back_and_is_proven(tmp_path: Path) -> None:
    """A live candidate goes back to the baseline, which answers; the report says to what."""
    world = live_and_sick(tmp_path)
    assert world.run(Stage.ROLLBACK) == 0
    assert world.target.proven == OLD
    assert world.result is Result.ROLLED_BACK
    assert world.cloud.commits_later() == {OLD}


def test_rollback_twice_asks_once(tmp_path: Path) -> None:
    """A rollback, or a recover, that is run again proves again and asks for nothing."""
    world = live_and_sick(tmp_path)
    codes = [world.run(stage) for stage in (Stage.ROLLBACK, Stage.ROLLBACK, Stage.RECOVER)]
    assert codes == [0, 0, 0]
    assert world.cloud.mutations == [("deploy", NEW), ("roll_back", OLD)]


def test_pre_live_failure_is_proven_and_not_rolled_back(tmp_path: Path) -> None:
    """A candidate that never went live leaves the old release serving: proven, and nothing is asked for."""
    world = failed_build(tmp_path)
    assert world.run(Stage.ROLLBACK) == 0
    assert world.target.proven == OLD
    assert world.result is Result.NEVER_STARTED
    assert world.cloud.mutations == [("deploy", NEW)]


def test_pre_live_failure_with_a_sick_old_release_is_not_proven(tmp_path: Path) -> None:
    """That the old release serves is not assumed: when it fails its checks, the exit is 13."""
    world = failed_build(tmp_path)
    world.cloud.sick = {OLD}
    assert world.run(Stage.ROLLBACK) == 13


def test_pre_live_failure_then_outage_is_not_rolled_back(tmp_path: Path) -> None:
    """What was seen to fail needs no API any more: a proof by the service, not a rollback of what never moved."""
    world = failed_build(tmp_path)
    world.cloud.api_is_down(1000)
    assert world.run(Stage.ROLLBACK) == 0
    world.cloud.outages = []
    assert world.run(Stage.RECOVER) == 0
    assert world.cloud.mutations == [("deploy", NEW)]


def test_given_up_deploy_is_cancelled_and_seen_ended(tmp_path: Path) -> None:
    """A deploy that was given up is cancelled before the old release counts as back."""
    world = given_up(tmp_path)
    assert world.run(Stage.ROLLBACK) == 0
    assert world.cloud.mutations == [("deploy", NEW), ("cancel", "dep-3")]
    assert world.cloud.commits_later() == {OLD}


def test_ignored_cancel_is_not_proven(tmp_path: Path) -> None:
    """A cancel without effect ends with 13 and says that the candidate may still go live."""
    world = given_up(tmp_path, build_s=5000)
    world.cloud.cancel_ignored = True
    assert world.run(Stage.ROLLBACK) == 13
    assert "may still go live" in world.verdicts[Stage.ROLLBACK].reason
    assert world.result is Result.STILL_BROKEN


def test_cancel_that_came_too_late_is_followed_by_a_rollback(tmp_path: Path) -> None:
    """A candidate that goes live although it was cancelled is rolled back."""
    world = given_up(tmp_path)
    world.cloud.cancel_ignored = True
    assert world.run(Stage.ROLLBACK) == 0
    assert world.cloud.commits_later() == {OLD}


def test_cancel_without_an_answer_is_looked_at(tmp_path: Path) -> None:
    """A cancel whose answer was lost counts by what the platform says of the deploy afterwards."""
    world = given_up(tmp_path)
    world.cloud.unknown_outcome = {"cancel": True}
    assert world.run(Stage.ROLLBACK) == 0
    assert world.cloud.commits_later() == {OLD}


def test_rollback_without_effect_is_not_proven(tmp_path: Path) -> None:
    """A rollback that the platform calls live while the candidate answers ends with 13."""
    world = live_and_sick(tmp_path)
    world.cloud.rollback_without_effect = True
    assert world.run(Stage.ROLLBACK) == 13
    assert world.cloud.commits() == {NEW}


def test_failed_rollback_is_not_proven_and_may_be_tried_again(tmp_path: Path) -> None:
    """A rollback that the platform ended as failed is 13; `recover` asks again once the platform can."""
    world = live_and_sick(tmp_path)
    world.cloud.rollback_fails = True
    assert world.run(Stage.ROLLBACK) == 13
    world.cloud.rollback_fails = False
    assert world.run(Stage.RECOVER) == 0
    assert world.cloud.commits_later() == {OLD}


@pytest.mark.parametrize("carried_out", [True, False])
def test_rollback_without_an_answer_is_looked_for(tmp_path: Path, carried_out: bool) -> None:
    """A rollback without an answer is found where it was carried out; where not, 13, and `recover` asks again."""
    world = live_and_sick(tmp_path)
    world.cloud.unknown_outcome = {"roll_back": carried_out}
    assert world.run(Stage.ROLLBACK) == (0 if carried_out else 13)
    world.cloud.unknown_outcome = {}
    assert world.run(Stage.RECOVER) == 0
    assert world.cloud.asked("roll_back") == [OLD]
    assert world.cloud.commits_later() == {OLD}


def test_trouble_after_the_ask_does_not_ask_twice(tmp_path: Path) -> None:
    """A rollback that was accepted and then could not be followed is continued, never asked for a second time."""
    world = live_and_sick(tmp_path)
    world.cloud.unknown_status = {OLD}
    assert world.run(Stage.ROLLBACK) == 13
    world.cloud.unknown_status = set()
    assert world.run(Stage.RECOVER) == 0
    assert world.cloud.asked("roll_back") == [OLD]


def test_refused_rollback_is_not_proven(tmp_path: Path) -> None:
    """A rollback that the platform refuses ends with 13, and a second run may ask again."""
    world = live_and_sick(tmp_path)
    world.cloud.refuses = {"roll_back": PlatformError("no longer kept")}
    assert world.run(Stage.ROLLBACK) == 13
    world.cloud.refuses = {}
    assert world.run(Stage.ROLLBACK) == 0


def test_short_outage_is_waited_out(tmp_path: Path) -> None:
    """An outage of the API much shorter than the deadline does not leave users on a bad release."""
    world = live_and_sick(tmp_path)
    world.cloud.api_is_down(60)
    assert world.run(Stage.ROLLBACK) == 0
    assert world.cloud.commits_later() == {OLD}


def test_short_outage_while_waiting_is_waited_out(tmp_path: Path) -> None:
    """An outage that begins after the rollback was accepted is waited out."""
    world = live_and_sick(tmp_path)
    world.cloud.api_is_down(60, from_s=world.clock.now_s + 3)
    assert world.run(Stage.ROLLBACK) == 0
    assert world.cloud.commits_later() == {OLD}


def test_long_outage_goes_back_by_the_hook(tmp_path: Path) -> None:
    """An API that does not answer for long does not keep a bad release: the hook needs no API, the service proves."""
    world = live_and_sick(tmp_path)
    world.cloud.api_is_down(10_000)
    assert world.run(Stage.ROLLBACK) == 0
    assert world.cloud.mutations[-1] == ("deploy", OLD)
    assert world.cloud.commits_later() == {OLD}
    assert "going back without the API" in world.told.getvalue()


def test_a_revoked_key_does_not_keep_a_bad_release(tmp_path: Path) -> None:
    """The hook needs no key."""
    world = live_and_sick(tmp_path)
    world.cloud.key_revoked = True
    assert world.run(Stage.ROLLBACK) == 0
    assert world.cloud.commits_later() == {OLD}
    assert world.result is Result.ROLLED_BACK


def test_someone_elses_deploy_stands(tmp_path: Path) -> None:
    """A fix that someone else deployed since is not rolled back: exit 10, nothing changed."""
    world = live_and_sick(tmp_path)
    world.cloud.someone_deploys(NEWER)
    assert world.run(Stage.ROLLBACK) == 10
    assert world.verdicts[Stage.ROLLBACK].superseded
    assert world.cloud.mutations == [("deploy", NEW)]
    assert world.cloud.commits_later() >= {NEWER}


@pytest.mark.parametrize("commit", [NEW, NEWER])
def test_someone_elses_deploy_stands_after_a_failed_build(tmp_path: Path, commit: Sha) -> None:
    """What someone else deployed after our build failed supersedes the run; it is no lost rollback."""
    world = failed_build(tmp_path)
    world.cloud.fails_to_build = set()
    world.cloud.someone_deploys(commit)
    world.clock.sleep(60)
    assert world.run(Stage.ROLLBACK) == 10
    assert world.verdicts[Stage.ROLLBACK].superseded


@pytest.mark.parametrize(("back_s", "sick"), [(28.0, {NEW}), (30.0, {NEW, OLD})])
def test_someone_elses_deploy_during_the_rollback_stands(tmp_path: Path, back_s: float, sick: set[Sha]) -> None:
    """A deploy by someone else that takes the place of our rollback is superseded, not a lost rollback."""
    world = live_and_sick(tmp_path)
    world.cloud.sick = sick
    world.cloud.slow = {OLD: back_s, NEWER: 1.0}
    world.cloud.at(world.clock.now_s + 20, lambda: world.cloud.someone_deploys(NEWER))
    assert world.run(Stage.ROLLBACK) == 10
    assert world.verdicts[Stage.ROLLBACK].superseded


def test_stale_candidate_instance_is_not_proven(tmp_path: Path) -> None:
    """A rollback that leaves one candidate among three instances ends with 13, wherever the count comes from."""
    world = old_and_new(tmp_path, instances=3)
    world.configured_instances = 1
    world.cloud.sick = {NEW}
    assert world.run_forward() == 10
    world.cloud.stale_instances = 1
    world.cloud.sick = set()
    assert world.run(Stage.ROLLBACK) == 13


def test_first_release_that_never_went_live(tmp_path: Path) -> None:
    """A first release that fails to build leaves nothing behind, and nothing is asked for."""
    world = World(tmp_path)
    world.cloud.fails_to_build = {NEW}
    assert world.run_forward() == 10
    assert world.run(Stage.ROLLBACK) == 0
    assert world.cloud.mutations == [("deploy", NEW)]
    assert world.result is Result.NEVER_STARTED


def test_first_release_that_is_bad(tmp_path: Path) -> None:
    """A bad first release has nothing to go back to: nothing is asked for, and it is no success."""
    world = World(tmp_path)
    world.cloud.sick = {NEW}
    assert world.run_forward() == 10
    assert world.run(Stage.ROLLBACK) != 0
    assert world.cloud.mutations == [("deploy", NEW)]
    assert world.result is Result.STILL_BROKEN


def test_first_release_that_is_bad_stays_failed(tmp_path: Path) -> None:
    """A bad first release has nothing to go back to: `recover` fails with 10 and says what to do."""
    world = World(tmp_path)
    world.cloud.sick = {NEW}
    assert world.run_forward() == 10
    assert world.run(Stage.RECOVER) == 10
    assert "ship a fix" in world.verdicts[Stage.RECOVER].next_step


def test_pre_live_failure_beside_an_unproven_baseline(tmp_path: Path) -> None:
    """A service without `/version` that was never moved is judged by platform id and health, not by a commit."""
    world = old_and_new(tmp_path)
    world.cloud.nameless = {OLD}
    world.cloud.fails_to_build = {NEW}
    assert world.run_forward() == 10
    assert world.run(Stage.ROLLBACK) == 0


def test_pre_live_failure_beside_a_sick_unproven_baseline(tmp_path: Path) -> None:
    """That an unproven baseline still serves is looked at, not assumed."""
    world = old_and_new(tmp_path)
    world.cloud.nameless = {OLD}
    world.cloud.fails_to_build = {NEW}
    assert world.run_forward() == 10
    world.cloud.sick = {OLD}
    assert world.run(Stage.ROLLBACK) == 13


def test_unproven_baseline_cannot_be_proven_back(tmp_path: Path) -> None:
    """A rollback to a service without `/version` is asked for, and ends with 13: nothing can say that it answers."""
    world = old_and_new(tmp_path)
    world.cloud.nameless = {OLD}
    world.cloud.sick = {NEW}
    assert world.run_release() == 13
    assert world.cloud.asked("roll_back") == [OLD]
    assert world.cloud.commits_later() == {OLD}


def test_hold_keeps_an_error_but_not_a_failure(tmp_path: Path) -> None:
    """With `hold` a stage that could not look leaves everything as it is."""
    world = old_and_new(tmp_path, on_unproven="hold")
    world.cloud.unknown_status = {NEW}
    assert world.run_forward() == 12
    world.run(Stage.ROLLBACK)
    assert world.cloud.mutations == [("deploy", NEW)]


def test_error_rolls_back_by_default(tmp_path: Path) -> None:
    """By default a stage that could not look is followed by a rollback."""
    world = old_and_new(tmp_path)
    world.cloud.unknown_status = {NEW}
    assert world.run_forward() == 12
    world.cloud.unknown_status = set()
    assert world.run(Stage.ROLLBACK) == 0
    assert world.cloud.commits_later() == {OLD}


def test_deploy_that_is_listed_late_does_not_slip_through(tmp_path: Path) -> None:
    """A deploy that was asked for, and that the platform does not list yet, may still go live: no pass before that."""
    world = old_and_new(tmp_path)
    assert world.run(Stage.PLAN) == 0
    world.cloud.lists_after_s = 10
    world.cloud.interrupted_in = "deploy"
    assert world.run(Stage.DEPLOY) == 130
    assert world.cloud.mutations == [("deploy", NEW)]
    code = world.run(Stage.ROLLBACK)
    assert code == 13 or world.cloud.commits_later() == {OLD}


def test_accepted_behind_another_and_never_listed(tmp_path: Path) -> None:
    """A deploy that the platform accepted without an id, and does not list, may still go live: no pass before that."""
    world = old_and_new(tmp_path)
    world.cloud.answers_202 = True
    world.cloud.lists_after_s = 1000
    world.cloud.slow = {NEW: 1000}
    assert world.run_forward() == 10
    code = world.run(Stage.ROLLBACK)
    assert code == 13 or world.cloud.commits_later() == {OLD}


def test_without_a_key_a_bad_release_goes_back(tmp_path: Path) -> None:
    """Without a key the old commit is hooked again, and proven."""
    world = live_and_sick(tmp_path, key=False)
    assert world.run(Stage.ROLLBACK) == 0
    assert world.cloud.mutations == [("deploy", NEW), ("deploy", OLD)]
    assert world.cloud.commits_later() == {OLD}


def test_without_a_key_a_second_rollback_is_not_asked_for(tmp_path: Path) -> None:
    """Without a key a rollback that is run again does not hook the old commit again."""
    world = live_and_sick(tmp_path, key=False)
    assert [world.run(Stage.ROLLBACK), world.run(Stage.RECOVER)] == [0, 0]
    assert world.cloud.mutations == [("deploy", NEW), ("deploy", OLD)]


@pytest.mark.parametrize("names", [True, pytest.param(False)])
def test_without_a_key_only_a_new_instance_counts(tmp_path: Path, names: bool) -> None:
    """Without a key a pass means that the candidate cannot come any more: answers from before prove nothing."""
    world = old_and_new(tmp_path)
    world.cloud.has_key = False
    world.cloud.names_instances = names
    world.cloud.slow = {NEW: 350}
    assert world.run_forward() == 10
    code = world.run(Stage.ROLLBACK)
    assert world.cloud.asked("deploy") == [NEW, OLD]
    assert code == 13 or world.cloud.commits_later() == {OLD}


def test_without_a_key_a_build_that_does_not_end_is_not_proven(tmp_path: Path) -> None:
    """Without a key, a candidate that still builds at the deadline of the rollback means 13."""
    world = given_up(tmp_path, key=False, build_s=5000)
    assert world.run(Stage.ROLLBACK) == 13


def test_preview_tells_what_would_happen(tmp_path: Path) -> None:
    """`--dry-run` names the reason and the way back, and touches nothing."""
    world = live_and_sick(tmp_path)
    told = preview("rollback", world.state, "roll_back")
    assert "checks did not hold" in told
    assert "render: would cancel or roll back the candidate, and prove that bbbbbbb serves" in told
    assert world.cloud.mutations == [("deploy", NEW)]


def test_unreachable_refusal_of_the_rollback_is_tried_again_within_the_deadline(tmp_path: Path) -> None:
    """A rollback that could not be sent ends with 13 and is not marked as carried out."""
    world = live_and_sick(tmp_path)
    world.cloud.refuses = {"roll_back": PlatformUnreachable("no connection")}
    assert world.run(Stage.ROLLBACK) == 13
    world.cloud.refuses = {}
    assert world.run(Stage.RECOVER) == 0
    assert world.cloud.asked("roll_back") == [OLD]
