"""A release to a target that stages, alone: users are on the candidate only when it was verified and promoted."""

from pathlib import Path

import pytest

from scripts.errors import PlatformUnreachable
from scripts.preview import preview
from scripts.rehearsal.simulated.faults import ROLLBACK, VERCEL, Fault, both, on, person, sick_at
from scripts.rehearsal.simulated.moments import NEW, NEWER, OLD, OLDER, SIDE, Killed
from scripts.rehearsal.simulated.world import KEPT, LEFT, SERVES_NEW, UNKNOWN, UNTOUCHED, WENT_BACK, PairWorld, pair
from scripts.release import DeployState, Stage
from scripts.report import Result

NOTHING = both()
BAD = on("vercel", sick_in_production={NEW})


def alone(folder: Path, fault: Fault = NOTHING, *, on_unproven: str = "roll_back") -> PairWorld:
    """Give a world with the target that stages, and nothing else, and a fault."""
    world = pair(folder, "vercel", on_unproven=on_unproven)
    fault(world)
    return world


ENDS: dict[str, tuple[Stage, int, int, str]] = {
    "deploy is refused": (Stage.DEPLOY, 12, 0, UNTOUCHED),
    "token is wrong": (Stage.DEPLOY, 2, 0, UNTOUCHED),
    "deploy is lost": (Stage.DEPLOY, 10, 0, KEPT),
    "deploy fails": (Stage.DEPLOY, 10, 0, KEPT),
    "building is stuck": (Stage.DEPLOY, 10, 0, KEPT),
    "building is stuck for good": (Stage.DEPLOY, 10, 13, UNKNOWN),
    "state is not known": (Stage.DEPLOY, 12, 13, UNKNOWN),
    "staged is sick": (Stage.VERIFY, 10, 0, KEPT),
    "dies on import": (Stage.VERIFY, 10, 0, KEPT),
    "staged cannot name its commit": (Stage.VERIFY, 10, 0, KEPT),
    "promote is refused": (Stage.PROMOTE, 12, 0, KEPT),
    "promote is unreachable": (Stage.PROMOTE, 12, 0, KEPT),
    "promote is lost": (Stage.PROMOTE, 10, 0, WENT_BACK),
    "promote is done, unheard": (Stage.PROMOTE, 10, 0, WENT_BACK),
    "promote is never done": (Stage.PROMOTE, 10, 0, WENT_BACK),
    "promote is never done and holds the project": (Stage.PROMOTE, 10, 13, UNKNOWN),
    "promote is queued": (Stage.PROMOTE, 10, 0, WENT_BACK),
    "promote is said and not done": (Stage.PROMOTE, 10, 0, WENT_BACK),
    "sick in production": (Stage.PROMOTE, 10, 0, WENT_BACK),
    "sick under traffic": (Stage.BAKE, 10, 0, WENT_BACK),
}


def test_every_fault_has_an_end() -> None:
    """No fault of a target that stages is without its stage, its exit codes and its state."""
    assert set(ENDS) == set(VERCEL)


def test_a_good_release(tmp_path: Path) -> None:
    """Users follow once, by the promotion, and are proven to be on the candidate; nothing else is asked for."""
    world = alone(tmp_path)
    assert world.run_release() == 0
    assert world.mutations == {"vercel": [("deploy", NEW), ("promote", NEW)]}
    assert (world.result, world.states) == (Result.ROLLED_OUT, {"vercel": SERVES_NEW})
    assert world.users_later() == {"vercel": {NEW}}
    assert not world.vercel.pinned


@pytest.mark.parametrize("name", ENDS)
def test_every_fault_ends_as_it_must(tmp_path: Path, name: str) -> None:
    """Each fault is caught by its stage with its code; users are on the old release, now and later, or it is 13."""
    stage, code, back, state = ENDS[name]
    world = alone(tmp_path, VERCEL[name])
    assert world.run_forward() == code
    assert list(world.state.stages)[-1] is stage
    assert world.run(Stage.ROLLBACK) == back
    assert world.states == {"vercel": state}
    assert not world.unverified
    results = {UNKNOWN: Result.STILL_BROKEN, WENT_BACK: Result.ROLLED_BACK}
    assert world.result is results.get(state, Result.NEVER_STARTED)
    before = world.mutations
    assert world.run(Stage.RECOVER) in {back, 0}
    assert back == 13 or world.mutations == before
    if back == 0:
        assert world.users_later() == {"vercel": {OLD}}


