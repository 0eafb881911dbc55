"""Where a rollback by hand goes: every choice and every refusal, from what platforms and services say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scripts.checkout import Checkout
from scripts.errors import UsageError
from scripts.platforms import History
from scripts.release import Deployment, DeployState, Sha
from scripts.view import View
from scripts.way_back import Step, WayBack, choose_way_back

FIRST, SECOND, THIRD, FOURTH = (Sha(letter * 40) for letter in "1234")
ASIDE = Sha("5" * 40)
MAIN = (FIRST, SECOND, THIRD, FOURTH)
NIGHT = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
LIVE, OUT, BUILDS, QUEUED, FAILED, STAGED = (
    DeployState.LIVE,
    DeployState.RETIRED,
    DeployState.BUILDING,
    DeployState.QUEUED,
    DeployState.FAILED,
    DeployState.STAGED,
)


@dataclass(frozen=True)
class Main(Checkout):
    """A checkout whose HEAD is the newest commit of a line; ids may be short."""

    def resolve(self, text: str) -> Sha:
        """Give the commit of that name."""
        found = [commit for commit in (*MAIN, ASIDE) if commit.startswith(text)]
        if text == "HEAD":
            return FOURTH
        if not found:
            raise UsageError(f"commit {text!r} is not in this checkout")
        return found[0]

    def descends(self, commit: Sha, ancestor: Sha) -> bool:
        """Whether one comes after the other, or is it."""
        return commit == ancestor or (commit in MAIN and ancestor in MAIN and MAIN.index(commit) > MAIN.index(ancestor))


CHECKOUT = Main(Path())
Past = tuple[Sha | None, DeployState] | tuple[Sha | None, DeployState, str]


def history(*rows: Past, prefix: str = "dep") -> History:
    """Give a history from its rows, oldest first; the third word of a rollback is `rollback`."""
    deployments = [
        Deployment(f"{prefix}-{number}", row[0], row[1], is_rollback=row[2:] == ("rollback",))
        for number, row in enumerate(rows, 1)
    ]
    return History(tuple(reversed(deployments)))


def render(*rows: Past, answers: Sha | None = None) -> View:
    """Give a target that does not stage."""
    return View("render", stages=False, history=history(*rows), answers=answers)


def vercel(*rows: Past, **told: object) -> View:
    """Give a target that does."""
    return View("vercel", stages=True, history=replace(history(*rows, prefix="dpl"), **told))  # type: ignore[arg-type]


def blind(answers: Sha | None) -> View:
    """Give a target of which no key allows to look."""
    return View("render", stages=False, history=None, answers=answers)


def choose(*views: View, to: str = "") -> WayBack:
    """Choose."""
    return choose_way_back(views, to, CHECKOUT)


def refuse(*views: View, to: str = "") -> UsageError:
    """Choose what cannot be, and give the refusal."""
    with pytest.raises(UsageError) as caught:
        choose(*views, to=to)
    assert caught.value.exit_code == 2
    assert caught.value.next_step
    return caught.value


USUAL: tuple[Past, ...] = ((FIRST, OUT), (SECOND, OUT), (THIRD, LIVE))
BACK = Step("render", "dep-2", THIRD, "dep-3")


@pytest.mark.parametrize(
    ("view", "step"),
    [
        (render(*USUAL), BACK),
        (render(*USUAL, answers=THIRD), BACK),
        (render((FIRST, OUT), (SECOND, OUT), (SECOND, FAILED), (THIRD, LIVE)), Step("render", "dep-2", THIRD, "dep-4")),
        (render((FIRST, OUT), (SECOND, FAILED), (THIRD, LIVE)), Step("render", "dep-1", THIRD, "dep-3")),
        (render((FIRST, OUT), (THIRD, LIVE), (THIRD, FAILED)), Step("render", "dep-1", THIRD, "dep-2")),
        (render((FIRST, OUT), (THIRD, OUT), (THIRD, LIVE)), Step("render", "dep-1", THIRD, "dep-3")),
        (render((FIRST, OUT), (ASIDE, OUT), (THIRD, LIVE)), Step("render", "dep-1", THIRD, "dep-3")),
        (render((FIRST, OUT), (ASIDE, LIVE)), Step("render", "dep-1", ASIDE, "dep-2")),
        (
            render((FIRST, OUT), (SECOND, OUT), (FIRST, OUT, "rollback"), (THIRD, LIVE)),
            Step("render", "dep-3", THIRD, "dep-4"),
        ),
    ],
)
def test_the_last_proven_release(view: View, step: Step) -> None:
    """Without a name it is the newest other commit of main that served, was never rolled back, and is not newer."""
    way = choose(view)
    assert way.steps == (step,)
    assert (way.bad, way.moving) == (step.bad, ("render",))


@pytest.mark.parametrize(
    "view",
    [
        render((THIRD, LIVE)),
        render((SECOND, FAILED), (THIRD, LIVE)),
        render((ASIDE, OUT), (THIRD, LIVE)),
        render((None, OUT), (THIRD, LIVE)),
        render((THIRD, OUT), (None, OUT), (SECOND, LIVE)),
        render((SECOND, OUT), (ASIDE, OUT, "rollback"), (THIRD, LIVE)),
    ],
)
def test_no_earlier_release(view: View) -> None:
    """Where nothing else may serve again it is refused: nothing served, not on main, not named, newer, rolled back."""
    error = refuse(view)
    assert "no earlier release" in error.what


@pytest.mark.parametrize(
    "view",
    [
        render((FIRST, OUT), (SECOND, OUT), (THIRD, OUT), (SECOND, LIVE, "rollback")),
        render((FIRST, OUT), (SECOND, OUT), (THIRD, OUT), (SECOND, LIVE, "rollback"), (SECOND, BUILDS)),
        render((FIRST, OUT), (THIRD, OUT), (SECOND, LIVE)),
        render((FIRST, OUT), (THIRD, OUT), (SECOND, OUT, "rollback"), (SECOND, LIVE)),
        render((FIRST, OUT), (SECOND, LIVE), (THIRD, DeployState.CANCELED)),
        vercel((FIRST, OUT), (SECOND, LIVE), (THIRD, OUT), rolled_back_at=NIGHT, moved_from="dpl-3"),
        vercel((FIRST, OUT), (SECOND, LIVE), (THIRD, OUT), moved_from="dpl-3"),
    ],
)
def test_never_a_rollback_of_a_rollback(view: View) -> None:
    """Asked for twice without a name, the second one only proves what the first one came to."""
    way = choose(view)
    assert (way.commit, way.bad, way.moving) == (SECOND, SECOND, ())


@pytest.mark.parametrize("stopped", [SECOND, FIRST])
def test_a_stopped_deploy_of_nothing_newer_is_no_return(stopped: Sha) -> None:
    """Only a newer release that was stopped leaves what serves as what was chosen to stay."""
    view = render((FIRST, OUT), (SECOND, LIVE), (stopped, DeployState.CANCELED))
    assert choose(view).commit == FIRST


def test_a_failed_deploy_is_no_return() -> None:
    """A newer release that failed by itself says nothing about the one that serves."""
    assert choose(render((FIRST, OUT), (SECOND, LIVE), (THIRD, FAILED))).commit == FIRST


def test_after_a_rollback_one_may_be_named() -> None:
    """Further back goes only what is named."""
    view = render((FIRST, OUT), (SECOND, OUT), (THIRD, OUT), (SECOND, LIVE, "rollback"))
    assert choose(view, to=FIRST).steps == (Step("render", "dep-1", SECOND, "dep-4"),)


def test_where_users_are_moved_the_last_move_tells_the_order() -> None:
    """A newer deployment than the one that had the users last was rolled back, though the platform forgot it."""
    rows: tuple[Past, ...] = ((FIRST, OUT), (SECOND, OUT), (THIRD, OUT), (FOURTH, LIVE))
    assert choose(vercel(*rows, moved_from="dpl-2")).commit == SECOND
    assert choose(vercel(*rows, moved_from="dpl-3")).commit == THIRD
    assert choose(vercel(*rows)).commit == THIRD


@pytest.mark.parametrize("coming", [BUILDS, QUEUED, DeployState.STARTING])
def test_what_is_on_its_way_goes(coming: DeployState) -> None:
    """A deploy of another commit that is on its way is what goes; what serves now is the destination."""
    way = choose(render((FIRST, OUT), (SECOND, LIVE), (THIRD, coming)))
    assert (way.commit, way.bad) == (SECOND, THIRD)
    assert way.steps == (Step("render", "dep-2", THIRD, "dep-3", keeps=True),)


def test_what_serves_may_be_off_main_when_it_stays() -> None:
    """To stop a deploy nothing has to be on main: nothing is moved there."""
    assert choose(render((ASIDE, LIVE), (THIRD, BUILDS))).commit == ASIDE


def test_all_that_is_on_its_way_is_stopped() -> None:
    """Two deploys on their way: the newest is the one that goes, and the other is stopped before."""
    way = choose(render((SECOND, LIVE), (THIRD, BUILDS), (FOURTH, QUEUED)))
    (step,) = way.steps
    assert (step.bad_id, step.keeps, [row.id for row in step.beside]) == ("dep-3", True, ["dep-2"])


def test_the_same_commit_again_on_its_way() -> None:
    """What serves is bad and is being deployed once more: that is stopped first, or it would come after the return."""
    (step,) = choose(render((SECOND, OUT), (THIRD, LIVE), (THIRD, BUILDS))).steps
    assert (step.to_id, step.bad, step.bad_id) == ("dep-1", THIRD, "dep-2")
    assert [row.id for row in step.beside] == ["dep-3"]


def test_what_comes_is_stopped_where_another_is_named() -> None:
    """Named, the destination is neither what serves nor what comes: both go."""
    (step,) = choose(render((SECOND, OUT), (THIRD, LIVE), (FOURTH, BUILDS)), to=SECOND).steps
    assert (step.bad, step.bad_id, step.keeps) == (THIRD, "dep-2", False)
    assert [row.id for row in step.beside] == ["dep-3"]


@pytest.mark.parametrize("to", ["", SECOND, "22222"])
@pytest.mark.parametrize("kind", ["rollback", "hook"])
def test_a_return_that_has_begun_is_adopted(to: str, kind: str) -> None:
    """A rollback on its way, or an older commit that served, is a return itself: it is awaited, not asked for again."""
    (step,) = choose(render((SECOND, OUT), (THIRD, LIVE), (SECOND, BUILDS, kind)), to=to).steps
    assert step == Step("render", "dep-1", THIRD, "dep-2", adopts=("dep-3",))


def test_all_of_the_destination_that_has_begun_is_adopted() -> None:
    """Several deploys of the destination that are on their way are all its own, whether it serves already or not."""
    (step,) = choose(render((SECOND, LIVE), (THIRD, BUILDS), (SECOND, QUEUED, "rollback"))).steps
    assert (step.bad_id, step.keeps, step.adopts) == ("dep-2", True, ("dep-3",))
    (step,) = choose(render((SECOND, OUT), (THIRD, LIVE), (SECOND, BUILDS, "rollback"), (SECOND, QUEUED))).steps
    assert (step.bad_id, step.keeps, step.adopts) == ("dep-2", False, ("dep-4", "dep-3"))


@pytest.mark.parametrize("to", [FIRST, THIRD])
def test_a_return_that_has_begun_is_not_crossed(to: Sha) -> None:
    """A return to another commit that is on its way is never stopped, whatever is named."""
    error = refuse(render((FIRST, OUT), (SECOND, OUT), (THIRD, LIVE), (SECOND, BUILDS, "rollback")), to=to)
    assert "render dep-4 of 2222222" in error.what
    assert "wait" in error.next_step


def test_users_that_are_moved_at_this_moment() -> None:
    """Where a promotion is under way it goes; where another commit than the two is named, it is waited for."""
    view = vercel((FIRST, OUT), (SECOND, LIVE), (THIRD, STAGED), moving_to="dpl-3", moved_from="dpl-2")
    assert choose(view).steps == (Step("vercel", "dpl-2", THIRD, "dpl-3", keeps=True),)
    assert "vercel dpl-3" in refuse(view, to=FIRST).what


def test_a_return_of_users_is_adopted() -> None:
    """Users on their way back are awaited; the deployment that gets them is the destination."""
    told = {"moving_to": "dpl-1", "moved_from": "dpl-3", "rolled_back_at": NIGHT}
    view = vercel((SECOND, OUT), (SECOND, OUT), (THIRD, LIVE), **told)
    (step,) = choose(view).steps
    assert (step.to_id, step.bad_id, step.adopts) == ("dpl-1", "dpl-3", ("dpl-1",))
    assert "vercel dpl-1" in refuse(view, to=THIRD).what


def test_a_build_that_gets_no_users_is_left_alone() -> None:
    """On a platform that stages, a build is not on its way to users."""
    assert choose(vercel((SECOND, OUT), (THIRD, LIVE), (FOURTH, BUILDS))).steps[0].beside == ()


@pytest.mark.parametrize("to", ["", SECOND])
def test_a_rollback_without_effect_is_asked_for_again(to: str) -> None:
    """The platform calls the old release live and the new one answers: the new one goes, and nothing older serves."""
    view = render((FIRST, OUT), (SECOND, OUT), (THIRD, OUT), (SECOND, LIVE, "rollback"), answers=THIRD)
    assert choose(view, to=to).steps == (Step("render", "dep-4", THIRD, "dep-3"),)


@pytest.mark.parametrize("to", ["", SECOND])
def test_a_release_without_traffic_goes(to: str) -> None:
    """The platform calls the new release live and the old one answers still: the newer one goes."""
    assert choose(render(*USUAL, answers=SECOND), to=to).steps == (BACK,)


def test_an_older_hook_without_effect() -> None:
    """Of two commits that platform and service name, the newer one is what goes, however the other came."""
    view = render((FIRST, OUT), (SECOND, OUT), (THIRD, OUT), (SECOND, LIVE), answers=THIRD)
    assert choose(view).commit == SECOND


def test_a_stranger_that_answers_is_not_believed() -> None:
    """A commit that the platform never served does not decide; that it answers is found when the target is proven."""
    assert choose(render(*USUAL, answers=ASIDE)).steps == (BACK,)


NAMED = render((FIRST, OUT), (SECOND, OUT), (FOURTH, FAILED), (THIRD, LIVE))


@pytest.mark.parametrize(
    ("to", "found"),
    [(FIRST, "dep-1"), ("1111111", "dep-1"), ("dep-1", "dep-1"), (SECOND, "dep-2"), ("dep-2", "dep-2")],
)
def test_a_name(to: str, found: str) -> None:
    """A commit, short or full, or a deploy id that served is what is gone back to."""
    assert choose(NAMED, to=to).steps == (Step("render", found, THIRD, "dep-4"),)


@pytest.mark.parametrize("to", [THIRD, "dep-4"])
def test_a_name_that_serves_already(to: str) -> None:
    """What serves already is only proven."""
    way = choose(NAMED, to=to)
    assert (way.commit, way.bad, way.steps) == (THIRD, THIRD, (Step("render", "dep-4"),))


@pytest.mark.parametrize(
    ("view", "to", "what", "step"),
    [
        (NAMED, FOURTH, "4444444 has never served on render", "release.yml"),
        (NAMED, ASIDE, "5555555 is not on main", "--to"),
        (NAMED, "dep-3", "render dep-3 is failed: it never served", "--to"),
        (NAMED, "dep-9", "dep-9 is no deployment that render lists", "--to"),
        (NAMED, "dpl_9xYz", "dpl_9xYz is no deployment that render lists", "--to"),
        (render((ASIDE, OUT), (THIRD, LIVE)), "dep-1", "5555555 is not on main", "--to"),
        (
            render((FIRST, OUT), (SECOND, OUT), (FIRST, LIVE, "rollback")),
            SECOND,
            "2222222 was rolled back on render before",
            "again",
        ),
        (
            render((FIRST, OUT), (SECOND, OUT), (FIRST, LIVE, "rollback")),
            "dep-2",
            "2222222 was rolled back on render before",
            "again",
        ),
        (render((SECOND, OUT), (SECOND, LIVE)), "dep-1", "of the same commit as dep-1", "dashboard"),
    ],
)
def test_a_name_that_may_not_serve(view: View, to: str, what: str, step: str) -> None:
    """What never served, was rolled back, or is not on main is refused, with the next step."""
    error = refuse(view, to=to)
    assert what in error.what
    assert step in error.next_step
    assert "Nothing was changed" in error.means


def test_a_commit_that_is_not_here() -> None:
    """A name that is no commit of the checkout is the checkout's own refusal."""
    with pytest.raises(UsageError, match="not in this checkout"):
        choose(NAMED, to="beef")


