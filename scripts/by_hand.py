"""A rollback that a person asks for, where no release left a journal: look, choose, write it down, go back, prove it.

`way_back` chooses; `rollback` acts and proves, from the journal that is written here as if a release had left it.
"""

from __future__ import annotations

import argparse
import functools
import os
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from scripts.clock import Deadline
from scripts.errors import PlatformError, PlatformUnreachable, SlipwayError, UsageError
from scripts.follow import fetch_patiently, follow
from scripts.identity import LEAST_ANSWERS, Identity
from scripts.journal import Kind, archive
from scripts.plan import LOOKS_WITHOUT_VERSION, may_start_afresh, prepare_folder, refuse_other_release
from scripts.release import Baseline, Deployment, Release, Stage, short
from scripts.rollback import roll_back
from scripts.stage import READ_S, Ports, Target, Verdicts, ids, run_stage, side_by_side
from scripts.state import CANCEL
from scripts.verdict import Verdict, passed, unproven_rollback
from scripts.view import View
from scripts.way_back import UNCHANGED, Step, WayBack, choose_way_back, offer
from scripts.wiring import refuse_other_branch

NOBODY = "nobody named"
LONGEST_REASON, LONGEST_NAME = 500, 100  # characters
LOOK_S = 10  # seconds for /version, where the platform says too what serves


@dataclass(frozen=True)
class Order:
    """Who asks for a rollback, why, and to what; `to` empty means the last proven release."""

    to: str
    reason: str
    by: str
    run_id: str


def is_asked(arguments: argparse.Namespace) -> bool:
    """Whether the command line asks for a rollback by hand; one that names where to go without saying why does too."""
    asked = getattr(arguments, "reason", None) is not None or bool(getattr(arguments, "to", ""))
    return getattr(arguments, "verb", "") == "rollback" and asked