def test_until_it_is_promoted_no_user_is_on_it(tmp_path: Path) -> None:
    """The candidate is proven at its own URL while every user is on the old release."""
    world = alone(tmp_path)
    assert world.run_forward(until=Stage.VERIFY) == 0
    assert world.users == {"vercel": {OLD}}
    target = world.target("vercel")
    assert target.deploy is not None
    assert target.deploy.deployment is not None
    assert (target.deploy.deployment.state, target.proven) == (DeployState.STAGED, None)
    assert target.verified
    assert world.result is Result.STILL_BROKEN


@pytest.mark.parametrize("last", [Stage.PLAN, Stage.DEPLOY])
def test_what_was_not_verified_is_not_promoted(tmp_path: Path, last: Stage) -> None:
    """A promotion without a verify that passed is refused as a wrong use, and moves nobody."""
    world = alone(tmp_path)
    assert world.run_forward(until=last) == 0
    assert world.run(Stage.PROMOTE) == 2
    assert world.vercel.asked("promote") == []


def test_a_verify_that_failed_is_not_promoted(tmp_path: Path) -> None:
    """Where verify did not pass, a promotion that is called all the same is refused."""
    world = alone(tmp_path, on("vercel", sick={NEW}))
    assert world.run_forward() == 10
    assert world.run(Stage.PROMOTE) == 2
    assert world.users_later() == {"vercel": {OLD}}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("rollback is refused", 13),
        ("rollback does nothing", 13),
        ("rollback never ends", 13),
        ("rollback is lost", 13),
        ("rollback is done, unheard", 0),
        ("API is down after the rollback", 0),
    ],
)
def test_a_rollback_that_is_hard(tmp_path: Path, name: str, code: int) -> None:
    """A rollback passes where users are proven back, and is 13 otherwise, however often it is run."""
    world = alone(tmp_path, both(BAD, ROLLBACK[name]))
    assert world.run_forward() == 10
    assert [world.run(Stage.ROLLBACK), world.run(Stage.RECOVER)] == [code, code]
    assert world.states == {"vercel": UNKNOWN if code else WENT_BACK}
    assert world.users == {"vercel": {NEW if code else OLD}}


def test_a_rollback_under_way_is_waited_for(tmp_path: Path) -> None:
    """Where users are being put back already, a recover waits for that; it is not asked for again, nor superseded."""
    world = alone(tmp_path, both(BAD, on("vercel", interrupted_in="roll_back")))
    assert world.run_forward() == 10
    world.vercel.move_s = 40.0
    assert world.run(Stage.ROLLBACK) == 130
    assert world.users == {"vercel": {NEW}}
    assert world.run(Stage.RECOVER) == 0
    assert world.vercel.asked("roll_back") == [OLD]
    assert world.users == {"vercel": {OLD}}
    assert world.states == {"vercel": WENT_BACK}


def test_a_rollback_under_way_that_never_ends_is_not_called_superseded(tmp_path: Path) -> None:
    """A return that has begun and does not end is 13: nobody else has moved anything."""
    world = alone(tmp_path, both(BAD, ROLLBACK["rollback never ends"]))
    assert world.run_forward() == 10
    assert [world.run(Stage.ROLLBACK), world.run(Stage.RECOVER)] == [13, 13]
    assert world.result is Result.STILL_BROKEN
    assert "has begun to put users on dpl-2, and has not ended" in world.verdicts[Stage.RECOVER].reason


@pytest.mark.parametrize("keeps", ["journal", "copy", "nothing"])
def test_a_queued_promotion_does_not_come_after_a_recover(tmp_path: Path, keeps: str) -> None:
    """A promotion that was taken and not done is taken back by a rollback, though users are on the old release."""
    world = alone(tmp_path, on("vercel", promote_queued_s=600.0, interrupted_in="promote"))
    assert world.run_forward() == 130
    world.lose_machine(keeps)
    assert world.run(Stage.RECOVER) == 0
    assert world.vercel.asked("roll_back") == [OLD]
    assert world.users_later() == {"vercel": {OLD}}