def test_a_refusal_offers_what_may_serve() -> None:
    """A refusal lists commits and deploy ids that may be chosen, newest first, and no others."""
    error = refuse(render(*USUAL), vercel(*USUAL, (FOURTH, STAGED)), to=FOURTH)
    assert "2222222 (render dep-2, vercel dpl-2), 1111111 (render dep-1, vercel dpl-1)." in error.means
    assert "3333333" not in error.means
    many: list[Past] = [(FIRST, OUT)] * 200
    assert len(refuse(render(*many, (THIRD, LIVE)), to=FOURTH).means) < 200


@pytest.mark.parametrize(
    ("render_rows", "vercel_rows", "commit", "moving"),
    [
        (USUAL, USUAL, SECOND, ("render", "vercel")),
        (USUAL, ((FIRST, OUT), (SECOND, FAILED), (THIRD, LIVE)), FIRST, ("render", "vercel")),
        (USUAL, ((FIRST, OUT), (SECOND, LIVE), (THIRD, STAGED)), SECOND, ("render",)),
        (((FIRST, OUT), (SECOND, LIVE)), USUAL, SECOND, ("vercel",)),
        ((*USUAL[:2], (THIRD, OUT), (SECOND, LIVE, "rollback")), USUAL, SECOND, ("vercel",)),
        (((FIRST, OUT), (SECOND, LIVE), (THIRD, BUILDS)), (*USUAL[:1], (SECOND, LIVE)), SECOND, ("render",)),
        (((FIRST, OUT), (THIRD, LIVE), (FOURTH, BUILDS)), ((THIRD, LIVE),), THIRD, ("render",)),
    ],
)
def test_both_end_on_one_commit(
    render_rows: tuple[Past, ...], vercel_rows: tuple[Past, ...], commit: Sha, moving: tuple[str, ...]
) -> None:
    """Both go to one commit that served on both; the one that is there already is proven, and goes no further."""
    way = choose(render(*render_rows), vercel(*vercel_rows))
    assert (way.commit, way.moving) == (commit, moving)


