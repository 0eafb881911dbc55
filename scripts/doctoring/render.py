"""The Render account: the hook, the key, and what its API tells of the service and its deploys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scripts.client import Client
from scripts.doctoring.finding import Finding, Level, Subject
from scripts.doctoring.reading import Budget, Reader, Row, attempt, host_of, looked, reached, text
from scripts.doctoring.render_service import SETTINGS, Expected, judge_service
from scripts.doctoring.service import UNKNOWN, Live
from scripts.errors import ConfigError
from scripts.platforms import History
from scripts.platforms.render import HOOK as HOOK_NAME
from scripts.platforms.render import KEY as KEY_NAME
from scripts.platforms.render import Render, service_in_hook
from scripts.redaction import Secret
from scripts.release import short

HOOK = Subject(
    "render",
    "hook",
    "A release begins by calling it.",
    f"copy the service's Settings, Deploy Hook, into the secret {HOOK_NAME}",
)
KEY = Subject(
    "render",
    "key",
    "Without it no deploy can be cancelled, commits that were rolled back before are not known, waiting goes by the"
    " service's answers alone, and none of the service's settings can be checked here.",
    f"make a key under Account Settings, API Keys, and set it as the secret {KEY_NAME}",
)
API = Subject(
    "render",
    "api",
    "What is not seen is not known to be well.",
    "look at Render's status page and at this machine's network, then run doctor again",
)
WAY_BACK = Subject(
    "render",
    "way-back",
    "A rollback needs a deploy that served users.",
    "deploy once by hand in the dashboard, or let the first release be watched by a person",
)
SUBJECTS = (HOOK, KEY, API, *SETTINGS, WAY_BACK)


@dataclass
class RenderAccount:
    """One service, and what the platform says is live once it was looked at; `where` ends sentences on secrets."""

    client: Client
    budget: Budget
    secrets: Mapping[str, Secret]
    api_url: str
    expected: Expected
    where: str = ""
    live: Live = UNKNOWN

    def examine(self) -> Iterator[Finding]:
        """Look at the hook, at the key, and at all that the key may see."""
        hook, service_id = judge_hook(self.secrets.get(HOOK_NAME), self.api_url, self.where)
        yield hook
        key = self.secrets.get(KEY_NAME)
        if key is None:
            yield KEY.warn(f"is not given{self.where}: {KEY_NAME} is not set")
        elif not service_id:
            yield KEY.unseen("only the hook names the service that it is for")
        else:
            yield from reached(API, self._ask(key, service_id))

    def _ask(self, key: Secret, service_id: str) -> Iterator[Finding]:
        hidden = (key, self.secrets[HOOK_NAME])
        reader = Reader(self.client, self.budget, "Render", self.api_url, key, hidden)
        service, why = attempt(lambda: reader.read(f"/services/{service_id}", "reading the service"))
        if service is None:
            yield KEY.fail(f"does not see the service of the hook: {why}")
            return
        identity = judge_identity(service, service_id)
        yield identity
        if identity.level is Level.FAIL:  # what it tells would be of another service, or of none
            return
        yield from judge_service(service, self.expected)
        yield from looked([WAY_BACK], self._look_at_deploys)

    def _look_at_deploys(self) -> Iterator[Finding]:
        """Read the deploys as a release does, so that what a release cannot read is found here."""
        history = Render(self.client, self.secrets, self.api_url).fetch_history(self.budget.call())
        self.live = Live(known=history is not None, deployment=history.current if history else None)
        yield judge_way_back(history)


def judge_hook(hook: Secret | None, api_url: str, where: str) -> tuple[Finding, str]:
    """Judge the hook without calling it, and give the service that it names; empty where it names none."""
    if hook is None:
        return HOOK.fail(f"is not given{where}: {HOOK_NAME} is not set"), ""
    try:
        service_id = service_in_hook(hook)
    except ConfigError as error:
        return HOOK.fail(f"is of no use{where}: {error.what}"), ""
    host, expected = host_of(hook.reveal()), host_of(api_url)
    if host != expected:
        return HOOK.warn(f"of {service_id} leads to {host}, and Render's API is at {expected}"), service_id
    return HOOK.ok(f"is a deploy hook of {service_id}"), service_id


def judge_identity(service: Row, service_id: str) -> Finding:
    """Judge whether the key was shown the service that the hook deploys."""
    found = text(service, "id")
    return KEY.judge(found == service_id, f"sees {found or 'no id'}", f" where the hook's service is {service_id}")


def judge_way_back(history: History | None) -> Finding:
    """Judge whether there is a deploy that the next release could go back to."""
    live = history.current if history else None
    if live is not None and live.commit is not None:
        return WAY_BACK.ok(f"exists: {live.id} of {short(live.commit)} serves, and a release can go back to it")
    if live is not None:
        return WAY_BACK.warn(f"is not sure: {live.id} serves, and Render names no commit for it")
    return WAY_BACK.warn("does not exist yet: no deploy is live, so there is nothing to go back to")
