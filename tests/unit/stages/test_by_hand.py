"""A rollback by hand: a person asks, no release left a journal, and only what is proven counts."""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts import by_hand
from scripts.arguments import STAGE_VERBS, build_parser
from scripts.cli import _stage, main
from scripts.config import ProbeSection, RollbackSection
from scripts.errors import ConfigError, PlatformError, PlatformUnreachable, SlipwayError, UsageError
from scripts.journal import NAME, Kind
from scripts.preview import preview
from scripts.rehearsal.simulated.moments import BEGIN, NEW, NEWER, OLD, OLDER, SIDE, Killed, Line, StillClock
from scripts.rehearsal.simulated.render import Cloud
from scripts.rehearsal.simulated.world import KEPT, LEFT, WENT_BACK, PairWorld, pair
from scripts.release import Release, Sha, Stage
from scripts.report import Result, as_json
from scripts.stage import Ports

WHY = "users cannot pay"
WHO = "octocat"


@dataclass(frozen=True)
class Main(Line):
    """The line of commits, whose newest one is HEAD; git may take its time."""

    clock: StillClock
    takes_s: float

    def resolve(self, text: str) -> Sha:
        """Give the commit."""
        self.clock.sleep(self.takes_s)
        if len(text) != 40 and text != "HEAD":
            raise UsageError(f"commit {text!r} is not in this checkout")
        return NEWER if text == "HEAD" else super().resolve(text)


class Night(PairWorld):
    """Two clouds where a bad commit serves, or is about to, and somebody with a phone."""

    takes_s = 0.0
    error: SlipwayError | None = None

    def ports(self) -> Ports:
        """Wire the stages to the clouds, in a checkout of main."""
        return replace(super().ports(), checkout=Main(self.folder, self.clock, self.takes_s))

    def ask(self, to: str = "", *, reason: str = WHY) -> int:
        """Ask for a rollback as the command line does, and give its exit code."""
        arguments = argparse.Namespace(verb="rollback", to=to, reason=reason, by="")
        environment = {"GITHUB_ACTOR": WHO, "GITHUB_RUN_ID": "8"}
        self.error = None
        try:
            self.verdicts[Stage.ROLLBACK] = _stage(arguments, environment, self.ports())
        except SlipwayError as error:
            self.error = error
            return error.exit_code
        except KeyboardInterrupt:
            return 130
        return self.verdicts[Stage.ROLLBACK].exit_code

    def refuse(self, to: str = "") -> SlipwayError:
        """Ask for what is refused: nothing is changed, and no journal is written."""
        before, files = self.mutations, sorted(self.folder.glob("**/*"))
        assert self.ask(to) in {2, 12}
        assert self.error is not None
        assert (self.mutations, sorted(self.folder.glob("**/*"))) == (before, files)
        return self.error

    def look(self, to: str = "") -> str:
        """Ask for a dry run: nothing is changed, and no journal is written."""
        before, files = self.mutations, sorted(self.folder.glob("**/*"))
        told = by_hand.preview(self.ports(), by_hand.Order(to, WHY, WHO, "8"))
        assert (self.mutations, sorted(self.folder.glob("**/*"))) == (before, files)
        return told

    @property
    def reason(self) -> str:
        """Why the last one ended as it did."""
        return self.verdicts[Stage.ROLLBACK].reason


def evening(folder: Path, *targets: str, together: bool = True, on_unproven: str = "roll_back") -> Night:
    """Give a world where OLDER and then OLD were live; less is waited for and asked than in production."""
    world = pair(folder, *targets, together=together, on_unproven=on_unproven, of=Night)
    assert isinstance(world, Night)
    short = {"rollback": RollbackSection(deadline_s=40), "probe": ProbeSection(rate_per_s=4)}
    world.config = world.config.model_copy(update=short)
    world.environment = {}
    return world


def night(folder: Path, *targets: str) -> Night:
    """Give a world where OLDER, OLD and then NEW were live, and NEW is sick."""
    world = evening(folder, *targets)
    for name in world.names:
        world.clouds[name].serve_since_long(NEW)
        world.clouds[name].sick = {NEW}
    return world


ONE = (("render",), ("vercel",))
EITHER = pytest.mark.parametrize("targets", [*ONE, ("render", "vercel")], ids="+".join)
EACH = pytest.mark.parametrize("name", ["render", "vercel"])


@EITHER
@pytest.mark.parametrize("to", ["", OLD])
def test_goes_back_and_proves_it(tmp_path: Path, targets: tuple[str, ...], to: str) -> None:
    """The last proven release, or the commit that is named, serves again on every target, and the journal says why."""
    world = night(tmp_path, *targets)
    assert world.ask(to) == 0
    assert world.mutations == {name: [("roll_back", OLD)] for name in targets}
    assert world.states == dict.fromkeys(targets, WENT_BACK)
    assert world.result is Result.ROLLED_BACK
    release = world.state.release
    assert release is not None
    assert release == Release(NEW, "8-1", release.started_at, targets, by=WHO, why=WHY)
    assert f"{WHO} asked for it: {WHY}" in world.told.getvalue()
    assert world.users_later() == {name: {OLD} for name in targets}


