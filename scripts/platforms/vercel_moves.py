"""Point the production domain to a deployment, and see it done: what a promotion and a rollback have in common.

Done is when the domain points to it. A job that Vercel calls succeeded is not proof, nor is the CLI's exit code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scripts.clock import Deadline
from scripts.errors import OutcomeUnknown, PlatformError, PlatformUnreachable, SlipwayError
from scripts.platforms.vercel_answers import FAILED, Move
from scripts.platforms.vercel_api import VercelApi
from scripts.platforms.vercel_cli import Ended
from scripts.platforms.vercel_commands import Commands

GRACE_S = 3  # seconds after which the project would tell of a move that was taken
POLL_S = 1.0
PROMOTE, ROLLBACK = "promote", "rollback"  # the CLI's commands, and what the project calls such a move
UNMOVED = "The production domain points to what it pointed to before."


@dataclass(frozen=True)
class Sight:
    """What the platform says at one moment: the last move of the domains, and where the production domain points."""

    move: Move | None
    serving_id: str | None

    def points_to(self, deployment_id: str) -> bool:
        """Whether the production domain points to a deployment and is not being taken away from it."""
        away = self.move is not None and self.move.running and self.move.to_id != deployment_id
        return self.serving_id == deployment_id and not away

    def begun(self, deployment_id: str, before: Sight) -> bool:
        """Whether a move to a deployment is running, or was begun since."""
        move = self.move
        return move is not None and move.to_id == deployment_id and (move.running or move != before.move)

    def tell(self) -> str:
        """Say it for a person."""
        told = f"{self.move.kind} to {self.move.to_id} {self.move.status}" if self.move else "no move of domains"
        return f"{told}, production points to {self.serving_id or 'nothing'}"


@dataclass(frozen=True)
class Request:
    """One promotion or rollback that the CLI was told to ask for; `hint` says why it may be impossible."""

    verb: str
    deployment_id: str
    before: Sight
    ended: Ended
    told: str
    grace: Deadline
    hint: Callable[[], str]

    def __str__(self) -> str:
        return f"{self.verb} to {self.deployment_id}"


def look(api: VercelApi, deadline: Deadline) -> Sight:
    """Read what the platform says now."""
    return Sight(api.fetch_project(deadline).move, api.fetch_serving_id(deadline))


def move_domain(
    api: VercelApi,
    commands: Commands,
    verb: str,
    deployment_id: str,
    deadline: Deadline,
    hint: Callable[[], str] = str,
) -> str:
    """Ask for a promotion or a rollback, once, and wait until the production domain points to the deployment.

    Give the domains that stayed behind. Where nothing is left to do, nothing is asked.

    Raises:
        PlatformError: it was refused, and nothing was moved.
        PlatformUnreachable: it was refused while another move is running, so it can be asked for again.
        OutcomeUnknown: it may have been done, or may be later.
    """
    before = look(api, deadline)
    if _is_done(before, verb, deployment_id):
        return ""
    if deadline.passed:
        raise PlatformUnreachable(f"no time was left to ask for a {verb} to {deployment_id}", means=UNMOVED)
    ended = commands.move(verb, deployment_id, deadline.left_s)
    grace = Deadline.after(deadline.clock, GRACE_S)
    request = Request(verb, deployment_id, before, ended, commands.tell(ended), grace, hint)
    seen = _await(api, request, deadline)
    if not seen.begun(deployment_id, before) or seen.move is None or seen.move.status != FAILED:
        return ""
    return api.fetch_failed_domains(verb, deadline) or "some domain of the project"


def _is_done(before: Sight, verb: str, deployment_id: str) -> bool:
    """Tell whether there is nothing to ask for.

    A rollback to where the domain points is asked for, unless it was: a promotion may be queued behind a rolling
    release, and domains that a failed one has moved are not told.
    """
    move, asked = before.move, before.move is not None and before.move.kind == verb
    there = before.points_to(deployment_id) and (move is None or move.to_id == deployment_id)
    return there and (asked or verb == PROMOTE) and (move is None or move.status != FAILED)


def _await(api: VercelApi, request: Request, deadline: Deadline) -> Sight:
    last = request.before.tell()
    while True:
        seen, told = _look_again(api, request, deadline)
        if seen is not None and seen.points_to(request.deployment_id):
            return seen
        if seen is not None:
            _judge(api, request, seen, deadline)
            last = told
        deadline.pause(POLL_S)
        if deadline.passed:
            unread = f"; {told}" if seen is None else ""
            raise OutcomeUnknown(f"Vercel, {request}: not done at the deadline; last: {last}{unread}; {request.told}")


def _look_again(api: VercelApi, request: Request, deadline: Deadline) -> tuple[Sight | None, str]:
    """Look, now that something may have been changed: what cannot be read is no proof that nothing was."""
    try:
        seen = look(api, deadline)
    except PlatformUnreachable as error:
        return None, error.what
    except SlipwayError as error:
        raise OutcomeUnknown(
            f"Vercel, {request}: asked for, and then it could not be read: {error.what}", next_step=error.next_step
        ) from error
    return seen, seen.tell()


def _judge(api: VercelApi, request: Request, seen: Sight, deadline: Deadline) -> None:
    """Raise, unless the move may still be on its way."""
    if seen.begun(request.deployment_id, request.before):
        if seen.move is not None and seen.move.given_up:
            raise _given_up(api, request, seen, deadline)
        return
    if request.ended.exit_code == 0 or not request.grace.passed:
        return
    if request.ended.exit_code is None:
        raise OutcomeUnknown(f"Vercel, {request}: {request.told}, and nothing is moving yet; {seen.tell()}")
    if seen.move is not None and seen.move.running:
        raise PlatformUnreachable(f"Vercel, {request}: refused while another move is running ({seen.tell()})")
    raise PlatformError(
        f"Vercel, {request}: refused; {request.told}",
        means=" ".join(filter(None, (f"{UNMOVED} Now: {seen.tell()}.", request.hint()))),
        next_step="look at the project's deployments in Vercel's dashboard",
    )


def _given_up(api: VercelApi, request: Request, seen: Sight, deadline: Deadline) -> PlatformError:
    """Make the error for a job that ended: skipped moves nothing; after a failed one some domains may have moved."""
    if seen.move is None or seen.move.status != FAILED:
        return PlatformError(f"Vercel, {request}: skipped by Vercel; {seen.tell()}", means=UNMOVED)
    domains = api.fetch_failed_domains(request.verb, deadline)
    return OutcomeUnknown(
        f"Vercel, {request}: failed; {seen.tell()}" + (f"; not moved: {domains}" if domains else ""),
        means="Domains of the project may be moved in part.",
        next_step="look at the project's domains in Vercel's dashboard",
    )
