"""Vercel: act by its own CLI, and ask its API what became of it. Facts: the CLI's code, Vercel's REST API reference.

The CLI's exit code is never the verdict: it is 0 after failures, and not 0 after things that were done. Whether the
deployment that the production domain points to is the one that answers is decided elsewhere.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace

from scripts.client import Client
from scripts.clock import Deadline
from scripts.config import VercelSection
from scripts.errors import ConfigError, OutcomeUnknown, PlatformError, SlipwayError
from scripts.platforms import History
from scripts.platforms.vercel_answers import (
    find_rollback_time,
    find_undone,
    identify,
    is_newest_retired,
    read_deployment,
    was_shipped,
)
from scripts.platforms.vercel_api import TOKEN, VercelApi
from scripts.platforms.vercel_cli import Ended
from scripts.platforms.vercel_commands import Built, Commands, Tool, printed_host
from scripts.platforms.vercel_moves import POLL_S, PROMOTE, ROLLBACK, UNMOVED, move_domain
from scripts.redaction import Secret
from scripts.release import Baseline, Deployment, Sha, short

BYPASS = "VERCEL_AUTOMATION_BYPASS_SECRET"
BYPASS_HEADER = "x-vercel-protection-bypass"
REQUIRED = {TOKEN: "a token for the project's team (Vercel dashboard, Account Settings, Tokens)"}
OPTIONAL = {BYPASS: "the bypass for automation; without it no staged URL behind Deployment Protection can be verified"}
OLDER = "On the Hobby plan only the previous production deployment can be reached, and this one is older."
LISTED_S = 10  # seconds after which a deployment that was created would be in the list
LAST_LOOK_S = 2  # seconds for that where the CLI took all the time there was
ROLLING = (
    "the project has rolling releases, so a promotion would give users in shares, over hours:"
    " turn them off in the project's settings, Rolling Releases"
)


def bypass_headers(secrets: Mapping[str, Secret]) -> dict[str, str]:
    """Give the header that lets a probe through Deployment Protection, where there is a secret for it."""
    return {BYPASS_HEADER: secrets[BYPASS].reveal()} if BYPASS in secrets else {}


class Vercel:
    """One project on Vercel."""

    name = "vercel"
    stages = True
    blind = None  # without the API nothing moves users there

    def __init__(
        self,
        client: Client,
        secrets: Mapping[str, Secret],
        settings: VercelSection,
        tool: Tool,
        read: Callable[[Sha], Built],
    ) -> None:
        self._api = VercelApi(client, secrets[TOKEN], settings)
        self._commands = Commands(tool, secrets, settings)
        self._read = read

    def fetch_history(self, deadline: Deadline) -> History:
        """Read the newest production deployments, how the project is set, and where the production domain points."""
        project = self._api.fetch_project(deadline)
        rows = self._api.fetch_rows(deadline)
        serving_id = self._api.fetch_serving_id(deadline)
        if serving_id is not None and serving_id not in {identify(row) for row in rows}:
            older = self._api.find_row(serving_id, deadline)  # more than a page ago
            rows = rows if older is None else (*rows, older)
        deployments = tuple(read_deployment(row, serving_id) for row in rows)
        return History(
            deployments=deployments,
            suspended=project.paused,
            moved_from=project.move.from_id if project.move is not None else None,
            moving_to=project.move.to_id if project.move is not None and project.move.running else None,
            pinned=project.pinned,
            undone=find_undone(deployments, project.move),
            rolled_back_at=find_rollback_time(project.move),
            hindrance=ROLLING if project.rolling else "",
        )

    def fetch_deployment(self, deployment_id: str, deadline: Deadline) -> Deployment:
        """Read one deployment."""
        row = self._api.fetch_row(deployment_id, deadline)
        return read_deployment(row, self._api.fetch_serving_id(deadline))

    def deploy(self, commit: Sha, deadline: Deadline) -> Deployment:
        """Upload what was built from a commit as a production deployment that no domain points to.

        Raises:
            UsageError: nothing was built from this commit.
            ConfigError: the CLI is not installed, or the token may not.
            PlatformError: there is no deployment, says the API.
            OutcomeUnknown: there may be one.
        """
        built = self._read(commit)
        known = frozenset(identify(row) for row in self._api.fetch_rows(deadline))
        ended = self._commands.deploy(built, commit, deadline.left_s)
        look_s = min(LISTED_S, max(LAST_LOOK_S, deadline.left_s))
        return self._await_created(commit, known, ended, Deadline.after(deadline.clock, look_s), look_s)

    def promote(self, deployment: Deployment, deadline: Deadline) -> None:
        """Point the production domain to a deployment, and wait until it does.

        Raises:
            PlatformError: it was refused, and nothing was moved.
            OutcomeUnknown: it may have been done, in part too, or may be later.
        """
        behind = move_domain(self._api, self._commands, PROMOTE, _known(deployment.id), deadline)
        if behind:
            raise OutcomeUnknown(
                f"Vercel, promote to {deployment.id}: done, but these domains were not moved: {behind}"
            )

    def roll_back(self, to: Baseline, deadline: Deadline) -> tuple[Deployment, str]:
        """Point the production domain to the deployment that served before, and wait until it does.

        Raises:
            PlatformError: it never served users, is gone, or the rollback was refused; nothing was moved.
            OutcomeUnknown: it may have been done, or may be later.
        """
        deployment_id = _known(to.deployment_id)
        row = self._api.fetch_row(deployment_id, deadline)
        found = read_deployment(row, self._api.fetch_serving_id(deadline))
        if not found.state.has_served:
            raise PlatformError(
                f"Vercel, rollback to {deployment_id}: it is {found.state} ({found.detail}), no user was ever on it",
                means=UNMOVED,
                next_step="choose a deployment that has served: Vercel's dashboard, Instant Rollback",
            )
        hint = functools.partial(self._find_hint, deployment_id, deadline)
        behind = move_domain(self._api, self._commands, ROLLBACK, deployment_id, deadline, hint)
        return read_deployment(row, deployment_id), behind and f"these domains were not moved back: {behind}"

    def cancel(self, deployment: Deployment, deadline: Deadline) -> None:
        """Ask Vercel to stop a deployment; for one that has ended there is nothing to ask."""
        if deployment.id is not None and not deployment.state.ended:
            self._api.cancel(deployment.id, deadline)

    def _await_created(
        self, commit: Sha, known: frozenset[str], ended: Ended, deadline: Deadline, look_s: float
    ) -> Deployment:
        """Find what the CLI created, whatever its exit code says."""
        unread = ""
        while True:
            try:
                found, unread = self._find_created(commit, known, printed_host(ended), deadline), ""
            except SlipwayError as error:
                found, unread = None, error.what
            if found is not None:
                return found
            if deadline.passed:
                raise self._not_created(commit, ended, unread, look_s)
            deadline.pause(POLL_S)

    def _find_created(self, commit: Sha, known: frozenset[str], host: str, deadline: Deadline) -> Deployment | None:
        row = self._api.find_row(host, deadline) if host else None
        if row is None:
            rows = self._api.fetch_rows(deadline)
            row = next((row for row in rows if identify(row) not in known and was_shipped(row, commit)), None)
        return replace(read_deployment(row, None), commit=commit) if row is not None else None

    def _not_created(self, commit: Sha, ended: Ended, unread: str, look_s: float) -> PlatformError:
        what = f"Vercel, deploy of {short(commit)}: {self._commands.tell(ended)}"
        unlisted = f"no deployment is listed after {look_s:.0f} s"
        if unread or ended.exit_code is None or look_s < LISTED_S:
            return OutcomeUnknown(f"{what}; {unread or unlisted}")
        return PlatformError(
            f"{what}; {unlisted}",
            means="Nothing was deployed.",
            next_step="look at what the CLI said, and at Vercel's status page, then run the release again",
        )

    def _find_hint(self, deployment_id: str, deadline: Deadline) -> str:
        try:
            newest = is_newest_retired(self.fetch_history(deadline).deployments, deployment_id)
        except (PlatformError, ConfigError):
            return ""
        return "" if newest else OLDER


def _known(deployment_id: str | None) -> str:
    if deployment_id is None:
        raise PlatformError("the deployment has no known id, so Vercel cannot be asked for it", means=UNMOVED)
    return deployment_id