@EITHER
@pytest.mark.parametrize("again", ["ask", "rollback", "recover", "named"])
def test_twice_is_once(tmp_path: Path, targets: tuple[str, ...], again: str) -> None:
    """Asked for again, in whatever way, the old release is proven again: nothing is asked for, nothing goes further."""
    world = night(tmp_path, *targets)
    assert world.ask() == 0
    before = world.mutations
    ways = {"ask": lambda: world.ask(), "named": lambda: world.ask(OLD)}
    assert ways.get(again, lambda: world.run(Stage(again)))() == 0
    assert world.mutations == before
    assert world.users_later() == {name: {OLD} for name in targets}
    assert world.result is (Result.NEVER_STARTED if again in {"ask", "named"} else Result.ROLLED_BACK)
    assert world.run(Stage.RECOVER) == 0
    assert world.mutations == before


def test_a_second_one_says_how_to_go_further(tmp_path: Path) -> None:
    """Asked for again without a name, it says that a name is needed to go further; named, it goes."""
    world = night(tmp_path)
    assert world.ask() == 0
    assert world.ask() == 0
    assert "name a commit with --to" in world.told.getvalue()
    assert f"{OLDER[:7]} (render dep-1, vercel dpl-1)" in world.told.getvalue()
    assert world.ask(OLDER) == 0
    assert world.users_later() == {"render": {OLDER}, "vercel": {OLDER}}


@EITHER
def test_a_service_that_is_down_goes_back(tmp_path: Path, targets: tuple[str, ...]) -> None:
    """A release that cannot answer at all goes by the platform's word, and within seconds."""
    world = night(tmp_path, *targets)
    world.render.nameless = world.vercel.nameless = {NEW}
    world.vercel.dies_on_import = {NEW}
    assert world.ask() == 0
    assert world.users == {name: {OLD} for name in targets}
    assert world.clock.now_s < 60


@EACH
def test_by_deploy_id(tmp_path: Path, name: str) -> None:
    """A deploy id is gone back to; one that is not there, or never served, is refused with what may be chosen."""
    world = night(tmp_path, name)
    kind = {"render": "dep", "vercel": "dpl"}[name]
    assert f"{name} {kind}-2" in world.refuse(f"{kind}-77").means
    if name == "vercel":
        world.vercel.someone_stages(NEWER)
        assert "never served" in world.refuse("dpl-4").what
    assert world.ask(f"{kind}-1") == 0
    assert world.users_later() == {name: {OLDER}}


@pytest.mark.parametrize(
    ("to", "what"),
    [
        (NEWER, "never served"),
        (SIDE, "not on main"),
        ("beef", "not in this checkout"),
        ("dep-9", "is no deployment"),
    ],
)
def test_what_may_not_serve_is_refused(tmp_path: Path, to: str, what: str) -> None:
    """What never served, is not on main or not known is exit 2, and nothing is touched."""
    error = night(tmp_path).refuse(to)
    assert error.exit_code == 2
    assert what.replace("never served", "has never served") in error.what


def test_what_was_rolled_back_is_refused(tmp_path: Path) -> None:
    """After a rollback the bad commit is not gone to by another one."""
    world = night(tmp_path)
    assert world.ask() == 0
    error = world.refuse(NEW)
    assert "rolled back on render before" in error.what
    assert "again" in error.next_step


@EACH
def test_only_the_chosen_target_moves(tmp_path: Path, name: str) -> None:
    """One target goes back alone; then both, and the one that is back goes no further."""
    world = night(tmp_path)
    names = world.names
    world.names = (name,)
    assert world.ask() == 0
    world.names = names
    other = "vercel" if name == "render" else "render"
    assert world.users == {name: {OLD}, other: {NEW}}
    asked = len(world.mutations[name])
    assert world.ask() == 0
    assert world.states == {name: KEPT, other: WENT_BACK}
    assert len(world.mutations[name]) == asked
    assert world.users_later() == {"render": {OLD}, "vercel": {OLD}}
    assert [world.run(stage) for stage in (Stage.ROLLBACK, Stage.RECOVER)] == [0, 0]
    assert len(world.mutations[name]) == asked


def test_a_release_in_its_middle_goes_back(tmp_path: Path) -> None:
    """Render serves the candidate and Vercel does not yet: Render goes back, Vercel is proven."""
    world = evening(tmp_path)
    world.render.serve_since_long(NEW)
    world.vercel.someone_stages(NEW)
    world.clock.sleep(10)
    assert world.ask() == 0
    assert world.mutations == {"render": [("roll_back", OLD)], "vercel": []}
    assert world.users_later() == {"render": {OLD}, "vercel": {OLD}}