def order_of(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Order:
    """Read the order from the command line.

    Raises:
        UsageError: no reason is given, or what to go back to is no name.
    """
    refuse_other_branch(environment)
    reason = flatten(arguments.reason or "", LONGEST_REASON)
    if not reason:
        raise UsageError(
            "a rollback by hand needs a reason",
            means=UNCHANGED,
            next_step='say why with --reason "…": the report and the people who read it will ask',
        )
    to = (arguments.to or "").strip()
    if to.startswith("-") or not to.isprintable() or len(to) > LONGEST_NAME:
        raise UsageError(
            f"--to {flatten(to, 40)!r} is neither a commit nor a deploy id", means=UNCHANGED, next_step="correct it"
        )
    by = flatten(arguments.by or environment.get("GITHUB_ACTOR", ""), LONGEST_NAME) or NOBODY
    run = environment.get("GITHUB_RUN_ID")
    run_id = f"{run}-{environment.get('GITHUB_RUN_ATTEMPT', '1')}" if run else f"local-{os.getpid()}"
    return Order(to, reason, by, run_id)


def flatten(text: str, longest: int) -> str:
    """Make one short line of a person's text, without control characters.

    It is cut between words: half a secret would pass the filter that knows the whole.
    """
    plain = "".join(" " if unicodedata.category(one)[0] in "CZ" else one for one in text)
    line = " ".join(plain.split())
    if len(line) <= longest:
        return line
    kept, space, _ = line[:longest].rpartition(" ")
    return f"{kept if space else ''}…"


def preview(ports: Ports, order: Order) -> str:
    """Say what would be done on each target; platforms and services are only read, and nothing is written."""
    views, way = _choose(ports, order)
    if not may_start_afresh(ports.state()):
        refuse_other_release(ports.state(), _release(ports, order, way))
    lines = [f"{view.name}: would {describe(step, way)}" for view, step in zip(views, way.steps, strict=True)]
    return "\n".join([f"because {order.by} asked for it: {order.reason}", *lines])


def roll_back_by_hand(ports: Ports, order: Order) -> Verdict:
    """Go back on every target, and prove it; what is left undone is continued by `rollback` or `recover`.

    Raises:
        UsageError: there is no way back, or the state folder belongs to another release.
        PlatformError: a platform could not be read, so nothing was changed.
    """
    views, way = _choose(ports, order)
    release = _release(ports, order, way)
    prepare_folder(ports, release)
    if ports.state().moved:  # the same commit was to go before; what is to be done now was read anew
        archive(ports.folder)
    run_stage(ports, Stage.PLAN, functools.partial(_write_down, release=release, views=views, way=way))
    return run_stage(ports, Stage.ROLLBACK, functools.partial(_go_back, way=way))


def _choose(ports: Ports, order: Order) -> tuple[list[View], WayBack]:
    ports.console.say(f"rollback by hand, asked for by {order.by}: {order.reason}")
    views = [_look(ports, target) for target in ports.targets]
    way = choose_way_back(views, order.to, ports.checkout)
    if not way.moving and not order.to:
        kept = f"{short(way.commit)} is what was gone back to, or kept"
        ports.console.warn(f"{kept}; to go further, name a commit with --to. {offer(views, ports.checkout)}")
    return views, way


def _release(ports: Ports, order: Order, way: WayBack) -> Release:
    return Release(way.bad, order.run_id, ports.clock.now(), way.moving, by=order.by, why=order.reason)


def _look(ports: Ports, target: Target) -> View:
    """Read what platform and service say.

    Raises:
        SlipwayError: the platform could not be read, or its service is suspended.
    """
    try:
        history = fetch_patiently(ports, target, ports.deadline(READ_S))
        if history is not None and history.suspended:
            raise PlatformError("the service is suspended", next_step="resume it in the dashboard")
    except SlipwayError as error:
        others = [name for name in ports.names if name != target.name]
        alone = f"to go back elsewhere meanwhile: --target {others[0]}" if others else ""
        step = "; ".join(filter(None, (error.next_step or "run this again", alone)))
        raise type(error)(f"{target.name}: {error.what}", means=UNCHANGED, next_step=step) from error
    if history is None:
        ports.console.warn(f"{target.name}: without an API key neither a deploy on its way nor a rollback can be seen")
    elif history.hindrance:
        ports.console.warn(f"{target.name}: {history.hindrance}")
    instances = (history.instances if history else None) or target.instances
    identity = _ask_who_answers(ports, target, instances, told=history is not None)
    answers = identity.expected if identity and identity.row >= LEAST_ANSWERS else None
    return View(target.name, target.platform.stages, history, answers, instances)


def _ask_who_answers(ports: Ports, target: Target, instances: int, *, told: bool) -> Identity | None:
    """Ask `/version` until one commit is proven; not for long where the platform told it, since production may be down.

    Without the platform's word a service that sleeps is given the time to wake.
    """
    deadline = ports.deadline(LOOK_S if told else ports.config.verify.deadline_s)
    identity: Identity | None = None
    nameless = 0
    while not deadline.passed and not (identity and identity.proven(instances)):
        seen = target.witness.ask_version(target.url, max(0.1, min(10.0, deadline.left_s)))
        nameless = 0 if seen.commit else nameless + 1
        if seen.commit and (identity is None or identity.expected != seen.commit):
            identity = Identity(seen.commit)
        identity = identity.observe(seen) if identity else None
        if nameless >= LOOKS_WITHOUT_VERSION and (told or seen.answered):
            break
        deadline.pause(1 / ports.config.probe.rate_per_s)
    return identity


def describe(step: Step, way: WayBack) -> str:
    """Say what is done on a target, for a person."""
    there = f"{short(way.commit)} (deploy {step.to_id})" if step.to_id else short(way.commit)
    if step.bad is None:
        return f"only prove that {there} serves"
    gone = f"{short(step.bad)} (deploy {step.bad_id})" if step.bad_id else short(step.bad)
    first = "".join(f"stop {row.id} of {short(row.commit)}, then " for row in step.beside)
    if step.keeps:
        return f"{first}stop {gone}, which is on its way, and prove that {there} serves"
    begun = f", by {step.adopts[0]}, which has begun" if step.adopts else ""
    how = begun or ("" if step.to_id else ", by the deploy hook")
    return f"{first}go back from {gone} to {there}{how}, and prove it"


def _write_down(ports: Ports, release: Release, views: list[View], way: WayBack) -> Verdicts:
    """Write the journal of a release that put the bad commit there, so that a lost run can be continued."""
    ports.journal.append(Kind.RELEASE, **asdict(release))
    told: dict[str, Verdict] = {}
    for view, step in zip(views, way.steps, strict=True):
        ports.journal.append(Kind.BASELINE, **asdict(_baseline(view, step, way)))
        ports.console.state(view.name, describe(step, way))
        told[view.name] = passed(f"{view.name}: {describe(step, way)}")
    return told


def _baseline(view: View, step: Step, way: WayBack) -> Baseline:
    """Give the destination as what served before; what goes counts as ours, so it is left out of what was known."""
    ours = {step.bad_id, *step.adopts}
    return Baseline(
        target=view.name,
        commit=way.commit,
        deployment_id=step.to_id,
        proven=way.commit is not None,
        instances=view.instances,
        healthy=False,
        known=tuple(sorted(ids(view.history) - ours)),
    )


def _go_back(ports: Ports, way: WayBack) -> Verdicts:
    """Stop what would come after the return, then go back; where it cannot be stopped, nothing else is done."""
    beside = {step.target: step.beside for step in way.steps if step.beside}
    stops = {
        target.name: functools.partial(_stop, ports, target, beside[target.name])
        for target in ports.targets
        if target.name in beside
    }
    stopped = side_by_side(ports, stops)
    bad = {name: verdict for name, verdict in stopped.items() if not verdict.passed}
    return bad or roll_back(ports, lost=True)


def _stop(ports: Ports, target: Target, rows: tuple[Deployment, ...]) -> Verdict:
    deadline = ports.deadline(ports.config.rollback.deadline_s)
    for row in rows:
        try:
            ended = _cancel(ports, target, row, deadline)
        except SlipwayError as error:
            return unproven_rollback(f"{target.name}: deploy {row.id} may still go live: {error.what}", error.next_step)
        if ended is None:
            return unproven_rollback(f"{target.name}: deploy {row.id} was cancelled and has not ended: it may go live")
        if ended.state.has_served:
            what = f"{target.name}: deploy {row.id} of {short(row.commit)} went live before it could be stopped"
            return unproven_rollback(what, "run this rollback again")
    return passed(f"{target.name}: nothing else is on its way")


def _cancel(ports: Ports, target: Target, row: Deployment, deadline: Deadline) -> Deployment | None:
    ports.journal.append(Kind.INTENT, target.name, action=CANCEL, id=row.id, commit=row.commit)
    ports.console.state(target.name, f"deploy {row.id} of {short(row.commit)} is {row.state}: cancelling it")
    try:
        target.platform.cancel(row, deadline)
    except PlatformUnreachable as error:
        ports.console.warn(f"{error.what}; looking whether it was cancelled")
    return follow(ports, target, row, frozenset(), deadline)
