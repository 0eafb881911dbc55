"""Where a rollback by hand goes: chosen from what platforms, services and the history of main say. It changes nothing.

The destination has served users on every target that goes there, was never rolled back, and is on main. A target that
has gone back, or is about to, goes no further unasked: there is no rollback of a rollback.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.checkout import Checkout
from scripts.errors import UsageError
from scripts.release import Deployment, Sha, short
from scripts.view import View

OFFERED = 8  # commits that a refusal lists
DEPLOY_ID = re.compile(r"(dep-|dpl[-_])\w+")
UNCHANGED = "Nothing was changed."
SHIP = "ship it with release.yml by hand"


@dataclass(frozen=True)
class Step:
    """What is to be done on a target: `bad` goes, unless it is None; `to_id` None means by the hook.

    `keeps`: the destination serves still, and `bad_id` is on its way. `adopts`: deploys of the destination that have
    begun, the newest first. What is `beside` has to be stopped first.
    """

    target: str
    to_id: str | None
    bad: Sha | None = None
    bad_id: str | None = None
    keeps: bool = False
    adopts: tuple[str, ...] = ()
    beside: tuple[Deployment, ...] = ()


@dataclass(frozen=True)
class WayBack:
    """The commit that every target ends on, the one that goes, and each target's step."""

    commit: Sha | None
    bad: Sha
    steps: tuple[Step, ...]

    @property
    def moving(self) -> tuple[str, ...]:
        """The targets that do not simply serve it already."""
        return tuple(step.target for step in self.steps if step.bad is not None)


@dataclass(frozen=True)
class Goal:
    """What was chosen; `deployment` where one of `target` was named by its id."""

    commit: Sha | None
    target: str = ""
    deployment: Deployment | None = None


def choose_way_back(views: Sequence[View], to: str, checkout: Checkout) -> WayBack:
    """Choose the destination, by its name or as the last proven release, and what each target has to do.

    Raises:
        UsageError: there is none, or none that all targets may go to together.
    """
    for view in views:
        _refuse_blind(view, to)
    goal = _find_named(views, to, checkout) if to else _find_last_proven(views, checkout)
    steps = tuple(_step(view, goal, checkout) for view in views)
    bad = dict.fromkeys(step.bad for step in steps if step.bad is not None)
    gone = next(iter(bad), goal.commit)
    if gone is None or len(bad) > 1:
        told = ", ".join(f"{short(step.bad)} on {step.target}" for step in steps if step.bad)
        raise UsageError(
            f"different commits would have to go: {told}", means=UNCHANGED, next_step="roll back one target at a time"
        )
    return WayBack(goal.commit, gone, steps)


def _refuse_blind(view: View, to: str) -> None:
    if view.history is None and not to:
        raise UsageError(
            f"{view.name}: without an API key nobody knows what served before, so a commit has to be named",
            means=UNCHANGED,
            next_step="name one with --to: `git log main` shows them",
        )
    if view.serving is None:
        raise _not_told(view, "what serves now")


def _not_told(view: View, what: str) -> UsageError:
    where = "platform" if view.history else "service's /version, and there is no API key"
    return UsageError(
        f"{view.name}: which commit {what} is cannot be told by the {where}",
        means=f"{UNCHANGED} What is to go has to be known by its commit.",
        next_step="roll back in the platform's dashboard",
    )


def _find_named(views: Sequence[View], to: str, checkout: Checkout) -> Goal:
    """Find the deployment of that id, else the commit of that name, and refuse what may not serve again."""
    goal = _find_goal(views, to, checkout)
    commit = goal.commit
    if commit is None:
        return goal
    if not _is_on_main(commit, checkout):
        raise _refuse(f"{short(commit)} is not on main", views, checkout)
    for view in views:
        if view.history is None or view.serving == commit:
            continue
        if view.find_served(commit) is None:
            raise _refuse(f"{short(commit)} has never served on {view.name}", views, checkout, SHIP)
        if commit in view.undone:
            what = f"{short(commit)} was rolled back on {view.name} before"
            raise _refuse(what, views, checkout, f"{SHIP}, with `again`")
    return goal


def _find_goal(views: Sequence[View], to: str, checkout: Checkout) -> Goal:
    for view in views:
        row = view.history.find(to) if view.history else None
        if row is None:
            continue
        if not row.state.has_served:
            raise _refuse(f"{view.tell(row.id)} is {row.state}: it never served users", views, checkout)
        if row.commit is None and len(views) > 1:
            what = f"{view.tell(row.id)} does not name its commit, so the other target has none to go to"
            raise _refuse(what, views, checkout, f"choose one target: --target {view.name}")
        return Goal(row.commit, view.name, row)
    if DEPLOY_ID.fullmatch(to):
        raise _refuse(f"{to} is no deployment that {_names(views)} lists", views, checkout)
    return Goal(checkout.resolve(to))