def test_a_deploy_on_its_way_is_stopped(tmp_path: Path) -> None:
    """A deploy on its way is cancelled and seen ended; what serves is proven, and was never gone back to."""
    world = evening(tmp_path, "render")
    world.render.someone_deploys(NEW)
    assert "stop 3333333" not in world.look()
    assert world.ask() == 0
    assert world.mutations == {"render": [("cancel", "dep-3")]}
    assert world.states == {"render": KEPT}
    assert world.result is Result.NEVER_STARTED
    assert world.users_later() == {"render": {OLD}}


def test_a_second_tap_after_a_stopped_deploy_goes_nowhere(tmp_path: Path) -> None:
    """Asked for again after a deploy was stopped, what serves is proven again: users are not taken further back."""
    world = evening(tmp_path, "render")
    world.render.someone_deploys(NEW)
    assert [world.ask(), world.ask()] == [0, 0]
    assert world.mutations == {"render": [("cancel", "dep-3")]}
    assert world.users_later() == {"render": {OLD}}


def test_a_deploy_that_cannot_be_stopped_is_not_proven(tmp_path: Path) -> None:
    """A deploy that ignores its cancellation, and would come later, is 13."""
    world = evening(tmp_path, "render")
    world.render.slow, world.render.cancel_ignored = {NEW: 10_000}, True
    world.render.someone_deploys(NEW)
    assert world.ask() == 13
    assert "may still go live" in world.reason
    assert world.result is Result.STILL_BROKEN


def test_a_promotion_on_its_way_is_taken_back(tmp_path: Path) -> None:
    """Users on their way to a promoted deployment come back, and stay."""
    world = evening(tmp_path, "vercel")
    world.vercel.someone_stages(NEW)
    world.clock.sleep(10)
    world.vercel.move_s = 60
    world.vercel.someone_promotes(NEW)
    assert world.ask() == 0
    assert world.mutations == {"vercel": [("roll_back", OLD)]}
    assert world.users_later() == {"vercel": {OLD}}


@pytest.mark.parametrize("coming", [NEW, NEWER])
def test_what_would_come_after_is_stopped_first(tmp_path: Path, coming: Sha) -> None:
    """A deploy on its way beside the bad release, of the same commit too, is cancelled before users go back."""
    world = night(tmp_path, "render")
    world.render.someone_deploys(coming)
    assert "stop dep-4" in world.look(OLD)
    assert world.ask(OLD) == 0
    assert world.mutations == {"render": [("cancel", "dep-4"), ("roll_back", OLD)]}
    assert world.users_later() == {"render": {OLD}}
    assert [world.run(stage) for stage in (Stage.ROLLBACK, Stage.RECOVER)] == [0, 0]
    assert len(world.mutations["render"]) == 2


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"cancel_ignored": True, "slow": {NEWER: 10_000}}, "has not ended"),
        ({"cancel_ignored": True}, "went live before it could be stopped"),
        ({"refuses": {"cancel": PlatformError("no")}}, "may still go live: no"),
    ],
)
def test_what_would_come_after_cannot_be_stopped(tmp_path: Path, fault: dict[str, object], said: str) -> None:
    """Where a deploy on its way cannot be stopped, nothing else is done, and the exit is 13."""
    world = night(tmp_path, "render")
    for name, value in fault.items():
        setattr(world.render, name, value)
    world.render.someone_deploys(NEWER)
    assert world.ask(OLD) == 13
    assert said in world.reason
    assert world.render.asked("roll_back") == []
    assert world.result is Result.STILL_BROKEN


@pytest.mark.parametrize("carried_out", [True, False])
def test_a_cancel_without_an_answer_is_looked_at(tmp_path: Path, carried_out: bool) -> None:
    """What counts of a cancellation is what the platform says of the deploy."""
    world = night(tmp_path, "render")
    world.render.unknown_outcome = {"cancel": carried_out}
    world.render.someone_deploys(NEWER)
    assert world.ask(OLD) == (0 if carried_out else 13)


@EACH
def test_a_return_that_has_begun_is_awaited(tmp_path: Path, name: str) -> None:
    """A rollback that somebody has begun is proven, and not asked for a second time."""
    world = night(tmp_path, name)
    world.vercel.move_s = 20
    world.clouds[name].someone_rolls_back(OLD)
    assert world.users == {name: {NEW}}
    assert world.ask() == 0
    assert world.mutations == {name: []}
    assert world.states == {name: WENT_BACK}
    assert world.users_later() == {name: {OLD}}


