"""Two targets as one unit, and each alone: what fails on one takes back every target that moved, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.errors import ConfigError, PlatformUnreachable
from scripts.rehearsal.simulated.faults import PEOPLE, RENDER, ROLLBACK, VERCEL, Fault, both, on, person, sick_at
from scripts.rehearsal.simulated.moments import NEW, NEWER, OLD, OLDER, Killed
from scripts.rehearsal.simulated.world import KEPT, LEFT, SERVES_NEW, UNKNOWN, UNTOUCHED, WENT_BACK, PairWorld, pair
from scripts.release import Stage
from scripts.report import Result, as_json
from scripts.summary import render_markdown
from tests.unit.stages.cuts import KEEPS, WAYS, recover_from_a_cut

BAD = on("vercel", sick_in_production={NEW})
BOTH_OLD = {"render": {OLD}, "vercel": {OLD}}


def broken(folder: Path, fault: Fault, *, together: bool = True, on_unproven: str = "roll_back") -> PairWorld:
    """Give both targets, and a fault."""
    world = pair(folder, together=together, on_unproven=on_unproven)
    fault(world)
    return world


def test_a_good_release(tmp_path: Path) -> None:
    """Both get the candidate: Render first, then the one that stages, which is promoted when all are verified."""
    world = pair(tmp_path)
    assert world.run_release() == 0
    assert world.mutations == {"render": [("deploy", NEW)], "vercel": [("deploy", NEW), ("promote", NEW)]}
    assert world.result is Result.ROLLED_OUT
    assert set(world.states.values()) == {SERVES_NEW}
    assert world.users_later() == {"render": {NEW}, "vercel": {NEW}}
    assert not world.unverified


ENDS: dict[str, tuple[Stage, int, str, str]] = {
    "deploy is refused": (Stage.DEPLOY, 12, WENT_BACK, KEPT),
    "token is wrong": (Stage.DEPLOY, 2, WENT_BACK, KEPT),
    "deploy is lost": (Stage.DEPLOY, 10, WENT_BACK, KEPT),
    "deploy fails": (Stage.DEPLOY, 10, WENT_BACK, KEPT),
    "building is stuck": (Stage.DEPLOY, 10, WENT_BACK, KEPT),
    "building is stuck for good": (Stage.DEPLOY, 10, WENT_BACK, UNKNOWN),
    "staged is sick": (Stage.VERIFY, 10, WENT_BACK, KEPT),
    "dies on import": (Stage.VERIFY, 10, WENT_BACK, KEPT),
    "staged cannot name its commit": (Stage.VERIFY, 10, WENT_BACK, KEPT),
    "promote is refused": (Stage.PROMOTE, 12, WENT_BACK, KEPT),
    "promote is unreachable": (Stage.PROMOTE, 12, WENT_BACK, KEPT),
    "promote is lost": (Stage.PROMOTE, 10, WENT_BACK, WENT_BACK),
    "promote is done, unheard": (Stage.PROMOTE, 10, WENT_BACK, WENT_BACK),
    "promote is never done": (Stage.PROMOTE, 10, WENT_BACK, WENT_BACK),
    "promote is never done and holds the project": (Stage.PROMOTE, 10, WENT_BACK, UNKNOWN),
    "promote is queued": (Stage.PROMOTE, 10, WENT_BACK, WENT_BACK),
    "promote is said and not done": (Stage.PROMOTE, 10, WENT_BACK, WENT_BACK),
    "sick in production": (Stage.PROMOTE, 10, WENT_BACK, WENT_BACK),
    "sick under traffic": (Stage.VERIFY, 10, WENT_BACK, KEPT),
    "render: deploy is refused": (Stage.DEPLOY, 12, UNTOUCHED, UNTOUCHED),
    "render: build fails": (Stage.DEPLOY, 10, KEPT, KEPT),
    "render: build too slow": (Stage.DEPLOY, 10, KEPT, KEPT),
    "render: sick at once": (Stage.VERIFY, 10, WENT_BACK, KEPT),
    "render: sick under traffic": (Stage.BAKE, 10, WENT_BACK, WENT_BACK),
}


@pytest.mark.parametrize("name", ENDS)
def test_what_fails_on_one_takes_both_back(tmp_path: Path, name: str) -> None:
    """Each fault is caught by its stage; users of both are on the old release, or that one target is 13."""
    stage, code, render, vercel = ENDS[name]
    world = broken(tmp_path, (VERCEL | RENDER)[name])
    assert world.run_forward() == code
    assert list(world.state.stages)[-1] is stage
    back = 13 if UNKNOWN in {render, vercel} else 0
    assert world.run(Stage.ROLLBACK) == back
    assert world.states == {"render": render, "vercel": vercel}
    went = WENT_BACK in {render, vercel}
    assert world.result is (Result.STILL_BROKEN if back else Result.ROLLED_BACK if went else Result.NEVER_STARTED)
    assert world.users == BOTH_OLD
    assert not world.unverified
    before = world.mutations
    assert world.run(Stage.RECOVER) == back
    assert back == 13 or (world.mutations == before and world.users_later() == BOTH_OLD)


@pytest.mark.parametrize("name", RENDER)
def test_where_render_fails_the_other_never_moves_first(tmp_path: Path, name: str) -> None:
    """What fails on Render before the bake is found before any user of the other target is moved."""
    world = broken(tmp_path, RENDER[name])
    world.run_release()
    assert ("promote", NEW) not in world.mutations["vercel"] or name == "render: sick under traffic"
    assert bool(world.vercel.asked("deploy")) is (name in {"render: sick at once", "render: sick under traffic"})


HARD: dict[str, tuple[str, str]] = {
    "rollback is refused": (WENT_BACK, UNKNOWN),
    "rollback does nothing": (WENT_BACK, UNKNOWN),
    "rollback never ends": (WENT_BACK, UNKNOWN),
    "rollback is lost": (WENT_BACK, UNKNOWN),
    "rollback is done, unheard": (WENT_BACK, WENT_BACK),
    "API is down after the rollback": (WENT_BACK, WENT_BACK),
    "render: rollback is refused": (UNKNOWN, WENT_BACK),
    "render: rollback does nothing": (UNKNOWN, WENT_BACK),
    "render: rollback fails": (UNKNOWN, WENT_BACK),
    "render: rollback is done, unheard": (WENT_BACK, WENT_BACK),
}


@pytest.mark.parametrize("name", HARD)
def test_a_rollback_that_is_not_proven_does_not_stop_the_other(tmp_path: Path, name: str) -> None:
    """One target that cannot be taken back is 13 and says so; the other one is back and proven all the same."""
    render, vercel = HARD[name]
    world = broken(tmp_path, both(BAD, ROLLBACK[name]))
    code = 13 if UNKNOWN in {render, vercel} else 0
    assert [world.run_forward(), world.run(Stage.ROLLBACK)] == [10, code]
    assert world.states == {"render": render, "vercel": vercel}
    assert world.result is (Result.STILL_BROKEN if code else Result.ROLLED_BACK)
    ended = world.state.stages[Stage.ROLLBACK].targets
    assert [ended[name].exit_code for name in ("render", "vercel")] == [
        13 if state == UNKNOWN else 0 for state in (render, vercel)
    ]
    assert world.users == {
        name: {NEW if state == UNKNOWN else OLD} for name, state in (("render", render), ("vercel", vercel))
    }


@pytest.mark.parametrize(
    ("name", "target", "users"),
    [
        ("a person promotes another while render builds", "vercel", OLDER),
        ("a person rolls back before the promotion", "vercel", OLDER),
        ("a person pushes another while it builds", "vercel", NEWER),
        ("a person pushes the same commit", "vercel", NEW),
        ("render: a person deploys another while it builds", "render", NEWER),
        ("render: a person rolls back before the promotion", "render", OLDER),
    ],
)
def test_what_a_person_moved_is_left_and_the_other_goes_back(
    tmp_path: Path, name: str, target: str, users: str
) -> None:
    """A target that someone else moved is left alone; the unit's other target goes back, and the report says both."""
    world = broken(tmp_path, PEOPLE[name])
    other = "vercel" if target == "render" else "render"
    assert [world.run_forward(), world.run(Stage.ROLLBACK)] == [10, 0]
    assert world.result is Result.SUPERSEDED
    assert world.states == {target: LEFT, other: WENT_BACK if other == "render" else KEPT}
    world.clock.now_s += 60
    assert world.users == {target: {users}, other: {OLD}}
    assert not [row for row in world.mutations[target] if row[0] == "roll_back"]
    before = world.mutations
    assert world.run(Stage.RECOVER) == 0
    assert (world.mutations, world.result) == (before, Result.SUPERSEDED)