def test_an_id_is_for_its_own_target() -> None:
    """A deploy id names the commit for the other target."""
    older: tuple[Past, ...] = ((SECOND, OUT), (SECOND, OUT), (THIRD, LIVE))
    way = choose(render(*older), vercel(*older), to="dep-1")
    assert [step.to_id for step in way.steps] == ["dep-1", "dpl-2"]


def test_an_id_without_a_commit() -> None:
    """A deployment that does not name its commit may be chosen for its own target, and not for both."""
    rows: tuple[Past, ...] = ((None, OUT), (THIRD, LIVE))
    way = choose(vercel(*rows), to="dpl-1")
    assert (way.commit, way.bad, way.steps[0].to_id) == (None, THIRD, "dpl-1")
    error = refuse(render(*USUAL), vercel(*rows), to="dpl-1")
    assert "--target vercel" in error.next_step


@pytest.mark.parametrize(
    ("views", "to", "what"),
    [
        (
            (render((FIRST, OUT), (THIRD, LIVE)), vercel((FIRST, OUT), (SECOND, LIVE))),
            FIRST,
            "3333333 on render, 2222222 on vercel",
        ),
        (
            (render((SECOND, LIVE), (FOURTH, BUILDS)), vercel((SECOND, OUT), (THIRD, LIVE))),
            "",
            "4444444 on render, 3333333 on vercel",
        ),
    ],
)
def test_two_bad_commits(views: tuple[View, ...], to: str, what: str) -> None:
    """Where two commits would have to go it is one target at a time."""
    error = refuse(*views, to=to)
    assert what in error.what
    assert "one target at a time" in error.next_step