@EACH
def test_a_return_to_another_commit_stands(tmp_path: Path, name: str) -> None:
    """A rollback to another commit that somebody has begun is not crossed."""
    world = night(tmp_path, name)
    world.vercel.move_s = 20
    world.clouds[name].someone_rolls_back(OLD)
    assert "wait until it has ended" in world.refuse(OLDER).next_step
    world.clock.sleep(60)
    assert world.users_later() == {name: {OLD}}


UNPROVEN = [
    ("render", {"rollback_without_effect": True}),
    ("render", {"rollback_fails": True}),
    ("render", {"refuses": {"roll_back": PlatformError("no longer kept")}}),
    ("render", {"refuses": {"roll_back": PlatformUnreachable("gone")}}),
    ("render", {"unknown_outcome": {"roll_back": False}}),
    ("vercel", {"rollback_without_effect": True}),
    ("vercel", {"rollback_never_ends": True}),
    ("vercel", {"refuses": {"roll_back": ConfigError("the CLI is not installed")}}),
    ("vercel", {"unknown_outcome": {"roll_back": False}}),
]


@pytest.mark.parametrize(("name", "fault"), UNPROVEN)
def test_what_is_not_done_is_not_proven(tmp_path: Path, name: str, fault: dict[str, object]) -> None:
    """A rollback that was accepted and not done, refused or lost is 13; the other target is back all the same."""
    world = night(tmp_path)
    for attribute, value in fault.items():
        setattr(world.clouds[name], attribute, value)
    assert world.ask() == 13
    assert world.result is Result.STILL_BROKEN
    other = "vercel" if name == "render" else "render"
    assert world.users[other] == {OLD}
    assert world.states[other] == WENT_BACK
    assert world.users[name] == {NEW}


@pytest.mark.parametrize(("name", "fault"), UNPROVEN)
def test_what_was_not_done_is_done_when_asked_again(tmp_path: Path, name: str, fault: dict[str, object]) -> None:
    """When the platform works again, asking again from an empty folder ends on the same commit, proven."""
    world = night(tmp_path, name)
    for attribute, value in fault.items():
        setattr(world.clouds[name], attribute, value)
    assert world.ask() == 13
    healthy = {"rollback_without_effect": False, "rollback_fails": False, "rollback_never_ends": False}
    for attribute in fault:
        setattr(world.clouds[name], attribute, healthy.get(attribute, {}))
    (world.folder / NAME).unlink()
    stuck = "rollback_without_effect" in fault and name == "vercel"  # it says that users are there: nothing to ask for
    never = "rollback_never_ends" in fault
    assert world.ask() == (13 if stuck or never else 0)
    assert world.users == {name: {NEW if stuck or never else OLD}}


@EITHER
def test_the_old_release_is_sick_too(tmp_path: Path, targets: tuple[str, ...]) -> None:
    """A destination that answers and fails its checks is 13: it serves, and a person is needed."""
    world = night(tmp_path, *targets)
    world.render.sick = world.vercel.sick = {OLD, NEW}
    assert world.ask() == 13
    assert world.users == {name: {OLD} for name in targets}
    assert world.result is Result.STILL_BROKEN


@EACH
def test_someone_else_is_faster(tmp_path: Path, name: str) -> None:
    """Someone who moves production between the look and the change is left alone: 10, superseded."""
    world = night(tmp_path, name)
    world.takes_s = 20
    world.clouds[name].at(15, lambda: world.clouds[name].serve_since_long(NEWER))
    assert world.ask() == 10
    assert world.verdicts[Stage.ROLLBACK].superseded
    assert world.mutations == {name: []}
    assert world.states == {name: LEFT}
    assert world.result is Result.SUPERSEDED


@EITHER
def test_a_dry_run_only_reads(tmp_path: Path, targets: tuple[str, ...]) -> None:
    """A dry run says from what to what each target would go, and touches neither platform nor folder."""
    world = night(tmp_path, *targets)
    told = world.look().splitlines()
    assert told[0] == f"because {WHO} asked for it: {WHY}"
    ids = {"render": "dep", "vercel": "dpl"}
    for name, line in zip(targets, told[1:], strict=True):
        gone, there = f"{NEW[:7]} (deploy {ids[name]}-3)", f"{OLD[:7]} (deploy {ids[name]}-2)"
        assert line == f"{name}: would go back from {gone} to {there}, and prove it"
    assert not world.folder.exists()


def test_a_dry_run_tells_every_way(tmp_path: Path) -> None:
    """A dry run tells apart what is proven, stopped, awaited and hooked."""
    world = night(tmp_path, "render")
    assert world.look(NEW).endswith(f"would only prove that {NEW[:7]} (deploy dep-3) serves")
    world.render.someone_deploys(NEWER)
    assert f"would stop {NEWER[:7]} (deploy dep-4), which is on its way, and prove that {NEW[:7]}" in world.look()
    assert f"would stop dep-4 of {NEWER[:7]}, then go back from {NEW[:7]}" in world.look(OLD)
    other = night(tmp_path / "other", "render")
    other.render.someone_rolls_back(OLD)
    assert "by dep-4, which has begun" in other.look()
    other.render.has_key = False
    assert other.look(OLD).endswith(f"would go back from {NEW[:7]} to {OLD[:7]}, by the deploy hook, and prove it")


