"""Render: the deploy hook, and the API where there is a key. Facts: Render's docs on deploy hooks, its API reference.

The hook's key is part of its URL, so no message here ever holds that URL. Whether a deploy that Render calls live is
the one that answers is decided elsewhere.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Never
from urllib.parse import parse_qs, urlencode, urlsplit

from scripts.client import Answer, Client, expect_object
from scripts.clock import Deadline
from scripts.errors import ConfigError, OutcomeUnknown, PlatformError, PlatformUnreachable, UnknownState
from scripts.platforms import History, hide
from scripts.redaction import Secret
from scripts.release import Baseline, Deployment, DeployState, Sha, parse_sha, short

HOOK = "RENDER_DEPLOY_HOOK_URL"
KEY = "RENDER_API_KEY"
REQUIRED = {HOOK: "the deploy hook of the service (Render dashboard, Settings, Deploy Hook)"}
OPTIONAL = {KEY: "an API key; without it nothing can be cancelled, and the memory of rollbacks is missing"}
LOOPBACK = {"127.0.0.1", "localhost", "::1"}  # the rehearsal's hook
PAGE = 100  # the largest page; one is enough to know what serves and what served before
REFUSED, TOO_MANY, SERVER_ERROR = 400, 429, 500
PATCH_S = 10  # seconds that turning auto-deploy off may delay a rollback

STATES: Mapping[str, DeployState] = {
    "created": DeployState.QUEUED,
    "queued": DeployState.QUEUED,
    "build_in_progress": DeployState.BUILDING,
    "pre_deploy_in_progress": DeployState.STARTING,
    "update_in_progress": DeployState.STARTING,
    "live": DeployState.LIVE,
    "deactivated": DeployState.RETIRED,
    "build_failed": DeployState.FAILED,
    "pre_deploy_failed": DeployState.FAILED,
    "update_failed": DeployState.FAILED,
    "canceled": DeployState.CANCELED,
}

HOOK_REFUSALS: Mapping[int, tuple[type[PlatformError | ConfigError], str, str]] = {
    400: (ConfigError, "does not know the commit", "push the commit to the repository that Render is connected to"),
    401: (ConfigError, "does not accept the key", f"copy the hook's URL anew into {HOOK}"),
    404: (ConfigError, "knows no such service or commit", f"check {HOOK}, and that the commit is pushed"),
    405: (PlatformError, "does not accept this method", "look at Render's status page, then run the release again"),
    409: (PlatformError, "cannot deploy now: suspended or unable", "look at the service in Render's dashboard"),
    429: (PlatformUnreachable, "wants fewer requests", "wait a minute, then run the release again"),
}


class Render:
    """One web service on Render."""

    name = "render"
    stages = False

    def __init__(self, client: Client, secrets: Mapping[str, Secret], api_url: str) -> None:
        self._client = client
        self._api_url = api_url
        self._hook = secrets[HOOK]
        self._key = secrets.get(KEY)
        self._service = service_in_hook(self._hook)
        self._api = f"{api_url}/services/{self._service}"

    @property
    def blind(self) -> Render | None:
        """The hook alone: it needs no key, and is not the API's."""
        return Render(self._client, {HOOK: self._hook}, self._api_url) if self._key else None

    def fetch_history(self, deadline: Deadline) -> History | None:
        """Read the newest deployments, how many instances there are, and whether the service is suspended."""
        if self._key is None:
            return None
        service = expect_object(self._ask("GET", "", "reading the service", deadline), "Render, reading the service")
        rows = self._ask("GET", f"/deploys?limit={PAGE}", "reading the deploys", deadline).json()
        if not isinstance(rows, list):
            raise PlatformError("Render, reading the deploys: expected a list of deploys, got something else")
        details = service.get("serviceDetails")
        count = details.get("numInstances") if isinstance(details, dict) else None
        return History(
            deployments=tuple(_deployment(row.get("deploy") if isinstance(row, dict) else None) for row in rows),
            instances=count if isinstance(count, int) and count > 0 else None,
            suspended=service.get("suspended") == "suspended",
        )

    def fetch_deployment(self, deployment_id: str, deadline: Deadline) -> Deployment:
        """Read one deploy."""
        return _deployment(self._ask("GET", f"/deploys/{deployment_id}", "reading the deploy", deadline).json())

    def deploy(self, commit: Sha, deadline: Deadline) -> Deployment:
        """Call the hook for exactly this commit; an answer of 202 names no deploy, because another one is running.

        Raises:
            OutcomeUnknown: the hook was called, and what came of it has to be read from the service.
        """
        url = f"{self._hook.reveal()}&{urlencode({'ref': commit})}"
        what = f"Render's deploy hook for {short(commit)}"
        answer = self._client.request("POST", url, what=what, deadline=deadline)
        if answer.status == 202:
            return Deployment(None, commit, DeployState.QUEUED, detail="accepted behind a running deploy")
        if answer.status < 300 or answer.status >= SERVER_ERROR:
            return _named(answer, commit, what)
        return _refuse_hook(answer, what)

    def promote(self, deployment: Deployment, deadline: Deadline) -> None:
        """Do nothing: Render moves the traffic itself when the new instance passes its health check."""

    def roll_back(self, to: Baseline, deadline: Deadline) -> tuple[Deployment, str]:
        """Go back by the API; without a key, or to a baseline without a deploy id, by the hook with the old commit.

        The API leaves auto-deploy as it was (the dashboard's rollback turns it off), so the next push would bring the
        bad commit back: it is turned off first, to be off whatever becomes of the request. The hook with `ref` does
        that by itself. What served and is refused all the same is no longer kept, so the hook builds it anew.
        """
        if self._key is None or to.deployment_id is None:
            return self.deploy(_known(to.commit), deadline), ""
        warning = self._stop_auto_deploy(Deadline.after(deadline.clock, min(PATCH_S, deadline.left_s)))
        what, wanted = "rolling back", {"deployId": to.deployment_id}
        answer = self._ask("POST", "/rollback", what, deadline, wanted, {REFUSED})
        if answer.status == REFUSED:
            if to.commit is None or not self.fetch_deployment(to.deployment_id, deadline).state.has_served:
                _refuse_api(answer, f"Render, {what}", changes=True)
            return self.deploy(to.commit, deadline), f"{warning} {_not_kept(to.commit)}".strip()
        try:
            return _deployment(answer.json()), warning
        except PlatformError as error:
            raise OutcomeUnknown(f"the rollback was accepted, but {error.what}") from error

    def cancel(self, deployment: Deployment, deadline: Deadline) -> None:
        """Ask Render to stop a deploy; one that has ended meanwhile is refused with 400, which is fine."""
        if self._key is not None and deployment.id is not None:
            self._ask("POST", f"/deploys/{deployment.id}/cancel", "cancelling the deploy", deadline, fine={400})

    def _stop_auto_deploy(self, deadline: Deadline) -> str:
        try:
            self._ask("PATCH", "", "turning auto-deploy off", deadline, {"autoDeploy": "no"})
        except (PlatformError, ConfigError) as error:
            return f"auto-deploy may still be on, and the next push would bring the bad commit back: {error.what}"
        return ""

    def _ask(
        self,
        method: str,
        path: str,
        what: str,
        deadline: Deadline,
        payload: object = None,
        fine: frozenset[int] | set[int] = frozenset(),
    ) -> Answer:
        if self._key is None:
            raise ConfigError(f"{what} needs {KEY}", next_step=f"set {KEY}")
        headers = {"authorization": f"Bearer {self._key.reveal()}", "accept": "application/json"}
        name = f"Render, {what}"
        url = self._api + path
        answer = self._client.request(method, url, what=name, deadline=deadline, headers=headers, payload=payload)
        answer = hide((self._hook, self._key), answer)
        if answer.status not in {200, 201, *fine}:
            _refuse_api(answer, name, changes=method != "GET")
        return answer