@pytest.mark.parametrize("act", ["someone_promotes", "someone_rolls_back"])
@pytest.mark.parametrize("moment_s", [0.5, 9.0, 12.3, 16.0])
def test_what_a_person_moves_stays(tmp_path: Path, act: str, moment_s: float) -> None:
    """Whenever a person gives the users to another deployment, that stands: under way too, and in every stage."""
    world = alone(tmp_path, person("vercel", moment_s, act, OLDER))
    assert world.run_release() in {0, 10}
    assert (world.result, world.states) == (Result.SUPERSEDED, {"vercel": LEFT})
    assert world.vercel.asked("roll_back") == []
    assert world.run(Stage.RECOVER) == 0
    world.clock.now_s += 60
    assert world.users == {"vercel": {OLDER}}
    assert world.result is Result.SUPERSEDED


@pytest.mark.parametrize("moment_s", [12.3, 13.5, 16.0])
def test_a_person_goes_back_first(tmp_path: Path, moment_s: float) -> None:
    """A person who gives the users back to the baseline has done our rollback; it is proven and not asked for again."""
    world = alone(tmp_path, person("vercel", moment_s, "someone_rolls_back", OLD))
    assert world.run_release() == 0
    assert world.result in {Result.ROLLED_BACK, Result.ROLLED_OUT}
    assert world.users_later() == {"vercel": {OLD if world.result is Result.ROLLED_BACK else NEW}}
    assert not world.vercel.asked("roll_back")


def test_a_build_of_a_person_does_not_keep_users_on_a_bad_candidate(tmp_path: Path) -> None:
    """Going back, a deployment that somebody else builds and that has no users is not in the way."""
    world = alone(tmp_path, on("vercel", build_s=60.0))
    assert world.run_forward(until=Stage.PROMOTE) == 0
    world.vercel.someone_stages(NEWER)
    world.vercel.sick_in_production = {NEW}
    assert world.run(Stage.BAKE) == 10
    assert world.run(Stage.ROLLBACK) == 0
    assert world.users == {"vercel": {OLD}}


def test_going_forward_a_build_of_a_person_is_in_the_way(tmp_path: Path) -> None:
    """Before users are moved, a deployment that somebody else builds supersedes: it may be meant for the users."""
    world = alone(tmp_path, on("vercel", build_s=60.0))
    assert world.run_forward(until=Stage.VERIFY) == 0
    world.vercel.someone_pushes(NEWER)
    assert [world.run(Stage.PROMOTE), world.run(Stage.ROLLBACK)] == [10, 0]
    assert world.result is Result.SUPERSEDED
    assert world.users_later() == {"vercel": {OLD, NEWER}}


def test_the_same_commit_staged_by_another_is_not_ours(tmp_path: Path) -> None:
    """A deployment of the same commit that somebody else staged is neither promoted nor taken for ours."""
    world = alone(tmp_path)
    assert world.run_forward(until=Stage.DEPLOY) == 0
    world.vercel.someone_stages(NEW)
    world.clock.now_s += 30
    assert [world.run(stage) for stage in (Stage.VERIFY, Stage.PROMOTE, Stage.BAKE)] == [0, 0, 0]
    assert world.vercel.serving_id == "dpl-3"


def test_a_person_promotes_our_sick_candidate(tmp_path: Path) -> None:
    """A bad candidate goes back, whoever has promoted it."""
    world = alone(tmp_path, on("vercel", sick={NEW}))
    assert world.run_forward(until=Stage.DEPLOY) == 0
    world.vercel.someone_promotes(NEW)
    assert [world.run(Stage.VERIFY), world.run(Stage.ROLLBACK)] == [10, 0]
    assert world.vercel.asked("roll_back") == [OLD]
    assert world.users_later() == {"vercel": {OLD}}