def test_a_dry_run_refuses_what_the_real_one_would(tmp_path: Path) -> None:
    """A dry run in another release's folder is refused as the real one is."""
    world = night(tmp_path, "render")
    journal = world.ports().journal
    journal.append(Kind.STAGE_STARTED, stage=Stage.DEPLOY)
    journal.append(Kind.RELEASE, commit=NEWER, run_id="1", started_at=BEGIN.isoformat(), targets=["render"])
    journal.append(Kind.INTENT, "render", action="deploy", commit=NEWER, known=[])
    with pytest.raises(UsageError, match="has begun and not ended"):
        world.look()
    assert "has begun and not ended" in world.refuse().what


def test_the_folder_of_an_ended_release_is_put_aside(tmp_path: Path) -> None:
    """A release that ended in the folder is kept beside, and the rollback by hand has a journal of its own."""
    world = evening(tmp_path)
    world.config = world.config.model_copy(update={"probe": ProbeSection()})
    assert world.run_release() == 0
    assert world.ask() == 0
    assert world.users == {"render": {OLD}, "vercel": {OLD}}
    assert len(list((world.folder / "past").iterdir())) == 1
    assert world.result is Result.ROLLED_BACK


def test_the_folder_of_the_bad_release_itself(tmp_path: Path) -> None:
    """The journal of the very release that goes is put aside too, begun or not: the platforms tell what it left."""
    world = evening(tmp_path)
    assert world.run_forward(until=Stage.PROMOTE) == 0
    assert world.ask() == 0
    assert world.users == {"render": {OLD}, "vercel": {OLD}}
    assert world.result is Result.ROLLED_BACK


@pytest.mark.parametrize("names_instances", [True, False])
@pytest.mark.parametrize("instances", [1, 3])
def test_without_a_key_the_hook_goes_back(tmp_path: Path, names_instances: bool, instances: int) -> None:
    """Without a key the named commit is hooked, once, and the service alone proves it; asked again, it proves again."""
    world = night(tmp_path, "render")
    world.render.has_key, world.render.names_instances, world.render.instances = False, names_instances, instances
    world.render.serve_since_long(NEW)
    assert "without an API key" in world.refuse().what
    assert world.ask(OLD) == 0
    assert world.mutations == {"render": [("deploy", OLD)]}
    assert world.state.targets["render"].baseline is not None
    assert [world.run(stage) for stage in (Stage.ROLLBACK, Stage.RECOVER)] == [0, 0]
    assert world.ask(OLD) == 0
    assert world.mutations == {"render": [("deploy", OLD)]}
    assert world.users_later() == {"render": {OLD}}


def test_without_a_key_a_hook_without_effect_is_not_proven(tmp_path: Path) -> None:
    """Without a key a hook that brings nothing is 13."""
    world = night(tmp_path, "render")
    world.render.has_key, world.render.live_without_traffic = False, {OLD}
    assert world.ask(OLD) == 13
    assert world.result is Result.STILL_BROKEN


def test_without_a_key_and_an_answer_a_person_has_to_look(tmp_path: Path) -> None:
    """Without a key nobody but the service can say what serves; where it cannot, the dashboard is left."""
    world = night(tmp_path, "render")
    world.render.has_key, world.render.nameless = False, {NEW}
    assert "dashboard" in world.refuse(OLD).next_step
    world.render.nameless, world.render.serving = set(), []
    assert "dashboard" in world.refuse(OLD).next_step


def test_without_a_key_a_service_that_sleeps_is_woken(tmp_path: Path) -> None:
    """Without a key a sleeping service is given the time to wake and say what it is."""
    world = night(tmp_path, "render")
    world.render.has_key, world.render.asleep_s = False, 8
    assert world.ask(OLD) == 0


def test_without_a_key_on_one_of_both(tmp_path: Path) -> None:
    """With a key for one target only, the named commit goes by the hook there and by its platform here."""
    world = night(tmp_path)
    world.render.has_key = False
    assert world.ask(OLD) == 0
    assert world.mutations == {"render": [("deploy", OLD)], "vercel": [("roll_back", OLD)]}


@EACH
def test_a_platform_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    """Where a platform cannot be read nothing is done anywhere: 12, and the way is to choose the other target."""
    world = night(tmp_path)
    world.clouds[name].api_is_down(3600)
    error = world.refuse()
    other = "vercel" if name == "render" else "render"
    assert (error.exit_code, error.what.startswith(f"{name}: ")) == (12, True)
    assert f"--target {other}" in error.next_step
    world.names = (other,)
    assert world.ask() == 0