def _not_kept(commit: Sha) -> str:
    """Say what becomes of a release whose build is no longer kept."""
    return f"Render does not roll back to {short(commit)}, which did serve: it is built anew from its commit"


def _named(answer: Answer, commit: Sha, what: str) -> Deployment:
    """Read the deploy that the hook names.

    Raises:
        OutcomeUnknown: it names none, so that a deploy may or may not have begun.
    """
    body = answer.json()
    deploy = body.get("deploy") if isinstance(body, dict) else None
    if answer.status == 200 and isinstance(deploy, dict) and isinstance(deploy.get("id"), str):
        return Deployment(deploy["id"], commit, DeployState.QUEUED)
    raise OutcomeUnknown(f"{what}: answered {answer.status} without a deploy id")


def service_in_hook(hook: Secret) -> str:
    """Give the service id that a deploy hook's URL names.

    Raises:
        ConfigError: it is not the URL of one service's deploy hook; the message never shows the URL.
    """
    found = "something else"
    with contextlib.suppress(ValueError):  # urlsplit's own message would show a part of the URL
        parts = urlsplit(hook.reveal())
        match = re.fullmatch(r"/deploy/(srv-[A-Za-z0-9-]+)", parts.path)
        safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        query = parse_qs(parts.query)
        if match and safe and not parts.fragment and "key" in query and not {"ref", "imgURL"} & set(query):
            return match[1]
        found = "a Blueprint's hook (exs-…), which deploys nothing" if "/exs-" in parts.path else found
    raise ConfigError(
        f"{HOOK} is not a deploy hook of a service: expected https://api.render.com/deploy/srv-…?key=…, found {found}",
        means="Nothing was started.",
        next_step="copy it from the service's Settings, Deploy Hook",
    )