@pytest.mark.parametrize("act", ["someone_promotes", "someone_rolls_back"])
def test_a_move_of_a_person_that_is_under_way_is_theirs(tmp_path: Path, act: str) -> None:
    """A person's move that the platform has begun and not ended is seen, and not overtaken by our promotion."""
    world = pair(tmp_path)
    assert world.run_forward(until=Stage.VERIFY) == 0
    getattr(world.vercel, act)(OLDER)
    assert world.users == {"render": {NEW}, "vercel": {OLD}}
    assert [world.run(Stage.PROMOTE), world.run(Stage.ROLLBACK)] == [10, 0]
    assert world.vercel.asked("promote") == []
    world.clock.now_s += 60
    assert world.users == {"render": {OLD}, "vercel": {OLDER}}


def test_both_moved_by_others_are_left(tmp_path: Path) -> None:
    """Where someone else moved both, nothing is done to either."""
    fault = both(person("render", 20, "someone_rolls_back", OLDER), person("vercel", 20, "someone_rolls_back", OLDER))
    world = broken(tmp_path, fault)
    assert [world.run_forward(), world.run(Stage.ROLLBACK)] == [10, 10]
    assert world.states == {"render": LEFT, "vercel": LEFT}
    assert not world.render.asked("roll_back") + world.vercel.asked("roll_back")