def test_a_short_outage_is_waited_out(tmp_path: Path) -> None:
    """An API that cannot be reached for some seconds delays the look only."""
    world = night(tmp_path)
    world.render.api_is_down(20)
    assert world.ask() == 0


def test_a_suspended_service(tmp_path: Path) -> None:
    """A suspended service is not gone back: 12, with what to do about it."""
    world = night(tmp_path)
    world.render.suspended = True
    error = world.refuse()
    assert (error.exit_code, "suspended" in error.what) == (12, True)
    assert "resume" in error.next_step
    assert "--target vercel" in error.next_step


def test_what_hinders_releases_does_not_hinder_a_rollback(tmp_path: Path) -> None:
    """A project's setting that keeps releases from it is told, and users go back all the same."""
    world = night(tmp_path, "vercel")
    world.vercel.hindrance = "the project has rolling releases"
    assert world.ask() == 0
    assert "rolling releases" in world.told.getvalue()


def test_hold_does_not_hold_what_a_person_asks_for(tmp_path: Path) -> None:
    """Neither `on_unproven = hold` nor targets that go alone change a rollback by hand."""
    world = evening(tmp_path, on_unproven="hold", together=False)
    for cloud in world.clouds.values():
        cloud.serve_since_long(NEW)
    assert world.ask() == 0
    assert world.users == {"render": {OLD}, "vercel": {OLD}}
    assert [world.run(stage) for stage in (Stage.ROLLBACK, Stage.RECOVER)] == [0, 0]


def test_the_journals_rollback_says_who_and_why(tmp_path: Path) -> None:
    """What continues a rollback by hand, and its dry run, gives the person's reason."""
    world = night(tmp_path)
    assert world.ask() == 0
    assert f"because {WHO} asked for it: {WHY}" in preview("rollback", world.state, "roll_back")
    assert as_json(world.state)["commit"] == NEW


def cut_at(world: Night, at: int, error: type[BaseException]) -> bool:
    """Ask, and be cut at a call; say whether the cut came."""
    world.cut.arm(at, error)
    try:
        world.ask()
    except Killed:
        world.cut.disarm()
        return True
    return not world.cut.disarm()


SOME = (17, 31, 45)
EVERY = pytest.param(range(1, 200), marks=pytest.mark.slow)


@pytest.mark.parametrize("moments", [SOME, EVERY])
@pytest.mark.parametrize("error", [KeyboardInterrupt, Killed])
def test_cut_anywhere_and_asked_again(tmp_path: Path, error: type[BaseException], moments: Iterable[int]) -> None:
    """Wherever a run is cut, asking again in a fresh checkout ends on the old release, proven, and never beyond."""
    for at in moments:
        world = night(tmp_path / str(at))
        if not cut_at(world, at, error):
            break
        world.folder = world.folder.with_name("fresh")
        assert world.ask() == 0, at
        assert world.users_later() == {"render": {OLD}, "vercel": {OLD}}, at
        assert max(map(len, world.mutations.values())) <= 1, at


@pytest.mark.parametrize("moments", [SOME, EVERY])
@pytest.mark.parametrize("verb", [Stage.ROLLBACK, Stage.RECOVER])
def test_cut_anywhere_and_continued(tmp_path: Path, verb: Stage, moments: Iterable[int]) -> None:
    """Wherever a run is cut, its journal is continued without harm: back and proven, or nothing was begun."""
    for at in moments:
        world = night(tmp_path / str(at))
        if not cut_at(world, at, Killed):
            break
        planned = world.state.passed(Stage.PLAN)
        code = world.run(verb)
        assert code == 0 or not planned, at
        assert world.users_later() == {name: {OLD if planned else NEW} for name in world.names}
        assert max(map(len, world.mutations.values())) <= 1, at


def meddle(world: Night, name: str, dice: random.Random) -> None:
    """Let a person do something on a target."""
    cloud = world.clouds[name]
    commit, had = dice.choice([OLDER, OLD, NEW, NEWER]), dice.choice([OLDER, OLD])
    acts: list[Callable[[], object]] = [lambda: world.clock.sleep(dice.choice([1, 5, 30]))]
    if isinstance(cloud, Cloud):
        acts += [lambda: cloud.someone_deploys(commit), lambda: cloud.someone_rolls_back(had)]
    else:
        acts += [lambda: cloud.someone_stages(NEWER), lambda: cloud.someone_promotes(had)]
    dice.choice(acts)()