def _find_last_proven(views: Sequence[View], checkout: Checkout) -> Goal:
    """Give what a target rests on; else what one serves and all others left; else the newest that served on all."""
    resting = dict.fromkeys(filter(None, (view.find_resting(checkout) for view in views)))
    if len(resting) > 1:
        told = " and ".join(map(short, resting))
        raise _refuse(f"{_names(views)} have gone back to different commits, {told}", views, checkout)
    newest = list(filter(None, dict.fromkeys(view.find_newer(checkout) for view in views)))
    oldest = [one for one in newest if len(newest) > 1 and all(checkout.descends(other, one) for other in newest)]
    candidates = resting or itertools.chain(oldest, (one for one in views[0].served if one not in newest))
    found = next((one for one in candidates if all(_may_serve(view, one, checkout) for view in views)), None)
    if found is None:
        raise _refuse(f"there is no earlier release that is proven on {_names(views)}", views, checkout)
    return Goal(found)


def _may_serve(view: View, commit: Sha, checkout: Checkout) -> bool:
    """Whether a target serves a commit, or may go back to it unasked."""
    if view.serving == commit:
        return True
    if view.serving is None or commit not in view.served or commit in view.undone:
        return False
    return _is_on_main(commit, checkout) and not checkout.descends(commit, view.serving)


def _is_on_main(commit: Sha, checkout: Checkout) -> bool:
    return checkout.descends(checkout.resolve("HEAD"), commit)


def _step(view: View, goal: Goal, checkout: Checkout) -> Step:
    bad = view.find_bad(goal.commit)
    to_id = _find_destination(view, goal)
    own = [row for row in view.under_way if row.commit and row.commit == goal.commit]
    adopts = tuple(row.id for row in own if row.id)
    stops = tuple(row for row in view.under_way if row not in own)
    for row in stops:
        _refuse_to_cross(view, row, checkout, moves=bad is not None)
    if bad is not None:
        live = view.live if view.live and view.live.commit == bad else view.find_served(bad)
        return Step(view.name, to_id, bad, live.id if live else None, adopts=adopts, beside=stops)
    if not stops:
        return Step(view.name, to_id)
    if stops[0].commit is None:
        raise _not_told(view, f"deploy {stops[0].id}, which is on its way,")
    return Step(view.name, to_id, stops[0].commit, stops[0].id, keeps=True, adopts=adopts, beside=stops[1:])


def _refuse_to_cross(view: View, row: Deployment, checkout: Checkout, *, moves: bool) -> None:
    """Refuse to stop a return, and to begin a move of users while another one runs."""
    if view.goes_back(row, checkout) or (view.stages and moves):
        raise UsageError(
            f"{view.tell(row.id)} of {short(row.commit)} is being given the users at this moment",
            means=f"{UNCHANGED} Two moves that cross could end on either.",
            next_step="wait until it has ended, then run this again",
        )


def _find_destination(view: View, goal: Goal) -> str | None:
    """Give the id of the deployment that is to serve; None where there is only the hook.

    Raises:
        UsageError: another deployment of the same commit serves, which no answer could tell from the named one.
    """
    live = view.live
    serves = live is not None and goal.commit is not None and live.commit == goal.commit
    if goal.deployment is not None and goal.target == view.name:
        if live is not None and serves and live.id != goal.deployment.id:
            raise UsageError(
                f"{view.tell(live.id)} serves, of the same commit as {goal.deployment.id}",
                means=f"{UNCHANGED} No proof could tell one from the other.",
                next_step="change the deployment in the platform's dashboard",
            )
        return goal.deployment.id
    moving = next((row for row in view.under_way if view.stages and row.commit == goal.commit), None)
    row = live if serves else moving if moving and moving.state.has_served else view.find_served(goal.commit)
    return row.id if row else None


def _refuse(what: str, views: Sequence[View], checkout: Checkout, step: str = "name one with --to") -> UsageError:
    return UsageError(what, means=f"{UNCHANGED} {offer(views, checkout)}", next_step=step)


def offer(views: Sequence[View], checkout: Checkout) -> str:
    """List what may be gone back to, newest first: commits, each with the deploy ids that it has."""
    seen = [view for view in views if view.history]
    served = (one for one in (seen[0].served if seen else ()) if any(view.serving != one for view in seen))
    fitting = (one for one in served if all(_may_serve(view, one, checkout) for view in seen))
    rows = [
        f"{short(one)} ({', '.join(view.tell(row.id) for view in seen if (row := view.find_served(one)))})"
        for one in itertools.islice(fitting, OFFERED)
    ]
    return f"These may serve again, newest first: {', '.join(rows)}." if rows else "No other commit may serve again."


def _names(views: Sequence[View]) -> str:
    return " and ".join(view.name for view in views)