@pytest.mark.parametrize("first", ["render", "vercel"])
def test_a_first_release_on_one_of_two(tmp_path: Path, first: str) -> None:
    """Where nothing served on one of them, the other goes back and the report says rolled back, not broken."""
    world = PairWorld(tmp_path)
    cloud = world.vercel if first == "render" else world.render
    cloud.serve_since_long(OLDER, OLD)
    fault = VERCEL["staged is sick"] if first == "vercel" else RENDER["render: build fails"]
    fault(world)
    assert world.run_release() == 0
    assert world.result is (Result.ROLLED_BACK if first == "vercel" else Result.NEVER_STARTED)
    assert world.users_later() == {first: set(), "vercel" if first == "render" else "render": {OLD}}


def test_one_that_serves_already_stays(tmp_path: Path) -> None:
    """A release that one target has already is put on the other; if that fails, the first keeps what it had."""
    world = broken(tmp_path, VERCEL["staged is sick"])
    world.render.serve_since_long(NEW)
    assert world.run_release() == 0
    assert world.mutations["render"] == []
    assert world.users_later() == {"render": {NEW}, "vercel": {OLD}}
    assert world.states["vercel"] == KEPT


@pytest.mark.parametrize("name", ["render", "vercel"])
def test_one_target_leaves_no_trace_of_the_other(tmp_path: Path, name: str) -> None:
    """A release to one target alone neither asks, names nor writes anything of the other one."""
    world = pair(tmp_path, name)
    other = "vercel" if name == "render" else "render"
    (BAD if name == "vercel" else RENDER["render: sick at once"])(world)
    assert world.run_release() == 0
    assert world.result is Result.ROLLED_BACK
    assert world.clouds[other].mutations == []
    written = (world.folder / "journal.jsonl").read_text() + world.told.getvalue() + str(as_json(world.state))
    assert other not in written + render_markdown(world.ports().journal.read())
    assert not any(other in path.name or other in path.read_text() for path in world.folder.iterdir())


def test_a_plan_that_fails_on_one_begins_on_none(tmp_path: Path) -> None:
    """What hinders one target stops the unit before anything is asked for."""
    for place, fault in enumerate((on("vercel", hindrance="rolling releases"), on("render", suspended=True))):
        world = broken(tmp_path / str(place), fault)
        assert world.run_forward() in {2, 12}
        assert [world.run(Stage.DEPLOY), world.run(Stage.ROLLBACK)] == [2, 0]
        assert world.mutations == {"render": [], "vercel": []}
        assert world.result is Result.NEVER_STARTED


def test_hold_holds_the_unit(tmp_path: Path) -> None:
    """With on_unproven = hold, a target that could not be looked at holds both, and the code says why."""
    world = broken(tmp_path, VERCEL["promote is refused"], on_unproven="hold")
    assert [world.run_forward(), world.run(Stage.ROLLBACK)] == [12, 12]
    assert world.users_later() == {"render": {NEW}, "vercel": {OLD}}
    assert world.result is Result.STILL_BROKEN