@pytest.mark.parametrize("seeds", [range(8), pytest.param(range(8, 400), marks=pytest.mark.slow)])
def test_whatever_people_have_done(tmp_path: Path, seeds: Iterable[int]) -> None:
    """Whatever went before: 0 is one commit for all users for good, now and when asked again; 2 has touched nothing."""
    for seed in seeds:
        dice = random.Random(seed)
        world = evening(tmp_path / str(seed), *dice.choice([("render",), ("vercel",), ("render", "vercel")]))
        for name in world.names:
            for _ in range(dice.randrange(5)):
                meddle(world, name, dice)
        to = dice.choice(["", "", OLD, OLDER])
        code = world.ask(to)
        if code == 13:
            assert "went live before it could be stopped" in world.reason, seed
            code = world.ask(to)
        assert code in {0, 2}, seed
        if code == 2:
            assert not any(world.mutations.values()), seed
            continue
        (users,) = {frozenset(users) for users in world.users.values()}
        world.folder = world.folder.with_name("fresh")
        assert world.ask(to) == 0, seed
        assert world.users_later() == {name: set(users) for name in world.names}, seed
        assert len(users) == 1, seed
        assert users == {to or next(iter(users))}, seed


def asked_as(*words: str, **environment: str) -> by_hand.Order:
    """Read an order from the words of a command line."""
    return by_hand.order_of(build_parser().parse_args(["rollback", *words]), environment)


@pytest.mark.parametrize("verb", STAGE_VERBS)
def test_other_verbs_are_not_by_hand(verb: str) -> None:
    """No verb without a reason is a rollback by hand, also where its arguments have no such word."""
    assert not by_hand.is_asked(build_parser().parse_args([verb]))
    assert not by_hand.is_asked(argparse.Namespace(verb=verb))
    assert by_hand.is_asked(argparse.Namespace(verb=verb, reason="")) is (verb == "rollback")


@pytest.mark.parametrize("words", [("--reason", "x"), ("--reason", ""), ("--to", "abc")])
def test_what_is_by_hand(words: tuple[str, ...]) -> None:
    """A reason, a blank one too, makes it one by hand; so does a destination, which no other rollback would heed."""
    assert by_hand.is_asked(build_parser().parse_args(["rollback", *words]))


@pytest.mark.parametrize("reason", ["", "   ", "\n\t", "\u200b\u2028\u202e", "\x1b\x00"])
def test_a_blank_reason(reason: str) -> None:
    """A reason that shows nothing is none: exit 2."""
    with pytest.raises(UsageError, match="needs a reason") as caught:
        asked_as(f"--reason={reason}")
    assert caught.value.exit_code == 2
    with pytest.raises(UsageError, match="needs a reason"):
        asked_as("--to", OLD)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("it is bad", "it is bad"),
        (" it\r\n::error::is  bad\x1b[31m ", "it ::error::is bad [31m"),
        ("it\u202eis\u2028bad\udcff", "it is bad"),
        ("ö 漢 🚑", "ö 漢 🚑"),
        ("a" * 500, "a" * 500),
        ("a " * 249 + "aa", "a " * 249 + "aa"),
        ("a " * 249 + "aaa", "a " * 248 + "a…"),
        ("b " * 3000, "b " * 249 + "b…"),
        ("a" * 501, "…"),
    ],
)
def test_a_reason_is_one_short_line(text: str, line: str) -> None:
    """A reason is one line without control characters, cut between words, so that no half of a secret is left."""
    assert asked_as(f"--reason={text}").reason == line


@pytest.mark.parametrize(
    ("words", "environment", "by"),
    [
        ((), {}, "nobody named"),
        ((), {"GITHUB_ACTOR": "octocat"}, "octocat"),
        (("--by", "a\nb"), {"GITHUB_ACTOR": "octocat"}, "a b"),
        (("--by", "  "), {"GITHUB_ACTOR": "octocat"}, "nobody named"),
        (("--by", ""), {"GITHUB_ACTOR": "\x07"}, "nobody named"),
    ],
)
def test_who_asks(words: tuple[str, ...], environment: dict[str, str], by: str) -> None:
    """Who asks is named by the command line, else by GitHub, else nobody is."""
    assert asked_as("--reason", "x", *words, **environment).by == by


def test_which_run_asks() -> None:
    """An order knows the run and the attempt that it came with."""
    assert asked_as("--reason", "x", GITHUB_RUN_ID="7", GITHUB_RUN_ATTEMPT="2").run_id == "7-2"
    assert asked_as("--reason", "x").run_id.startswith("local-")


@pytest.mark.parametrize("to", ["--help", "-x", "a\x00b", "a\nb", "\u202eabc", "a" * 101, "\udcff"])
def test_a_destination_that_is_no_name(to: str) -> None:
    """What could not be a commit or a deploy id is exit 2, before git or a platform is asked."""
    with pytest.raises(UsageError, match="neither a commit nor a deploy id"):
        asked_as("--reason", "x", f"--to={to}")
    assert asked_as("--reason", "x", "--to", f" {OLD}\n").to == OLD