def test_after_a_rollback_the_commit_is_refused(tmp_path: Path) -> None:
    """A commit that was rolled back is refused by the next plan, unless it is asked for again."""
    world = alone(tmp_path, sick_at("vercel", 20))
    assert world.run_release() == 0
    assert world.vercel.pinned
    world.clock.now_s += 60
    world.vercel.sick = set()
    assert world.run(Stage.PLAN) == 10
    assert "was rolled back before" in world.verdicts[Stage.PLAN].reason
    assert world.run(Stage.PLAN, again=True) == 0
    assert "an operator's rollback pins what serves" in world.told.getvalue()


def test_the_next_promotion_lifts_the_pin(tmp_path: Path) -> None:
    """A pin is told at plan, keeps nothing from being staged, and is lifted by the promotion."""
    world = alone(tmp_path)
    world.vercel.pinned = True
    assert world.run_release() == 0
    assert not world.vercel.pinned
    assert world.users == {"vercel": {NEW}}


def test_a_project_that_cannot_be_released_stops_at_plan(tmp_path: Path) -> None:
    """What hinders every release is told before anything is asked for."""
    world = alone(tmp_path, on("vercel", hindrance="the project has rolling releases"))
    assert world.run_forward() == 2
    assert world.run(Stage.ROLLBACK) == 0
    assert (world.mutations, world.result) == ({"vercel": []}, Result.NEVER_STARTED)


@pytest.mark.parametrize("fault", [None, "deploy fails", "staged is sick", "promote is refused"])
def test_a_first_release(tmp_path: Path, fault: str | None) -> None:
    """Where nothing served before, a candidate that never had users leaves nothing behind, and the report says so."""
    world = PairWorld(tmp_path, "vercel")
    if fault:
        VERCEL[fault](world)
    assert world.run_release() == 0
    assert world.result is (Result.NEVER_STARTED if fault else Result.ROLLED_OUT)
    assert world.users_later() == {"vercel": set() if fault else {NEW}}


def test_a_first_release_that_is_bad_for_its_users(tmp_path: Path) -> None:
    """Where nothing served before there is nothing to go back to, and that is said."""
    world = PairWorld(tmp_path, "vercel")
    BAD(world)
    assert [world.run_forward(), world.run(Stage.ROLLBACK)] == [10, 10]
    assert world.result is Result.STILL_BROKEN


@pytest.mark.parametrize(("fault", "state"), [("promote is refused", KEPT), ("staged is sick", KEPT)])
def test_a_baseline_that_cannot_name_its_commit_is_kept(tmp_path: Path, fault: str, state: str) -> None:
    """A candidate that no user was on leaves a nameless baseline where it is, and the report agrees."""
    world = alone(tmp_path, both(VERCEL[fault], on("vercel", nameless={OLD})))
    assert world.run_release() == 0
    assert (world.result, world.states) == (Result.NEVER_STARTED, {"vercel": state})


def test_hold_leaves_what_could_not_be_looked_at(tmp_path: Path) -> None:
    """With on_unproven = hold an error holds, and an outcome that is not known goes back."""
    world = alone(tmp_path / "refused", VERCEL["promote is refused"], on_unproven="hold")
    assert [world.run_forward(), world.run(Stage.ROLLBACK)] == [12, 12]
    assert world.users_later() == {"vercel": {OLD}}
    world = alone(tmp_path / "unknown", VERCEL["promote is done, unheard"], on_unproven="hold")
    assert [world.run_forward(), world.run(Stage.ROLLBACK)] == [10, 0]
    assert world.users_later() == {"vercel": {OLD}}


@pytest.mark.parametrize("seconds", [20, 100])
@pytest.mark.parametrize("method", ["deploy", "promote"])
def test_an_outage_after_a_change_is_waited_out(tmp_path: Path, method: str, seconds: float) -> None:
    """An API that is down after a change ends in a release, or on the old one; users never get anything else."""
    world = alone(tmp_path, on("vercel", down_after={method: seconds}))
    code = world.run_release()
    assert code == 0
    assert world.users_later() == {"vercel": {NEW if world.result is Result.ROLLED_OUT else OLD}}