def test_the_first_proof_of_bad_ends_the_bake(tmp_path: Path) -> None:
    """In a unit the bake ends with the first target that is proven bad; the other is not watched on."""
    world = broken(tmp_path, sick_at("render", 33))
    world.config = world.config.model_copy(
        update={"bake": world.config.bake.model_copy(update={"least_s": 60.0, "most_s": 90.0})}
    )
    assert world.run_forward(until=Stage.PROMOTE) == 0
    begin_s = world.clock.now_s
    assert world.run(Stage.BAKE) == 10
    assert world.clock.now_s - begin_s < 20
    assert world.run(Stage.ROLLBACK) == 0
    assert world.users_later() == BOTH_OLD


@pytest.mark.parametrize("target", ["render", "vercel"])
def test_a_lost_rollback_is_not_taken_for_another(tmp_path: Path, target: str) -> None:
    """With the journal lost in the rollback, one that is under way is followed; nobody else is said to have moved."""
    world = broken(tmp_path, both(BAD, on(target, interrupted_in="roll_back")))
    assert world.run_forward() == 10
    world.render.slow = {OLD: 40.0}
    world.vercel.move_s = 40.0
    assert world.run(Stage.ROLLBACK) == 130
    world.lose_machine("nothing")
    assert world.run(Stage.RECOVER) == 0
    assert world.result is Result.ROLLED_BACK
    assert [world.render.asked("roll_back"), world.vercel.asked("roll_back")] == [[OLD], [OLD]]
    assert world.users_later() == BOTH_OLD


def test_a_bake_without_proof_is_inconclusive(tmp_path: Path) -> None:
    """A bake that cannot rule out errors on one target ends with 11, and the unit goes back."""
    world = pair(tmp_path)
    assert world.run_forward(until=Stage.PROMOTE) == 0
    for moment_s in range(40, 80, 5):
        world.vercel.at(moment_s, lambda: world.vercel.sick.add(NEW))
        world.vercel.at(moment_s + 0.4, lambda: world.vercel.sick.discard(NEW))
    assert world.run(Stage.BAKE) in {10, 11}
    assert world.run(Stage.ROLLBACK) == 0
    assert world.users == BOTH_OLD


# each target alone


@pytest.mark.parametrize(
    ("name", "code", "render", "vercel"),
    [
        ("deploy is refused", 12, SERVES_NEW, UNTOUCHED),
        ("deploy fails", 10, SERVES_NEW, KEPT),
        ("staged is sick", 10, SERVES_NEW, KEPT),
        ("promote is refused", 12, SERVES_NEW, KEPT),
        ("promote is never done", 10, SERVES_NEW, WENT_BACK),
        ("sick in production", 10, SERVES_NEW, WENT_BACK),
        ("building is stuck for good", 10, SERVES_NEW, UNKNOWN),
        ("render: deploy is refused", 12, UNTOUCHED, SERVES_NEW),
        ("render: build fails", 10, KEPT, SERVES_NEW),
        ("render: sick at once", 10, WENT_BACK, SERVES_NEW),
        ("render: sick under traffic", 10, WENT_BACK, SERVES_NEW),
    ],
)
def test_alone_only_what_fails_goes_back(tmp_path: Path, name: str, code: int, render: str, vercel: str) -> None:
    """With together = false, what fails on one goes back and is told by the bake; the other is released."""
    world = broken(tmp_path, (VERCEL | RENDER)[name], together=False)
    assert world.run_forward() == code
    assert list(world.state.stages)[-1] is Stage.BAKE
    assert world.run(Stage.ROLLBACK) == (13 if UNKNOWN in {render, vercel} else 0)
    assert world.states == {"render": render, "vercel": vercel}
    expected = {"render": render, "vercel": vercel}
    assert world.users == {name: {NEW if state == SERVES_NEW else OLD} for name, state in expected.items()}
    assert not world.unverified
    before = world.mutations
    world.run(Stage.RECOVER)
    assert world.mutations == before or UNKNOWN in {render, vercel}