class TinyRender(BaseHTTPRequestHandler):
    """Render's API and the service behind it, on loopback: a rollback is live at once."""

    deploys: list[dict[str, object]]
    asked: list[str]

    def _answer(self) -> None:
        length = int(self.headers["content-length"] or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        path = self.path.split("?")[0].removeprefix("/v1/services/srv-abc123")
        if self.command != "GET":
            type(self).asked.append(f"{self.command} {path}")
        told = json.dumps(self._tell(path, body)).encode()
        self.send_response(201 if path == "/rollback" else 200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def _tell(self, path: str, body: dict[str, str]) -> object:
        by_id = {row["id"]: row for row in self.deploys}
        live = next(row for row in self.deploys if row["status"] == "live")
        match path.split("/")[1:]:
            case ["version"]:
                commit = live["commit"]
                return {"commit": commit["id"] if isinstance(commit, dict) else None, "instance": live["id"]}
            case ["deploys"]:
                return [{"deploy": row, "cursor": ""} for row in self.deploys]
            case ["deploys", name]:
                return by_id[name]
            case ["rollback"]:
                live["status"] = "deactivated"
                again = {"id": "dep-new", "status": "live", "trigger": "rollback"}
                self.deploys.insert(0, {**by_id[body["deployId"]], **again})
                return self.deploys[0]
            case _:
                return {"status": "ready", "suspended": "not_suspended", "serviceDetails": {"numInstances": 1}}

    do_GET = do_POST = do_PATCH = _answer  # noqa: N815 - the names are those of http.server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in http.server
        """Stay silent."""


HOOK_KEY, API_KEY = "hk-aB3xYz9Q", "rnd_5Zq8wKx1"
ENVIRONMENT = {
    "RENDER_DEPLOY_HOOK_URL": f"https://api.render.com/deploy/srv-abc123?key={HOOK_KEY}",
    "RENDER_API_KEY": API_KEY,
    "GITHUB_ACTIONS": "true",
    "GITHUB_ACTOR": WHO,
}


def commit_to(folder: Path) -> Sha:
    """Commit once more, and give the id."""
    who = ("-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
    git = ("git", "-C", str(folder), *who)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "one"], check=True)
    told = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return Sha(told.stdout.strip())


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[TinyRender]]:
    """Be in a checkout of two commits, of which the second one is live and the first one was."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "*")
    subprocess.run(["git", "-C", str(tmp_path), "init", "--quiet"], check=True)
    commits = [commit_to(tmp_path) for _ in range(2)]

    class Handler(TinyRender):
        asked: list[str] = []  # noqa: RUF012 - one list for each server
        deploys = [  # noqa: RUF012
            {"id": f"dep-{number}", "commit": {"id": commit}, "status": status, "trigger": "deploy_hook"}
            for number, commit, status in ((2, commits[1], "live"), (1, commits[0], "deactivated"))
        ]

    before = signal.getsignal(signal.SIGTERM)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        check = '[[checks]]\nname = "ready"\npath = "/health/ready"\n'
        text = f'version = 1\n[probe]\nrate_per_s = 100\n[render]\nurl = "{url}"\napi_url = "{url}/v1"\n{check}'
        (tmp_path / "slipway.toml").write_text(text)
        monkeypatch.chdir(tmp_path)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield Handler
        finally:
            server.shutdown()
            thread.join()
            signal.signal(signal.SIGTERM, before)


def test_the_command_line(tiny: type[TinyRender], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the workflow calls it: blank is exit 2, a dry run only reads, the real one is proven, no secret is told."""
    reason = f"--reason=::error::{API_KEY}\n##[x] <!channel>"
    form = ("--target=all", "--to=", reason)
    assert main(["rollback", "--target=all", "--to=", "--reason=  "], ENVIRONMENT) == 2
    assert "::error" in capsys.readouterr().err
    assert main(["rollback", *form, "--dry-run=true"], ENVIRONMENT) == 0
    dry = capsys.readouterr()
    assert "render: would go back from" in dry.out
    assert (tiny.asked, (tmp_path / ".slipway").exists()) == ([], False)

    assert main(["rollback", *form, "--dry-run=false", "--json"], ENVIRONMENT) == 0
    real = capsys.readouterr()
    assert json.loads(real.out)["outcome"] == "pass"
    assert tiny.asked == ["PATCH ", "POST /rollback"]
    assert main(["rollback", *form], ENVIRONMENT) == 0
    assert main(["rollback", "--to=dep-2", "--reason=x"], ENVIRONMENT) == 2
    assert len(tiny.asked) == 2

    written = "".join(path.read_text() for path in (tmp_path / ".slipway").rglob("*") if path.is_file())
    told = [dry.out, dry.err, real.out, real.err, written]
    assert not any(API_KEY in text for text in told)
    lines = [line for text in told[:4] for line in text.splitlines() if line.startswith("::")]
    assert all(line.startswith(("::add-mask::", "::warning ")) for line in lines)