def test_two_that_have_gone_back_differently() -> None:
    """Two targets that rest on different commits need a name."""
    back = render((FIRST, OUT), (SECOND, OUT), (THIRD, OUT), (FIRST, LIVE, "rollback"))
    other = vercel((FIRST, OUT), (SECOND, LIVE), (THIRD, OUT), rolled_back_at=NIGHT)
    assert "different commits, 1111111 and 2222222" in refuse(back, other).what


def test_without_a_key_a_commit_is_named() -> None:
    """Without a key a commit that is named goes by the hook, and nothing else will do."""
    assert choose(blind(THIRD), to=SECOND).steps == (Step("render", None, THIRD),)
    assert choose(blind(THIRD), to=THIRD).moving == ()
    assert "without an API key" in refuse(blind(THIRD)).what
    assert "dashboard" in refuse(blind(None), to=SECOND).next_step
    assert "5555555 is not on main" in refuse(blind(THIRD), to=ASIDE).what
    assert "dep-1" in refuse(blind(THIRD), to="dep-1").what


def test_without_a_key_beside_one_that_has_it() -> None:
    """A named commit, or the other target's deploy id, goes by the hook where there is no key."""
    for to in (SECOND, "dpl-2"):
        way = choose(blind(THIRD), vercel(*USUAL), to=to)
        assert [step.to_id for step in way.steps] == [None, "dpl-2"]