def test_alone_what_fails_goes_back_at_once(tmp_path: Path) -> None:
    """Users of the target that failed do not wait for the other's bake."""
    world = broken(tmp_path, RENDER["render: sick at once"], together=False)
    assert world.run_forward(until=Stage.VERIFY) == 0
    assert world.users == BOTH_OLD
    assert world.render.asked("roll_back") == [OLD]
    assert [world.run(Stage.PROMOTE), world.run(Stage.BAKE)] == [0, 10]


def test_alone_the_summary_tells_each(tmp_path: Path) -> None:
    """Where each goes alone, the title says what became of each; no target's end is told as the other's."""
    world = broken(tmp_path, VERCEL["staged is sick"], together=False)
    world.run_release()
    title = render_markdown(world.ports().journal.read()).splitlines()[0]
    assert title == (
        "## render: ccccccc is released and proven; "
        "vercel: ccccccc was blocked before it served users; bbbbbbb still serves"
    )


@pytest.mark.parametrize("target", ["render", "vercel"])
def test_alone_a_plan_that_errs_on_one_leaves_the_other(tmp_path: Path, target: str) -> None:
    """A target that cannot even be planned is told, and the other is released."""
    world = pair(tmp_path, together=False)
    world.clouds[target].outages = [(0.0, 1e9)]
    other = "vercel" if target == "render" else "render"
    assert [world.run_forward(), world.run(Stage.ROLLBACK)] == [12, 0]
    assert list(world.state.stages)[-2:] == [Stage.BAKE, Stage.ROLLBACK]
    assert world.mutations[target] == []
    assert world.users[other] == {NEW}


def test_alone_nothing_can_be_planned(tmp_path: Path) -> None:
    """Where no target can be planned, the report still says that nothing started."""
    world = pair(tmp_path, together=False)
    for cloud in world.clouds.values():
        cloud.outages = [(0.0, 1e9)]
    assert [world.run_forward(), world.run(Stage.ROLLBACK)] == [12, 0]
    assert world.result is Result.NEVER_STARTED
    assert as_json(world.state)["result"] == Result.NEVER_STARTED


def test_alone_one_that_went_back_does_not_end_the_release(tmp_path: Path) -> None:
    """A run that is lost after one target went back has not ended: its journal is kept from the next plan."""
    world = broken(tmp_path, RENDER["render: sick at once"], together=False)
    assert world.run_forward(until=Stage.VERIFY) == 0
    assert not world.state.passed(Stage.ROLLBACK)
    assert world.run(Stage.PLAN) == 0
    assert "was planned before and has begun" in world.verdicts[Stage.PLAN].reason


def test_alone_a_superseded_target_is_left(tmp_path: Path) -> None:
    """Where each goes alone, what someone else moved is left, and the other is released."""
    world = broken(tmp_path, PEOPLE["a person rolls back before the promotion"], together=False)
    assert [world.run_forward(), world.run(Stage.ROLLBACK)] == [10, 0]
    assert world.states == {"render": SERVES_NEW, "vercel": LEFT}
    assert world.users_later() == {"render": {NEW}, "vercel": {OLDER}}


# a run that is lost


@pytest.mark.parametrize("keeps", KEEPS)
def test_a_lost_run_is_taken_back_on_both(tmp_path: Path, keeps: str) -> None:
    """A run that was killed before its bake ended is taken back, with the journal, with the plan's copy and without."""
    world = pair(tmp_path)
    assert world.run_forward(until=Stage.PROMOTE) == 0
    world.lose_machine(keeps)
    assert world.run(Stage.RECOVER) == 0
    assert world.users_later() == BOTH_OLD
    assert (world.result, set(world.states.values())) == (Result.ROLLED_BACK, {WENT_BACK})


@pytest.mark.parametrize("error", [PlatformUnreachable("no connection"), ConfigError("the key is wrong")])
def test_a_platform_that_cannot_be_read_does_not_stop_the_other(tmp_path: Path, error: Exception) -> None:
    """With the journal lost, a platform that cannot be read is 13, and the other target goes back all the same."""
    world = pair(tmp_path)
    assert world.run_forward(until=Stage.PROMOTE) == 0
    world.lose_machine("nothing")
    read = world.vercel.fetch_history

    def fail(deadline: object) -> None:
        raise error

    setattr(world.vercel, "fetch_history", fail)  # noqa: B010 - the fault is of this test alone
    if isinstance(error, PlatformUnreachable):
        world.vercel.api_is_down(200)
        setattr(world.vercel, "fetch_history", read)  # noqa: B010
    assert world.run(Stage.RECOVER) == 13
    assert world.users == {"render": {OLD}, "vercel": {NEW}}
    setattr(world.vercel, "fetch_history", read)  # noqa: B010
    world.clock.now_s += 300
    assert world.run(Stage.RECOVER) == 0
    assert world.users_later() == BOTH_OLD