def test_an_api_that_stays_down_is_not_proven(tmp_path: Path) -> None:
    """Where the platform cannot be reached until the deadline, the rollback is 13; a recover later makes it good."""
    world = alone(tmp_path, BAD)
    assert world.run_forward() == 10
    world.vercel.api_is_down(1000)
    assert world.run(Stage.ROLLBACK) == 13
    world.clock.now_s += 1000
    assert world.run(Stage.RECOVER) == 0
    assert world.users_later() == {"vercel": {OLD}}


def test_a_promotion_that_could_not_be_sent_may_be_tried_again(tmp_path: Path) -> None:
    """A promotion that was refused leaves a release that can go on when the platform is reached again."""
    world = alone(tmp_path, on("vercel", refuses={"promote": PlatformUnreachable("no connection")}))
    assert world.run_forward() == 12
    world.vercel.refuses = {}
    assert [world.run(Stage.PROMOTE), world.run(Stage.BAKE)] == [0, 0]
    assert world.users_later() == {"vercel": {NEW}}


def test_what_serves_already_is_not_deployed(tmp_path: Path) -> None:
    """A commit that serves already is proven and left alone."""
    world = alone(tmp_path)
    world.vercel.serve_since_long(NEW)
    world.unverified.clear()
    assert world.run_release() == 0
    assert (world.mutations, world.result) == ({"vercel": []}, Result.ROLLED_OUT)


def test_preview_tells_what_would_happen(tmp_path: Path) -> None:
    """`--dry-run` names the ways forward and back, and touches nothing."""
    world = alone(tmp_path, BAD)
    assert world.run_forward(until=Stage.VERIFY) == 0
    assert preview("promote", world.state, "roll_back") == "vercel: would give user traffic to ccccccc"
    assert [world.run(Stage.PROMOTE), len(world.mutations["vercel"])] == [10, 2]
    told = preview("rollback", world.state, "roll_back")
    assert "vercel: would cancel or roll back the candidate, and prove that bbbbbbb serves" in told


def test_a_lost_run_that_was_killed_before_its_promotion(tmp_path: Path) -> None:
    """A machine that is lost with a staged candidate leaves the old release, and a recover proves it."""
    world = alone(tmp_path)
    assert world.run_forward(until=Stage.VERIFY) == 0
    world.cut.arm(1, Killed)
    with pytest.raises(Killed):
        world.run(Stage.PROMOTE)
    world.cut.disarm()
    assert world.run(Stage.RECOVER) == 0
    assert (world.result, world.states) == (Result.NEVER_STARTED, {"vercel": KEPT})
    assert world.vercel.asked("roll_back") == []


@pytest.mark.parametrize("until", [Stage.VERIFY, Stage.PROMOTE])
@pytest.mark.parametrize("keeps", ["journal", "copy", "nothing"])
def test_a_lost_run_never_brings_back_what_was_rolled_back(tmp_path: Path, keeps: str, until: Stage) -> None:
    """What a person had rolled back before the release is not what a recover goes back to, though it is newer."""
    world = alone(tmp_path)
    world.vercel.serve_since_long(SIDE)
    world.vercel.someone_rolls_back(OLD)
    world.clock.now_s += 10
    assert world.run_forward(until=until) == 0
    world.lose_machine(keeps)
    assert world.run(Stage.RECOVER) == 0
    assert world.users_later() == {"vercel": {OLD}}


@pytest.mark.parametrize("until", [Stage.DEPLOY, Stage.PROMOTE])
@pytest.mark.parametrize("keeps", ["journal", "copy", "nothing"])
def test_a_lost_run_is_not_mistaken_for_another(tmp_path: Path, keeps: str, until: Stage) -> None:
    """Where somebody staged the same commit after us, a recover still finds ours, and takes the users from it."""
    world = alone(tmp_path)
    assert world.run_forward(until=until) == 0
    world.vercel.someone_stages(NEW)
    world.clock.now_s += 10
    world.lose_machine(keeps)
    assert world.run(Stage.RECOVER) == 0
    assert world.users_later() == {"vercel": {OLD}}