def _deployment(row: object) -> Deployment:
    """Read a deploy.

    Raises:
        PlatformError: it is not one.
        UnknownState: it is in a status that is not known.
    """
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        raise PlatformError("Render answered something that is not a deploy")
    status = row.get("status")
    state = STATES.get(status) if isinstance(status, str) else None
    if state is None:
        raise UnknownState(
            f"Render says that deploy {row['id']} is in a status that is not known: {status!r}",
            next_step="look at the deploy in Render's dashboard; if the status is new, Slipway has to learn it",
        )
    commit = row.get("commit")
    return Deployment(
        id=row["id"],
        commit=parse_sha(commit.get("id")) if isinstance(commit, dict) else None,
        state=state,
        created_at=_time(row.get("createdAt")),
        detail=str(status),
        is_rollback=row.get("trigger") == "rollback",
    )


def _time(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


def _known(commit: Sha | None) -> Sha:
    if commit is None:
        raise PlatformError("the release that served before has no known commit, so it cannot be asked for")
    return commit


def _refuse_hook(answer: Answer, what: str) -> Never:
    kind, text, step = HOOK_REFUSALS.get(
        answer.status, (PlatformError, "gave an answer that is not known", "look at Render's status page")
    )
    raise kind(f"{what}: answered {answer.status}: Render {text}", means="Nothing was deployed.", next_step=step)


def _refuse_api(answer: Answer, name: str, *, changes: bool) -> Never:
    body = answer.json()
    said = str(body.get("message", ""))[:200] if isinstance(body, dict) else ""
    what = f"{name}: answered {answer.status}" + (f" ({said})" if said else "")
    if answer.status in {401, 403}:
        raise ConfigError(what, means="The key is wrong, revoked or of another team.", next_step=f"set a valid {KEY}")
    if answer.status in {404, 410}:
        raise ConfigError(what, means="The hook's service, or the deploy, does not exist for this key.")
    if answer.status >= SERVER_ERROR:
        raise OutcomeUnknown(what) if changes else PlatformUnreachable(what)
    kind = PlatformUnreachable if answer.status == TOO_MANY else PlatformError
    raise kind(what, next_step="look at the service and its deploys in Render's dashboard")