def test_a_lost_run_that_had_passed_is_proven(tmp_path: Path) -> None:
    """A release whose bake passed is only proven by a recover, on both."""
    world = pair(tmp_path)
    assert world.run_forward() == 0
    before = world.mutations
    assert world.run(Stage.RECOVER) == 0
    assert (world.mutations, world.result) == (before, Result.ROLLED_OUT)
    world.vercel.sick = {NEW}
    assert world.run(Stage.RECOVER) == 13


CUT: dict[str, Fault] = {
    "good": both(),
    "sick in production": BAD,
    "staged is sick": VERCEL["staged is sick"],
    "promote is queued": VERCEL["promote is queued"],
    "promote is done, unheard": VERCEL["promote is done, unheard"],
    "building is stuck": VERCEL["building is stuck"],
    "render: sick under traffic": RENDER["render: sick under traffic"],
    "state is not known": VERCEL["state is not known"],
    "rollback is done, unheard": both(BAD, ROLLBACK["rollback is done, unheard"]),
}
MOMENTS = (2, 9, 21, 36, 43, 51, 64, 77)


@pytest.mark.parametrize("name", CUT)
def test_cut_somewhere_then_recovered(tmp_path: Path, name: str) -> None:
    """A run of two targets that is cut is recovered: each is proven old or new, or it is 13; never a false claim."""
    first = list(CUT).index(name)
    cut = [
        recover_from_a_cut(tmp_path / str(at), CUT[name], at + first % 5, *WAYS[(first + place) % len(WAYS)])
        for place, at in enumerate(MOMENTS[first % 3 :: 3])
    ]
    assert sum(world is not None for world in cut) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("targets", [("render", "vercel"), ("vercel",)], ids="+".join)
@pytest.mark.parametrize("name", CUT)
def test_cut_at_every_call(
    tmp_path: Path, name: str, targets: tuple[str, ...], way: tuple[type[BaseException], str]
) -> None:
    """The same at each call of deploy, verify, promote, bake and rollback, in every way."""
    for at in range(1, 120):
        recover_from_a_cut(tmp_path / str(at), CUT[name], at, *way, *targets)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("name", ["good", "staged is sick", "sick in production", "render: sick under traffic"])
def test_alone_cut_at_every_call(tmp_path: Path, name: str, way: tuple[type[BaseException], str]) -> None:
    """The same where each target goes alone."""
    for at in range(1, 150, 2):
        recover_from_a_cut(tmp_path / str(at), CUT[name], at, *way, together=False)


@pytest.mark.parametrize("at", [3, 12, 25, 40])
@pytest.mark.parametrize("keeps", KEEPS)
def test_a_recover_that_is_cut_is_recovered(tmp_path: Path, keeps: str, at: int) -> None:
    """A recover of two targets may itself be killed: the next one finishes it, with one rollback of each."""
    world = broken(tmp_path, BAD)
    assert world.run_forward() == 10
    world.lose_machine(keeps)
    world.cut.arm(at, Killed)
    with pytest.raises(Killed):
        world.run(Stage.RECOVER)
    world.cut.disarm()
    assert world.run(Stage.RECOVER) == 0
    assert world.users_later() == BOTH_OLD
    assert [len(world.render.asked("roll_back")), len(world.vercel.asked("roll_back"))] == [1, 1]
    assert world.states == {"render": WENT_BACK, "vercel": WENT_BACK}


def test_sick_under_traffic_of_the_one_that_stages(tmp_path: Path) -> None:
    """What turns bad on the staged target during the bake takes both back from under traffic."""
    world = broken(tmp_path, sick_at("vercel", 36))
    assert world.run_forward() == 10
    assert list(world.state.stages)[-1] is Stage.BAKE
    assert world.run(Stage.ROLLBACK) == 0
    assert world.states == {"render": WENT_BACK, "vercel": WENT_BACK}
    assert world.users_later() == BOTH_OLD