@pytest.mark.parametrize(
    "view",
    [
        render(),
        render((FIRST, OUT), (SECOND, FAILED)),
        render((FIRST, OUT), (None, LIVE)),
        render((FIRST, OUT), (None, LIVE), answers=THIRD),
        render((FIRST, LIVE), (None, BUILDS)),
        vercel((FIRST, OUT)),
    ],
)
@pytest.mark.parametrize("to", ["", FIRST])
def test_what_goes_must_be_known(view: View, to: str) -> None:
    """Where nothing serves, or its commit is not known, a person has to look: no rollback could be proven."""
    error = refuse(view, to=to)
    assert "cannot be told" in error.what
    assert "dashboard" in error.next_step


def test_nothing_unproven_is_ever_chosen() -> None:
    """Whatever the states of three deployments are, an unasked destination has served and is not what goes."""
    states = list(DeployState)
    for one, two, three in ((one, two, three) for one in states for two in states for three in states):
        view = render((FIRST, one), (SECOND, two), (THIRD, three))
        try:
            way = choose(view)
        except UsageError:
            continue
        assert view.find_served(way.commit), (one, two, three)
        assert way.commit != way.bad or not way.moving, (one, two, three)
        (step,) = way.steps
        served = view.history.find(step.to_id) if view.history else None
        assert served is not None
        assert served.state.has_served
